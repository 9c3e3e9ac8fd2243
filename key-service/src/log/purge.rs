//! Deleting evidence that is older than the configuration keeps it. The deletion is an entry; entries themselves and
//! policy files stay for ever.

use std::{collections::BTreeSet, sync::Arc};

use narthex_ledger::{Entry, EvidenceKind, PurgeEntry};
use rusqlite::params;

use crate::{
    clock::UnixMillis,
    service::Service,
    storage::{Record, StoreError, Writing},
};

const DAY_MILLIS: u64 = 24 * 3600 * 1000;
/// Pieces deleted in one job, so that others get their turn between two of them.
const AT_ONCE: usize = 500;

impl Service {
    /// Deletes what is older than `evidence_days`, if the configuration has it.
    pub(crate) async fn purge_evidence(self: &Arc<Self>) {
        let Some(days) = self.log.settings.evidence_days else {
            return;
        };
        loop {
            let now = self.now();
            if !self.is_clock_confirmed(now) {
                tracing::warn!(
                    "no witness has confirmed the time since the clock changed: old evidence is kept until one has"
                );
                return;
            }
            let before = now.0.saturating_sub(u64::from(days) * DAY_MILLIS);
            let purged = self
                .store
                .write(move |writing| purge_some(writing, UnixMillis(before), now))
                .await;
            match purged {
                Ok(0) => return,
                Ok(count) => tracing::info!(count, before, "old evidence was deleted"),
                Err(error) => {
                    tracing::error!(id = error.id(), %error, "old evidence could not be deleted");
                    return;
                }
            }
        }
    }
}

impl Service {
    /// Whether the newest agreement is of lately by this clock. Witnesses whose time is another than ours do not count for
    /// one, so a clock that jumps years ahead deletes nothing.
    fn is_clock_confirmed(&self, now: UnixMillis) -> bool {
        let agreed = self.log.agreements.newest();
        agreed.is_some_and(|agreed| now.0.abs_diff(agreed.at.0) <= DAY_MILLIS)
    }
}

/// Deletes some of the oldest and records it; returns how many.
fn purge_some(
    writing: &mut Writing<'_>,
    before: UnixMillis,
    now: UnixMillis,
) -> Result<u64, StoreError> {
    let old = oldest(writing, before)?;
    if old.is_empty() {
        return Ok(0);
    }
    let mut kinds = BTreeSet::new();
    for (number, kind) in &old {
        writing
            .connection()
            .prepare_cached("DELETE FROM evidence WHERE number = ?1")?
            .execute(params![number])?;
        kinds.insert(kind.as_str());
    }
    writing.destroyed();
    let count = old.len() as u64;
    writing.record(Record::of(Entry::Purge(PurgeEntry {
        time: now.0,
        before: before.0,
        kinds: kinds
            .into_iter()
            .filter_map(EvidenceKind::from_text)
            .collect(),
        count,
    })))?;
    Ok(count)
}

/// The first pieces that are old enough. They were stored in the order of their times, so the first that is not ends
/// the search.
fn oldest(writing: &Writing<'_>, before: UnixMillis) -> Result<Vec<(i64, String)>, StoreError> {
    let mut statement = writing.connection().prepare_cached(
        "SELECT number, time, kind FROM evidence WHERE kind <> ?1 ORDER BY number",
    )?;
    let mut rows = statement.query(params![EvidenceKind::PolicyFile.as_str()])?;
    let mut old = Vec::new();
    while let Some(row) = rows.next()? {
        let time: i64 = row.get(1)?;
        if u64::try_from(time).unwrap_or(0) >= before.0 || old.len() >= AT_ONCE {
            break;
        }
        old.push((row.get(0)?, row.get(2)?));
    }
    Ok(old)
}
