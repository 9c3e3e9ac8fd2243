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
