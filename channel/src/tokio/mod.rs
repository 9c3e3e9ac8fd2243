//! The thin shell: sockets, timeouts and nothing else.
