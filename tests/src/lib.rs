//! What the scenarios of Narthex share: people with keys, programs as real processes, and one end
//! of the channel to play by hand. Nothing here ships.

#![forbid(unsafe_code)]

pub mod connection;
pub mod statement;
