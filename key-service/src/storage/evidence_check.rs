//! Reading every piece of evidence, and comparing it with the entry that names it.

use narthex_ledger::{Entry, PurgeEntry, SaltedEvidence};
use rusqlite::Connection;

use super::{entry, error::StoreError, evidence, record::Head, walk::Walk};

/// What a look at all evidence found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvidenceFindings {
    /// Pieces that are what their entry says.
    pub sound: u64,
    /// Pieces that an entry says were purged.
    pub purged: u64,
    /// Pieces that are altered, or gone without an entry that says so.
    pub altered: Vec<StoreError>,
}

/// Reads every piece of evidence that an entry names.
pub(crate) fn check_evidence(
    connection: &Connection,
    head: &Head,
) -> Result<EvidenceFindings, StoreError> {
    let mut purges: Vec<PurgeEntry> = Vec::new();
    Walk::through(connection, head, |entry| {
        if let Entry::Purge(purge) = entry {
            purges.push(purge.clone());
        }
    })?;
    let mut findings = EvidenceFindings::default();
    entry::for_each(connection, 0, u64::MAX, |stored| {
        let entry = Entry::from_leaf(&stored.leaf).map_err(|_| entry::altered(stored.sequence))?;
        for digest in entry.evidence() {
            let altered = StoreError::Altered {
                table: "evidence",
                row: format!("of entry {}", stored.sequence),
            };
            match evidence::find(connection, &digest)? {
                Some(bytes) if SaltedEvidence::open(&digest, &bytes).is_ok() => findings.sound += 1,
                None if was_purged(&purges, &entry) => findings.purged += 1,
                _ => findings.altered.push(altered),
            }
        }
        Ok(())
    })?;
    Ok(findings)
}

/// Whether a purge took evidence of this entry's age and kind.
fn was_purged(purges: &[PurgeEntry], entry: &Entry) -> bool {
    evidence::kind_of(entry).is_some_and(|kind| {
        purges
            .iter()
            .any(|purge| entry.time() < purge.before && purge.kinds.contains(&kind))
    })
}
