//! Sessions of each use, from an accepted stream to its end.

use std::sync::Arc;

use narthex_channel::{
    Accepting, StaticSecret,
    keys::KeyOutcome,
    tokio::{Connection, Stream, Timeouts, TransportError},
};
use narthex_ledger::EntryKind;

use crate::{distribution, reason::Reason, refusal::Refusal, release, service::Service};

/// Contents answered in one session of administration or policy.
const MAX_CONTENTS: usize = 256;

/// One session for keys: one request, one answer. Whatever comes after is refused.
pub(super) async fn keys(
    service: &Arc<Service>,
    stream: Stream,
    static_key: &StaticSecret,
    timeouts: Timeouts,
) {
    let accepting = Accepting::Keys { secret: static_key };
    let result = async {
        let mut connection = Connection::respond(stream, &accepting, timeouts).await?;
        let Some(content) = connection.receive().await? else {
            return Ok(());
        };
        let session = connection.handshake_hash();
        let answer = service
            .answer_key_request(session, content.as_bytes())
            .await;
        connection.send_message(&answer).await?;
        // From here on the session has done what it was for; how it ends is the peer's affair.
        if let Ok(Some(_)) = connection.receive().await {
            let refusal = Refusal::from(Reason::SessionUsed);
            service.refused_unknown(EntryKind::Release, refusal);
            let reason = refusal.to_reason_id();
            let _told = connection
                .send_message(&release::answer(KeyOutcome::Refused { reason }, None))
                .await;
        }
        let _closed = connection.close().await;
        Ok(())
    };
    ended(service, EntryKind::Release, result.await);
}

pub(super) async fn administration(
    service: &Arc<Service>,
    stream: Stream,
    static_key: &StaticSecret,
    timeouts: Timeouts,
) {
    let accepting = Accepting::Administration { secret: static_key };
    let result = async {
        let mut connection = Connection::respond(stream, &accepting, timeouts).await?;
        for _ in 0..MAX_CONTENTS {
            let Some(content) = connection.receive().await? else {
                break;
            };
            let answer = service.answer_administration(content).await;
            connection.send_message(&answer).await?;
        }
        connection.close().await
    };
    ended(service, EntryKind::Administration, result.await);
}

pub(super) async fn policy(service: &Arc<Service>, stream: Stream, timeouts: Timeouts) {
    let result = async {
        let mut connection = Connection::respond(stream, &Accepting::Policy, timeouts).await?;
        for _ in 0..MAX_CONTENTS {
            let Some(content) = connection.receive().await? else {
                break;
            };
            let request = distribution::read_request(content.as_bytes())?;
            connection
                .send_message(&service.answer_policy_request(&request))
                .await?;
        }
        connection.close().await
    };
    ended(service, EntryKind::Policy, result.await);
}

/// One session of submissions: each content is answered when the log shows it.
pub(super) async fn submissions(
    service: &Arc<Service>,
    stream: Stream,
    static_key: &StaticSecret,
    timeouts: Timeouts,
) {
    let accepting = Accepting::Submissions { secret: static_key };
    let result = async {
        let mut connection = Connection::respond(stream, &accepting, timeouts).await?;
        for _ in 0..MAX_CONTENTS {
            let Some(content) = connection.receive().await? else {
                break;
            };
            let answer = service.answer_submission(content.as_bytes()).await;
            connection.send_message(&answer).await?;
        }
        connection.close().await
    };
    ended(service, EntryKind::Order, result.await);
}

/// A session that broke is counted by how it broke; nobody can be named for it.
fn ended(service: &Arc<Service>, kind: EntryKind, result: Result<(), TransportError>) {
    if let Err(error) = result {
        tracing::debug!(reason = error.id(), "a session broke");
        service.refused_unknown(kind, (&error).into());
    }
}
