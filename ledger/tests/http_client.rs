//! The client, against servers that lie, stall, never end and die.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
#![allow(clippy::unreachable)] // Tests say by panicking.

mod http_support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http_support::{MemoryLog, listen, shared};
use narthex_ledger::tokio::{
    ClientError, ClientErrorKind, ClientLimits, Everyone, HttpAddress, HttpListener, HttpLog,
    WitnessClient, WitnessReply, serve_log,
};
use narthex_ledger::{LogReason, LogStore, Resource, StoreErrorKind, Tile, TileReader};

/// A server that gives each connection to `handler`, with its number.
struct Hostile {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Hostile {
    fn new(handler: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (count, stopped) = (Arc::clone(&accepted), Arc::clone(&stop));
        let handler = Arc::new(handler);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let number = count.fetch_add(1, Ordering::SeqCst);
                let handler = Arc::clone(&handler);
                std::thread::spawn(move || handler(number, stream.unwrap()));
            }
        });
        Self {
            address,
            accepted,
            stop,
        }
    }

    /// Reads a request's head, says `answer`, and closes.
    fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::new(move |_, mut stream| {
            read_head(&mut stream);
            let _ = stream.write_all(&answer);
        })
    }

    fn log(&self) -> HttpLog {
        HttpLog::new(HttpAddress::tcp(self.address), None, limits()).unwrap()
    }

    fn fetch(&self, resource: &Resource) -> Result<Option<Vec<u8>>, ClientError> {
        self.log().fetch(resource)
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn limits() -> ClientLimits {
    ClientLimits {
        connect: Duration::from_secs(2),
        stall: Duration::from_secs(1),
        whole: Duration::from_secs(4),
        retries: 2,
    }
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Writes `piece` until nobody listens any more.
fn for_ever(stream: &mut TcpStream, piece: &[u8], pause: Duration) {
    while stream.write_all(piece).is_ok() {
        std::thread::sleep(pause);
    }
}

const TILE: Resource = Resource::Tile(Tile {
    level: 0,
    index: 0,
    width: 2,
});

#[test]
fn answers_that_never_end_are_cut_off() {
    type Case = (&'static [u8], &'static [u8], ClientErrorKind);
    let too_large = || ClientErrorKind::TooLarge { limit: 64 };
    let cases: [Case; 6] = [
        (b"HTTP/1.1 200 OK\r\n\r\n", &[7; 4096], too_large()),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            b"10\r\n0123456789abcdef\r\n",
            too_large(),
        ),
        (
            b"HTTP/1.1 404 Not Found\r\n\r\n",
            &[7; 4096],
            ClientErrorKind::TooLarge { limit: 64 * 1024 },
        ),
        (
            b"HTTP/1.1 200 OK\r\n",
            b"x: yyyyyyyyyyyyyyyyyyyyyyyy\r\n",
            ClientErrorKind::Protocol,
        ),
        (b"HTTP/1.1 200 ", &[b'x'; 4096], ClientErrorKind::Protocol),
        (
            b"",
            b"HTTP/1.1 100 Continue\r\n\r\n",
            ClientErrorKind::TimedOut,
        ),
    ];
    for (begin, piece, expected) in cases {
        let server = Hostile::new(move |_, mut stream| {
            read_head(&mut stream);
            let _ = stream.write_all(begin);
            for_ever(&mut stream, piece, Duration::from_micros(100));
        });
        let begun = Instant::now();
        let error = server.fetch(&TILE).unwrap_err();
        assert_eq!(
            *error.kind(),
            expected,
            "{:?}",
            String::from_utf8_lossy(begin)
        );
        assert!(begun.elapsed() < Duration::from_secs(9));
    }
}

#[test]
fn a_byte_now_and_then_does_not_hold_a_client_for_ever() {
    for begin in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 64\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nx: ",
        b"",
    ] {
        let server = Hostile::new(move |_, mut stream| {
            read_head(&mut stream);
            let _ = stream.write_all(begin);
            for_ever(&mut stream, b"H", Duration::from_millis(200));
        });
        let begun = Instant::now();
        let error = server.fetch(&TILE).unwrap_err();
        let kind = error.kind().clone();
        assert!(
            matches!(kind, ClientErrorKind::TimedOut | ClientErrorKind::Protocol),
            "{kind:?}"
        );
        assert!(begun.elapsed() < Duration::from_secs(9));
    }
}

