//! The server for readers, against readers of every kind.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
#![allow(clippy::unreachable)] // Tests say by panicking.

mod http_support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_support::{Answer, MemoryLog, Recorder, ask, connect, listen, send, send_raw, shared};
use narthex_ledger::tokio::{Everyone, Gatekeeper, LogServer, ServeLimits, ServeStatistics};
use narthex_ledger::{LogStore, Resource, StoreError, encode_entries};
use tokio::sync::oneshot;

struct Serving {
    address: SocketAddr,
    statistics: Arc<ServeStatistics>,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

async fn serve(
    store: Arc<dyn LogStore>,
    gatekeeper: Arc<dyn Gatekeeper>,
    limits: ServeLimits,
) -> Serving {
    let (listener, address) = listen().await;
    let server = LogServer::new(store, gatekeeper, limits);
    let statistics = server.statistics();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        server
            .serve(vec![listener], async {
                let _ = stopped.await;
            })
            .await;
    });
    Serving {
        address,
        statistics,
        stop,
        task,
    }
}

async fn serve_everyone(store: Arc<dyn LogStore>) -> Serving {
    serve(store, Arc::new(Everyone), ServeLimits::default()).await
}

fn quick() -> ServeLimits {
    ServeLimits {
        connections: 4,
        head: Duration::from_millis(400),
        stall: Duration::from_millis(400),
        body: Duration::from_millis(800),
        lifetime: Duration::from_secs(5),
        drain: Duration::from_secs(2),
    }
}

fn log_of(size: usize) -> MemoryLog {
    let mut log = MemoryLog::new("example.com/log");
    log.grow(size, "a");
    log
}

const FOR_EVER: &str = "public, max-age=31536000, immutable";
const BYTES: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";

#[tokio::test]
async fn each_resource_has_its_type_and_its_time_in_caches() {
    let mut log = log_of(300);
    let digest = "ab".repeat(48);
    for (path, bytes) in [
        (format!("evidence/{digest}"), b"evidence".to_vec()),
        ("epoch/0/checkpoint".to_owned(), b"old".to_vec()),
        ("epoch/0/tile/0/000.p/1".to_owned(), vec![7; 32]),
        (format!("epoch/0/evidence/{digest}"), b"older".to_vec()),
    ] {
        log.files.insert(path, bytes);
    }
    let files = log.files.clone();
    let serving = serve_everyone(shared(log)).await;
    for (path, content_type, cache) in [
        ("checkpoint".to_owned(), TEXT, "no-cache"),
        ("tile/0/000".to_owned(), BYTES, FOR_EVER),
        ("tile/0/001.p/44".to_owned(), BYTES, FOR_EVER),
        ("tile/1/000.p/1".to_owned(), BYTES, FOR_EVER),
        ("tile/entries/000".to_owned(), BYTES, FOR_EVER),
        ("tile/entries/001.p/44".to_owned(), BYTES, FOR_EVER),
        (format!("evidence/{digest}"), BYTES, "no-store"),
        ("epoch/0/checkpoint".to_owned(), TEXT, "no-cache"),
        ("epoch/0/tile/0/000.p/1".to_owned(), BYTES, FOR_EVER),
        (format!("epoch/0/evidence/{digest}"), BYTES, "no-store"),
    ] {
        let answer = ask(serving.address, "GET", &format!("/{path}"), "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.body, files[&path], "{path}");
        assert_eq!(answer.header("content-type"), content_type, "{path}");
        assert_eq!(answer.header("cache-control"), cache, "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");

        let head = ask(serving.address, "HEAD", &format!("/{path}"), "").await;
        assert_eq!(head.status, 200, "{path}");
        assert!(head.body.is_empty(), "{path}");
        for name in ["content-type", "cache-control", "content-length"] {
            assert_eq!(head.header(name), answer.header(name), "{path}");
        }

        let authorized = ask(
            serving.address,
            "GET",
            &format!("/{path}"),
            "authorization: Narthex x\r\n",
        )
        .await;
        assert!(!authorized.header("cache-control").contains("public"));
    }
    assert_eq!(serving.statistics.answered(), 30);
    assert_eq!(serving.statistics.refused(), 0);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let serving = serve_everyone(shared(log_of(300))).await;
    for path in [
        "/tile/0/002",
        "/tile/0/001.p/45",
        "/tile/2/000.p/1",
        "/tile/entries/009",
        "/epoch/0/checkpoint",
        &format!("/evidence/{}", "00".repeat(48)),
    ] {
        let answer = ask(serving.address, "GET", path, "").await;
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (404, &b"not in this log\n"[..])
        );
    }
}

