//! The formats against published vectors, against other implementations, and against mischief.

mod merkle;
mod support;
