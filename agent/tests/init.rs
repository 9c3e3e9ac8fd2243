//! Process 1's watch over the supervisor: whatever becomes of it is said to console and parent, orphans are
//! collected, and no parent holds it up.
//!
//! The test program starts itself again: as process 1 (`--watch ROLE SOCKET`), which starts it once more as a supervisor
//! that behaves as ROLE says. The machine's own preparation (mounts, kernel settings) is tested in virtual machines only: it
//! would change the machine that runs the tests.

// A test's helpers may panic: that is how they say what they found.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use narthex_agent::init::code::BootCode;
use narthex_agent::init::process_one::{Announcer, STATUS_LIMIT, supervise};
use narthex_agent::init::status::{BootReporter, BootStatus, Stage};
use narthex_channel::Address;
use nix::sys::prctl;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, raise};

/// How a supervisor behaves.
struct Role {
    name: &'static str,
    behave: fn(&BootReporter) -> u8,
    /// How process 1 says that it ended, beyond what it said itself.
    verdict: BootCode,
    /// Every line of the console, `narthex-agent: ` aside.
    console: &'static [&'static str],
    /// The last status.
    last: BootStatus,
}

const fn status(stage: Stage, code: BootCode) -> BootStatus {
    BootStatus { stage, code }
}

const ROLES: [Role; 9] = [
    Role {
        name: "ends-in-good-order",
        behave: |reporter| {
            reporter.say(Stage::Waiting, BootCode::None);
            reporter.say(Stage::Waiting, BootCode::PolicyConnection);
            reporter.say(Stage::Serving, BootCode::None);
            reporter.say(Stage::ShuttingDown, BootCode::None);
            0
        },
        verdict: BootCode::None,
        console: &[
            "boot begun",
            "waiting for a policy",
            "waiting for a policy: policy.connection (0x0801)",
            "serving",
            "shutting down",
        ],
        last: status(Stage::ShuttingDown, BootCode::None),
    },
    Role {
        name: "refuses-this-machine",
        behave: |reporter| {
            reporter.say(Stage::Failed, BootCode::EntropyRngCurrent);
            3
        },
        verdict: BootCode::None,
        console: &["boot begun", "boot failed: entropy.rng_current (0x0201)"],
        last: status(Stage::Failed, BootCode::EntropyRngCurrent),
    },
    Role {
        name: "fails-while-serving",
        behave: |reporter| {
            reporter.say(Stage::Serving, BootCode::None);
            reporter.say(Stage::Failed, BootCode::SandboxSeccomp);
            3
        },
        verdict: BootCode::None,
        console: &["boot begun", "serving", "failed: sandbox.seccomp (0x0918)"],
        last: status(Stage::Failed, BootCode::SandboxSeccomp),
    },
    Role {
        name: "aborts",
        behave: |_| std::process::abort(),
        verdict: BootCode::SupervisorPanicked,
        console: &["boot begun", "boot failed: supervisor.panicked (0x0a01)"],
        last: status(Stage::Failed, BootCode::SupervisorPanicked),
    },
    Role {
        name: "is-killed-while-serving",
        behave: |reporter| {
            reporter.say(Stage::Serving, BootCode::None);
            raise(Signal::SIGKILL).map_or(1, |()| 0)
        },
        verdict: BootCode::SupervisorKilled,
        console: &[
            "boot begun",
            "serving",
            "failed: supervisor.killed (0x0a02)",
        ],
        last: status(Stage::Failed, BootCode::SupervisorKilled),
    },
    Role {
        name: "ends-without-a-word",
        behave: |_| 0,
        verdict: BootCode::SupervisorEnded,
        console: &["boot begun", "boot failed: supervisor.ended (0x0a03)"],
        last: status(Stage::Failed, BootCode::SupervisorEnded),
    },
    Role {
        name: "talks-nonsense",
        behave: |_| {
            // Whole records, of which none is one: a stage and codes that do not exist.
            let pipe = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
            let mut pipe = std::fs::File::from(pipe);
            pipe.write_all(&[9, 0, 0, 1, 0xff, 0xff]).unwrap();
            0
        },
        verdict: BootCode::SupervisorEnded,
        console: &["boot begun", "boot failed: supervisor.ended (0x0a03)"],
        last: status(Stage::Failed, BootCode::SupervisorEnded),
    },
    Role {
        name: "closes-its-pipe",
        behave: |_| {
            nix::unistd::dup2_stdin(std::fs::File::open("/dev/null").unwrap()).unwrap();
            // `main` keeps a copy in the reporter only for roles that report.
            std::thread::sleep(Duration::from_millis(700));
            0
        },
        verdict: BootCode::SupervisorEnded,
        console: &["boot begun", "boot failed: supervisor.ended (0x0a03)"],
        last: status(Stage::Failed, BootCode::SupervisorEnded),
    },
    Role {
        name: "has-children-and-orphans",
        behave: |reporter| {
            // Children of our own are ours to wait for; those whose parents went are not.
            for code in 1..20 {
                let script = format!("sleep 0.05 & sh -c 'sleep 0.02 & exit 0'; exit {code}");
                let mut child = Command::new("sh").args(["-c", &script]).spawn().unwrap();
                assert_eq!(child.wait().unwrap().code(), Some(code));
            }
            let watcher = nix::unistd::getppid().as_raw();
            let end = Instant::now() + Duration::from_secs(10);
            while children_of(watcher) > 1 {
                assert!(Instant::now() < end, "orphans were left");
                std::thread::sleep(Duration::from_millis(10));
            }
            reporter.say(Stage::ShuttingDown, BootCode::None);
            0
        },
        verdict: BootCode::None,
        console: &["boot begun", "shutting down"],
        last: status(Stage::ShuttingDown, BootCode::None),
    },
];

