//! Who may read the log: tickets, each with one defect, and the header they travel in.

use super::ledger::{logged_text, policy_of};
use super::world::*;
use crate::*;

pub(super) fn ticket() -> ReaderTicket {
    ReaderTicket {
        origin: "example.com/payments".into(),
        reader: PersonName::new("carol").unwrap(),
        expires: at(HOUR),
    }
}

fn signed_ticket(text: &str, who: &str) -> SignedTicket {
    SignedTicket {
        bytes: text.as_bytes().to_vec(),
        signature: key(who).sign(Namespace::ReadLog, text.as_bytes()).unwrap(),
    }
}

fn read_as(ticket: &SignedTicket) -> Result<AuthorisedReader, Refusal> {
    policy_of(&logged_text()).authorise_reader(ticket, "example.com/payments", NOW)
}

fn with_ticket(
    who: &str,
    change: impl FnOnce(&mut ReaderTicket),
) -> Result<AuthorisedReader, Refusal> {
    let mut ticket = ticket();
    change(&mut ticket);
    read_as(&signed_ticket(&ticket.to_toml().unwrap(), who))
}

#[test]
fn a_good_ticket() {
    let text = ticket().to_toml().unwrap();
    assert_eq!(
        text,
        format!(
            "schema = \"narthex/log-reader/v1\"\norigin = \"example.com/payments\"\n\
             reader = \"carol\"\nexpires = {}\n",
            at(HOUR)
        )
    );
    assert_eq!(
        ReaderTicket::parse_unverified(text.as_bytes()),
        Ok(ticket())
    );
    let reader = read_as(&signed_ticket(&text, "carol")).unwrap();
    assert_eq!(reader.reader().person.as_str(), "carol");
    assert_eq!(reader.expires(), at(HOUR));
}

#[test]
fn tickets_each_with_one_defect() {
    let good = ticket().to_toml().unwrap();
    // Another purpose, another signer, a stranger, other bytes.
    let by = |namespace| SignedTicket {
        signature: key("carol").sign(namespace, good.as_bytes()).unwrap(),
        ..signed_ticket(&good, "carol")
    };
    for namespace in Namespace::ALL
        .iter()
        .filter(|known| **known != Namespace::ReadLog)
    {
        refused(read_as(&by(*namespace)), Reason::SignatureNamespace);
    }
    refused(
        read_as(&signed_ticket(&good, "rita")),
        Reason::TicketNotReader,
    );
    refused(
        read_as(&signed_ticket(&good, "mallory")),
        Reason::SignatureUnknownSigner,
    );
    let longer = SignedTicket {
        bytes: good.replace("carol", "rita").into_bytes(),
        ..signed_ticket(&good, "carol")
    };
    refused(read_as(&longer), Reason::SignatureInvalid);
    // Known, and no reader.
    refused(
        with_ticket("olga", |ticket| {
            ticket.reader = PersonName::new("olga").unwrap()
        }),
        Reason::TicketNotReader,
    );
    // Another log, one of the same beginning among them.
    for origin in [
        "example.com/search",
        "example.com/payments-2",
        "example.com",
    ] {
        refused(
            with_ticket("carol", |ticket| ticket.origin = origin.into()),
            Reason::TicketOrigin,
        );
    }
    // Over, or too long; with the skew of people's clocks.
    let until = |expires| with_ticket("carol", |ticket| ticket.expires = expires);
    until(UnixMillis(NOW.0 + 1)).unwrap();
    refused(until(NOW), Reason::TicketExpired);
    until(at(12 * HOUR + MINUTE)).unwrap();
    refused(
        until(UnixMillis(at(12 * HOUR + MINUTE).0 + 1)),
        Reason::TicketLifetime,
    );
    // What does not parse.
    for (from, to, reason) in [
        ("log-reader/v1", "log-reader/v2", Reason::FileSchema),
        (
            "reader = \"carol\"",
            "reader = \"Carol\"",
            Reason::NameMalformed,
        ),
        (
            "reader = \"carol\"",
            "reader = \"carol\"\nx = 1",
            Reason::FileMalformed,
        ),
        ("example.com/payments", "", Reason::TicketMalformed),
        ("example.com/payments", "a b", Reason::TicketMalformed),
        ("expires", "issued", Reason::FileMalformed),
    ] {
        refused(
            read_as(&signed_ticket(&with(&good, from, to), "carol")),
            reason,
        );
    }
    let huge = format!("{good}{}", "#".repeat(limits::MAX_TICKET_BYTES));
    refused(
        read_as(&signed_ticket(&huge, "carol")),
        Reason::FileTooLarge,
    );
    let origin = |origin: &str| {
        let origin = origin.to_owned();
        ReaderTicket { origin, ..ticket() }.to_toml()
    };
    refused(origin("a\"\nreader = \"rita"), Reason::TicketMalformed);
    refused(origin(&"x".repeat(129)), Reason::TicketMalformed);
}

