//! What the supervisor and its confined processes say to each other.
//!
//! A stream socket pair; each message is a u32 big-endian length and that many bytes of CBOR. A message must
//! be exactly what its own value encodes to: no trailing bytes, no other spelling. The supervisor
//! treats everything from the other end as hostile, however well the other end is confined.

mod confinement;
mod fetcher;
mod frame;
mod gate;

pub use confinement::{ConfinementOrder, ConfinementReport};
pub use fetcher::{FetcherFailure, FetcherSetup, FetcherTask, FromFetcher, ToFetcher};
pub use frame::{
    IpcError, MAX_FETCHER_MESSAGE_BYTES, MAX_GATE_MESSAGE_BYTES, MAX_SETUP_BYTES, decode, encode,
    read_message, read_setup, write_message, write_setup,
};
pub use gate::{FromGate, GateSetup, GateTally, ToGate};
