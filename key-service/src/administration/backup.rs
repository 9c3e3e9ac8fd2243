//! Backups: the wrapped keys and their states in one authenticated file.
//!
//! ```text
//! "narthex-backup v1\n" || root key id (16) || HMAC-SHA384 over everything after it (48)
//!   || CBOR [genesis: bstr, made: uint, rows: [* row]]
//! row = [name, version, state, origin, shares, bytes, commitment, created, changed, entry, root_key, nonce, wrapped]
//! ```
//!
//! Rows stand as they do in the database, so each is authenticated by itself, too. A backup holds no key in the clear and opens
//! nowhere without its root key.

use narthex_channel::limits::MAX_BODY_BYTES;
use zeroize::Zeroizing;

use super::{
    Call,
    body::{Done, key_version},
    operations::{MAX_KEY_VERSIONS, Stop},
};
use crate::{
    digest::Digest,
    reason::Reason,
    storage::{BackupContent, BackupError, KeyState, KeyVersion, Recorded, StoreError, Writing},
};

/// Key versions in one entry: it stays well under its bound of 65,535 bytes.
const CHANGES_PER_ENTRY: usize = 200;

/// Makes a backup of every key version.
pub(crate) fn make(writing: &mut Writing<'_>, call: &Call) -> Result<Done, Stop> {
    let (bytes, count) = writing.backup(call.now)?;
    let encoded = base64(&bytes);
    if encoded.len() > MAX_BODY_BYTES - 4096 {
        return Err(Reason::AnswerTooLarge.into());
    }
    let recorded = writing.record(call.record(&[]))?;
    Ok(Done::new(call.operation, Some(recorded))
        .with("backup", encoded.into())
        .with("sha384", Digest::of(&bytes).to_string().into())
        .with("count", count.into()))
}

/// Takes in the keys of a backup that are not here. See "Restore is not rollback" in
/// `docs/administration.md`.
pub(crate) fn restore(
    writing: &mut Writing<'_>,
    call: &Call,
    expected: &Digest,
    backup: &[u8],
) -> Result<Done, Stop> {
    if Digest::of(backup) != *expected {
        return Err(Reason::BackupDigest.into());
    }
    let BackupContent { keys } = writing.open_backup(backup).map_err(|error| match error {
        BackupError::Malformed => Stop::from(Reason::BackupMalformed),
        BackupError::Foreign => Reason::BackupForeign.into(),
        BackupError::RootKey => Reason::BackupRootKey.into(),
        BackupError::Altered => Reason::BackupAltered.into(),
        BackupError::Storage(error) => Stop::Storage(error),
    })?;
    let (mut restored, mut kept) = (Vec::new(), Vec::new());
    for (key, secret) in keys {
        let anchor = writing
            .versions(&key.reference.name)
            .into_iter()
            .find(|(version, _)| *version == key.reference.version)
            .map(|(_, anchor)| anchor);
        let Some(anchor) = anchor else {
            if writing.key_count() + restored.len() >= MAX_KEY_VERSIONS {
                return Err(Reason::KeyTooMany.into());
            }
            restored.push(Incoming {
                key: inert(key, call),
                secret,
                mends: false,
            });
            continue;
        };
        if anchor.commitment != key.commitment {
            return Err(Reason::BackupConflict.into());
        }
        match writing.key(&key.reference) {
            Ok((here, _)) => kept.push(here),
            // Somebody altered the row. The same key stands in the backup, so it can be mended; a key that was
            // retired here has no material, and its line is written again as it was.
            Err(StoreError::Altered { .. } | StoreError::RootKeyMissing(_)) => {
                let retired = anchor.state == KeyState::Retired || key.state == KeyState::Retired;
                let mut mended = inert(key, call);
                if retired {
                    mended.state = KeyState::Retired;
                }
                restored.push(Incoming {
                    key: mended,
                    secret: if retired {
                        Zeroizing::default()
                    } else {
                        secret
                    },
                    mends: true,
                });
            }
            Err(error) => return Err(error.into()),
        }
    }
    let (restored, recorded) = record_all(writing, call, restored)?;
    let list = |keys: &[KeyVersion]| keys.iter().map(key_version).collect::<Vec<_>>();
    Ok(Done::new(call.operation, Some(recorded))
        .with("restored", list(&restored).into())
        .with("kept", list(&kept).into()))
}

/// Records what came in, and stores it. A key's row names the entry that speaks about it.
fn record_all(
    writing: &mut Writing<'_>,
    call: &Call,
    incoming: Vec<Incoming>,
) -> Result<(Vec<KeyVersion>, Recorded), Stop> {
    let mut stored = Vec::with_capacity(incoming.len());
    let mut first: Option<Recorded> = None;
    let mut rest = incoming.as_slice();
    loop {
        let (now, later) = rest.split_at(rest.len().min(CHANGES_PER_ENTRY));
        let mut keys = Vec::with_capacity(now.len());
        for incoming in now {
            keys.push(incoming.store(writing)?);
        }
        match &first {
            None => first = Some(writing.record(call.record(&keys))?),
            Some(_) => {
                writing.record(call.further(&keys))?;
            }
        }
        stored.append(&mut keys);
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    first
        .map(|first| (stored, first))
        .ok_or_else(|| Reason::ServiceInternal.into())
}

/// A key version that a backup brings.
struct Incoming {
    key: KeyVersion,
    secret: Zeroizing<Vec<u8>>,
    /// Whether there is a row already, which somebody altered.
    mends: bool,
}

impl Incoming {
    fn store(&self, writing: &mut Writing<'_>) -> Result<KeyVersion, StoreError> {
        let Self { key, secret, mends } = self;
        if *mends {
            writing.mend_key(key.clone(), secret)
        } else {
            writing.insert_key(key.clone(), secret)
        }
    }
}

/// The key as it comes in: released to nobody until somebody enables it.
fn inert(key: KeyVersion, call: &Call) -> KeyVersion {
    let state = match key.state {
        KeyState::Retired => KeyState::Retired,
        KeyState::Enabled | KeyState::Disabled | KeyState::Restored => KeyState::Restored,
    };
    KeyVersion {
        state,
        changed: call.now,
        ..key
    }
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
