//! What an answer of the key service says about the log: the proof that came with it.

use std::path::Path;

use narthex_ledger::{Proof, TrustedCheckpoint};
use serde_json::{Value, json};

use crate::failure::{Failure, Outcome};
use crate::files::{Existing, write_file};
use crate::log::{log_failure, trust_of};
use crate::orders::parse_proof;
use crate::policy_directory::HeldPolicy;

/// A proof whose checkpoint holds. The entry itself is in the log, and can be compared with it:
/// `narthex log verify-proof --log`.
pub(crate) struct Receipt {
    proof: Proof,
    head: TrustedCheckpoint,
    bytes: Vec<u8>,
}

impl Receipt {
    /// Reads what came. No proof is no receipt; neither is one where the policy held names no log,
    /// because then nobody is trusted to say what the log holds.
    ///
    /// # Errors
    /// `log.*` if the checkpoint does not hold.
    pub(crate) fn read(held: &HeldPolicy, proof: Option<&[u8]>) -> Outcome<Option<Self>> {
        let (Some(bytes), Some(ledger)) = (proof, &held.policy.bundle().ledger) else {
            return Ok(None);
        };
        let proof = parse_proof(bytes)?;
        let trust = trust_of(ledger)?;
        let head = match ledger.release_waits_for_quorum {
            true => trust.check(&proof.checkpoint),
            false => trust.check_log_only(&proof.checkpoint),
        };
        let head =
            head.map_err(|error| log_failure("the proof that came with the answer", &error))?;
        Ok(Some(Self {
            proof,
            head,
            bytes: bytes.to_vec(),
        }))
    }

    /// Writes the proof where the person wants it; one that is there is replaced.
    ///
    /// # Errors
    /// `file.*`.
    pub(crate) fn write(&self, path: &Path) -> Outcome<()> {
        write_file(path, &self.bytes, Existing::Replace)
    }

    /// For scripts.
    pub(crate) fn to_json(&self) -> Value {
        let head = self.head.checkpoint();
        json!({
            "origin": head.origin,
            "index": self.proof.index,
            "checkpoint_size": head.size,
        })
    }

    /// For people: `entry 12 of keys.example/log`.
    pub(crate) fn words(&self) -> String {
        format!(
            "entry {} of {}",
            self.proof.index,
            self.head.checkpoint().origin
        )
    }
}

/// There is no proof to write, though one was asked for.
pub(crate) fn none() -> Failure {
    Failure::refused(
        "log.proof_missing",
        "it was done, but no proof came that could be written",
    )
    .next("nothing new was logged, or your policy names no log; the service's /readyz says how its log is")
}
