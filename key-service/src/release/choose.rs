//! Choosing the versions to release and recording the decision, in one step at the writer.
//!
//! A key that is disabled before the record is written is not released; one that is disabled after it was
//! released before. There is no moment between.

use narthex_channel::SecretBytes;
use narthex_ledger::{Decision, Digest384, Entry, ReleasedKey};

use super::judge::{Asker, GrantedKey};
use crate::{
    clock::UnixMillis,
    reason::Reason,
    storage::{
        Anchor, KeyReference, KeyState, KeyVersion, Record, Recorded, SealedEvidence, StoreError,
        Writing,
    },
};

/// A key to be sealed.
pub(crate) struct Chosen {
    /// What it is.
    pub(crate) key: KeyVersion,
    /// The key itself.
    pub(crate) secret: SecretBytes,
}

/// Chooses, checks and records; what comes back may be sealed and sent once the writer has answered.
///
/// # Errors
///
/// The outer error is storage's and takes everything back; the inner one is a refusal, of which nothing is
/// recorded yet.
pub(crate) fn choose_and_record(
    writing: &mut Writing<'_>,
    granted: &[GrantedKey],
    asker: &Asker,
    evidence: SealedEvidence,
    now: UnixMillis,
) -> Result<Result<(Vec<Chosen>, Recorded), Reason>, StoreError> {
    let mut chosen = Vec::with_capacity(granted.len());
    for wanted in granted {
        let version = match choose(&writing.versions(wanted.name.as_str()), wanted) {
            Ok(version) => version,
            Err(reason) => return Ok(Err(reason)),
        };
        let reference = KeyReference {
            name: wanted.name.to_string(),
            version,
        };
        match writing.key(&reference) {
            Ok((key, secret)) => chosen.push(Chosen {
                key,
                secret: SecretBytes::copied_from(&secret),
            }),
            Err(StoreError::Altered { .. }) => return Ok(Err(Reason::StorageRowAltered)),
            Err(StoreError::RootKeyMissing(_)) => return Ok(Err(Reason::StorageRootKey)),
            Err(error) => return Err(error),
        }
    }
    let keys = chosen.iter().map(|chosen| released(&chosen.key)).collect();
    let recorded = writing.record(Record {
        entry: Entry::Release(asker.entry(now, Decision::Accepted, &evidence, keys, Vec::new())),
        evidence: vec![evidence],
    })?;
    Ok(Ok((chosen, recorded)))
}

fn released(key: &KeyVersion) -> ReleasedKey {
    ReleasedKey {
        name: key.reference.name.clone(),
        version: key.reference.version,
        commitment: Digest384(key.commitment.0),
    }
}

/// The version to release.
///
/// Asked for by number, it must be there, enabled, and committed to if the policy commits to any. Without a
/// number it is the newest one of which all that is true; when there is none, the reason is that of the newest version.
fn choose(versions: &[(u32, Anchor)], wanted: &GrantedKey) -> Result<u32, Reason> {
    if versions.is_empty() {
        return Err(Reason::KeyNotStored);
    }
    if let Some(version) = wanted.version {
        let (_, anchor) = versions
            .iter()
            .find(|(found, _)| *found == version)
            .ok_or(Reason::KeyNoSuchVersion)?;
        return releasable(version, anchor, wanted).map(|()| version);
    }
    let mut newest_reason = None;
    for (version, anchor) in versions.iter().rev() {
        match releasable(*version, anchor, wanted) {
            Ok(()) => return Ok(*version),
            Err(reason) => {
                newest_reason.get_or_insert(reason);
            }
        }
    }
    Err(newest_reason.unwrap_or(Reason::KeyNotStored))
}

fn releasable(version: u32, anchor: &Anchor, wanted: &GrantedKey) -> Result<(), Reason> {
    match anchor.state {
        KeyState::Enabled => {}
        KeyState::Disabled => return Err(Reason::KeyDisabled),
        KeyState::Restored => return Err(Reason::KeyRestored),
        KeyState::Retired => return Err(Reason::KeyRetired),
    }
    if wanted.commitments.is_empty() {
        return Ok(());
    }
    match wanted
        .commitments
        .iter()
        .find(|(committed, _)| *committed == version)
    {
        None => Err(Reason::KeyNotCommitted),
        Some((_, commitment)) if *commitment == anchor.commitment => Ok(()),
        Some(_) => Err(Reason::KeyCommitment),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use narthex_channel::KeyName;

    fn version(number: u32, state: KeyState) -> (u32, Anchor) {
        let anchor = Anchor {
            state,
            entry: 0,
            commitment: Digest::of(&number.to_be_bytes()),
        };
        (number, anchor)
    }

    fn wanted(version: Option<u32>, commitments: &[(u32, &[u8])]) -> GrantedKey {
        GrantedKey {
            name: KeyName::new("a").unwrap(),
            version,
            commitments: commitments
                .iter()
                .map(|(version, bytes)| (*version, Digest::of(bytes)))
                .collect(),
        }
    }

    #[test]
    fn the_newest_that_may_be_released_is_released() {
        use KeyState::{Disabled, Enabled, Restored, Retired};
        let versions = [
            version(1, Enabled),
            version(2, Enabled),
            version(3, Disabled),
        ];
        assert_eq!(choose(&versions, &wanted(None, &[])), Ok(2));
        assert_eq!(choose(&versions, &wanted(Some(1), &[])), Ok(1));
        assert_eq!(
            choose(&versions, &wanted(Some(3), &[])),
            Err(Reason::KeyDisabled)
        );
        assert_eq!(
            choose(&versions, &wanted(Some(4), &[])),
            Err(Reason::KeyNoSuchVersion)
        );
        assert_eq!(choose(&[], &wanted(None, &[])), Err(Reason::KeyNotStored));
        for (state, reason) in [
            (Disabled, Reason::KeyDisabled),
            (Restored, Reason::KeyRestored),
            (Retired, Reason::KeyRetired),
        ] {
            assert_eq!(
                choose(&[version(1, state)], &wanted(None, &[])),
                Err(reason)
            );
        }
    }

    #[test]
    fn commitments_bind_when_there_are_any() {
        let versions = [version(1, KeyState::Enabled), version(2, KeyState::Enabled)];
        let one = 1_u32.to_be_bytes();
        assert_eq!(
            choose(&versions, &wanted(None, &[(1, &one)])),
            Ok(1),
            "2 waits for its bundle"
        );
        assert_eq!(
            choose(&versions, &wanted(Some(2), &[(1, &one)])),
            Err(Reason::KeyNotCommitted)
        );
        assert_eq!(
            choose(&versions, &wanted(Some(1), &[(1, b"other")])),
            Err(Reason::KeyCommitment)
        );
    }
}
