//! `catch-up`: brings an older copy of the database to where a mirror of the log is.

use std::{collections::BTreeMap, sync::Arc};

use narthex_ledger::{
    AddCheckpoint, Entry, HashSource, LogReader, LogStore, SignedNote, VerifierKey,
    prove_consistency,
    tokio::{ClientLimits, HttpAddress, WitnessClient},
};

use super::{
    super::{LogStop, reply, rounds::Reply},
    RecoveryError,
    apply::{self, Item},
    mirror,
    plan::{self, Plan},
};
use crate::{
    administration::rewrap_all,
    clock::Clock,
    config::Config,
    lineage::Lineage,
    log_key,
    metrics::Metrics,
    root_key::RootKeys,
    storage::{Database, KeyReference, Opened, SealedEvidence, Store, StoreError},
};

/// Entries written at once.
const AT_ONCE: usize = 128;
/// How often a witness may correct what we think it knows.
const MAX_CORRECTIONS: usize = 4;

/// What was caught up with.
#[derive(Clone, Debug)]
pub struct CaughtUp {
    /// Number of entries that were here.
    pub from_size: u64,
    /// Number of entries that the mirror holds; one or more that say so come after them.
    pub to_size: u64,
    /// Pieces of evidence that the mirror did not have.
    pub missing_evidence: u64,
    /// Keys whose material is not here: they are retired.
    pub lost: Vec<KeyReference>,
}

/// Imports what the mirror has more, once the witnesses have confirmed that it is all there is.
///
/// # Errors
///
/// [`RecoveryError`]. Nothing was changed unless the disk failed; then the command can be run again.
pub async fn catch_up(
    config: &Config,
    mirror: &str,
    clock: Arc<dyn Clock>,
) -> Result<CaughtUp, RecoveryError> {
    let root_keys = RootKeys::load(&config.storage.root_key)?;
    let log_key = log_key::load(&config.storage.log_key)?;
    let mirror = mirror::open(mirror)?;
    let database = Database::lock(&config.storage)?;
    let opened = database.open(
        &root_keys,
        Arc::new(log_key),
        1,
        Arc::new(Metrics::default()),
    )?;
    let Opened {
        store,
        writer,
        policy_files,
        ..
    } = opened;
    let lineage = Lineage::replay(&policy_files)?;
    let result = async {
        let here = store.published().borrow().newest.clone();
        let note = SignedNote::parse(&here.note)?;
        let plan = Plan::read(mirror.as_ref(), &note, lineage.clone())?;
        confirm(config, &plan, clock.as_ref()).await?;
        let missing_evidence = import(&store, &plan.reader, lineage, here.size, root_keys).await?;
        rewrap_all(&store).await?;
        let (from_size, now) = (here.size, clock.now());
        let lost = store
            .write(move |writing| apply::record_restore(writing, from_size, now))
            .await?;
        Ok(CaughtUp {
            from_size,
            to_size: plan.reader.size(),
            missing_evidence,
            lost,
        })
    };
    let result = result.await;
    drop(store);
    // What was written is durable, however the thread ends.
    let _ended = writer.join();
    result
}

/// Writes the entries in order; returns how many pieces of evidence the mirror did not have.
async fn import(
    store: &Store,
    reader: &LogReader<'_, dyn LogStore>,
    mut lineage: Lineage,
    from: u64,
    root_keys: RootKeys,
) -> Result<u64, RecoveryError> {
    let root_keys = Arc::new(root_keys);
    let mut missing = 0;
    let mut items = Vec::with_capacity(AT_ONCE);
    for entry in reader.entries(from..reader.size()) {
        let (_, leaf) = entry?;
        let entry = Entry::from_leaf(&leaf)?;
        let mut evidence = Vec::new();
        for digest in entry.evidence() {
            match reader.evidence(&digest)? {
                Some(found) => evidence.push(SealedEvidence::with_salt(&found)),
                None => missing += 1,
            }
        }
        let mut files = Vec::new();
        if let Entry::Policy(policy) = &entry {
            (lineage, files) = plan::follow(reader, lineage, policy)?;
        }
        items.push(Item {
            leaf,
            entry,
            evidence,
            files,
        });
        if items.len() == AT_ONCE {
            write(store, std::mem::take(&mut items), &root_keys).await?;
        }
    }
    write(store, items, &root_keys).await?;
    Ok(missing)
}

