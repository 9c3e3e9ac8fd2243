//! A policy, a key service and people, made with the command as a user would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

/// The role of the mock enclaves.
const ROLE: &str = "arn:aws:iam::123456789012:role/bench";

/// A running key service with one key and one release in force.
pub struct Setup {
    /// Everything is in here.
    pub folder: tempfile::TempDir,
    /// The programs measured.
    pub programs: PathBuf,
    /// The service's static key, hexadecimal.
    pub service_key: String,
    /// The verifier key of its log.
    pub log_key: String,
    /// The service.
    pub service: Child,
    /// The witness of its log, if there is one.
    witness: Option<Child>,
}

impl Drop for Setup {
    fn drop(&mut self) {
        for child in [Some(&mut self.service), self.witness.as_mut()]
            .into_iter()
            .flatten()
        {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Setup {
    /// Makes everything in a temporary folder, with a witness that must cosign or without.
    pub fn new(programs: &Path, witnessed: bool) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("narthex-bench")
            .tempdir()
            .expect("a folder");
        let path = folder.path();
        let narthex = programs.join("narthex");
        let narthex = narthex.to_str().expect("a readable path");
        let service = programs.join("narthex-key-service");
        let service = service.to_str().expect("a readable path");
        for person in ["alice", "bob", "olga", "kim"] {
            run(
                path,
                "ssh-keygen",
                &["-q", "-t", "ed25519", "-N", "", "-C", person, "-f", person],
            );
        }
        fs::write(
            path.join("service.toml"),
            format!("insecure_development_root = \"root.der\"\n\
             [storage]\ndatabase = \"keys.sqlite\"\nroot_key = \"root.key\"\nstatic_key = \"static.key\"\n\
             log_key = \"log.key\"\n\
             [ledger.witnesses]\n\"bench.example/witness\" = \"unix:{}/witness.sock\"\n\
             [listen]\nkeys = [\"unix:keys.sock\"]\nadministration = \"unix:administration.sock\"\n\
             policy = [\"unix:policy.sock\"]\nsubmissions = \"unix:submissions.sock\"\nhttp = \"127.0.0.1:0\"\n\
             [log]\nformat = \"text\"\nlevel = \"warn\"\n", path.display()),
        )
        .expect("a configuration");
        let key = run(path, service, &["static-key", "--config", "service.toml"])
            .trim()
            .to_owned();
        let log_key = [
            "log-key",
            "--config",
            "service.toml",
            "--origin",
            "bench.example/log",
        ];
        let log_key = run(path, service, &log_key).trim().to_owned();
        let mut witness = None;
        let mut witness_options = vec!["--insecure-without-witnesses".to_owned()];
        if witnessed {
            let name = "bench.example/witness";
            let make = ["log", "witness-key", "--name", name, "--out", "witness.key"];
            let key = run(path, narthex, &make).trim().to_owned();
            witness_options = vec!["--witness".to_owned(), key];
            let address = format!("unix:{}", path.join("witness.sock").display());
            let arguments = ["log", "witness", "--key", "witness.key", "--log", &log_key];
            witness = Command::new(narthex)
                .args(arguments)
                .args(["--listen", &address])
                .current_dir(path)
                .stderr(Stdio::null())
                .spawn()
                .ok();
            assert!(path_appears(&path.join("witness.sock")), "no witness");
        }
        let mut options: Vec<&str> = witness_options.iter().map(String::as_str).collect();
        options.extend(["--log", &log_key]);
        run(
            path,
            narthex,
            &[
                &[
                    "policy",
                    "init",
                    "policy",
                    "--project",
                    "bench",
                    "--service-key",
                    &key,
                    "--reviewer",
                    "alice=alice.pub",
                    "--reviewer",
                    "bob=bob.pub",
                    "--operator",
                    "olga=olga.pub",
                    "--key-administrator",
                    "kim=kim.pub",
                ],
                &options[..],
            ]
            .concat(),
        );
        let bundle = path.join("policy/bundles/0001.toml");
        let mut text = fs::read_to_string(&bundle).expect("a bundle");
        text.push_str(&format!(
            "\n[[key]]\nname = \"bench-key\"\nreleases = [\"bench\"]\nrole_arns = [\"{ROLE}\"]\ncommitments = []\n"
        ));
        fs::write(&bundle, text).expect("a bundle");
        run(path, "mkdir", &["-m", "700", "state"]);
        let measurements = run(
            path,
            narthex,
            &["mock-nsm", "measurements", "--image-label", "bench"],
        );
        fs::write(path.join("measurements.json"), measurements).expect("measurements");
        run(
            path,
            narthex,
            &[
                "mock-nsm",
                "document",
                "--out",
                "unused.bin",
                "--state",
                "state",
                "--root-out",
                "root.der",
            ],
        );
        run(
            path,
            narthex,
            &[
                "release",
                "new",
                "policy",
                "--name",
                "bench",
                "--version",
                "1",
                "--insecure-measurements",
                "measurements.json",
            ],
        );
        for person in ["alice", "bob"] {
            run(
                path,
                narthex,
                &[
                    "policy",
                    "sign",
                    "policy/bundles/0001.toml",
                    "--as",
                    person,
                    "--key",
                    person,
                ],
            );
            run(
                path,
                narthex,
                &[
                    "release",
                    "sign",
                    "policy/releases/0001-bench.toml",
                    "--as",
                    person,
                    "--key",
                    person,
                ],
            );
        }
        run(
            path,
            service,
            &[
                "init",
                "--config",
                "service.toml",
                "--genesis",
                "policy/bundles/0001.toml",
                "--signature",
                "policy/bundles/0001.toml.alice.sig",
                "--signature",
                "policy/bundles/0001.toml.bob.sig",
            ],
        );
        let running = Command::new(service)
            .args(["run", "--config", "service.toml"])
            .current_dir(path)
            .stderr(Stdio::null())
            .spawn()
            .expect("the service starts");
        assert!(
            path_appears(&path.join("administration.sock")),
            "the service does not serve"
        );
        run(
            path,
            narthex,
            &[
                "policy",
                "submit",
                "policy",
                "--service",
                "unix:administration.sock",
            ],
        );
        run(
            path,
            narthex,
            &[
                "keys",
                "create",
                "bench-key",
                "--policy",
                "policy",
                "--service",
                "unix:administration.sock",
                "--as",
                "kim",
                "--key",
                "kim",
            ],
        );
        Self {
            programs: programs.to_owned(),
            service_key: key,
            log_key,
            service: running,
            witness,
            folder,
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Ends the service in good order.
    pub fn stop(&mut self) {
        let id = i32::try_from(self.service.id()).expect("a pid");
        let signal = nix::sys::signal::Signal::SIGTERM;
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), signal);
        let _ = self.service.wait();
    }

    /// The role of the mock enclaves.
    pub const fn role() -> &'static str {
        ROLE
    }

    /// Runs the command in the folder.
    pub fn narthex(&self, arguments: &[&str]) -> String {
        let narthex = self.programs.join("narthex");
        run(
            self.path(),
            narthex.to_str().expect("a readable path"),
            arguments,
        )
    }
}

/// Waits for a socket, ten seconds at most.
pub fn path_appears(path: &Path) -> bool {
    for _ in 0..200 {
        if path.exists() {
            return true;
        }
        sleep(Duration::from_millis(50));
    }
    false
}

/// Runs a program and returns its standard output.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}
