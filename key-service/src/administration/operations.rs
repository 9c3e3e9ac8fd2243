//! The operations on keys, each inside one transaction at the writer.

use narthex_channel::{
    KeyName, SecretBytes, commitment,
    limits::{MAX_BODY_BYTES, MAX_KEY_BYTES},
};
use narthex_policy::KeyOperation;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    Call, backup,
    body::{Done, key_version},
};
use crate::{
    digest::Digest,
    reason::Reason,
    refusal::Refusal,
    storage::{KeyOrigin, KeyReference, KeyShares, KeyState, KeyVersion, StoreError, Writing},
};

/// Key versions that are kept, retired ones among them: what a backup of ordinary keys can carry.
pub(crate) const MAX_KEY_VERSIONS: usize = 8192;
/// Bytes of a created key: AES-256, HMAC, a seed for anything else.
const CREATED_KEY_BYTES: usize = 32;
/// Entries that are listed at most; `narthex log show` lists all, and checks them.
const LISTED_ENTRIES: u64 = 500;

/// Why a call ends without having changed anything.
pub(crate) enum Stop {
    /// It is refused.
    Refused(Refusal),
    /// Storage could not do it.
    Storage(StoreError),
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Storage(error)
    }
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason.into())
    }
}

/// Carries a call out and records it.
pub(crate) fn carry_out(
    writing: &mut Writing<'_>,
    call: &Call,
    operation: &KeyOperation,
    payload: &SecretBytes,
) -> Result<Done, Stop> {
    if writing.order_is_used(&call.order) {
        return Err(Stop::Refused(narthex_policy::Reason::OrderReused.into()));
    }
    match operation {
        KeyOperation::List => list(writing, call),
        KeyOperation::Create { key } => create(writing, call, key.as_str()),
        KeyOperation::Import {
            key,
            version,
            commitment,
        } => {
            let commitment = Digest(*commitment.as_bytes());
            import(
                writing,
                call,
                reference(key.as_str(), *version),
                &commitment,
                payload,
            )
        }
        KeyOperation::Rotate { key } => rotate(writing, call, key.as_str()),
        KeyOperation::Disable { key, version } => change(
            writing,
            call,
            &reference(key.as_str(), *version),
            KeyState::Disabled,
        ),
        KeyOperation::Enable { key, version } => change(
            writing,
            call,
            &reference(key.as_str(), *version),
            KeyState::Enabled,
        ),
        KeyOperation::Retire { key, version } => change(
            writing,
            call,
            &reference(key.as_str(), *version),
            KeyState::Retired,
        ),
        KeyOperation::BackUp => backup::make(writing, call),
        KeyOperation::Restore { backup } => {
            let digest = Digest(*backup.as_bytes());
            backup::restore(writing, call, &digest, payload.as_bytes())
        }
        KeyOperation::ListDecisions => list_entries(writing, call),
        // Needs the root key file, so it does not happen inside one transaction.
        KeyOperation::RotateRootKey => Err(Reason::ServiceInternal.into()),
    }
}

fn reference(name: &str, version: u32) -> KeyReference {
    KeyReference {
        name: name.to_owned(),
        version,
    }
}

fn create(writing: &mut Writing<'_>, call: &Call, name: &str) -> Result<Done, Stop> {
    if !writing.versions(name).is_empty() {
        return Err(Reason::KeyExists.into());
    }
    let secret = random_key()?;
    store(
        writing,
        call,
        reference(name, 1),
        KeyOrigin::Created,
        &secret,
    )
}

fn rotate(writing: &mut Writing<'_>, call: &Call, name: &str) -> Result<Done, Stop> {
    let next = next_version(writing, name)?;
    if next == 1 {
        return Err(Reason::KeyNotStored.into());
    }
    let secret = random_key()?;
    store(
        writing,
        call,
        reference(name, next),
        KeyOrigin::Created,
        &secret,
    )
}

fn import(
    writing: &mut Writing<'_>,
    call: &Call,
    reference: KeyReference,
    expected: &Digest,
    secret: &SecretBytes,
) -> Result<Done, Stop> {
    if secret.is_empty() || secret.len() > MAX_KEY_BYTES {
        return Err(Reason::ImportLength.into());
    }
    if reference.version != next_version(writing, &reference.name)? {
        return Err(Reason::KeyVersionOrder.into());
    }
    if commitment_of(&reference, secret)? != *expected {
        return Err(Reason::ImportCommitment.into());
    }
    store(writing, call, reference, KeyOrigin::Imported, secret)
}

