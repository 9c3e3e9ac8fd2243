//! The listener: how many clients at once, how long each may take, and the counter that operators see.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use vsock::{VMADDR_CID_ANY, VsockListener, VsockStream};

use crate::local::Agent;
use crate::notary::Notary;
use crate::request::{Request, answer};

/// More clients are closed before a byte of theirs is read.
const MAX_CONNECTIONS: usize = 16;
/// Requests on one connection.
const MAX_REQUESTS: usize = 64;
/// How long one read or write may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The agent takes one change of a counter a minute.
const REPORT_EVERY: Duration = Duration::from_secs(61);
/// The only peer an enclave has: its parent instance (`vsock(7)` leaves 3 free, Nitro gives it to the parent).
const PARENT_CID: u32 = 3;

/// Where clients come from.
pub(crate) enum Listener {
    Vsock(VsockListener),
    Unix(UnixListener),
}

trait Client: Read + Write + Send {}
impl Client for UnixStream {}
impl Client for VsockStream {}

/// Listens on a vsock port.
///
/// # Errors
///
/// The port is taken, or there is no vsock.
pub(crate) fn vsock(port: u32) -> io::Result<Listener> {
    VsockListener::bind_with_cid_port(VMADDR_CID_ANY, port).map(Listener::Vsock)
}

/// Listens on a Unix socket, for laptops and tests.
///
/// # Errors
///
/// The path cannot be bound.
pub(crate) fn unix(path: &Path) -> io::Result<Listener> {
    UnixListener::bind(path).map(Listener::Unix)
}

