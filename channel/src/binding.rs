//! What ties an attestation document to one session and one purpose.
//!
//! A document proves which program asked for it. The *binding digest* in its `user_data` proves
//! what for: a label names the use, the handshake hash `h` names the session, and the body is the
//! exact bytes that the document vouches for. So a document cannot serve another operation, another
//! session, another request, or a session that somebody relays to another enclave: the two ends of
//! a relayed session do not share `h`.

use core::fmt;

use subtle::ConstantTimeEq;

use crate::digest::Digest384;

/// The Noise handshake hash of one session: the same on both ends of it, and on no other.
///
/// It is not secret.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct HandshakeHash([u8; HandshakeHash::LENGTH]);

impl HandshakeHash {
    /// Length in bytes: the output of SHA-256, the hash of suite 1.
    pub const LENGTH: usize = 32;

    /// Takes 32 bytes as a handshake hash. What [`crate::Session::handshake_hash`] returns is the
    /// hash of a session; whatever else is passed here, the caller vouches for.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Display for HandshakeHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for HandshakeHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "HandshakeHash({self})")
    }
}

/// What a composition is for. Every use of SHA-384 or HPKE `info` over `h` has its own label, so
/// that bytes made for one can never be taken for another.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Label {
    /// `user_data` of the document that opens a diagnostics session; the body is the session
    /// statement.
    DiagnosticsSession,
    /// `user_data` of the document in a key request; the body is the key request.
    KeyRequest,
    /// HPKE `info` under which a key is sealed; the body names the key.
    KeyRelease,
    /// The commitment to a version of a key; the body names it and holds the key.
    KeyCommitment,
}

impl Label {
    /// Every label.
    pub const ALL: &[Self] = &[
        Self::DiagnosticsSession,
        Self::KeyRequest,
        Self::KeyRelease,
        Self::KeyCommitment,
    ];

    /// The ASCII text of the label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DiagnosticsSession => "narthex/v1/diagnostics-session",
            Self::KeyRequest => "narthex/v1/key-request",
            Self::KeyRelease => "narthex/v1/key-release",
            Self::KeyCommitment => "narthex/v1/key-commitment",
        }
    }
}

/// The unambiguous composition that everything bound or committed is made of:
/// `u16be(len(label)) || label || u16be(len(context)) || context || u32be(len(body)) || body`.
pub(crate) struct Composition<'a> {
    pub(crate) label: Label,
    /// The handshake hash, or nothing for what outlives a session.
    pub(crate) context: &'a [u8],
    pub(crate) body: &'a [&'a [u8]],
}

impl Composition<'_> {
    /// Feeds the composition to `sink`, piece by piece.
    fn pieces(&self, mut sink: impl FnMut(&[u8])) {
        let Self {
            label,
            context,
            body,
        } = self;
        let label = label.as_str().as_bytes();
        let body_bytes: usize = body.iter().map(|part| part.len()).sum();
        // Invariants: labels are under 64 bytes and contexts are a hash or nothing. A body over
        // 4 GiB cannot come from a message; saturating keeps the composition injective in
        // practice, and total.
        sink(&u16::try_from(label.len()).unwrap_or(u16::MAX).to_be_bytes());
        sink(label);
        sink(
            &u16::try_from(context.len())
                .unwrap_or(u16::MAX)
                .to_be_bytes(),
        );
        sink(context);
        sink(&u32::try_from(body_bytes).unwrap_or(u32::MAX).to_be_bytes());
        for part in *body {
            sink(part);
        }
    }

    pub(crate) fn digest(&self) -> Digest384 {
        use sha2::{Digest, Sha384};

        let mut hasher = Sha384::new();
        self.pieces(|piece| hasher.update(piece));
        Digest384::from_bytes(hasher.finalize().into())
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.pieces(|piece| bytes.extend_from_slice(piece));
        bytes
    }
}

/// The digest that goes into a document's `user_data`:
/// `SHA-384(u16be(len(label)) || label || u16be(32) || h || u32be(len(body)) || body)`.
#[must_use]
pub fn binding_digest(label: Label, handshake_hash: &HandshakeHash, body: &[u8]) -> Digest384 {
    Composition {
        label,
        context: handshake_hash.as_bytes(),
        body: &[body],
    }
    .digest()
}

/// Checks that `user_data`, taken from a *verified* document, binds that document to this label,
/// this session and these exact bytes.
///
/// This says nothing about who made the document: verify it as well.
///
/// # Errors
///
/// [`BindingError`], as specific as the bytes allow.
pub fn check_binding(
    label: Label,
    handshake_hash: &HandshakeHash,
    body: &[u8],
    user_data: &[u8],
) -> Result<(), BindingError> {
    let matches = |label| {
        let expected = binding_digest(label, handshake_hash, body);
        bool::from(expected.as_bytes().as_slice().ct_eq(user_data))
    };
    if matches(label) {
        return Ok(());
    }
    if user_data.starts_with(WORKLOAD_PREFIX) {
        return Err(BindingError::WorkloadDocument);
    }
    if user_data.len() != Digest384::LENGTH {
        return Err(BindingError::Length);
    }
    if Label::ALL.iter().any(|other| matches(*other)) {
        return Err(BindingError::OtherUse);
    }
    Err(BindingError::OtherSession)
}

