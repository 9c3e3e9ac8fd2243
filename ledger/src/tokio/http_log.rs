//! A log behind an HTTP server, as a store that blocks.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use hyper::Method;
use hyper::body::Bytes;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::address::HttpAddress;
use super::client::{Ask, ClientLimits, HttpClient, Reply};
use super::error::{ClientError, ClientErrorKind};
use crate::evidence::MAX_EVIDENCE;
use crate::hash::Hash;
use crate::note::MAX_NOTE;
use crate::store::{LogStore, StoreError, StoreErrorKind};
use crate::tile::{MAX_ENTRY, Resource};

/// Requests under way at once; more wait.
const MAX_REQUESTS: usize = 8;

/// A log at an address: `http://HOST:PORT/PREFIX` or `unix:PATH`.
///
/// Requests run on a thread of its own, so that this can be called from anywhere and by many threads at once;
/// connections are kept. Answers are bounded by what was asked for, in size and time. Nothing that comes back is
/// trusted: readers check it against a signed checkpoint.
#[derive(Debug)]
pub struct HttpLog {
    address: HttpAddress,
    jobs: UnboundedSender<Job>,
}

struct Job {
    resource: Resource,
    answer: SyncSender<Result<Option<Vec<u8>>, ClientError>>,
}

impl HttpLog {
    /// A log at `address`, read with `authorization` as the value of that header, if any. Connects with the first
    /// request.
    ///
    /// # Errors
    ///
    /// [`ClientErrorKind::Authorization`] if no header can carry it; [`ClientErrorKind::Stopped`] if the system
    /// gives no thread.
    pub fn new(
        address: HttpAddress,
        authorization: Option<&str>,
        limits: ClientLimits,
    ) -> Result<Self, ClientError> {
        let mut client = HttpClient::new(address.clone(), limits);
        if let Some(authorization) = authorization {
            client = client.authorized(authorization)?;
        }
        let stopped = |_: io::Error| ClientError::new(ClientErrorKind::Stopped, &address);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(2) // Look-ups of names.
            .build()
            .map_err(stopped)?;
        let (jobs, waiting) = unbounded_channel();
        std::thread::Builder::new()
            .name("http-log".to_owned())
            .spawn(move || runtime.block_on(work(Arc::new(client), waiting)))
            .map_err(stopped)?;
        Ok(Self { address, jobs })
    }

    /// Where the log is.
    #[must_use]
    pub fn address(&self) -> &HttpAddress {
        &self.address
    }

    /// As [`LogStore::get`], with the client's own error.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn fetch(&self, resource: &Resource) -> Result<Option<Vec<u8>>, ClientError> {
        let stopped = || ClientError::new(ClientErrorKind::Stopped, &self.address);
        let (answer, answered) = sync_channel(1);
        let job = Job {
            resource: resource.clone(),
            answer,
        };
        self.jobs.send(job).map_err(|_| stopped())?;
        answered.recv().map_err(|_| stopped())?
    }
}

impl LogStore for HttpLog {
    fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        self.fetch(resource).map_err(|error| {
            let kind = match error.kind() {
                ClientErrorKind::Forbidden => StoreErrorKind::Forbidden,
                ClientErrorKind::TooLarge { .. }
                | ClientErrorKind::Encoded
                | ClientErrorKind::Protocol
                | ClientErrorKind::Body(_) => StoreErrorKind::Malformed,
                _ => StoreErrorKind::Unavailable,
            };
            StoreError::new(kind, format!("{resource} of {error}"))
        })
    }
}

/// Ends with the last sender.
async fn work(client: Arc<HttpClient>, mut jobs: UnboundedReceiver<Job>) {
    let places = Arc::new(Semaphore::new(MAX_REQUESTS));
    while let Some(Job { resource, answer }) = jobs.recv().await {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let client = Arc::clone(&client);
        tokio::spawn(async move {
            // Whoever asked may have gone meanwhile.
            let _ = answer.send(get(&client, &resource).await);
            drop(place);
        });
    }
}

async fn get(client: &HttpClient, resource: &Resource) -> Result<Option<Vec<u8>>, ClientError> {
    let ask = Ask {
        method: Method::GET,
        resource: &resource.path(),
        body: Bytes::new(),
        limit: longest(resource),
    };
    let Reply { status, body, .. } = client.ask(&ask).await?;
    match status {
        200 => Ok(Some(body)),
        404 | 410 => Ok(None),
        401 | 403 => Err(client.error(ClientErrorKind::Forbidden)),
        code => Err(client.error(ClientErrorKind::Status { code })),
    }
}

/// Most bytes that `resource` can have.
fn longest(resource: &Resource) -> usize {
    match resource {
        Resource::Checkpoint => MAX_NOTE,
        Resource::Tile(tile) => usize::from(tile.width) * Hash::LENGTH,
        Resource::Entries { width, .. } => usize::from(*width) * (2 + MAX_ENTRY),
        Resource::Evidence(_) => MAX_EVIDENCE,
        Resource::Epoch(_, inner) => longest(inner),
    }
}
