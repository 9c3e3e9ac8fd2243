//! A witness that is killed at any moment, many times: it never cosigns two roots for one size, nor goes back.
//! Once with a disk that keeps everything, and once with one that loses what was not synced, by the library that
//! the key service's tests have for that (`key-service/tests/synced/synced.c`).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
#![allow(clippy::unreachable)] // Tests say by panicking.

mod http_support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_support::{Answer, MemoryLog};
use narthex_ledger::tokio::{
    HttpListener, ServeLimits, ServeStatistics, Witness, create_witness_folder,
};
use narthex_ledger::{AddCheckpoint, Hash, KeyKind, NoteSignature, SigningKey, VerifierKey};
use tempfile::TempDir;

const FOLDER: &str = "WITNESS_KILL_FOLDER";

/// Not a test: the process that is killed. Does nothing unless it is told its folder.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let key = SigningKey::parse(&read("key")).unwrap();
    let logs = read("logs")
        .lines()
        .map(|line| VerifierKey::parse(line).unwrap())
        .collect();
    let witness = Witness::open(&folder.join("state"), key, logs).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let address = "tcp:127.0.0.1:0".parse().unwrap();
        let listener = HttpListener::bind(&address).await.unwrap();
        println!("\nlistening {}", listener.local_address().unwrap());
        Arc::new(witness)
            .serve(
                vec![listener],
                ServeLimits::default(),
                Arc::new(ServeStatistics::default()),
                std::future::pending(),
            )
            .await;
    });
}

/// Killed when dropped.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    fn start(folder: &Path, power: Option<&Power>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped());
        if let Some(power) = power {
            power.watch(&mut command);
        }
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines
            .map_while(Result::ok)
            .find_map(|line| Some(line.strip_prefix("listening tcp:")?.parse().unwrap()))
            .expect("the witness did not start: it refused its own state");
        Self { child, address }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// A disk that holds, after a kill, only what was synced.
struct Power {
    shadow: TempDir,
    library: PathBuf,
    state: PathBuf,
}

impl Power {
    fn new(folder: &Path) -> Self {
        let shadow = tempfile::tempdir().unwrap();
        for part in ["synced", "new", "temporary"] {
            fs::create_dir(shadow.path().join(part)).unwrap();
        }
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../key-service/tests/synced/synced.c");
        let library = shadow.path().join("synced.so");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status()
            .expect("a C compiler, which building this workspace needs as well");
        assert!(built.success());
        Self {
            shadow,
            library,
            state: fs::canonicalize(folder.join("state")).unwrap(),
        }
    }

    /// What is there now survived the last power cut.
    fn watch(&self, command: &mut Command) {
        let part = |name: &str| self.shadow.path().join(name);
        replace_files(&self.state, &part("synced"));
        replace_files(&part("temporary"), &part("new"));
        command
            .env("LD_PRELOAD", &self.library)
            .env("SYNCED_FOLDER", &self.state)
            .env("SYNCED_SHADOW", self.shadow.path());
    }

    /// Puts the disk into the state that the model says it has after a power cut.
    fn lose(&self) {
        replace_files(&self.shadow.path().join("synced"), &self.state);
    }
}

/// Makes the files in `to` those in `from`.
fn replace_files(from: &Path, to: &Path) {
    for file in fs::read_dir(to).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// The answer, unless the witness died.
fn show(stream: &mut TcpStream, request: &AddCheckpoint) -> Option<Answer> {
    let body = request.to_body();
    let head = format!(
        "POST /add-checkpoint HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut byte = [0];
    while !answer.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        answer.push(byte[0]);
    }
    let mut answer = Answer::parse(&answer);
    let mut body = vec![0; answer.header("content-length").parse().unwrap()];
    stream.read_exact(&mut body).ok()?;
    answer.body = body;
    Some(answer)
}

/// What the witness gave its signature for: log, size and root, with the time.
type Cosigned = Arc<Mutex<Vec<(String, u64, Hash, u64)>>>;

/// Shows growing trees of one history until the witness dies.
fn submit(address: SocketAddr, history: &MemoryLog, key: &VerifierKey, cosigned: &Cosigned) {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return;
    };
    stream.set_nodelay(true).unwrap();
    let mut known = 0;
    loop {
        let next = (known + 1).min(history.size());
        let request = history.request(known, next);
        let Some(answer) = show(&mut stream, &request) else {
            return;
        };
        let body = String::from_utf8(answer.body).unwrap();
        match answer.status {
            200 => {
                let signature = NoteSignature::parse(body.trim_end()).unwrap();
                let time = key.verify(request.checkpoint.text(), &signature).unwrap();
                let root = history.root_at(next);
                let origin = history.key.name().to_owned();
                let mut cosigned = cosigned.lock().unwrap();
                cosigned.push((origin, next, root, time.unwrap()));
                known = next;
            }
            409 => {
                let size: u64 = body.trim_end().parse().unwrap();
                if size > history.size() || size == known {
                    std::thread::sleep(Duration::from_millis(1));
                }
                known = size.min(history.size());
            }
            // The other history won.
            422 => {
                std::thread::sleep(Duration::from_millis(1));
                known = 0;
            }
            status => panic!("{status}: {body}"),
        }
    }
}

