//! One X.509 certificate, field by field (RFC 5280, section 4.1).

use super::der::{Der, oid};
use super::extension::Extension;
use super::key::KeyPair;
use super::name::Name;
use super::signature::{Encoding, SignatureRecipe};
use super::time_field::TimeField;

/// Everything a certificate says. Change a field and it says something else, correctly signed.
#[derive(Clone, Debug)]
pub struct CertificateRecipe {
    /// `[0] version`: 2 means version 3. `None` leaves it out, which means version 1.
    pub version: Option<u8>,
    /// Content bytes of the serial number, as they are.
    pub serial: Vec<u8>,
    /// `signature` inside the signed part.
    pub inner_algorithm: AlgorithmIdentifier,
    /// `signatureAlgorithm` outside of it.
    pub outer_algorithm: AlgorithmIdentifier,
    /// Issuer.
    pub issuer: Name,
    /// notBefore.
    pub not_before: TimeField,
    /// notAfter.
    pub not_after: TimeField,
    /// Subject.
    pub subject: Name,
    /// subjectPublicKeyInfo.
    pub public_key: SubjectPublicKey,
    /// issuerUniqueID, subjectUniqueID or anything else between the key and the extensions.
    pub before_extensions: Vec<Der>,
    /// `[3] extensions`; `None` leaves the field out.
    pub extensions: Option<Vec<Extension>>,
    /// The signature.
    pub signature: SignatureRecipe,
    /// Unused bits that the signature's BIT STRING states.
    pub signature_unused_bits: u8,
    /// Signs these bytes in place of the TBSCertificate (see [`Self::tbs_der`]).
    pub tbs_override: Option<Vec<u8>>,
    /// Bytes after the certificate.
    pub trailing: Vec<u8>,
    /// Is the certificate, whatever the other fields say.
    pub raw: Option<Vec<u8>>,
}

/// AlgorithmIdentifier of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlgorithmIdentifier {
    /// Content bytes of the identifier.
    pub oid: Vec<u8>,
    /// Parameters; ECDSA has none (RFC 5758, section 3.2).
    pub parameters: Option<Der>,
}

impl AlgorithmIdentifier {
    /// An algorithm without parameters.
    #[must_use]
    pub fn bare(oid: &[u8]) -> Self {
        Self {
            oid: oid.to_vec(),
            parameters: None,
        }
    }

    /// ecdsa-with-SHA384.
    #[must_use]
    pub fn ecdsa_sha384() -> Self {
        Self::bare(oid::ECDSA_SHA384)
    }

    fn to_der(&self) -> Der {
        let mut fields = vec![Der::oid(&self.oid)];
        fields.extend(self.parameters.clone());
        Der::sequence(fields)
    }
}

/// SubjectPublicKeyInfo (RFC 5480).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPublicKey {
    /// Content bytes of the key algorithm.
    pub algorithm: Vec<u8>,
    /// Parameters: the curve's identifier for an EC key.
    pub parameters: Option<Der>,
    /// Unused bits that the BIT STRING states.
    pub unused_bits: u8,
    /// The key bytes.
    pub key: Vec<u8>,
}

impl SubjectPublicKey {
    /// The public half of a P-384 key.
    #[must_use]
    pub fn p384(key: &KeyPair) -> Self {
        Self {
            algorithm: oid::EC_PUBLIC_KEY.to_vec(),
            parameters: Some(Der::oid(oid::P384)),
            unused_bits: 0,
            key: key.public_point(),
        }
    }

