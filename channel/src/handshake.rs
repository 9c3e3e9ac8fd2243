//! The handshake, on both ends: preamble, two Noise messages without payload, session.
//!
//! ```text
//! initiator                                  responder
//!   preamble frame, Noise message 1   ---->  judges the preamble (or declines it in clear)
//!   session                           <----  Noise message 2; session
//! ```
//!
//! Bytes in, values out: no sockets and no clock here. Randomness comes from the operating system
//! through `snow`.

use snow::{Builder, HandshakeState};

use crate::binding::HandshakeHash;
use crate::error::ChannelError;
use crate::frame;
use crate::limits::TAG_BYTES;
use crate::preamble::{Preamble, Refusal, RefusalCode, Spoken, Use};
use crate::session::Session;
use crate::x25519::{Resolver, StaticPublic, StaticSecret};

/// What an initiator wants, and whom it expects there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Opening {
    /// Diagnostics of an agent. Who answers is shown by the document that it sends first.
    Diagnostics,
    /// Keys, from the service with this static key.
    Keys {
        /// From the policy.
        service: StaticPublic,
    },
    /// Administration of the service with this static key.
    Administration {
        /// From the policy.
        service: StaticPublic,
    },
    /// Policy files. Who answers is not shown; the files are signed.
    Policy,
    /// Orders and session statements for the log of the service with this static key.
    Submissions {
        /// From the policy.
        service: StaticPublic,
    },
}

impl Opening {
    /// The use that it asks for.
    #[must_use]
    pub const fn purpose(&self) -> Use {
        match self {
            Self::Diagnostics => Use::Diagnostics,
            Self::Keys { .. } => Use::Keys,
            Self::Administration { .. } => Use::Administration,
            Self::Policy => Use::Policy,
            Self::Submissions { .. } => Use::Submissions,
        }
    }
}

/// What a responder offers at an address, and as whom.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Accepting<'a> {
    /// Diagnostics.
    Diagnostics,
    /// Keys, as the service with this static key.
    Keys {
        /// The service's static key.
        secret: &'a StaticSecret,
    },
    /// Administration, as the service with this static key.
    Administration {
        /// The service's static key.
        secret: &'a StaticSecret,
    },
    /// Policy files.
    Policy,
    /// Orders and session statements for the log, as the service with this static key.
    Submissions {
        /// The service's static key.
        secret: &'a StaticSecret,
    },
}

impl Accepting<'_> {
    /// The use that it offers.
    #[must_use]
    pub const fn purpose(&self) -> Use {
        match self {
            Self::Diagnostics => Use::Diagnostics,
            Self::Keys { .. } => Use::Keys,
            Self::Administration { .. } => Use::Administration,
            Self::Policy => Use::Policy,
            Self::Submissions { .. } => Use::Submissions,
        }
    }

    const fn secret(&self) -> Option<&StaticSecret> {
        match self {
            Self::Keys { secret }
            | Self::Administration { secret }
            | Self::Submissions { secret } => Some(secret),
            Self::Diagnostics | Self::Policy => None,
        }
    }
}

/// The end that connects, waiting for the responder's only handshake message.
pub struct Initiator {
    noise: HandshakeState,
    purpose: Use,
}

impl Initiator {
    /// Begins a session: the second value is the bytes to send.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Setup`] if the operating system has no random bytes;
    /// [`ChannelError::HandshakeWeakKey`] if the static key expected is of small order.
    pub fn new(opening: &Opening) -> Result<(Self, Vec<u8>), ChannelError> {
        Self::with(opening, Spoken::HERE, None)
    }

    pub(crate) fn with(
        opening: &Opening,
        spoken: Spoken,
        danger_fixed_ephemeral: Option<&[u8; 32]>,
    ) -> Result<(Self, Vec<u8>), ChannelError> {
        let purpose = opening.purpose();
        let preamble = Preamble {
            version: spoken.newest,
            newest: spoken.newest,
            purpose,
        };
        Self::with_preamble(opening, preamble, danger_fixed_ephemeral)
    }

