//! Writing what a mirror had more: entries as they are, and what they say about keys and policy files.

use narthex_ledger::{Entry, KeyChange, LostKey, RestoreEntry};

use crate::{
    clock::UnixMillis,
    digest::Digest,
    root_key::{RootKeyId, RootKeys},
    storage::{
        KeyOrigin, KeyReference, KeyShares, KeyState, KeyVersion, PolicyFile, Record,
        SealedEvidence, StoreError, Writing,
    },
};

/// Keys named in one entry; it has room for more.
const LOST_IN_ONE_ENTRY: usize = 256;

/// An entry of the mirror with all that belongs to it.
pub(super) struct Item {
    /// Its bytes.
    pub(super) leaf: Vec<u8>,
    /// What they say.
    pub(super) entry: Entry,
    /// What it was decided on, if the mirror has it.
    pub(super) evidence: Vec<SealedEvidence>,
    /// The policy files that it accepted.
    pub(super) files: Vec<PolicyFile>,
}

/// Writes some entries, one after the other.
pub(super) fn import(
    writing: &mut Writing<'_>,
    items: Vec<Item>,
    root_keys: &RootKeys,
) -> Result<(), StoreError> {
    let mut plain = Vec::new();
    for item in items {
        if item.changes_rows() {
            import_plain(writing, std::mem::take(&mut plain))?;
            let position = writing.state.account.policy_files.len() as u64;
            for (place, mut file) in (position..).zip(item.files) {
                file.position = place;
                file.entry = writing.next_sequence();
                file.put(writing.connection, writing.keyring())?;
            }
            change_keys(writing, &item.entry, root_keys)?;
        }
        plain.push((item.leaf, item.evidence));
    }
    import_plain(writing, plain)
}

/// Writes entries whose rows in other tables are as they must be already.
fn import_plain(
    writing: &mut Writing<'_>,
    items: Vec<(Vec<u8>, Vec<SealedEvidence>)>,
) -> Result<(), StoreError> {
    if items.is_empty() {
        return Ok(());
    }
    let (leaves, evidence): (Vec<_>, Vec<_>) = items.into_iter().unzip();
    let recorded = writing.import(leaves)?;
    for (recorded, evidence) in recorded.iter().zip(&evidence) {
        for evidence in evidence {
            writing.import_evidence(recorded, evidence)?;
        }
    }
    Ok(())
}

impl Item {
    /// Whether rows of other tables follow from it. They are written before the entry, for its sequence; and entries
    /// before it are written before them.
    fn changes_rows(&self) -> bool {
        !self.files.is_empty() || matches!(self.entry, Entry::Administration(_) | Entry::Restore(_))
    }
}

/// Brings the rows of keys to the state that an entry says, as far as their material is here.
fn change_keys(
    writing: &mut Writing<'_>,
    entry: &Entry,
    root_keys: &RootKeys,
) -> Result<(), StoreError> {
    match entry {
        Entry::Administration(call) if call.decision.is_accepted() => {
            let time = UnixMillis(call.time);
            for change in &call.keys {
                change_key(writing, change, time)?;
            }
            match call.root_key {
                Some(id) if RootKeyId(id.0) != writing.root_key() => {
                    let id = RootKeyId(id.0);
                    let mut known = root_keys.iter();
                    let key = known.find(|key| key.id() == id);
                    writing.activate_root_key(key.ok_or(StoreError::RootKeyMissing(id))?)
                }
                _ => Ok(()),
            }
        }
        Entry::Restore(restore) => {
            let time = UnixMillis(restore.time);
            for LostKey { name, version } in &restore.lost {
                let reference = KeyReference {
                    name: name.clone(),
                    version: *version,
                };
                let commitment = commitment(writing, &reference)?;
                retire(writing, reference, commitment, time)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn change_key(
    writing: &mut Writing<'_>,
    change: &KeyChange,
    time: UnixMillis,
) -> Result<(), StoreError> {
    let reference = KeyReference {
        name: change.name.clone(),
        version: change.version,
    };
    let state = KeyState::from(change.state);
    if state == KeyState::Retired {
        return retire(writing, reference, Digest(change.commitment.0), time);
    }
    match has_material(writing, &reference)? {
        true => writing.change_key(&reference, state, time).map(drop),
        // It is lost; `find_lost` will say so.
        false => Ok(()),
    }
}

/// Destroys what is here of a key.
fn retire(
    writing: &mut Writing<'_>,
    reference: KeyReference,
    commitment: Digest,
    time: UnixMillis,
) -> Result<(), StoreError> {
    match writing.key(&reference) {
        Ok(_) => writing
            .change_key(&reference, KeyState::Retired, time)
            .map(drop),
        Err(StoreError::Altered { .. }) => {
            let key = KeyVersion {
                reference,
                state: KeyState::Retired,
                // Where it came from stood in its row.
                origin: KeyOrigin::Imported,
                shares: KeyShares::Service,
                bytes: 0,
                commitment,
                created: time,
                changed: time,
                entry: 0,
            };
            writing.mend_key(key, &[]).map(drop)
        }
        Err(error) => Err(error),
    }
}

/// Whether the key itself is here, under the row that the entries demand.
fn has_material(writing: &Writing<'_>, reference: &KeyReference) -> Result<bool, StoreError> {
    match writing.key(reference) {
        Ok((_, secret)) => Ok(!secret.is_empty()),
        Err(StoreError::Altered { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn commitment(writing: &Writing<'_>, reference: &KeyReference) -> Result<Digest, StoreError> {
    let versions = writing.versions(&reference.name);
    let found = versions
        .iter()
        .find(|(version, _)| *version == reference.version);
    found
        .map(|(_, anchor)| anchor.commitment)
        .ok_or_else(|| StoreError::Entry("a key is lost that never was".to_owned()))
}

/// Key versions that the log says are there, and whose material is not.
pub(super) fn find_lost(writing: &Writing<'_>) -> Result<Vec<KeyReference>, StoreError> {
    let mut lost = Vec::new();
    for reference in writing.references() {
        let versions = writing.versions(&reference.name);
        let retired = versions.iter().any(|(version, anchor)| {
            *version == reference.version && anchor.state == KeyState::Retired
        });
        if !retired && !has_material(writing, &reference)? {
            lost.push(reference);
        }
    }
    Ok(lost)
}

/// Says in the log that it was caught up with, and which keys are gone.
pub(super) fn record_restore(
    writing: &mut Writing<'_>,
    from_size: u64,
    now: UnixMillis,
) -> Result<Vec<KeyReference>, StoreError> {
    let lost = find_lost(writing)?;
    let to_size = writing.size();
    let mut chunks: Vec<&[KeyReference]> = lost.chunks(LOST_IN_ONE_ENTRY).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    for chunk in chunks {
        for reference in chunk {
            let commitment = commitment(writing, reference)?;
            retire(writing, reference.clone(), commitment, now)?;
        }
        writing.record(Record::of(Entry::Restore(RestoreEntry {
            time: now.0,
            from_size,
            to_size,
            lost: chunk
                .iter()
                .map(|KeyReference { name, version }| LostKey {
                    name: name.clone(),
                    version: *version,
                })
                .collect(),
        })))?;
    }
    writing.request_current(now);
    Ok(lost)
}