async fn write(
    store: &Store,
    items: Vec<Item>,
    root_keys: &Arc<RootKeys>,
) -> Result<(), StoreError> {
    let root_keys = Arc::clone(root_keys);
    store
        .write(move |writing| apply::import(writing, items, &root_keys))
        .await
}

/// Demands that the quorum of witnesses knows nothing beyond the mirror: what comes after must not become a fork.
async fn confirm(config: &Config, plan: &Plan<'_>, clock: &dyn Clock) -> Result<(), RecoveryError> {
    let Some(ledger) = plan.lineage.ledger() else {
        return Ok(());
    };
    let addresses = &config.ledger.witnesses;
    let mut words = BTreeMap::new();
    let mut agreed = 0;
    for witness in &ledger.witnesses {
        let name = witness.name();
        let outcome = match addresses.get(name) {
            None => Err("has no address under [ledger.witnesses]".to_owned()),
            Some(address) => {
                let key = VerifierKey::parse(witness.as_str())?;
                let address = address
                    .parse()
                    .map_err(|error| RecoveryError::Address(format!("{address}: {error}")))?;
                ask(config, plan, &key, address, clock).await?
            }
        };
        match outcome {
            Ok(()) => agreed += 1,
            Err(trouble) => drop(words.insert(name, trouble)),
        }
    }
    if agreed >= ledger.quorum {
        return Ok(());
    }
    let missing: Vec<_> = words
        .iter()
        .map(|(name, trouble)| format!("{name} {trouble}"))
        .collect();
    Err(RecoveryError::Quorum(format!(
        "{agreed} of {} witnesses have confirmed that the mirror is complete, and {} are needed; nothing was changed. \
         {}",
        ledger.witnesses.len(),
        ledger.quorum,
        missing.join("; ")
    )))
}

/// Shows the mirror's checkpoint to one witness. The inner error is for people.
async fn ask(
    config: &Config,
    plan: &Plan<'_>,
    key: &VerifierKey,
    address: HttpAddress,
    clock: &dyn Clock,
) -> Result<Result<(), String>, RecoveryError> {
    let timeout = config.ledger.witness_timeout();
    let limits = ClientLimits {
        connect: timeout,
        stall: timeout,
        whole: timeout,
        retries: 1,
    };
    let client = WitnessClient::new(address, limits);
    let size = plan.head.checkpoint().size;
    let mut old_size = size;
    for _ in 0..MAX_CORRECTIONS {
        let request = AddCheckpoint {
            old_size,
            proof: prove_consistency(as_source(&plan.reader), old_size, size)?,
            checkpoint: plan.head.note().clone(),
        };
        let from = clock.now();
        let answer = client.add_checkpoint(&request).await;
        let asked = reply::Asked {
            from,
            to: clock.now(),
        };
        let witness = key.name().to_owned();
        match reply::judge(answer, key, plan.head.note().text(), asked) {
            Reply::Cosigned(_) => return Ok(Ok(())),
            Reply::Knows(known) if known > size => {
                return Err(LogStop::Behind {
                    witness,
                    known,
                    here: size,
                }
                .into());
            }
            Reply::Knows(known) => old_size = known,
            Reply::OtherRoot | Reply::NotContinued => {
                return Err(LogStop::Forked {
                    witness,
                    size: old_size,
                }
                .into());
            }
            Reply::Failed(words) => return Ok(Err(words)),
        }
    }
    Ok(Err("keeps correcting the size it knows".to_owned()))
}

fn as_source<'r>(
    reader: &'r LogReader<'_, dyn LogStore>,
) -> &'r (impl HashSource<Error = narthex_ledger::LogError> + use<'r>) {
    reader.tiles()
}
