//! Who may read the log under the bundle in force.

use super::Policy;
use crate::bundle::CLOCK_SKEW;
use crate::file::{check_size, limits};
use crate::reason::{Reason, Refusal};
use crate::signature::{Namespace, Signer, check_signature};
use crate::ticket::{MAX_READER_TICKET_LIFETIME, ReaderTicket, SignedTicket};
use crate::time::UnixMillis;

/// Proof that somebody may read the log until their ticket expires. Only
/// [`Policy::authorise_reader`] makes it. Stops and successors change who may read, so a server
/// asks again for every connection.
#[derive(Debug)]
pub struct AuthorisedReader {
    reader: Signer,
    expires: UnixMillis,
}

impl Policy {
    /// Decides whether the bearer of a ticket may read the log with this origin. Goes on under an
    /// expired bundle, as all reading does. A log that everybody may read
    /// ([`Ledger::anyone_may_read`](crate::Ledger::anyone_may_read)) needs no ticket.
    ///
    /// # Errors
    ///
    /// `ticket.*`, `signature.*`, `file.*`, `name.*`, `time.*`, [`Reason::PersonStopped`].
    pub fn authorise_reader(
        &self,
        ticket: &SignedTicket,
        origin: &str,
        now: UnixMillis,
    ) -> Result<AuthorisedReader, Refusal> {
        let SignedTicket { bytes, signature } = ticket;
        check_size(bytes, limits::MAX_TICKET_BYTES)?;
        let signer = check_signature(signature, Namespace::ReadLog, bytes, &self.bundle.people)?;
        self.check_not_stopped(&signer)?;
        let ReaderTicket {
            origin: named,
            reader,
            expires,
        } = ReaderTicket::parse_unverified(bytes)?;
        if reader != signer.person {
            return Err(Refusal::new(
                Reason::TicketNotReader,
                format!("the ticket is for {reader}, {} signed", signer.person),
            ));
        }
        if named != origin {
            return Err(Refusal::new(
                Reason::TicketOrigin,
                format!("the ticket is for the log {named}, this is {origin}"),
            ));
        }
        if now >= expires {
            return Err(Refusal::new(
                Reason::TicketExpired,
                format!("the ticket expired at {expires}; make a new one"),
            ));
        }
        let latest = now
            .saturating_add(MAX_READER_TICKET_LIFETIME)
            .saturating_add(CLOCK_SKEW);
        if expires > latest {
            return Err(Refusal::new(
                Reason::TicketLifetime,
                format!("the ticket would be valid until {expires}: at most 12h from now"),
            ));
        }
        let listed = self
            .bundle
            .ledger
            .as_ref()
            .is_some_and(|ledger| ledger.anyone_may_read || ledger.readers.contains(&reader));
        if !listed {
            return Err(Refusal::new(
                Reason::TicketNotReader,
                format!(
                    "{reader} is not among the readers of bundle {}",
                    self.bundle.version
                ),
            ));
        }
        Ok(AuthorisedReader {
            reader: signer,
            expires,
        })
    }
}

impl AuthorisedReader {
    /// Who reads.
    pub fn reader(&self) -> &Signer {
        &self.reader
    }

    /// From when on the ticket is of no use.
    pub fn expires(&self) -> UnixMillis {
        self.expires
    }
}
