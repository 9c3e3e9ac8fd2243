//! What a relay counted, for the line that it leaves behind.

use serde_json::{Value, json};

use super::pump::{Ending, Moved};

/// Totals since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Connections taken from the listener.
    pub(crate) accepted: u64,
    /// Taking one failed (out of file descriptors, most often).
    pub(crate) accept_failures: u64,
    /// The other address did not answer.
    pub(crate) connect_failures: u64,
    /// Both directions ended by themselves.
    pub(crate) closed: u64,
    /// Ended because nothing moved.
    pub(crate) idle: u64,
    /// Ended because a side failed.
    pub(crate) broken: u64,
    /// Ended because the relay was stopped.
    pub(crate) cut: u64,
    /// Bytes towards the address connected to.
    pub(crate) forward_bytes: u64,
    /// Bytes back.
    pub(crate) backward_bytes: u64,
}

/// What became of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Both sides were connected.
    Pair(Ending),
    /// The other address did not answer.
    Unreachable,
    /// The relay was stopped under it.
    Cut,
}

impl Counts {
    /// Adds a connection that ended.
    pub(crate) fn add(&mut self, end: End, moved: &Moved) {
        match end {
            End::Pair(Ending::Closed) => self.closed += 1,
            End::Pair(Ending::Idle) => self.idle += 1,
            End::Pair(Ending::Failed) => self.broken += 1,
            End::Unreachable => self.connect_failures += 1,
            End::Cut => self.cut += 1,
        }
        self.forward_bytes = self.forward_bytes.saturating_add(moved.forward_bytes.get());
        self.backward_bytes = self
            .backward_bytes
            .saturating_add(moved.backward_bytes.get());
    }

    /// One line for people.
    pub(crate) fn text(&self) -> String {
        let Self {
            accepted,
            accept_failures,
            connect_failures,
            closed,
            idle,
            broken,
            cut,
            forward_bytes,
            backward_bytes,
        } = self;
        format!(
            "{accepted} connections: {closed} closed, {idle} idle, {broken} broken, {cut} cut off, \
             {connect_failures} could not connect, {accept_failures} could not be accepted; \
             {forward_bytes} bytes there, {backward_bytes} bytes back"
        )
    }

    /// The same as JSON.
    pub(crate) fn to_json(self) -> Value {
        let Self {
            accepted,
            accept_failures,
            connect_failures,
            closed,
            idle,
            broken,
            cut,
            forward_bytes,
            backward_bytes,
        } = self;
        json!({
            "accepted": accepted,
            "accept_failures": accept_failures,
            "connect_failures": connect_failures,
            "closed": closed,
            "idle": idle,
            "broken": broken,
            "cut": cut,
            "forward_bytes": forward_bytes,
            "backward_bytes": backward_bytes,
        })
    }
}
