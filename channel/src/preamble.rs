//! The first frame of a connection, in the clear: which protocol, version and use; and the refusal
//! that answers one which is not spoken here.
//!
//! The preamble is the prologue of the Noise handshake, so both ends have the same one or no
//! session. Somebody in between can still forge a refusal; it names older versions at most, and
//! [`Preamble::newest`] lets a responder see that the initiator speaks newer ones and refuse the
//! downgrade.

use core::fmt;

use crate::closed::closed;
use crate::error::ChannelError;
use crate::limits;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ProtocolVersion(pub u16);

impl ProtocolVersion {
    /// The newest version that this program speaks.
    pub const NEWEST: Self = Self(1);

    /// The oldest version that this program speaks: the one before the newest, where there is one.
    pub const OLDEST: Self = Self(1);
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The versions that one end speaks: newest and the one before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Spoken {
    pub(crate) newest: ProtocolVersion,
    pub(crate) oldest: ProtocolVersion,
}

impl Spoken {
    pub(crate) const HERE: Self = Self {
        newest: ProtocolVersion::NEWEST,
        oldest: ProtocolVersion::OLDEST,
    };

    pub(crate) fn contains(self, version: ProtocolVersion) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }
}

closed! {
    /// What a session is for.
    pub enum Use {
        /// Operator to agent; Noise NN.
        Diagnostics = 1, "diagnostics";
        /// Agent to key service; Noise NK.
        Keys = 2, "keys";
        /// Person to key service; Noise NK.
        Administration = 3, "administration";
        /// Anybody to key service; Noise NN. The content is signed by others.
        Policy = 4, "policy";
        /// Person to key service; Noise NK. Orders and session statements for the log.
        Submissions = 5, "submissions";
    }
}

impl Use {
    /// The name of the Noise protocol, in suite 1.
    #[must_use]
    pub const fn noise_name(self) -> &'static str {
        match self {
            Self::Diagnostics | Self::Policy => "Noise_NN_25519_ChaChaPoly_SHA256",
            Self::Keys | Self::Administration | Self::Submissions => {
                "Noise_NK_25519_ChaChaPoly_SHA256"
            }
        }
    }

    /// The longest content from one end to the other, in bytes. What an initiator may send is
    /// what a stranger may make a responder hold, so it is no more than the use needs.
    #[must_use]
    pub const fn max_content_bytes(self, direction: Direction) -> usize {
        match (self, direction) {
            (Self::Diagnostics, _) => limits::MAX_DIAGNOSTICS_CONTENT_BYTES,
            (Self::Keys, Direction::FromInitiator) => limits::MAX_KEYS_REQUEST_BYTES,
            (Self::Keys, Direction::FromResponder) => limits::MAX_KEYS_CONTENT_BYTES,
            (Self::Administration, _) => limits::MAX_ADMINISTRATION_CONTENT_BYTES,
            (Self::Policy, Direction::FromInitiator) => limits::MAX_POLICY_REQUEST_BYTES,
            (Self::Policy, Direction::FromResponder) => limits::MAX_POLICY_CONTENT_BYTES,
            (Self::Submissions, Direction::FromInitiator) => limits::MAX_SUBMISSION_BYTES,
            (Self::Submissions, Direction::FromResponder) => limits::MAX_SUBMISSION_ANSWER_BYTES,
        }
    }
}

/// Which way a content goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From the end that opened the connection.
    FromInitiator,
    /// From the end that accepted it.
    FromResponder,
}

/// The only suite so far: X25519, ChaChaPoly, SHA-256.
pub(crate) const SUITE: u8 = 1;

/// The first frame.
///
/// ```text
/// offset 0   8 bytes  "narthex" 0x00
///        8   u16be    version of this session
///       10   u16be    newest version that the initiator speaks
///       12   u8       use
///       13   u8       suite
///       14   2 bytes  zero
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Preamble {
    /// The version of this session.
    pub version: ProtocolVersion,
    /// The newest version that the initiator speaks.
    pub newest: ProtocolVersion,
    /// What the session is for.
    pub purpose: Use,
}

impl Preamble {
    /// Length in bytes.
    pub const LENGTH: usize = 16;

    const MAGIC: [u8; 8] = *b"narthex\0";