    pub(crate) fn with_preamble(
        opening: &Opening,
        preamble: Preamble,
        danger_fixed_ephemeral: Option<&[u8; 32]>,
    ) -> Result<(Self, Vec<u8>), ChannelError> {
        let prologue = preamble.to_bytes();
        let mut builder = builder(preamble.purpose, &prologue, danger_fixed_ephemeral)?;
        if let Opening::Keys { service }
        | Opening::Administration { service }
        | Opening::Submissions { service } = opening
        {
            builder = builder
                .remote_public_key(service.as_bytes())
                .map_err(setup)?;
        }
        let mut noise = builder.build_initiator().map_err(setup)?;
        let mut message = [0; frame::MAX_HANDSHAKE_FRAME_BYTES];
        let message = write(&mut noise, &mut message)?;

        let mut stream = Vec::new();
        frame::append(&mut stream, &prologue)?;
        frame::append(&mut stream, message)?;
        Ok((
            Self {
                noise,
                purpose: preamble.purpose,
            },
            stream,
        ))
    }

    /// Takes the responder's frame.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Declined`] if the responder declined the preamble, otherwise the rule of
    /// the handshake that was broken.
    pub fn receive(self, frame: &[u8]) -> Result<Session, ChannelError> {
        let Self { mut noise, purpose } = self;
        if let Some(Refusal {
            code,
            spoken: Spoken { newest, oldest },
        }) = Refusal::read(frame)
        {
            return Err(ChannelError::Declined {
                code,
                oldest,
                newest,
            });
        }
        read(&mut noise, frame, RESPONSE_BYTES)?;
        established(noise, purpose)
    }
}

/// The end that accepts a connection, waiting for the preamble, then for the initiator's message.
pub struct Responder(Stage);

enum Stage {
    /// Nothing has come yet.
    Preamble {
        offered: Use,
        secret: Option<StaticSecret>,
        spoken: Spoken,
        danger_fixed_ephemeral: Option<[u8; 32]>,
    },
    /// The preamble was accepted.
    Message {
        noise: Box<HandshakeState>,
        purpose: Use,
    },
}

/// What a responder makes of a frame.
pub enum Progress {
    /// Nothing to send; the next frame is awaited.
    Awaiting(Responder),
    /// The handshake is done.
    Established {
        /// The session.
        session: Box<Session>,
        /// The bytes to send now.
        reply: Vec<u8>,
    },
}

/// Why a responder ended, and what to tell the initiator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rejection {
    /// The rule that was broken.
    pub error: ChannelError,
    /// The bytes to send before dropping the connection; empty if there is nothing to say.
    pub reply: Vec<u8>,
}

impl Responder {
    /// Offers one use. Keeps a copy of the static key, which is wiped when dropped.
    #[must_use]
    pub fn new(accepting: &Accepting<'_>) -> Self {
        Self::with(accepting, Spoken::HERE, None)
    }

    pub(crate) fn with(
        accepting: &Accepting<'_>,
        spoken: Spoken,
        danger_fixed_ephemeral: Option<[u8; 32]>,
    ) -> Self {
        Self(Stage::Preamble {
            offered: accepting.purpose(),
            secret: accepting
                .secret()
                .map(|secret| StaticSecret::from_bytes(secret.as_bytes())),
            spoken,
            danger_fixed_ephemeral,
        })
    }

    /// Takes the initiator's next frame.
    ///
    /// # Errors
    ///
    /// [`Rejection`]; send its reply, then drop the connection.
    pub fn receive(self, frame: &[u8]) -> Result<Progress, Rejection> {
        match self.0 {
            Stage::Preamble {
                offered,
                secret,
                spoken,
                danger_fixed_ephemeral,
            } => {
                let stage = judge_preamble(frame, offered, spoken).and_then(|preamble| {
                    let prologue = preamble.to_bytes();
                    let mut builder = builder(offered, &prologue, danger_fixed_ephemeral.as_ref())?;
                    if let Some(secret) = &secret {
                        builder = builder
                            .local_private_key(secret.as_bytes())
                            .map_err(setup)?;
                    }
                    let noise = Box::new(builder.build_responder().map_err(setup)?);
                    Ok(Stage::Message {
                        noise,
                        purpose: offered,
                    })
                });
                match stage {
                    Ok(stage) => Ok(Progress::Awaiting(Self(stage))),
                    Err(error) => Err(reject(error, spoken)),
                }
            }
            Stage::Message { noise, purpose } => {
                respond(*noise, purpose, frame).map_err(|error| Rejection {
                    error,
                    reply: Vec::new(),
                })
            }
        }
    }
}

