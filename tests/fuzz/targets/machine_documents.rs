//! What a virtual machine's NSM may send to be signed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_nsm::mock::ManualClock;
use narthex_nsm::mock::machine::{MachineSigner, UnsignedDocument};
use narthex_nsm::mock::mint::DevelopmentAuthority;

thread_local! {
    static SIGNER: MachineSigner =
        MachineSigner::new(DevelopmentAuthority::insecure_fixed(), ManualClock::new(1_785_785_775_857));
}

fuzz_target!(|data: &[u8]| {
    let parsed = UnsignedDocument::parse(data);
    SIGNER.with(|signer| match signer.sign(data) {
        Ok(document) => {
            assert!(document.len() <= narthex_nsm::MAX_RESPONSE_BYTES);
            // What was signed is what was read, and never what is read as unsigned again.
            let said = parsed.expect("only what is read is signed");
            let module_id = narthex_nsm::own_document::module_id(&document).expect("a document");
            assert_eq!(module_id, said.identity.module_id());
            assert!(UnsignedDocument::parse(&document).is_err());
        }
        Err(_) => assert!(parsed.is_err()),
    });
});
