//! Runs the text cases in `tests/cmd/`.
//!
//! A file is one scenario in an empty directory of its own:
//!
//! ```text
//! # A comment.
//! requires: real-documents        (or ssh-keygen, or shipped-build; else the file is skipped, by name)
//! $ narthex inspect x.bin         (run by `sh -c`; `narthex` is the binary under test)
//! > a line of standard output
//! ! a line of standard error
//! = 3                             (exit status; 0 where it is not given)
//! ```
//!
//! Outputs are compared whole: no `>` lines means no output. `[..]` inside a line stands for anything
//! in it, a line `...` for any number of lines. `$REAL` is the folder of real documents.

// All of it is a test, its helpers too.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

mod genuine;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One command with what it must give.
struct Step {
    line: usize,
    command: String,
    stdout: Vec<String>,
    stderr: Vec<String>,
    status: i32,
}

#[test]
fn text_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(files.len() >= 9, "the cases are in {}", folder.display());
    let problems: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = files
            .iter()
            .map(|file| scope.spawn(|| run_file(file)))
            .collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(problems.is_empty(), "{}", problems.join("\n\n"));
}

/// Every command and subcommand there is answers `--help` with an example, and is found by `man`.
#[test]
fn every_command_has_help_with_an_example() {
    let mut waiting = vec![Vec::<String>::new()];
    let mut seen = 0;
    while let Some(path) = waiting.pop() {
        let help = Command::new(narthex())
            .args(&path)
            .arg("--help")
            .output()
            .unwrap();
        let text = String::from_utf8(help.stdout).unwrap();
        assert_eq!(help.status.code(), Some(0), "{path:?}");
        assert!(help.stderr.is_empty(), "{path:?}");
        let below: Vec<String> = commands_in(&text);
        assert!(
            !below.is_empty() || text.contains("Example"),
            "{path:?} shows no example"
        );
        let mut prose = text.lines().filter(|line| !line.starts_with("Usage:"));
        assert!(
            prose.all(|line| line.chars().count() <= 150),
            "{path:?} is too wide"
        );
        let man = Command::new(narthex())
            .arg("man")
            .args(&path)
            .output()
            .unwrap();
        assert_eq!(man.status.code(), Some(0), "man {path:?}");
        assert!(
            String::from_utf8(man.stdout).unwrap().contains(".TH"),
            "man {path:?}"
        );
        seen += 1;
        waiting.extend(
            below
                .into_iter()
                .map(|name| [path.as_slice(), &[name]].concat()),
        );
    }
    assert!(seen > 35, "only {seen} commands were found");
}

/// The names in the `Commands:` part of a help text.
fn commands_in(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

fn run_file(file: &Path) -> Vec<String> {
    let name = file.file_name().unwrap().to_string_lossy();
    let text = fs::read_to_string(file).unwrap();
    let missing = [
        ("requires: real-documents", genuine::folder().is_dir()),
        ("requires: ssh-keygen", has_ssh_keygen()),
        ("requires: shipped-build", cfg!(not(feature = "dev-root"))),
    ]
    .into_iter()
    .find(|(needed, there)| !there && text.lines().any(|line| line == *needed));
    if let Some((needed, _)) = missing {
        match needed {
            "requires: real-documents" => genuine::skip(&name),
            _ => eprintln!("skipped {name}: {needed}"),
        }
        return Vec::new();
    }
    let directory = tempfile::tempdir().unwrap();
    let mut problems = Vec::new();
    for step in parse(&name, &text) {
        let output = Command::new("sh")
            .args(["-c", &step.command])
            .current_dir(directory.path())
            .env("PATH", path_with_narthex())
            .env("REAL", genuine::folder())
            .env("HOME", directory.path())
            .env_remove("XDG_STATE_HOME")
            .env_remove("SSH_AUTH_SOCK")
            .output()
            .unwrap();
        let status = output.status.code().unwrap_or(-1);
        let stdout = String::from_utf8_lossy(&output.stdout);
        let stderr = String::from_utf8_lossy(&output.stderr);
        let good = status == step.status
            && lines_match(&step.stdout, &stdout)
            && lines_match(&step.stderr, &stderr);
        if !good {
            problems.push(format!(
                "{name}:{}: $ {}\nexpected status {} and\n{}{}got status {status} and\n{}{}",
                step.line,
                step.command,
                step.status,
                marked('>', &step.stdout.join("\n")),
                marked('!', &step.stderr.join("\n")),
                marked('>', &stdout),
                marked('!', &stderr),
            ));
            break;
        }
    }
    problems
}

fn parse(name: &str, text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let content = |line: &str| line.get(2..).unwrap_or("").to_owned();
        match line.chars().next() {
            None | Some('#') => {}
            Some('$') => steps.push(Step {
                line: index + 1,
                command: content(line),
                stdout: Vec::new(),
                stderr: Vec::new(),
                status: 0,
            }),
            Some('>') => steps.last_mut().unwrap().stdout.push(content(line)),
            Some('!') => steps.last_mut().unwrap().stderr.push(content(line)),
            Some('=') => steps.last_mut().unwrap().status = content(line).parse().unwrap(),
            Some(_) if line.starts_with("requires: ") => {}
            Some(_) => panic!("{name}:{}: cannot be read: {line}", index + 1),
        }
    }
    steps
}

fn lines_match(expected: &[String], actual: &str) -> bool {
    let actual: Vec<&str> = actual.lines().collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    sequence_matches(&expected, &actual)
}

fn sequence_matches(expected: &[&str], actual: &[&str]) -> bool {
    match expected.split_first() {
        None => actual.is_empty(),
        Some((&"...", rest)) => {
            (0..=actual.len()).any(|skip| sequence_matches(rest, &actual[skip..]))
        }
        Some((line, rest)) => actual.split_first().is_some_and(|(first, others)| {
            line_matches(line, first) && sequence_matches(rest, others)
        }),
    }
}

fn line_matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split("[..]");
    let first = parts.next().unwrap();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn marked(mark: char, text: &str) -> String {
    text.lines()
        .map(|line| format!("{mark} {line}\n"))
        .collect()
}

fn narthex() -> &'static str {
    env!("CARGO_BIN_EXE_narthex")
}

fn path_with_narthex() -> String {
    let folder = Path::new(narthex()).parent().unwrap();
    format!(
        "{}:{}",
        folder.display(),
        std::env::var("PATH").unwrap_or_default()
    )
}

/// `../shared/real-documents` beside the checkout.
fn has_ssh_keygen() -> bool {
    Command::new("ssh-keygen").arg("-?").output().is_ok()
}

#[test]
fn the_runner_itself_can_fail() {
    assert!(
        line_matches("a[..]c", "abc") && line_matches("abc", "abc") && line_matches("[..]", "")
    );
    assert!(
        !line_matches("abc", "abcd") && !line_matches("a[..]c", "abd") && !line_matches("", "x")
    );
    let expected = ["a".to_owned(), "...".to_owned(), "z".to_owned()];
    assert!(lines_match(&expected, "a\nb\nc\nz\n") && lines_match(&expected, "a\nz\n"));
    assert!(!lines_match(&expected, "a\nb\n") && !lines_match(&[], "x\n"));
}
