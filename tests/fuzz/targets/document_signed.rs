//! The same behind a signature that holds: the input is the payload, signed by a genuine mock leaf.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use narthex_fuzz::{NOW, development_anchors, example_document};
use narthex_nsm::mock::mint::{EnvelopeRecipe, Minted};
use narthex_verifier::{AttestationDocument, Digest384, Expectations, VerificationContext};

static MINTED: LazyLock<Minted> = LazyLock::new(|| example_document().mint_parts());

fuzz_target!(|payload: &[u8]| {
    let document = EnvelopeRecipe::new().seal(payload, &MINTED.chain.leaf_key);
    let Ok(parsed) = AttestationDocument::parse(&document) else {
        return;
    };
    let mut context = VerificationContext::default();
    let Ok(verified) = development_anchors().verify(&parsed, NOW, &mut context) else {
        return;
    };
    let zero = Digest384::new([1; 48]);
    let expectations = Expectations::builder()
        .image(zero, zero, zero)
        .build()
        .expect("not empty");
    // The image expected is one that no seed has: whatever was changed, it is never accepted.
    assert!(expectations.appraise(&verified, NOW).is_err());
});
