//! Serving a mock over a Unix socket, so that other processes can use it (`docs/mock-socket.md`).
//!
//! One thread accepts, one thread per connection reads requests and writes answers. Everything is
//! bounded: connections, sizes, and the time that a peer may keep a connection without using it. A
//! failed accept never ends the server.
//!
//! ```
//! use std::sync::Arc;
//! use narthex_nsm::Nsm;
//! use narthex_nsm::mock::mint::DevelopmentAuthority;
//! use narthex_nsm::mock::server::{Server, ServerLimits};
//! use narthex_nsm::mock::{MockConfig, MockNsm};
//! use narthex_nsm::socket::SocketNsm;
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("nsm.sock");
//! let authority = DevelopmentAuthority::insecure_fixed();
//! let nsm = Arc::new(MockNsm::new(authority, MockConfig::example()));
//! let server = Server::bind(&path, nsm, ServerLimits::default())?.spawn()?;
//! assert_eq!(SocketNsm::new(&path).random()?.len(), 256);
//! server.stop();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod connection;
mod socket_file;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use self::socket_file::SocketFile;

/// What a server serves: one answer to each request, both framed by their lengths.
pub trait Service: Send + Sync {
    /// A request that says to be longer is not read.
    fn max_request_bytes(&self) -> usize;

    /// The answer to a request. The bytes may be anybody's.
    fn answer(&self, request: &[u8]) -> Vec<u8>;

    /// The last answer to a peer whose request is too long.
    fn answer_too_large(&self) -> Vec<u8>;
}

/// Limits of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections at one time; further ones wait in the kernel's queue. Default 256: more than the
    /// threads of any test, far less than a process may have descriptors.
    pub max_connections: usize,
    /// How long a connection may be without a request. Default 60 s.
    pub idle_timeout: Duration,
    /// How long one request may take to arrive, and one answer to be taken. Default 10 s.
    pub transfer_timeout: Duration,
    /// How long a stopping server waits for answers that are under way. Default 5 s.
    pub stop_grace: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_connections: 256,
            idle_timeout: Duration::from_secs(60),
            transfer_timeout: Duration::from_secs(10),
            stop_grace: Duration::from_secs(5),
        }
    }
}

/// A server that is bound and not yet running.
pub struct Server {
    listener: UnixListener,
    /// Removes the socket from the file system when the server ends.
    _socket_file: SocketFile,
    service: Arc<dyn Service>,
    limits: ServerLimits,
    wake: UnixStream,
    stopper: Stopper,
}

/// Stops a server from another thread. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stopper {
    shared: Arc<Shared>,
}

/// A server on a thread of its own. Dropping it stops the server and waits for its end.
#[derive(Debug)]
pub struct RunningServer {
    stopper: Stopper,
    thread: Option<thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    /// Guards the table of connections; held for single operations only.
    state: Mutex<State>,
    /// Signalled when a connection ends and when the server is to stop.
    changed: Condvar,
    wake: UnixStream,
}

#[derive(Debug, Default)]
struct State {
    stopping: bool,
    next_id: u64,
    open: HashMap<u64, UnixStream>,
}

impl Server {
    /// Listens at `path` with mode 0600. A socket that nobody serves any more is replaced.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AddrInUse`] when somebody serves this socket,
    /// [`io::ErrorKind::AlreadyExists`] when the path is something else; otherwise what the system
    /// says.
    pub fn bind(
        path: &Path,
        service: Arc<impl Service + 'static>,
        limits: ServerLimits,
    ) -> io::Result<Self> {
        let (listener, socket_file) = SocketFile::bind(path)?;
        listener.set_nonblocking(true)?;
        let (wake, waker) = UnixStream::pair()?;
        let shared = Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
            wake: waker,
        };
        let stopper = Stopper {
            shared: Arc::new(shared),
        };
        Ok(Self {
            listener,
            _socket_file: socket_file,
            service,
            limits,
            wake,
            stopper,
        })
    }

    /// What stops this server.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Serves until [`Stopper::stop`]: then takes no more requests, finishes the answers that are
    /// under way, and removes the socket.
    pub fn run(self) {
        let shared = &self.stopper.shared;
        while shared.wait_for_room(self.limits.max_connections) {
            match self.accept() {
                Ok(Some(stream)) => self.serve(stream),
                Ok(None) => {}
                // Out of descriptors or memory: both pass. The listener stays.
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
        shared.finish(self.limits.stop_grace);
    }

    /// Serves on a thread of its own.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn spawn(self) -> io::Result<RunningServer> {
        let stopper = self.stopper();
        let builder = thread::Builder::new().name("mock-nsm".to_owned());
        let thread = builder.spawn(move || self.run())?;
        Ok(RunningServer {
            stopper,
            thread: Some(thread),
        })
    }

    /// The next connection; `None` when woken for another reason.
    fn accept(&self) -> io::Result<Option<UnixStream>> {
        let mut waited = [
            PollFd::new(self.listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.wake.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut waited, PollTimeout::NONE) {
            Ok(_) => {}
            Err(nix::errno::Errno::EINTR) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        match self.listener.accept() {
            Ok((stream, _)) => Ok(Some(stream)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands a connection to a thread. When there is none to be had, the connection is closed.
    fn serve(&self, stream: UnixStream) {
        let shared = Arc::clone(&self.stopper.shared);
        let Some(id) = stream
            .try_clone()
            .ok()
            .and_then(|clone| shared.register(clone))
        else {
            return;
        };
        let (service, limits) = (Arc::clone(&self.service), self.limits);
        let spawned = thread::Builder::new()
            .name("mock-nsm-peer".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || {
                    let _open = Registration { shared, id };
                    // A peer that breaks off or stalls is its own business; there is nobody to tell.
                    let _ = connection::serve(stream, &*service, &limits);
                }
            });
        if spawned.is_err() {
            shared.deregister(id);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("listener", &self.listener)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Stopper {
    /// Asks the server to end. Returns at once; does nothing the second time.
    pub fn stop(&self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        // Makes the other end readable; both ends may be gone already.
        let _ = self.shared.wake.shutdown(Shutdown::Both);
    }
}

impl RunningServer {
    /// What stops this server.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Stops the server and waits for its end.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            // It has nothing to return; a panic in it has been printed.
            let _ = thread.join();
        }
    }
}

/// A connection's place in the table, given back even when its thread panics.
struct Registration {
    shared: Arc<Shared>,
    id: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.deregister(self.id);
    }
}

impl Shared {
    /// Waits until there is room for a connection. False when the server is to stop.
    fn wait_for_room(&self, max_connections: usize) -> bool {
        let full = |state: &mut State| !state.stopping && state.open.len() >= max_connections;
        let state = self.changed.wait_while(self.lock(), full);
        !state.unwrap_or_else(PoisonError::into_inner).stopping
    }

    /// `None` when the server is to stop.
    fn register(&self, stream: UnixStream) -> Option<u64> {
        let mut state = self.lock();
        if state.stopping {
            return None;
        }
        let id = state.next_id;
        state.next_id = id.wrapping_add(1);
        state.open.insert(id, stream);
        Some(id)
    }

    fn deregister(&self, id: u64) {
        self.lock().open.remove(&id);
        self.changed.notify_all();
    }

    /// Lets no connection send more, waits for answers under way, and cuts what is left.
    fn finish(&self, grace: Duration) {
        let deadline = Instant::now() + grace;
        let mut state = self.lock();
        for stream in state.open.values() {
            let _ = stream.shutdown(Shutdown::Read);
        }
        while !state.open.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        for stream in state.open.values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Each change of the state is one operation, so a panic leaves it whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
