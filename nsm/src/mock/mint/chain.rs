//! The five certificates of a document, to be made and as made.

use super::authority::DevelopmentAuthority;
use super::certificate::{CertificateRecipe, SubjectPublicKey};
use super::der::oid;
use super::extension::Extension;
use super::hierarchy;
use super::identity::Identity;
use super::key::KeyPair;
use super::name::Name;
use crate::UnixMillis;

/// A certificate to be made, with the key that it certifies.
#[derive(Clone, Debug)]
pub struct Link {
    /// What the certificate says.
    pub certificate: CertificateRecipe,
    /// The key that it certifies; it signs the next certificate of the chain.
    pub key: KeyPair,
}

/// A whole chain to be made. Each link is signed by the key of the link above it.
#[derive(Clone, Debug)]
pub struct ChainRecipe {
    /// The development root, signed by itself.
    pub root: Link,
    /// Regional authority, path length 2.
    pub region: Link,
    /// Zonal authority, path length 1.
    pub zone: Link,
    /// The instance's authority, path length 0.
    pub instance: Link,
    /// Further authorities below the instance: AWS has none.
    pub extra: Vec<Link>,
    /// The enclave's own certificate, whose key signs the document.
    pub leaf: Link,
}

/// A chain as made.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Root first, the leaf's issuer last: `cabundle` of a document.
    pub cabundle: Vec<Vec<u8>>,
    /// `certificate` of a document.
    pub leaf: Vec<u8>,
    /// The key that signs documents.
    pub leaf_key: KeyPair,
}

impl ChainRecipe {
    /// The chain that the NSM of `identity` shows when it issues a leaf at `now`.
    #[must_use]
    pub fn new(
        authority: &DevelopmentAuthority,
        identity: &Identity,
        now: impl Into<UnixMillis>,
    ) -> Self {
        let now_seconds = now.into().seconds();
        let root = authority.root_link();
        let region = hierarchy::region_link(authority, &root, identity, now_seconds);
        let zone = hierarchy::zone_link(authority, &region, identity, now_seconds);
        let instance = hierarchy::instance_link(authority, &zone, identity, now_seconds);
        let leaf = hierarchy::leaf_link(authority, &instance, identity, now_seconds);
        Self {
            root,
            region,
            zone,
            instance,
            extra: Vec::new(),
            leaf,
        }
    }

    /// All certificates, signed.
    #[must_use]
    pub fn mint(&self) -> Chain {
        let Self {
            root,
            region,
            zone,
            instance,
            extra,
            leaf,
        } = self;
        let mut issuer = &root.key;
        let mut cabundle = Vec::new();
        for link in [root, region, zone, instance].into_iter().chain(extra) {
            cabundle.push(link.certificate.mint(issuer));
            issuer = &link.key;
        }
        Chain {
            cabundle,
            leaf: leaf.certificate.mint(issuer),
            leaf_key: leaf.key.clone(),
        }
    }

    /// Adds an authority between the instance and the leaf, with this path length, and names it as
    /// the leaf's issuer. The instance's own path length stays as it is.
    pub fn insert_authority(&mut self, common_name: &str, path_length: Option<u8>) {
        let above = self.extra.last().unwrap_or(&self.instance);
        let key = KeyPair::derive(&above.key.scalar(), "extra", common_name.as_bytes());
        let mut certificate = above.certificate.clone();
        certificate.issuer = above.certificate.subject.clone();
        certificate.subject = Name::aws_long(common_name);
        certificate.set_extension(Extension::authority(path_length));
        certificate.set_extension(Extension::authority_key_identifier(
            &above.key.public_point(),
        ));
        self.leaf.certificate.issuer = certificate.subject.clone();
        let mut link = Link {
            certificate,
            key: key.clone(),
        };
        link.set_key(key);
        self.extra.push(link);
    }
}

impl Link {
    /// Certifies another key: the public key and the subject key identifier, where there is one.
    pub fn set_key(&mut self, key: KeyPair) {
        self.certificate.public_key = SubjectPublicKey::p384(&key);
        if let Some(identifier) = self.certificate.extension_mut(oid::SUBJECT_KEY_IDENTIFIER) {
            *identifier = Extension::subject_key_identifier(&key.public_point());
        }
        self.key = key;
    }

    /// The DER that this link has below `issuer`.
    #[must_use]
    pub fn mint_below(&self, issuer: &Self) -> Vec<u8> {
        self.certificate.mint(&issuer.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_785_785_775_857;

    fn chain_at(now: u64) -> Chain {
        let authority = DevelopmentAuthority::insecure_fixed();
        ChainRecipe::new(&authority, &Identity::example(), now).mint()
    }

    #[test]
    fn upper_certificates_stay_while_the_leaf_changes() {
        let (first, second) = (chain_at(NOW), chain_at(NOW + 60_000));
        assert_eq!(first.cabundle, second.cabundle);
        assert_ne!(first.leaf, second.leaf);
    }

    #[test]
    fn all_sizes_are_within_those_of_the_specification() {
        let chain = chain_at(NOW);
        assert_eq!(chain.cabundle.len(), 4);
        for certificate in chain.cabundle.iter().chain([&chain.leaf]) {
            assert!(
                (1..=1024).contains(&certificate.len()),
                "{}",
                certificate.len()
            );
        }
    }
}
