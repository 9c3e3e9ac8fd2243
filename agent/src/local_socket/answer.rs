//! What is answered to a request.

use hyper::StatusCode;
use hyper::body::Bytes;
use narthex_channel::diagnostics::State;
use serde_json::json;
use zeroize::Zeroizing;

use super::backend::{
    LocalBackend, LocalKey, LocalPolicy, LocalRefusal, Readiness, WorkloadReadiness,
};
use super::request::Request;

/// An answer, before it becomes HTTP.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: StatusCode,
    /// `Content-Type`.
    pub kind: ContentKind,
    /// Body. Wipes itself when it holds a key.
    pub body: Bytes,
}

/// Content types of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentKind {
    /// No body.
    None,
    /// JSON.
    Json,
    /// A COSE_Sign1 attestation document.
    Document,
    /// A key's bytes.
    Key,
}

impl ContentKind {
    /// The header's value.
    pub fn media_type(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Json => Some("application/json"),
            Self::Document => Some("application/cose"), // RFC 9052, section 2
            Self::Key => Some("application/octet-stream"),
        }
    }
}

/// Why a request is not answered as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// There is nothing at this path.
    NotFound,
    /// There is, but by these methods only (`Allow`, RFC 9110 section 10.2.1).
    WrongMethod(&'static str),
    /// The body is not what the request needs.
    MalformedBody,
    /// The body is longer than any request needs.
    BodyTooLarge,
    /// The body did not arrive in time.
    TimedOut,
    /// No such key is held.
    UnknownKey,
    /// There is no policy yet.
    NoPolicy,
    /// The supervisor said no.
    Refused(LocalRefusal),
}

impl Problem {
    /// Stable text.
    pub fn id(self) -> &'static str {
        match self {
            Self::NotFound => "local.not_found",
            Self::WrongMethod(_) => "local.wrong_method",
            Self::MalformedBody => "local.malformed_body",
            Self::BodyTooLarge => "local.body_too_large",
            Self::TimedOut => "local.timed_out",
            Self::UnknownKey => "local.unknown_key",
            Self::NoPolicy => "local.no_policy",
            Self::Refused(refusal) => refusal.id(),
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::NotFound | Self::UnknownKey | Self::Refused(LocalRefusal::UnknownCounter) => {
                StatusCode::NOT_FOUND
            }
            Self::WrongMethod(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::MalformedBody
            | Self::Refused(
                LocalRefusal::TooLong | LocalRefusal::ReservedLength | LocalRefusal::OutOfRange,
            ) => StatusCode::BAD_REQUEST,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::Refused(LocalRefusal::RateLimited | LocalRefusal::TooSoon) => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::NoPolicy | Self::Refused(LocalRefusal::NsmFailed) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }
}

impl From<Problem> for Answer {
    fn from(problem: Problem) -> Self {
        Self::json(problem.status(), &json!({ "error": problem.id() }))
    }
}

impl Answer {
    /// Answers `request` from `backend`.
    ///
    /// # Errors
    ///
    /// [`Problem`], to be turned into an answer.
    pub async fn to(request: Request, backend: &impl LocalBackend) -> Result<Self, Problem> {
        match request {
            Request::Attestation(request) => {
                let document = backend.attest(request).await.map_err(Problem::Refused)?;
                Ok(Self::bytes(ContentKind::Document, Bytes::from(document)))
            }
            Request::Keys => Ok(key_list(&backend.keys())),
            Request::Key(name) => {
                let key = backend.keys().into_iter().find(|key| key.name == name);
                let LocalKey { bytes, .. } = key.ok_or(Problem::UnknownKey)?;
                Ok(Self::bytes(
                    ContentKind::Key,
                    Bytes::from_owner(WipedBytes(bytes)),
                ))
            }
            Request::Ready => Ok(readiness(backend.ready())),
            Request::SetReady => set_ready(backend, WorkloadReadiness::Ready),
            Request::SetNotReady => set_ready(backend, WorkloadReadiness::NotReady),
            Request::SetCounter(name, value) => {
                backend
                    .set_counter(&name, value)
                    .map_err(Problem::Refused)?;
                Ok(Self::empty())
            }
            Request::Policy => Ok(policy(&backend.policy().ok_or(Problem::NoPolicy)?)),
        }
    }

    fn empty() -> Self {
        Self {
            status: StatusCode::NO_CONTENT,
            kind: ContentKind::None,
            body: Bytes::new(),
        }
    }

    fn bytes(kind: ContentKind, body: Bytes) -> Self {
        Self {
            status: StatusCode::OK,
            kind,
            body,
        }
    }

    fn json(status: StatusCode, value: &serde_json::Value) -> Self {
        let mut text = value.to_string();
        text.push('\n');
        Self {
            status,
            kind: ContentKind::Json,
            body: Bytes::from(text),
        }
    }
}

/// Lets `Bytes` own a key that wipes itself.
struct WipedBytes(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for WipedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn key_list(keys: &[LocalKey]) -> Answer {
    let keys: Vec<_> = keys
        .iter()
        .map(
            |LocalKey {
                 name,
                 version,
                 bytes: _,
             }| json!({ "name": name, "version": version }),
        )
        .collect();
    Answer::json(StatusCode::OK, &json!({ "keys": keys }))
}

/// As readiness probes want it: the status code alone tells.
fn readiness(readiness: Readiness) -> Answer {
    let (status, state) = match readiness {
        Readiness::Ready => (StatusCode::OK, "ready"),
        Readiness::WaitingForKeys => (StatusCode::SERVICE_UNAVAILABLE, "waiting-for-keys"),
        Readiness::ReleaseRevoked => (StatusCode::SERVICE_UNAVAILABLE, "release-revoked"),
    };
    Answer::json(status, &json!({ "state": state }))
}

fn set_ready(backend: &impl LocalBackend, readiness: WorkloadReadiness) -> Result<Answer, Problem> {
    backend.set_ready(readiness).map_err(Problem::Refused)?;
    Ok(Answer::empty())
}

fn policy(policy: &LocalPolicy) -> Answer {
    let LocalPolicy {
        version,
        bundle,
        boot_bundle,
        expires,
        release,
    } = policy;
    let release: &State = release;
    Answer::json(
        StatusCode::OK,
        &json!({
            "version": version,
            "bundle_sha384": hex::encode(bundle.as_bytes()),
            "boot_bundle_sha384": hex::encode(boot_bundle.as_bytes()),
            "expires_unix_millis": expires.0,
            "release": release.name(),
        }),
    )
}
