//! Secrets planted everywhere in a workload never leave in the result of a read action (claim C2).
//!
//! The results are encoded as they are sent, for every action, several times while the workload
//! runs, after it has died, and after it was started again; and every byte is searched for every
//! secret in every form that [`Canary`] knows. `tests/common/canary.rs` is the part to reuse over a
//! whole system.
// Helpers of tests are tests to the lints only when they carry the attribute.
#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing
)]
#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use common::canary::{Canary, assert_no_canary};
use common::users::{WORKLOAD, as_ordinary_user, is_root};
use common::workloads::{Place, agent, key, run, until};
use narthex_agent::config::{CounterConfig, LocalSocketConfig};
use narthex_agent::local_socket::{
    Counters, LocalBackend, LocalKey, LocalPolicy, LocalRefusal, LocalSocket, Readiness,
    WorkloadAttestation, WorkloadReadiness,
};
use narthex_agent::mode::{Mode, Privileges};
use narthex_agent::probes::Probes;
use narthex_agent::trusted_time::BootMillis;
use narthex_agent::workload::{Owner, WorkloadHandle, WorkloadSettings, WorkloadState, spawn};
use narthex_channel::diagnostics::{Action, CallAnswer, Field, LogCheck, ResultBody};
use narthex_channel::{Message, UnixMillis};
use nix::unistd::{Gid, Uid};
use zeroize::Zeroizing;

/// The variable by which this test's binary knows that it is the workload; it names the directory
/// to write to.
const ROLE: &str = "NARTHEX_TEST_CANARY_WORKLOAD";

// Each its own, so that the message of a failure names the leak. Process and thread names have 15
// bytes at most.
const MEMORY: &str = "Mem0ry-Canary-1f9b";
const ENVIRONMENT: &str = "Env1ronment-Canary-77aa";
const ARGUMENT: &str = "Argum3nt-Canary-90cd";
const FILE: &str = "F1le-Canary-3e5d";
const FILE_NAME: &str = "FileN4me-Canary-ab12";
const PROCESS_NAME: &str = ")R 1 (Cnry-7Pn)";
const THREAD_NAME: &str = "Thr3ad-Cnry-88";
const SOCKET_NAME: &str = "S0cket-Canary-01de";
const COUNTER: &str = "C0unter-Canary-55fe";
const OUTPUT: &str = "0utput-Canary-c3c3";
const ERROR_OUTPUT: &str = "Err0r-Canary-d4d4";
const EXIT_MESSAGE: &str = "Ex1t-Canary-e5e5";
const KEY: &[u8] = b"K3y-Canary-f6f6-\x00\xff";
const KERNEL_MESSAGE: &str = "Kern3l-Canary-4b4b";

fn canaries() -> Vec<Canary> {
    vec![
        Canary::new("memory", MEMORY.as_bytes()),
        Canary::new("the environment", ENVIRONMENT.as_bytes()),
        Canary::new("an argument", ARGUMENT.as_bytes()),
        Canary::new("a file", FILE.as_bytes()),
        Canary::new("a file's name", FILE_NAME.as_bytes()),
        Canary::new("a process's name", PROCESS_NAME.as_bytes()),
        Canary::new("a thread's name", THREAD_NAME.as_bytes()),
        Canary::new("a socket's name", SOCKET_NAME.as_bytes()),
        Canary::new("an attempt at a counter", COUNTER.as_bytes()),
        Canary::new("standard output", OUTPUT.as_bytes()),
        Canary::new("standard error", ERROR_OUTPUT.as_bytes()),
        Canary::new("an exit message", EXIT_MESSAGE.as_bytes()),
        Canary::new("a key", KEY),
        Canary::new("a kernel message", KERNEL_MESSAGE.as_bytes()),
    ]
}

