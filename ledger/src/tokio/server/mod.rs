//! What the server for readers and the witness have in common: connections, limits, HTTP.

mod limits;
mod message;
mod serve;

use std::sync::Arc;

pub use limits::{ServeLimits, ServeStatistics};
pub(super) use message::{Answer, Head, NO_STORE, TEXT};
pub(super) use serve::{serve_all, serve_connection};

/// What answers requests.
pub(super) trait Service: Send + Sync + 'static {
    /// Most bytes of a request's body.
    const MAX_BODY_BYTES: usize;

    /// An answer that needs no body, such as that the path or the method is wrong.
    fn at_once(&self, head: &Head) -> Option<Answer>;

    /// The answer, once the body is there.
    fn answer(self: Arc<Self>, head: Head, body: Vec<u8>) -> impl Future<Output = Answer> + Send;
}