fn judge_preamble(frame: &[u8], offered: Use, spoken: Spoken) -> Result<Preamble, ChannelError> {
    let preamble = Preamble::read(frame, spoken)?;
    if preamble.purpose != offered {
        return Err(ChannelError::UseNotOffered {
            wanted: preamble.purpose,
            offered,
        });
    }
    Ok(preamble)
}

fn respond(
    mut noise: HandshakeState,
    purpose: Use,
    frame: &[u8],
) -> Result<Progress, ChannelError> {
    read(&mut noise, frame, request_bytes(purpose))?;
    let mut message = [0; frame::MAX_HANDSHAKE_FRAME_BYTES];
    let message = write(&mut noise, &mut message)?;
    let mut reply = Vec::new();
    frame::append(&mut reply, message)?;
    Ok(Progress::Established {
        session: Box::new(established(noise, purpose)?),
        reply,
    })
}

/// What the initiator is told: nothing that it could not find out by trying, and nothing at all if
/// it does not speak this protocol.
fn reject(error: ChannelError, spoken: Spoken) -> Rejection {
    let code = match error {
        ChannelError::UnsupportedVersion { .. } => Some(RefusalCode::Version),
        ChannelError::UnknownUse { .. } | ChannelError::UseNotOffered { .. } => {
            Some(RefusalCode::Use)
        }
        ChannelError::UnsupportedSuite { .. } => Some(RefusalCode::Suite),
        ChannelError::Downgrade { .. } => Some(RefusalCode::Downgrade),
        _ => None,
    };
    let mut reply = Vec::new();
    if let Some(code) = code {
        // Invariant: a refusal has 14 bytes, so it fits into a frame.
        let _fits = frame::append(&mut reply, &Refusal { code, spoken }.to_bytes());
    }
    Rejection { error, reply }
}

/// Length of the initiator's message: a public key, and a tag where the pattern has a key by then.
const fn request_bytes(purpose: Use) -> usize {
    match purpose {
        Use::Diagnostics | Use::Policy => StaticPublic::LENGTH,
        Use::Keys | Use::Administration | Use::Submissions => StaticPublic::LENGTH + TAG_BYTES,
    }
}

/// Length of the responder's message: a public key and a tag.
const RESPONSE_BYTES: usize = StaticPublic::LENGTH + TAG_BYTES;

fn builder<'a>(
    purpose: Use,
    prologue: &'a [u8; Preamble::LENGTH],
    danger_fixed_ephemeral: Option<&'a [u8; 32]>,
) -> Result<Builder<'a>, ChannelError> {
    let parameters = purpose.noise_name().parse().map_err(setup)?;
    let builder = Builder::with_resolver(parameters, Box::new(Resolver));
    let builder = builder.prologue(prologue).map_err(setup)?;
    Ok(match danger_fixed_ephemeral {
        Some(key) => builder.fixed_ephemeral_key_for_testing_only(key),
        None => builder,
    })
}

fn setup(error: snow::Error) -> ChannelError {
    match error {
        snow::Error::Dh => ChannelError::HandshakeWeakKey,
        _ => ChannelError::Setup,
    }
}

/// Writes a handshake message without payload.
fn write<'a>(
    noise: &mut HandshakeState,
    message: &'a mut [u8; frame::MAX_HANDSHAKE_FRAME_BYTES],
) -> Result<&'a [u8], ChannelError> {
    let length = noise.write_message(&[], message).map_err(setup)?;
    message.get(..length).ok_or(ChannelError::Setup)
}

/// Reads a handshake message, whose exact length leaves no room for a payload.
fn read(noise: &mut HandshakeState, frame: &[u8], expected: usize) -> Result<(), ChannelError> {
    if frame.len() != expected {
        return Err(ChannelError::HandshakeLength {
            expected,
            found: frame.len(),
        });
    }
    match noise.read_message(frame, &mut [0; frame::MAX_HANDSHAKE_FRAME_BYTES]) {
        Ok(_) => Ok(()),
        Err(snow::Error::Dh) => Err(ChannelError::HandshakeWeakKey),
        Err(_) => Err(ChannelError::HandshakeAuthentication),
    }
}

fn established(noise: HandshakeState, purpose: Use) -> Result<Session, ChannelError> {
    let hash = noise
        .get_handshake_hash()
        .try_into()
        .map_err(|_| ChannelError::Setup)?;
    let transport = noise.into_transport_mode().map_err(setup)?;
    Ok(Session::new(
        transport,
        HandshakeHash::from_bytes(hash),
        purpose,
    ))
}
