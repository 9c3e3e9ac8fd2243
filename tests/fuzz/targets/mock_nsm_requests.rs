//! Requests to the mock NSM, several in a row against one module.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_nsm::mock::mint::DevelopmentAuthority;
use narthex_nsm::mock::{MockConfig, MockNsm};

thread_local! {
    static MODULE: MockNsm = MockNsm::new(DevelopmentAuthority::insecure_fixed(), MockConfig::example());
}

fuzz_target!(|data: &[u8]| {
    MODULE.with(|module| {
        module.restart();
        for request in data.split(|&byte| byte == 0xff).take(8) {
            let response = module.exchange_bytes(request);
            assert!(response.len() <= narthex_nsm::MAX_RESPONSE_BYTES);
        }
    });
});
