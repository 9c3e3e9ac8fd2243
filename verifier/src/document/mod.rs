//! Stage one: bytes become a [`Parsed`] document, which says nothing about trust.

mod envelope;
mod fields;
mod payload;

pub use fields::{DocumentKind, Fields};

use crate::certificate::{Certificate, CertificateSummary, Position};
use crate::check::CheckId;
use crate::limits::MAX_DOCUMENT_BYTES;
use crate::report::{Detail, Failure, Recorder, Refusal, Report};

pub(crate) use envelope::Envelope;
pub(crate) use fields::Layout;

/// A Nitro attestation document: a COSE_Sign1 envelope around a CBOR map
/// (AWS `attestation_process.md`, section 3).
///
/// Only a name to call [`parse`](Self::parse) on.
#[derive(Debug)]
pub enum AttestationDocument {}

impl AttestationDocument {
    /// Reads a document: structure, sizes and ranges of everything in it, no signature.
    ///
    /// `bytes` is the document as the NSM gives it, binary and complete, with CBOR tag 18 or
    /// without. The result borrows from it.
    ///
    /// # Errors
    ///
    /// [`Refusal`] with a reason of [`Stage::Parse`](crate::Stage::Parse).
    pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Refusal> {
        let mut recorder = Recorder::new();
        match read(bytes, &mut recorder) {
            Ok((envelope, layout)) => Ok(Parsed {
                envelope,
                layout,
                report: recorder.finish(),
            }),
            Err(failure) => Err(recorder.refuse(failure)),
        }
    }
}

fn read<'a>(bytes: &'a [u8], recorder: &mut Recorder) -> Result<(Envelope<'a>, Layout), Failure> {
    if bytes.is_empty() || bytes.len() > MAX_DOCUMENT_BYTES {
        return Err(Failure::new(
            CheckId::DocumentSize,
            Detail::byte_count(bytes.len()),
        ));
    }
    recorder.pass(CheckId::DocumentSize, Detail::byte_count(bytes.len()));
    let envelope = Envelope::read(bytes, recorder)?;
    let layout = payload::read(envelope.payload, recorder)?;
    // These hold only once everything has been read.
    for id in [
        CheckId::CborTruncated,
        CheckId::CborReserved,
        CheckId::CborShortestForm,
        CheckId::CborIndefiniteLength,
        CheckId::CborText,
    ] {
        recorder.pass(id, Detail::NONE);
    }
    Ok((envelope, layout))
}

/// A document that was read. **Nothing in it is to be believed**: anybody can write one.
///
/// The next step is [`TrustAnchors::verify`](crate::TrustAnchors::verify). There is no other
/// way to come by a `Parsed` than [`AttestationDocument::parse`]:
///
/// ```compile_fail
/// let parsed = narthex_verifier::Parsed { report: todo!() };
/// ```
///
/// and none to appraise it without its signature having been checked:
///
/// ```compile_fail
/// use narthex_verifier::{Expectations, Parsed, UnixMillis};
/// fn appraise(expectations: &Expectations, parsed: &Parsed<'_>, now: UnixMillis) {
///     let _ = expectations.appraise(parsed, now);
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Parsed<'a> {
    pub(crate) envelope: Envelope<'a>,
    pub(crate) layout: Layout,
    pub(crate) report: Report,
}

impl<'a> Parsed<'a> {
    /// What the document says. Untrusted.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(self.envelope.payload, &self.layout)
    }

    /// The checks that were made while reading.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The certificates in the document, root first and leaf last, for people to look at.
    /// Untrusted; those that cannot be read are left out.
    #[must_use]
    pub fn certificate_summaries(&self) -> Vec<CertificateSummary> {
        let fields = self.fields();
        let above = fields.cabundle().enumerate().map(|(index, der)| {
            (
                if index == 0 {
                    Position::Root
                } else {
                    Position::Intermediate(index)
                },
                der,
            )
        });
        above
            .chain([(Position::Leaf, fields.certificate())])
            .filter_map(|(position, der)| {
                Certificate::parse(der)
                    .ok()
                    .map(|certificate| certificate.summary(position))
            })
            .collect()
    }

    /// The bytes that the leaf signed: the `Sig_structure` of RFC 9052, section 4.4.
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        self.envelope.signed_bytes()
    }

    pub(crate) fn signature(&self) -> &'a [u8; 96] {
        self.envelope.signature
    }
}
