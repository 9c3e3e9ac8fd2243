//! What a relying party trusts: logs, witnesses, and how many of which witnesses must agree.

mod check;
mod quorum;
mod text;

use std::collections::BTreeSet;

pub use check::TrustedCheckpoint;
use quorum::{Group, Member, Quorum};

use crate::error::{LogError, LogReason};
use crate::key::{KeyKind, VerifierKey};

/// The most logs, witnesses and groups that a policy may have, each.
pub const MAX_TRUSTED: usize = 64;

/// The predefined name of the quorum that asks for no witness.
const NONE: &str = "none";

/// A trust policy. `Display` writes it as C2SP tlog-policy text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trust {
    log: TrustedLog,
    more_logs: Vec<TrustedLog>,
    witnesses: Vec<TrustedWitness>,
    quorum: Quorum,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct TrustedLog {
    key: VerifierKey,
    url: Option<String>,
}

/// A witness whose word counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrustedWitness {
    name: String,
    key: VerifierKey,
    url: Option<String>,
}

impl TrustedWitness {
    /// How this policy calls it. In a policy without text: the name of its key.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its key.
    #[must_use]
    pub const fn key(&self) -> &VerifierKey {
        &self.key
    }

    /// Where it is asked, if the policy says so.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }
}

impl Trust {
    /// Trusts one log, as far as any `quorum` of the witnesses have seen it. With a quorum of 0 the
    /// log's own signature is enough.
    ///
    /// # Errors
    ///
    /// `log.policy` for a quorum above the number of witnesses, for keys or names that are listed
    /// twice, for a log among its own witnesses and for keys of the wrong kind.
    pub fn new(
        log: VerifierKey,
        witnesses: Vec<VerifierKey>,
        quorum: usize,
    ) -> Result<Self, LogError> {
        let witnesses: Vec<TrustedWitness> = witnesses
            .into_iter()
            .map(|key| TrustedWitness {
                name: key.name().to_owned(),
                key,
                url: None,
            })
            .collect();
        if quorum > witnesses.len() {
            return Err(refuse(format!(
                "a quorum of {quorum} cannot be had from {} witnesses",
                witnesses.len()
            )));
        }
        let quorum = if quorum == 0 {
            Quorum::none()
        } else {
            let mut name = "quorum".to_owned();
            while witnesses.iter().any(|witness| witness.name == name) {
                name.push('_');
            }
            Quorum::of_group(Group {
                name,
                threshold: quorum,
                members: (0..witnesses.len()).map(Member::Witness).collect(),
            })
        };
        let logs = vec![TrustedLog {
            key: log,
            url: None,
        }];
        Self::checked(logs, witnesses, quorum)
    }

    /// Reads C2SP tlog-policy text. Of what the format allows this is refused: text that is not
    /// UTF-8, a policy without a log, and other keys than Ed25519.
    ///
    /// # Errors
    ///
    /// `log.policy`, with the number of the line.
    pub fn parse_policy(text: &str) -> Result<Self, LogError> {
        let (logs, witnesses, quorum) = text::parse(text)?;
        Self::checked(logs, witnesses, quorum)
    }

    fn checked(
        logs: Vec<TrustedLog>,
        witnesses: Vec<TrustedWitness>,
        quorum: Quorum,
    ) -> Result<Self, LogError> {
        let mut keys = BTreeSet::new();
        let mut ids = BTreeSet::new();
        let mut names = BTreeSet::new();
        for key in logs.iter().map(|log| &log.key) {
            if key.kind() != KeyKind::Log {
                return Err(refuse(format!("{key} is not a log's key (type 01)")));
            }
            distinct(key, &mut keys, &mut ids)?;
        }
        for TrustedWitness { name, key, .. } in &witnesses {
            if key.kind() != KeyKind::Witness {
                return Err(refuse(format!("{key} is not a witness's key (type 04)")));
            }
            // A log that vouches for itself vouches for nothing.
            distinct(key, &mut keys, &mut ids)?;
            if name == NONE || !names.insert(name) {
                return Err(refuse(format!("the name {name:?} is taken")));
            }
        }
        let most = [logs.len(), witnesses.len(), quorum.groups().len()];
        if most.iter().any(|count| *count > MAX_TRUSTED) {
            return Err(refuse(format!(
                "more than {MAX_TRUSTED} logs, witnesses or groups"
            )));
        }
        let mut logs = logs.into_iter();
        let log = logs.next().ok_or_else(|| refuse("no log is trusted"))?;
        Ok(Self {
            log,
            more_logs: logs.collect(),
            witnesses,
            quorum,
        })
    }

    /// The key of the log; of the first one, if a policy text lists several.
    #[must_use]
    pub const fn log(&self) -> &VerifierKey {
        &self.log.key
    }

    /// The keys of all logs that are trusted, each with where it is read, if the policy says so.
    pub fn logs(&self) -> impl Iterator<Item = (&VerifierKey, Option<&str>)> {
        self.all_logs().map(|log| (&log.key, log.url.as_deref()))
    }

    fn all_logs(&self) -> impl Iterator<Item = &TrustedLog> {
        core::iter::once(&self.log).chain(&self.more_logs)
    }

    /// All witnesses, whether the quorum needs them or not.
    #[must_use]
    pub fn witnesses(&self) -> &[TrustedWitness] {
        &self.witnesses
    }

    /// Whether any witness is needed at all.
    #[must_use]
    pub const fn needs_witnesses(&self) -> bool {
        self.quorum.needs_witnesses()
    }
}

fn distinct<'k>(
    key: &'k VerifierKey,
    keys: &mut BTreeSet<&'k [u8; 32]>,
    ids: &mut BTreeSet<(&'k str, [u8; 4])>,
) -> Result<(), LogError> {
    if !keys.insert(key.public_key()) {
        return Err(refuse(format!("the public key of {key} is listed twice")));
    }
    // Two keys under one name and id could not be told apart in a note.
    if !ids.insert((key.name(), key.key_id())) {
        return Err(refuse(format!("the name and id of {key} are listed twice")));
    }
    Ok(())
}

fn refuse(detail: impl Into<String>) -> LogError {
    LogError::new(LogReason::Policy, detail)
}
