use core::fmt;

/// What a section holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SectionKind {
    /// The kernel (type 1).
    Kernel,
    /// The kernel's command line (type 2).
    CommandLine,
    /// One ramdisk (type 3).
    Ramdisk,
    /// The signature of PCR0 with its certificate (type 4).
    Signature,
    /// JSON about the build (type 5).
    Metadata,
}

impl SectionKind {
    pub(crate) fn from_number(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::Kernel,
            2 => Self::CommandLine,
            3 => Self::Ramdisk,
            4 => Self::Signature,
            5 => Self::Metadata,
            _ => return None,
        })
    }

    pub(crate) fn number(self) -> u16 {
        match self {
            Self::Kernel => 1,
            Self::CommandLine => 2,
            Self::Ramdisk => 3,
            Self::Signature => 4,
            Self::Metadata => 5,
        }
    }
}

impl fmt::Display for SectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kernel => "kernel",
            Self::CommandLine => "command line",
            Self::Ramdisk => "ramdisk",
            Self::Signature => "signature",
            Self::Metadata => "metadata",
        })
    }
}

/// Why bytes are no image, a signature does not hold, or an image cannot be written.
///
/// [`EifError::id`] is the stable name of each; `docs/eif.md` lists them.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum EifError {
    /// The file ends before the part that should be there.
    Truncated {
        /// Which part.
        part: &'static str,
        /// Where the part begins, in bytes.
        offset: usize,
    },
    /// The first four bytes are not `.eif`.
    Magic,
    /// A version other than 4.
    Version {
        /// The version in the file.
        found: u16,
    },
    /// A flag of the header that is not known.
    Flags {
        /// All flags in the file.
        found: u16,
    },
    /// A reserved field of the header is not zero.
    Reserved {
        /// Where the field is, in bytes.
        offset: usize,
    },
    /// A number of sections that no image of version 4 has (4 to 32; 31 without a signature).
    SectionCount {
        /// The number in the file.
        found: usize,
    },
    /// An entry of the header's tables that belongs to no section is not zero.
    SectionTable {
        /// Which entry, from 0.
        index: usize,
    },
    /// The header places a section elsewhere than behind the one before it.
    SectionOffset {
        /// Which section, from 0.
        index: usize,
        /// Where it has to be, in bytes.
        expected: u64,
        /// Where the header places it.
        found: u64,
    },
    /// The header and the section disagree about its size.
    SectionSize {
        /// Which section, from 0.
        index: usize,
        /// The size in the header, in bytes.
        header: u64,
        /// The size in front of the section.
        section: u64,
    },
    /// A section of a type that is not known.
    SectionType {
        /// Which section, from 0.
        index: usize,
        /// The type in the file.
        found: u16,
    },
    /// Flags in front of a section: none is defined.
    SectionFlags {
        /// Which section, from 0.
        index: usize,
        /// The flags in the file.
        found: u16,
    },
    /// A section at a place where only another may be.
    SectionOrder {
        /// Which section, from 0.
        index: usize,
        /// What is there.
        found: SectionKind,
    },
    /// A section without content.
    SectionEmpty {
        /// What is empty.
        kind: SectionKind,
    },
    /// A section larger than its kind may be.
    SectionTooLarge {
        /// What is too large.
        kind: SectionKind,
        /// The largest size, in bytes.
        limit: usize,
    },
    /// Bytes behind the last section.
    Trailing {
        /// Where they begin, in bytes.
        offset: usize,
    },
    /// The checksum in the header is not that of the file.
    Checksum {
        /// The checksum of the file.
        expected: u32,
        /// The checksum in the header.
        found: u32,
    },
    /// The command line is not UTF-8 or has a zero byte.
    CommandLine,
    /// The signature section is not one record in its one spelling.
    SignatureRecord {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The signing certificate is not exactly one X.509 certificate in PEM.
    SignatureCertificate {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The key of the signing certificate is not one on P-384.
    SignatureKey,
    /// The signature is not a COSE_Sign1 in its one spelling.
    SignatureCose {
        /// What is wrong with it.
        what: &'static str,
    },
    /// The signature was made by another algorithm than ES384.
    SignatureAlgorithm,
    /// What was signed is not PCR0 of this image.
    SignaturePayload,
    /// The signature does not verify under the certificate's key.
    SignatureInvalid,
    /// The image has a signature already.
    AlreadySigned,
    /// The text is no private key on P-384 in PEM (PKCS #8 or SEC 1).
    SigningKey,
    /// The signer made a signature that the certificate's key does not verify.
    SignerMismatch,
    /// The signer refused or failed.
    Signer(SignError),
}

impl EifError {
    /// The stable name of this refusal.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Truncated { .. } => "eif.truncated",
            Self::Magic => "eif.magic",
            Self::Version { .. } => "eif.version",
            Self::Flags { .. } => "eif.flags",
            Self::Reserved { .. } => "eif.reserved",
            Self::SectionCount { .. } => "eif.section_count",
            Self::SectionTable { .. } => "eif.section_table",
            Self::SectionOffset { .. } => "eif.section_offset",
            Self::SectionSize { .. } => "eif.section_size",
            Self::SectionType { .. } => "eif.section_type",
            Self::SectionFlags { .. } => "eif.section_flags",
            Self::SectionOrder { .. } => "eif.section_order",
            Self::SectionEmpty { .. } => "eif.section_empty",
            Self::SectionTooLarge { .. } => "eif.section_too_large",
            Self::Trailing { .. } => "eif.trailing",
            Self::Checksum { .. } => "eif.crc",
            Self::CommandLine => "eif.command_line",
            Self::SignatureRecord { .. } => "eif.signature_record",
            Self::SignatureCertificate { .. } => "eif.signature_certificate",
            Self::SignatureKey => "eif.signature_key",
            Self::SignatureCose { .. } => "eif.signature_cose",
            Self::SignatureAlgorithm => "eif.signature_algorithm",
            Self::SignaturePayload => "eif.signature_payload",
            Self::SignatureInvalid => "eif.signature_invalid",
            Self::AlreadySigned => "eif.already_signed",
            Self::SigningKey => "eif.signing_key",
            Self::SignerMismatch => "eif.signer_mismatch",
            Self::Signer(_) => "eif.signer",
        }
    }
}