/// How a parent behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Parent {
    /// Reads the message and closes.
    Listens,
    /// Reads nothing and never closes.
    Holds,
    /// Closes before it has read.
    HangsUp,
    /// Sends without end.
    Floods,
    /// Is not there.
    Absent,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--watch", role, socket] => watch(role, Path::new(socket)),
        ["--role", role] => play(role),
        // A filter of `cargo test`, or nothing.
        _ => {
            run(arguments.iter().find(|word| !word.starts_with("--")));
            ExitCode::SUCCESS
        }
    }
}

fn role(name: &str) -> &'static Role {
    ROLES.iter().find(|role| role.name == name).unwrap()
}

fn play(name: &str) -> ExitCode {
    let reporter = if matches!(name, "closes-its-pipe" | "talks-nonsense") {
        BootReporter::silent()
    } else {
        let pipe = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
        BootReporter::to_pipe(pipe).unwrap()
    };
    ExitCode::from((role(name).behave)(&reporter))
}

/// As process 1 does, but for the restart.
fn watch(role: &str, socket: &Path) -> ExitCode {
    prctl::set_child_subreaper(true).unwrap(); // Process 1 gets all orphans; so does a subreaper.
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--role", role]);
    let mut announcer = Announcer::new(Address::Unix(socket.to_owned()));
    let verdict = match supervise(command, &mut announcer) {
        Ok(()) => BootCode::None,
        Err(code) => {
            announcer.fail(code);
            code
        }
    };
    let used = getrusage(UsageWho::RUSAGE_SELF).unwrap();
    let used = used.user_time() + used.system_time();
    println!("{} {}", verdict.id(), used.num_milliseconds_of_all());
    ExitCode::SUCCESS
}

/// Milliseconds of a time that the kernel gives in seconds and microseconds.
trait Milliseconds {
    fn num_milliseconds_of_all(&self) -> i64;
}

impl Milliseconds for nix::sys::time::TimeVal {
    fn num_milliseconds_of_all(&self) -> i64 {
        self.tv_sec() * 1000 + self.tv_usec() / 1000
    }
}