/// Serves until the process ends.
pub(crate) fn forever(listener: &Listener, notary: Notary) {
    let signatures = Arc::new(AtomicU64::new(0));
    let (changed, changes) = sync_channel(1);
    let (agent, counted) = (notary.agent().clone(), Arc::clone(&signatures));
    std::thread::spawn(move || report(&agent, &counted, &changes));
    let service = Arc::new(Service {
        notary,
        signatures,
        changed,
        open: AtomicUsize::new(0),
    });
    loop {
        match listener.accept() {
            Ok(Some(client)) => service.take(client),
            Ok(None) => {}
            // Out of descriptors, or the client is gone again: neither may end the service, or spin.
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

impl Listener {
    /// The next client; `None` for one that may not connect.
    fn accept(&self) -> io::Result<Option<Box<dyn Client>>> {
        match self {
            Self::Vsock(listener) => {
                let (socket, peer) = listener.accept()?;
                if peer.cid() != PARENT_CID {
                    return Ok(None);
                }
                socket.set_read_timeout(Some(TIMEOUT))?;
                socket.set_write_timeout(Some(TIMEOUT))?;
                Ok(Some(Box::new(socket)))
            }
            Self::Unix(listener) => {
                let (socket, _unnamed) = listener.accept()?;
                socket.set_read_timeout(Some(TIMEOUT))?;
                socket.set_write_timeout(Some(TIMEOUT))?;
                Ok(Some(Box::new(socket)))
            }
        }
    }
}

struct Service {
    notary: Notary,
    signatures: Arc<AtomicU64>,
    changed: SyncSender<()>,
    open: AtomicUsize,
}

impl Service {
    /// A thread for the client, if there is room for one.
    fn take(self: &Arc<Self>, mut client: Box<dyn Client>) {
        if self.open.fetch_add(1, Ordering::AcqRel) >= MAX_CONNECTIONS {
            self.open.fetch_sub(1, Ordering::AcqRel);
            return;
        }
        let service = Arc::clone(self);
        let started = std::thread::Builder::new().spawn(move || {
            // How a connection ends is the client's affair; nothing depends on it.
            let _ended = service.converse(&mut *client);
            service.open.fetch_sub(1, Ordering::AcqRel);
        });
        if started.is_err() {
            self.open.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Answers one client until it leaves, is silent for too long, or sends what is no request.
    fn converse(&self, client: &mut dyn Client) -> io::Result<()> {
        for _ in 0..MAX_REQUESTS {
            let mut first = [0];
            client.read_exact(&mut first)?;
            let Some(length) = Request::body_length(first[0]) else {
                return Ok(());
            };
            let mut body = vec![0; length];
            client.read_exact(&mut body)?;
            let Some(request) = Request::parse(first[0], &body) else {
                return Ok(());
            };
            let content = self.notary.answer(request).ok();
            client.write_all(&answer(content.as_deref()))?;
            if content.is_some() && matches!(request, Request::Sign(_)) {
                self.signatures.fetch_add(1, Ordering::AcqRel);
                // Full: the reporter already knows that there is something new.
                let _known = self.changed.try_send(());
            }
        }
        Ok(())
    }
}

/// Tells the agent how many signatures were made: the first at once, more as often as it takes them.
fn report(agent: &Agent, signatures: &AtomicU64, changes: &Receiver<()>) {
    while changes.recv().is_ok() {
        if let Err(error) = agent.report_signatures(signatures.load(Ordering::Acquire)) {
            eprintln!("narthex-example-workload: reporting: {error}");
        }
        std::thread::sleep(REPORT_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;

    use super::{MAX_CONNECTIONS, forever, unix};
    use crate::local::Agent;
    use crate::notary::Notary;

    /// A service with the key 0909…, but no agent.
    fn service(folder: &tempfile::TempDir) -> PathBuf {
        let (key, socket) = (
            folder.path().join("notary"),
            folder.path().join("service.sock"),
        );
        std::fs::write(&key, [9; 32]).unwrap();
        let listener = unix(&socket).unwrap();
        let notary = Notary::new(key, Agent::new(folder.path().join("no-agent")));
        std::thread::spawn(move || forever(&listener, notary));
        socket
    }

    fn ask(socket: &mut UnixStream, request: &[u8]) -> Vec<u8> {
        socket.write_all(request).unwrap();
        let mut length = [0; 2];
        socket.read_exact(&mut length).unwrap();
        let mut content = vec![0; usize::from(u16::from_be_bytes(length))];
        socket.read_exact(&mut content).unwrap();
        content
    }

    #[test]
    fn signs_again_and_again_and_says_when_it_cannot_attest() {
        let folder = tempfile::tempdir().unwrap();
        let mut client = UnixStream::connect(service(&folder)).unwrap();
        let sign = [&[2_u8][..], &[1; 48]].concat();
        let signature = ask(&mut client, &sign);
        assert_eq!(signature.len(), 64);
        assert_eq!(ask(&mut client, &sign), signature);
        assert_eq!(ask(&mut client, &[&[1_u8][..], &[1; 32]].concat()), b"");
    }

    #[test]
    fn what_is_no_request_ends_the_connection_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let socket = service(&folder);
        for garbage in [&b"\x00"[..], b"GET / HTTP/1.1\r\n\r\n", b"\x02too short"] {
            let mut client = UnixStream::connect(&socket).unwrap();
            client.write_all(garbage).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut rest = Vec::new();
            // Unread garbage may show as a reset: no answer either way.
            let _reset = client.read_to_end(&mut rest);
            assert_eq!(rest, b"");
        }
        let mut client = UnixStream::connect(&socket).unwrap();
        assert_eq!(
            ask(&mut client, &[&[2_u8][..], &[1; 48]].concat()).len(),
            64
        );
    }

    #[test]
    fn one_client_too_many_is_closed_and_served_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let socket = service(&folder);
        let sign = [&[2_u8][..], &[1; 48]].concat();
        let mut clients: Vec<_> = (0..MAX_CONNECTIONS)
            .map(|_| UnixStream::connect(&socket).unwrap())
            .collect();
        for client in &mut clients {
            assert_eq!(ask(client, &sign).len(), 64);
        }
        let mut excess = UnixStream::connect(&socket).unwrap();
        assert_eq!(excess.read(&mut [0]).unwrap(), 0);
        clients.clear();
        for _ in 0..100 {
            let mut client = UnixStream::connect(&socket).unwrap();
            let mut length = [0; 2];
            if client.write_all(&sign).is_ok() && client.read_exact(&mut length).is_ok() {
                assert_eq!(length, [0, 64]);
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("never served again");
    }
}
