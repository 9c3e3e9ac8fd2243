//! The table of sessions the supervisor attested. Bounded; what is not in it does not exist.

use std::collections::BTreeMap;

use narthex_channel::{Digest384, HandshakeHash};

use crate::rate::Bucket;
use crate::trusted_time::BootMillis;

/// Calls a session may attempt per minute, right or wrong: each costs the supervisor signature checks.
const ATTEMPTS_PER_MINUTE: u32 = 240;

/// One attested session.
#[derive(Clone, Debug)]
pub struct Session {
    handshake_hash: HandshakeHash,
    attempts: Bucket,
    attested: Option<Attested>,
}

/// What was attested for a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attested {
    /// The digest in the document's `user_data`.
    pub binding: Digest384,
    /// SHA-384 of the document.
    pub document: Digest384,
    /// The document's length in bytes.
    pub document_bytes: u64,
    /// The document's timestamp.
    pub timestamp: narthex_channel::UnixMillis,
}

impl Session {
    /// The handshake hash that was attested.
    pub fn handshake_hash(&self) -> &HandshakeHash {
        &self.handshake_hash
    }

    /// What was attested, once the document is made.
    pub fn attested(&self) -> Option<&Attested> {
        self.attested.as_ref()
    }
}

/// Why the table refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionRefusal {
    /// No session with this number was attested.
    Unknown,
    /// The gate used the number of a session that is open.
    NumberInUse,
    /// The gate presented a handshake hash that was attested before.
    HashRepeated,
    /// As many sessions as there may be are open.
    TableFull,
    /// Too many sessions were opened in this minute.
    TooManySessions,
    /// The session attempted too many calls in this minute.
    TooManyCalls,
    /// The session has no document yet.
    NotAttested,
    /// The NSM gave no document.
    NsmFailed,
}

impl SessionRefusal {
    /// Stable text.
    pub fn id(self) -> &'static str {
        match self {
            Self::Unknown => "session.unknown",
            Self::NumberInUse => "session.number_in_use",
            Self::HashRepeated => "session.hash_repeated",
            Self::TableFull => "session.table_full",
            Self::TooManySessions => "session.too_many_sessions",
            Self::TooManyCalls => "session.too_many_calls",
            Self::NotAttested => "session.not_attested",
            Self::NsmFailed => "session.nsm_failed",
        }
    }
}

/// The table.
#[derive(Debug)]
pub struct Sessions {
    max_sessions: usize,
    openings: Bucket,
    sessions: BTreeMap<u32, Session>,
}

impl Sessions {
    /// An empty table for `max_sessions` at once, opened at most `per_minute` times a minute.
    pub fn new(max_sessions: usize, per_minute: u32, now: BootMillis) -> Self {
        Self {
            max_sessions,
            openings: Bucket::full(per_minute, now),
            sessions: BTreeMap::new(),
        }
    }

    /// Enters a session that is to be attested.
    ///
    /// # Errors
    ///
    /// [`SessionRefusal`].
    pub fn open(
        &mut self,
        connection: u32,
        handshake_hash: HandshakeHash,
        now: BootMillis,
    ) -> Result<(), SessionRefusal> {
        if self.sessions.contains_key(&connection) {
            return Err(SessionRefusal::NumberInUse);
        }
        // Two honest handshakes never share a hash. Were one hash in the table twice, a call could be
        // presented in either session.
        if self
            .sessions
            .values()
            .any(|session| session.handshake_hash == handshake_hash)
        {
            return Err(SessionRefusal::HashRepeated);
        }
        if self.sessions.len() >= self.max_sessions {
            return Err(SessionRefusal::TableFull);
        }
        if !self.openings.take(now) {
            return Err(SessionRefusal::TooManySessions);
        }
        let attempts = Bucket::full(ATTEMPTS_PER_MINUTE, now);
        self.sessions.insert(
            connection,
            Session {
                handshake_hash,
                attempts,
                attested: None,
            },
        );
        Ok(())
    }

    /// Notes what was attested for the session with this handshake hash.
    ///
    /// # Errors
    ///
    /// [`SessionRefusal::Unknown`] when the session ended meanwhile, also when the gate gave its number to
    /// another since: that one has not been attested.
    pub fn attest(
        &mut self,
        connection: u32,
        handshake_hash: &HandshakeHash,
        attested: Attested,
    ) -> Result<(), SessionRefusal> {
        let session = self
            .sessions
            .get_mut(&connection)
            .filter(|session| session.handshake_hash == *handshake_hash)
            .ok_or(SessionRefusal::Unknown)?;
        session.attested = Some(attested);
        Ok(())
    }

