//! The formats against published vectors, against other implementations, and against mischief.

mod checkpoints;
mod keys;
mod merkle;
mod notes;
mod proofs;
mod support;
mod tiles;
mod trust;
mod witnesses;
