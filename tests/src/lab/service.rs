//! The key service as a process.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use super::process::{Process, Said};

/// Whether the configuration names the development root.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Root {
    /// It does: only a build for developers takes that.
    Development,
    /// It does not: AWS's root alone.
    Aws,
}

/// The name of the lab's log.
pub const ORIGIN: &str = "lab.example/log";

/// Writes the service's configuration to `folder/service.toml`; `witnesses` are pairs of name and address.
pub fn configure(folder: &Path, root: Root, witnesses: &[(String, String)], ledger: &str) {
    let root = match root {
        Root::Development => "insecure_development_root = \"root.der\"\n",
        Root::Aws => "",
    };
    let at = |name: &str| format!("unix:{}", folder.join(name).display());
    let mut text = format!(
        "{root}\
         [storage]\ndatabase = \"keys.sqlite\"\nroot_key = \"root.key\"\nstatic_key = \"static.key\"\n\
         log_key = \"log.key\"\n\
         [listen]\nkeys = [\"{}\"]\nadministration = \"{}\"\npolicy = [\"{}\"]\n\
         submissions = \"{}\"\nlog = [\"{}\"]\nhttp = \"127.0.0.1:0\"\n\
         [limits]\nrecorded_refusals_per_minute = 3600\n\
         [log]\nformat = \"text\"\n\
         [ledger]\n{ledger}\n[ledger.witnesses]\n",
        at("keys.sock"),
        at("administration.sock"),
        at("policy.sock"),
        at("submissions.sock"),
        at("log.sock"),
    );
    for (name, address) in witnesses {
        text += &format!("\"{name}\" = \"{address}\"\n");
    }
    fs::write(folder.join("service.toml"), text).expect("service.toml");
}

/// The public half of the service's static key; made on first use.
#[must_use]
pub fn static_key(folder: &Path, program: &Path) -> String {
    let said = Said::by(folder, program, &["static-key", "--config", "service.toml"]);
    said.done().trim().to_owned()
}

/// The verifier key of the service's log; made on first use.
#[must_use]
pub fn log_key(folder: &Path, program: &Path) -> String {
    let arguments = ["log-key", "--config", "service.toml", "--origin", ORIGIN];
    Said::by(folder, program, &arguments)
        .done()
        .trim()
        .to_owned()
}

/// Starts the service and waits until it serves.
#[must_use]
pub fn run(folder: &Path, program: &Path) -> Process {
    let before = fs::read_to_string(folder.join("service.log")).unwrap_or_default();
    let starts = before.matches(SERVING).count();
    let arguments = ["run", "--config", "service.toml"];
    let mut service = Process::start(folder, "service", program, &arguments);
    service.await_texts(SERVING, starts + 1);
    service
}

/// The page of metrics of a running service.
#[must_use]
pub fn metrics(service: &Process) -> String {
    page(service, "/metrics")
}

/// A page of a running service, with its head.
#[must_use]
pub fn page(service: &Process, path: &str) -> String {
    let log = service.log();
    let line = log
        .lines()
        .rev()
        .find(|line| line.contains("purpose=\"http\""));
    let (_, address) = line
        .and_then(|line| line.split_once("tcp:"))
        .expect("where it listens");
    let mut stream =
        TcpStream::connect(address.trim_end_matches('"')).expect("the page's listener");
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("the page");
    page
}

/// What it says when it serves.
const SERVING: &str = "serving genesis=";