    /// The 16 bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let Self {
            version,
            newest,
            purpose,
        } = self;
        let mut bytes = [0; Self::LENGTH];
        let fields: [&[u8]; 5] = [
            &Self::MAGIC,
            &version.0.to_be_bytes(),
            &newest.0.to_be_bytes(),
            &[u8::try_from(purpose.code()).unwrap_or(u8::MAX)],
            &[SUITE],
        ];
        for (byte, value) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *byte = *value;
        }
        bytes
    }

    /// Reads a first frame and judges it by the versions spoken here.
    pub(crate) fn read(frame: &[u8], spoken: Spoken) -> Result<Self, ChannelError> {
        let bytes: &[u8; Self::LENGTH] = frame
            .try_into()
            .map_err(|_| ChannelError::NotThisProtocol)?;
        let [
            m0,
            m1,
            m2,
            m3,
            m4,
            m5,
            m6,
            m7,
            v0,
            v1,
            n0,
            n1,
            purpose,
            suite,
            zero0,
            zero1,
        ] = *bytes;
        if [m0, m1, m2, m3, m4, m5, m6, m7] != Self::MAGIC {
            return Err(ChannelError::NotThisProtocol);
        }
        // The version decides how the rest is read, so it is judged first.
        let version = ProtocolVersion(u16::from_be_bytes([v0, v1]));
        let newest = ProtocolVersion(u16::from_be_bytes([n0, n1]));
        if !spoken.contains(version) {
            return Err(ChannelError::UnsupportedVersion { offered: version });
        }
        // A newer version that both ends speak was not chosen: somebody talked the initiator out
        // of it.
        if newest < version || version < newest.min(spoken.newest) {
            return Err(ChannelError::Downgrade {
                offered: version,
                newest,
            });
        }
        let purpose =
            Use::from_code(u16::from(purpose)).ok_or(ChannelError::UnknownUse { code: purpose })?;
        if suite != SUITE {
            return Err(ChannelError::UnsupportedSuite { code: suite });
        }
        if [zero0, zero1] != [0, 0] {
            return Err(ChannelError::NotThisProtocol);
        }
        Ok(Self {
            version,
            newest,
            purpose,
        })
    }
}

/// The clear frame with which a responder declines a preamble.
///
/// ```text
/// offset 0   8 bytes  "narthex!"
///        8   u8       code
///        9   u8       zero
///       10   u16be    oldest version spoken
///       12   u16be    newest version spoken
/// ```
///
/// It is not authenticated: a hint for people, and for an initiator that also speaks an older
/// version. It is 14 bytes, and a handshake message 48, so neither is taken for the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: RefusalCode,
    pub(crate) spoken: Spoken,
}

closed! {
    /// Why a responder declined a preamble.
    pub enum RefusalCode {
        /// The version is not spoken.
        Version = 1, "version";
        /// The use is unknown, or not offered at this address.
        Use = 2, "use";
        /// The suite is not spoken.
        Suite = 3, "suite";
        /// A newer version is spoken by both ends.
        Downgrade = 4, "downgrade";
    }
}

impl Refusal {
    pub(crate) const LENGTH: usize = 14;

    const MAGIC: [u8; 8] = *b"narthex!";