/// Not a test of its own: what the workload does, when this binary is started as one.
#[test]
fn the_workload() {
    let Some(out) = std::env::var_os(ROLE) else {
        return;
    };
    let out = PathBuf::from(out);
    let memory: Vec<Vec<u8>> = (0..1000).map(|_| MEMORY.as_bytes().to_vec()).collect();
    nix::sys::prctl::set_name(&std::ffi::CString::new(PROCESS_NAME).unwrap()).unwrap();
    let spawned = std::thread::Builder::new()
        .name(THREAD_NAME.to_owned())
        .spawn(|| {
            nix::sys::prctl::set_name(&std::ffi::CString::new(THREAD_NAME).unwrap()).unwrap();
            std::thread::sleep(std::time::Duration::from_secs(60));
        });
    fs::write(out.join("content"), FILE).unwrap();
    let _open = fs::File::create(out.join(FILE_NAME)).unwrap();
    fs::create_dir_all(out.join(format!("{FILE_NAME}.d"))).unwrap();
    let _temporary = fs::write(format!("/tmp/{FILE_NAME}-{}", std::process::id()), FILE);
    let abstract_name = SocketAddr::from_abstract_name(SOCKET_NAME).unwrap();
    let _listener = UnixListener::bind_addr(&abstract_name);
    println!("{OUTPUT}");
    std::io::stdout().write_all(OUTPUT.as_bytes()).unwrap();
    eprintln!("{ERROR_OUTPUT}");
    let got = fs::read(Path::new(&std::env::var_os("NARTHEX_KEYS").unwrap()).join("key")).unwrap();
    assert_eq!(got, KEY);
    for request in [
        format!("PUT /v1/counters/{COUNTER} HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n5"),
        format!(
            "PUT /v1/counters/served HTTP/1.1\r\nHost: {COUNTER}\r\nX: {COUNTER}\r\nContent-Length: {}\r\n\r\n{COUNTER}",
            COUNTER.len()
        ),
        format!("{COUNTER} /v1/{COUNTER}?{COUNTER} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET /v1/keys/{COUNTER} HTTP/1.1\r\nHost: a\r\n\r\n"),
        "PUT /v1/counters/served HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n42".to_owned(),
        "PUT /v1/ready HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_owned(),
    ] {
        let mut socket = UnixStream::connect(std::env::var_os("NARTHEX_SOCKET").unwrap()).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut answer = [0; 512];
        assert!(socket.read(&mut answer).unwrap() > 0);
    }
    fs::write(out.join("up"), "").unwrap();
    while !out.join("die").exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(memory.len() == 1000 && spawned.is_ok());
    eprintln!("{EXIT_MESSAGE}");
    panic!("{EXIT_MESSAGE}");
}

/// The supervisor's part that the workload talks to.
struct Backend {
    counters: Rc<RefCell<Counters>>,
    workload: WorkloadHandle,
}

impl LocalBackend for Backend {
    async fn attest(&self, _: WorkloadAttestation) -> Result<Vec<u8>, LocalRefusal> {
        Err(LocalRefusal::NsmFailed)
    }

    fn keys(&self) -> Vec<LocalKey> {
        vec![LocalKey {
            name: "key".to_owned(),
            version: 1,
            bytes: Zeroizing::new(KEY.to_vec()),
        }]
    }

    fn ready(&self) -> Readiness {
        Readiness::Ready
    }

    fn set_ready(&self, readiness: WorkloadReadiness) -> Result<(), LocalRefusal> {
        self.workload.set_ready(readiness)
    }

    fn set_counter(&self, name: &str, value: u64) -> Result<(), LocalRefusal> {
        self.counters
            .borrow_mut()
            .set(name, value, BootMillis(0), UnixMillis(0))
    }

    fn policy(&self) -> Option<LocalPolicy> {
        None
    }
}

struct Scene {
    workload: WorkloadHandle,
    counters: Rc<RefCell<Counters>>,
    statistics: Rc<narthex_agent::local_socket::LocalSocketStatistics>,
    actions_with_fields: usize,
}

impl Scene {
    /// Every byte that the read actions would send now; and what a person could be shown of errors
    /// and states on the way.
    fn search(&mut self, when: &str, canaries: &[Canary]) {
        // New probes: nothing comes from an earlier sample.
        let probes = probes().with_local_socket(Rc::clone(&self.statistics));
        self.actions_with_fields = 0;
        for &action in Action::ALL {
            let fields: Vec<Field> = if action == Action::Counters {
                self.counters.borrow().fields()
            } else {
                probes.read(action, &self.workload, UnixMillis(1_700_000_000_000))
            };
            self.actions_with_fields += usize::from(!fields.is_empty());
            let shown = format!("{fields:?}");
            let log_check = LogCheck::Required;
            let answer = CallAnswer::Done(ResultBody {
                action,
                log_check,
                fields,
            });
            let bytes = answer.to_bytes().unwrap();
            assert_no_canary(&format!("{action} {when}"), &bytes, canaries);
            assert_no_canary(
                &format!("{action} as text {when}"),
                shown.as_bytes(),
                canaries,
            );
        }
        let snapshot = format!("{:?}", self.workload.snapshot());
        assert_no_canary(
            &format!("the snapshot {when}"),
            snapshot.as_bytes(),
            canaries,
        );
    }
}

fn probes() -> Probes {
    Probes::default()
}

