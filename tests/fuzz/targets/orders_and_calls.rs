//! Orders, administration orders, calls, and tickets for the log with their header. An accepted call
//! must encode to the same bytes, and an accepted ticket travels in a header that is read alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_policy::{AdministrationOrder, Call, Order, ReaderTicket, SignedTicket};

fuzz_target!(|data: &[u8]| {
    let _ = Order::parse_unverified(data);
    let _ = AdministrationOrder::parse_unverified(data);
    if let Ok(call) = Call::decode(data) {
        assert_eq!(call.encode(), data);
    }
    if let Ok(ticket) = ReaderTicket::parse_unverified(data) {
        let written = ticket.to_toml().expect("what was read can be written");
        assert_eq!(
            ReaderTicket::parse_unverified(written.as_bytes()),
            Ok(ticket)
        );
    }
    let header = std::str::from_utf8(data).map(SignedTicket::from_header);
    if let Ok(Ok(ticket)) = header {
        let again = ticket.to_header();
        assert_eq!(SignedTicket::from_header(&again), Ok(ticket));
    }
});
