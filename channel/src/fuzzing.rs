//! Entry points for fuzzing: pure functions of bytes that anybody may send.
//!
//! They return what they made of the bytes, so that a fuzz target can state the properties: no
//! panic, and whatever was read is written again identically. Programs have no use for them.

use crate::administration::{AdministrationAnswer, AdministrationRequest};
use crate::codec::Message;
use crate::diagnostics::{CallAnswer, CallRequest, SessionStatement, Welcome};
use crate::error::ChannelError;
use crate::frame::Decoder;
use crate::handshake::{Accepting, Progress, Responder};
use crate::keys::{KeyAnswer, KeyRequest, KeyRequestEnvelope};
use crate::policy::{PolicyAnswer, PolicyRequest};
use crate::session::Received;

/// Divides `bytes` into frames, pushed in pieces of `piece_bytes` (at least one).
///
/// # Errors
///
/// The rule of framing that was broken.
pub fn frames(bytes: &[u8], piece_bytes: usize) -> Result<Vec<Vec<u8>>, ChannelError> {
    let mut decoder = Decoder::new();
    decoder.handshake_done();
    let mut frames = Vec::new();
    for piece in bytes.chunks(piece_bytes.max(1)) {
        decoder.push(piece);
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
    }
    Ok(frames)
}

/// Reads `bytes` as each type of message; for every type that accepts them, its name and the
/// encoding of what was read.
#[must_use]
pub fn messages(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    fn read<M: Message>(bytes: &[u8]) -> Option<Vec<u8>> {
        let message = M::from_bytes(bytes).ok()?;
        message.to_bytes().ok().map(|encoding| encoding.to_vec())
    }
    [
        ("session-statement", read::<SessionStatement>(bytes)),
        ("welcome", read::<Welcome>(bytes)),
        ("call-request", read::<CallRequest>(bytes)),
        ("call-answer", read::<CallAnswer>(bytes)),
        ("key-request", read::<KeyRequest>(bytes)),
        ("key-request-envelope", read::<KeyRequestEnvelope>(bytes)),
        ("key-answer", read::<KeyAnswer>(bytes)),
        (
            "administration-request",
            read::<AdministrationRequest>(bytes),
        ),
        ("administration-answer", read::<AdministrationAnswer>(bytes)),
        ("policy-request", read::<PolicyRequest>(bytes)),
        ("policy-answer", read::<PolicyAnswer>(bytes)),
    ]
    .into_iter()
    .filter_map(|(name, encoding)| Some((name, encoding?)))
    .collect()
}

/// Feeds a responder, and the session if there is one, with `bytes` as they would come from a
/// socket that then ends. Returns how many contents were received.
///
/// # Errors
///
/// The rule that was broken; [`ChannelError::Truncated`] if the bytes end too early.
pub fn responder(accepting: &Accepting<'_>, bytes: &[u8]) -> Result<usize, ChannelError> {
    let mut decoder = Decoder::new();
    decoder.push(bytes);
    let mut responder = Responder::new(accepting);
    let mut session = loop {
        let frame = decoder.next_frame()?.ok_or(ChannelError::Truncated)?;
        match responder
            .receive(&frame)
            .map_err(|rejection| rejection.error)?
        {
            Progress::Awaiting(next) => responder = next,
            Progress::Established { session, .. } => break session,
        }
    };
    decoder.handshake_done();
    let mut contents = 0_usize;
    while let Some(frame) = decoder.next_frame()? {
        if let Received::Content(_) = session.receive(&frame)? {
            contents = contents.saturating_add(1);
        }
    }
    session.transport_ended()?;
    Ok(contents)
}
