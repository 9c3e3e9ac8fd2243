//! The agent's reader of its own documents: tolerant, but never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = narthex_nsm::own_document::timestamp(data);
    let _ = narthex_nsm::own_document::module_id(data);
});
