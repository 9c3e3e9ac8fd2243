//! The one HTTP/1.1 client of this crate: short requests, bounded answers, connections kept for the next.

use core::time::Duration;
use std::io;
use std::sync::Mutex;

use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT,
};
use hyper::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::address::{HttpAddress, Kind};
use super::error::{ClientError, ClientErrorKind};
use super::transport::{BodyError, Connection, WholeBody, collect};

/// Most connections that are kept for later.
const MAX_IDLE: usize = 8;
/// A kept connection is not used again after this time: servers close theirs after a while, too.
const MAX_IDLE_TIME: Duration = Duration::from_secs(20);
/// `hyper`'s buffer for the head of an answer, and the most lines in it.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;
/// Most bytes of the words that come with a status other than 200.
const MAX_WORDS: usize = 64 * 1024;

/// How long a client waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ClientLimits {
    /// For a connection, the look-up of a name included.
    pub connect: Duration,
    /// For the next bytes of an answer.
    pub stall: Duration,
    /// For one request as a whole, connecting and tries included.
    pub whole: Duration,
    /// How often a request is tried again when the connection is lost or the server is busy for the moment.
    pub retries: u32,
}

impl Default for ClientLimits {
    /// 5 seconds to connect, 15 without a byte, 60 as a whole, 2 more tries.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            stall: Duration::from_secs(15),
            whole: Duration::from_secs(60),
            retries: 2,
        }
    }
}

/// A request of this crate: fixed headers, a whole body.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    /// Behind the address's prefix, without a slash before it.
    pub(super) resource: &'a str,
    pub(super) body: Bytes,
    /// Most bytes of the body of an answer with status 200.
    pub(super) limit: usize,
}

/// What came back.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    pub(super) body: Vec<u8>,
}

pub(super) struct HttpClient {
    address: HttpAddress,
    authorization: Option<HeaderValue>,
    limits: ClientLimits,
    idle: Mutex<Vec<Kept>>,
}

/// An open connection, and the task that moves its bytes.
struct Open {
    sender: http1::SendRequest<WholeBody>,
    task: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Kept {
    open: Open,
    since: Instant,
}

impl HttpClient {
    pub(super) fn new(address: HttpAddress, limits: ClientLimits) -> Self {
        Self {
            address,
            authorization: None,
            limits,
            idle: Mutex::new(Vec::new()),
        }
    }

    /// Sends `authorization`, the whole value of the header, with each request. It is never shown.
    pub(super) fn authorized(mut self, authorization: &str) -> Result<Self, ClientError> {
        let mut value = HeaderValue::from_str(authorization)
            .map_err(|_| self.error(ClientErrorKind::Authorization))?;
        value.set_sensitive(true);
        self.authorization = Some(value);
        Ok(self)
    }

    pub(super) fn address(&self) -> &HttpAddress {
        &self.address
    }

    pub(super) fn error(&self, kind: ClientErrorKind) -> ClientError {
        ClientError::new(kind, &self.address)
    }

    /// Sends a request, again if the trouble may pass, within [`ClientLimits::whole`]. Every request of this
    /// crate may be sent twice without harm.
    pub(super) async fn ask(&self, ask: &Ask<'_>) -> Result<Reply, ClientError> {
        let deadline = Instant::now() + self.limits.whole;
        let mut tries = 0;
        loop {
            let error = match timeout_at(deadline, self.ask_once(ask)).await {
                Err(_elapsed) => return Err(self.error(ClientErrorKind::TimedOut)),
                Ok(Ok(reply)) if !matches!(reply.status, 429 | 502 | 503 | 504) => {
                    return Ok(reply);
                }
                Ok(Ok(reply)) if tries >= self.limits.retries => return Ok(reply),
                Ok(Ok(reply)) => self.error(ClientErrorKind::Status { code: reply.status }),
                Ok(Err(error)) => error,
            };
            if tries >= self.limits.retries || !error.is_passing() {
                return Err(error);
            }
            let pause = Duration::from_millis(100_u64.saturating_mul(1 << (2 * tries.min(4))));
            if Instant::now() + pause >= deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            tries += 1;
        }
    }

    async fn ask_once(&self, ask: &Ask<'_>) -> Result<Reply, ClientError> {
        // A kept connection may have been closed meanwhile: that costs no try.
        while let Some(mut open) = self.kept() {
            if open.sender.ready().await.is_err() {
                continue;
            }
            match self.exchange(open, ask).await {
                Err(error) if *error.kind() == ClientErrorKind::Lost => {}
                outcome => return outcome,
            }
        }
        let open = self.connect().await?;
        self.exchange(open, ask).await
    }

