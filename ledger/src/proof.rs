//! Proofs in one text (C2SP tlog-proof): an entry's place, the way up, and a signed checkpoint.

use core::fmt;

use base64ct::{Base64, Encoding as _};

use crate::checkpoint::{Checkpoint, MAX_SIZE, parse_decimal};
use crate::error::LogError;
use crate::hash::{Hash, leaf_hash};
use crate::merkle::{MAX_PROOF, verify_inclusion};
use crate::note::SignedNote;
use crate::trust::{Trust, TrustedCheckpoint};

/// The longest proof that is read, in bytes.
pub const MAX_PROOF_TEXT: usize = 32 * 1024;

const HEADER: &str = "c2sp.org/tlog-proof@v1\n";

/// A proof that an entry is in a log. Nothing of it is checked before [`Proof::verify`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proof {
    /// What the reader needs to rebuild the entry. Nobody signed it: it only counts if the
    /// entry that comes of it is proved.
    pub extra: Option<Vec<u8>>,
    /// Which entry, from 0.
    pub index: u64,
    /// The siblings on the way from the entry to the root.
    pub hashes: Vec<Hash>,
    /// The checkpoint with its signatures.
    pub checkpoint: SignedNote,
}

impl Proof {
    /// Reads a proof.
    ///
    /// # Errors
    ///
    /// `log.malformed` for anything else, and above [`MAX_PROOF_TEXT`] bytes.
    pub fn parse(text: &str) -> Result<Self, LogError> {
        let refuse = |what: &str| LogError::malformed(format!("not a proof: {what}"));
        if text.len() > MAX_PROOF_TEXT {
            return Err(refuse("it is longer than 32 KiB"));
        }
        let rest = text
            .strip_prefix(HEADER)
            .ok_or_else(|| refuse("its first line is not c2sp.org/tlog-proof@v1"))?;
        let (head, checkpoint) = rest
            .split_once("\n\n")
            .ok_or_else(|| refuse("it has no checkpoint"))?;
        let mut lines = head.split('\n');
        let mut line = lines.next().unwrap_or_default();
        let mut extra = None;
        if let Some(base64) = line.strip_prefix("extra ") {
            extra = Some(
                Base64::decode_vec(base64)
                    .map_err(|_| refuse("what follows `extra` is not base64"))?,
            );
            line = lines.next().unwrap_or_default();
        }
        let index = line
            .strip_prefix("index ")
            .and_then(parse_decimal)
            .filter(|index| *index < MAX_SIZE)
            .ok_or_else(|| refuse("it has no index"))?;
        let hashes = parse_hashes(lines)?;
        let checkpoint = SignedNote::parse(checkpoint)?;
        Checkpoint::parse(checkpoint.text())?;
        Ok(Self {
            extra,
            index,
            hashes,
            checkpoint,
        })
    }

    /// Checks that `leaf` is the entry of this proof in a log that `trust` trusts, seen by as
    /// many witnesses as it asks for.
    ///
    /// # Errors
    ///
    /// What [`Trust::check`] refuses, and `log.inclusion`.
    pub fn verify(&self, leaf: &[u8], trust: &Trust) -> Result<TrustedCheckpoint, LogError> {
        self.leads_to(leaf, trust.check(&self.checkpoint)?)
    }

    /// The same with the signature of the log alone: the log may show others something else.
    ///
    /// # Errors
    ///
    /// What [`Trust::check_log_only`] refuses, and `log.inclusion`.
    pub fn verify_log_only(
        &self,
        leaf: &[u8],
        trust: &Trust,
    ) -> Result<TrustedCheckpoint, LogError> {
        self.leads_to(leaf, trust.check_log_only(&self.checkpoint)?)
    }

    fn leads_to(
        &self,
        leaf: &[u8],
        trusted: TrustedCheckpoint,
    ) -> Result<TrustedCheckpoint, LogError> {
        let head = trusted.checkpoint();
        verify_inclusion(
            self.index,
            head.size,
            &leaf_hash(leaf),
            &self.hashes,
            &head.root,
        )?;
        Ok(trusted)
    }
}

/// The text, to be kept in a file that ends in `.tlog-proof`.
impl fmt::Display for Proof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(HEADER)?;
        if let Some(extra) = &self.extra {
            writeln!(formatter, "extra {}", Base64::encode_string(extra))?;
        }
        writeln!(formatter, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(formatter, "{}", hash.to_base64())?;
        }
        write!(formatter, "\n{}", self.checkpoint)
    }
}

/// One hash a line, as many as a proof may have.
pub(crate) fn parse_hashes<'t>(
    lines: impl Iterator<Item = &'t str>,
) -> Result<Vec<Hash>, LogError> {
    let mut hashes = Vec::new();
    for line in lines {
        if hashes.len() >= MAX_PROOF {
            return Err(LogError::malformed(format!(
                "a proof has at most {MAX_PROOF} hashes"
            )));
        }
        hashes.push(Hash::from_base64(line)?);
    }
    Ok(hashes)
}
