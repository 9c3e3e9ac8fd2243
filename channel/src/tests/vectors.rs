//! Test vectors for other implementations, in `channel/vectors`.
//!
//! They are calculated here from fixed keys and compared with the files. After an intended change,
//! write them anew with `NARTHEX_WRITE_VECTORS=1 cargo test -p narthex-channel vectors`, and run
//! `channel/tests/peer_noise.py`, which reads them with another implementation.

use std::fmt::Write as _;
use std::path::Path;

use super::samples;
use crate::binding::{Label, binding_digest};
use crate::frame::Decoder;
use crate::handshake::{Accepting, Initiator, Opening, Progress, Responder};
use crate::keys::Shares;
use crate::preamble::{Direction, Preamble, Refusal, RefusalCode, Spoken, Use};
use crate::seal::{RecipientKey, SealContext, commitment, seal_with_seed};
use crate::session::{Received, Session};
use crate::{Digest384, HandshakeHash, Message, SecretBytes, StaticSecret};

const INITIATOR_EPHEMERAL: [u8; 32] = [0x01; 32];
const RESPONDER_EPHEMERAL: [u8; 32] = [0x02; 32];
const RESPONDER_STATIC: [u8; 32] = [0x03; 32];

/// The lines of one file: comments, and `name = hex`.
#[derive(Default)]
struct File(String);

impl File {
    fn about(&mut self, comment: &str) {
        writeln!(self.0, "# {comment}").unwrap();
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        writeln!(self.0, "{name} = {}", hex::encode(bytes)).unwrap();
    }

