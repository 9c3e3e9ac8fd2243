//! The listener: who may connect, how many, and for how long.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use nix::unistd::{Uid, chown, geteuid};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::answer::{Answer, Problem};
use super::backend::{LocalBackend, LocalRefusal};
use super::request::{BodyKind, MAX_BODY_BYTES, Request};
use super::transport::{Connection, TokioTimer, WholeBody, collect};
use crate::config::LocalSocketConfig;
use crate::workload::Owner;

/// `hyper`'s smallest buffer: request line and headers must fit.
const MAX_HEADER_BYTES: usize = 8192;
const MAX_HEADERS: usize = 32;
/// Pause after the kernel refuses to accept (no descriptors left): the listener never ends.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const MINUTE: Duration = Duration::from_secs(60);

/// The bound socket, not yet serving.
pub struct LocalSocket {
    listener: UnixListener,
    path: PathBuf,
    peer: Uid,
    limits: Limits,
    statistics: Rc<LocalSocketStatistics>,
}

#[derive(Clone, Copy)]
struct Limits {
    connections: usize,
    timeout: Duration,
    attestations_per_minute: u32,
}

/// What the local socket has counted since it was bound. The workload chooses these numbers;
/// `probes` rounds them.
#[derive(Debug, Default)]
pub struct LocalSocketStatistics {
    documents: Cell<u64>,
    refused: Cell<u64>,
    strangers: Cell<u64>,
}

impl LocalSocketStatistics {
    /// Attestation documents given.
    pub fn documents(&self) -> u64 {
        self.documents.get()
    }

    /// Requests refused.
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Connections of users other than the workload's, closed before a byte was read.
    pub fn strangers(&self) -> u64 {
        self.strangers.get()
    }
}

impl LocalSocket {
    /// Binds `path`, replacing a socket that an earlier agent left. Mode 0600 and the workload's
    /// own; without an owner (no root), the agent's user.
    ///
    /// # Errors
    ///
    /// The kernel's; `AlreadyExists` when something that is not a socket is in its place.
    pub fn bind(config: &LocalSocketConfig, path: &Path, owner: Option<Owner>) -> io::Result<Self> {
        match std::fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
            Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        // Until the mode is set somebody else could connect; the peer's user is checked anyway.
        let listener = UnixListener::bind(path)?;
        if let Some(Owner { user, group }) = owner {
            chown(path, Some(user), Some(group))?;
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let LocalSocketConfig {
            file: _,
            connections,
            timeout_seconds,
            attestations_per_minute,
        } = config;
        Ok(Self {
            listener,
            path: path.to_owned(),
            peer: owner.map_or_else(geteuid, |owner| owner.user),
            limits: Limits {
                connections: usize::from(*connections),
                timeout: Duration::from_secs(u64::from(*timeout_seconds)),
                attestations_per_minute: *attestations_per_minute,
            },
            statistics: Rc::default(),
        })
    }

    /// What it counts; stays valid while it serves.
    pub fn statistics(&self) -> Rc<LocalSocketStatistics> {
        Rc::clone(&self.statistics)
    }

    /// Serves until dropped, inside a `LocalSet`. The socket's file goes with it.
    pub async fn serve<B: LocalBackend + 'static>(self, backend: B) -> Infallible {
        let service = Rc::new(Service {
            backend,
            timeout: self.limits.timeout,
            budget: AttestationBudget::new(self.limits.attestations_per_minute),
            statistics: Rc::clone(&self.statistics),
        });
        let slots = Arc::new(Semaphore::new(self.limits.connections));
        loop {
            // More wait in the kernel's queue. Nobody closes the semaphore, so there is always a
            // slot to wait for.
            let slot = Arc::clone(&slots).acquire_owned().await;
            match self.listener.accept().await {
                Ok((stream, _)) if self.is_workload(&stream) => {
                    let service = Rc::clone(&service);
                    tokio::task::spawn_local(async move {
                        service.connection(stream).await;
                        drop(slot);
                    });
                }
                Ok(_) => add(&self.statistics.strangers),
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            }
        }
    }

    /// SO_PEERCRED: the user who connected, as the kernel knows it.
    fn is_workload(&self, stream: &UnixStream) -> bool {
        stream
            .peer_cred()
            .is_ok_and(|peer| peer.uid() == self.peer.as_raw())
    }
}

