//! What a bundle says about the log: its key, its witnesses, who may read it, and the logs before
//! it. Checking proofs is not done here.

use std::collections::BTreeSet;

use base64ct::{Base64, Encoding as _};
use serde::Deserialize;

use crate::bundle::{Bundle, check_unique};
use crate::digest::LedgerSalt;
use crate::names::PersonName;
use crate::reason::{Reason, Refusal};
use crate::verifier_key::VerifierKey;

/// Most witnesses: a proof with a cosignature of each stays under its bound.
pub const MAX_WITNESSES: usize = 32;

/// The log of a project.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ledger {
    /// The log's key; its name is the log's origin.
    pub log: VerifierKey,
    /// The witnesses' keys.
    pub witnesses: Vec<VerifierKey>,
    /// How many witnesses must have cosigned.
    pub quorum: usize,
    /// What pseudonyms of people are made with. The same in every bundle of a lineage.
    pub salt: LedgerSalt,
    /// Who may read the log over HTTP, with a ticket.
    pub readers: Vec<PersonName>,
    /// Whether everybody may read the log, without a ticket.
    pub anyone_may_read: bool,
    /// Whether keys are released only once the quorum has cosigned; otherwise the log's own
    /// signature is enough for keys, and for nothing else.
    pub release_waits_for_quorum: bool,
    /// The visible way to have no quorum at all.
    pub insecure_without_witnesses: bool,
    /// The logs before this one, oldest first.
    pub previous: Vec<PreviousEpoch>,
}

