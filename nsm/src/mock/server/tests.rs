//! Two ends in one process.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};

use super::*;
use crate::error::{ErrorCode, NsmError, TransportError};
use crate::mock::mint::DevelopmentAuthority;
use crate::mock::{Fault, FaultKind, MockConfig, MockNsm, RequestKind};
use crate::nsm::{AttestationRequest, Nsm};
use crate::socket::SocketNsm;

struct Bench {
    directory: tempfile::TempDir,
    nsm: Arc<MockNsm>,
    /// Stops when it is dropped.
    _server: RunningServer,
}

fn bench(limits: ServerLimits) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let authority = DevelopmentAuthority::insecure_fixed();
    let nsm = Arc::new(MockNsm::new(authority, MockConfig::example()));
    let path = directory.path().join("nsm");
    let server = Server::bind(&path, Arc::clone(&nsm), limits)
        .unwrap()
        .spawn()
        .unwrap();
    Bench {
        directory,
        nsm,
        _server: server,
    }
}

impl Bench {
    fn path(&self) -> PathBuf {
        self.directory.path().join("nsm")
    }

    fn client(&self) -> SocketNsm {
        SocketNsm::new(self.path()).with_timeout(Duration::from_secs(10))
    }

    fn raw(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        stream
    }
}

fn read_all(mut stream: UnixStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    bytes
}

#[test]
fn all_seven_requests_go_over_the_socket() {
    let bench = bench(ServerLimits::default());
    let client = bench.client();
    assert_eq!(client.describe().unwrap(), bench.nsm.describe().unwrap());
    let extended = client.extend_pcr(16, b"policy").unwrap();
    assert_eq!(client.describe_pcr(16).unwrap().data, extended);
    client.lock_pcr(16).unwrap();
    assert_eq!(
        client.extend_pcr(16, b"x"),
        Err(NsmError::Code(ErrorCode::ReadOnlyIndex))
    );
    client.lock_pcrs(32).unwrap();
    assert_eq!(
        client.lock_pcrs(33),
        Err(NsmError::Code(ErrorCode::InvalidIndex))
    );
    assert_eq!(client.random().unwrap().len(), 256);
    let document = client.attest(AttestationRequest::default()).unwrap();
    assert_eq!(document[..4], [0x84, 0x44, 0xa1, 0x01]);
    let too_large = client.extend_pcr(16, &[0; 0x1000]);
    assert_eq!(too_large, Err(NsmError::Code(ErrorCode::InputTooLarge)));
}

#[test]
fn one_connection_carries_many_requests() {
    let bench = bench(ServerLimits::default());
    let mut stream = bench.raw();
    for _ in 0..3 {
        // In three pieces: requests are framed by their length, not by packets.
        for piece in [
            b"\0\0".as_slice(),
            b"\0\x11\xa1\x67LockPC",
            b"R\xa1\x65inde",
        ] {
            stream.write_all(piece).unwrap();
        }
        stream.write_all(b"x\x00").unwrap();
        let mut answer = [0; 4 + 21];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"\0\0\0\x15\xa1\x65Error\x6dReadOnlyIndex");
    }
}