fn nothing_of_the_workload_leaves_here() {
    // The workload's user must reach this binary, which may lie where only its builder may look.
    let place = Place::new();
    let program = place.runtime().parent().unwrap().join("workload");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(place.runtime()).unwrap();
    fs::set_permissions(place.runtime(), fs::Permissions::from_mode(0o711)).unwrap();

    let mut config = place.config("", "restart = \"always\"\nrestart_delay_millis = 10");
    config.command = program;
    config.arguments = ["--exact", "the_workload", "--nocapture", ARGUMENT]
        .map(str::to_owned)
        .into();
    config
        .environment
        .insert("SECRET".to_owned(), ENVIRONMENT.to_owned());
    config
        .environment
        .insert(ENVIRONMENT.replace('-', "_"), "x".to_owned());
    config
        .environment
        .insert(ROLE.to_owned(), place.out().to_str().unwrap().to_owned());
    let socket_path = place.runtime().join("workload.sock");
    let settings = WorkloadSettings::resolve(
        &config,
        &place.runtime(),
        Some(&socket_path),
        Mode::Local,
        Privileges::current(),
    )
    .unwrap()
    .with_shepherd_program(agent());

    run(async {
        let canaries = canaries();
        let workload = spawn(Some(settings));
        let owner = is_root().then(|| Owner {
            user: Uid::from_raw(WORKLOAD),
            group: Gid::from_raw(WORKLOAD),
        });
        let socket_config: LocalSocketConfig = toml::from_str("").unwrap();
        let socket = LocalSocket::bind(&socket_config, &socket_path, owner).unwrap();
        let declared = CounterConfig {
            name: "served".to_owned(),
            min: 0,
            max: 100,
            step: 1,
        };
        let counters = Rc::new(RefCell::new(Counters::declare(&[declared])));
        let statistics = socket.statistics();
        let backend = Backend {
            counters: Rc::clone(&counters),
            workload: workload.clone(),
        };
        tokio::task::spawn_local(socket.serve(backend));
        let mut scene = Scene {
            workload,
            counters,
            statistics,
            actions_with_fields: 0,
        };
        let workload = scene.workload.clone();

        scene.search("before it starts", &canaries);
        workload.deliver_keys(vec![key("key", KEY)]).await.unwrap();
        workload.start().await.unwrap();
        until("the workload is up", || place.out().join("up").exists()).await;
        if is_root() {
            let message = format!("<3>{KERNEL_MESSAGE}[1]: segfault at {KERNEL_MESSAGE}\n");
            let _ = fs::write("/dev/kmsg", message);
        }
        // It did what it was meant to: the search is over results that know of it.
        assert!(workload.snapshot().ready);
        assert_eq!(scene.statistics.refused(), 4);
        for round in 0..5 {
            scene.search(&format!("while it runs, round {round}"), &canaries);
            assert_eq!(scene.actions_with_fields, 11, "every reading has fields");
        }

        fs::write(place.out().join("die"), "").unwrap();
        until("it dies and is started again", || {
            workload.snapshot().restarts >= 1
        })
        .await;
        assert!(workload.snapshot().output_bytes > 0 && workload.snapshot().error_bytes > 0);
        for round in 0..5 {
            scene.search(&format!("while it dies, round {round}"), &canaries);
        }
        workload.stop(None).await.unwrap();
        assert_eq!(workload.snapshot().state, WorkloadState::Stopped);
        scene.search("after its end", &canaries);
        let error = workload
            .restart(None)
            .await
            .map_err(|error| format!("{error} {error:?}"));
        workload.stop(None).await.unwrap();
        assert_no_canary("an error", format!("{error:?}").as_bytes(), &canaries);
    });
    // What it left beside its own directory.
    for entry in fs::read_dir("/tmp").unwrap().flatten() {
        if entry.file_name().to_string_lossy().starts_with(FILE_NAME) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[test]
fn nothing_of_the_workload_leaves() {
    if is_root() {
        nothing_of_the_workload_leaves_here();
    }
    as_ordinary_user(
        "nothing_of_the_workload_leaves",
        nothing_of_the_workload_leaves_here,
    );
}

#[test]
fn the_search_would_find_a_leak() {
    // What a careless field would do: pass eight chosen bytes on as a number.
    let chosen = u64::from_be_bytes(*b"C4nary!!");
    let field = Field::single(
        narthex_channel::diagnostics::FieldName::MemoryFree,
        narthex_channel::diagnostics::Value::Bytes(chosen),
    );
    let body = ResultBody {
        action: Action::Memory,
        log_check: LogCheck::Required,
        fields: vec![field],
    };
    let bytes = CallAnswer::Done(body).to_bytes().unwrap();
    let canary = Canary::new("a number", b"C4nary!!");
    assert_eq!(canary.found_in(&bytes), Some("raw"));
}