    /// The session on `connection`, for one attempted call.
    ///
    /// # Errors
    ///
    /// [`SessionRefusal`].
    pub fn attempt(
        &mut self,
        connection: u32,
        now: BootMillis,
    ) -> Result<&Session, SessionRefusal> {
        let session = self
            .sessions
            .get_mut(&connection)
            .ok_or(SessionRefusal::Unknown)?;
        if session.attested.is_none() {
            return Err(SessionRefusal::NotAttested);
        }
        if !session.attempts.take(now) {
            return Err(SessionRefusal::TooManyCalls);
        }
        Ok(session)
    }

    /// The session on `connection`.
    pub fn get(&self, connection: u32) -> Option<&Session> {
        self.sessions.get(&connection)
    }

    /// Forgets a session whose document could not be made, unless its number is another's by now.
    pub fn abandon(&mut self, connection: u32, handshake_hash: &HandshakeHash) {
        if self
            .get(connection)
            .is_some_and(|session| session.handshake_hash == *handshake_hash)
        {
            self.close(connection);
        }
    }

    /// Forgets a session.
    pub fn close(&mut self, connection: u32) {
        self.sessions.remove(&connection);
    }

    /// Forgets all sessions: their gate is gone.
    pub fn close_all(&mut self) {
        self.sessions.clear();
    }

    /// Sessions open now.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: BootMillis = BootMillis(0);

    fn hash(byte: u8) -> HandshakeHash {
        HandshakeHash::from_bytes([byte; 32])
    }

    fn attested() -> Attested {
        Attested {
            binding: Digest384::ZERO,
            document: Digest384::ZERO,
            document_bytes: 0,
            timestamp: narthex_channel::UnixMillis(0),
        }
    }

    #[test]
    fn a_session_is_known_once_attested() {
        let mut sessions = Sessions::new(2, 10, NOW);
        assert_eq!(
            sessions.attempt(1, NOW).unwrap_err(),
            SessionRefusal::Unknown
        );
        sessions.open(1, hash(1), NOW).unwrap();
        assert_eq!(
            sessions.attempt(1, NOW).unwrap_err(),
            SessionRefusal::NotAttested
        );
        sessions.attest(1, &hash(1), attested()).unwrap();
        assert_eq!(sessions.attempt(1, NOW).unwrap().handshake_hash(), &hash(1));
        sessions.close(1);
        assert_eq!(
            sessions.attempt(1, NOW).unwrap_err(),
            SessionRefusal::Unknown
        );
        assert_eq!(
            sessions.attest(1, &hash(1), attested()),
            Err(SessionRefusal::Unknown)
        );
    }

    #[test]
    fn numbers_and_hashes_are_not_shared() {
        let mut sessions = Sessions::new(4, 10, NOW);
        sessions.open(1, hash(1), NOW).unwrap();
        assert_eq!(
            sessions.open(1, hash(2), NOW),
            Err(SessionRefusal::NumberInUse)
        );
        assert_eq!(
            sessions.open(2, hash(1), NOW),
            Err(SessionRefusal::HashRepeated)
        );
    }

    #[test]
    fn the_table_is_bounded_in_size_and_rate() {
        let mut sessions = Sessions::new(1, 2, NOW);
        sessions.open(1, hash(1), NOW).unwrap();
        assert_eq!(
            sessions.open(2, hash(2), NOW),
            Err(SessionRefusal::TableFull)
        );
        sessions.close_all();
        sessions.open(2, hash(2), NOW).unwrap();
        sessions.close_all();
        assert_eq!(
            sessions.open(3, hash(3), NOW),
            Err(SessionRefusal::TooManySessions)
        );
        sessions.open(3, hash(3), BootMillis(30_000)).unwrap();
    }

    #[test]
    fn attempts_are_limited() {
        let mut sessions = Sessions::new(1, 2, NOW);
        sessions.open(1, hash(1), NOW).unwrap();
        sessions.attest(1, &hash(1), attested()).unwrap();
        for _ in 0..ATTEMPTS_PER_MINUTE {
            sessions.attempt(1, NOW).unwrap();
        }
        assert_eq!(
            sessions.attempt(1, NOW).unwrap_err(),
            SessionRefusal::TooManyCalls
        );
    }
}
