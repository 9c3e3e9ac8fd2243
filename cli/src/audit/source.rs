//! Opening what is audited: by a policy directory, a tlog-policy, or by what the log itself begins with.

use narthex_ledger::tokio::EarlierEpoch;
use narthex_ledger::{
    Checkpoint, Entry, EvidenceDigest, Hash, LogError, LogReader, LogReason, LogStore, Resource,
    SaltedEvidence, VerifierKey, parse_entries,
};
use narthex_policy::Bundle;

use crate::commands::audit::Arguments;
use crate::commands::log::{LogArguments, TrustArguments};
use crate::failure::Outcome;
use crate::log::{OpenLog, Relying, log_failure, open_store};
use crate::output::Output;

/// Opens the log, and checks its newest checkpoint.
///
/// Without a policy of the reader's, the key is taken from the bundle with which the log begins: the audit then
/// replays the policy from there, and demands the witnesses of the newest bundle at the end.
///
/// # Errors
/// `log.*`, `file.*`, the policy's reasons.
pub(crate) fn open(arguments: &Arguments, output: &Output) -> Outcome<OpenLog> {
    let reading = LogArguments {
        log: arguments.log.clone(),
        older_copy: arguments.older_copy,
        trust: TrustArguments {
            policy: arguments.policy.clone(),
            genesis: arguments.genesis.clone(),
            tlog_policy: arguments.tlog_policy.clone(),
        },
        access: arguments.access.clone(),
    };
    if arguments.policy.is_some() {
        return OpenLog::open(&reading, output);
    }
    let store = open_store(&arguments.log, &arguments.access)?;
    let name = arguments.log.to_string();
    let found = first_words(&*store).map_err(|error| log_failure(&name, &error))?;
    let mut relying = Relying::by_key(found.log, found.earlier)?;
    if arguments.tlog_policy.is_some() {
        // The file says who is trusted; where earlier epochs are stands in the bundle alone.
        relying.trust = Relying::resolve(&reading.trust, output)?.trust;
    }
    OpenLog::relying_on(relying, store, &reading, output)
}

/// What the first entry's bundle says about the log.
struct FirstWords {
    log: VerifierKey,
    earlier: Vec<EarlierEpoch>,
}

/// Reads the first entry and its bundle. Nothing is believed yet: the key that is found here must have signed the
/// checkpoint that this very entry hangs below, and the bundle is judged when it is replayed.
fn first_words(store: &dyn LogStore) -> Result<FirstWords, LogError> {
    let missing = |what: &str| LogError::new(LogReason::Missing, format!("{what} is not there"));
    let note = LogReader::newest(store)?;
    let size = Checkpoint::parse(note.text())?.size;
    let width = u16::try_from(size.min(256)).unwrap_or(256);
    if width == 0 {
        return Err(LogError::new(LogReason::Missing, "the log is empty"));
    }
    let bundle = |width| store.get(&Resource::Entries { index: 0, width });
    let (bytes, width) = match bundle(width)? {
        Some(bytes) => (bytes, width),
        None => (
            bundle(256)?.ok_or_else(|| missing("the first bundle of entries"))?,
            256,
        ),
    };
    let entries = parse_entries(&bytes, width)?;
    let first = entries.first().ok_or_else(|| missing("entry 0"))?;
    let entry = Entry::from_leaf(first)?;
    let digest = match &entry {
        Entry::Policy(_) | Entry::Epoch(_) => entry.evidence().first().copied(),
        _ => None,
    };
    let digest = digest.ok_or_else(|| {
        LogError::new(
            LogReason::Entry,
            "entry 0 is no bundle: this is no log of Narthex",
        )
    })?;
    let bundle = bundle_of(store, &digest)?;
    let ledger = bundle
        .ledger
        .ok_or_else(|| LogError::new(LogReason::Policy, "the first bundle names no log"))?;
    let earlier = ledger.previous.iter().map(|previous| {
        Ok(EarlierEpoch {
            log: VerifierKey::parse(previous.log.as_str())?,
            size: previous.size,
            root: Hash(previous.root),
        })
    });
    Ok(FirstWords {
        log: VerifierKey::parse(ledger.log.as_str())?,
        earlier: earlier.collect::<Result<_, LogError>>()?,
    })
}

fn bundle_of(store: &dyn LogStore, digest: &EvidenceDigest) -> Result<Bundle, LogError> {
    let stored = store.get(&Resource::Evidence(*digest))?.ok_or_else(|| {
        LogError::new(
            LogReason::Evidence,
            "the first bundle is not there: an audit needs evidence (export or mirror the log with it)",
        )
    })?;
    let evidence = SaltedEvidence::open(digest, &stored)?;
    let bytes = evidence
        .evidence
        .parts()
        .first()
        .cloned()
        .unwrap_or_default();
    Bundle::parse_unverified(&bytes).map_err(|refusal| {
        LogError::new(LogReason::Evidence, format!("the first bundle: {refusal}"))
    })
}
