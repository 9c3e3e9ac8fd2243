//! The record of decisions: append-only, hash-chained, authenticated.
//!
//! ```text
//! hash(n) = SHA-384( compose("narthex/v1/decision", hash(n-1), n, time, kind, outcome, reason, mark, body) )
//! hash(-1) = SHA-384( compose("narthex/v1/decision-chain", genesis) )
//! ```
//!
//! Each row carries an HMAC over its hash under a key that follows from the root key of its day. When an old root
//! key is forgotten, the old rows stay covered by the hashes of later rows. The transparency log replaces this
//! table when it comes: an editor who also has the root key can rewrite it, and nobody outside would know.

use rusqlite::{Connection, OptionalExtension, params};

use super::{
    decision::{Decision, DecisionKind, Head, Mark, Outcome, Recorded},
    error::StoreError,
    keyring::{Keyring, Mac},
    schema::{Natural, to_integer},
};
use crate::{
    clock::UnixMillis,
    digest::{Digest, compose},
    root_key::RootKeyId,
};

const TABLE: &str = "decision";

/// Appends a decision after `head` and returns it as recorded.
pub(crate) fn append(
    connection: &Connection,
    keyring: &Keyring,
    head: &mut Head,
    decision: Decision,
) -> Result<Recorded, StoreError> {
    let mark = decision.mark.map(Mark::to_bytes);
    if let Some(mark) = &mark
        && mark_is_used(connection, mark)?
    {
        return Err(StoreError::MarkUsed);
    }
    let body = serde_json::to_vec(&decision.body).map_err(|_| StoreError::Cryptography)?;
    let raw = Raw {
        sequence: head.count,
        time: decision.time.0,
        kind: decision.kind.as_str().to_owned(),
        outcome: decision.outcome.as_str().to_owned(),
        reason: decision.reason.clone(),
        mark,
        body,
    };
    let hash = raw.hash(&head.hash);
    let mac = keyring.sign_row(TABLE, &[hash.as_bytes()])?;
    connection
        .prepare_cached(
            "INSERT INTO decision (sequence, time, kind, outcome, reason, mark, body, hash, root_key, mac)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            to_integer(raw.sequence)?,
            to_integer(raw.time)?,
            raw.kind,
            raw.outcome,
            raw.reason,
            raw.mark,
            raw.body,
            hash.as_bytes().as_slice(),
            mac.root_key.0.as_slice(),
            mac.tag,
        ])?;
    *head = Head {
        count: head.count + 1,
        hash,
    };
    Ok(Recorded {
        sequence: raw.sequence,
        decision,
        hash,
    })
}

fn mark_is_used(connection: &Connection, mark: &[u8]) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM decision WHERE mark = ?1")?
        .query_row([mark], |_| Ok(()))
        .optional()?
        .is_some())
}

/// Reads every decision in order, checks that it is what was written, and shows it to `each`.
///
/// Returns the head as the rows give it; the caller compares it with the authenticated one.
pub(crate) fn verify_all(
    connection: &Connection,
    keyring: &Keyring,
    mut each: impl FnMut(&Recorded) -> Result<(), StoreError>,
) -> Result<Head, StoreError> {
    let mut head = Head::empty(keyring.genesis());
    let mut last_authenticated = true;
    let mut statement = connection.prepare(
        "SELECT sequence, time, kind, outcome, reason, mark, body, hash, root_key, mac
         FROM decision ORDER BY sequence",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let stored = Stored::read(row).map_err(|_| altered(head.count))?;
        let (recorded, authenticated) = stored.verify(keyring, &head)?;
        last_authenticated = authenticated;
        head = Head {
            count: head.count + 1,
            hash: recorded.hash,
        };
        each(&recorded)?;
    }
    if !last_authenticated {
        return Err(altered(head.count.saturating_sub(1)));
    }
    Ok(head)
}