#[test]
fn a_request_beyond_the_limit_is_answered_and_the_connection_closed() {
    let bench = bench(ServerLimits::default());
    for length in [0x1001_u32, u32::MAX] {
        let mut stream = bench.raw();
        stream.write_all(&length.to_be_bytes()).unwrap();
        assert_eq!(
            read_all(stream),
            b"\0\0\0\x15\xa1\x65Error\x6dInputTooLarge"
        );
    }
    // The largest request is read whole and answered.
    let mut stream = bench.raw();
    stream.write_all(&0x1000_u32.to_be_bytes()).unwrap();
    stream.write_all(&[0; 0x1000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(
        read_all(stream),
        b"\0\0\0\x18\xa1\x65Error\x70InvalidOperation"
    );
}

#[test]
fn idle_and_dripping_peers_are_cut_off() {
    let limits = ServerLimits {
        idle_timeout: Duration::from_millis(50),
        transfer_timeout: Duration::from_millis(50),
        ..ServerLimits::default()
    };
    let bench = bench(limits);
    assert_eq!(read_all(bench.raw()), b"");

    let mut dripping = bench.raw();
    dripping.write_all(b"\0\0\0\x0a").unwrap();
    let started = Instant::now();
    for byte in b"\x69GetRandom" {
        if dripping.write_all(&[*byte]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(read_all(dripping), b"");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn connections_beyond_the_limit_wait_their_turn() {
    let limits = ServerLimits {
        max_connections: 1,
        ..ServerLimits::default()
    };
    let bench = bench(limits);
    let first = bench.raw();
    let waiting = bench.client().with_timeout(Duration::from_millis(100));
    assert_eq!(
        waiting.random(),
        Err(NsmError::Transport(TransportError::TimedOut))
    );
    drop(first);
    assert_eq!(bench.client().random().unwrap().len(), 256);
}

#[test]
fn many_clients_at_once_are_all_served() {
    let bench = bench(ServerLimits {
        max_connections: 4,
        ..ServerLimits::default()
    });
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    bench.client().random().unwrap();
                }
            });
        }
    });
}

/// Says when a request has come.
struct Watched {
    nsm: MockNsm,
    asked: Mutex<Sender<()>>,
}

impl Service for Watched {
    fn max_request_bytes(&self) -> usize {
        self.nsm.max_request_bytes()
    }

    fn answer(&self, request: &[u8]) -> Vec<u8> {
        self.asked.lock().unwrap().send(()).unwrap();
        self.nsm.answer(request)
    }

    fn answer_too_large(&self) -> Vec<u8> {
        self.nsm.answer_too_large()
    }
}

#[test]
fn a_stopping_server_finishes_its_answers_and_removes_its_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nsm");
    let authority = DevelopmentAuthority::insecure_fixed();
    let nsm = MockNsm::new(authority, MockConfig::example());
    let slow = FaultKind::Slow(Duration::from_millis(200));
    nsm.inject(Fault::once(slow, RequestKind::GetRandom));
    let (asked, was_asked) = channel();
    let asked = Mutex::new(asked);
    let service = Arc::new(Watched { nsm, asked });
    let server = Server::bind(&path, service, ServerLimits::default())
        .unwrap()
        .spawn()
        .unwrap();
    let client = SocketNsm::new(&path).with_timeout(Duration::from_secs(10));
    let idle = UnixStream::connect(&path).unwrap();
    let asking = thread::spawn(move || client.random());
    was_asked.recv_timeout(Duration::from_secs(10)).unwrap();
    server.stop();
    assert_eq!(asking.join().unwrap().unwrap().len(), 256);
    assert_eq!(read_all(idle), b"");
    assert!(!path.exists());
}

#[test]
fn malformed_answers_reach_the_client_as_such() {
    let bench = bench(ServerLimits::default());
    bench
        .nsm
        .inject(Fault::once(FaultKind::Malformed, RequestKind::GetRandom));
    let malformed = Err(NsmError::Transport(TransportError::Malformed));
    assert_eq!(bench.client().random(), malformed);
    assert!(bench.client().random().is_ok());
}

#[test]
fn the_socket_is_private_and_taken_once() {
    let bench = bench(ServerLimits::default());
    let path = bench.path();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let names: Vec<_> = std::fs::read_dir(bench.directory.path()).unwrap().collect();
    assert_eq!(names.len(), 1);
    let again = Server::bind(&path, Arc::clone(&bench.nsm), ServerLimits::default());
    assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_socket_left_behind_is_replaced_and_a_file_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nsm");
    let authority = DevelopmentAuthority::insecure_fixed();
    let nsm = Arc::new(MockNsm::new(authority, MockConfig::example()));
    drop(UnixListener::bind(&path).unwrap());
    drop(Server::bind(&path, Arc::clone(&nsm), ServerLimits::default()).unwrap());
    std::fs::write(&path, "not a socket").unwrap();
    let refused = Server::bind(&path, nsm, ServerLimits::default());
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&path).unwrap(), b"not a socket");
}
