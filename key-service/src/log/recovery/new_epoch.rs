//! `new-epoch`: ends the log that cannot go on, and begins the one that a signed bundle names.
//!
//! The bundle names the log that ends, its size and its root in `[[ledger.previous]]`, so the reviewers decide what of it
//! counts; the first entry of the new log repeats it. Keys stay as they are.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use narthex_ledger::{Entry, EpochEntry, Hash, SigningKey};
use narthex_policy::{Ledger, SignedFile, limits::MAX_BUNDLE_BYTES};

use super::RecoveryError;
use crate::{
    clock::Clock,
    config::Config,
    init::{read, read_signature},
    lineage::{AcceptedFile, Lineage},
    log_key,
    metrics::Metrics,
    root_key::RootKeys,
    storage::{self, Database, Record, StoreError, Writing},
};

/// The epoch that was opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its number.
    pub epoch: u32,
    /// The new log.
    pub origin: String,
    /// The log that ended.
    pub old_origin: String,
    /// How many entries it has.
    pub old_size: u64,
    /// Their root.
    pub old_root: Hash,
}

/// Takes the bundle, and begins the log whose key the configuration names.
///
/// # Errors
///
/// [`RecoveryError`]; nothing was changed then.
pub async fn new_epoch(
    config: &Config,
    bundle: &Path,
    signatures: &[PathBuf],
    clock: Arc<dyn Clock>,
) -> Result<Opened, RecoveryError> {
    let file = |error| RecoveryError::File(Box::new(error));
    let bundle = SignedFile {
        bytes: read(bundle, MAX_BUNDLE_BYTES).map_err(file)?,
        signatures: signatures
            .iter()
            .map(|path| read_signature(path))
            .collect::<Result<_, _>>()
            .map_err(file)?,
    };
    let root_keys = RootKeys::load(&config.storage.root_key)?;
    let log_key = Arc::new(log_key::load(&config.storage.log_key)?);
    let database = Database::lock(&config.storage)?;
    let storage::Opened {
        store,
        writer,
        policy_files,
        epochs,
        head,
        ..
    } = database.open_to_end_epoch(&root_keys, Arc::new(Metrics::default()))?;
    let result = async {
        let old = epochs.last().ok_or(StoreError::Stopped)?;
        let ending = Ending {
            log: old.log_key.to_string(),
            origin: old.origin().to_owned(),
            size: head.size,
            root: head.root,
        };
        let now = clock.now();
        let lineage = Lineage::replay(&policy_files)?;
        let (next, mut taken) = lineage.offer_bundles(&[bundle], now)?;
        ending.must_precede(next.ledger(), &log_key)?;
        let accepted = taken.pop().ok_or(StoreError::Stopped)?;
        let opened = Opened {
            epoch: old.number + 1,
            origin: log_key.name().to_owned(),
            old_origin: ending.origin.clone(),
            old_size: ending.size,
            old_root: ending.root,
        };
        let version = next.policy().version();
        store
            .write(move |writing| begin(writing, log_key, &ending, accepted, version, now))
            .await?;
        Ok(opened)
    };
    let result = result.await;
    drop(store);
    // What was written is durable, however the thread ends.
    let _ended = writer.join();
    result
}

/// The log that ends.
struct Ending {
    log: String,
    origin: String,
    size: u64,
    root: Hash,
}

impl Ending {
    /// Demands that the bundle goes on exactly from here, with the key that this service has.
    fn must_precede(
        &self,
        ledger: Option<&Ledger>,
        log_key: &SigningKey,
    ) -> Result<(), RecoveryError> {
        let refuse = |words: String| Err(RecoveryError::Epoch(words));
        let ours = log_key.verifier_key().to_string();
        if ours == self.log {
            return refuse(
                "[storage] log_key still holds the key of the log that ends, and a new log needs a key of its own: \
                 name another file there, run `narthex-key-service log-key --config FILE --origin NAME`, and put what \
                 it prints into the bundle"
                    .to_owned(),
            );
        }
        let Some(ledger) = ledger else {
            return refuse("the bundle has no [ledger]".to_owned());
        };
        if ledger.log.as_str() != ours {
            return refuse(format!(
                "the bundle's log is \"{}\", and this service's is \"{ours}\" ([storage] log_key)",
                ledger.log.as_str()
            ));
        }
        let here = ledger.previous.last().filter(|previous| {
            previous.log.as_str() == self.log
                && previous.size == self.size
                && previous.root == self.root.0
        });
        if here.is_some() {
            return Ok(());
        }
        refuse(format!(
            "the last [[ledger.previous]] of the bundle must say where the log that is here ends: log = \"{}\", \
             size = {}, root = \"{}\"",
            self.log,
            self.size,
            self.root.to_base64()
        ))
    }
}

fn begin(
    writing: &mut Writing<'_>,
    log_key: Arc<SigningKey>,
    ending: &Ending,
    accepted: AcceptedFile,
    version: u64,
    now: crate::clock::UnixMillis,
) -> Result<(), StoreError> {
    writing.begin_epoch(log_key)?;
    let (described, evidence) = accepted.to_entry()?;
    let entry = EpochEntry {
        time: now.0,
        old_origin: ending.origin.clone(),
        old_size: ending.size,
        old_root: ending.root,
        bundle: described.sha384,
        version,
        evidence: described.evidence,
        signers: described.signers,
    };
    writing.insert_policy_file(accepted.file)?;
    writing.record(Record {
        entry: Entry::Epoch(entry),
        evidence: vec![evidence],
    })?;
    Ok(())
}
