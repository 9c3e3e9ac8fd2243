//! What a gate or a fetcher may say to the supervisor, both hostile; and what a parent hears of a boot.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_agent::init::status::BootStatus;
use narthex_agent::ipc::{FromFetcher, FromGate, decode, encode};

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = decode::<FromGate>(data) {
        assert_eq!(encode(&message), data);
    }
    if let Ok(message) = decode::<FromFetcher>(data) {
        assert_eq!(encode(&message), data);
    }
    if let Some(status) = BootStatus::decode(data) {
        assert_eq!(status.encode(), data);
    }
});
