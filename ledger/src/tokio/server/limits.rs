//! What a server allows, and what it counts.

use core::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::StatusCode;

/// What a server allows its peers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServeLimits {
    /// Connections at once, over all its sockets; more wait in the kernel's queue.
    pub connections: usize,
    /// Time for the head of a request, the wait for the next request included.
    pub head: Duration,
    /// Time without a byte while a body is read or an answer is written.
    pub stall: Duration,
    /// Time for one request's body as a whole.
    pub body: Duration,
    /// Longest life of a connection.
    pub lifetime: Duration,
    /// How long a server that is told to stop waits for the answers it is giving.
    pub drain: Duration,
}

impl Default for ServeLimits {
    /// 64 connections; 15 seconds for a head, for a stall and for a body; 5 minutes for a connection; 5 seconds to
    /// stop.
    fn default() -> Self {
        Self {
            connections: 64,
            head: Duration::from_secs(15),
            stall: Duration::from_secs(15),
            body: Duration::from_secs(15),
            lifetime: Duration::from_secs(300),
            drain: Duration::from_secs(5),
        }
    }
}

/// What a server has counted since it started.
#[derive(Debug, Default)]
pub struct ServeStatistics {
    pub(super) connections: AtomicU64,
    pub(super) expired: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
}

impl ServeStatistics {
    /// Connections accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Connections ended because they had lasted long enough.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.expired.load(Ordering::Relaxed)
    }

    /// Requests answered with success.
    #[must_use]
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Requests refused: a 4xx status.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Requests that failed here: a 5xx status.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    pub(super) fn count(&self, status: StatusCode) {
        let counter = if status.is_client_error() {
            &self.refused
        } else if status.is_server_error() {
            &self.failed
        } else {
            &self.answered
        };
        add(counter);
    }
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
