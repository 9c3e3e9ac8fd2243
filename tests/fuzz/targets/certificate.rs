//! One certificate, as the chain reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = narthex_verifier::internals::parse_certificate(data);
    let _ = narthex_verifier::TrustAnchors::from_root_certificate(data);
});