#[test]
fn who_is_stopped_reads_no_more() {
    let mut policy = policy_of(&logged_text());
    let ticket = signed_ticket(&ticket().to_toml().unwrap(), "carol");
    let read = |policy: &Policy| policy.authorise_reader(&ticket, "example.com/payments", NOW);
    read(&policy).unwrap();
    policy
        .add_stop(&stop_file("people = [\"carol\"]"), NOW)
        .unwrap();
    refused(read(&policy), Reason::PersonStopped);
}

/// Looking goes on under an expired bundle; a log that is everybody's is everybody's with a ticket
/// too; where there is no log, nobody reads it.
#[test]
fn reading_and_the_bundle() {
    let policy = policy_of(&logged_text());
    let late = policy.bundle().expires;
    let text = ReaderTicket {
        expires: UnixMillis(late.0 + HOUR),
        ..ticket()
    };
    let text = text.to_toml().unwrap();
    policy
        .authorise_reader(&signed_ticket(&text, "carol"), "example.com/payments", late)
        .unwrap();

    let text = ReaderTicket {
        reader: PersonName::new("olga").unwrap(),
        ..ticket()
    };
    let by_olga = signed_ticket(&text.to_toml().unwrap(), "olga");
    let public = with(
        &logged_text(),
        "quorum = 2",
        "quorum = 2\nanyone_may_read = true",
    );
    let read = |text: &str| policy_of(text).authorise_reader(&by_olga, "example.com/payments", NOW);
    read(&public).unwrap();
    refused(read(&logged_text()), Reason::TicketNotReader);
    refused(read(&genesis_text()), Reason::TicketNotReader);
}

#[test]
fn a_ticket_travels_in_a_header() {
    let signed = signed_ticket(&ticket().to_toml().unwrap(), "carol");
    let header = signed.to_header();
    assert!(header.starts_with("Narthex "));
    assert!(
        header
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ')
    );
    assert_eq!(SignedTicket::from_header(&header), Ok(signed.clone()));
    let lower = header.replace("Narthex", "narthex");
    assert_eq!(SignedTicket::from_header(&lower), Ok(signed.clone()));
    read_as(&SignedTicket::from_header(&header).unwrap()).unwrap();

    let encoded = |text: &str| {
        use base64ct::Encoding as _;
        format!(
            "Narthex {}",
            base64ct::Base64::encode_string(text.as_bytes())
        )
    };
    let SignedTicket { bytes, signature } = &signed;
    let bytes = std::str::from_utf8(bytes).unwrap();
    for wrong in [
        String::new(),
        "Narthex".into(),
        "Narthex ".into(),
        header.replace("Narthex", "Bearer"),
        header.replace("Narthex ", ""),
        header.replace("Narthex ", "Narthex  "),
        format!("{header}="),
        format!("{header} "),
        encoded(bytes),
        encoded(signature),
        encoded(&format!(
            "{bytes}{}",
            signature.replace("-----END", "-----")
        )),
        encoded(&format!("{bytes}{signature}{bytes}")),
        format!("Narthex {}", "A".repeat(limits::MAX_TICKET_HEADER_BYTES)),
    ] {
        refused(SignedTicket::from_header(&wrong), Reason::TicketMalformed);
    }
    // Not UTF-8 inside.
    refused(
        SignedTicket::from_header("Narthex /////w=="),
        Reason::TicketMalformed,
    );
    // Every cut and every changed character is refused, or is no ticket for anybody.
    for at in 0..header.len() {
        let (cut, _) = header.split_at(at);
        if let Ok(cut) = SignedTicket::from_header(cut) {
            assert!(read_as(&cut).is_err(), "cut at {at}");
        }
    }
    for at in (0..header.len()).step_by(7) {
        let mut changed = header.clone().into_bytes();
        changed[at] = if changed[at] == b'B' { b'C' } else { b'B' };
        let changed = String::from_utf8(changed).unwrap();
        if let Ok(ticket) = SignedTicket::from_header(&changed) {
            assert!(
                read_as(&ticket).is_err() || ticket == signed,
                "changed at {at}"
            );
        }
    }
}
