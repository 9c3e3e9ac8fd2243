//! A Nitro Security Module in memory, with a root of its own (feature `mock`).

pub mod mint;
