//! Orders, administration orders and calls. An accepted call must encode to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_policy::{AdministrationOrder, Call, Order};

fuzz_target!(|data: &[u8]| {
    let _ = Order::parse_unverified(data);
    let _ = AdministrationOrder::parse_unverified(data);
    if let Ok(call) = Call::decode(data) {
        assert_eq!(call.encode(), data);
    }
});
