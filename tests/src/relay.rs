//! The hostile host: relays connections frame by frame, keeps every byte, and misbehaves when told to.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use narthex_channel::Address;
use narthex_channel::frame::Decoder;

use crate::connection::connect_hybrid;

/// Longest silence on a relayed connection.
const IDLE: Duration = Duration::from_secs(60);

/// Who sends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// The one who connected to the relay.
    FromInitiator,
    /// The one whom the relay connects to.
    FromResponder,
}

/// What the relay does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Conduct {
    /// Relays honestly.
    Honest,
    /// Does something to one frame, counted from 0 in its direction, on every connection.
    Frame(Direction, usize, Mischief),
    /// Hands the stream over one byte at a time: honest, and hard on whoever expects packets.
    Dribble,
    /// Waits before each frame.
    Slow(Duration),
    /// Accepts, and says nothing.
    Silent,
    /// Accepts, and closes.
    HangUp,
}

/// What is done to a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mischief {
    /// It is left out.
    Drop,
    /// It comes twice.
    Repeat,
    /// It comes after the next one.
    Swap,
    /// Its last bit is turned.
    Flip,
    /// Half of it comes, and then the end.
    CutOff,
    /// A frame of the relay's own comes before it.
    Insert,
    /// It goes back to its sender as well.
    Reflect,
}

/// A running relay. It listens until it is dropped; connections end with their ends.
pub struct Relay {
    state: Arc<State>,
    address: Address,
}

struct State {
    target: Mutex<Address>,
    conduct: Mutex<Conduct>,
    /// What went through, both directions of all connections, for the search.
    recorded: Mutex<Vec<u8>>,
    /// What came from those who connected alone.
    from_initiators: Mutex<Vec<u8>>,
    connections: AtomicU64,
    ended: AtomicBool,
}

