//! Every check the verifier makes, by a stable name.
//!
//! `docs/verification.md` describes each; a test keeps that page, this list and the tests of the
//! crate together.

use core::fmt;

/// When a check is made. Each stage runs only after the one before it held.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Stage {
    /// Reading the bytes of a document; says nothing about trust.
    Parse,
    /// Everything about the certificate chain that needs no signature check.
    Chain,
    /// The signatures, the costly part.
    Signature,
    /// Comparing a document with what the caller expects.
    Appraise,
}

macro_rules! checks {
    ($( $(#[$doc:meta])* $variant:ident, $stage:ident, $id:literal, $rule:literal; )*) => {
        /// One check, and the reason of a refusal when it fails.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum CheckId {
            $( $(#[$doc])* $variant, )*
            /// `pcr.N`: register N has the value that the caller expects.
            Pcr(PcrIndex),
        }

        impl CheckId {
            /// Every check except the 32 of [`CheckId::Pcr`], in the order they are made.
            const NAMED: &[Self] = &[ $( Self::$variant, )* ];

            /// The stable name, `[a-z0-9_.]{1,64}`. It never changes its meaning.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self {
                    $( Self::$variant => $id, )*
                    Self::Pcr(index) => index.check_id(),
                }
            }

            /// What must hold, in words for people.
            #[must_use]
            pub const fn rule(self) -> &'static str {
                match self {
                    $( Self::$variant => $rule, )*
                    Self::Pcr(_) => "the expected measurement",
                }
            }

            /// When the check is made.
            #[must_use]
            pub const fn stage(self) -> Stage {
                match self {
                    $( Self::$variant => Stage::$stage, )*
                    Self::Pcr(_) => Stage::Appraise,
                }
            }
        }
    };
}

