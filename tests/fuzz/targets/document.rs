//! An attestation document from anybody: every step up to the refusal, with a cold and a warm cache.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_fuzz::{NOW, development_anchors};
use narthex_verifier::{AttestationDocument, VerificationContext};

fuzz_target!(|data: &[u8]| {
    let Ok(parsed) = AttestationDocument::parse(data) else {
        return;
    };
    // Reading every field of an untrusted document must be as safe as parsing it.
    let fields = parsed.fields();
    let _ = (
        fields.module_id(),
        fields.instance_id(),
        fields.timestamp(),
        fields.pcrs().count(),
    );
    let _ = development_anchors().verify(&parsed, NOW, &mut VerificationContext::default());
});
