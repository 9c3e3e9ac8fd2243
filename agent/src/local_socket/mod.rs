//! The workload's local socket: HTTP/1.1 over a Unix socket.

pub mod backend;