    /// A valid P-256 key: the generator (SEC 2, section 2.4.2), whose private key is 1.
    #[must_use]
    pub fn p256() -> Self {
        const GENERATOR: [u8; 65] = [
            0x04, 0x6b, 0x17, 0xd1, 0xf2, 0xe1, 0x2c, 0x42, 0x47, 0xf8, 0xbc, 0xe6, 0xe5, 0x63,
            0xa4, 0x40, 0xf2, 0x77, 0x03, 0x7d, 0x81, 0x2d, 0xeb, 0x33, 0xa0, 0xf4, 0xa1, 0x39,
            0x45, 0xd8, 0x98, 0xc2, 0x96, 0x4f, 0xe3, 0x42, 0xe2, 0xfe, 0x1a, 0x7f, 0x9b, 0x8e,
            0xe7, 0xeb, 0x4a, 0x7c, 0x0f, 0x9e, 0x16, 0x2b, 0xce, 0x33, 0x57, 0x6b, 0x31, 0x5e,
            0xce, 0xcb, 0xb6, 0x40, 0x68, 0x37, 0xbf, 0x51, 0xf5,
        ];
        Self {
            algorithm: oid::EC_PUBLIC_KEY.to_vec(),
            parameters: Some(Der::oid(oid::P256)),
            unused_bits: 0,
            key: GENERATOR.to_vec(),
        }
    }

    fn to_der(&self) -> Der {
        let mut algorithm = vec![Der::oid(&self.algorithm)];
        algorithm.extend(self.parameters.clone());
        Der::sequence(vec![
            Der::sequence(algorithm),
            Der::bit_string(self.unused_bits, &self.key),
        ])
    }
}

impl CertificateRecipe {
    /// The TBSCertificate that the fields describe.
    #[must_use]
    pub fn tbs_der(&self) -> Der {
        let mut fields = Vec::new();
        fields.extend(
            self.version
                .map(|version| Der::explicit(0, Der::unsigned(&[version]))),
        );
        fields.extend([
            Der::integer_content(&self.serial),
            self.inner_algorithm.to_der(),
            self.issuer.to_der(),
            Der::sequence(vec![self.not_before.to_der(), self.not_after.to_der()]),
            self.subject.to_der(),
            self.public_key.to_der(),
        ]);
        fields.extend(self.before_extensions.iter().cloned());
        fields.extend(self.extensions.as_ref().map(|extensions| {
            let list = extensions.iter().map(Extension::to_der).collect();
            Der::explicit(3, Der::sequence(list))
        }));
        Der::sequence(fields)
    }

    /// The certificate, signed with `issuer_key` unless [`Self::signature`] says otherwise.
    #[must_use]
    pub fn mint(&self, issuer_key: &KeyPair) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let tbs = self
            .tbs_override
            .clone()
            .unwrap_or_else(|| self.tbs_der().to_bytes());
        let signature = self.signature.bytes(issuer_key, &tbs, Encoding::Asn1);
        let certificate = Der::sequence(vec![
            Der::Raw(tbs),
            self.outer_algorithm.to_der(),
            Der::bit_string(self.signature_unused_bits, &signature),
        ]);
        [certificate.to_bytes(), self.trailing.clone()].concat()
    }

    /// The extension with this identifier, to change it; `None` when there is no such extension.
    pub fn extension_mut(&mut self, oid: &[u8]) -> Option<&mut Extension> {
        self.extensions
            .as_mut()?
            .iter_mut()
            .find(|extension| extension.oid == oid)
    }

    /// Puts `extension` in the place of the one with the same identifier, or at the end.
    pub fn set_extension(&mut self, extension: Extension) {
        if let Some(present) = self.extension_mut(&extension.oid.clone()) {
            *present = extension;
        } else {
            self.extensions.get_or_insert_default().push(extension);
        }
    }

    /// Takes out every extension with this identifier.
    pub fn remove_extension(&mut self, oid: &[u8]) {
        if let Some(extensions) = &mut self.extensions {
            extensions.retain(|extension| extension.oid != oid);
        }
    }

    /// Sets the algorithm identifier inside and outside of the signed part.
    pub fn set_algorithm(&mut self, algorithm: &AlgorithmIdentifier) {
        self.inner_algorithm = algorithm.clone();
        self.outer_algorithm = algorithm.clone();
    }
}