#[test]
fn silence_is_not_waited_for() {
    let server = Hostile::new(|_, mut stream| {
        read_head(&mut stream);
        std::thread::sleep(Duration::from_secs(10));
    });
    let begun = Instant::now();
    let error = server.fetch(&TILE).unwrap_err();
    assert_eq!(*error.kind(), ClientErrorKind::TimedOut);
    assert!(begun.elapsed() < Duration::from_secs(7));
    assert!(error.is_passing());
}

#[test]
fn lies_about_length_are_found_out() {
    let too_large = ClientErrorKind::TooLarge { limit: 64 };
    for (answer, expected) in [
        ("content-length: 1000000000000\r\n\r\n", too_large.clone()),
        ("content-length: 65\r\n\r\n", too_large),
        ("content-length: 64\r\n\r\nshort", ClientErrorKind::Lost),
        (
            "content-length: 18446744073709551616\r\n\r\n",
            ClientErrorKind::Protocol,
        ),
        ("content-length: -1\r\n\r\n", ClientErrorKind::Protocol),
        (
            "content-length: 1\r\ncontent-length: 2\r\n\r\n",
            ClientErrorKind::Protocol,
        ),
        (
            "transfer-encoding: chunked\r\n\r\n40\r\nshort",
            ClientErrorKind::Lost,
        ),
        (
            "transfer-encoding: chunked\r\n\r\nzz\r\n",
            ClientErrorKind::Lost,
        ),
        ("content-encoding: gzip\r\n\r\nx", ClientErrorKind::Encoded),
    ] {
        let server = Hostile::saying(format!("HTTP/1.1 200 OK\r\n{answer}"));
        let error = server.fetch(&TILE).unwrap_err();
        assert_eq!(*error.kind(), expected, "{answer}");
    }
}

#[test]
fn what_comes_after_an_answer_is_not_the_next_one() {
    let server = Hostile::new(|number, mut stream| {
        read_head(&mut stream);
        let first = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst";
        let planted = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nplanted";
        let honest = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nsecond";
        let answer = match number {
            0 => format!("{first}{planted}"),
            _ => honest.to_owned(),
        };
        let _ = stream.write_all(answer.as_bytes());
        let _ = stream.read(&mut [0; 4096]);
    });
    let log = server.log();
    assert_eq!(log.fetch(&TILE).unwrap().unwrap(), b"first");
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(log.fetch(&TILE).unwrap().unwrap(), b"second");
}

#[test]
fn each_status_has_its_meaning() {
    for (status, expected) in [
        (302, ClientErrorKind::Status { code: 302 }),
        (206, ClientErrorKind::Status { code: 206 }),
        (204, ClientErrorKind::Status { code: 204 }),
        (500, ClientErrorKind::Status { code: 500 }),
        (503, ClientErrorKind::Status { code: 503 }),
        (401, ClientErrorKind::Forbidden),
        (403, ClientErrorKind::Forbidden),
    ] {
        let answer = format!(
            "HTTP/1.1 {status} X\r\nlocation: http://elsewhere/\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        let server = Hostile::saying(answer);
        let error = server.fetch(&TILE).unwrap_err();
        assert_eq!(*error.kind(), expected);
        // Only what may pass is tried again.
        let tries = if status == 503 { 3 } else { 1 };
        assert_eq!(server.accepted(), tries, "{status}");
    }
    // The words of a refusal may be longer than the tile.
    for status in [404, 410] {
        let words = "no such thing here, ".repeat(100);
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{words}",
            words.len()
        );
        assert_eq!(Hostile::saying(answer).fetch(&TILE).unwrap(), None);
    }
    let forbidden = Hostile::saying("HTTP/1.1 401 X\r\ncontent-length: 0\r\n\r\n");
    let error = forbidden.log().get(&TILE).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Forbidden);
    assert!(error.text.contains("ticket") && error.text.contains("tile/0/000.p/2"));
    let error = narthex_ledger::LogError::from(error);
    assert_eq!(error.reason(), LogReason::Forbidden);
}