#[tokio::test]
async fn a_partial_tile_that_is_gone_is_cut_from_the_full_one() {
    let mut log = log_of(256);
    let full = log.files["tile/0/000"].clone();
    let entries = log.entries.clone();
    log.files.retain(|path, _| !path.contains(".p/"));
    log.files
        .insert("epoch/3/tile/0/000".to_owned(), full.clone());
    log.files.insert("tile/0/001".to_owned(), vec![0; 64]);
    let serving = serve_everyone(shared(log)).await;
    for width in [1, 2, 255] {
        let answer = ask(
            serving.address,
            "GET",
            &format!("/tile/0/000.p/{width}"),
            "",
        )
        .await;
        assert_eq!(answer.body, full[..32 * width]);
        let path = format!("/epoch/3/tile/0/000.p/{width}");
        assert_eq!(
            ask(serving.address, "GET", &path, "").await.body,
            full[..32 * width]
        );
        let answer = ask(
            serving.address,
            "GET",
            &format!("/tile/entries/000.p/{width}"),
            "",
        )
        .await;
        assert_eq!(answer.body, encode_entries(&entries[..width]).unwrap());
    }
    // A damaged store does not become a short answer.
    assert_eq!(
        ask(serving.address, "GET", "/tile/0/001.p/3", "")
            .await
            .status,
        404
    );
}

