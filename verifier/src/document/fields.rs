//! What a document says, as a view of its payload bytes.

use core::fmt;

use crate::check::PcrIndex;
use crate::limits::{MAX_CABUNDLE_CERTIFICATES, MAX_PCRS};
use crate::time::UnixMillis;

/// Where a value lies in the payload. The payload has at most 16,384 bytes, so 16 bits suffice.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Span {
    start: u16,
    length: u16,
}

impl Span {
    /// The span of the `length` bytes that end at `end`.
    pub(crate) fn ending_at(end: usize, length: usize) -> Self {
        let narrow = |number: usize| u16::try_from(number).unwrap_or(u16::MAX);
        Self {
            start: narrow(end.saturating_sub(length)),
            length: narrow(length),
        }
    }

    fn of(self, payload: &[u8]) -> &[u8] {
        let start = usize::from(self.start);
        payload
            .get(start..start + usize::from(self.length))
            .unwrap_or_default()
    }
}

/// Which product made the document: the two share envelope and root and differ in one key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DocumentKind {
    /// A Nitro enclave: registers under `pcrs`.
    Enclave,
    /// An EC2 instance with NitroTPM: registers under `nitrotpm_pcrs`, with another meaning.
    NitroTpm,
}

impl DocumentKind {
    /// `enclave` or `nitrotpm`.
    #[must_use]
    pub const fn id(self) -> &'static str {
        match self {
            Self::Enclave => "enclave",
            Self::NitroTpm => "nitrotpm",
        }
    }
}

impl fmt::Display for DocumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// The parts of a payload, found once and never copied.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) kind: DocumentKind,
    pub(crate) module_id: Span,
    pub(crate) timestamp: UnixMillis,
    pub(crate) pcrs: [Option<Span>; MAX_PCRS],
    pub(crate) certificate: Span,
    pub(crate) cabundle: [Span; MAX_CABUNDLE_CERTIFICATES],
    pub(crate) cabundle_count: usize,
    pub(crate) cabundle_array: Span,
    pub(crate) public_key: Option<Span>,
    pub(crate) user_data: Option<Span>,
    pub(crate) nonce: Option<Span>,
}

/// What a document says (AWS `attestation_process.md`, section 3.1).
///
/// A view without any proof in it: it is as trustworthy as the value it was taken from. Those of
/// [`Parsed`](crate::Parsed) are anybody's claim; those of [`Appraised`](crate::Appraised) hold.
/// So never take a `Fields` where a proof is needed; take an `Appraised`.
#[derive(Clone, Copy)]
pub struct Fields<'a> {
    payload: &'a [u8],
    layout: &'a Layout,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(payload: &'a [u8], layout: &'a Layout) -> Self {
        Self { payload, layout }
    }

    /// Enclave or NitroTPM.
    #[must_use]
    pub fn kind(&self) -> DocumentKind {
        self.layout.kind
    }

    /// The name of the module that made the document, `i-<17 hex>-enc<16 hex>` for an enclave.
    #[must_use]
    pub fn module_id(&self) -> &'a str {
        // The span was a text string when it was read.
        core::str::from_utf8(self.layout.module_id.of(self.payload)).unwrap_or_default()
    }

    /// The parent instance's id, the part of an enclave's module id before `-enc`; `None` when
    /// the module id does not have that shape.
    #[must_use]
    pub fn instance_id(&self) -> Option<&'a str> {
        let (instance, enclave) = self.module_id().split_once("-enc")?;
        let hex = |text: &str| {
            !text.is_empty() && text.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'))
        };
        (hex(instance.strip_prefix("i-")?) && hex(enclave)).then_some(instance)
    }

    /// When the hypervisor made the document.
    #[must_use]
    pub fn timestamp(&self) -> UnixMillis {
        self.layout.timestamp
    }

    /// The value of a register: 32, 48 or 64 bytes, 48 in every document seen; `None` when the
    /// document does not have it. For NitroTPM this is the TPM's register, which measures
    /// something else: look at [`kind`](Self::kind) first.
    #[must_use]
    pub fn pcr(&self, index: PcrIndex) -> Option<&'a [u8]> {
        let span = self
            .layout
            .pcrs
            .get(usize::from(index.as_u8()))
            .copied()
            .flatten()?;
        Some(span.of(self.payload))
    }

    /// The registers in the document, by ascending index.
    pub fn pcrs(self) -> impl Iterator<Item = (PcrIndex, &'a [u8])> {
        PcrIndex::all().filter_map(move |index| Some((index, self.pcr(index)?)))
    }

    /// The leaf certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> &'a [u8] {
        self.layout.certificate.of(self.payload)
    }

    /// The certificates above the leaf, DER, root first.
    pub fn cabundle(self) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator {
        let spans = self
            .layout
            .cabundle
            .get(..self.layout.cabundle_count)
            .unwrap_or_default();
        spans.iter().map(move |span| span.of(self.payload))
    }

    /// All of `cabundle` as it stands in the payload, heads and order included: the same bytes are
    /// the same chain.
    pub(crate) fn cabundle_array(&self) -> &'a [u8] {
        self.layout.cabundle_array.of(self.payload)
    }

    /// The key that the enclave's program asked to have in the document, up to 1024 bytes.
    /// Null, missing and empty are all `None` (R13).
    #[must_use]
    pub fn public_key(&self) -> Option<&'a [u8]> {
        self.layout
            .public_key
            .map(|span| span.of(self.payload))
            .filter(|key| !key.is_empty())
    }

    /// The data that the enclave's program asked to have in the document, up to 1024 bytes.
    /// Null and missing are `None`; empty is `Some`.
    #[must_use]
    pub fn user_data(&self) -> Option<&'a [u8]> {
        self.layout.user_data.map(|span| span.of(self.payload))
    }

    /// The nonce that the enclave's program asked to have in the document, up to 1024 bytes.
    /// Null and missing are `None`; empty is `Some`.
    #[must_use]
    pub fn nonce(&self) -> Option<&'a [u8]> {
        self.layout.nonce.map(|span| span.of(self.payload))
    }

    /// The payload, as signed.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields")
            .field("kind", &self.kind())
            .field("module_id", &self.module_id())
            .field("timestamp", &self.timestamp())
            .finish_non_exhaustive()
    }
}