/// Why a document does not belong to a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BindingError {
    /// The document has no `user_data` of 48 bytes, so it binds nothing.
    Length,
    /// The document was asked for by a workload, not by its agent.
    WorkloadDocument,
    /// The document binds these bytes and this session, but for another use.
    OtherUse,
    /// The document binds another session, other bytes, or both: it was replayed, or the session
    /// is relayed to another enclave, or the bytes were exchanged.
    OtherSession,
}

impl BindingError {
    /// The stable id of the reason.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::Length => "binding.length",
            Self::WorkloadDocument => "binding.workload_document",
            Self::OtherUse => "binding.other_use",
            Self::OtherSession => "binding.other_session",
        }
    }
}

impl fmt::Display for BindingError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Length => "the document's user_data is not a binding digest",
            Self::WorkloadDocument => "the document was asked for by a workload",
            Self::OtherUse => "the document was made for another use",
            Self::OtherSession => "the document was made for another session or other bytes",
        })
    }
}

impl std::error::Error for BindingError {}

/// What `user_data` of every document begins with that a workload asks for.
pub const WORKLOAD_PREFIX: &[u8] = b"narthex/v1/workload\0";

/// The most bytes that a workload may put into a document.
pub const MAX_WORKLOAD_BYTES: usize = 512;

/// The `user_data` of a document that a workload asks for: [`WORKLOAD_PREFIX`] and the caller's
/// bytes, unless that would be as long as a binding digest.
///
/// # Errors
///
/// [`WorkloadDataError`].
pub fn workload_user_data(caller_bytes: &[u8]) -> Result<Vec<u8>, WorkloadDataError> {
    if caller_bytes.len() > MAX_WORKLOAD_BYTES {
        return Err(WorkloadDataError::TooLong);
    }
    let user_data = [WORKLOAD_PREFIX, caller_bytes].concat();
    if user_data.len() == Digest384::LENGTH {
        return Err(WorkloadDataError::ReservedLength);
    }
    Ok(user_data)
}

/// Why a workload cannot have these bytes in a document.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WorkloadDataError {
    /// More than [`MAX_WORKLOAD_BYTES`].
    TooLong,
    /// Exactly 28 bytes: with the prefix they would be as long as a binding digest, and no
    /// document for a workload ever is. Add or hash something.
    ReservedLength,
}

impl WorkloadDataError {
    /// The stable id of the reason.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::TooLong => "workload_data.too_long",
            Self::ReservedLength => "workload_data.reserved_length",
        }
    }
}

impl fmt::Display for WorkloadDataError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TooLong => "more than 512 bytes",
            Self::ReservedLength => "28 bytes are reserved; use another length",
        })
    }
}

impl std::error::Error for WorkloadDataError {}

#[cfg(test)]
mod tests {
    use super::*;

    const H: HandshakeHash = HandshakeHash::from_bytes([7; 32]);

    #[test]
    fn the_composition_is_as_the_protocol_writes_it() {
        let by_hand = [
            b"\x00\x16narthex/v1/key-request".as_slice(),
            b"\x00\x20".as_slice(),
            &[7; 32],
            b"\x00\x00\x00\x04body".as_slice(),
        ]
        .concat();
        assert_eq!(
            binding_digest(Label::KeyRequest, &H, b"body"),
            Digest384::of(&by_hand)
        );
    }

    #[test]
    fn labels_differ_and_are_short_ascii() {
        for (index, label) in Label::ALL.iter().enumerate() {
            let text = label.as_str();
            assert!(text.is_ascii() && text.len() < 64 && text.starts_with("narthex/v1/"));
            assert!(!text.as_bytes().starts_with(b"narthex/v1/workload"));
            assert!(
                Label::ALL
                    .iter()
                    .skip(index + 1)
                    .all(|other| other.as_str() != text)
            );
        }
    }

    #[test]
    fn each_kind_of_foreign_document_has_its_reason() {
        let label = Label::DiagnosticsSession;
        let check = |user_data: &[u8]| check_binding(label, &H, b"statement", user_data);
        let good = binding_digest(label, &H, b"statement");
        assert_eq!(check(good.as_ref()), Ok(()));

        let other_h = binding_digest(label, &HandshakeHash::from_bytes([8; 32]), b"statement");
        assert_eq!(check(other_h.as_ref()), Err(BindingError::OtherSession));
        let other_body = binding_digest(label, &H, b"statemenT");
        assert_eq!(check(other_body.as_ref()), Err(BindingError::OtherSession));
        let other_use = binding_digest(Label::KeyRequest, &H, b"statement");
        assert_eq!(check(other_use.as_ref()), Err(BindingError::OtherUse));
        assert_eq!(check(b""), Err(BindingError::Length));
        assert_eq!(check(&good.as_ref()[..47]), Err(BindingError::Length));
        let workload = workload_user_data(b"nonce").unwrap();
        assert_eq!(check(&workload), Err(BindingError::WorkloadDocument));
    }

    #[test]
    fn a_workload_document_is_never_as_long_as_a_digest() {
        for length in 0..=MAX_WORKLOAD_BYTES {
            match workload_user_data(&vec![0xaa; length]) {
                Ok(user_data) => assert_ne!(user_data.len(), 48),
                Err(error) => assert_eq!((length, error), (28, WorkloadDataError::ReservedLength)),
            }
        }
        let too_long = workload_user_data(&[0; MAX_WORKLOAD_BYTES + 1]);
        assert_eq!(too_long, Err(WorkloadDataError::TooLong));
    }
}
