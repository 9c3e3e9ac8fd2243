//! Policy files. Signatures are checked before a file is parsed, but reviewers lint files that
//! nobody has signed yet, and a reviewer's machine is worth as much as an enclave.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_policy::{Bundle, PersonKey, Release, Stop, UnixMillis, VerifierKey, lint};

fuzz_target!(|data: &[u8]| {
    let _ = Bundle::parse_unverified(data);
    let _ = lint(data, UnixMillis(1_767_225_600_000));
    let _ = Release::parse_unverified(data);
    let _ = Stop::parse_unverified(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = PersonKey::parse(text);
        let _ = VerifierKey::parse(text);
    }
});
