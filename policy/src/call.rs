//! A call: one request under an order, bound to one session.
//!
//! The bytes are canonical CBOR (RFC 8949 section 4.2): the array
//! `[1, order digest (48 bytes), counter, h (32 bytes), action name, parameters]`, signed in the
//! namespace `call@narthex`. `parameters` is an array: `[]`, `[1, seconds]` for a grace period, or
//! `[2, nonce (32 bytes)]`.

use minicbor::{Decoder, Encoder};

use crate::action::Action;
use crate::digest::{Digest384, SessionHash};
use crate::file::{check_size, limits};
use crate::reason::{Reason, Refusal};

/// Version of the encoding, the first element.
const CALL_VERSION: u8 = 1;
/// Elements of the outer array.
const CALL_ELEMENTS: u64 = 6;
const TAG_GRACE: u8 = 1;
const TAG_NONCE: u8 = 2;

/// Longest grace period that `restart-workload` and `shutdown` may ask for, in seconds.
pub const MAX_GRACE_SECONDS: u16 = 600;

/// Parameters of an action: closed, fixed-size, no text.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Parameters {
    /// None given.
    #[default]
    None,
    /// How long the workload has to end by itself, in seconds, at most [`MAX_GRACE_SECONDS`]
    /// (`restart-workload`, `shutdown`; without it the agent's configuration decides).
    GraceSeconds(u16),
    /// A nonce for the fresh document (`attest`).
    Nonce([u8; 32]),
}

impl Parameters {
    /// Whether `action` may have these parameters.
    pub fn fit(&self, action: Action) -> bool {
        match self {
            Self::None => true,
            Self::GraceSeconds(seconds) => {
                matches!(action, Action::RestartWorkload | Action::Shutdown)
                    && *seconds <= MAX_GRACE_SECONDS
            }
            Self::Nonce(_) => action == Action::Attest,
        }
    }
}

/// A call as the operator's tool makes it and the agent reads it. Says nothing about trust.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    /// SHA-384 of the order's bytes.
    pub order: Digest384,
    /// From 0 to one below the order's `calls`; each value once per order and boot.
    pub counter: u64,
    /// The handshake hash of the session the call is made in.
    pub session: SessionHash,
    /// What is asked for.
    pub action: Action,
    /// Its parameters.
    pub parameters: Parameters,
}

impl Call {
    /// The canonical bytes: what is signed.
    pub fn encode(&self) -> Vec<u8> {
        let Self {
            order,
            counter,
            session,
            action,
            parameters,
        } = self;
        let mut encoder = Encoder::new(Vec::with_capacity(160));
        // Writing to a vector cannot fail: its error type is `Infallible`.
        let Ok(()) = (|| -> Result<(), minicbor::encode::Error<core::convert::Infallible>> {
            encoder
                .array(CALL_ELEMENTS)?
                .u8(CALL_VERSION)?
                .bytes(&order.0)?
                .u64(*counter)?;
            encoder.bytes(&session.0)?.str(action.name())?;
            match parameters {
                Parameters::None => encoder.array(0)?,
                Parameters::GraceSeconds(seconds) => {
                    encoder.array(2)?.u8(TAG_GRACE)?.u16(*seconds)?
                }
                Parameters::Nonce(nonce) => encoder.array(2)?.u8(TAG_NONCE)?.bytes(nonce)?,
            };
            Ok(())
        })() else {
            return Vec::new();
        };
        encoder.into_writer()
    }

    /// Reads exactly what [`Call::encode`] writes.
    ///
    /// # Errors
    ///
    /// [`Reason::FileTooLarge`] beyond [`limits::MAX_CALL_BYTES`], else [`Reason::CallMalformed`]
    /// for anything that is not the canonical encoding: other lengths or versions, unknown
    /// actions, longer forms of integers, indefinite lengths, trailing bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        check_size(bytes, limits::MAX_CALL_BYTES)?;
        let call = decode_fields(bytes)
            .map_err(|error| Refusal::new(Reason::CallMalformed, format!("not a call: {error}")))?;
        // One comparison refuses every non-canonical form: there is one encoding per call.
        if call.encode() != bytes {
            return Err(Refusal::new(
                Reason::CallMalformed,
                "not the canonical encoding",
            ));
        }
        Ok(call)
    }
}

