//! What a witness is asked and how it decides (C2SP tlog-witness), without clock, disk or network.

use crate::checkpoint::{Checkpoint, MAX_SIZE, parse_decimal};
use crate::error::LogError;
use crate::hash::{Hash, empty_root};
use crate::key::{KeyKind, VerifierKey};
use crate::merkle::verify_consistency;
use crate::note::{MAX_NOTE, NoteSignature, SignedNote};
use crate::proof::parse_hashes;

/// The longest body of a request that is read: 63 hashes, a line and a note.
pub const MAX_REQUEST: usize = MAX_NOTE + 4096;

/// A request to cosign a checkpoint.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddCheckpoint {
    /// The size that the asking side believes the witness to have cosigned last.
    pub old_size: u64,
    /// The proof that the new tree continues the one of that size.
    pub proof: Vec<Hash>,
    /// The checkpoint, signed by its log.
    pub checkpoint: SignedNote,
}

impl AddCheckpoint {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// `log.malformed` for anything else, for more than 63 hashes and above [`MAX_REQUEST`] bytes.
    pub fn parse(body: &str) -> Result<Self, LogError> {
        let refuse = |what: &str| LogError::malformed(format!("not a request to cosign: {what}"));
        if body.len() > MAX_REQUEST {
            return Err(refuse("it is too long"));
        }
        let (head, checkpoint) = body
            .split_once("\n\n")
            .ok_or_else(|| refuse("it has no checkpoint"))?;
        let mut lines = head.split('\n');
        let old_size = lines
            .next()
            .and_then(|line| line.strip_prefix("old "))
            .and_then(parse_decimal)
            .filter(|size| *size <= MAX_SIZE)
            .ok_or_else(|| refuse("its first line is not `old` and a size"))?;
        let proof = parse_hashes(lines)?;
        let checkpoint = SignedNote::parse(checkpoint)?;
        Checkpoint::parse(checkpoint.text())?;
        Ok(Self {
            old_size,
            proof,
            checkpoint,
        })
    }

    /// The body of the request.
    #[must_use]
    pub fn to_body(&self) -> String {
        let mut body = format!("old {}\n", self.old_size);
        for hash in &self.proof {
            body.push_str(&hash.to_base64());
            body.push('\n');
        }
        body.push('\n');
        body.push_str(&self.checkpoint.to_string());
        body
    }

    /// Whose checkpoint it is said to be: which of its logs a witness has to look up.
    ///
    /// # Errors
    ///
    /// `log.malformed` if the note is no checkpoint.
    pub fn origin(&self) -> Result<String, LogError> {
        Ok(Checkpoint::parse(self.checkpoint.text())?.origin)
    }
}

/// What a witness remembers of a log: the head that it cosigned last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seen {
    /// How many entries.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
}

impl Default for Seen {
    /// Nothing yet: the empty tree.
    fn default() -> Self {
        Self {
            size: 0,
            root: empty_root(),
        }
    }
}

/// What a witness answers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum WitnessAnswer {
    /// 200: the cosignature.
    Cosigned(NoteSignature),
    /// 404: no log of this origin is known here.
    UnknownLog,
    /// 403: the log has not signed this.
    BadSignature,
    /// 409: the last size cosigned is another one.
    Conflict {
        /// The size that was cosigned last.
        size: u64,
    },
    /// 409: that very size was cosigned with another root. The log has forked.
    SameSizeOtherRoot {
        /// The size that was cosigned last.
        size: u64,
    },
    /// 422: the proof does not show that the tree continues the one seen.
    BadProof,
    /// 400: the old size is above the new one.
    OldTooLarge,
    /// 400: this is no such request.
    Malformed,
}

impl WitnessAnswer {
    /// The status of the HTTP answer.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Cosigned(_) => 200,
            Self::OldTooLarge | Self::Malformed => 400,
            Self::BadSignature => 403,
            Self::UnknownLog => 404,
            Self::Conflict { .. } | Self::SameSizeOtherRoot { .. } => 409,
            Self::BadProof => 422,
        }
    }

    /// The media type of the HTTP answer.
    #[must_use]
    pub const fn content_type(&self) -> &'static str {
        match self {
            Self::Conflict { .. } | Self::SameSizeOtherRoot { .. } => "text/x.tlog.size",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// The body of the HTTP answer: signature lines, the known size, or words.
    #[must_use]
    pub fn body(&self) -> String {
        match self {
            Self::Cosigned(signature) => format!("{signature}\n"),
            Self::Conflict { size } | Self::SameSizeOtherRoot { size } => format!("{size}\n"),
            Self::UnknownLog => "this witness does not watch that log\n".to_owned(),
            Self::BadSignature => "the log has not signed this checkpoint\n".to_owned(),
            Self::BadProof => {
                "the proof does not show that the tree continues the one seen\n".to_owned()
            }
            Self::OldTooLarge => "the old size is above that of the checkpoint\n".to_owned(),
            Self::Malformed => "this is no request to cosign a checkpoint\n".to_owned(),
        }
    }
}

/// Decides whether the checkpoint may be cosigned by a witness that knows `log` and last cosigned
/// `seen`. What comes back must be durable before a cosignature leaves, and no other request may
/// be judged in between.
///
/// # Errors
///
/// The answer to give instead.
pub fn judge_add_checkpoint(
    request: &AddCheckpoint,
    log: &VerifierKey,
    seen: Option<&Seen>,
) -> Result<Seen, WitnessAnswer> {
    let head =
        Checkpoint::parse(request.checkpoint.text()).map_err(|_| WitnessAnswer::Malformed)?;
    if log.kind() != KeyKind::Log || head.origin != log.name() {
        return Err(WitnessAnswer::UnknownLog);
    }
    let mut signed = false;
    for signature in request.checkpoint.distinct_signatures() {
        if !log.claims(signature) {
            continue;
        }
        log.verify(request.checkpoint.text(), signature)
            .map_err(|_| WitnessAnswer::BadSignature)?;
        signed = true;
    }
    if !signed {
        return Err(WitnessAnswer::BadSignature);
    }
    if request.old_size > head.size {
        return Err(WitnessAnswer::OldTooLarge);
    }
    let seen = seen.copied().unwrap_or_default();
    if request.old_size != seen.size {
        return Err(WitnessAnswer::Conflict { size: seen.size });
    }
    if head.size == seen.size && head.root != seen.root {
        return Err(WitnessAnswer::SameSizeOtherRoot { size: seen.size });
    }
    verify_consistency(seen.size, &seen.root, head.size, &head.root, &request.proof)
        .map_err(|_| WitnessAnswer::BadProof)?;
    Ok(Seen {
        size: head.size,
        root: head.root,
    })
}
