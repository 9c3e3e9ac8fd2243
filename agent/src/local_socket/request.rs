//! A request, from method, path and body to one of a closed list.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use serde::Deserialize;

use super::answer::Problem;
use super::backend::{
    LocalRefusal, MAX_NONCE, MAX_PUBLIC_KEY, MAX_WORKLOAD_USER_DATA, WorkloadAttestation,
};

/// Largest body: an attestation request in JSON with all fields full has 2.8 KiB.
pub const MAX_BODY_BYTES: usize = 4096;
/// Longest path: `/v1/counters/` and a name.
const MAX_PATH_BYTES: usize = 256;

/// What a workload can ask for. There is nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// `POST /v1/attestation`.
    Attestation(WorkloadAttestation),
    /// `GET /v1/keys`.
    Keys,
    /// `GET /v1/keys/NAME`.
    Key(String),
    /// `GET /v1/ready`.
    Ready,
    /// `PUT /v1/ready`.
    SetReady,
    /// `DELETE /v1/ready`.
    SetNotReady,
    /// `PUT /v1/counters/NAME`.
    SetCounter(String, u64),
    /// `GET /v1/policy`.
    Policy,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// [`Problem`].
    pub fn read(
        method: &Method,
        path: &str,
        body_kind: BodyKind,
        body: &[u8],
    ) -> Result<Self, Problem> {
        if path.len() > MAX_PATH_BYTES {
            return Err(Problem::NotFound);
        }
        let route = path.strip_prefix("/v1/").ok_or(Problem::NotFound)?;
        let (first, name) = match route.split_once('/') {
            Some((first, name)) => (first, Some(name)),
            None => (route, None),
        };
        let request = match (first, name, method.as_str()) {
            ("attestation", None, "POST") => Self::Attestation(read_attestation(body_kind, body)?),
            ("keys", None, "GET") => Self::Keys,
            ("keys", Some(name), "GET") => Self::Key(name.to_owned()),
            ("ready", None, "GET") => Self::Ready,
            ("ready", None, "PUT") => Self::SetReady,
            ("ready", None, "DELETE") => Self::SetNotReady,
            ("counters", Some(name), "PUT") => {
                Self::SetCounter(name.to_owned(), read_number(body)?)
            }
            ("policy", None, "GET") => Self::Policy,
            ("attestation", None, _) => return Err(Problem::WrongMethod("POST")),
            ("keys" | "policy", None, _) | ("keys", Some(_), _) => {
                return Err(Problem::WrongMethod("GET"));
            }
            ("ready", None, _) => return Err(Problem::WrongMethod("GET, PUT, DELETE")),
            ("counters", Some(_), _) => return Err(Problem::WrongMethod("PUT")),
            _ => return Err(Problem::NotFound),
        };
        Ok(request)
    }
}

/// What a body says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// `Content-Type: application/json`.
    Json,
    /// Anything else: bytes as they are.
    Raw,
}

/// The JSON body of an attestation request; every field in standard base64.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AttestationText {
    #[serde(default)]
    user_data: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
    #[serde(default)]
    public_key: Option<String>,
}

fn read_attestation(kind: BodyKind, body: &[u8]) -> Result<WorkloadAttestation, Problem> {
    let request = match kind {
        BodyKind::Raw => WorkloadAttestation {
            user: body.to_vec(),
            nonce: None,
            public_key: None,
        },
        BodyKind::Json => {
            // serde would also take an array of the three fields.
            if body.trim_ascii_start().first() != Some(&b'{') {
                return Err(Problem::MalformedBody);
            }
            let AttestationText {
                user_data,
                nonce,
                public_key,
            } = serde_json::from_slice(body).map_err(|_| Problem::MalformedBody)?;
            WorkloadAttestation {
                user: decode(user_data)?.unwrap_or_default(),
                nonce: decode(nonce)?,
                public_key: decode(public_key)?,
            }
        }
    };
    let WorkloadAttestation {
        user,
        nonce,
        public_key,
    } = &request;
    let length = |field: &Option<Vec<u8>>| field.as_ref().map_or(0, Vec::len);
    let too_long = user.len() > MAX_WORKLOAD_USER_DATA
        || length(nonce) > MAX_NONCE
        || length(public_key) > MAX_PUBLIC_KEY;
    if too_long {
        Err(Problem::Refused(LocalRefusal::TooLong))
    } else {
        Ok(request)
    }
}

fn decode(text: Option<String>) -> Result<Option<Vec<u8>>, Problem> {
    text.map(|text| STANDARD.decode(text).map_err(|_| Problem::MalformedBody))
        .transpose()
}