fn decode_fields(bytes: &[u8]) -> Result<Call, minicbor::decode::Error> {
    let wrong = minicbor::decode::Error::message;
    let mut decoder = Decoder::new(bytes);
    if decoder.array()? != Some(CALL_ELEMENTS) {
        return Err(wrong("expected six elements"));
    }
    if decoder.u8()? != CALL_VERSION {
        return Err(wrong("unknown version"));
    }
    let order = decoder
        .bytes()?
        .try_into()
        .map_err(|_| wrong("order digest is not 48 bytes"))?;
    let counter = decoder.u64()?;
    let session = decoder
        .bytes()?
        .try_into()
        .map_err(|_| wrong("h is not 32 bytes"))?;
    let action = Action::from_name(decoder.str()?).ok_or_else(|| wrong("unknown action"))?;
    let parameters = match decoder.array()? {
        Some(0) => Parameters::None,
        Some(2) => match decoder.u8()? {
            TAG_GRACE => Parameters::GraceSeconds(decoder.u16()?),
            TAG_NONCE => Parameters::Nonce(
                decoder
                    .bytes()?
                    .try_into()
                    .map_err(|_| wrong("nonce is not 32 bytes"))?,
            ),
            _ => return Err(wrong("unknown parameter")),
        },
        _ => return Err(wrong("parameters have zero or two elements")),
    };
    Ok(Call {
        order: Digest384(order),
        counter,
        session: SessionHash(session),
        action,
        parameters,
    })
}

/// A call with its signature, as it arrives at the agent. Says nothing about trust.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedCall {
    /// The canonical bytes.
    pub bytes: Vec<u8>,
    /// The operator's armoured signature, namespace `call@narthex`.
    pub signature: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call() -> Call {
        Call {
            order: Digest384([1; 48]),
            counter: 7,
            session: SessionHash([2; 32]),
            action: Action::Attest,
            parameters: Parameters::Nonce([3; 32]),
        }
    }

    #[test]
    fn bytes_are_as_documented() {
        let mut expected = vec![0x86, 1, 0x58, 48];
        expected.extend([1; 48]);
        expected.extend([7, 0x58, 32]);
        expected.extend([2; 32]);
        expected.extend(b"\x66attest");
        expected.extend([0x82, 2, 0x58, 32]);
        expected.extend([3; 32]);
        assert_eq!(call().encode(), expected);
        assert_eq!(Call::decode(&expected), Ok(call()));
    }

    #[test]
    fn every_action_and_parameter_round_trips() {
        for action in Action::ALL {
            for parameters in [
                Parameters::None,
                Parameters::GraceSeconds(600),
                Parameters::Nonce([9; 32]),
            ] {
                let call = Call {
                    action: *action,
                    parameters,
                    counter: u64::MAX,
                    ..call()
                };
                assert_eq!(Call::decode(&call.encode()), Ok(call));
            }
        }
    }

    #[test]
    fn parameters_belong_to_actions() {
        assert!(Parameters::GraceSeconds(600).fit(Action::Shutdown));
        assert!(!Parameters::GraceSeconds(601).fit(Action::Shutdown));
        assert!(!Parameters::GraceSeconds(1).fit(Action::ReloadKeys));
        assert!(Parameters::Nonce([0; 32]).fit(Action::Attest));
        assert!(!Parameters::Nonce([0; 32]).fit(Action::Status));
    }

    /// Each change leaves a decodable or nearly decodable call that is not canonical.
    #[test]
    fn refuses_what_is_not_canonical() {
        let good = call().encode();
        let replaced = |from: &[u8], to: &[u8]| {
            let at = good
                .windows(from.len())
                .position(|window| window == from)
                .unwrap();
            [&good[..at], to, &good[at + from.len()..]].concat()
        };
        let cases = [
            ("trailing byte", [&good[..], &[0]].concat()),
            ("cut short", good[..good.len() - 1].to_vec()),
            ("indefinite array", [&[0x9f], &good[1..], &[0xff]].concat()),
            ("seven elements", [&[0x87], &good[1..], &[0]].concat()),
            ("other version", replaced(&[0x86, 1], &[0x86, 2])),
            (
                "longer integer",
                replaced(&[7, 0x58, 32], &[0x18, 7, 0x58, 32]),
            ),
            ("longer length", replaced(&[0x58, 48], &[0x59, 0, 48])),
            ("unknown action", replaced(b"\x66attest", b"\x64exec")),
            ("unknown parameter", replaced(&[0x82, 2], &[0x82, 3])),
            ("empty", Vec::new()),
        ];
        for (what, bytes) in cases {
            assert_eq!(
                Call::decode(&bytes).unwrap_err().reason(),
                Reason::CallMalformed,
                "{what}"
            );
        }
        let long = vec![0; limits::MAX_CALL_BYTES + 1];
        assert_eq!(
            Call::decode(&long).unwrap_err().reason(),
            Reason::FileTooLarge
        );
    }
}
