//! Messages between supervisor and a fetcher. A fetcher makes one exchange and ends.

use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{CborLen, Decode, Encode};

use super::confinement::{ConfinementOrder, ConfinementReport};

/// The first message to a fetcher, while it is not yet confined.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
#[cbor(array)]
pub struct FetcherSetup {
    /// How to be confined.
    #[n(0)]
    pub confinement: ConfinementOrder,
    /// With a `hybrid:` address, the port to ask for before anything else.
    #[n(1)]
    pub hybrid_port: Option<u32>,
    /// What to speak.
    #[n(2)]
    pub task: FetcherTask,
    /// How long the exchange may take, milliseconds.
    #[n(3)]
    pub timeout_millis: u64,
}

/// What a fetcher speaks on its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
pub enum FetcherTask {
    /// The policy use: Noise NN, an anonymous and untrusted source.
    #[n(0)]
    Policy,
    /// The keys use: Noise NK against the static key that the policy names.
    #[n(1)]
    Keys {
        /// The service's X25519 public key.
        #[n(0)]
        service_key: ByteArray<32>,
    },
}

/// What a fetcher says. All of it is hostile input to the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
pub enum FromFetcher {
    /// The sandbox is in force; not one byte from outside has been read. Sent once, first.
    #[n(0)]
    Confined(#[n(0)] ConfinementReport),
    /// The handshake ended with this hash.
    #[n(1)]
    Connected {
        /// The handshake hash.
        #[n(0)]
        handshake_hash: ByteArray<32>,
    },
    /// The answer's bytes.
    #[n(2)]
    Received {
        /// The decrypted bytes, untouched.
        #[n(0)]
        content: ByteVec,
    },
    /// The exchange failed.
    #[n(3)]
    Failed(#[n(0)] FetcherFailure),
}

/// At which step an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
#[cbor(index_only)]
pub enum FetcherFailure {
    /// The `hybrid:` peer did not open the port.
    #[n(0)]
    Hybrid,
    /// The handshake: for the keys use also a service without the expected static key.
    #[n(1)]
    Handshake,
    /// The session broke after the handshake.
    #[n(2)]
    Session,
    /// The peer speaks no version that we speak.
    #[n(3)]
    Version,
    /// It took too long.
    #[n(4)]
    Timeout,
}

impl FetcherFailure {
    /// Stable text.
    pub fn id(self) -> &'static str {
        match self {
            Self::Hybrid => "fetcher.hybrid",
            Self::Handshake => "fetcher.handshake",
            Self::Session => "fetcher.session",
            Self::Version => "fetcher.version",
            Self::Timeout => "fetcher.timeout",
        }
    }
}

/// What the supervisor tells a fetcher.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
pub enum ToFetcher {
    /// Send this content and read the answer.
    #[n(0)]
    Send {
        /// The content.
        #[n(0)]
        content: ByteVec,
    },
}