/// A log that another one followed: where it ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PreviousEpoch {
    /// Its key.
    pub log: VerifierKey,
    /// How many entries it has.
    pub size: u64,
    /// The root hash of its tree at that size.
    pub root: [u8; 32],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LedgerText {
    log: String,
    #[serde(default)]
    witnesses: Vec<String>,
    quorum: usize,
    salt: String,
    #[serde(default)]
    readers: Vec<String>,
    #[serde(default)]
    anyone_may_read: bool,
    #[serde(default = "yes")]
    release_waits_for_quorum: bool,
    #[serde(default)]
    insecure_without_witnesses: bool,
    #[serde(default)]
    previous: Vec<PreviousText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PreviousText {
    log: String,
    size: u64,
    root: String,
}

fn yes() -> bool {
    true
}

impl PreviousEpoch {
    fn from_text(text: &PreviousText) -> Result<Self, Refusal> {
        let PreviousText { log, size, root } = text;
        let mut bytes = [0; 32];
        let whole = Base64::decode(root, &mut bytes).is_ok_and(|decoded| decoded.len() == 32);
        if !whole {
            return Err(Refusal::new(
                Reason::BundleLedger,
                format!("{root:?} is not a root hash (32 bytes in base64)"),
            ));
        }
        Ok(Self {
            log: VerifierKey::parse_log(log)?,
            size: *size,
            root: bytes,
        })
    }

    /// The root hash as checkpoints write it.
    pub fn root_base64(&self) -> String {
        Base64::encode_string(&self.root)
    }
}

impl Ledger {
    pub(crate) fn from_text(text: &LedgerText) -> Result<Self, Refusal> {
        let LedgerText {
            log,
            witnesses,
            quorum,
            salt,
            readers,
            anyone_may_read,
            release_waits_for_quorum,
            insecure_without_witnesses,
            previous,
        } = text;
        Ok(Self {
            log: VerifierKey::parse_log(log)?,
            witnesses: witnesses
                .iter()
                .map(|key| VerifierKey::parse_witness(key))
                .collect::<Result<_, _>>()?,
            quorum: *quorum,
            salt: LedgerSalt::from_hex(salt)?,
            readers: readers
                .iter()
                .map(|name| PersonName::new(name))
                .collect::<Result<_, _>>()?,
            anyone_may_read: *anyone_may_read,
            release_waits_for_quorum: *release_waits_for_quorum,
            insecure_without_witnesses: *insecure_without_witnesses,
            previous: previous
                .iter()
                .map(PreviousEpoch::from_text)
                .collect::<Result<_, _>>()?,
        })
    }

    /// The origin of the log: the first line of its checkpoints.
    pub fn origin(&self) -> &str {
        self.log.name()
    }

    /// Whether `log` is the log, or was it in an earlier epoch.
    pub fn has_or_had_log(&self, log: &VerifierKey) -> bool {
        self.log == *log || self.previous.iter().any(|epoch| epoch.log == *log)
    }

    /// The rules that can be seen in the bundle alone.
    pub(crate) fn check(&self, bundle: &Bundle) -> Result<(), Refusal> {
        self.check_keys()?;
        self.check_quorum()?;
        check_unique("ledger: readers", &self.readers)?;
        if let Some(unknown) = self
            .readers
            .iter()
            .find(|name| bundle.person(name).is_none())
        {
            return Err(Refusal::new(
                Reason::PersonUnknown,
                format!("ledger: no [[person]] is named {unknown}"),
            ));
        }
        if bundle.version == 1 && !self.previous.is_empty() {
            return Err(Refusal::new(
                Reason::BundleLedgerPrevious,
                "version 1 has no log before its own",
            ));
        }
        if self.previous.iter().any(|epoch| epoch.size == 0) {
            return Err(Refusal::new(
                Reason::BundleLedgerPrevious,
                "a log that another one followed has at least one entry",
            ));
        }
        Ok(())
    }

    /// One key is one log or one witness, under one name, for good.
    fn check_keys(&self) -> Result<(), Refusal> {
        if self.witnesses.len() > MAX_WITNESSES {
            return Err(Refusal::new(
                Reason::BundleLedger,
                format!(
                    "{} witnesses, at most {MAX_WITNESSES}",
                    self.witnesses.len()
                ),
            ));
        }
        let mut points = BTreeSet::new();
        let mut names = BTreeSet::new();
        let logs = self.previous.iter().map(|epoch| &epoch.log);
        for key in logs.chain([&self.log]).chain(&self.witnesses) {
            if !points.insert(key.point()) || !names.insert(key.name()) {
                return Err(Refusal::new(
                    Reason::BundleLedger,
                    format!("the key or name of {} is listed before", key.name()),
                ));
            }
        }
        Ok(())
    }

    /// The quorum can be reached, and having none is said aloud.
    fn check_quorum(&self) -> Result<(), Refusal> {
        let words = if self.quorum > self.witnesses.len() {
            format!(
                "quorum {} of {} witnesses",
                self.quorum,
                self.witnesses.len()
            )
        } else if self.quorum == 0 && !self.insecure_without_witnesses {
            "quorum 0: nobody but the service says what the log holds; name witnesses \
             (insecure_without_witnesses = true accepts that)"
                .to_owned()
        } else if self.quorum > 0 && self.insecure_without_witnesses {
            format!(
                "insecure_without_witnesses = true, and quorum {}",
                self.quorum
            )
        } else {
            return Ok(());
        };
        Err(Refusal::new(Reason::BundleLedger, words))
    }

    /// What may become of the log from one bundle to a later one; `adjacent` says that there is
    /// none between them.
    pub(crate) fn check_succession(
        was: Option<&Self>,
        now: Option<&Self>,
        adjacent: bool,
    ) -> Result<(), Refusal> {
        match (was, now) {
            (None, None) => Ok(()),
            (Some(was), Some(now)) => now.check_follows(was, adjacent),
            (Some(was), None) => Err(Refusal::new(
                Reason::BundleLedgerRemoved,
                format!(
                    "the bundle before has the log {}: a log can be replaced, not dropped",
                    was.origin()
                ),
            )),
            (None, Some(now)) if adjacent && !now.previous.is_empty() => Err(Refusal::new(
                Reason::BundleLedgerPrevious,
                "[[ledger.previous]] names logs, and the bundle before has none",
            )),
            (None, Some(_)) => Ok(()),
        }
    }

    fn check_follows(&self, was: &Self, adjacent: bool) -> Result<(), Refusal> {
        if self.salt != was.salt {
            return Err(Refusal::new(
                Reason::BundleLedgerSalt,
                "the salt is another one: pseudonyms in the log would not match any more",
            ));
        }
        let refuse = |words: &str| {
            Err(Refusal::new(
                Reason::BundleLedgerPrevious,
                format!("[[ledger.previous]]: {words}"),
            ))
        };
        let Some(added) = self.previous.strip_prefix(was.previous.as_slice()) else {
            return refuse("what the bundle before lists stays, unchanged and in its order");
        };
        match (self.log == was.log, added) {
            (true, []) => Ok(()),
            (true, _) => refuse("an entry is added only with a new log"),
            (false, [ended, rest @ ..]) if ended.log == was.log => {
                if adjacent && !rest.is_empty() {
                    return refuse("a new log adds exactly one entry");
                }
                Ok(())
            }
            (false, _) => refuse(&format!(
                "a new log needs an entry that names the log before it, {}",
                was.log
            )),
        }
    }
}
