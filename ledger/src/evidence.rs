//! Evidence: what an entry was decided on, kept beside the log under a salted digest.
//!
//! Whoever holds the evidence can judge every decision again; and because the entry holds only a salted
//! digest, evidence can be deleted later without touching the log, and nobody can guess what it was.

use sha2::{Digest as _, Sha384};

use crate::{EvidenceDigest, LogError, LogReason, Salt, entry::texts, person::compose_into};

/// First part of what is hashed.
const LABEL: &[u8] = b"narthex/v1/evidence";
/// First word of the body.
const SCHEMA: &str = "narthex-evidence/v1";
/// Longest first line: schema, longest kind, count.
const MAX_HEAD_BYTES: usize = 64;
/// Most parts: a policy file or an order with its signatures.
pub const MAX_EVIDENCE_PARTS: usize = 128;
/// Largest piece of evidence, salt included: the largest policy file with all its signatures fits.
pub const MAX_EVIDENCE: usize = 1024 * 1024;

texts! {
    /// What a piece of evidence is about, which says what its parts are.
    EvidenceKind, "a kind of evidence" {
        /// A bundle, release or stop statement: the file's bytes, then its signatures.
        PolicyFile = "policy-file",
        /// An order for diagnostics: order, the requester's signature, then approvals in ascending order.
        Order = "order",
        /// A request for keys: handshake hash (32 bytes), attestation document, request.
        KeyRequest = "key-request",
        /// An order for key administration: order, the requester's signature, then approvals in ascending order.
        Administration = "administration",
        /// A session statement: handshake hash (32 bytes), attestation document, statement.
        Statement = "statement",
    }
}

/// What a decision was made on. Nothing is said about whether it is genuine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Evidence {
    kind: EvidenceKind,
    parts: Vec<Vec<u8>>,
}

/// Evidence with its salt, as it is stored and served: the salt's 32 bytes, then the body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SaltedEvidence {
    /// Thirty-two random bytes that no other piece of evidence has.
    pub salt: Salt,
    /// What was decided on.
    pub evidence: Evidence,
}

impl Evidence {
    /// Takes the parts that `kind` asks for.
    ///
    /// # Errors
    ///
    /// `log.evidence` if there are too few or too many parts, they are too large, a handshake hash has not 32
    /// bytes, or approvals do not ascend.
    pub fn new(kind: EvidenceKind, parts: Vec<Vec<u8>>) -> Result<Self, LogError> {
        let evidence = Self { kind, parts };
        evidence.check()?;
        Ok(evidence)
    }

    /// A policy file with the signatures that came with it, in their order.
    ///
    /// # Errors
    ///
    /// As [`Evidence::new`].
    pub fn policy_file<S: AsRef<[u8]>>(file: &[u8], signatures: &[S]) -> Result<Self, LogError> {
        let mut parts = vec![file.to_vec()];
        parts.extend(signatures.iter().map(|each| each.as_ref().to_vec()));
        Self::new(EvidenceKind::PolicyFile, parts)
    }

    /// An order for diagnostics with its signature and approvals; approvals are sorted, and said once.
    ///
    /// # Errors
    ///
    /// As [`Evidence::new`].
    pub fn order<S: AsRef<[u8]>>(
        order: &[u8],
        signature: &[u8],
        approvals: &[S],
    ) -> Result<Self, LogError> {
        Self::new(EvidenceKind::Order, signed(order, signature, approvals))
    }

    /// An order for key administration; approvals are sorted, and said once. The payload of the call is no
    /// part of it: it is a secret.
    ///
    /// # Errors
    ///
    /// As [`Evidence::new`].
    pub fn administration<S: AsRef<[u8]>>(
        order: &[u8],
        signature: &[u8],
        approvals: &[S],
    ) -> Result<Self, LogError> {
        Self::new(
            EvidenceKind::Administration,
            signed(order, signature, approvals),
        )
    }