checks! {
    /// The whole document is bounded before a byte of it is read (R7).
    DocumentSize, Parse, "document.size", "1 to 16512 bytes";
    /// CBOR ends inside an item.
    CborTruncated, Parse, "cbor.truncated", "every CBOR item is complete";
    /// CBOR additional information 28 to 30, or 31 where it has no meaning (R5).
    CborReserved, Parse, "cbor.reserved", "no reserved additional information";
    /// An integer or length in more bytes than it needs (R5).
    CborShortestForm, Parse, "cbor.shortest_form", "integers and lengths in shortest form";
    /// An indefinite length anywhere but in the payload map (R5).
    CborIndefiniteLength, Parse, "cbor.indefinite_length", "definite length outside the payload map";
    /// A text string that is not UTF-8.
    CborText, Parse, "cbor.text", "text strings are UTF-8";
    /// The envelope has CBOR tag 18 or no tag (R2).
    CoseTag, Parse, "cose.tag", "tag 18 or no tag";
    /// The envelope is an array of exactly four (RFC 9052, section 4.2).
    CoseStructure, Parse, "cose.structure", "array of 4";
    /// The protected header is a byte string holding a map with label 1 and nothing else (R2).
    CoseProtected, Parse, "cose.protected", "a map of exactly {1: -35}";
    /// The algorithm is ES384 (R2).
    CoseAlgorithm, Parse, "cose.alg", "-35 (ES384)";
    /// No label twice in a header (R3).
    CoseDuplicateLabel, Parse, "cose.duplicate_label", "no label twice";
    /// The unprotected header is an empty map (R2).
    CoseUnprotected, Parse, "cose.unprotected", "empty map";
    /// The payload is a byte string, neither null nor detached.
    CosePayload, Parse, "cose.payload", "byte string";
    /// The size of the payload.
    CosePayloadSize, Parse, "cose.payload_size", "1 to 16384 bytes";
    /// The size of the signature: r and s of P-384.
    CoseSignatureSize, Parse, "cose.signature_size", "byte string of 96 bytes";
    /// Nothing follows the envelope (R4).
    CoseTrailingBytes, Parse, "cose.trailing_bytes", "nothing after the envelope";
    /// The payload is a map.
    PayloadMap, Parse, "payload.map", "map with text keys";
    /// Nothing follows the payload map (R4).
    PayloadTrailingBytes, Parse, "payload.trailing_bytes", "nothing after the map";
    /// No key twice (R3).
    PayloadDuplicateKey, Parse, "payload.duplicate_key", "no key twice";
    /// No key that the format does not know.
    PayloadUnknownKey, Parse, "payload.unknown_key", "only the nine known keys";
    /// `module_id`.
    PayloadModuleId, Parse, "payload.module_id", "non-empty text";
    /// `digest`.
    PayloadDigest, Parse, "payload.digest", "\"SHA384\"";
    /// `timestamp`.
    PayloadTimestamp, Parse, "payload.timestamp", "milliseconds since 1970, above 0";
    /// `pcrs` (or `nitrotpm_pcrs`) is present once and is a map.
    PayloadPcrs, Parse, "payload.pcrs", "map";
    /// The number of registers.
    PayloadPcrCount, Parse, "payload.pcr_count", "1 to 32 entries";
    /// The index of each register; they may be sparse (R11, R12).
    PayloadPcrIndex, Parse, "payload.pcr_index", "integer keys 0 to 31";
    /// The size of each register.
    PayloadPcrSize, Parse, "payload.pcr_size", "32, 48 or 64 bytes";
    /// No register twice (R3).
    PayloadPcrDuplicate, Parse, "payload.pcr_duplicate", "no register twice";
    /// `certificate`.
    PayloadCertificate, Parse, "payload.certificate", "byte string of 1 to 1024 bytes";
    /// `cabundle`.
    PayloadCabundle, Parse, "payload.cabundle", "array of byte strings";
    /// The number of certificates in `cabundle` (R17).
    PayloadCabundleCount, Parse, "payload.cabundle_count", "1 to 8 certificates";
    /// The size of each certificate in `cabundle`.
    PayloadCabundleSize, Parse, "payload.cabundle_size", "1 to 1024 bytes each";
    /// `public_key`; null, missing and empty are absent (R6, R13).
    PayloadPublicKey, Parse, "payload.public_key", "null or byte string of at most 1024 bytes";
    /// `user_data`; null and missing are absent (R6, R14).
    PayloadUserData, Parse, "payload.user_data", "null or byte string of at most 1024 bytes";
    /// `nonce`; null and missing are absent (R6, R14).
    PayloadNonce, Parse, "payload.nonce", "null or byte string of at most 1024 bytes";

    /// The chain does not begin at Narthex's development root, which the mock NSM uses (R56).
    ChainDevelopmentRoot, Chain, "chain.development_root", "not a development root";
    /// `cabundle` begins with the root (R15).
    ChainOrder, Chain, "chain.order", "root first in cabundle";
    /// The first certificate is the pinned root (R17).
    ChainRoot, Chain, "chain.root", "the pinned root";
    /// A certificate is DER of the X.509 structure (R22).
    CertificateDer, Chain, "certificate.der", "X.509 in DER";
    /// Nothing follows a certificate (R4).
    CertificateTrailingBytes, Chain, "certificate.trailing_bytes", "nothing after the certificate";
    /// BOOLEAN is 00 or FF, and a default is left out (R22).
    CertificateBoolean, Chain, "certificate.boolean", "canonical BOOLEAN";
    /// Validity in the right time type, with a date that exists (R22).
    CertificateTime, Chain, "certificate.time", "UTCTime to 2049, GeneralizedTime after; real dates in UTC";
    /// BIT STRING without stray unused bits (R22).
    CertificateBitString, Chain, "certificate.bit_string", "canonical BIT STRING";
    /// X.509 version 3 (R20).
    CertificateVersion, Chain, "certificate.version", "version 3";
    /// The serial number (RFC 5280, section 4.1.2.2).
    CertificateSerial, Chain, "certificate.serial", "positive, at most 20 bytes";
    /// The signature algorithm (R21).
    CertificateAlgorithm, Chain, "certificate.algorithm", "ecdsa-with-SHA384 without parameters";
    /// The two algorithm identifiers in a certificate are equal (R21).
    CertificateAlgorithmMatch, Chain, "certificate.algorithm_match", "inner and outer algorithm equal";
    /// The public key (R21).
    CertificatePublicKey, Chain, "certificate.public_key", "uncompressed point on P-384";
    /// The encoding of the signature in a certificate.
    CertificateSignatureEncoding, Chain, "certificate.signature_encoding", "DER of two positive integers of at most 48 bytes";
    /// No extension twice (R3, RFC 5280, section 4.2).
    CertificateDuplicateExtension, Chain, "certificate.duplicate_extension", "no extension twice";
    /// No critical extension that is not processed (RFC 5280, section 4.2).
    CertificateCriticalExtension, Chain, "certificate.critical_extension", "only known critical extensions";
    /// Each issuer's name is the subject's of the certificate above (R20).
    ChainNames, Chain, "chain.names", "issuer names the certificate above";
    /// CA certificates say so in a critical basicConstraints (R20).
    ChainBasicConstraints, Chain, "chain.basic_constraints", "critical, CA:TRUE";
    /// Path lengths suffice, and the leaf has none (R20).
    ChainPathLen, Chain, "chain.path_len", "enough for the certificates below; none in the leaf";
    /// CA certificates may sign certificates (R20).
    ChainKeyUsage, Chain, "chain.key_usage", "keyCertSign";
    /// The leaf is not a CA (R20).
    ChainLeafNotCa, Chain, "chain.leaf_not_ca", "leaf is not a CA";
    /// The leaf may sign documents (R20).
    ChainLeafKeyUsage, Chain, "chain.leaf_key_usage", "leaf has digitalSignature";
    /// Every certificate has begun, give or take the stated skew (R23, R27).
    ChainNotYetValid, Chain, "chain.not_yet_valid", "notBefore at or before the judging time plus skew";
    /// No certificate has ended (R23).
    ChainExpired, Chain, "chain.expired", "notAfter at or after the judging time";
    /// No certificate is on the caller's deny-list (R24).
    ChainDenied, Chain, "chain.denied", "not on the deny-list";

    /// Each certificate is signed by the one above it, up to the pinned root.
    ChainSignature, Signature, "chain.signature", "signed by the certificate above";
    /// The document is signed by the leaf at the end of that path (R1, R10, R16).
    CoseSignature, Signature, "cose.signature", "signed by the leaf certificate";

    /// The document is an enclave's, not a NitroTPM's.
    DocumentKind, Appraise, "document.kind", "enclave";
    /// The enclave does not run in debug mode (R31).
    DocumentDebug, Appraise, "document.debug", "PCR0, PCR1 and PCR2 are not zero";
    /// PCR4 is the measurement of the instance that `module_id` names.
    DocumentPcr4ModuleId, Appraise, "document.pcr4_module_id", "PCR4 measures the instance in module_id";
    /// The document is not from the future, give or take the stated skew (R27).
    FreshFuture, Appraise, "fresh.future", "timestamp at or before now plus skew";
    /// The document is not too old (R27).
    FreshAge, Appraise, "fresh.age", "not older than the maximum age";
    /// PCR0 is expected together with PCR1 and PCR2 (R33).
    MeasurementsComplete, Appraise, "measurements.complete", "PCR0, PCR1 and PCR2 expected together";
    /// `user_data` is what the caller expects.
    BindUserData, Appraise, "bind.user_data", "the expected user_data";
    /// `nonce` is the one the caller made.
    BindNonce, Appraise, "bind.nonce", "the expected nonce";
    /// `public_key` is what the caller expects.
    BindPublicKey, Appraise, "bind.public_key", "the expected public_key";
    /// The document has not been accepted before (R26); only [`crate::SeenDocuments`] checks it.
    FreshSingleUse, Appraise, "fresh.single_use", "not accepted before";
}