impl Drop for LocalSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

struct Service<B> {
    backend: B,
    timeout: Duration,
    budget: AttestationBudget,
    statistics: Rc<LocalSocketStatistics>,
}

impl<B: LocalBackend + 'static> Service<B> {
    async fn connection(self: Rc<Self>, stream: UnixStream) {
        let connection = Connection::new(stream, self.timeout);
        let timeout = self.timeout;
        let service = service_fn(move |request| {
            let this = Rc::clone(&self);
            async move { Ok::<_, Infallible>(this.respond(request).await) }
        });
        // Headers, and the wait for the next request, are timed by hyper; bodies and writes by us.
        let served = http1::Builder::new()
            .timer(TokioTimer)
            .header_read_timeout(timeout)
            .max_buf_size(MAX_HEADER_BYTES)
            .max_headers(MAX_HEADERS)
            .serve_connection(connection, service);
        let _ = served.await; // A peer that breaks HTTP has been told so by hyper.
    }

    async fn respond(&self, request: hyper::Request<Incoming>) -> Response<WholeBody> {
        let answered = self.answer(request).await;
        let problem = answered.as_ref().err().copied();
        if problem.is_some() {
            add(&self.statistics.refused);
        }
        http_response(answered.unwrap_or_else(Answer::from), problem)
    }

    async fn answer(&self, request: hyper::Request<Incoming>) -> Result<Answer, Problem> {
        let (head, body) = request.into_parts();
        refuse_large(&head.headers)?;
        let body = timeout(self.timeout, collect(body))
            .await
            .map_err(|_| Problem::TimedOut)??;
        let request = Request::read(
            &head.method,
            head.uri.path(),
            body_kind(&head.headers),
            &body,
        )?;
        let attests = matches!(request, Request::Attestation(_));
        if attests && !self.budget.take(Instant::now()) {
            return Err(Problem::Refused(LocalRefusal::RateLimited));
        }
        let answer = Answer::to(request, &self.backend).await?;
        if attests {
            add(&self.statistics.documents);
        }
        Ok(answer)
    }
}

fn http_response(answer: Answer, problem: Option<Problem>) -> Response<WholeBody> {
    let Answer { status, kind, body } = answer;
    let mut response = Response::new(WholeBody::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(media_type) = kind.media_type() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("60"));
    }
    match problem {
        Some(Problem::WrongMethod(allowed)) => {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        // What is left of the body would be taken for the next request.
        Some(Problem::BodyTooLarge | Problem::TimedOut) => {
            headers.insert(hyper::header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}

/// Before a byte of the body is read, and before `100 Continue` invites it.
fn refuse_large(headers: &HeaderMap) -> Result<(), Problem> {
    let stated = headers
        .get(hyper::header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    match stated {
        Some(length) if length > MAX_BODY_BYTES => Err(Problem::BodyTooLarge),
        _ => Ok(()),
    }
}

fn body_kind(headers: &HeaderMap) -> BodyKind {
    let json = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok()?.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    if json { BodyKind::Json } else { BodyKind::Raw }
}

/// Documents per minute; each costs the NSM about as much as an operator's session does.
struct AttestationBudget {
    per_minute: u32,
    /// When the present minute began, and how many it has seen.
    minute: Cell<Option<(Instant, u32)>>,
}

impl AttestationBudget {
    fn new(per_minute: u32) -> Self {
        Self {
            per_minute,
            minute: Cell::new(None),
        }
    }

    fn take(&self, now: Instant) -> bool {
        let (began, taken) = self
            .minute
            .get()
            .filter(|(began, _)| now.saturating_duration_since(*began) < MINUTE)
            .unwrap_or((now, 0));
        let granted = taken < self.per_minute;
        self.minute
            .set(Some((began, if granted { taken + 1 } else { taken })));
        granted
    }
}

fn add(count: &Cell<u64>) {
    count.set(count.get().saturating_add(1));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_for_a_minute() {
        let budget = AttestationBudget::new(2);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(budget.take(at(0)));
        assert!(budget.take(at(59)));
        assert!(!budget.take(at(59)));
        assert!(budget.take(at(60)));
    }
}
