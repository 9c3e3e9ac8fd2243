//! The parent instance as an enclave sees it at boot: somebody who returns a heartbeat and reads the boot status,
//! or fails to.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use narthex_agent::init::status::{BootStatus, MESSAGE_BYTES};
use narthex_channel::Address;

/// Where an enclave's heartbeat goes.
pub const HEARTBEAT_PORT: u32 = 9000;
/// Where it gets its keys.
pub const KEYS_PORT: u32 = 9100;
/// Where it gets its policy.
pub const POLICY_PORT: u32 = 9101;
/// Where it says how far its boot came.
pub const STATUS_PORT: u32 = 9102;

/// The byte that goes both ways (AWS's convention for init).
pub const HEARTBEAT: u8 = 0xb7;

/// How a parent answers the heartbeat.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Heart {
    /// With the same byte.
    Beats,
    /// With another byte.
    Answers(u8),
    /// Not at all, and keeps the connection.
    IsSilent,
    /// It closes at once.
    HangsUp,
    /// It does not listen.
    IsAbsent,
}

/// A parent's end of heartbeat and boot status, until it is dropped.
pub struct Parent {
    shared: Arc<Shared>,
    _ports: Vec<Port>,
}

#[derive(Default)]
struct Shared {
    heart: Mutex<Option<Heart>>,
    heartbeats: Mutex<usize>,
    statuses: Mutex<Vec<BootStatus>>,
    /// Every byte that came, on both ports.
    recorded: Mutex<Vec<u8>>,
    /// What was no status.
    odd: Mutex<Vec<Vec<u8>>>,
}

impl Parent {
    /// Listens at the ports of the machine whose device listens at `socket`.
    ///
    /// # Errors
    ///
    /// What the operating system says about the sockets.
    pub fn start(socket: &Path, heart: Heart) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        *lock(&shared.heart) = Some(heart);
        let mut ports = Vec::new();
        if heart != Heart::IsAbsent {
            let shared = Arc::clone(&shared);
            ports.push(Port::open(socket, HEARTBEAT_PORT, move |stream| {
                shared.heartbeat(stream)
            })?);
        }
        let state = Arc::clone(&shared);
        ports.push(Port::open(socket, STATUS_PORT, move |stream| {
            state.status(stream)
        })?);
        Ok(Self {
            shared,
            _ports: ports,
        })
    }

    /// Answers heartbeats like this from now on.
    pub fn behave(&self, heart: Heart) {
        *lock(&self.shared.heart) = Some(heart);
    }

    /// Heartbeats so far.
    #[must_use]
    pub fn heartbeats(&self) -> usize {
        *lock(&self.shared.heartbeats)
    }

    /// What the agent said about its boot so far.
    ///
    /// # Panics
    ///
    /// If it said something else.
    #[must_use]
    pub fn statuses(&self) -> Vec<BootStatus> {
        let odd = lock(&self.shared.odd);
        assert!(odd.is_empty(), "no boot status: {odd:?}");
        lock(&self.shared.statuses).clone()
    }

    /// Every byte that came.
    #[must_use]
    pub fn recorded(&self) -> Vec<u8> {
        lock(&self.shared.recorded).clone()
    }
}

impl Shared {
    fn heartbeat(&self, mut stream: UnixStream) -> io::Result<()> {
        let heart = *lock(&self.heart);
        if matches!(heart, Some(Heart::HangsUp)) {
            return Ok(());
        }
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        lock(&self.recorded).extend_from_slice(&byte);
        if byte == [HEARTBEAT] {
            *lock(&self.heartbeats) += 1;
        }
        match heart {
            Some(Heart::Beats) => stream.write_all(&[HEARTBEAT])?,
            Some(Heart::Answers(other)) => stream.write_all(&[other])?,
            _ => {}
        }
        // Until the agent closes: a parent that closes first is another case.
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest)?;
        lock(&self.recorded).extend_from_slice(&rest);
        Ok(())
    }

    fn status(&self, mut stream: UnixStream) -> io::Result<()> {
        let mut bytes = [0; MESSAGE_BYTES];
        let read = stream.read_exact(&mut bytes);
        lock(&self.recorded).extend_from_slice(&bytes);
        match BootStatus::decode(&bytes) {
            Some(status) => lock(&self.statuses).push(status),
            None => lock(&self.odd).push(bytes.to_vec()),
        }
        // The agent waits for the end, a little, to be sure that its message arrived.
        read
    }
}

/// A port of the parent that is served by a function, until it is dropped.
pub struct Port {
    path: PathBuf,
    ended: Arc<AtomicBool>,
}

impl Port {
    /// Listens at a port of the machine whose device listens at `socket`; each connection has a thread.
    ///
    /// # Errors
    ///
    /// What the operating system says about the socket.
    pub fn open(
        socket: &Path,
        port: u32,
        serve: impl Fn(UnixStream) -> io::Result<()> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let path = Address::hybrid_listening_path(socket, port);
        let listener = UnixListener::bind(&path)?;
        let ended = Arc::new(AtomicBool::new(false));
        let (serve, seen) = (Arc::new(serve), Arc::clone(&ended));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if seen.load(Ordering::Relaxed) {
                    return;
                }
                let serve = Arc::clone(&serve);
                thread::spawn(move || {
                    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
                    // A machine that goes away is no failure of its parent.
                    serve(stream)
                });
            }
        });
        Ok(Self { path, ended })
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = UnixStream::connect(&self.path);
        let _ = std::fs::remove_file(&self.path);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
