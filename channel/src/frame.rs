//! Frames: `u16be(length) || bytes`, with 1 to 65535 bytes.
//!
//! A frame is one Noise message, or the clear preamble or refusal at the start. Nothing depends on
//! packet boundaries or on half-closed sockets.

use crate::error::ChannelError;
use crate::limits::MAX_FRAME_BYTES;

/// The longest frame of a handshake: preamble, refusal and handshake messages are all shorter.
pub const MAX_HANDSHAKE_FRAME_BYTES: usize = 48;

/// Divides a stream of bytes into frames.
///
/// It holds what was pushed and not yet taken: push what one read returned, then take frames until
/// there is none.
#[derive(Debug)]
pub struct Decoder {
    pending: Vec<u8>,
    max_frame_bytes: usize,
}

impl Decoder {
    /// A decoder at the start of a connection: it takes only frames that a handshake can have, up
    /// to [`MAX_HANDSHAKE_FRAME_BYTES`].
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pending: Vec::new(),
            max_frame_bytes: MAX_HANDSHAKE_FRAME_BYTES,
        }
    }

    /// From here on takes frames of any length: the handshake is done.
    pub const fn handshake_done(&mut self) {
        self.max_frame_bytes = MAX_FRAME_BYTES;
    }

    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// Takes the next frame, if all of it is there.
    ///
    /// # Errors
    ///
    /// [`ChannelError::EmptyFrame`] or [`ChannelError::FrameTooLong`] as soon as the length is
    /// there. The stream cannot be read on.
    pub fn next_frame(&mut self) -> Result<Option<Vec<u8>>, ChannelError> {
        let Some((length, rest)) = self.pending.split_first_chunk::<2>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length == 0 {
            return Err(ChannelError::EmptyFrame);
        }
        if length > self.max_frame_bytes {
            return Err(ChannelError::FrameTooLong {
                max_bytes: self.max_frame_bytes,
                stated_bytes: length,
            });
        }
        let Some((frame, rest)) = rest.split_at_checked(length) else {
            return Ok(None);
        };
        let (frame, rest) = (frame.to_vec(), rest.len());
        self.pending
            .drain(..self.pending.len().saturating_sub(rest));
        Ok(Some(frame))
    }

    /// Whether no part of a frame is waiting for the rest.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Appends one frame to `stream`.
///
/// Every caller passes a preamble, a refusal or a Noise message, so the length fits.
pub(crate) fn append(stream: &mut Vec<u8>, frame: &[u8]) -> Result<(), ChannelError> {
    let length = u16::try_from(frame.len()).map_err(|_| ChannelError::FrameTooLong {
        max_bytes: MAX_FRAME_BYTES,
        stated_bytes: frame.len(),
    })?;
    stream.extend_from_slice(&length.to_be_bytes());
    stream.extend_from_slice(frame);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_they_came_in() {
        let mut stream = Vec::new();
        append(&mut stream, b"one").unwrap();
        append(&mut stream, b"two!").unwrap();
        for step in 1..=stream.len() {
            let mut decoder = Decoder::new();
            let mut frames = Vec::new();
            for piece in stream.chunks(step) {
                decoder.push(piece);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, [b"one".to_vec(), b"two!".to_vec()]);
            assert!(decoder.is_empty());
        }
    }

    #[test]
    fn an_empty_frame_is_refused() {
        let mut decoder = Decoder::new();
        decoder.push(&[0, 0]);
        assert_eq!(decoder.next_frame(), Err(ChannelError::EmptyFrame));
    }

    #[test]
    fn lengths_are_judged_before_the_bytes_come() {
        let mut decoder = Decoder::new();
        decoder.push(&[0, 48]);
        assert_eq!(decoder.next_frame(), Ok(None));
        let mut decoder = Decoder::new();
        decoder.push(&[0, 49]);
        let refused = ChannelError::FrameTooLong {
            max_bytes: 48,
            stated_bytes: 49,
        };
        assert_eq!(decoder.next_frame(), Err(refused));
        decoder.handshake_done();
        assert_eq!(decoder.next_frame(), Ok(None));
    }
}
