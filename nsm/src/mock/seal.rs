//! The signature under a payload, right or, when a test asks for it, wrong.

use super::fault::Misbehaviour;
use super::mint::{Chain, EnvelopeRecipe, KeyPair, PayloadRecipe, SignatureRecipe};

/// The document with this payload, signed with the chain's leaf.
pub(super) fn seal(payload: &PayloadRecipe, chain: &Chain, misbehaviour: &Misbehaviour) -> Vec<u8> {
    let mut envelope = EnvelopeRecipe::new();
    if misbehaviour.wrong_key {
        envelope.signature =
            SignatureRecipe::By(KeyPair::insecure_from_seed(b"not the key of any leaf"));
    }
    envelope.seal(&payload.encode(chain), &chain.leaf_key)
}
