//! The program's command line: exit codes and words.

// A test's helpers may panic: that is how they say what they found.
#![allow(clippy::expect_used)]

use std::path::PathBuf;
use std::process::{Command, Output};

/// The program under test: the one just built, or the one that `NARTHEX_TEST_AGENT` names.
fn program() -> PathBuf {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_narthex-agent"));
    std::env::var_os("NARTHEX_TEST_AGENT").map_or_else(built, PathBuf::from)
}

fn agent(arguments: &[&str]) -> Output {
    Command::new(program())
        .args(arguments)
        .output()
        .expect("start")
}

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/agent.example.toml");

#[test]
fn version_and_help_go_to_standard_output() {
    let (code, output, error) = told(&agent(&["--version"]));
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert_eq!(
        output,
        format!("narthex-agent {}\n", env!("CARGO_PKG_VERSION"))
    );
    let (code, output, error) = told(&agent(&["--help"]));
    assert_eq!((code, error.as_str()), (Some(0), ""));
    assert!(output.contains("--check-config"));
}

#[test]
fn misuse_is_exit_code_2() {
    for arguments in [
        &[][..],
        &["--local"],
        &["shell"],
        &["--confined", "gate", "50", "51"],
    ] {
        assert_eq!(agent(arguments).status.code(), Some(2), "{arguments:?}");
    }
}

/// `narthex-agent … 2>&1 | head`: whoever read its words has gone.
#[test]
fn words_that_nobody_reads_change_nothing() {
    for arguments in [&["--nonsense"][..], &["--local", "/nowhere/agent.toml"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let status = Command::new(program())
            .args(arguments)
            .stderr(writer)
            .status()
            .expect("start");
        let expected = told(&agent(arguments)).0;
        assert_eq!(status.code(), expected, "{arguments:?}");
        assert!(matches!(expected, Some(2 | 3)), "{expected:?}");
    }
}

/// What is wrong with a configuration is one line, and says where.
#[test]
fn a_configuration_that_is_no_toml_is_one_line() {
    let file = std::env::temp_dir().join(format!("narthex-agent-{}.toml", std::process::id()));
    std::fs::write(&file, "a = 1\nnonsense\n").expect("write");
    let path = file.to_str().expect("UTF-8");
    let (code, _, error) = told(&agent(&["--check-config", path]));
    std::fs::remove_file(&file).expect("remove");
    assert_eq!(code, Some(2));
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("at line 2, column 9: "), "{error}");
}

#[test]
fn a_configuration_can_be_checked() {
    let (code, output, error) = told(&agent(&["--check-config", EXAMPLE]));
    assert_eq!((code, output.as_str(), error.as_str()), (Some(0), "", ""));
    let text = std::fs::read_to_string(EXAMPLE).expect("example");
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("agent.toml");
    let check = |text: &str, more: &[&str]| {
        std::fs::write(&path, text).expect("write");
        let mut arguments = vec!["--check-config"];
        arguments.extend(more);
        arguments.push(path.to_str().expect("text"));
        told(&agent(&arguments))
    };
    // Without a log there is nothing to check; with the switch it is no file for an enclave.
    let no_log: String = text
        .lines()
        .filter(|line| !line.starts_with("log = "))
        .map(|line| format!("{line}\n"))
        .collect();
    let (code, _, error) = check(&no_log, &[]);
    assert_eq!(code, Some(2));
    assert!(error.contains("trust.log is required"), "{error}");
    for text in [&text, &no_log] {
        let insecure = format!("insecure_without_ledger = true\n{text}");
        let (code, _, error) = check(&insecure, &[]);
        assert_eq!(code, Some(2));
        let words = "insecure_without_ledger is allowed with --local only";
        assert!(error.contains(words), "{error}");
        let (code, _, error) = check(&insecure, &["--local"]);
        assert_eq!((code, error.as_str()), (Some(0), ""));
    }
    let (code, _, error) = told(&agent(&["--check-config", "/nowhere/agent.toml"]));
    assert_eq!(code, Some(3));
    assert!(
        error.contains("/nowhere/agent.toml cannot be read"),
        "{error}"
    );
}

#[test]
fn local_is_refused_for_pid_1() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: a PID namespace needs root");
        return;
    }
    let output = Command::new("unshare")
        .args(["--pid", "--fork"])
        .arg(program())
        .args(["--local", EXAMPLE])
        .output()
        .expect("unshare");
    let (code, _, error) = told(&output);
    assert_eq!(code, Some(2));
    assert!(error.contains("(agent.local_as_init)"), "{error}");
}

#[test]
fn no_variable_of_the_environment_changes_what_it_does() {
    // R35: the text of the program names none. (`RUST_BACKTRACE` is the standard library's, for panics, which the
    // shipped program does not print.)
    let output = Command::new(program())
        .args(["--check-config", EXAMPLE])
        .env_clear()
        .output()
        .expect("start");
    assert_eq!(output.status.code(), Some(0));
    for file in walk(concat!(env!("CARGO_MANIFEST_DIR"), "/src").as_ref()) {
        let text = std::fs::read_to_string(&file).expect("source");
        assert!(!text.contains("env::var"), "{}", file.display());
    }
}

fn walk(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory)
        .expect("directory")
        .map(|entry| entry.expect("entry"));
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => walk(&path),
            path => vec![path],
        })
        .collect()
}
