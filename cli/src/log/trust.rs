//! Whose signatures count: a policy's bundle, or a tlog-policy file.

use std::path::Path;

use narthex_ledger::tokio::EarlierEpoch;
use narthex_ledger::{Hash, Trust, VerifierKey};
use narthex_policy::{Ledger, UnixMillis};

use super::failures::log_failure;
use super::people::People;
use crate::commands::log::TrustArguments;
use crate::failure::{Failure, Outcome};
use crate::input::read_text;
use crate::moment::now_unix_millis;
use crate::output::Output;
use crate::policy_directory::HeldPolicy;

/// A tlog-policy file names a handful of keys.
const TLOG_POLICY_LIMIT_BYTES: usize = 64 * 1024;

/// What a reader trusts, and what they know about the people in the log.
pub(crate) struct Relying {
    /// The log's key, the witnesses and their quorum.
    pub(crate) trust: Trust,
    /// Earlier epochs, as the bundle names them, oldest first.
    pub(crate) earlier: Vec<EarlierEpoch>,
    /// Names for ids.
    pub(crate) people: People,
    /// The policy, where there is one.
    pub(crate) held: Option<HeldPolicy>,
}

impl Relying {
    /// Resolves `--policy` or `--tlog-policy`.
    ///
    /// # Errors
    /// `file.*`, the policy's reasons, `policy.no_ledger`, `log.policy`.
    pub(crate) fn resolve(arguments: &TrustArguments, output: &Output) -> Outcome<Self> {
        match (&arguments.policy, &arguments.tlog_policy) {
            (Some(directory), _) => {
                let now = UnixMillis(now_unix_millis()?);
                let genesis = arguments.genesis.as_deref();
                Self::of(HeldPolicy::load_and_tell(directory, genesis, now, output)?)
            }
            (None, Some(file)) => Self::from_tlog_policy(file),
            // Clap has seen to it that there is one.
            (None, None) => Err(Failure::misuse(
                "misuse.arguments",
                "--policy or --tlog-policy is missing",
            )),
        }
    }

    /// What a verified policy says.
    ///
    /// # Errors
    /// `policy.no_ledger`, `log.policy`.
    pub(crate) fn of(held: HeldPolicy) -> Outcome<Self> {
        let ledger = ledger_of(&held)?;
        Ok(Self {
            trust: trust_of(ledger)?,
            earlier: earlier_of(ledger)?,
            people: People::of(&held),
            held: Some(held),
        })
    }

    /// The key of a log alone, as the log itself names it: for whoever replays its policy afterwards.
    ///
    /// # Errors
    /// `log.policy`.
    pub(crate) fn by_key(log: VerifierKey, earlier: Vec<EarlierEpoch>) -> Outcome<Self> {
        let trust = Trust::new(log, Vec::new(), 0)
            .map_err(|error| log_failure("the bundle's ledger", &error))?;
        Ok(Self {
            trust,
            earlier,
            people: People::default(),
            held: None,
        })
    }

    fn from_tlog_policy(file: &Path) -> Outcome<Self> {
        let text = read_text(file, TLOG_POLICY_LIMIT_BYTES)?;
        let trust = Trust::parse_policy(&text).map_err(|error| {
            Failure::misuse(
                error.id(),
                format!("{} is no tlog-policy: {}", file.display(), error.detail()),
            )
            .next("it has lines `log KEY`, `witness NAME KEY`, `group …` and one `quorum NAME`")
        })?;
        Ok(Self {
            trust,
            earlier: Vec::new(),
            people: People::default(),
            held: None,
        })
    }
}

/// The bundle's log.
///
/// # Errors
/// `policy.no_ledger`.
pub(crate) fn ledger_of(held: &HeldPolicy) -> Outcome<&Ledger> {
    let bundle = held.policy.bundle();
    bundle.ledger.as_ref().ok_or_else(|| {
        Failure::misuse(
            "policy.no_ledger",
            format!("bundle {} names no log", bundle.version),
        )
        .next("reviewers add a [ledger] table to the next bundle; see `narthex policy init --help`")
    })
}

/// Whom the bundle trusts about its log.
///
/// # Errors
/// `log.policy` if the keys cannot be used; a bundle that was verified holds none of these.
pub(crate) fn trust_of(ledger: &Ledger) -> Outcome<Trust> {
    let key = |text: &str| {
        VerifierKey::parse(text)
            .map_err(|error| log_failure("a key in the bundle's ledger", &error))
    };
    let log = key(ledger.log.as_str())?;
    let witnesses = ledger.witnesses.iter().map(|witness| key(witness.as_str()));
    let witnesses = witnesses.collect::<Outcome<Vec<_>>>()?;
    Trust::new(log, witnesses, ledger.quorum)
        .map_err(|error| log_failure("the bundle's ledger", &error))
}

fn earlier_of(ledger: &Ledger) -> Outcome<Vec<EarlierEpoch>> {
    ledger
        .previous
        .iter()
        .map(|previous| {
            let log = VerifierKey::parse(previous.log.as_str())
                .map_err(|error| log_failure("an earlier epoch in the bundle", &error))?;
            Ok(EarlierEpoch {
                log,
                size: previous.size,
                root: Hash(previous.root),
            })
        })
        .collect()
}
