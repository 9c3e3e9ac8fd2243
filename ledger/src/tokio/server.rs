//! What the server for readers and the witness have in common: connections, limits, HTTP.

use core::convert::Infallible;
use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::listener::{HttpListener, Stream};
use super::transport::{BodyError, Connection, TokioTimer, WholeBody, collect};

/// `hyper`'s smallest buffer: request line and headers must fit.
const MAX_HEAD_BYTES: usize = 8192;
const MAX_HEADERS: usize = 48;

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
    connections: AtomicU64,
    expired: AtomicU64,
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

    fn count(&self, status: StatusCode) {
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

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The head of a request, as far as it matters here.
pub(super) struct Head {
    pub(super) method: Method,
    /// As it was sent, nothing decoded, without the first slash.
    pub(super) path: String,
    /// Whether a query follows the path.
    pub(super) query: bool,
    /// The one `Authorization` header, if there is exactly one that is printable ASCII.
    pub(super) authorization: Option<String>,
}

impl Head {
    fn of(request: &Request<Incoming>) -> Self {
        let mut authorizations = request.headers().get_all(AUTHORIZATION).iter();
        let first = authorizations.next();
        let authorization = match authorizations.next() {
            None => first
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            Some(_second) => None,
        };
        let path = request.uri().path();
        Self {
            method: request.method().clone(),
            path: path.strip_prefix('/').unwrap_or_default().to_owned(),
            query: request.uri().query().is_some(),
            authorization,
        }
    }
}

/// An answer, before it becomes HTTP.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) cache: &'static str,
    pub(super) body: Bytes,
    /// Of a 405.
    pub(super) allow: Option<&'static str>,
    /// Of a 401.
    pub(super) challenge: Option<HeaderValue>,
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
pub(super) const NO_STORE: &str = "no-store";

impl Answer {
    pub(super) fn new(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            status,
            content_type,
            cache: NO_STORE,
            body: body.into(),
            allow: None,
            challenge: None,
        }
    }

    /// Words for people, and a line feed.
    pub(super) fn words(status: StatusCode, words: &str) -> Self {
        Self::new(status, TEXT, format!("{words}\n"))
    }

    pub(super) fn wrong_method(allowed: &'static str) -> Self {
        Self {
            allow: Some(allowed),
            ..Self::words(
                StatusCode::METHOD_NOT_ALLOWED,
                &format!("only {allowed} here"),
            )
        }
    }

    fn into_response(self, close: bool) -> Response<WholeBody> {
        let mut response = Response::new(WholeBody::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(self.cache));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if let Some(challenge) = self.challenge {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// What answers requests.
pub(super) trait Service: Send + Sync + 'static {
    /// Most bytes of a request's body.
    const MAX_BODY_BYTES: usize;

    /// An answer that needs no body, such as that the path or the method is wrong.
    fn at_once(&self, head: &Head) -> Option<Answer>;

    /// The answer, once the body is there.
    fn answer(self: Arc<Self>, head: Head, body: Vec<u8>) -> impl Future<Output = Answer> + Send;
}

/// Serves one connection until its peer has enough, breaks a rule, or `stopping` becomes true.
pub(super) async fn serve_connection<S, A>(
    stream: S,
    service: Arc<A>,
    limits: ServeLimits,
    statistics: Arc<ServeStatistics>,
    mut stopping: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
    A: Service,
{
    let counted = Arc::clone(&statistics);
    let service = service_fn(move |request| {
        let service = Arc::clone(&service);
        let statistics = Arc::clone(&counted);
        async move {
            let response = respond(service, request, limits).await;
            statistics.count(response.status());
            Ok::<_, Infallible>(response)
        }
    });
    // Heads, and the wait for the next request, are timed by hyper; bodies and writes by us.
    let served = http1::Builder::new()
        .timer(TokioTimer)
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(Connection::server(stream, limits.stall), service);
    let mut served = core::pin::pin!(served);
    let whole = async {
        let stop = async {
            // An error means that nobody is left who could ask to stop.
            if stopping.wait_for(|stop| *stop).await.is_err() {
                core::future::pending::<()>().await;
            }
        };
        // A peer that breaks HTTP has been told so by hyper.
        tokio::select! {
            _ = served.as_mut() => return,
            () = stop => {}
        }
        served.as_mut().graceful_shutdown();
        let _ = served.await;
    };
    if tokio::time::timeout(limits.lifetime, whole).await.is_err() {
        add(&statistics.expired);
    }
}

async fn respond<A: Service>(
    service: Arc<A>,
    request: Request<Incoming>,
    limits: ServeLimits,
) -> Response<WholeBody> {
    let head = Head::of(&request);
    let body = request.into_body();
    // What is left of a body that is not read would be taken for the next request.
    let unread = !body.is_end_stream();
    if let Some(answer) = service.at_once(&head) {
        return answer.into_response(unread);
    }
    let read = collect(body, A::MAX_BODY_BYTES, limits.stall);
    let body = match tokio::time::timeout(limits.body, read).await {
        Ok(Ok(body)) => body,
        Ok(Err(BodyError::TooLarge)) => {
            let words = match A::MAX_BODY_BYTES {
                0 => "no body belongs here".to_owned(),
                most => format!("a body is at most {most} bytes long"),
            };
            return Answer::words(StatusCode::PAYLOAD_TOO_LARGE, &words).into_response(true);
        }
        Ok(Err(BodyError::Stalled)) | Err(_) => {
            let words = "the body did not arrive in time";
            return Answer::words(StatusCode::REQUEST_TIMEOUT, words).into_response(true);
        }
        Ok(Err(BodyError::Broken(_))) => {
            let words = "the body is not HTTP";
            return Answer::words(StatusCode::BAD_REQUEST, words).into_response(true);
        }
    };
    service.answer(head, body).await.into_response(false)
}

/// Accepts from all `listeners` until `stop`, then lets the answers under way finish.
pub(super) async fn serve_all<A: Service>(
    listeners: Vec<HttpListener>,
    service: Arc<A>,
    limits: ServeLimits,
    statistics: Arc<ServeStatistics>,
    stop: impl Future<Output = ()>,
) {
    let places = Arc::new(Semaphore::new(
        limits.connections.clamp(1, Semaphore::MAX_PERMITS),
    ));
    let (stopping, stopped) = watch::channel(false);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let (service, places) = (Arc::clone(&service), Arc::clone(&places));
        let (statistics, stopped) = (Arc::clone(&statistics), stopped.clone());
        accepting.spawn(async move {
            accept_from(listener, service, limits, statistics, places, stopped).await;
        });
    }
    stop.await;
    let _ = stopping.send(true);
    // Each ends by itself within `drain`.
    while accepting.join_next().await.is_some() {}
}

async fn accept_from<A: Service>(
    listener: HttpListener,
    service: Arc<A>,
    limits: ServeLimits,
    statistics: Arc<ServeStatistics>,
    places: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
) {
    let mut stop = stopped.clone();
    let mut tasks = JoinSet::new();
    let mut failures: u32 = 0;
    let accepting = async {
        loop {
            while tasks.try_join_next().is_some() {}
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok(stream) => {
                    failures = 0;
                    add(&statistics.connections);
                    let serving = serve_stream(
                        stream,
                        Arc::clone(&service),
                        limits,
                        Arc::clone(&statistics),
                        stopped.clone(),
                    );
                    tasks.spawn(async move {
                        serving.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    pause(&error, failures).await;
                    failures = failures.saturating_add(1);
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    drop(listener);
    let drained = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, drained).await.is_err() {
        tasks.shutdown().await;
    }
}

async fn serve_stream<A: Service>(
    stream: Stream,
    service: Arc<A>,
    limits: ServeLimits,
    statistics: Arc<ServeStatistics>,
    stopped: watch::Receiver<bool>,
) {
    serve_connection(stream, service, limits, statistics, stopped).await;
}

/// Waits after a failed attempt to accept: not at all if only that connection was concerned, otherwise twice as
/// long each time, from 10 ms to 1 s.
async fn pause(error: &io::Error, failures: u32) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, NotConnected};

    if matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted | NotConnected
    ) {
        // Lets other tasks run, so that a stream of aborted connections starves nobody.
        tokio::task::yield_now().await;
        return;
    }
    let millis = 10_u64.saturating_mul(1 << failures.min(7)).min(1000);
    tokio::time::sleep(Duration::from_millis(millis)).await;
}