/// Decimal digits, with a line end or without.
fn read_number(body: &[u8]) -> Result<u64, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| Problem::MalformedBody)?;
    let digits = text.strip_suffix('\n').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::MalformedBody);
    }
    digits
        .parse()
        .map_err(|_| Problem::Refused(LocalRefusal::OutOfRange))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, path: &str, body: &[u8]) -> Result<Request, Problem> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Request::read(&method, path, BodyKind::Raw, body)
    }

    fn json(body: &str) -> Result<Request, Problem> {
        Request::read(
            &Method::POST,
            "/v1/attestation",
            BodyKind::Json,
            body.as_bytes(),
        )
    }

    #[test]
    fn every_request() {
        for (method, path, wanted) in [
            ("GET", "/v1/keys", Request::Keys),
            ("GET", "/v1/keys/a", Request::Key("a".to_owned())),
            ("GET", "/v1/keys/../x", Request::Key("../x".to_owned())), // A name, not a path.
            ("GET", "/v1/ready", Request::Ready),
            ("PUT", "/v1/ready", Request::SetReady),
            ("DELETE", "/v1/ready", Request::SetNotReady),
            ("GET", "/v1/policy", Request::Policy),
        ] {
            assert_eq!(read(method, path, b""), Ok(wanted), "{method} {path}");
        }
        let counter = read("PUT", "/v1/counters/served", b"12\n");
        assert_eq!(counter, Ok(Request::SetCounter("served".to_owned(), 12)));
    }

    #[test]
    fn what_is_not_there_and_what_is_there_by_another_method() {
        for path in [
            "/",
            "",
            "/v1",
            "/v1/",
            "/v2/keys",
            "/v1/shell",
            "/v1/counters",
            "/v1/ready/x",
        ] {
            assert_eq!(read("GET", path, b""), Err(Problem::NotFound), "{path}");
        }
        let long = format!("/v1/keys/{}", "a".repeat(300));
        assert_eq!(read("GET", &long, b""), Err(Problem::NotFound));
        for (method, path, allowed) in [
            ("GET", "/v1/attestation", "POST"),
            ("POST", "/v1/keys", "GET"),
            ("PUT", "/v1/keys/a", "GET"),
            ("GET", "/v1/counters/a", "PUT"),
            ("PUT", "/v1/policy", "GET"),
            ("BREW", "/v1/ready", "GET, PUT, DELETE"),
        ] {
            let refused = read(method, path, b"1");
            assert_eq!(
                refused,
                Err(Problem::WrongMethod(allowed)),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn numbers_are_plain_decimal() {
        for body in [
            &b""[..],
            b"\n",
            b"-1",
            b"+1",
            b" 1",
            b"1 ",
            b"0x1",
            b"1.0",
            b"\xff",
            b"1\n\n",
        ] {
            let refused = read("PUT", "/v1/counters/a", body);
            assert_eq!(refused, Err(Problem::MalformedBody), "{body:?}");
        }
        let huge = read("PUT", "/v1/counters/a", b"18446744073709551616");
        assert_eq!(huge, Err(Problem::Refused(LocalRefusal::OutOfRange)));
    }

    #[test]
    fn attestation_raw_and_as_json() {
        let raw = WorkloadAttestation {
            user: b"abc".to_vec(),
            ..Default::default()
        };
        assert_eq!(
            read("POST", "/v1/attestation", b"abc"),
            Ok(Request::Attestation(raw))
        );
        let all = WorkloadAttestation {
            user: b"abc".to_vec(),
            nonce: Some(b"d".to_vec()),
            public_key: Some(Vec::new()),
        };
        let text = r#"{"user_data":"YWJj","nonce":"ZA==","public_key":""}"#;
        assert_eq!(json(text), Ok(Request::Attestation(all)));
        assert_eq!(
            json("{}"),
            Ok(Request::Attestation(WorkloadAttestation::default()))
        );
    }

    #[test]
    fn attestation_bodies_that_are_refused() {
        for text in [
            "",
            "[]",
            r#"["YWJj"]"#,
            r#"{"user_data":"*"}"#,
            r#"{"user":""}"#,
            r#"{"nonce":1}"#,
            "{}{}",
        ] {
            assert_eq!(json(text), Err(Problem::MalformedBody), "{text}");
        }
        let too_long = Err(Problem::Refused(LocalRefusal::TooLong));
        for (field, most) in [("user_data", 512), ("nonce", 512), ("public_key", 1024)] {
            let text = |length| {
                let bytes = STANDARD.encode(vec![0; length]);
                format!(r#"{{"{field}":"{bytes}"}}"#)
            };
            assert!(json(&text(most)).is_ok(), "{field}");
            assert_eq!(json(&text(most + 1)), too_long, "{field}");
        }
        assert_eq!(read("POST", "/v1/attestation", &[0; 513]), too_long);
    }
}
