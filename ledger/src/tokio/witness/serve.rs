//! The witness over HTTP.

use std::sync::Arc;

use hyper::{Method, StatusCode};

use super::Witness;
use crate::tokio::listener::HttpListener;
use crate::tokio::server::{Answer, Head, ServeLimits, ServeStatistics, Service, serve_all};
use crate::witness::{MAX_REQUEST, WitnessAnswer};

const PATH: &str = "add-checkpoint";

impl Witness {
    /// Serves `POST /add-checkpoint` over all `listeners` until `stop`. Must be called within a tokio runtime with
    /// I/O and time.
    pub async fn serve(
        self: Arc<Self>,
        listeners: Vec<HttpListener>,
        limits: ServeLimits,
        statistics: Arc<ServeStatistics>,
        stop: impl Future<Output = ()>,
    ) {
        serve_all(listeners, self, limits, statistics, stop).await;
    }
}

impl Service for Witness {
    const MAX_BODY_BYTES: usize = MAX_REQUEST;

    fn at_once(&self, head: &Head) -> Option<Answer> {
        if head.path != PATH || head.query {
            return Some(Answer::words(
                StatusCode::NOT_FOUND,
                "no such path; a witness has /add-checkpoint",
            ));
        }
        (head.method != Method::POST).then(|| Answer::wrong_method("POST"))
    }

    async fn answer(self: Arc<Self>, _: Head, body: Vec<u8>) -> Answer {
        let judging = tokio::task::spawn_blocking(move || self.add_checkpoint(&body));
        match judging.await {
            Ok(Ok(answer)) => http(&answer),
            // What is wrong with the witness is its operator's business.
            Ok(Err(_)) | Err(_) => Answer::words(
                StatusCode::SERVICE_UNAVAILABLE,
                "this witness cannot cosign at the moment",
            ),
        }
    }
}

fn http(answer: &WitnessAnswer) -> Answer {
    let status = StatusCode::from_u16(answer.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Answer::new(status, answer.content_type(), answer.body())
}
