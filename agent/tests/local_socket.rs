//! The workload's local socket, by `curl` and by hand.
// Helpers of tests are tests to the lints only when they carry the attribute.
#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing
)]
#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::{Duration, Instant};

use common::users::{ORDINARY, WORKLOAD, skip_without_root};
use common::workloads::run;
use narthex_agent::config::{CounterConfig, LocalSocketConfig};
use narthex_agent::local_socket::{
    Counters, LocalBackend, LocalKey, LocalPolicy, LocalRefusal, LocalSocket,
    LocalSocketStatistics, Readiness, WorkloadAttestation, WorkloadReadiness,
};
use narthex_agent::trusted_time::BootMillis;
use narthex_agent::workload::Owner;
use narthex_channel::diagnostics::State;
use narthex_channel::{Digest384, UnixMillis, workload_user_data};
use nix::unistd::{Gid, Uid};
use zeroize::Zeroizing;

/// A supervisor for tests; its "document" is what it was asked to attest.
struct Backend {
    counters: RefCell<Counters>,
    said: Rc<RefCell<Vec<WorkloadReadiness>>>,
}

impl LocalBackend for Backend {
    async fn attest(&self, request: WorkloadAttestation) -> Result<Vec<u8>, LocalRefusal> {
        workload_user_data(&request.user).map_err(|_| LocalRefusal::ReservedLength)
    }

    fn keys(&self) -> Vec<LocalKey> {
        let key = |name: &str, version, bytes: &[u8]| LocalKey {
            name: name.to_owned(),
            version,
            bytes: Zeroizing::new(bytes.to_vec()),
        };
        vec![key("database", 3, b"\x00key\xff"), key("empty", 1, b"")]
    }

    fn ready(&self) -> Readiness {
        Readiness::WaitingForKeys
    }

    fn set_ready(&self, readiness: WorkloadReadiness) -> Result<(), LocalRefusal> {
        self.said.borrow_mut().push(readiness);
        Ok(())
    }

    fn set_counter(&self, name: &str, value: u64) -> Result<(), LocalRefusal> {
        self.counters
            .borrow_mut()
            .set(name, value, BootMillis(0), UnixMillis(0))
    }

    fn policy(&self) -> Option<LocalPolicy> {
        Some(LocalPolicy {
            version: 7,
            bundle: Digest384::from_bytes([0xab; 48]),
            boot_bundle: Digest384::from_bytes([0xcd; 48]),
            expires: UnixMillis(12_345),
            release: State::Current,
        })
    }
}

struct Scene {
    _directory: tempfile::TempDir,
    path: PathBuf,
    statistics: Rc<LocalSocketStatistics>,
    said: Rc<RefCell<Vec<WorkloadReadiness>>>,
}

/// Serves with this configuration. `owner`: as root, the workload's user; otherwise ourselves.
fn serve(config: &str, owner: Option<Owner>) -> Scene {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let path = directory.path().join("workload.sock");
    let config: LocalSocketConfig = toml::from_str(config).unwrap();
    let socket = LocalSocket::bind(&config, &path, owner).unwrap();
    let statistics = socket.statistics();
    let said = Rc::default();
    let declared = CounterConfig {
        name: "served".to_owned(),
        min: 0,
        max: 100,
        step: 10,
    };
    let backend = Backend {
        counters: RefCell::new(Counters::declare(&[declared])),
        said: Rc::clone(&said),
    };
    tokio::task::spawn_local(socket.serve(backend));
    Scene {
        _directory: directory,
        path,
        statistics,
        said,
    }
}

/// Runs `curl` beside the server, as `user`; its standard output, status code last.
async fn curl_as(user: Option<u32>, path: &Path, arguments: &[&str]) -> (Vec<u8>, u16) {
    let mut command = Command::new("curl");
    command
        .args([
            "--silent",
            "--max-time",
            "20",
            "--write-out",
            "%{http_code}",
            "--unix-socket",
        ])
        .arg(path)
        .args(arguments);
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .unwrap()
        .unwrap();
    let mut body = output.stdout;
    let code = body.split_off(body.len() - 3);
    (body, String::from_utf8(code).unwrap().parse().unwrap())
}