impl Relay {
    /// Listens at `path` and relays to `target`.
    ///
    /// # Errors
    ///
    /// What the operating system says about the socket.
    pub fn start(path: &Path, target: Address) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        // Agents' fetchers may run as a user of their own.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(path, mode)?;
        let state = Arc::new(State {
            target: Mutex::new(target),
            conduct: Mutex::new(Conduct::Honest),
            recorded: Mutex::default(),
            from_initiators: Mutex::default(),
            connections: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for accepted in listener.incoming() {
                if shared.ended.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(near) = accepted else { continue };
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let shared = Arc::clone(&shared);
                thread::spawn(move || relay(near, &shared));
            }
        });
        Ok(Self {
            state,
            address: Address::Unix(path.to_owned()),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Behaves like this from the next connection on.
    pub fn behave(&self, conduct: Conduct) {
        *lock(&self.state.conduct) = conduct;
    }

    /// Relays to somebody else from the next connection on.
    pub fn route_to(&self, target: Address) {
        *lock(&self.state.target) = target;
    }

    /// Every byte that went through so far.
    #[must_use]
    pub fn recorded(&self) -> Vec<u8> {
        lock(&self.state.recorded).clone()
    }

    /// Every byte that came from those who connected.
    #[must_use]
    pub fn from_initiators(&self) -> Vec<u8> {
        lock(&self.state.from_initiators).clone()
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.state.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
        if let Address::Unix(path) = &self.address {
            // Wakes the thread that accepts.
            let _ = UnixStream::connect(path);
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A socket of a kind that both halves of a relay can hold.
enum Far {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Far {
    fn connect(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => TcpStream::connect(address).map(Self::Tcp),
            Address::Unix(path) => UnixStream::connect(path).map(Self::Unix),
            Address::Hybrid { path, port } => connect_hybrid(path, *port).map(Self::Unix),
            _ => Err(io::Error::from(io::ErrorKind::Unsupported)),
        }
    }

    fn share(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(Some(IDLE))?;
                stream.try_clone().map(Self::Tcp)
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(IDLE))?;
                stream.try_clone().map(Self::Unix)
            }
        }
    }

    fn shut(&self) {
        // The other half may have done so already.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Unix(stream) => stream.write_all(bytes),
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

fn relay(near: UnixStream, state: &Arc<State>) {
    let conduct = *lock(&state.conduct);
    let near = Far::Unix(near);
    if conduct == Conduct::HangUp {
        return near.shut();
    }
    let target = lock(&state.target).clone();
    let Ok(far) = Far::connect(&target) else {
        return near.shut();
    };
    let (Ok(mut near_in), Ok(mut far_in)) = (near.share(), far.share()) else {
        return;
    };
    let (Ok(near_back), Ok(far_back)) = (near.share(), far.share()) else {
        return;
    };
    let (shared, mut far, mut near) = (Arc::clone(state), far, near);
    let there = thread::spawn(move || {
        let mut way = Way::new(Direction::FromInitiator, conduct, near_back);
        way.pump(&mut near_in, &mut far, &shared);
    });
    let mut way = Way::new(Direction::FromResponder, conduct, far_back);
    way.pump(&mut far_in, &mut near, state);
    let _ = there.join();
}

/// One direction of one connection.
struct Way {
    direction: Direction,
    conduct: Conduct,
    frames: usize,
    held: Option<Vec<u8>>,
    /// Back to the sender.
    back: Far,
}

impl Way {
    fn new(direction: Direction, conduct: Conduct, back: Far) -> Self {
        Self {
            direction,
            conduct,
            frames: 0,
            held: None,
            back,
        }
    }

    fn pump(&mut self, from: &mut Far, to: &mut Far, state: &State) {
        let mut decoder = Decoder::new();
        decoder.handshake_done();
        let mut buffer = [0; 8192];
        loop {
            let count = match from.receive(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            lock(&state.recorded).extend_from_slice(bytes);
            if self.direction == Direction::FromInitiator {
                lock(&state.from_initiators).extend_from_slice(bytes);
            }
            decoder.push(bytes);
            let passed = loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => {
                        if let Err(error) = self.pass(frame, to) {
                            break Err(error);
                        }
                    }
                    Ok(None) => break Ok(()),
                    Err(_) => break Err(io::ErrorKind::InvalidData.into()),
                }
            };
            if passed.is_err() {
                break;
            }
        }
        // Either end gone: both are gone. The channel closes in good order before, or finds out.
        to.shut();
        from.shut();
    }

    fn pass(&mut self, frame: Vec<u8>, to: &mut Far) -> io::Result<()> {
        let number = self.frames;
        self.frames = self.frames.saturating_add(1);
        let whole = framed(&frame);
        match self.conduct {
            Conduct::Honest | Conduct::HangUp => to.send(&whole),
            Conduct::Silent => Ok(()),
            Conduct::Slow(pause) => {
                thread::sleep(pause);
                to.send(&whole)
            }
            Conduct::Dribble => whole.iter().try_for_each(|byte| to.send(&[*byte])),
            Conduct::Frame(direction, at, mischief)
                if direction == self.direction && at == number =>
            {
                self.mischief(mischief, frame, to)
            }
            Conduct::Frame(..) => {
                to.send(&whole)?;
                match self.held.take() {
                    Some(held) => to.send(&held),
                    None => Ok(()),
                }
            }
        }
    }

    fn mischief(&mut self, mischief: Mischief, mut frame: Vec<u8>, to: &mut Far) -> io::Result<()> {
        let whole = framed(&frame);
        match mischief {
            Mischief::Drop => Ok(()),
            Mischief::Repeat => to.send(&whole).and_then(|()| to.send(&whole)),
            Mischief::Swap => {
                self.held = Some(whole);
                Ok(())
            }
            Mischief::Flip => {
                if let Some(last) = frame.last_mut() {
                    *last ^= 1;
                }
                to.send(&framed(&frame))
            }
            Mischief::CutOff => {
                to.send(whole.get(..whole.len() / 2).unwrap_or_default())?;
                Err(io::ErrorKind::BrokenPipe.into())
            }
            Mischief::Insert => to.send(&framed(&[0x5a; 64])).and_then(|()| to.send(&whole)),
            Mischief::Reflect => self.back.send(&whole).and_then(|()| to.send(&whole)),
        }
    }
}

fn framed(frame: &[u8]) -> Vec<u8> {
    let length = u16::try_from(frame.len()).unwrap_or(u16::MAX);
    [length.to_be_bytes().as_slice(), frame].concat()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