/// Up to `limit` decisions before `head`, newest first, each checked against the one before it.
pub(crate) fn newest(
    connection: &Connection,
    keyring: &Keyring,
    head: &Head,
    limit: u64,
) -> Result<Vec<Recorded>, StoreError> {
    let first = head.count.saturating_sub(limit);
    let mut before = Head::empty(keyring.genesis());
    if let Some(previous) = first.checked_sub(1) {
        let hash: Vec<u8> = connection
            .prepare_cached("SELECT hash FROM decision WHERE sequence = ?1")?
            .query_row([to_integer(previous)?], |row| row.get(0))
            .optional()?
            .ok_or_else(|| altered(previous))?;
        before = Head {
            count: first,
            hash: Digest::from_slice(&hash).ok_or_else(|| altered(previous))?,
        };
    }
    let mut statement = connection.prepare_cached(
        "SELECT sequence, time, kind, outcome, reason, mark, body, hash, root_key, mac
         FROM decision WHERE sequence >= ?1 ORDER BY sequence",
    )?;
    let mut rows = statement.query([to_integer(first)?])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let stored = Stored::read(row).map_err(|_| altered(before.count))?;
        let (recorded, _) = stored.verify(keyring, &before)?;
        before = Head {
            count: before.count + 1,
            hash: recorded.hash,
        };
        found.push(recorded);
    }
    if before != *head {
        return Err(altered(before.count));
    }
    found.reverse();
    Ok(found)
}

fn altered(sequence: u64) -> StoreError {
    StoreError::Altered {
        table: TABLE,
        row: format!("decision {sequence}"),
    }
}

/// The columns that are hashed.
struct Raw {
    sequence: u64,
    time: u64,
    kind: String,
    outcome: String,
    reason: String,
    mark: Option<Vec<u8>>,
    body: Vec<u8>,
}

impl Raw {
    fn hash(&self, previous: &Digest) -> Digest {
        let Self {
            sequence,
            time,
            kind,
            outcome,
            reason,
            mark,
            body,
        } = self;
        Digest::of(&compose(
            "narthex/v1/decision",
            &[
                previous.as_bytes(),
                &sequence.to_be_bytes(),
                &time.to_be_bytes(),
                kind.as_bytes(),
                outcome.as_bytes(),
                reason.as_bytes(),
                // A mark is never empty, so an empty field means none.
                mark.as_deref().unwrap_or_default(),
                body,
            ],
        ))
    }
}

struct Stored {
    raw: Raw,
    hash: Vec<u8>,
    root_key: Vec<u8>,
    mac: Vec<u8>,
}

impl Stored {
    fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            raw: Raw {
                sequence: row.get::<_, Natural>(0)?.0,
                time: row.get::<_, Natural>(1)?.0,
                kind: row.get(2)?,
                outcome: row.get(3)?,
                reason: row.get(4)?,
                mark: row.get(5)?,
                body: row.get(6)?,
            },
            hash: row.get(7)?,
            root_key: row.get(8)?,
            mac: row.get(9)?,
        })
    }

    /// The decision, and whether its own tag could be checked (its root key is still here).
    fn verify(self, keyring: &Keyring, head: &Head) -> Result<(Recorded, bool), StoreError> {
        let Self {
            raw,
            hash,
            root_key,
            mac,
        } = self;
        let wrong = || altered(head.count);
        let computed = raw.hash(&head.hash);
        if raw.sequence != head.count || computed.as_bytes().as_slice() != hash {
            return Err(wrong());
        }
        let root_key = RootKeyId::from_slice(&root_key).ok_or_else(wrong)?;
        let authenticated = keyring.holds(root_key);
        let mac = Mac { root_key, tag: mac };
        if authenticated && !keyring.row_is_ours(TABLE, &[computed.as_bytes()], &mac)? {
            return Err(wrong());
        }
        let decision = Decision {
            time: UnixMillis(raw.time),
            kind: DecisionKind::from_text(&raw.kind).ok_or_else(wrong)?,
            outcome: Outcome::from_text(&raw.outcome).ok_or_else(wrong)?,
            reason: raw.reason,
            mark: match raw.mark {
                Some(mark) => Some(Mark::from_bytes(&mark).ok_or_else(wrong)?),
                None => None,
            },
            body: serde_json::from_slice(&raw.body).map_err(|_| wrong())?,
        };
        Ok((
            Recorded {
                sequence: raw.sequence,
                decision,
                hash: computed,
            },
            authenticated,
        ))
    }
}