#[test]
fn a_lost_connection_and_a_busy_server_are_tried_again() {
    let server = Hostile::new(|number, mut stream| {
        read_head(&mut stream);
        let answer: &[u8] = match number {
            0 => b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabc",
            1 => b"HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde",
        };
        let _ = stream.write_all(answer);
    });
    assert_eq!(server.fetch(&TILE).unwrap().unwrap(), b"abcde");
    assert_eq!(server.accepted(), 3);

    let closing = Hostile::new(|_, stream| drop(stream));
    assert_eq!(
        *closing.fetch(&TILE).unwrap_err().kind(),
        ClientErrorKind::Lost
    );
    assert_eq!(closing.accepted(), 3);

    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let log = HttpLog::new(HttpAddress::tcp(nobody), None, limits()).unwrap();
    let error = log.fetch(&TILE).unwrap_err();
    assert!(
        matches!(error.kind(), ClientErrorKind::Connect(_)),
        "{error}"
    );
    assert_eq!(
        log.get(&TILE).unwrap_err().kind,
        StoreErrorKind::Unavailable
    );
    let missing = "unix:/nonexistent/log.sock".parse().unwrap();
    let error = HttpLog::new(missing, None, limits())
        .unwrap()
        .fetch(&TILE)
        .unwrap_err();
    assert!(
        matches!(error.kind(), ClientErrorKind::Connect(_)),
        "{error}"
    );
    let nameless = "http://does-not-exist.invalid/log".parse().unwrap();
    let error = HttpLog::new(nameless, None, limits())
        .unwrap()
        .fetch(&TILE)
        .unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ClientErrorKind::Name(_) | ClientErrorKind::TimedOut
        ),
        "{error}"
    );
}

