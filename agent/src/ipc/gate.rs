//! Messages between supervisor and gate.

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{CborLen, Decode, Encode};

use super::confinement::{ConfinementOrder, ConfinementReport};

/// The first message to a gate, while it is not yet confined.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
#[cbor(array)]
pub struct GateSetup {
    /// How to be confined.
    #[n(0)]
    pub confinement: ConfinementOrder,
    /// Connections at once.
    #[n(1)]
    pub connections: u16,
    /// How long the handshake may take, milliseconds.
    #[n(2)]
    pub handshake_millis: u64,
    /// How long a connection may be silent, milliseconds.
    #[n(3)]
    pub idle_millis: u64,
    /// How long a connection may live in all, milliseconds.
    #[n(4)]
    pub session_millis: u64,
    /// vsock peers that may connect; other kinds of listener ignore it.
    #[n(5)]
    pub peer_cids: Vec<u32>,
}

/// What the gate says. All of it is hostile input to the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
pub enum FromGate {
    /// The sandbox is in force; not one byte from outside has been read. Sent once, first.
    #[n(0)]
    Confined(#[n(0)] ConfinementReport),
    /// A handshake ended with this hash; the session wants its document.
    #[n(1)]
    Opened {
        /// The gate's number of the connection.
        #[n(0)]
        connection: u32,
        /// The handshake hash.
        #[n(1)]
        handshake_hash: ByteArray<32>,
    },
    /// The raw bytes of a call.
    #[n(2)]
    Call {
        /// The connection it came on.
        #[n(0)]
        connection: u32,
        /// The decrypted bytes, untouched.
        #[n(1)]
        content: ByteVec,
    },
    /// The connection ended.
    #[n(3)]
    Closed {
        /// The connection.
        #[n(0)]
        connection: u32,
    },
    /// What the gate turned away since the last tally.
    #[n(4)]
    Tally(#[n(0)] GateTally),
}

/// Counts of what the gate turned away by itself, since the last tally.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode, CborLen)]
#[cbor(array)]
pub struct GateTally {
    /// Closed at once: all places taken, or a peer that may not connect.
    #[n(0)]
    pub limited: u32,
    /// Ended by a broken rule: no sound handshake, a bad frame, a failed decryption.
    #[n(1)]
    pub faulty: u32,
    /// Ended because a time ran out.
    #[n(2)]
    pub timed_out: u32,
}

/// What the supervisor tells the gate.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
pub enum ToGate {
    /// Content to send on a connection.
    #[n(0)]
    Send {
        /// The connection.
        #[n(0)]
        connection: u32,
        /// The content.
        #[n(1)]
        content: ByteVec,
    },
    /// Close a connection.
    #[n(1)]
    Close {
        /// The connection.
        #[n(0)]
        connection: u32,
    },
}
