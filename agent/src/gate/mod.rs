//! The gate: accepts operators' connections, makes the handshakes, and carries bytes.
//!
//! It reads whatever the parent sends, so it is the process most likely to fall; and it is worth nothing to
//! whoever takes it: no NSM, no keys, no files, no policy. Every call goes to the supervisor as the
//! raw bytes that came, with the number of the connection, and the supervisor judges it by the handshake
//! hash that it attested itself.

mod connection;
mod listener;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::child::{ConfinedLoop, END_OF_WORK, Inherited, PROTOCOL_BROKEN, Setup, enter};
use crate::ipc::{
    self, ConfinementOrder, FromGate, GateSetup, GateTally, MAX_GATE_MESSAGE_BYTES, ToGate,
};
use crate::sandbox::Profile;

use listener::Listener;

/// Descriptors besides the connections: standard streams, two sockets, the event loop's own.
const SPARE_OPEN_FILES: u64 = 24;
/// How often the supervisor hears what was turned away.
const TALLY_INTERVAL: Duration = Duration::from_secs(1);
/// Messages to the supervisor that may wait.
const OUTGOING_MESSAGES: usize = 64;

impl Setup for GateSetup {
    fn confinement(&self) -> ConfinementOrder {
        self.confinement
    }

    fn max_open_files(&self) -> u64 {
        u64::from(self.connections).saturating_add(SPARE_OPEN_FILES)
    }
}

/// The gate's main function. Returns its exit code.
pub fn run(inherited: Inherited) -> u8 {
    let (setup, confined) = match enter::<GateSetup>(inherited, Profile::Gate) {
        Ok(entered) => entered,
        Err(code) => return code,
    };
    let ConfinedLoop {
        runtime,
        supervisor,
        work,
        confinement,
    } = confined;
    let confined = FromGate::Confined(confinement.into());
    LocalSet::new().block_on(&runtime, async move {
        let (Ok(supervisor), Ok(listener)) =
            (UnixStream::from_std(supervisor), Listener::new(work))
        else {
            return PROTOCOL_BROKEN;
        };
        serve(setup, supervisor, listener, confined).await
    })
}

async fn serve(
    setup: GateSetup,
    supervisor: UnixStream,
    listener: Listener,
    confined: FromGate,
) -> u8 {
    let (from_supervisor, mut to_supervisor) = supervisor.into_split();
    let (outgoing, mut messages) = mpsc::channel::<FromGate>(OUTGOING_MESSAGES);
    if outgoing.send(confined).await.is_err() {
        return PROTOCOL_BROKEN;
    }
    let gate = Rc::new(Gate {
        setup,
        outgoing,
        connections: RefCell::default(),
        tally: Cell::default(),
    });
    let write = async move {
        while let Some(message) = messages.recv().await {
            let written =
                ipc::write_message(&mut to_supervisor, &message, MAX_GATE_MESSAGE_BYTES).await;
            if written.is_err() {
                break;
            }
        }
        let _ = to_supervisor.shutdown().await;
    };
    // Whichever ends first ends the gate: without its supervisor it has nothing to do.
    tokio::select! {
        () = write => {}
        () = gate.clone().read_supervisor(from_supervisor) => {}
        () = gate.clone().report_tallies() => {}
        () = gate.accept(listener) => {}
    }
    END_OF_WORK
}

/// The gate's state, shared by its tasks on one thread.
struct Gate {
    setup: GateSetup,
    outgoing: mpsc::Sender<FromGate>,
    /// For each connection, where the supervisor's contents for it go. `None` ends it; it has its place until it has gone,
    /// because a peer that does not hang up holds it for a while.
    connections: RefCell<BTreeMap<u32, Option<mpsc::Sender<Vec<u8>>>>>,
    tally: Cell<GateTally>,
}

impl Gate {
    async fn accept(self: Rc<Self>, listener: Listener) {
        let mut next_number: u32 = 0;
        loop {
            let stream = match listener.accept(&self.setup.peer_cids).await {
                Ok(Some(stream)) => stream,
                // A peer that may not connect.
                Ok(None) => {
                    self.count(|tally| &mut tally.limited);
                    continue;
                }
                // A failed accept never ends the listener (R46); a full descriptor table passes.
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            if self.connections.borrow().len() >= usize::from(self.setup.connections) {
                self.count(|tally| &mut tally.limited);
                continue;
            }
            next_number = next_number.wrapping_add(1);
            let (sender, contents) = mpsc::channel(1);
            self.connections
                .borrow_mut()
                .insert(next_number, Some(sender));
            let gate = self.clone();
            tokio::task::spawn_local(gate.connection(next_number, stream, contents));
        }
    }

    async fn read_supervisor(self: Rc<Self>, mut supervisor: OwnedReadHalf) {
        while let Ok(bytes) = ipc::read_message(&mut supervisor, MAX_GATE_MESSAGE_BYTES).await {
            match ipc::decode(&bytes) {
                Ok(ToGate::Send {
                    connection,
                    content,
                }) => {
                    let connections = self.connections.borrow();
                    if let Some(Some(sender)) = connections.get(&connection) {
                        // One answer to one request: a second one before the first is taken has no place.
                        let _ = sender.try_send(content.into());
                    }
                }
                Ok(ToGate::Close { connection }) => {
                    if let Some(sender) = self.connections.borrow_mut().get_mut(&connection) {
                        *sender = None;
                    }
                }
                Err(_) => return,
            }
        }
    }

    async fn report_tallies(self: Rc<Self>) {
        loop {
            tokio::time::sleep(TALLY_INTERVAL).await;
            let tally = self.tally.take();
            if tally != GateTally::default()
                && self.outgoing.send(FromGate::Tally(tally)).await.is_err()
            {
                return;
            }
        }
    }

    fn count(&self, which: impl FnOnce(&mut GateTally) -> &mut u32) {
        let mut tally = self.tally.get();
        let count = which(&mut tally);
        *count = count.saturating_add(1);
        self.tally.set(tally);
    }
}
