//! Tickets of people who read the log over HTTP.
//!
//! A ticket is a few lines of TOML with the reader's signature (`read-log@narthex`). It lets its
//! bearer read for some hours, and nothing else; so it can stand in an `Authorization` header, and
//! whoever steals it learns what the reader may learn, until it expires.

use core::time::Duration;

use base64ct::{Base64, Encoding as _};
use serde::Deserialize;
use toml::value::Datetime;

use crate::file::{limits, parse_toml};
use crate::names::PersonName;
use crate::reason::{Reason, Refusal};
use crate::signature::{BEGIN, END};
use crate::time::UnixMillis;
use crate::verifier_key::is_key_name;

/// `schema` of a ticket.
pub const READER_TICKET_SCHEMA: &str = "narthex/log-reader/v1";
/// Longest time for which a ticket may still be valid: one shift.
pub const MAX_READER_TICKET_LIFETIME: Duration = Duration::from_secs(12 * 3600);

/// The scheme of the `Authorization` header.
const SCHEME: &str = "Narthex";

/// Who wants to read which log, until when. Says nothing about trust until authorised.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReaderTicket {
    /// The log's origin.
    pub origin: String,
    /// Who reads, and signs.
    pub reader: PersonName,
    /// First moment at which it is of no use any more.
    pub expires: UnixMillis,
}

/// A ticket with the reader's signature over its exact bytes. Says nothing about trust: see
/// [`Policy::authorise_reader`](crate::Policy::authorise_reader).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedTicket {
    /// The ticket, exactly as signed.
    pub bytes: Vec<u8>,
    /// The armoured signature, namespace `read-log@narthex`.
    pub signature: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TicketText {
    #[serde(rename = "schema")]
    _schema: String,
    origin: String,
    reader: String,
    expires: Datetime,
}

impl ReaderTicket {
    /// Reads a ticket. This says nothing about who signed it.
    ///
    /// # Errors
    ///
    /// `file.*`, `name.*`, `time.*`; [`Reason::TicketMalformed`] for an origin that no log can have.
    pub fn parse_unverified(bytes: &[u8]) -> Result<Self, Refusal> {
        let TicketText {
            _schema,
            origin,
            reader,
            expires,
        } = parse_toml(bytes, limits::MAX_TICKET_BYTES, READER_TICKET_SCHEMA)?;
        check_origin(&origin)?;
        Ok(Self {
            origin,
            reader: PersonName::new(&reader)?,
            expires: UnixMillis::from_toml(&expires)?,
        })
    }

    /// Writes the ticket as the TOML that [`ReaderTicket::parse_unverified`] reads; this is what
    /// gets signed.
    ///
    /// # Errors
    ///
    /// [`Reason::TicketMalformed`] for an origin that no log can have.
    pub fn to_toml(&self) -> Result<String, Refusal> {
        let Self {
            origin,
            reader,
            expires,
        } = self;
        check_origin(origin)?;
        Ok(format!(
            "schema = \"{READER_TICKET_SCHEMA}\"\norigin = \"{origin}\"\nreader = \"{reader}\"\n\
             expires = {expires}\n"
        ))
    }
}

/// Origins are names of verifier keys; none needs an escape in TOML.
fn check_origin(origin: &str) -> Result<(), Refusal> {
    if !is_key_name(origin) {
        return Err(Refusal::new(
            Reason::TicketMalformed,
            format!("{origin:?} is not the origin of a log"),
        ));
    }
    Ok(())
}

impl SignedTicket {
    /// The value of an `Authorization` header: `Narthex`, a space, and ticket and signature, one
    /// after the other, in base64.
    pub fn to_header(&self) -> String {
        let both = [self.bytes.as_slice(), self.signature.as_bytes()].concat();
        format!("{SCHEME} {}", Base64::encode_string(&both))
    }

    /// Reads the value of an `Authorization` header.
    ///
    /// # Errors
    ///
    /// [`Reason::TicketMalformed`] for any other value, and for a longer one than a ticket needs.
    pub fn from_header(value: &str) -> Result<Self, Refusal> {
        let refuse = || {
            Refusal::new(
                Reason::TicketMalformed,
                "not the word Narthex and a signed ticket in base64 (narthex log ticket makes it)",
            )
        };
        if value.len() > limits::MAX_TICKET_HEADER_BYTES {
            return Err(refuse());
        }
        let (scheme, encoded) = value.split_once(' ').ok_or_else(refuse)?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(refuse());
        }
        let both = Base64::decode_vec(encoded).map_err(|_| refuse())?;
        let both = String::from_utf8(both).map_err(|_| refuse())?;
        // The signature begins with its first line; no ticket holds such a line.
        let (ticket, signature) = both
            .find(BEGIN)
            .and_then(|at| both.split_at_checked(at))
            .ok_or_else(refuse)?;
        if ticket.is_empty() || !signature.trim_ascii_end().ends_with(END) {
            return Err(refuse());
        }
        Ok(Self {
            bytes: ticket.as_bytes().to_vec(),
            signature: signature.to_owned(),
        })
    }
}
