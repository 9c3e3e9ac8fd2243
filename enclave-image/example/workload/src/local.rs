//! What the workload asks of its agent: HTTP/1.1 over the local socket, one request a connection. The agent is trusted,
//! and still nothing is read without a bound.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// A document has at most 16 KiB; headers come before it.
const MAX_ANSWER_BYTES: u64 = 20 * 1024;
/// Longer than the agent takes for any answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// The agent, at its local socket.
#[derive(Clone)]
pub(crate) struct Agent {
    socket: PathBuf,
}

impl Agent {
    /// The agent whose local socket this is.
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Tells operators that the workload serves.
    ///
    /// # Errors
    ///
    /// The agent did not answer, or refused.
    pub(crate) fn say_ready(&self) -> io::Result<()> {
        self.call("PUT /v1/ready", "", &[]).map(drop)
    }

    /// Reports the counter `signatures`. Refused within a minute of the last report.
    ///
    /// # Errors
    ///
    /// The agent did not answer, or refused.
    pub(crate) fn report_signatures(&self, count: u64) -> io::Result<()> {
        self.call(
            "PUT /v1/counters/signatures",
            "",
            count.to_string().as_bytes(),
        )
        .map(drop)
    }

    /// A document that binds this public key and nonce.
    ///
    /// # Errors
    ///
    /// The agent did not answer, or refused: it makes a limited number of documents a minute.
    pub(crate) fn attest(&self, public_key: &[u8], nonce: &[u8]) -> io::Result<Vec<u8>> {
        let body = format!(
            r#"{{"public_key":"{}","nonce":"{}"}}"#,
            base64(public_key),
            base64(nonce)
        );
        self.call(
            "POST /v1/attestation",
            "Content-Type: application/json\r\n",
            body.as_bytes(),
        )
    }

    fn call(&self, request: &str, headers: &str, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut socket = UnixStream::connect(&self.socket)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        let head = format!(
            "{request} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(&[head.as_bytes(), body].concat())?;
        let mut answer = Vec::new();
        socket.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
        body_of(&answer)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| io::Error::other("the agent refused, or sent no whole answer"))
    }
}

/// The body of a whole answer with a status of 200 to 299.
fn body_of(answer: &[u8]) -> Option<&[u8]> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, rest) = answer.split_at_checked(end.checked_add(4)?)?;
    let mut lines = std::str::from_utf8(head).ok()?.lines();
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?;
    if !status.starts_with('2') {
        return None;
    }
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    });
    // 204 has neither body nor length.
    (rest.len() == length.unwrap_or(0)).then_some(rest)
}

/// Standard base64 with padding (RFC 4648, section 4). A dozen lines are less than a dependency here.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3).saturating_mul(4));
    for group in bytes.chunks(3) {
        let mut padded = [0; 4];
        for (place, byte) in padded.iter_mut().skip(1).zip(group) {
            *place = *byte;
        }
        let bits = u32::from_be_bytes(padded);
        for position in 0..4_usize {
            let index = (bits >> (18 - 6 * position)) & 63;
            let digit = usize::try_from(index)
                .ok()
                .and_then(|index| ALPHABET.get(index));
            text.push(if position > group.len() {
                '='
            } else {
                char::from(*digit.unwrap_or(&b'='))
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;

    use super::{Agent, base64, body_of};

    #[test]
    fn base64_is_the_standard_one() {
        // RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn only_whole_good_answers_count() {
        assert_eq!(
            body_of(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"),
            Some(&b"ab"[..])
        );
        assert_eq!(body_of(b"HTTP/1.1 204 No Content\r\n\r\n"), Some(&b""[..]));
        assert_eq!(
            body_of(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab"),
            None
        );
        assert_eq!(
            body_of(b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nab"),
            None
        );
        assert_eq!(
            body_of(b"HTTP/1.1 429 Too Many\r\ncontent-length: 2\r\n\r\nab"),
            None
        );
        assert_eq!(body_of(b"HTTP/1.1 200 OK\r\n"), None);
    }

    #[test]
    fn asks_for_a_document_with_key_and_nonce() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let agent = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = vec![0; 4096];
            let length = socket.read(&mut request).unwrap();
            socket
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\ndocument")
                .unwrap();
            String::from_utf8(request[..length].to_vec()).unwrap()
        });
        assert_eq!(
            Agent::new(path).attest(b"key", b"nonce").unwrap(),
            b"document"
        );
        let request = agent.join().unwrap();
        assert!(
            request.starts_with("POST /v1/attestation HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.ends_with("\r\n\r\n{\"public_key\":\"a2V5\",\"nonce\":\"bm9uY2U=\"}"),
            "{request}"
        );
    }
}