    /// A request for keys: the session's handshake hash, the document, the exact bytes of the request.
    ///
    /// # Errors
    ///
    /// As [`Evidence::new`].
    pub fn key_request(
        session: &[u8; 32],
        document: &[u8],
        request: &[u8],
    ) -> Result<Self, LogError> {
        let parts = vec![session.to_vec(), document.to_vec(), request.to_vec()];
        Self::new(EvidenceKind::KeyRequest, parts)
    }

    /// A session statement: the session's handshake hash, the document, the exact bytes of the statement.
    ///
    /// # Errors
    ///
    /// As [`Evidence::new`].
    pub fn statement(
        session: &[u8; 32],
        document: &[u8],
        statement: &[u8],
    ) -> Result<Self, LogError> {
        let parts = vec![session.to_vec(), document.to_vec(), statement.to_vec()];
        Self::new(EvidenceKind::Statement, parts)
    }

    /// What it is about.
    #[must_use]
    pub const fn kind(&self) -> EvidenceKind {
        self.kind
    }

    /// The parts that the kind asks for, in its order.
    #[must_use]
    pub fn parts(&self) -> &[Vec<u8>] {
        &self.parts
    }

    /// The digest of this evidence under `salt`: SHA-384 over `compose("narthex/v1/evidence", salt, body)`,
    /// where `compose` puts its length (u64, big-endian) before each part.
    #[must_use]
    pub fn digest(&self, salt: &Salt) -> EvidenceDigest {
        digest_of(salt, &self.to_body())
    }

    fn to_body(&self) -> Vec<u8> {
        let length: usize = self.parts.iter().map(|part| part.len() + 4).sum();
        let mut body = Vec::with_capacity(MAX_HEAD_BYTES + length);
        body.extend_from_slice(format!("{SCHEMA} {} {}\n", self.kind, self.parts.len()).as_bytes());
        for part in &self.parts {
            // `check` bounds the length far below.
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            body.extend_from_slice(&length.to_be_bytes());
            body.extend_from_slice(part);
        }
        body
    }

    fn from_body(body: &[u8]) -> Result<Self, LogError> {
        let end = body
            .iter()
            .take(MAX_HEAD_BYTES)
            .position(|byte| *byte == b'\n')
            .ok_or_else(|| refuse("no first line"))?;
        let (head, rest) = body.split_at(end);
        let head = core::str::from_utf8(head).map_err(|_| refuse("the first line is not text"))?;
        let mut words = head.split(' ');
        let (Some(SCHEMA), Some(kind), Some(count), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(refuse(&format!(
                "the first line is not \"{SCHEMA} KIND COUNT\""
            )));
        };
        let kind = EvidenceKind::from_text(kind)
            .ok_or_else(|| refuse(&format!("no kind of evidence is called {kind:?}")))?;
        let count = count
            .parse::<usize>()
            .ok()
            .filter(|number| *number <= MAX_EVIDENCE_PARTS && number.to_string() == count)
            .ok_or_else(|| refuse("the number of parts is not one"))?;
        let mut rest = rest.get(1..).unwrap_or_default();
        let mut parts = Vec::with_capacity(count);
        for _ in 0..count {
            let short = || refuse("a part is cut off");
            let (length, after) = rest.split_first_chunk::<4>().ok_or_else(short)?;
            let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| short())?;
            let (part, after) = after.split_at_checked(length).ok_or_else(short)?;
            parts.push(part.to_vec());
            rest = after;
        }
        if !rest.is_empty() {
            return Err(refuse("bytes after the last part"));
        }
        Self::new(kind, parts)
    }

    fn check(&self) -> Result<(), LogError> {
        let Self { kind, parts } = self;
        let fits = match kind {
            EvidenceKind::PolicyFile | EvidenceKind::Order | EvidenceKind::Administration => {
                (2..=MAX_EVIDENCE_PARTS).contains(&parts.len())
            }
            EvidenceKind::KeyRequest | EvidenceKind::Statement => parts.len() == 3,
        };
        if !fits {
            return Err(refuse(&format!(
                "{} parts in evidence of kind {kind}",
                parts.len()
            )));
        }
        let bytes = parts
            .iter()
            .fold(Salt::LENGTH + MAX_HEAD_BYTES, |sum, part| {
                sum.saturating_add(part.len()).saturating_add(4)
            });
        if bytes > MAX_EVIDENCE {
            return Err(refuse(&format!("more than {MAX_EVIDENCE} bytes")));
        }
        match kind {
            EvidenceKind::PolicyFile => Ok(()),
            EvidenceKind::Order | EvidenceKind::Administration => {
                let approvals = parts.get(2..).unwrap_or_default();
                if approvals.is_sorted_by(|one, next| one < next) {
                    Ok(())
                } else {
                    Err(refuse("approvals do not ascend"))
                }
            }
            EvidenceKind::KeyRequest | EvidenceKind::Statement => {
                if parts.first().is_some_and(|hash| hash.len() == 32) {
                    Ok(())
                } else {
                    Err(refuse("the handshake hash has not 32 bytes"))
                }
            }
        }
    }
}