async fn curl(scene: &Scene, arguments: &[&str]) -> (String, u16) {
    let (body, code) = curl_as(None, &scene.path, arguments).await;
    (String::from_utf8_lossy(&body).into_owned(), code)
}

#[test]
fn every_request_by_curl() {
    run(async {
        let scene = serve("", None);
        let keys = curl(&scene, &["http://agent/v1/keys"]).await;
        let listed = r#"{"keys":[{"name":"database","version":3},{"name":"empty","version":1}]}"#;
        assert_eq!(keys, (format!("{listed}\n"), 200));
        let key = curl_as(None, &scene.path, &["http://agent/v1/keys/database"]).await;
        assert_eq!(key, (b"\x00key\xff".to_vec(), 200));
        assert_eq!(
            curl(&scene, &["http://agent/v1/keys/empty"]).await,
            (String::new(), 200)
        );
        let unknown = curl(&scene, &["http://agent/v1/keys/other"]).await;
        assert_eq!(
            unknown,
            ("{\"error\":\"local.unknown_key\"}\n".to_owned(), 404)
        );

        let raw = curl(
            &scene,
            &["--data-binary", "abc", "http://agent/v1/attestation"],
        )
        .await;
        assert_eq!(raw, ("narthex/v1/workload\0abc".to_owned(), 200));
        let json = [
            "--json",
            r#"{"user_data":"YWJj"}"#,
            "http://agent/v1/attestation",
        ];
        assert_eq!(
            curl(&scene, &json).await,
            ("narthex/v1/workload\0abc".to_owned(), 200)
        );
        let reserved = "x".repeat(28);
        let refused = curl(&scene, &["-d", &reserved, "http://agent/v1/attestation"]).await;
        assert_eq!(
            refused,
            ("{\"error\":\"local.reserved_length\"}\n".to_owned(), 400)
        );
        assert_eq!(scene.statistics.documents(), 2);

        let waiting = curl(&scene, &["http://agent/v1/ready"]).await;
        assert_eq!(
            waiting,
            ("{\"state\":\"waiting-for-keys\"}\n".to_owned(), 503)
        );
        let ready = ["-X", "PUT", "http://agent/v1/ready"];
        assert_eq!(curl(&scene, &ready).await, (String::new(), 204));
        let unready = ["-X", "DELETE", "http://agent/v1/ready"];
        assert_eq!(curl(&scene, &unready).await, (String::new(), 204));
        assert_eq!(
            *scene.said.borrow(),
            [WorkloadReadiness::Ready, WorkloadReadiness::NotReady]
        );

        let put = |value| ["-X", "PUT", "-d", value, "http://agent/v1/counters/served"];
        assert_eq!(curl(&scene, &put("50")).await, (String::new(), 204));
        let soon = curl(&scene, &put("60")).await;
        assert_eq!(soon, ("{\"error\":\"local.too_soon\"}\n".to_owned(), 429));
        let range = curl(&scene, &put("101")).await;
        assert_eq!(
            range,
            ("{\"error\":\"local.out_of_range\"}\n".to_owned(), 400)
        );

        let (policy, code) = curl(&scene, &["http://agent/v1/policy"]).await;
        assert_eq!(code, 200);
        assert!(
            policy.contains(&format!("\"bundle_sha384\":\"{}\"", "ab".repeat(48))),
            "{policy}"
        );
        assert!(policy.contains("\"release\":\"current\""), "{policy}");
        let missing = curl(&scene, &["http://agent/v1/shell"]).await;
        assert_eq!(
            missing,
            ("{\"error\":\"local.not_found\"}\n".to_owned(), 404)
        );
        let method = curl(&scene, &["-i", "-X", "POST", "http://agent/v1/keys"]).await;
        assert!(
            method.0.to_lowercase().contains("allow: get\r\n"),
            "{}",
            method.0
        );
        assert_eq!(method.1, 405);
        assert_eq!(scene.statistics.refused(), 6);
    });
}

