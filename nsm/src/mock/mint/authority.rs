//! The root of everything that the mock signs.

use std::path::Path;

use zeroize::Zeroizing;

use super::chain::Link;
use super::der::oid;
use super::extension::Extension;
use super::hierarchy::{Profile, authority_usage, serial};
use super::key::{KeyPair, derive_bytes};
use super::name::{Attribute, Name};
use super::state_directory::{self, AuthorityError};

/// Common name of the development root: how a verifier tells a mock document from a forged one.
pub const ROOT_COMMON_NAME: &str = "narthex.development-root";
/// Organizational unit of the development root.
pub const ROOT_ORGANIZATIONAL_UNIT: &str = "Narthex";
/// Organization of the development root.
pub const ROOT_ORGANIZATION: &str = "Narthex development";
/// Country of the development root.
pub const ROOT_COUNTRY: &str = "US";

/// Validity of AWS's root: 2019-10-28 13:28:05 to 2049-10-28 14:28:05 UTC.
const ROOT_NOT_BEFORE_SECONDS: u64 = 1_572_269_285;
const ROOT_NOT_AFTER_SECONDS: u64 = 2_519_044_085;

/// A development root: a key pair, and the certificate that follows from it.
///
/// Every other key of the mock follows from this one, so the root's key file is all there is to
/// keep, and two mocks on one authority show the same chain. It vouches for nothing: whoever can
/// read the file can make any document below this root. No shipped binary trusts it.
#[derive(Clone, Debug)]
pub struct DevelopmentAuthority {
    root: Link,
    root_certificate: Vec<u8>,
}

impl DevelopmentAuthority {
    /// The authority kept under `directory`, made there on first use.
    ///
    /// The directory is made with mode 0700 and the files in it with 0600. Several processes may do
    /// this at the same moment: all of them end up with the same root.
    ///
    /// | File | Content |
    /// |---|---|
    /// | `development-root.key` | the root's private key, PKCS #8 PEM |
    /// | `development-root.der` | the root certificate, for whoever is to trust this mock |
    /// | `development-root.pem` | the same in PEM |
    ///
    /// # Errors
    ///
    /// When the directory or the key file is open to others or owned by somebody else, when the key
    /// file does not hold a P-384 key, or when the file system refuses.
    pub fn load_or_create(directory: &Path) -> Result<Self, AuthorityError> {
        let authority = Self::from_key(state_directory::load_or_create_key(directory)?);
        state_directory::export_certificate(directory, &authority.root_certificate)?;
        Ok(authority)
    }

    /// The authority whose key everybody can compute: the same documents in every run of a test.
    #[must_use]
    pub fn insecure_fixed() -> Self {
        Self::insecure_from_seed(b"narthex insecure fixed development authority")
    }

    /// An authority that follows from a seed, for tests that need more than one root.
    #[must_use]
    pub fn insecure_from_seed(seed: &[u8]) -> Self {
        Self::from_key(KeyPair::insecure_from_seed(seed))
    }

    /// The root certificate in DER.
    #[must_use]
    pub fn root_certificate(&self) -> &[u8] {
        &self.root_certificate
    }

    /// The root certificate as a link of a chain, to be changed in tests.
    #[must_use]
    pub fn root_link(&self) -> Link {
        self.root.clone()
    }

    pub(crate) fn secret(&self) -> Zeroizing<Vec<u8>> {
        self.root.key.scalar()
    }

    fn from_key(key: KeyPair) -> Self {
        let root = root_profile(&key).certify(key);
        let root_certificate = root.mint_below(&root);
        Self {
            root,
            root_certificate,
        }
    }
}

/// Same fields, extensions and validity as AWS's root; the subject is ours.
fn root_profile(key: &KeyPair) -> Profile {
    let public_point = key.public_point();
    let identifier = derive_bytes(&public_point, "root-serial", b"", 0);
    Profile {
        issuer: root_name(),
        subject: root_name(),
        serial: serial(identifier.get(..16).unwrap_or(&identifier)),
        not_before_seconds: ROOT_NOT_BEFORE_SECONDS,
        not_after_seconds: ROOT_NOT_AFTER_SECONDS,
        extensions: vec![
            Extension::authority(None),
            Extension::subject_key_identifier(&public_point),
            authority_usage(),
        ],
    }
}

fn root_name() -> Name {
    let country = Attribute {
        value: ROOT_COUNTRY.as_bytes().to_vec(),
        ..Attribute::country()
    };
    Name(vec![
        country,
        Attribute::utf8(oid::ORGANIZATION, ROOT_ORGANIZATION),
        Attribute::utf8(oid::ORGANIZATIONAL_UNIT, ROOT_ORGANIZATIONAL_UNIT),
        Attribute::utf8(oid::COMMON_NAME, ROOT_COMMON_NAME),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fixed_authority_is_the_same_every_time() {
        let one = DevelopmentAuthority::insecure_fixed();
        let two = DevelopmentAuthority::insecure_fixed();
        assert_eq!(one.root_certificate(), two.root_certificate());
        let other = DevelopmentAuthority::insecure_from_seed(b"other");
        assert_ne!(one.root_certificate(), other.root_certificate());
    }
}
