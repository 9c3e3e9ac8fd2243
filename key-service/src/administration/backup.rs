//! Backups: the wrapped keys and their states in one authenticated file.
//!
//! ```text
//! "narthex-backup v1\n" || root key id (16) || HMAC-SHA384 over everything after it (48)
//!   || CBOR [genesis: bstr, made: uint, rows: [* row]]
//! row = [name, version, state, origin, shares, bytes, commitment, created, changed, decision, root_key, nonce, wrapped]
//! ```
//!
//! Rows stand as they do in the database, so each is authenticated by itself, too. A backup holds no key in the clear and opens
//! nowhere without its root key.

use narthex_channel::limits::MAX_BODY_BYTES;

use super::{
    Call,
    body::{Done, key_version},
    operations::{MAX_KEY_VERSIONS, Stop},
};
use crate::{
    digest::Digest,
    reason::Reason,
    storage::{BackupContent, BackupError, Body, KeyState, KeyVersion, StoreError, Writing},
};

/// Makes a backup of every key version.
pub(crate) fn make(writing: &mut Writing<'_>, call: &Call) -> Result<Done, Stop> {
    let (bytes, count) = writing.backup(call.now)?;
    let encoded = base64(&bytes);
    if encoded.len() > MAX_BODY_BYTES - 4096 {
        return Err(Reason::AnswerTooLarge.into());
    }
    let recorded = writing.record(call.decision(Body::default()))?;
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
            if writing.key_count() >= MAX_KEY_VERSIONS {
                return Err(Reason::KeyTooMany.into());
            }
            restored.push(writing.insert_key(inert(key, call), &secret)?);
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
                let secret = if retired { &[] } else { secret.as_slice() };
                restored.push(writing.mend_key(mended, secret)?);
            }
            Err(error) => return Err(error.into()),
        }
    }
    let recorded = writing.record(call.decision(Body {
        keys: restored.iter().map(KeyVersion::to_body).collect(),
        ..Body::default()
    }))?;
    let list = |keys: &[KeyVersion]| keys.iter().map(key_version).collect::<Vec<_>>();
    Ok(Done::new(call.operation, Some(recorded))
        .with("restored", list(&restored).into())
        .with("kept", list(&kept).into()))
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
