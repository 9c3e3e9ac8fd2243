//! A whole log in a folder: what its reader accepts, and how it notices every kind of mischief.

mod attacks;
mod folder;
mod million;
mod reading;
mod support;
