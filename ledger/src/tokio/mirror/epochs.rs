//! Earlier epochs of a log: trees of their own that end where a signed policy says.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::{Mirror, MirrorReport, Place, missing_evidence};
use crate::{
    Frontier, Hash, InEpoch, LogError, LogReader, LogReason, LogStore, Resource, StoreError, Trust,
    TrustedCheckpoint, VerifierKey,
};

/// An epoch that has ended, as the policy that began the next one names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct EarlierEpoch {
    /// The log's key then.
    pub log: VerifierKey,
    /// How many entries it had.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
}

impl Mirror<'_> {
    /// Sees to it that the copy has the whole epoch `number`, under `epoch/<number>/`.
    pub(super) fn archive(
        &self,
        number: u32,
        earlier: &EarlierEpoch,
        report: &mut MirrorReport,
    ) -> Result<(), LogError> {
        let trust = Trust::new(earlier.log.clone(), Vec::new(), 0)?;
        let place = Place::earlier(self.source, number);
        self.move_away(number, &trust)?;
        let old = self
            .local(&place)?
            .map(|note| trust.check(&note))
            .transpose()
            .map_err(|error| error.within(&format!("epoch {number} of the copy")))?;
        if let Some(old) = &old
            && old.checkpoint().size >= earlier.size
        {
            // The copy may have seen more than the log remembered when it began anew.
            let copied = InEpoch {
                store: self.folder,
                epoch: number,
            };
            check_end(&copied, old, earlier)
                .map_err(|error| error.within(&format!("epoch {number} of the copy")))?;
            let lost = old.checkpoint().size.saturating_sub(earlier.size);
            report.lost_by_source = report.lost_by_source.saturating_add(lost);
            return Ok(());
        }
        let Some(bytes) = self.source.get(&place.of(Resource::Checkpoint))? else {
            report.missing_epochs.push(number);
            return Ok(());
        };
        let head = core::str::from_utf8(&bytes)
            .map_err(|_| LogError::new(LogReason::Malformed, "the checkpoint is not text"))
            .and_then(crate::SignedNote::parse)
            .and_then(|note| trust.check(&note))
            .and_then(|head| check_end(&place, &head, earlier).map(|()| head))
            .map_err(|error| error.within(&format!("epoch {number}")))?;
        let mut this_epoch = MirrorReport::default();
        self.grow(&place, old.as_ref(), &head, &mut this_epoch)?;
        if !this_epoch.missing.is_empty() && !self.accept_missing {
            return Err(missing_evidence(&this_epoch.missing));
        }
        self.finish(&place, old.as_ref(), &head)?;
        report.take(this_epoch);
        Ok(())
    }

    /// If the copy holds the epoch as the newest one, it becomes an earlier one. Killed in between, the next run goes
    /// on here: the tiles move first, then the checkpoint.
    fn move_away(&self, number: u32, trust: &Trust) -> Result<(), LogError> {
        let newest = Place::newest(self.source);
        let Some(note) = self.local(&newest)? else {
            return Ok(());
        };
        if trust.check(&note).is_err() {
            return Ok(()); // Of another epoch.
        }
        let top = self.folder.path();
        let to = top.join("epoch").join(number.to_string());
        let moved = || -> io::Result<()> {
            fs::create_dir_all(&to)?;
            for name in ["tile", "checkpoint"] {
                let (from, to) = (top.join(name), to.join(name));
                if from.symlink_metadata().is_ok() {
                    fs::rename(from, to)?;
                }
            }
            for folder in [to.as_path(), &top.join("epoch"), top] {
                sync(folder)?;
            }
            Ok(())
        };
        moved().map_err(|error| {
            StoreError::unavailable(format!("cannot move epoch {number} away: {error}")).into()
        })
    }
}

/// The tree at the end of an epoch must begin with the one that the policy names. It may be longer: whoever copied
/// it may have seen more than the log remembered when it began anew.
fn check_end<S: LogStore>(
    store: &S,
    head: &TrustedCheckpoint,
    earlier: &EarlierEpoch,
) -> Result<(), LogError> {
    let size = head.checkpoint().size;
    if size < earlier.size {
        return Err(LogError::new(
            LogReason::Behind,
            format!(
                "the policy ends it at {} entries, its last checkpoint has {size}",
                earlier.size
            ),
        ));
    }
    let reader = LogReader::at(store, head.clone())?;
    let root = Frontier::from_source(reader.tiles(), earlier.size)?.root();
    if root == earlier.root {
        return Ok(());
    }
    Err(LogError::new(
        LogReason::Forked,
        format!(
            "its first {} entries have the root {root}; the policy says {}",
            earlier.size, earlier.root
        ),
    ))
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