    pub(crate) fn to_bytes(self) -> [u8; Self::LENGTH] {
        let Self { code, spoken } = self;
        let mut bytes = [0; Self::LENGTH];
        let fields: [&[u8]; 4] = [
            &Self::MAGIC,
            &[u8::try_from(code.code()).unwrap_or(u8::MAX), 0],
            &spoken.oldest.0.to_be_bytes(),
            &spoken.newest.0.to_be_bytes(),
        ];
        for (byte, value) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *byte = *value;
        }
        bytes
    }

    /// Reads a refusal, or nothing if the frame is something else.
    pub(crate) fn read(frame: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LENGTH] = frame.try_into().ok()?;
        let [m0, m1, m2, m3, m4, m5, m6, m7, code, zero, o0, o1, n0, n1] = *bytes;
        if [m0, m1, m2, m3, m4, m5, m6, m7] != Self::MAGIC || zero != 0 {
            return None;
        }
        let oldest = ProtocolVersion(u16::from_be_bytes([o0, o1]));
        let newest = ProtocolVersion(u16::from_be_bytes([n0, n1]));
        Some(Self {
            code: RefusalCode::from_code(u16::from(code))?,
            spoken: Spoken { newest, oldest },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::closed::tests::assert_closed;
    use crate::handshake::{Accepting, Initiator, Opening, Progress, Responder};

    /// What a program will speak when there is a version 2.
    const NEXT: Spoken = Spoken {
        newest: ProtocolVersion(2),
        oldest: ProtocolVersion(1),
    };

    fn preamble(version: u16, newest: u16) -> [u8; Preamble::LENGTH] {
        let (version, newest) = (ProtocolVersion(version), ProtocolVersion(newest));
        Preamble {
            version,
            newest,
            purpose: Use::Diagnostics,
        }
        .to_bytes()
    }

    #[test]
    fn the_lists_are_closed() {
        assert_closed!(Use);
        assert_closed!(RefusalCode);
    }

    #[test]
    fn the_bytes_are_as_the_protocol_writes_them() {
        let expected = b"narthex\0\x00\x01\x00\x01\x01\x01\x00\x00";
        assert_eq!(&preamble(1, 1), expected);
        assert_eq!(
            Preamble::read(expected, Spoken::HERE).map(|read| read.purpose),
            Ok(Use::Diagnostics)
        );
        let refusal = Refusal {
            code: RefusalCode::Version,
            spoken: NEXT,
        };
        assert_eq!(&refusal.to_bytes(), b"narthex!\x01\x00\x00\x01\x00\x02");
        assert_eq!(Refusal::read(&refusal.to_bytes()), Some(refusal));
        for defect in [
            b"narthex?\x01\x00\x00\x01\x00\x02".as_slice(),
            b"narthex!\x09\x00\x00\x01\x00\x02",
            b"narthex!\x01\x01\x00\x01\x00\x02",
            b"narthex!\x01\x00\x00\x01\x00",
        ] {
            assert_eq!(Refusal::read(defect), None);
        }
    }

    #[test]
    fn each_end_speaks_the_newest_version_and_the_one_before() {
        let judge = |version, newest, spoken| {
            Preamble::read(&preamble(version, newest), spoken).map(|read| read.version.0)
        };
        let unsupported = |offered| {
            Err(ChannelError::UnsupportedVersion {
                offered: ProtocolVersion(offered),
            })
        };
        // An initiator of version 1 meets the next program, and the other way round.
        assert_eq!(judge(1, 1, NEXT), Ok(1));
        assert_eq!(judge(2, 2, NEXT), Ok(2));
        assert_eq!(judge(2, 2, Spoken::HERE), unsupported(2));
        assert_eq!(judge(1, 2, Spoken::HERE), Ok(1));
        // Two steps are too many.
        let later = Spoken {
            newest: ProtocolVersion(3),
            oldest: ProtocolVersion(2),
        };
        assert_eq!(judge(1, 1, later), unsupported(1));
    }

    #[test]
    fn a_downgrade_that_both_ends_need_not_make_is_refused() {
        let judge = |version, newest| Preamble::read(&preamble(version, newest), NEXT).err();
        let downgrade = |offered, newest| {
            let (offered, newest) = (ProtocolVersion(offered), ProtocolVersion(newest));
            Some(ChannelError::Downgrade { offered, newest })
        };
        assert_eq!(judge(1, 2), downgrade(1, 2));
        assert_eq!(judge(1, 9), downgrade(1, 9));
        // A newest version under the one offered makes no sense.
        assert_eq!(judge(2, 1), downgrade(2, 1));
    }

    /// Somebody in between talks an initiator of the next program down to version 1, and hides it
    /// from the responder: the two then have different prologues.
    #[test]
    fn a_hidden_downgrade_fails_the_handshake() {
        let made = Preamble {
            version: ProtocolVersion(1),
            newest: ProtocolVersion(2),
            purpose: Use::Diagnostics,
        };
        let (initiator, first) =
            Initiator::with_preamble(&Opening::Diagnostics, made, None).unwrap();
        let responder = Responder::with(&Accepting::Diagnostics, NEXT, None);
        let message = &first[2 + Preamble::LENGTH + 2..];
        let Ok(Progress::Awaiting(responder)) = responder.receive(&preamble(1, 1)) else {
            panic!()
        };
        let Ok(Progress::Established { reply, .. }) = responder.receive(message) else {
            panic!()
        };
        let refused = initiator.receive(&reply[2..]).err();
        assert_eq!(refused, Some(ChannelError::HandshakeAuthentication));
    }
}