#[test]
fn the_socket_is_the_workloads_and_nobody_elses() {
    if skip_without_root("the_socket_is_the_workloads_and_nobody_elses") {
        return;
    }
    run(async {
        let owner = Owner {
            user: Uid::from_raw(WORKLOAD),
            group: Gid::from_raw(WORKLOAD),
        };
        let scene = serve("", Some(owner));
        let url = ["http://agent/v1/keys"];
        assert_eq!(curl_as(Some(WORKLOAD), &scene.path, &url).await.1, 200);
        // Root passes the file's mode, and is turned away by the peer's user.
        assert_eq!(curl_as(None, &scene.path, &url).await.1, 0);
        assert_eq!(scene.statistics.strangers(), 1);
        assert_eq!(curl_as(Some(ORDINARY), &scene.path, &url).await.1, 0);
        assert_eq!(scene.statistics.strangers(), 1, "the file's mode stops it");
        std::fs::set_permissions(&scene.path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(curl_as(Some(ORDINARY), &scene.path, &url).await.1, 0);
        assert_eq!(
            scene.statistics.strangers(),
            2,
            "and without it the peer's user does"
        );
    });
}

#[test]
fn bodies_headers_and_rates_are_bounded() {
    run(async {
        let scene = serve("attestations_per_minute = 2", None);
        let big = "x".repeat(4097);
        let stated = curl(&scene, &["-d", &big, "http://agent/v1/attestation"]).await;
        assert_eq!(
            stated,
            ("{\"error\":\"local.body_too_large\"}\n".to_owned(), 413)
        );
        let header = "Transfer-Encoding: chunked";
        let chunked = ["-H", header, "-d", &big, "http://agent/v1/attestation"];
        assert_eq!(curl(&scene, &chunked).await.1, 413);
        let long = format!("X-Long: {}", "x".repeat(9000));
        assert_eq!(
            curl(&scene, &["-H", &long, "http://agent/v1/keys"]).await.1,
            431
        );
        for wanted in [200, 200, 429] {
            assert_eq!(
                curl(&scene, &["-d", "x", "http://agent/v1/attestation"])
                    .await
                    .1,
                wanted
            );
        }
    });
}

/// Writes `bytes`, and returns what comes back until the server closes, and how long that took.
async fn by_hand(path: &Path, bytes: &'static [u8]) -> (String, Duration) {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut stream = UnixStream::connect(path).unwrap();
        let began = Instant::now();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        (
            String::from_utf8_lossy(&answer).into_owned(),
            began.elapsed(),
        )
    })
    .await
    .unwrap()
}

#[test]
fn a_client_that_dawdles_is_not_waited_for() {
    run(async {
        let scene = serve("timeout_seconds = 1", None);
        for bytes in [
            &b""[..],
            b"GET /v1/keys HT",
            b"GET /v1/keys HTTP/1.1\r\nHost: a\r\n",
            b"POST /v1/attestation HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
            b"GET /v1/ready HTTP/1.1\r\nHost: a\r\n\r\n", // And then silence on a kept connection.
        ] {
            let (_, took) = by_hand(&scene.path, bytes).await;
            assert!(
                took < Duration::from_secs(5),
                "{took:?}: {}",
                String::from_utf8_lossy(bytes)
            );
        }
    });
}

#[test]
fn more_connections_than_allowed_wait_and_are_served() {
    run(async {
        let scene = serve("connections = 1\ntimeout_seconds = 1", None);
        let idle = UnixStream::connect(&scene.path).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(
            curl(&scene, &["http://agent/v1/keys"]).await.1,
            200,
            "after the idle one's time"
        );
        drop(idle);
    });
}

#[test]
fn garbage_is_answered_or_dropped_and_the_next_client_served() {
    run(async {
        let scene = serve("timeout_seconds = 1", None);
        for bytes in [
            &b"\x00\x01\x02\xff\xfe\r\n\r\n"[..],
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET /v1/keys HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ] {
            let (answer, _) = by_hand(&scene.path, bytes).await;
            assert!(!answer.contains("200 OK"), "{answer}");
        }
        assert_eq!(curl(&scene, &["http://agent/v1/keys"]).await.1, 200);
    });
}

#[test]
fn a_socket_left_behind_is_replaced_and_anything_else_is_not() {
    run(async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("s");
        let config: LocalSocketConfig = toml::from_str("").unwrap();
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let bound = LocalSocket::bind(&config, &path, None).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        drop(bound);
        assert!(!path.exists());
        std::fs::write(&path, "a file").unwrap();
        let Err(refused) = LocalSocket::bind(&config, &path, None) else {
            panic!("bound")
        };
        assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"a file");
    });
}