fn run(filter: Option<&String>) {
    let mut tests: Vec<(String, Box<dyn Fn()>)> = Vec::new();
    for role in &ROLES {
        tests.push((
            format!("a_supervisor_that_{}", role.name.replace('-', "_")),
            Box::new(move || every_end_is_said(role)),
        ));
    }
    for parent in [
        Parent::Holds,
        Parent::HangsUp,
        Parent::Floods,
        Parent::Absent,
    ] {
        tests.push((
            format!("a_parent_that_{parent:?}").to_lowercase(),
            Box::new(move || no_parent_holds_it_up(parent)),
        ));
    }
    for (name, test) in tests {
        if filter.is_none_or(|filter| name.contains(filter.as_str())) {
            test();
            println!("test {name} ... ok");
        }
    }
}

/// What came of one watch.
struct Watched {
    verdict: String,
    processor_millis: u64,
    console: Vec<String>,
    statuses: Vec<BootStatus>,
    took: Duration,
}

fn watched(role: &str, conduct: Parent) -> Watched {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("status");
    let statuses = Arc::new(Mutex::new(Vec::new()));
    if conduct != Parent::Absent {
        listen(&socket, conduct, &statuses);
    }
    let begun = Instant::now();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--watch", role])
        .arg(&socket)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let took = begun.elapsed();
    let said = String::from_utf8(output.stdout).unwrap();
    let console = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{console}");
    let (verdict, millis) = said.trim().split_once(' ').unwrap();
    let line = |line: &str| line.strip_prefix("narthex-agent: ").map(str::to_owned);
    Watched {
        verdict: verdict.to_owned(),
        processor_millis: millis.parse().unwrap(),
        console: console
            .lines()
            .map(|text| line(text).unwrap_or_else(|| panic!("{role}: {console}")))
            .collect(),
        statuses: statuses.lock().unwrap().clone(),
        took,
    }
}

fn listen(socket: &PathBuf, conduct: Parent, statuses: &Arc<Mutex<Vec<BootStatus>>>) {
    let listener = UnixListener::bind(socket).unwrap();
    let statuses = statuses.clone();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            match conduct {
                Parent::Listens => {
                    let mut message = [0; 16];
                    stream.read_exact(&mut message).unwrap();
                    let status = BootStatus::decode(&message).expect("a status");
                    statuses.lock().unwrap().push(status);
                }
                Parent::Holds => held.push(stream),
                Parent::HangsUp | Parent::Absent => drop(stream),
                Parent::Floods => {
                    std::thread::spawn(move || while stream.write_all(&[0; 4096]).is_ok() {});
                }
            }
        }
    });
}

fn every_end_is_said(role: &Role) {
    let watched = watched(role.name, Parent::Listens);
    assert_eq!(watched.verdict, role.verdict.id(), "{}", role.name);
    assert_eq!(watched.console, role.console, "{}", role.name);
    assert_eq!(
        watched.statuses.first(),
        Some(&status(Stage::Begun, BootCode::None))
    );
    assert_eq!(watched.statuses.last(), Some(&role.last), "{}", role.name);
    assert!(
        watched.processor_millis < 300,
        "{} ms of processor time: it does not sleep",
        watched.processor_millis
    );
}

/// The console says everything, and each burst costs the limit at most once.
fn no_parent_holds_it_up(conduct: Parent) {
    let role = &ROLES[0];
    let watched = watched(role.name, conduct);
    assert_eq!(watched.console, role.console, "{conduct:?}");
    // The first message, and at most one for each that follows.
    let most = STATUS_LIMIT * 5 + Duration::from_secs(1);
    assert!(watched.took < most, "{conduct:?}: {:?}", watched.took);
    if conduct == Parent::Absent || conduct == Parent::HangsUp {
        assert!(watched.took < STATUS_LIMIT, "{:?}", watched.took);
    }
}

fn children_of(parent: i32) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let parent = parent.to_string();
    processes
        // Not `self`, which is one of the others.
        .filter(|entry| entry.file_name().to_string_lossy().parse::<i32>().is_ok())
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| {
            let after_name = stat.rsplit(')').next().unwrap_or_default();
            after_name.split_whitespace().nth(1) == Some(parent.as_str())
        })
        .count()
}
