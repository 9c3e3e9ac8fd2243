//! Requests and answers, as far as they matter here.

use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};

use crate::tokio::transport::WholeBody;

/// The head of a request, as far as it matters here.
pub(in crate::tokio) struct Head {
    pub(in crate::tokio) method: Method,
    /// As it was sent, nothing decoded, without the first slash.
    pub(in crate::tokio) path: String,
    /// Whether a query follows the path.
    pub(in crate::tokio) query: bool,
    /// The one `Authorization` header, if there is exactly one that is printable ASCII.
    pub(in crate::tokio) authorization: Option<String>,
}

impl Head {
    pub(super) fn of(request: &Request<Incoming>) -> Self {
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
pub(in crate::tokio) struct Answer {
    pub(in crate::tokio) status: StatusCode,
    pub(in crate::tokio) content_type: &'static str,
    pub(in crate::tokio) cache: &'static str,
    pub(in crate::tokio) body: Bytes,
    /// Of a 405.
    pub(in crate::tokio) allow: Option<&'static str>,
    /// Of a 401.
    pub(in crate::tokio) challenge: Option<HeaderValue>,
}

pub(in crate::tokio) const TEXT: &str = "text/plain; charset=utf-8";
pub(in crate::tokio) const NO_STORE: &str = "no-store";

impl Answer {
    pub(in crate::tokio) fn new(
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
    pub(in crate::tokio) fn words(status: StatusCode, words: &str) -> Self {
        Self::new(status, TEXT, format!("{words}\n"))
    }

    pub(in crate::tokio) fn wrong_method(allowed: &'static str) -> Self {
        Self {
            allow: Some(allowed),
            ..Self::words(
                StatusCode::METHOD_NOT_ALLOWED,
                &format!("only {allowed} here"),
            )
        }
    }

    pub(super) fn into_response(self, close: bool) -> Response<WholeBody> {
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
