//! Two ends in one process, and an insider who keeps to the handshake and to nothing else.

#![allow(dead_code)] // Each test program uses its own part.

use narthex_channel::frame::Decoder;
use narthex_channel::preamble::{Preamble, ProtocolVersion};
use narthex_channel::{
    Accepting, ChannelError, Initiator, Opening, Progress, Received, Rejection, Responder, Session,
    Use,
};

/// Divides a stream into frames.
pub(crate) fn frames(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut decoder = Decoder::new();
    decoder.handshake_done();
    decoder.push(stream);
    let mut frames = Vec::new();
    while let Some(frame) = decoder.next_frame().unwrap() {
        frames.push(frame);
    }
    assert!(decoder.is_empty());
    frames
}

/// Joins frames to a stream.
pub(crate) fn stream(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for frame in frames {
        stream.extend_from_slice(&u16::try_from(frame.len()).unwrap().to_be_bytes());
        stream.extend_from_slice(frame);
    }
    stream
}

/// The preamble and the initiator's handshake message.
pub(crate) fn first_flight(opening: &Opening) -> (Initiator, Vec<u8>, Vec<u8>) {
    let (initiator, first) = Initiator::new(opening).unwrap();
    let [preamble, message] = frames(&first).try_into().unwrap();
    (initiator, preamble, message)
}

/// Feeds a responder with a preamble and a message.
pub(crate) fn answer(
    accepting: &Accepting<'_>,
    preamble: &[u8],
    message: &[u8],
) -> Result<(Session, Vec<u8>), Rejection> {
    let responder = match Responder::new(accepting).receive(preamble)? {
        Progress::Awaiting(responder) => responder,
        Progress::Established { .. } => panic!("established by a preamble"),
    };
    match responder.receive(message)? {
        Progress::Established { session, reply } => {
            let [reply] = frames(&reply).try_into().unwrap();
            Ok((*session, reply))
        }
        Progress::Awaiting(_) => panic!("awaits a third frame"),
    }
}

/// Two ends of a session that nobody disturbed.
pub(crate) fn meet(opening: &Opening, accepting: &Accepting<'_>) -> (Session, Session) {
    let (initiator, preamble, message) = first_flight(opening);
    let (there, reply) = answer(accepting, &preamble, &message).unwrap();
    (initiator.receive(&reply).unwrap(), there)
}

/// Two ends of a diagnostics session.
pub(crate) fn operator_and_agent() -> (Session, Session) {
    meet(&Opening::Diagnostics, &Accepting::Diagnostics)
}

/// Gives frames to a session until a content is whole.
pub(crate) fn deliver(session: &mut Session, frames: &[Vec<u8>]) -> Result<Vec<u8>, ChannelError> {
    for frame in frames {
        if let Received::Content(content) = session.receive(frame)? {
            return Ok(content.as_bytes().to_vec());
        }
    }
    panic!("no content in these frames");
}

/// The reason for which `frame` is refused; and that the session is over for good.
pub(crate) fn refusal(session: &mut Session, frame: &[u8]) -> &'static str {
    let error = session.receive(frame).expect_err("must be refused");
    assert_eq!(session.receive(frame).unwrap_err(), error);
    assert_eq!(session.send(b"more").unwrap_err(), error);
    assert_eq!(session.transport_ended().unwrap_err(), error);
    error.id()
}

/// Speaks Noise NN by the protocol's page, then sends whatever plaintext it is told to.
pub(crate) struct Insider(snow::TransportState);

impl Insider {
    /// Connects to a responder of this crate.
    pub(crate) fn meets(accepting: &Accepting<'_>) -> (Self, Session) {
        let preamble = Preamble {
            version: ProtocolVersion::NEWEST,
            newest: ProtocolVersion::NEWEST,
            purpose: accepting.purpose(),
        };
        let preamble = preamble.to_bytes();
        let mut noise = noise(accepting.purpose(), &preamble);
        let mut message = [0; 96];
        let length = noise.write_message(&[], &mut message).unwrap();
        let (session, reply) = answer(accepting, &preamble, &message[..length]).unwrap();
        noise.read_message(&reply, &mut [0; 96]).unwrap();
        (Self(noise.into_transport_mode().unwrap()), session)
    }

    /// A frame with this plaintext.
    pub(crate) fn frame(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let mut frame = vec![0; plaintext.len() + 16];
        let length = self.0.write_message(plaintext, &mut frame).unwrap();
        assert_eq!(length, frame.len());
        frame
    }

    /// A frame that begins a content of `total` bytes.
    pub(crate) fn begin(&mut self, total: u32, chunk: &[u8]) -> Vec<u8> {
        self.frame(&[&total.to_be_bytes(), chunk].concat())
    }
}

/// The initiating end of Noise NN.
pub(crate) fn noise(purpose: Use, preamble: &[u8]) -> snow::HandshakeState {
    snow::Builder::new(purpose.noise_name().parse().unwrap())
        .prologue(preamble)
        .unwrap()
        .build_initiator()
        .unwrap()
}
