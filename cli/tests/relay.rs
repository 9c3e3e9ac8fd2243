//! `narthex relay` as a process: half-close, failed connects, silence, floods, and the end.

// All of it is a test, its helpers too.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A relay that listens on a TCP port of the system's choice.
struct Relay {
    child: Child,
    words: BufReader<ChildStderr>,
    address: String,
}

impl Relay {
    fn start(listen: &str, connect: &str, options: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_narthex"))
            .args(["relay", "--json", listen, connect])
            .args(options)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut words = BufReader::new(child.stderr.take().unwrap());
        let mut first = String::new();
        words.read_line(&mut first).unwrap();
        let address = first
            .trim()
            .strip_prefix("narthex: relay from ")
            .and_then(|rest| rest.split(" to ").next())
            .unwrap_or_else(|| panic!("{first}"))
            .to_owned();
        Self {
            child,
            words,
            address,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address.strip_prefix("tcp:").unwrap()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    /// Tells it to stop; returns its counts and what else it said.
    fn stop(self, signal: &str) -> (serde_json::Value, String) {
        let Self {
            child,
            mut words,
            address: _,
        } = self;
        let pid = child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        let Output { status, stdout, .. } = child.wait_with_output().unwrap();
        assert_eq!(status.code(), Some(0));
        let mut said = String::new();
        words.read_to_string(&mut said).unwrap();
        (serde_json::from_slice(&stdout).unwrap(), said)
    }
}

/// Answers every connection with what it received, backwards, after the peer's half-close.
fn reversing_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp:{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut question = Vec::new();
                if stream.read_to_end(&mut question).is_ok() {
                    question.reverse();
                    let _client_may_have_gone = stream.write_all(&question);
                }
            });
        }
    });
    address
}

#[test]
fn what_was_sent_before_a_half_close_is_answered_after_it() {
    let relay = Relay::start("tcp:127.0.0.1:0", &reversing_server(), &[]);
    // More than all buffers on the way together, so that backpressure is met too.
    let question: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut stream = relay.connect();
    let mut writer = stream.try_clone().unwrap();
    let sent = question.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    writing.join().unwrap();
    answer.reverse();
    assert!(answer == question);
    let (counts, _) = relay.stop("-TERM");
    assert_eq!(counts["accepted"], 1);
    assert_eq!(counts["closed"], 1);
    assert_eq!(counts["forward_bytes"], 3_000_000);
    assert_eq!(counts["backward_bytes"], 3_000_000);
}

#[test]
fn unix_and_hybrid_addresses_and_the_socket_file_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    // A virtual machine monitor that knows port 5000 only.
    let monitor = UnixListener::bind(path("vm.sock")).unwrap();
    thread::spawn(move || {
        for stream in monitor.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap())
                .read_line(&mut line)
                .unwrap();
            assert_eq!(line, "CONNECT 5000\n");
            stream.write_all(b"OK 1073741824\nhello").unwrap();
        }
    });
    let listen = format!("unix:{}", path("in.sock").display());
    let connect = format!("hybrid:{}:5000", path("vm.sock").display());
    let relay = Relay::start(&listen, &connect, &[]);
    let mut greeting = String::new();
    let mut stream = UnixStream::connect(path("in.sock")).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.read_to_string(&mut greeting).unwrap();
    assert_eq!(greeting, "hello");
    relay.stop("-INT");
    assert!(!Path::new(&path("in.sock")).exists());
}

#[test]
fn a_failed_connect_never_ends_the_listener() {
    let directory = tempfile::tempdir().unwrap();
    let far = directory.path().join("far.sock");
    let relay = Relay::start("tcp:127.0.0.1:0", &format!("unix:{}", far.display()), &[]);
    for _ in 0..50 {
        let mut nothing = Vec::new();
        // Closed or reset: nobody is there.
        let _closed_or_reset = relay.connect().read_to_end(&mut nothing);
        assert!(nothing.is_empty());
    }
    let listener = UnixListener::bind(&far).unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"here now").unwrap();
    });
    let mut greeting = String::new();
    let mut stream = relay.connect();
    stream.shutdown(Shutdown::Write).unwrap();
    stream.read_to_string(&mut greeting).unwrap();
    assert_eq!(greeting, "here now");
    let (counts, said) = relay.stop("-TERM");
    assert_eq!(counts["connect_failures"], 50);
    // Said once, not fifty times.
    assert_eq!(said.matches("there is no such socket").count(), 1, "{said}");
    assert_eq!(said.matches("answers again").count(), 1, "{said}");
}

#[test]
fn silence_ends_a_connection() {
    let relay = Relay::start(
        "tcp:127.0.0.1:0",
        &reversing_server(),
        &["--idle-timeout", "300ms"],
    );
    let mut stream = relay.connect();
    stream.write_all(b"and then nothing").unwrap();
    let begun = Instant::now();
    let mut nothing = Vec::new();
    let _closed_or_reset = stream.read_to_end(&mut nothing);
    assert!(nothing.is_empty());
    assert!(
        begun.elapsed() >= Duration::from_millis(250),
        "{:?}",
        begun.elapsed()
    );
    let (counts, _) = relay.stop("-TERM");
    assert_eq!(counts["idle"], 1);
}

#[test]
fn a_flood_waits_outside_and_is_served_in_turn() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp:{}", listener.local_addr().unwrap());
    let relay = Relay::start("tcp:127.0.0.1:0", &address, &["--max-connections", "4"]);
    let clients: Vec<TcpStream> = (0..40).map(|_| relay.connect()).collect();
    // Four come through, and not a fifth.
    let first: Vec<TcpStream> = (0..4).map(|_| listener.accept().unwrap().0).collect();
    listener.set_nonblocking(true).unwrap();
    thread::sleep(Duration::from_millis(300));
    assert!(listener.accept().is_err());
    // When those end, the next ones come.
    drop(first);
    drop(clients);
    listener.set_nonblocking(false).unwrap();
    for _ in 0..36 {
        drop(listener.accept().unwrap());
    }
    let (counts, _) = relay.stop("-TERM");
    assert_eq!(counts["accepted"], 40);
}

#[test]
fn a_relay_that_is_stopped_lets_the_open_ones_end_and_then_cuts() {
    let relay = Relay::start(
        "tcp:127.0.0.1:0",
        &reversing_server(),
        &["--drain", "400ms"],
    );
    let mut stream = relay.connect();
    stream.write_all(b"never finished").unwrap();
    thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    let (counts, said) = relay.stop("-TERM");
    assert!(
        begun.elapsed() >= Duration::from_millis(350),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(counts["cut"], 1, "{said}");
    assert!(said.contains("relay ended: 1 connections"), "{said}");
}