#[tokio::test]
async fn other_methods_are_refused_by_name() {
    let recorder = Arc::new(Recorder::default());
    let serving = serve_everyone(recorder.clone()).await;
    for method in [
        "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "BREW",
    ] {
        let answer = ask(serving.address, method, "/checkpoint", "").await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), "GET, HEAD", "{method}");
    }
    assert!(recorder.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn no_trick_with_paths_reaches_the_store() {
    let recorder = Arc::new(Recorder::default());
    let serving = serve_everyone(recorder.clone()).await;
    let digest = "ab".repeat(48);
    for path in [
        "/".to_owned(),
        "//checkpoint".to_owned(),
        "/checkpoint/".to_owned(),
        "/./checkpoint".to_owned(),
        "/../checkpoint".to_owned(),
        "/tile/../checkpoint".to_owned(),
        "/%2e%2e/checkpoint".to_owned(),
        "/%2E%2E/%2E%2E/etc/passwd".to_owned(),
        "/..%2f..%2fetc/passwd".to_owned(),
        "/%63heckpoint".to_owned(),
        "/checkpoint%00".to_owned(),
        "/checkpoint?".to_owned(),
        "/checkpoint?x=1".to_owned(),
        "/checkpoint;x".to_owned(),
        "/CHECKPOINT".to_owned(),
        "/tile".to_owned(),
        "/tile/0".to_owned(),
        "/tile//000".to_owned(),
        "/tile/0//000".to_owned(),
        "/tile/00/000".to_owned(),
        "/tile/64/000".to_owned(),
        "/tile/-1/000".to_owned(),
        "/tile/0/0".to_owned(),
        "/tile/0/x000/000".to_owned(),
        "/tile/0/001/000".to_owned(),
        "/tile/0/x001".to_owned(),
        "/tile/0/000.p/0".to_owned(),
        "/tile/0/000.p/256".to_owned(),
        "/tile/0/000.p/01".to_owned(),
        "/tile/0/000.p/1/".to_owned(),
        "/tile/0/000.p".to_owned(),
        "/tile/data/000".to_owned(),
        "/tile/entries/../0/000".to_owned(),
        format!("/evidence/{}", digest.to_uppercase()),
        format!("/evidence/{digest}0"),
        format!("/evidence/../{digest}"),
        "/epoch/0/epoch/0/checkpoint".to_owned(),
        "/epoch/00/checkpoint".to_owned(),
        "/epoch/4294967296/checkpoint".to_owned(),
        "/epoch/-1/checkpoint".to_owned(),
        "/epoch/0".to_owned(),
        "/epoch/0/".to_owned(),
        format!("/tile/0/{}000", "x000/".repeat(100)),
    ] {
        let answer = ask(serving.address, "GET", &path, "").await;
        assert!(
            matches!(answer.status, 400 | 404),
            "{path}: {}",
            answer.status
        );
    }
    let asked = recorder.asked.lock().unwrap().clone();
    assert_eq!(asked, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_not_http_is_answered_as_such_and_nothing_falls_over() {
    let serving = serve(shared(log_of(5)), Arc::new(Everyone), quick()).await;
    for request in [
        &b"\r\n\r\n\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET /checkpoint HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /checkpoint HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"GET /checkpoint HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"GET /check\0point HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /checkpoint HTTP/1.1\r\nno colon\r\n\r\n",
    ] {
        let answer = send_raw(serving.address, request.to_vec()).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains(" 200 "), "{request:?}: {text}");
    }
    assert_eq!(
        ask(serving.address, "GET", "/checkpoint", "").await.status,
        200
    );
}

#[tokio::test]
async fn heads_and_bodies_are_bounded() {
    let serving = serve(shared(log_of(5)), Arc::new(Everyone), quick()).await;
    let long = format!("x: {}\r\n", "a".repeat(20_000));
    assert_eq!(
        ask(serving.address, "GET", "/checkpoint", &long)
            .await
            .status,
        431
    );
    let many = (0..200).map(|n| format!("x{n}: y\r\n")).collect::<String>();
    assert_eq!(
        ask(serving.address, "GET", "/checkpoint", &many)
            .await
            .status,
        431
    );
    let path = format!("/{}", "a".repeat(20_000));
    let status = ask(serving.address, "GET", &path, "").await.status;
    assert!(matches!(status, 414 | 431), "{status}");

    // Refused by what the head says: not a byte of the body is there.
    let patient = ServeLimits {
        body: Duration::from_secs(60),
        stall: Duration::from_secs(60),
        lifetime: Duration::from_secs(60),
        ..quick()
    };
    let patient = serve(shared(log_of(5)), Arc::new(Everyone), patient).await;
    let begun = Instant::now();
    for stated in ["1", "1000000000000"] {
        let more = format!("content-length: {stated}\r\n");
        let answer = ask(patient.address, "GET", "/checkpoint", &more).await;
        assert_eq!(answer.status, 413);
        assert_eq!(answer.header("connection"), "close");
        let answer = ask(patient.address, "POST", "/checkpoint", &more).await;
        assert_eq!(answer.status, 405);
        assert_eq!(answer.header("connection"), "close");
    }
    assert!(begun.elapsed() < Duration::from_secs(30));

    let chunked =
        b"GET /checkpoint HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let answer = send(serving.address, chunked.to_vec()).await;
    assert_eq!(answer.status, 413);
    // A body that is announced and never comes is not waited for long.
    let silent = b"GET /checkpoint HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(send(serving.address, silent.to_vec()).await.status, 408);
    // An empty one is none.
    let empty = ask(
        serving.address,
        "GET",
        "/checkpoint",
        "content-length: 0\r\n",
    )
    .await;
    assert_eq!(empty.status, 200);
}

#[tokio::test]
async fn a_smuggled_second_request_is_not_read() {
    let serving = serve(shared(log_of(5)), Arc::new(Everyone), quick()).await;
    let request = b"POST /checkpoint HTTP/1.1\r\nhost: x\r\ncontent-length: 60\r\n\r\n\
        GET /checkpoint HTTP/1.1\r\nhost: x\r\n\r\n";
    let answer = send_raw(serving.address, request.to_vec()).await;
    let text = String::from_utf8_lossy(&answer);
    assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "{text}");
    assert!(text.starts_with("HTTP/1.1 405 "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_heads_are_cut_off() {
    let serving = serve(shared(log_of(5)), Arc::new(Everyone), quick()).await;
    let address = serving.address;
    let lasted = tokio::task::spawn_blocking(move || {
        let mut stream = connect(address);
        let begun = Instant::now();
        for byte in b"GET /checkpoint HTTP/1.1\r\nhost: abcdefghijklmnopqrstuvwxyz\r\n\r\n" {
            if stream.write_all(&[*byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        begun.elapsed()
    })
    .await
    .unwrap();
    // All of it would take 12 seconds.
    assert!(lasted < Duration::from_secs(8), "{lasted:?}");
    // Between requests the same.
    let lasted = tokio::task::spawn_blocking(move || {
        let mut stream = connect(address);
        stream
            .write_all(b"GET /checkpoint HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let begun = Instant::now();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        assert_eq!(Answer::parse(&all).status, 200);
        begun.elapsed()
    })
    .await
    .unwrap();
    assert!(lasted < Duration::from_secs(4), "{lasted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let serving = serve(shared(log_of(5)), Arc::new(Everyone), quick()).await;
    let begun = Instant::now();
    let idle: Vec<_> = (0..4).map(|_| connect(serving.address)).collect();
    // Served as soon as the head's time of the idle ones is over.
    let answer = ask(serving.address, "GET", "/checkpoint", "").await;
    assert_eq!(answer.status, 200);
    let waited = begun.elapsed();
    assert!(waited > Duration::from_millis(200), "{waited:?}");
    assert!(waited < Duration::from_secs(4), "{waited:?}");
    drop(idle);
}

/// One large answer.
struct Large;

impl LogStore for Large {
    fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        match resource {
            Resource::Checkpoint => Ok(Some(b"small\n".to_vec())),
            _ => Ok(Some(vec![0; 64 * 1024 * 1024])),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_loses_his_place() {
    let limits = ServeLimits {
        connections: 1,
        lifetime: Duration::from_secs(60),
        ..quick()
    };
    let serving = serve(shared(Large), Arc::new(Everyone), limits).await;
    let mut greedy = connect(serving.address);
    greedy
        .write_all(b"GET /tile/0/000 HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    assert_eq!(
        ask(serving.address, "GET", "/checkpoint", "").await.status,
        200
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
    drop(greedy);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_a_byte_at_a_time_loses_it_too() {
    let limits = ServeLimits {
        connections: 1,
        stall: Duration::from_secs(3),
        lifetime: Duration::from_secs(1),
        ..quick()
    };
    let serving = serve(shared(Large), Arc::new(Everyone), limits).await;
    let address = serving.address;
    let dripping = std::thread::spawn(move || {
        let mut stream = connect(address);
        stream
            .write_all(b"GET /tile/0/000 HTTP/1.1\r\nhost: x\r\n\r\n")
            .unwrap();
        let begun = Instant::now();
        let mut some = vec![0; 200_000];
        while begun.elapsed() < Duration::from_secs(25) {
            match stream.read(&mut some) {
                Ok(0) | Err(_) => break,
                Ok(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begun = Instant::now();
    assert_eq!(
        ask(serving.address, "GET", "/checkpoint", "").await.status,
        200
    );
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(serving.statistics.expired(), 1);
    dripping.join().unwrap();
}

/// Lets those in who say the word.
struct Porter {
    asked: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Gatekeeper for Porter {
    fn may_read(&self, authorization: Option<&str>) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        authorization == Some("Narthex friend")
    }

    fn store_failed(&self, resource: &Resource, error: &StoreError) {
        let failure = format!("{resource}: {error}");
        self.failures.lock().unwrap().push(failure);
    }
}

fn porter() -> Arc<Porter> {
    Arc::new(Porter {
        asked: AtomicUsize::new(0),
        failures: Mutex::new(Vec::new()),
    })
}

#[tokio::test]
async fn who_may_not_read_learns_nothing_but_what_to_do() {
    let (recorder, porter) = (Arc::new(Recorder::default()), porter());
    let serving = serve(recorder.clone(), porter.clone(), ServeLimits::default()).await;
    for more in [
        "",
        "authorization: Narthex foe\r\n",
        "authorization: narthex friend\r\n",
        "authorization: Narthex friend\r\nauthorization: Narthex friend\r\n",
        "authorization: Narthex foe\r\nauthorization: Narthex friend\r\n",
        "authorization: Narthex fri\u{e9}nd\r\n",
        "proxy-authorization: Narthex friend\r\n",
    ] {
        for path in ["/checkpoint", "/tile/0/000", "/no/such/path"] {
            for method in ["GET", "HEAD"] {
                let answer = ask(serving.address, method, path, more).await;
                assert_eq!(answer.status, 401, "{more} {path}");
                assert_eq!(answer.header("www-authenticate"), "Narthex realm=\"log\"");
                assert_eq!(answer.header("cache-control"), "no-store");
                if method == "GET" {
                    let words = String::from_utf8(answer.body).unwrap();
                    assert!(words.contains("ticket"), "{words}");
                }
            }
        }
    }
    assert!(recorder.asked.lock().unwrap().is_empty());
    let more = "authorization: Narthex friend\r\n";
    let answer = ask(serving.address, "GET", "/checkpoint", more).await;
    assert_eq!(answer.status, 404);
    assert_eq!(recorder.asked.lock().unwrap().len(), 1);
}

/// Fails, or worse.
struct Broken;

impl LogStore for Broken {
    fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        match resource {
            Resource::Checkpoint => Err(StoreError::unavailable("secret: disk 7 is gone")),
            _ => panic!("on purpose"),
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_is_not_the_readers_business() {
    let porter = porter();
    let serving = serve(shared(Broken), porter.clone(), ServeLimits::default()).await;
    let more = "authorization: Narthex friend\r\n";
    for path in ["/checkpoint", "/tile/0/000", "/checkpoint"] {
        let answer = ask(serving.address, "GET", path, more).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret"));
    }
    let failures = porter.failures.lock().unwrap().clone();
    assert_eq!(failures, ["checkpoint: secret: disk 7 is gone"; 2]);
    assert_eq!(serving.statistics.failed(), 3);
}

/// Takes its time.
struct Slow {
    asked: Arc<AtomicUsize>,
}

impl LogStore for Slow {
    fn get(&self, _: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(500));
        Ok(Some(b"there\n".to_vec()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_finishes_answers_and_waits_for_nobody_else() {
    let asked = Arc::new(AtomicUsize::new(0));
    let store = shared(Slow {
        asked: Arc::clone(&asked),
    });
    let serving = serve(store, Arc::new(Everyone), ServeLimits::default()).await;
    let idle = connect(serving.address);
    let answer = tokio::spawn(ask(serving.address, "GET", "/checkpoint", ""));
    while asked.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let begun = Instant::now();
    serving.stop.send(()).unwrap();
    serving.task.await.unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(answer.await.unwrap().body, b"there\n");
    assert!(std::net::TcpStream::connect(serving.address).is_err());
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_unix_socket_is_for_its_owner_and_goes_with_its_server() {
    use std::os::unix::fs::PermissionsExt;

    use narthex_ledger::tokio::HttpListener;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.sock");
    let address = format!("unix:{}", path.display()).parse().unwrap();
    let listener = HttpListener::bind(&address).await.unwrap();
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let error = HttpListener::bind(&address).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    drop(listener);
    assert!(!path.exists());

    // One left behind by a process that was killed is replaced.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(HttpListener::bind(&address).await.unwrap());

    // A file of another kind is not.
    std::fs::write(&path, "precious").unwrap();
    let error = HttpListener::bind(&address).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}
