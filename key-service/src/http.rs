//! Health, readiness and metrics: three pages over HTTP/1.1, one request for each connection.
//!
//! Deliberately small: `GET` of three fixed paths, no keep-alive, no bodies, bounded in size, and in time by
//! the listener. The pages hold no secrets, and are still meant for loopback or a monitoring network.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::service::Service;

/// The longest request head that is read; ours need a tenth of it.
const MAX_HEAD_BYTES: usize = 8 * 1024;

/// Answers one request and closes.
///
/// # Errors
///
/// What the socket says.
pub async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    service: &Service,
    mut stream: S,
) -> std::io::Result<()> {
    let page = match read_head(&mut stream).await? {
        Some(head) => respond(service, &head),
        None => Page::plain("431 Request Header Fields Too Large", "request too large\n"),
    };
    let Page { status, kind, body } = page;
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

struct Page {
    status: &'static str,
    kind: &'static str,
    body: String,
}

impl Page {
    fn plain(status: &'static str, body: &str) -> Self {
        Self {
            status,
            kind: "text/plain; charset=utf-8",
            body: body.to_owned(),
        }
    }
}

/// The head up to its empty line; `None` when it is too long. A peer that stops early gets an answer to what
/// it sent.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = Vec::with_capacity(1024);
    loop {
        let read = stream.read_buf(&mut head).await?;
        if head.windows(4).any(|window| window == b"\r\n\r\n") || read == 0 {
            return Ok(Some(head));
        }
        if head.len() > MAX_HEAD_BYTES {
            return Ok(None);
        }
    }
}

fn respond(service: &Service, head: &[u8]) -> Page {
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let mut words = line.split(|byte| *byte == b' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    if !version.is_some_and(|version| version.starts_with(b"HTTP/1.")) || words.next().is_some() {
        return Page::plain("400 Bad Request", "not an HTTP/1 request\n");
    }
    if method != Some(b"GET") {
        return Page::plain("405 Method Not Allowed", "GET only\n");
    }
    match target {
        Some(b"/healthz") => healthz(service),
        Some(b"/readyz") => readyz(service),
        Some(b"/metrics") => Page {
            status: "200 OK",
            kind: "text/plain; version=0.0.4; charset=utf-8",
            body: service.metrics().render(&service.gauges()),
        },
        _ => Page::plain("404 Not Found", "/healthz, /readyz, /metrics\n"),
    }
}

/// Whether the process is worth keeping: it is, unless storage failed for good.
fn healthz(service: &Service) -> Page {
    if service.storage_works() {
        Page::plain("200 OK", "ok\n")
    } else {
        Page::plain("503 Service Unavailable", "storage.unavailable\n")
    }
}

/// Whether key requests would be judged on their merits.
fn readyz(service: &Service) -> Page {
    match service.why_not_ready() {
        None => Page::plain("200 OK", "ready\n"),
        Some(reason @ "log.quorum") => {
            let missing = service.missing_witnesses().join("\n");
            Page::plain("503 Service Unavailable", &format!("{reason}\n{missing}\n"))
        }
        Some(reason) => Page::plain("503 Service Unavailable", &format!("{reason}\n")),
    }
}
