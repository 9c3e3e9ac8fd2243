//! The server for readers: the paths of C2SP tlog-tiles, from any store.

use std::sync::Arc;

use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};

use super::listener::HttpListener;
use super::server::{
    Answer, Head, NO_STORE, ServeLimits, ServeStatistics, Service, TEXT, serve_all,
    serve_connection,
};
use crate::hash::Hash;
use crate::store::{LogStore, StoreError};
use crate::tile::{Resource, TILE_WIDTH, Tile};

/// Reads of the store at once; each occupies a thread.
const MAX_READS: usize = 16;
const BYTES: &str = "application/octet-stream";
const MUTABLE: &str = "no-cache";
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// What was given to one reader must not reach another from a cache in between.
const FOR_EVER_PRIVATE: &str = "private, max-age=31536000, immutable";

/// Who may read. Calls may take a while: they do not run on the runtime's own threads.
pub trait Gatekeeper: Send + Sync + 'static {
    /// Whether a request with this `Authorization` header, or without one, is answered. A request with two such
    /// headers counts as one without.
    fn may_read(&self, authorization: Option<&str>) -> bool;

    /// What a reader who is sent away is told, one line for people.
    fn words(&self) -> &str {
        "this log is not for everybody: send the ticket of a reader whom the policy names"
    }

    /// The scheme of the `Authorization` header that would help.
    fn scheme(&self) -> &'static str {
        "Narthex"
    }

    /// Hears of a store that failed; the reader is told only that it did. Does nothing by default.
    fn store_failed(&self, resource: &Resource, error: &StoreError) {
        let _ = (resource, error);
    }
}

/// A log that anyone may read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everyone;

impl Gatekeeper for Everyone {
    fn may_read(&self, _: Option<&str>) -> bool {
        true
    }
}

/// The server for readers. Cheap to clone.
#[derive(Clone)]
pub struct LogServer {
    reading: Arc<Reading>,
    limits: ServeLimits,
    statistics: Arc<ServeStatistics>,
    stopping: watch::Receiver<bool>,
    /// Held so that nobody is told to stop by its end.
    _never: Arc<watch::Sender<bool>>,
}

impl LogServer {
    /// A server of `store` to those whom `gatekeeper` lets in.
    #[must_use]
    pub fn new(
        store: Arc<dyn LogStore>,
        gatekeeper: Arc<dyn Gatekeeper>,
        limits: ServeLimits,
    ) -> Self {
        let (never, stopping) = watch::channel(false);
        Self {
            reading: Arc::new(Reading {
                store,
                gatekeeper,
                places: Arc::new(Semaphore::new(MAX_READS)),
            }),
            limits,
            statistics: Arc::default(),
            stopping,
            _never: Arc::new(never),
        }
    }

    /// What it has counted.
    #[must_use]
    pub fn statistics(&self) -> Arc<ServeStatistics> {
        Arc::clone(&self.statistics)
    }

    /// Accepts from all `listeners` until `stop`, then lets answers under way finish.
    pub async fn serve(&self, listeners: Vec<HttpListener>, stop: impl Future<Output = ()>) {
        serve_all(
            listeners,
            Arc::clone(&self.reading),
            self.limits,
            self.statistics(),
            stop,
        )
        .await;
    }

    /// Serves one connection that somebody else accepted, and counted against limits of his own.
    pub async fn serve_connection<S: AsyncRead + AsyncWrite + Unpin + Send>(&self, stream: S) {
        let reading = Arc::clone(&self.reading);
        let stopping = self.stopping.clone();
        serve_connection(stream, reading, self.limits, self.statistics(), stopping).await;
    }
}

/// Serves `store` over all `listeners` to those whom `gatekeeper` lets in, within [`ServeLimits::default`], until
/// `stop`. Must be called within a tokio runtime with I/O and time.
pub async fn serve_log(
    listeners: Vec<HttpListener>,
    store: Arc<dyn LogStore>,
    gatekeeper: Arc<dyn Gatekeeper>,
    stop: impl Future<Output = ()>,
) {
    LogServer::new(store, gatekeeper, ServeLimits::default())
        .serve(listeners, stop)
        .await;
}

struct Reading {
    store: Arc<dyn LogStore>,
    gatekeeper: Arc<dyn Gatekeeper>,
    places: Arc<Semaphore>,
}

impl Service for Reading {
    const MAX_BODY_BYTES: usize = 0;

    fn at_once(&self, head: &Head) -> Option<Answer> {
        let reads = head.method == Method::GET || head.method == Method::HEAD;
        (!reads).then(|| Answer::wrong_method("GET, HEAD"))
    }

