//! Accepting connections and serving them.

use core::convert::Infallible;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::Service;
use super::limits::{ServeLimits, ServeStatistics, add};
use super::message::{Answer, Head};
use crate::tokio::listener::HttpListener;
use crate::tokio::transport::{BodyError, Connection, TokioTimer, WholeBody, collect};

/// `hyper`'s smallest buffer: request line and headers must fit.
const MAX_HEAD_BYTES: usize = 8192;
const MAX_HEADERS: usize = 48;

/// Serves one connection until its peer has enough, breaks a rule, or `stopping` becomes true.
pub(in crate::tokio) async fn serve_connection<S, A>(
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
        .serve_connection(Connection::new(stream, limits.stall), service);
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
pub(in crate::tokio) async fn serve_all<A: Service>(
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
                    let serving = serve_connection(
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
