//! A whole log in a folder: what its reader accepts, and how it notices every kind of mischief.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // A test that goes wrong panics.

mod attacks;
mod folder;
mod million;
mod reading;
mod support;