    async fn answer(self: Arc<Self>, head: Head, _: Vec<u8>) -> Answer {
        let Ok(place) = Arc::clone(&self.places).acquire_owned().await else {
            return busy();
        };
        let reading = tokio::task::spawn_blocking(move || {
            let _place = place;
            self.read(&head)
        });
        // The blocking task ends early only with the runtime, or by a panic in the store.
        reading.await.unwrap_or_else(|_| busy())
    }
}

impl Reading {
    fn read(&self, head: &Head) -> Answer {
        let authorization = head.authorization.as_deref();
        if !self.gatekeeper.may_read(authorization) {
            return self.sent_away();
        }
        let Some(resource) = Resource::parse(&head.path).filter(|_| !head.query) else {
            return Answer::words(
                StatusCode::NOT_FOUND,
                "no such path; a log has /checkpoint, /tile/…, /evidence/… and /epoch/…",
            );
        };
        match self.find(&resource) {
            Ok(Some(bytes)) => {
                let (content_type, cache) = kind_of(&resource, authorization.is_some());
                Answer {
                    cache,
                    ..Answer::new(StatusCode::OK, content_type, bytes)
                }
            }
            Ok(None) => Answer::words(StatusCode::NOT_FOUND, "not in this log"),
            Err(error) => {
                self.gatekeeper.store_failed(&resource, &error);
                Answer::words(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the log cannot be read at the moment",
                )
            }
        }
    }

    fn sent_away(&self) -> Answer {
        let scheme = self.gatekeeper.scheme();
        Answer {
            challenge: HeaderValue::from_str(&format!("{scheme} realm=\"log\"")).ok(),
            ..Answer::words(StatusCode::UNAUTHORIZED, self.gatekeeper.words())
        }
    }

    /// A partial tile or bundle that is gone is cut from the full one: its bytes are the same.
    fn find(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.store.get(resource)?;
        if found.is_some() {
            return Ok(found);
        }
        let Some((full, width)) = widened(resource) else {
            return Ok(None);
        };
        let Some(mut bytes) = self.store.get(&full)? else {
            return Ok(None);
        };
        let length = match innermost(&full) {
            Resource::Entries { .. } => length_of_entries(&bytes, width),
            _ => Some(usize::from(width) * Hash::LENGTH).filter(|length| *length <= bytes.len()),
        };
        Ok(length.map(|length| {
            bytes.truncate(length);
            bytes
        }))
    }
}

fn innermost(resource: &Resource) -> &Resource {
    match resource {
        Resource::Epoch(_, inner) => innermost(inner),
        plain => plain,
    }
}

/// The full tile or bundle behind a partial one, and the partial one's width.
fn widened(resource: &Resource) -> Option<(Resource, u16)> {
    match resource {
        Resource::Tile(tile) if tile.width < TILE_WIDTH => {
            let full = Tile {
                width: TILE_WIDTH,
                ..*tile
            };
            Some((Resource::Tile(full), tile.width))
        }
        Resource::Entries { index, width } if *width < TILE_WIDTH => {
            let full = Resource::Entries {
                index: *index,
                width: TILE_WIDTH,
            };
            Some((full, *width))
        }
        Resource::Epoch(number, inner) => {
            let (full, width) = widened(inner)?;
            Some((Resource::Epoch(*number, Box::new(full)), width))
        }
        _ => None,
    }
}

/// How many bytes the first `width` entries of a bundle take.
fn length_of_entries(bundle: &[u8], width: u16) -> Option<usize> {
    let mut rest = bundle;
    for _ in 0..width {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        (_, rest) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    }
    Some(bundle.len() - rest.len())
}

/// Content type and caching. Evidence can be purged, so no cache may keep it.
fn kind_of(resource: &Resource, authorized: bool) -> (&'static str, &'static str) {
    let for_ever = if authorized {
        FOR_EVER_PRIVATE
    } else {
        FOR_EVER
    };
    match resource {
        Resource::Checkpoint => (TEXT, MUTABLE),
        Resource::Tile(_) | Resource::Entries { .. } => (BYTES, for_ever),
        Resource::Evidence(_) => (BYTES, NO_STORE),
        Resource::Epoch(_, inner) => match kind_of(inner, authorized) {
            // The last checkpoint of a finished epoch never changes again, but it can gain cosignatures.
            (TEXT, _) => (TEXT, MUTABLE),
            kind => kind,
        },
    }
}

fn busy() -> Answer {
    Answer::words(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping")
}
