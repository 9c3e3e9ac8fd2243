//! A whole document, in one call.

use super::authority::DevelopmentAuthority;
use super::chain::{Chain, ChainRecipe};
use super::envelope::EnvelopeRecipe;
use super::identity::Identity;
use super::payload::PayloadRecipe;
use crate::UnixMillis;

/// A document to be made. The defaults are a correct one with AWS's layout; change what you like.
#[derive(Clone, Debug)]
pub struct DocumentRecipe {
    /// The certificates.
    pub chain: ChainRecipe,
    /// The signed content.
    pub payload: PayloadRecipe,
    /// What stands around it.
    pub envelope: EnvelopeRecipe,
}

/// A document as made, with its parts.
#[derive(Clone, Debug)]
pub struct Minted {
    /// The document.
    pub document: Vec<u8>,
    /// The payload that was signed.
    pub payload: Vec<u8>,
    /// The certificates and the leaf's key.
    pub chain: Chain,
}

impl DocumentRecipe {
    /// The document of [`Identity::example`], asked for at `now` (milliseconds since the epoch),
    /// with a leaf that was issued that second.
    #[must_use]
    pub fn new(authority: &DevelopmentAuthority, now: impl Into<UnixMillis>) -> Self {
        Self::for_identity(authority, &Identity::example(), now)
    }

    /// The same for another enclave.
    #[must_use]
    pub fn for_identity(
        authority: &DevelopmentAuthority,
        identity: &Identity,
        now: impl Into<UnixMillis>,
    ) -> Self {
        let now = now.into();
        Self {
            chain: ChainRecipe::new(authority, identity, now),
            payload: PayloadRecipe::new(identity, now),
            envelope: EnvelopeRecipe::new(),
        }
    }

    /// The document.
    #[must_use]
    pub fn mint(&self) -> Vec<u8> {
        self.mint_parts().document
    }

    /// The document and what it was made of.
    #[must_use]
    pub fn mint_parts(&self) -> Minted {
        let Self {
            chain,
            payload,
            envelope,
        } = self;
        let chain = chain.mint();
        let payload = payload.encode(&chain);
        let document = envelope.seal(&payload, &chain.leaf_key);
        Minted {
            document,
            payload,
            chain,
        }
    }
}

#[cfg(test)]
mod tests {
    use p384::ecdsa::signature::Verifier as _;
    use p384::ecdsa::{Signature, VerifyingKey};

    use super::*;
    use crate::mock::mint::{Cbor, Link};

    const NOW: u64 = 1_785_785_775_857;

    fn key_of(link: &Link) -> VerifyingKey {
        VerifyingKey::from_sec1_bytes(&link.certificate.public_key.key).unwrap()
    }

    /// Whether the certificate's signature is one by `issuer` over the bytes that the recipe states.
    fn is_signed_by(issuer: &Link, link: &Link, der: &[u8]) -> bool {
        let signed = link.certificate.tbs_der().to_bytes();
        // Outer header, signed part, algorithm, header and unused bits of the BIT STRING.
        let signature = &der[4 + signed.len() + 12 + 3..];
        key_of(issuer)
            .verify(&signed, &Signature::from_der(signature).unwrap())
            .is_ok()
    }

    #[test]
    fn every_signature_of_a_default_document_holds() {
        let recipe = DocumentRecipe::new(&DevelopmentAuthority::insecure_fixed(), NOW);
        let Minted {
            document,
            payload,
            chain,
        } = recipe.mint_parts();
        let ChainRecipe {
            root,
            region,
            zone,
            instance,
            leaf,
            ..
        } = &recipe.chain;
        let [root_der, region_der, zone_der, instance_der] = chain.cabundle.as_slice() else {
            panic!("{} authorities", chain.cabundle.len());
        };
        assert!(is_signed_by(root, root, root_der));
        assert!(is_signed_by(root, region, region_der));
        assert!(is_signed_by(region, zone, zone_der));
        assert!(is_signed_by(zone, instance, instance_der));
        assert!(is_signed_by(instance, leaf, &chain.leaf));

        let signed = Cbor::Array(vec![
            Cbor::text("Signature1"),
            Cbor::Bytes(vec![0xa1, 0x01, 0x38, 0x22]),
            Cbor::Bytes(Vec::new()),
            Cbor::Bytes(payload),
        ]);
        let signature = Signature::from_slice(&document[document.len() - 96..]).unwrap();
        key_of(leaf).verify(&signed.to_bytes(), &signature).unwrap();
    }

    #[test]
    fn a_changed_field_is_signed_too_and_names_still_meet() {
        let mut recipe = DocumentRecipe::new(&DevelopmentAuthority::insecure_fixed(), NOW);
        recipe
            .chain
            .zone
            .certificate
            .set_extension(crate::mock::mint::Extension::authority(None));
        recipe.chain.insert_authority("one.more", Some(0));
        let chain = recipe.chain.mint();
        let ChainRecipe {
            region,
            zone,
            instance,
            extra,
            leaf,
            ..
        } = &recipe.chain;
        assert!(is_signed_by(region, zone, &chain.cabundle[2]));
        assert_eq!(chain.cabundle.len(), 5);
        assert!(is_signed_by(instance, &extra[0], &chain.cabundle[4]));
        assert!(is_signed_by(&extra[0], leaf, &chain.leaf));
        assert_eq!(extra[0].certificate.issuer, instance.certificate.subject);
        assert_eq!(leaf.certificate.issuer, extra[0].certificate.subject);
    }

    #[test]
    fn the_same_recipe_gives_the_same_bytes() {
        let mint = || DocumentRecipe::new(&DevelopmentAuthority::insecure_fixed(), NOW).mint();
        assert!(mint() == mint());
    }
}
