//! What a gate or a fetcher may say to the supervisor, both hostile.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_agent::ipc::{FromFetcher, FromGate, decode, encode};

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = decode::<FromGate>(data) {
        assert_eq!(encode(&message), data);
    }
    if let Ok(message) = decode::<FromFetcher>(data) {
        assert_eq!(encode(&message), data);
    }
});