#[test]
fn connections_are_kept_and_a_closed_one_costs_no_try() {
    let server = Hostile::new(|number, mut stream| {
        // The first closes after three answers without saying so.
        for _ in 0..if number == 0 { 3 } else { 100 } {
            if read_head(&mut stream).is_empty() {
                return;
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        }
    });
    let address = HttpAddress::tcp(server.address);
    let no_retries = ClientLimits {
        retries: 0,
        ..limits()
    };
    let log = HttpLog::new(address, None, no_retries).unwrap();
    for _ in 0..20 {
        assert_eq!(log.fetch(&TILE).unwrap().unwrap(), b"ok");
    }
    assert_eq!(server.accepted(), 2);
}

#[test]
fn tickets_are_sent_as_they_are_and_never_shown() {
    let heads = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    let server = Hostile::new(move |_, mut stream| {
        kept.lock().unwrap().push(read_head(&mut stream));
        let _ = stream.write_all(b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n");
    });
    let address: HttpAddress = format!("http://{}/some/log", server.address)
        .parse()
        .unwrap();
    let log = HttpLog::new(address.clone(), Some("Narthex c2VjcmV0"), limits()).unwrap();
    assert_eq!(log.fetch(&TILE).unwrap(), None);
    assert!(!format!("{log:?}").contains("c2VjcmV0"));
    let head = heads.lock().unwrap().remove(0);
    assert!(
        head.starts_with("GET /some/log/tile/0/000.p/2 HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.contains("authorization: Narthex c2VjcmV0\r\n"),
        "{head}"
    );
    assert!(head.contains("accept-encoding: identity\r\n"));
    for ticket in ["Narthex a\r\nx: y", "Narthex \0", "Narthex \u{7f}"] {
        let error = HttpLog::new(address.clone(), Some(ticket), limits()).unwrap_err();
        assert_eq!(*error.kind(), ClientErrorKind::Authorization);
    }
}

fn log_of(size: usize) -> MemoryLog {
    let mut log = MemoryLog::new("example.com/log");
    log.grow(size, "a");
    log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_read_through_a_server_by_many_threads() {
    let log = log_of(1000);
    let (root, entries) = (log.root_at(1000), log.entries.clone());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.sock");
    let socket = HttpListener::bind(&format!("unix:{}", path.display()).parse().unwrap())
        .await
        .unwrap();
    let (listener, address) = listen().await;
    let serving = serve_log(
        vec![listener, socket],
        shared(log),
        Arc::new(Everyone),
        std::future::pending(),
    );
    let serving = tokio::spawn(serving);
    for address in [
        HttpAddress::tcp(address),
        format!("unix:{}", path.display()).parse().unwrap(),
    ] {
        let log = HttpLog::new(address, None, ClientLimits::default()).unwrap();
        // Also from within a runtime: it blocks, and does not panic.
        assert!(log.get(&Resource::Checkpoint).unwrap().is_some());
        let (entries, log) = (entries.clone(), Arc::new(log));
        tokio::task::spawn_blocking(move || {
            let tiles = TileReader::new(&*log, 1000, &root).unwrap();
            assert_eq!(tiles.size(), 1000);
            std::thread::scope(|scope| {
                for _ in 0..16 {
                    scope.spawn(|| {
                        for index in 0..3 {
                            let resource = Resource::Entries { index, width: 256 };
                            let bundle = log.get(&resource).unwrap().unwrap();
                            let found = narthex_ledger::parse_entries(&bundle, 256).unwrap();
                            let begin = usize::try_from(index).unwrap() * 256;
                            assert_eq!(found, entries[begin..begin + 256]);
                        }
                    });
                }
            });
        })
        .await
        .unwrap();
    }
    serving.abort();
}

#[test]
fn a_server_that_dies_in_the_middle_and_comes_back_is_read_to_the_end() {
    let log = Arc::new(log_of(600));
    let served = Arc::clone(&log);
    let server = Hostile::new(move |number, mut stream| {
        loop {
            let head = read_head(&mut stream);
            let Some(path) = head.split(' ').nth(1) else {
                return;
            };
            let resource = Resource::parse(path.strip_prefix('/').unwrap()).unwrap();
            let body = served.get(&resource).unwrap().unwrap();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(answer.as_bytes());
            if number % 2 == 0 {
                let _ = stream.write_all(&body[..body.len() / 2]);
                return;
            }
            let _ = stream.write_all(&body);
        }
    });
    let client = server.log();
    let tiles = TileReader::new(&client, 600, &log.root_at(600)).unwrap();
    for index in 0..3 {
        tiles.hashes(0, index).unwrap();
    }
}

#[tokio::test]
async fn witnesses_that_answer_nonsense_are_not_believed() {
    let log = log_of(10);
    let request = log.request(3, 10);
    let same = log.request(10, 10);
    let size = |status: u16, kind: &str, body: &str| {
        let length = body.len();
        format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    let tree = "text/x.tlog.size";
    for (request, answer, expected) in [
        (
            &request,
            size(409, tree, "7\n"),
            Ok(WitnessReply::Conflict { size: 7 }),
        ),
        (
            &request,
            size(409, tree, "0\n"),
            Ok(WitnessReply::Conflict { size: 0 }),
        ),
        (
            &request,
            size(409, "text/x.tlog.size; charset=utf-8", "70\n"),
            Ok(WitnessReply::Conflict { size: 70 }),
        ),
        (&same, size(409, tree, "10\n"), Ok(WitnessReply::OtherRoot)),
        (
            &same,
            size(409, "text/plain", "other root\n"),
            Ok(WitnessReply::OtherRoot),
        ),
        (
            &same,
            size(409, tree, "12\n"),
            Ok(WitnessReply::Conflict { size: 12 }),
        ),
        (&request, size(409, tree, "3\n"), Err("conflict")),
        (&request, size(409, tree, "7"), Err("conflict")),
        (&request, size(409, tree, "07\n"), Err("conflict")),
        (&request, size(409, tree, "-7\n"), Err("conflict")),
        (
            &request,
            size(409, tree, "99999999999999999999\n"),
            Err("conflict"),
        ),
        (&request, size(409, "text/plain", "7\n"), Err("conflict")),
        (&same, size(409, tree, "nonsense\n"), Err("conflict")),
        (
            &request,
            size(404, "text/plain", "x"),
            Ok(WitnessReply::UnknownLog),
        ),
        (
            &request,
            size(403, "text/plain", ""),
            Ok(WitnessReply::BadSignature),
        ),
        (
            &request,
            size(422, "text/plain", ""),
            Ok(WitnessReply::BadProof),
        ),
        (
            &request,
            size(400, "text/plain", ""),
            Ok(WitnessReply::Rejected),
        ),
        (&request, size(200, "text/plain", ""), Err("signature line")),
        (
            &request,
            size(200, "text/plain", "thanks\n"),
            Err("signature line"),
        ),
        (
            &request,
            size(200, "text/plain", "\u{2014} w AAAA\n"),
            Err("signature line"),
        ),
        (&request, size(500, "text/plain", ""), Err("status 500")),
        (
            &request,
            size(200, "text/plain", &"x".repeat(70_000)),
            Err("longer than"),
        ),
    ] {
        let server = Hostile::new({
            let answer = answer.clone();
            move |_, mut stream| {
                let head = read_head(&mut stream);
                let length = head.split("content-length: ").nth(1).unwrap();
                let length = length.split("\r\n").next().unwrap().parse().unwrap();
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let client = WitnessClient::new(HttpAddress::tcp(server.address), limits());
        let reply = client.add_checkpoint(request).await;
        match expected {
            Ok(expected) => assert_eq!(reply.unwrap(), expected, "{answer}"),
            Err(words) => {
                let error = reply.unwrap_err().to_string();
                assert!(error.contains(words), "{answer}: {error}");
                assert!(error.contains("http://127.0.0.1:"), "{error}");
            }
        }
    }
}