    async fn exchange(&self, mut open: Open, ask: &Ask<'_>) -> Result<Reply, ClientError> {
        let request = self.request(ask)?;
        let sent = open.sender.send_request(request);
        let response = tokio::time::timeout(self.limits.stall, sent)
            .await
            .map_err(|_elapsed| self.error(ClientErrorKind::TimedOut))?
            .map_err(|error| self.error(of_hyper(&error)))?;
        let reply = self.read(response, ask.limit).await?;
        self.keep(open);
        Ok(reply)
    }

    fn request(&self, ask: &Ask<'_>) -> Result<Request<WholeBody>, ClientError> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(self.address.path_of(ask.resource))
            .header(HOST, self.address.host())
            .header(
                USER_AGENT,
                concat!("narthex-ledger/", env!("CARGO_PKG_VERSION")),
            )
            .header(ACCEPT_ENCODING, "identity");
        if !ask.body.is_empty() {
            request = request.header(CONTENT_TYPE, "text/plain; charset=utf-8");
        }
        if let Some(value) = &self.authorization {
            request = request.header(AUTHORIZATION, value.clone());
        }
        request
            .body(WholeBody::new(ask.body.clone()))
            .map_err(|_| self.error(ClientErrorKind::Protocol))
    }

    async fn read(&self, response: Response<Incoming>, limit: usize) -> Result<Reply, ClientError> {
        let (head, body) = response.into_parts();
        let identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
        if head
            .headers
            .get(CONTENT_ENCODING)
            .is_some_and(|value| !identity(value))
        {
            return Err(self.error(ClientErrorKind::Encoded));
        }
        let content_type = head
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let limit = if head.status == StatusCode::OK {
            limit
        } else {
            MAX_WORDS
        };
        let body = collect(body, limit, self.limits.stall)
            .await
            .map_err(|error| {
                self.error(match error {
                    BodyError::TooLarge => ClientErrorKind::TooLarge { limit },
                    BodyError::Stalled => ClientErrorKind::TimedOut,
                    BodyError::Broken(error) => of_hyper(&error),
                })
            })?;
        Ok(Reply {
            status: head.status.as_u16(),
            content_type,
            body,
        })
    }

    async fn connect(&self) -> Result<Open, ClientError> {
        let opened = async {
            match self.address.kind() {
                Kind::Unix(path) => {
                    let stream = UnixStream::connect(path).await;
                    self.handshake(stream.map_err(|error| self.refused(&error))?)
                        .await
                }
                Kind::Tcp { host, port, .. } => {
                    let stream = self.connect_tcp(host, *port).await?;
                    self.handshake(stream).await
                }
            }
        };
        tokio::time::timeout(self.limits.connect, opened)
            .await
            .map_err(|_elapsed| self.error(ClientErrorKind::TimedOut))?
    }

    async fn connect_tcp(&self, host: &str, port: u16) -> Result<TcpStream, ClientError> {
        let addresses = tokio::net::lookup_host((host, port))
            .await
            .map_err(|error| self.error(ClientErrorKind::Name(error.kind())))?;
        let mut last = self.error(ClientErrorKind::Name(io::ErrorKind::NotFound));
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Requests are written whole, so there is nothing to collect.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = self.refused(&error),
            }
        }
        Err(last)
    }

    fn refused(&self, error: &io::Error) -> ClientError {
        self.error(ClientErrorKind::Connect(error.kind()))
    }

    async fn handshake<S>(&self, stream: S) -> Result<Open, ClientError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let connection = Connection::new(stream, self.limits.stall);
        let (sender, driver) = http1::Builder::new()
            .max_buf_size(MAX_HEAD_BYTES)
            .max_headers(MAX_HEADERS)
            .handshake(connection)
            .await
            .map_err(|error| self.error(of_hyper(&error)))?;
        // Its outcome reaches whoever waits for an answer.
        let task = tokio::spawn(async move {
            let _ = driver.await;
        });
        Ok(Open {
            sender,
            task: task.abort_handle(),
        })
    }

    fn kept(&self) -> Option<Open> {
        let mut idle = self.idle.lock().ok()?;
        while let Some(Kept { open, since }) = idle.pop() {
            if since.elapsed() < MAX_IDLE_TIME && !open.sender.is_closed() {
                return Some(open);
            }
        }
        None
    }

    fn keep(&self, open: Open) {
        if open.sender.is_closed() {
            return;
        }
        if let Ok(mut idle) = self.idle.lock()
            && idle.len() < MAX_IDLE
        {
            idle.push(Kept {
                open,
                since: Instant::now(),
            });
        }
    }
}

fn of_hyper(error: &hyper::Error) -> ClientErrorKind {
    if error.is_parse() || error.is_parse_too_large() {
        ClientErrorKind::Protocol
    } else if error.is_timeout() {
        ClientErrorKind::TimedOut
    } else {
        ClientErrorKind::Lost
    }
}