impl CheckId {
    /// Every check there is: those with a name of their own, then `pcr.0` to `pcr.31`.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::NAMED
            .iter()
            .copied()
            .chain(PcrIndex::all().map(Self::Pcr))
    }
}

impl fmt::Display for CheckId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// The index of a register, 0 to 31.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PcrIndex(u8);

impl PcrIndex {
    /// An index, or `None` above 31.
    #[must_use]
    pub const fn new(index: u8) -> Option<Self> {
        if index < 32 { Some(Self(index)) } else { None }
    }

    /// The number, 0 to 31.
    #[must_use]
    pub const fn as_u8(self) -> u8 {
        self.0
    }

    /// All 32, ascending.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..32).map(Self)
    }

    /// PCR0: the whole image.
    pub const IMAGE: Self = Self(0);
    /// PCR1: kernel, command line and first ramdisk.
    pub const KERNEL: Self = Self(1);
    /// PCR2: the remaining ramdisks, the application.
    pub const APPLICATION: Self = Self(2);
    /// PCR3: the IAM role of the parent instance.
    pub const ROLE: Self = Self(3);
    /// PCR4: the parent instance.
    pub const INSTANCE: Self = Self(4);
    /// PCR8: the certificate that signed the image.
    pub const SIGNER: Self = Self(8);
    /// PCR16: the policy bundle that a Narthex agent booted with.
    pub const BUNDLE: Self = Self(16);

    const fn check_id(self) -> &'static str {
        const IDS: [&str; 32] = [
            "pcr.0", "pcr.1", "pcr.2", "pcr.3", "pcr.4", "pcr.5", "pcr.6", "pcr.7", "pcr.8",
            "pcr.9", "pcr.10", "pcr.11", "pcr.12", "pcr.13", "pcr.14", "pcr.15", "pcr.16",
            "pcr.17", "pcr.18", "pcr.19", "pcr.20", "pcr.21", "pcr.22", "pcr.23", "pcr.24",
            "pcr.25", "pcr.26", "pcr.27", "pcr.28", "pcr.29", "pcr.30", "pcr.31",
        ];
        // The constructor keeps the number below 32; the mask shows it to the compiler.
        #[allow(clippy::indexing_slicing)]
        IDS[(self.0 & 31) as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_well_formed() {
        let ids: BTreeSet<&str> = CheckId::all().map(CheckId::id).collect();
        assert_eq!(ids.len(), CheckId::all().count());
        for id in ids {
            assert!(!id.is_empty() && id.len() <= 64);
            let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || b"_.".contains(&c);
            assert!(id.bytes().all(fits), "{id}");
        }
    }

    #[test]
    fn stages_come_in_order() {
        let stages: Vec<Stage> = CheckId::all().map(CheckId::stage).collect();
        assert!(stages.is_sorted());
    }

    #[test]
    fn an_index_ends_at_31() {
        assert_eq!(PcrIndex::new(31).map(PcrIndex::as_u8), Some(31));
        assert_eq!(PcrIndex::new(32), None);
        assert_eq!(CheckId::Pcr(PcrIndex::new(31).unwrap()).id(), "pcr.31");
    }
}