impl fmt::Display for EifError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { part, offset } => {
                write!(f, "the file ends within the {part} that begins at byte {offset}; fetch it again")
            }
            Self::Magic => f.write_str("the file does not begin with `.eif`; it is no enclave image"),
            Self::Version { found } => {
                write!(f, "the file is of version {found}, only 4 is read; build it again with a current tool")
            }
            Self::Flags { found } => {
                write!(f, "the header has unknown flags ({found:#06x}); only the one for arm64 is defined")
            }
            Self::Reserved { offset } => {
                write!(f, "the reserved field at byte {offset} of the header is not zero")
            }
            Self::SectionCount { found } => {
                write!(f, "the header counts {found} sections; an image has 4 to 32")
            }
            Self::SectionTable { index } => {
                write!(f, "entry {index} of the header's tables belongs to no section and is not zero")
            }
            Self::SectionOffset { index, expected, found } => {
                write!(f, "the header places section {index} at byte {found}; it has to be at byte {expected}")
            }
            Self::SectionSize { index, header, section } => write!(
                f,
                "section {index} has {header} bytes in the header and {section} in front of it; \
                 if the image was signed twice, sign the unsigned image instead"
            ),
            Self::SectionType { index, found } => {
                write!(f, "section {index} is of the unknown type {found}")
            }
            Self::SectionFlags { index, found } => {
                write!(f, "section {index} has unknown flags ({found:#06x}); none is defined")
            }
            Self::SectionOrder { index, found } => write!(
                f,
                "section {index} is a {found} section and may not be there; the order is kernel, \
                 command line, metadata, ramdisks, signature"
            ),
            Self::SectionEmpty { kind } => write!(f, "the {kind} section is empty"),
            Self::SectionTooLarge { kind, limit } => {
                write!(f, "the {kind} section has more than {limit} bytes")
            }
            Self::Trailing { offset } => {
                write!(f, "there are bytes behind the last section, from byte {offset}")
            }
            Self::Checksum { expected, found } => write!(
                f,
                "the checksum of the file is {expected:08x}, the header says {found:08x}; fetch or build it again"
            ),
            Self::CommandLine => f.write_str("the command line is not UTF-8 or has a zero byte"),
            Self::SignatureRecord { what } => write!(f, "the signature section: {what}"),
            Self::SignatureCertificate { what } => write!(f, "the signing certificate: {what}"),
            Self::SignatureKey => f.write_str(
                "the key of the signing certificate is not on P-384; sign with a P-384 key",
            ),
            Self::SignatureCose { what } => write!(f, "the signature of the image: {what}"),
            Self::SignatureAlgorithm => f.write_str(
                "the image was not signed with ES384; sign the unsigned image with a P-384 key",
            ),
            Self::SignaturePayload => f.write_str("the signature is for another image: it is not over PCR0 of this one"),
            Self::SignatureInvalid => {
                f.write_str("the signature does not verify under the key of the signing certificate")
            }
            Self::AlreadySigned => f.write_str("the image is signed already; sign the unsigned image"),
            Self::SigningKey => f.write_str(
                "this is no P-384 private key in PEM without a passphrase (PKCS #8 or SEC 1)",
            ),
            Self::SignerMismatch => f.write_str(
                "the signature does not verify under the certificate; use the key that belongs to it",
            ),
            Self::Signer(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for EifError {}

/// Why a signer made no signature: words for people, without secrets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignError(String);

impl SignError {
    /// `message` says what happened and what to do.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the signer made no signature: {}", self.0)
    }
}

impl core::error::Error for SignError {}