impl SaltedEvidence {
    /// Salts evidence with random bytes.
    ///
    /// # Errors
    ///
    /// `log.random` if the operating system's random source fails.
    pub fn new(evidence: Evidence) -> Result<Self, LogError> {
        Ok(Self {
            salt: Salt::random()?,
            evidence,
        })
    }

    /// What is stored and served: salt, then body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.salt.0.as_slice(), &self.evidence.to_body()].concat()
    }

    /// Reads what [`SaltedEvidence::to_bytes`] writes, and nothing else.
    ///
    /// # Errors
    ///
    /// `log.evidence` if it has another form or is too large.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, LogError> {
        if bytes.len() > MAX_EVIDENCE {
            return Err(refuse(&format!("more than {MAX_EVIDENCE} bytes")));
        }
        let (salt, body) = bytes
            .split_first_chunk::<{ Salt::LENGTH }>()
            .ok_or_else(|| refuse("shorter than a salt"))?;
        Ok(Self {
            salt: Salt(*salt),
            evidence: Evidence::from_body(body)?,
        })
    }

    /// Reads stored evidence and demands that it is the one `digest` names.
    ///
    /// # Errors
    ///
    /// `log.evidence` if it is another one, or is malformed.
    pub fn open(digest: &EvidenceDigest, bytes: &[u8]) -> Result<Self, LogError> {
        let altered = || refuse(&format!("it is not what was recorded as {digest}"));
        let (salt, body) = bytes
            .split_first_chunk::<{ Salt::LENGTH }>()
            .ok_or_else(altered)?;
        if digest_of(&Salt(*salt), body) != *digest {
            return Err(altered());
        }
        Self::from_bytes(bytes)
    }

    /// The digest that entries hold.
    #[must_use]
    pub fn digest(&self) -> EvidenceDigest {
        self.evidence.digest(&self.salt)
    }
}

fn digest_of(salt: &Salt, body: &[u8]) -> EvidenceDigest {
    let mut hasher = Sha384::new();
    compose_into(&[LABEL, salt.0.as_slice(), body], |bytes| {
        hasher.update(bytes)
    });
    EvidenceDigest(hasher.finalize().into())
}

fn signed<S: AsRef<[u8]>>(order: &[u8], signature: &[u8], approvals: &[S]) -> Vec<Vec<u8>> {
    let mut sorted: Vec<_> = approvals
        .iter()
        .map(|each| each.as_ref().to_vec())
        .collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut parts = vec![order.to_vec(), signature.to_vec()];
    parts.append(&mut sorted);
    parts
}

fn refuse(detail: &str) -> LogError {
    LogError::new(LogReason::Evidence, format!("evidence: {detail}"))
}

#[cfg(test)]
mod tests;