    /// Compares with the file of that name, or writes it if the environment says so.
    fn check(self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("vectors")
            .join(name);
        if std::env::var_os("NARTHEX_WRITE_VECTORS").is_some() {
            std::fs::write(&path, &self.0).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap();
        assert!(
            found == self.0,
            "{} differs from what is calculated",
            path.display()
        );
    }
}

fn frames(stream: &[u8]) -> Vec<Vec<u8>> {
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

/// A session with fixed keys; writes down the handshake.
fn handshake(file: &mut File, opening: &Opening, accepting: &Accepting<'_>) -> (Session, Session) {
    let (initiator, first) =
        Initiator::with(opening, Spoken::HERE, Some(&INITIATOR_EPHEMERAL)).unwrap();
    let responder = Responder::with(accepting, Spoken::HERE, Some(RESPONDER_EPHEMERAL));
    let [preamble, message] = frames(&first).try_into().unwrap();
    let Ok(Progress::Awaiting(responder)) = responder.receive(&preamble) else {
        panic!()
    };
    let Ok(Progress::Established { session, reply }) = responder.receive(&message) else {
        panic!()
    };
    let here = initiator.receive(&frames(&reply)[0]).unwrap();
    assert_eq!(here.handshake_hash(), session.handshake_hash());

    file.bytes("initiator_ephemeral_secret", &INITIATOR_EPHEMERAL);
    file.bytes("responder_ephemeral_secret", &RESPONDER_EPHEMERAL);
    file.about("The first flight: preamble frame and handshake frame, each with its length.");
    file.bytes("initiator_first", &first);
    file.bytes("responder_first", &reply);
    file.bytes("handshake_hash", here.handshake_hash().as_bytes());
    (here, *session)
}

/// One content in each direction, one of two chunks if the use allows it, then both closes.
fn transport(file: &mut File, here: &mut Session, there: &mut Session) {
    let small = b"a content".as_slice();
    let large: Vec<u8> = (0..70_000_u32)
        .map(|index| index.to_be_bytes()[3])
        .collect();
    let receive = |session: &mut Session, stream: &[u8]| {
        let mut content = Vec::new();
        for frame in frames(stream) {
            if let Received::Content(received) = session.receive(&frame).unwrap() {
                content = received.as_bytes().to_vec();
            }
        }
        content
    };

    file.about("The initiator sends a content, the responder answers.");
    let stream = here.send(small).unwrap();
    assert_eq!(receive(there, &stream), small);
    file.bytes("content", small);
    file.bytes("content_stream", &stream);
    let stream = there.send(b"an answer").unwrap();
    assert_eq!(receive(here, &stream), b"an answer");
    file.bytes("answer", b"an answer");
    file.bytes("answer_stream", &stream);

    let max = here.purpose().max_content_bytes(Direction::FromResponder);
    if large.len() <= max {
        file.about("Then 70000 bytes from the responder, byte i being i mod 256: two frames; SHA-384 of their stream.");
        let stream = there.send(&large).unwrap();
        assert_eq!(receive(here, &stream), large);
        file.bytes("large_stream_sha384", Digest384::of(&stream).as_ref());
    }

    file.about("Both close.");
    let stream = here.close().unwrap();
    assert!(matches!(
        there.receive(&frames(&stream)[0]),
        Ok(Received::Closed)
    ));
    file.bytes("initiator_close", &stream);
    let stream = there.close().unwrap();
    assert!(matches!(
        here.receive(&frames(&stream)[0]),
        Ok(Received::Closed)
    ));
    file.bytes("responder_close", &stream);
}

#[test]
fn noise_nn_vectors() {
    let mut file = File::default();
    file.about("Use 1 (diagnostics), Noise_NN_25519_ChaChaPoly_SHA256. Hex throughout.");
    let (mut here, mut there) =
        handshake(&mut file, &Opening::Diagnostics, &Accepting::Diagnostics);
    transport(&mut file, &mut here, &mut there);
    file.check("noise-nn.txt");
}

#[test]
fn noise_nk_vectors() {
    let mut file = File::default();
    file.about("Use 2 (keys), Noise_NK_25519_ChaChaPoly_SHA256. Hex throughout.");
    let secret = StaticSecret::from_bytes(&RESPONDER_STATIC);
    file.bytes("responder_static_secret", &RESPONDER_STATIC);
    file.bytes("responder_static_public", secret.public().as_bytes());
    let (mut here, mut there) = handshake(
        &mut file,
        &Opening::Keys {
            service: secret.public(),
        },
        &Accepting::Keys { secret: &secret },
    );
    transport(&mut file, &mut here, &mut there);
    file.check("noise-nk.txt");
}

#[test]
fn submissions_vectors() {
    let mut file = File::default();
    file.about("Use 5 (submissions), Noise_NK_25519_ChaChaPoly_SHA256. Hex throughout.");
    let secret = StaticSecret::from_bytes(&RESPONDER_STATIC);
    file.bytes("responder_static_secret", &RESPONDER_STATIC);
    file.bytes("responder_static_public", secret.public().as_bytes());
    let opening = Opening::Submissions {
        service: secret.public(),
    };
    let accepting = Accepting::Submissions { secret: &secret };
    let (mut here, mut there) = handshake(&mut file, &opening, &accepting);
    transport(&mut file, &mut here, &mut there);
    file.check("noise-submissions.txt");
}

#[test]
fn preamble_vectors() {
    let mut file = File::default();
    file.about("Preambles by use, without the frame's length; refusals by code.");
    let Spoken { newest, .. } = Spoken::HERE;
    for purpose in Use::ALL {
        let preamble = Preamble {
            version: newest,
            newest,
            purpose: *purpose,
        };
        file.bytes(&format!("preamble.{purpose}"), &preamble.to_bytes());
    }
    for code in RefusalCode::ALL {
        let refusal = Refusal {
            code: *code,
            spoken: Spoken::HERE,
        };
        file.bytes(&format!("refusal.{code}"), &refusal.to_bytes());
    }
    file.check("preamble.txt");
}

#[test]
fn message_vectors() {
    let mut file = File::default();
    file.about("The encoding of one message of each kind.");
    for (name, bytes) in samples::encodings() {
        file.bytes(name, &bytes);
    }
    file.about("Binding digests: labels, handshake hash, and the messages above as bodies.");
    let h = HandshakeHash::from_bytes([0x44; 32]);
    file.bytes("handshake_hash", h.as_bytes());
    let statement = samples::statement().to_bytes().unwrap();
    let digest = binding_digest(Label::DiagnosticsSession, &h, &statement);
    file.bytes("binding.diagnostics-session", digest.as_ref());
    let request = samples::key_request().to_bytes().unwrap();
    let digest = binding_digest(Label::KeyRequest, &h, &request);
    file.bytes("binding.key-request", digest.as_ref());
    file.check("messages.txt");
}

#[test]
fn seal_vectors() {
    let mut file = File::default();
    file.about("A key sealed with HPKE: X-Wing, HKDF-SHA256, AES-256-GCM, and its commitment.");
    let recipient = RecipientKey::from_seed(&[0x11; 32]);
    let h = HandshakeHash::from_bytes([0x44; 32]);
    let name = samples::key_name();
    let context = SealContext {
        handshake_hash: &h,
        name: &name,
        version: 7,
        shares: Shares::Service,
    };
    let key = SecretBytes::from(vec![0x5a; 32]);
    let sealed = seal_with_seed(recipient.public(), &context, &key, &[0x66; 64]).unwrap();
    assert_eq!(
        recipient.open(&h, &sealed).unwrap().as_bytes(),
        key.as_bytes()
    );
    file.bytes("recipient_seed", &[0x11; 32]);
    file.bytes("recipient_key", recipient.public().as_bytes());
    file.bytes("handshake_hash", h.as_bytes());
    file.about("The name is text, the version a number of 32 bits, shares one byte.");
    file.bytes("name", name.as_str().as_bytes());
    file.bytes("version", &7_u32.to_be_bytes());
    file.bytes("shares", &[1]);
    file.bytes("key", key.as_bytes());
    file.about("What the encapsulation draws: 32 bytes for ML-KEM-768, 32 for X25519.");
    file.bytes("encapsulation_seed", &[0x66; 64]);
    file.bytes("encapsulated", sealed.encapsulated.as_bytes());
    file.bytes("ciphertext", &sealed.ciphertext);
    file.bytes("commitment", commitment(&name, 7, &key).as_ref());
    file.check("seal.txt");
}
