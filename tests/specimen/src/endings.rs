//! How a workload ends badly, and what it says before.

use std::fs;
use std::io::{self, Write};
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::local_socket;

/// Ends by a segmentation fault. Rust's own handler takes the first and makes room for the next.
pub(crate) fn crash() -> io::Result<String> {
    loop {
        kill(Pid::this(), Signal::SIGSEGV)?;
        thread::sleep(Duration::from_millis(10));
    }
}

/// Takes memory, and uses it, until it is killed.
pub(crate) fn leak() -> io::Result<String> {
    let mut all = Vec::new();
    loop {
        all.push(vec![0x5a_u8; 1 << 20]);
        if all.len() > 1 << 20 {
            return Err(io::Error::other("there is no end of memory"));
        }
    }
}

/// Starts itself twice, and so do they, for good.
pub(crate) fn fork_without_end() -> io::Result<()> {
    let program = std::env::current_exe()?;
    let mut children = Vec::new();
    loop {
        match Command::new(&program).arg("forks").spawn() {
            Ok(child) => children.push(child),
            // As many as there may be: the next attempt comes at once.
            Err(_) => thread::yield_now(),
        }
    }
}

/// Puts the secrets of a file (`PLACE=SECRET` a line) wherever a workload can put something, and keeps them there.
pub(crate) fn plant(file: &str) -> io::Result<String> {
    let secrets = Secrets::read(file)?;
    // Many copies, so that some of it is on the heap and in the page cache.
    let memory = vec![secrets.of("memory")?; 1000];
    for place in ["process", "thread"] {
        let memory = memory.clone();
        thread::Builder::new()
            .name(secrets.of(place)?)
            .spawn(move || {
                thread::sleep(Duration::from_secs(3600));
                drop(memory);
            })?;
    }
    let name = secrets.of("file-name")?;
    fs::write(format!("/tmp/{name}"), secrets.of("file")?)?;
    fs::create_dir_all(format!("/tmp/{name}.d"))?;
    secrets.speak()?;
    let (counter, data) = (secrets.of("counter")?, secrets.of("user-data")?);
    for (method, path, body) in [
        ("PUT", format!("/v1/counters/{counter}"), "5"),
        ("PUT", "/v1/counters/served".to_owned(), counter.as_str()),
        ("GET", format!("/v1/keys/{counter}"), counter.as_str()),
        (counter.as_str(), format!("/{counter}"), counter.as_str()),
        ("PUT", "/v1/counters/served".to_owned(), "42"),
        ("POST", "/v1/attestation".to_owned(), data.as_str()),
    ] {
        // Whatever it is: what counts is what leaves elsewhere.
        let _ = local_socket::ask(method, &path, body.as_bytes());
    }
    Ok(String::new())
}

/// Says secrets on both outputs, and ends with a status.
pub(crate) fn shout(file: &str) -> io::Result<String> {
    let secrets = Secrets::read(file)?;
    for _ in 0..1000 {
        secrets.speak()?;
    }
    eprintln!("{}", secrets.of("exit")?);
    std::process::exit(77)
}

struct Secrets(String);

impl Secrets {
    fn read(file: &str) -> io::Result<Self> {
        fs::read_to_string(file).map(Self)
    }

    fn of(&self, place: &str) -> io::Result<String> {
        let lines = self.0.lines().filter_map(|line| line.split_once('='));
        let mut secrets = lines.filter(|(name, _)| *name == place);
        let secret = secrets.next().map(|(_, secret)| secret.to_owned());
        secret.ok_or_else(|| io::Error::other(format!("no secret for {place}")))
    }

    fn speak(&self) -> io::Result<()> {
        writeln!(io::stdout(), "{}", self.of("output")?)?;
        writeln!(io::stderr(), "{}", self.of("error-output")?)
    }
}