#[test]
fn killed_at_any_moment_it_stays_true_to_what_it_cosigned() {
    ordeal(|_| None);
}

#[test]
fn without_power_at_any_moment_it_stays_true_to_what_it_cosigned() {
    ordeal(|folder| Some(Power::new(folder)));
}

fn ordeal(power: impl Fn(&Path) -> Option<Power>) {
    const CAMPAIGNS: u64 = 8;
    const KILLS: u64 = 9;
    let mut kills_with_work = 0;
    for campaign in 0..CAMPAIGNS {
        let folder = tempfile::tempdir().unwrap();
        let witness = SigningKey::generate("witness.example", KeyKind::Witness).unwrap();
        let mut log = MemoryLog::new("example.com/log");
        log.grow(400, "a");
        let common = usize::try_from(campaign % 3).unwrap();
        let mut fork = log.fork(common);
        fork.grow(400 - common, "b");
        let mut other = MemoryLog::new("example.com/other");
        other.grow(400, "c");
        let key = witness.verifier_key();
        fs::write(folder.path().join("key"), &*witness.to_text()).unwrap();
        let logs = [&log, &other].map(|log| log.key.verifier_key().to_string());
        fs::write(folder.path().join("logs"), logs.join("\n")).unwrap();
        create_witness_folder(&folder.path().join("state"), &key).unwrap();

        let power = power(folder.path());
        let cosigned = Cosigned::default();
        for kill in 0..KILLS {
            let before = cosigned.lock().unwrap().len();
            let running = Running::start(folder.path(), power.as_ref());
            // It knows at least what it cosigned.
            for history in [&log, &other] {
                let largest = largest(&cosigned, history.key.name());
                let mut stream = TcpStream::connect(running.address).unwrap();
                let answer = show(&mut stream, &history.request(400, 400)).unwrap();
                let known = match answer.status {
                    409 => String::from_utf8(answer.body).unwrap(),
                    200 | 422 => "400".to_owned(),
                    status => panic!("{status}"),
                };
                let known: u64 = known.trim_end().parse().unwrap();
                assert!(known >= largest, "it forgot: {known} of {largest}");
            }
            let address = running.address;
            std::thread::scope(|scope| {
                for history in [&log, &fork, &other] {
                    let (cosigned, key) = (&cosigned, &key);
                    scope.spawn(move || submit(address, history, key, cosigned));
                }
                // From before the first write to well into the work.
                let micros = (campaign * 7919 + kill * 3571) % 23_000;
                std::thread::sleep(Duration::from_micros(micros));
                drop(running);
            });
            if let Some(power) = &power {
                power.lose();
            }
            if cosigned.lock().unwrap().len() > before {
                kills_with_work += 1;
            }
        }

        let cosigned = cosigned.lock().unwrap();
        let mut roots = BTreeMap::new();
        for (origin, size, root, _) in cosigned.iter() {
            let known = roots.entry((origin.clone(), *size)).or_insert(*root);
            assert_eq!(known, root, "two roots for size {size} of {origin}");
        }
        // Times never decrease along sizes of one log.
        let mut times = BTreeMap::<&str, (u64, u64)>::new();
        let mut sorted: Vec<_> = cosigned.iter().collect();
        sorted.sort_by_key(|(origin, size, _, time)| (origin.clone(), *size, *time));
        for (origin, size, _, time) in sorted {
            let last = times.entry(origin).or_insert((*size, *time));
            assert!(
                *time >= last.1,
                "size {size} of {origin} was cosigned before {}",
                last.0
            );
            *last = (*size, *time);
        }
    }
    assert!(kills_with_work > CAMPAIGNS * KILLS / 6, "{kills_with_work}");
}

fn largest(cosigned: &Cosigned, origin: &str) -> u64 {
    let cosigned = cosigned.lock().unwrap();
    let sizes = cosigned
        .iter()
        .filter(|(of, ..)| of == origin)
        .map(|(_, size, ..)| *size);
    sizes.max().unwrap_or(0)
}
