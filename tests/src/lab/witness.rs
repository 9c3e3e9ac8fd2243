//! Witnesses as processes: ours, and those that a scenario brings along.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::process::{Process, Said};
use super::programs::Programs;
use super::unix_address;

/// A witness of the lab's log.
pub struct Witness {
    /// Its name, as in its key.
    pub name: String,
    /// Its verifier key.
    pub key: String,
    /// Where the service reaches it.
    pub address: String,
    /// The process, while it runs.
    pub process: Option<Process>,
    again: Again,
}

/// How one is started, and started again.
pub struct Again {
    /// Where.
    pub folder: PathBuf,
    /// The program.
    pub program: PathBuf,
    /// What it says goes to `folder/NAME.log`.
    pub log_name: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What it says when it listens.
    pub ready: &'static str,
}

/// Makes a witness in a folder, once the key of the log is known.
pub type MakeWitness = Box<dyn FnOnce(&Path, &Programs, &str) -> Witness>;

/// `narthex log witness` under the name `lab.example/NAME`.
#[must_use]
pub fn ours(name: &str) -> MakeWitness {
    let name = name.to_owned();
    Box::new(move |folder, programs, log| {
        let program = programs.narthex();
        let key = make_key(folder, &program, &name);
        let socket = folder.join(format!("{name}.sock"));
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let arguments = words(&[
            "log",
            "witness",
            "--key",
            &format!("{name}.key"),
            "--log",
            log,
            "--listen",
            &unix_address(&socket),
        ]);
        let mut witness = Witness::new(
            &format!("lab.example/{name}"),
            &key,
            &unix_address(&socket),
            Again {
                folder: folder.to_owned(),
                program,
                log_name: name,
                arguments,
                ready: "witness listens on",
            },
        );
        witness.start();
        witness
    })
}

/// Makes the key of a witness of ours, or reads the one that is there, and returns its public half.
#[must_use]
pub fn make_key(folder: &Path, program: &Path, name: &str) -> String {
    let (file, name) = (format!("{name}.key"), format!("lab.example/{name}"));
    let arguments = ["log", "witness-key", "--name", &name, "--out", &file];
    Said::by(folder, program, &arguments)
        .done()
        .trim()
        .to_owned()
}

impl Witness {
    /// A witness that does not run yet.
    #[must_use]
    pub fn new(name: &str, key: &str, address: &str, again: Again) -> Self {
        Self {
            name: name.to_owned(),
            key: key.to_owned(),
            address: address.to_owned(),
            process: None,
            again,
        }
    }

    /// Starts it, again if need be, and waits until it listens.
    pub fn start(&mut self) {
        let Again {
            folder,
            program,
            log_name,
            arguments,
            ready,
        } = &self.again;
        let log = folder.join(format!("{log_name}.log"));
        let before = std::fs::read_to_string(log).unwrap_or_default();
        let mut process = Process::start(folder, log_name, program, arguments);
        process.await_texts(ready, before.matches(ready).count() + 1);
        self.process = Some(process);
    }

    /// Ends it in good order.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Kills it, as a power failure would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Everything it said.
    #[must_use]
    pub fn said(&self) -> String {
        let log = format!("{}.log", self.again.log_name);
        std::fs::read_to_string(self.again.folder.join(log)).unwrap_or_default()
    }

    /// Shows it anything, as anybody can who reaches it; returns the status and the body of its answer.
    #[must_use]
    pub fn ask(&self, request: &str) -> (u16, String) {
        let path = self.address.strip_prefix("unix:").expect("a Unix socket");
        let mut stream = UnixStream::connect(path).expect("the witness's socket");
        let length = request.len();
        let head = format!(
            "POST /add-checkpoint HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        let whole = [head.as_bytes(), request.as_bytes()].concat();
        stream.write_all(&whole).expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok());
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        (status.expect("a status"), body.to_owned())
    }
}