fn next_version(writing: &Writing<'_>, name: &str) -> Result<u32, Stop> {
    let newest = writing
        .versions(name)
        .last()
        .map_or(0, |(version, _)| *version);
    newest
        .checked_add(1)
        .ok_or_else(|| Reason::KeyTooMany.into())
}

fn random_key() -> Result<SecretBytes, Stop> {
    let mut secret = Zeroizing::new([0; CREATED_KEY_BYTES]);
    getrandom::fill(secret.as_mut()).map_err(|_| StoreError::Cryptography)?;
    Ok(SecretBytes::copied_from(secret.as_ref()))
}

fn commitment_of(reference: &KeyReference, secret: &SecretBytes) -> Result<Digest, Stop> {
    let name = KeyName::new(&reference.name).map_err(|_| Reason::ServiceInternal)?;
    Ok(Digest(
        *commitment(&name, reference.version, secret).as_bytes(),
    ))
}

fn store(
    writing: &mut Writing<'_>,
    call: &Call,
    reference: KeyReference,
    origin: KeyOrigin,
    secret: &SecretBytes,
) -> Result<Done, Stop> {
    if writing.key_count() >= MAX_KEY_VERSIONS {
        return Err(Reason::KeyTooMany.into());
    }
    let key = KeyVersion {
        state: KeyState::Enabled,
        origin,
        shares: KeyShares::Service,
        bytes: u32::try_from(secret.len()).map_err(|_| Reason::ImportLength)?,
        commitment: commitment_of(&reference, secret)?,
        created: call.now,
        changed: call.now,
        entry: 0,
        reference,
    };
    let key = writing.insert_key(key, secret.as_bytes())?;
    record_one(writing, call, &key)
}

fn change(
    writing: &mut Writing<'_>,
    call: &Call,
    reference: &KeyReference,
    state: KeyState,
) -> Result<Done, Stop> {
    let versions = writing.versions(&reference.name);
    if versions.is_empty() {
        return Err(Reason::KeyNotStored.into());
    }
    let (_, anchor) = versions
        .iter()
        .find(|(version, _)| *version == reference.version)
        .ok_or(Reason::KeyNoSuchVersion)?;
    if anchor.state == KeyState::Retired {
        return Err(Reason::KeyRetired.into());
    }
    if anchor.state == state {
        return Err(Reason::KeyState.into());
    }
    let key = writing.change_key(reference, state, call.now)?;
    record_one(writing, call, &key)
}

fn record_one(writing: &mut Writing<'_>, call: &Call, key: &KeyVersion) -> Result<Done, Stop> {
    let recorded = writing.record(call.record(std::slice::from_ref(key)))?;
    Ok(Done::new(call.operation, Some(recorded)).with("key", key_version(key)))
}

fn list(writing: &mut Writing<'_>, call: &Call) -> Result<Done, Stop> {
    let (mut keys, mut altered) = (Vec::new(), Vec::new());
    for reference in writing.references() {
        match writing.key(&reference) {
            Ok((key, _)) => keys.push(key_version(&key)),
            Err(StoreError::Altered { .. } | StoreError::RootKeyMissing(_)) => {
                altered.push(json!({ "name": reference.name, "version": reference.version }));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let root_key = writing.root_key().to_string();
    let recorded = writing.record(call.record(&[]))?;
    Ok(Done::new(call.operation, Some(recorded))
        .with("keys", keys.into())
        .with("altered", altered.into())
        .with("root_key", root_key.into()))
}

/// The newest entries, oldest first, as many as fit.
fn list_entries(writing: &mut Writing<'_>, call: &Call) -> Result<Done, Stop> {
    let mut entries: Vec<Value> = Vec::new();
    let mut room = MAX_BODY_BYTES - 64 * 1024;
    for recorded in writing.newest_entries(LISTED_ENTRIES)? {
        let value = recorded.to_json();
        let Some(left) = room.checked_sub(value.to_string().len() + 1) else {
            break;
        };
        room = left;
        entries.push(value);
    }
    entries.reverse();
    let count = writing.next_sequence();
    let recorded = writing.record(call.record(&[]))?;
    Ok(Done::new(call.operation, Some(recorded))
        .with("entries", entries.into())
        .with("count", count.into()))
}
