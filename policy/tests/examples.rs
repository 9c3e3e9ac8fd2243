//! The files in README.md are complete: each is read by the code that reads real ones.

use narthex_policy::{
    ADMINISTRATION_ORDER_SCHEMA, AdministrationOrder, BUNDLE_SCHEMA, Bundle, Order,
    READ_ORDER_SCHEMA, READER_TICKET_SCHEMA, RELEASE_SCHEMA, ReaderTicket, Release, STOP_SCHEMA,
    Stop, WRITE_ORDER_SCHEMA,
};

const README: &str = include_str!("../README.md");

fn example(schema: &str) -> Option<&'static [u8]> {
    let opening = format!("schema = {schema:?}");
    README
        .split("```")
        .find_map(|block| {
            block
                .strip_prefix("toml\n")
                .filter(|text| text.starts_with(&opening))
        })
        .map(str::as_bytes)
}

#[test]
fn statements_parse() {
    let bundle = Bundle::parse_unverified(example(BUNDLE_SCHEMA).unwrap()).unwrap();
    assert_eq!((bundle.people.len(), bundle.keys.len()), (4, 1));
    let ledger = bundle.ledger.unwrap();
    assert_eq!((ledger.witnesses.len(), ledger.previous.len()), (3, 1));
    let release = Release::parse_unverified(example(RELEASE_SCHEMA).unwrap()).unwrap();
    let written = Release::parse_unverified(release.to_toml().as_bytes()).unwrap();
    assert_eq!(
        Release {
            digest: release.digest,
            ..written
        },
        release
    );
    let stop = Stop::parse_unverified(example(STOP_SCHEMA).unwrap()).unwrap();
    let written = Stop::parse_unverified(stop.to_toml().as_bytes()).unwrap();
    assert_eq!(
        Stop {
            digest: stop.digest,
            ..written
        },
        stop
    );
}

#[test]
fn orders_parse_and_are_written_as_they_are_read() {
    for schema in [READ_ORDER_SCHEMA, WRITE_ORDER_SCHEMA] {
        let order = Order::parse_unverified(example(schema).unwrap()).unwrap();
        assert_eq!(
            Order::parse_unverified(order.to_toml().as_bytes()),
            Ok(order)
        );
    }
    let order =
        AdministrationOrder::parse_unverified(example(ADMINISTRATION_ORDER_SCHEMA).unwrap())
            .unwrap();
    assert_eq!(
        AdministrationOrder::parse_unverified(order.to_toml().as_bytes()),
        Ok(order)
    );
}

#[test]
fn tickets_parse_and_are_written_as_they_are_read() {
    let ticket = ReaderTicket::parse_unverified(example(READER_TICKET_SCHEMA).unwrap()).unwrap();
    let written = ticket.to_toml().unwrap();
    assert_eq!(
        ReaderTicket::parse_unverified(written.as_bytes()),
        Ok(ticket)
    );
}
