//! The entry point for fuzzing a responder: a pure function of bytes that anybody may send.
//!
//! Frames and messages need none: [`Decoder`] and [`crate::Message::from_bytes`] are such functions
//! themselves. Programs have no use for it.

use crate::error::ChannelError;
use crate::frame::Decoder;
use crate::handshake::{Accepting, Progress, Responder};
use crate::session::Received;

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
