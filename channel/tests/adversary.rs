//! A man in the middle, a false service and an insider, each against two genuine ends. Every attack
//! is refused, and for its own reason.
//!
//! Delays are in `delays.rs`, with a virtual clock.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
#![allow(clippy::unreachable)] // Tests say by panicking.

mod common;

use common::{
    Insider, answer, deliver, first_flight, frames, meet, noise, operator_and_agent, refusal,
};
use narthex_channel::diagnostics::Welcome;
use narthex_channel::keys::{KeyRequestEnvelope, Shares};
use narthex_channel::{
    Accepting, BindingError, ChannelError, HandshakeHash, Initiator, KeyName, Label, Opening,
    ProtocolVersion, Received, RecipientKey, SealContext, SealError, SecretBytes, Session,
    StaticPublic, StaticSecret, Use, binding_digest, check_binding, seal, workload_user_data,
};

// --- The preamble ---------------------------------------------------------------------------

/// Changes one byte of a diagnostics preamble on its way; what the responder says of it, and what
/// the initiator makes of the responder's answer.
fn changed_preamble(position: usize, value: u8) -> (&'static str, Option<&'static str>) {
    let (initiator, mut preamble, message) = first_flight(&Opening::Diagnostics);
    preamble[position] = value;
    let rejection = answer(&Accepting::Diagnostics, &preamble, &message)
        .err()
        .expect("must be refused");
    let told = frames(&rejection.reply).first().map(|reply| {
        initiator
            .receive(reply)
            .err()
            .expect("must be refused")
            .id()
    });
    (rejection.error.id(), told)
}

#[test]
fn a_changed_preamble_is_refused_with_its_reason() {
    let declined = Some("preamble.declined");
    assert_eq!(
        changed_preamble(0, b'N'),
        ("preamble.not_this_protocol", None)
    );
    assert_eq!(
        changed_preamble(9, 2),
        ("preamble.unsupported_version", declined)
    );
    assert_eq!(
        changed_preamble(9, 0),
        ("preamble.unsupported_version", declined)
    );
    assert_eq!(changed_preamble(11, 0), ("preamble.downgrade", declined));
    assert_eq!(
        changed_preamble(12, 2),
        ("preamble.use_not_offered", declined)
    );
    assert_eq!(changed_preamble(12, 9), ("preamble.unknown_use", declined));
    assert_eq!(
        changed_preamble(13, 2),
        ("preamble.unsupported_suite", declined)
    );
    assert_eq!(
        changed_preamble(15, 1),
        ("preamble.not_this_protocol", None)
    );
}

#[test]
fn an_unsupported_version_is_answered_with_the_versions_spoken() {
    let (initiator, mut preamble, message) = first_flight(&Opening::Diagnostics);
    preamble[9] = 7;
    preamble[11] = 7;
    let rejection = answer(&Accepting::Diagnostics, &preamble, &message)
        .err()
        .unwrap();
    let offered = ProtocolVersion(7);
    assert_eq!(
        rejection.error,
        ChannelError::UnsupportedVersion { offered }
    );
    let [reply] = frames(&rejection.reply).try_into().unwrap();
    match initiator.receive(&reply).err().unwrap() {
        ChannelError::Declined { oldest, newest, .. } => {
            assert_eq!((oldest, newest), (ProtocolVersion(1), ProtocolVersion(1)));
        }
        other => panic!("{other}"),
    }
}

/// The responder accepts the changed preamble, but the prologue differs from the initiator's.
#[test]
fn a_preamble_changed_to_another_acceptable_one_fails_the_handshake() {
    // The use: diagnostics becomes policy, which is Noise NN as well.
    let (initiator, mut preamble, message) = first_flight(&Opening::Diagnostics);
    preamble[12] = 4;
    let (_, reply) = answer(&Accepting::Policy, &preamble, &message).unwrap();
    assert_eq!(
        initiator.receive(&reply).err(),
        Some(ChannelError::HandshakeAuthentication)
    );

    // The newest version that the initiator speaks.
    let (initiator, mut preamble, message) = first_flight(&Opening::Diagnostics);
    preamble[11] = 9;
    let (_, reply) = answer(&Accepting::Diagnostics, &preamble, &message).unwrap();
    assert_eq!(
        initiator.receive(&reply).err(),
        Some(ChannelError::HandshakeAuthentication)
    );

    // The use, with Noise NK: keys becomes administration; the responder notices first.
    let secret = StaticSecret::generate().unwrap();
    let (_, mut preamble, message) = first_flight(&Opening::Keys {
        service: secret.public(),
    });
    for accepting in [
        Accepting::Administration { secret: &secret },
        Accepting::Submissions { secret: &secret },
    ] {
        preamble[12] = u8::try_from(accepting.purpose().code()).unwrap();
        let rejection = answer(&accepting, &preamble, &message).err().unwrap();
        assert_eq!(rejection.error, ChannelError::HandshakeAuthentication);
        assert!(rejection.reply.is_empty());
    }
}

#[test]
fn a_forged_refusal_ends_the_attempt_and_nothing_else() {
    let (initiator, ..) = first_flight(&Opening::Diagnostics);
    let forged = b"narthex!\x01\x00\x00\x00\x00\x00";
    assert_eq!(
        initiator.receive(forged).err().unwrap().id(),
        "preamble.declined"
    );
}

// --- The handshake --------------------------------------------------------------------------

#[test]
fn a_changed_handshake_message_is_refused() {
    for position in 0..48 {
        let (initiator, preamble, message) = first_flight(&Opening::Diagnostics);
        let (_, mut reply) = answer(&Accepting::Diagnostics, &preamble, &message).unwrap();
        reply[position] ^= 1;
        let refused = initiator.receive(&reply).err();
        assert_eq!(
            refused,
            Some(ChannelError::HandshakeAuthentication),
            "byte {position}"
        );
    }
    for position in 0..32 {
        let (initiator, preamble, mut message) = first_flight(&Opening::Diagnostics);
        message[position] ^= 1;
        let (_, reply) = answer(&Accepting::Diagnostics, &preamble, &message).unwrap();
        let refused = initiator.receive(&reply).err();
        assert_eq!(
            refused,
            Some(ChannelError::HandshakeAuthentication),
            "byte {position}"
        );
    }
}

#[test]
fn a_handshake_message_of_another_length_is_refused() {
    let (_, preamble, message) = first_flight(&Opening::Diagnostics);
    for length in [0, 31, 33] {
        let mut other = message.clone();
        other.resize(length, 0);
        let rejection = answer(&Accepting::Diagnostics, &preamble, &other)
            .err()
            .unwrap();
        let expected = ChannelError::HandshakeLength {
            expected: 32,
            found: length,
        };
        assert_eq!(rejection.error, expected);
    }
    for length in [0, 47, 49] {
        let (initiator, preamble, message) = first_flight(&Opening::Diagnostics);
        let (_, mut reply) = answer(&Accepting::Diagnostics, &preamble, &message).unwrap();
        reply.resize(length, 0);
        let expected = ChannelError::HandshakeLength {
            expected: 48,
            found: length,
        };
        assert_eq!(initiator.receive(&reply).err(), Some(expected));
    }
}

#[test]
fn a_handshake_payload_is_refused() {
    let (_, preamble, _) = first_flight(&Opening::Diagnostics);
    let mut message = [0; 96];
    let length = noise(Use::Diagnostics, &preamble)
        .write_message(b"x", &mut message)
        .unwrap();
    let rejection = answer(&Accepting::Diagnostics, &preamble, &message[..length])
        .err()
        .unwrap();
    assert_eq!(rejection.error.id(), "handshake.length");
}

#[test]
fn an_ephemeral_key_of_small_order_is_refused_by_both_ends() {
    let (initiator, preamble, _) = first_flight(&Opening::Diagnostics);
    let rejection = answer(&Accepting::Diagnostics, &preamble, &[0; 32])
        .err()
        .unwrap();
    assert_eq!(rejection.error, ChannelError::HandshakeWeakKey);
    assert_eq!(
        initiator.receive(&[0; 48]).err(),
        Some(ChannelError::HandshakeWeakKey)
    );
}

#[test]
fn a_false_key_service_is_refused() {
    let genuine = StaticSecret::generate().unwrap();
    let false_one = StaticSecret::generate().unwrap();
    let secret = &false_one;
    let (expected, met) = (genuine.public(), false_one.public());
    let to = |service: StaticPublic| {
        [
            Opening::Keys { service },
            Opening::Administration { service },
            Opening::Submissions { service },
        ]
    };
    let as_another = [
        Accepting::Keys { secret },
        Accepting::Administration { secret },
        Accepting::Submissions { secret },
    ];
    let openings = to(expected).into_iter().zip(to(met));
    for ((expecting_genuine, expecting_another), accepting) in openings.zip(as_another) {
        let (_, preamble, message) = first_flight(&expecting_genuine);
        let rejection = answer(&accepting, &preamble, &message).err().unwrap();
        assert_eq!(rejection.error, ChannelError::HandshakeAuthentication);

        // It goes on all the same, with a message from a handshake of its own making.
        let (initiator, ..) = first_flight(&expecting_genuine);
        let (_, preamble, message) = first_flight(&expecting_another);
        let (_, reply) = answer(&accepting, &preamble, &message).unwrap();
        assert_eq!(
            initiator.receive(&reply).err(),
            Some(ChannelError::HandshakeAuthentication)
        );
    }
}

#[test]
fn a_replayed_first_flight_makes_a_session_that_the_replayer_cannot_use() {
    let secret = StaticSecret::generate().unwrap();
    let accepting = Accepting::Keys { secret: &secret };
    let (initiator, preamble, message) = first_flight(&Opening::Keys {
        service: secret.public(),
    });
    let (mut first, reply) = answer(&accepting, &preamble, &message).unwrap();
    let mut agent = initiator.receive(&reply).unwrap();
    let recorded = frames(&agent.send(b"a key request").unwrap());
    assert_eq!(deliver(&mut first, &recorded).unwrap(), b"a key request");

    let (mut second, _) = answer(&accepting, &preamble, &message).unwrap();
    assert_ne!(first.handshake_hash(), second.handshake_hash());
    assert_eq!(refusal(&mut second, &recorded[0]), "frame.authentication");
}

// --- Frames of a session --------------------------------------------------------------------

fn three_frames(session: &mut Session) -> [Vec<u8>; 3] {
    let frame = |content: &[u8]| frames(&session.send(content).unwrap()).remove(0);
    [b"one".as_slice(), b"two", b"three"].map(frame)
}

#[test]
fn undisturbed_frames_arrive() {
    let (mut operator, mut agent) = operator_and_agent();
    assert_eq!(operator.handshake_hash(), agent.handshake_hash());
    let sent = three_frames(&mut operator);
    for (frame, content) in sent.iter().zip([b"one".as_slice(), b"two", b"three"]) {
        assert_eq!(
            deliver(&mut agent, std::slice::from_ref(frame)).unwrap(),
            content
        );
    }
    let large: Vec<u8> = (0..100_000_u32)
        .map(|index| index.to_le_bytes()[0])
        .collect();
    let sent = frames(&agent.send(&large).unwrap());
    assert_eq!(sent.len(), 2);
    assert_eq!(deliver(&mut operator, &sent).unwrap(), large);
}

#[test]
fn a_dropped_frame_is_noticed() {
    let (mut operator, mut agent) = operator_and_agent();
    let [_dropped, second, _] = three_frames(&mut operator);
    assert_eq!(refusal(&mut agent, &second), "frame.missing");
}

#[test]
fn a_replayed_frame_is_refused() {
    let (mut operator, mut agent) = operator_and_agent();
    let [first, second, _] = three_frames(&mut operator);
    deliver(&mut agent, std::slice::from_ref(&first)).unwrap();
    deliver(&mut agent, &[second]).unwrap();
    assert_eq!(refusal(&mut agent, &first), "frame.replayed");
}

#[test]
fn reordered_frames_are_refused() {
    let (mut operator, mut agent) = operator_and_agent();
    let [first, second, third] = three_frames(&mut operator);
    deliver(&mut agent, &[first]).unwrap();
    assert_eq!(refusal(&mut agent, &third), "frame.missing");
    // The right one does not mend it.
    assert_eq!(agent.receive(&second).unwrap_err().id(), "frame.missing");
}

#[test]
fn a_changed_frame_is_refused_whatever_the_byte() {
    let (mut operator, _) = operator_and_agent();
    let length = three_frames(&mut operator)[0].len();
    for position in 0..length {
        let (mut operator, mut agent) = operator_and_agent();
        let [mut frame, ..] = three_frames(&mut operator);
        frame[position] ^= 0x80;
        assert_eq!(
            refusal(&mut agent, &frame),
            "frame.authentication",
            "byte {position}"
        );
    }
}

#[test]
fn a_truncated_frame_is_refused_whatever_its_length() {
    let (mut operator, _) = operator_and_agent();
    let length = three_frames(&mut operator)[0].len();
    for kept in 1..length {
        let (mut operator, mut agent) = operator_and_agent();
        let [frame, ..] = three_frames(&mut operator);
        let expected = if kept < 16 {
            "frame.too_short"
        } else {
            "frame.authentication"
        };
        assert_eq!(
            refusal(&mut agent, &frame[..kept]),
            expected,
            "{kept} bytes"
        );
    }
}

#[test]
fn a_reflected_frame_is_refused() {
    let (mut operator, mut agent) = operator_and_agent();
    let [frame, ..] = three_frames(&mut operator);
    assert_eq!(refusal(&mut operator, &frame), "frame.reflected");
    // The other end is not concerned.
    assert_eq!(deliver(&mut agent, &[frame]).unwrap(), b"one");
}

#[test]
fn a_frame_swapped_with_one_of_another_session_is_refused() {
    let (mut operator, _) = operator_and_agent();
    let (_, mut other_agent) = operator_and_agent();
    let [frame, ..] = three_frames(&mut operator);
    assert_eq!(refusal(&mut other_agent, &frame), "frame.authentication");
}

#[test]
fn a_cut_connection_is_noticed_wherever_it_is_cut() {
    // Before anything.
    let (_, mut agent) = operator_and_agent();
    assert_eq!(agent.transport_ended(), Err(ChannelError::Truncated));
    // Between contents.
    let (mut operator, mut agent) = operator_and_agent();
    deliver(&mut agent, &[three_frames(&mut operator)[0].clone()]).unwrap();
    assert_eq!(agent.transport_ended(), Err(ChannelError::Truncated));
    // Within a content.
    let (mut operator, mut agent) = operator_and_agent();
    let sent = frames(&operator.send(&[0; 100_000]).unwrap());
    assert!(matches!(agent.receive(&sent[0]), Ok(Received::Partial)));
    assert_eq!(agent.transport_ended(), Err(ChannelError::Truncated));
    // After a close it is no cut.
    let (mut operator, mut agent) = operator_and_agent();
    let close = frames(&operator.close().unwrap());
    assert!(matches!(agent.receive(&close[0]), Ok(Received::Closed)));
    assert_eq!(agent.transport_ended(), Ok(()));
    // The other direction is still open.
    assert_eq!(
        deliver(&mut operator, &frames(&agent.send(b"last").unwrap())).unwrap(),
        b"last"
    );
    assert_eq!(operator.send(b"more"), Err(ChannelError::SendAfterClose));
}

// --- An insider -----------------------------------------------------------------------------

#[test]
fn an_insider_can_speak() {
    let (mut insider, mut agent) = Insider::meets(&Accepting::Diagnostics);
    let frame = insider.begin(5, b"hello");
    assert_eq!(deliver(&mut agent, &[frame]).unwrap(), b"hello");
}

/// The reason for which the first frame of an insider is refused.
fn insider_refused(plaintext: &[u8]) -> &'static str {
    let (mut insider, mut agent) = Insider::meets(&Accepting::Diagnostics);
    let frame = insider.frame(plaintext);
    refusal(&mut agent, &frame)
}

#[test]
fn a_stranger_makes_a_responder_hold_no_more_than_its_use_needs() {
    let secret = StaticSecret::generate().unwrap();
    let service = secret.public();
    let keys = (
        Opening::Keys { service },
        Accepting::Keys { secret: &secret },
    );
    let policy = (Opening::Policy, Accepting::Policy);
    let submissions = (
        Opening::Submissions { service },
        Accepting::Submissions { secret: &secret },
    );
    for ((opening, accepting), request, answer) in [
        (keys, 32 * 1024, 256 * 1024),
        (policy, 64 * 1024, 4 * 1024 * 1024),
        (submissions, 128 * 1024, 64 * 1024),
    ] {
        let (mut here, mut there) = meet(&opening, &accepting);
        let too_long = Err(ChannelError::SendLength { max_bytes: request });
        assert_eq!(here.send(&vec![0; request + 1]), too_long);
        let sent = frames(&here.send(&vec![0; request]).unwrap());
        assert_eq!(deliver(&mut there, &sent).unwrap().len(), request);
        let too_long = Err(ChannelError::SendLength { max_bytes: answer });
        assert_eq!(there.send(&vec![0; answer + 1]), too_long);
        let sent = frames(&there.send(&vec![0; answer]).unwrap());
        assert_eq!(deliver(&mut here, &sent).unwrap().len(), answer);
    }

    let (mut insider, mut service) = Insider::meets(&Accepting::Policy);
    let frame = insider.begin(64 * 1024 + 1, &[0; 60_000]);
    assert_eq!(refusal(&mut service, &frame), "content.too_long");
}

#[test]
fn each_rule_of_contents_is_kept() {
    for length in 1..4 {
        assert_eq!(insider_refused(&vec![0; length]), "content.header");
    }
    assert_eq!(insider_refused(&0_u32.to_be_bytes()), "content.empty");
    assert_eq!(
        insider_refused(&(128 * 1024 + 1_u32).to_be_bytes()),
        "content.too_long"
    );
    assert_eq!(insider_refused(&u32::MAX.to_be_bytes()), "content.too_long");
    // A chunk shorter and one longer than the stated total.
    assert_eq!(insider_refused(b"\0\0\0\x05hell"), "content.chunk_length");
    assert_eq!(insider_refused(b"\0\0\0\x05hello!"), "content.chunk_length");
    // A first chunk that is not full although more follow.
    let mut not_full = 100_000_u32.to_be_bytes().to_vec();
    not_full.resize(4 + 65_514, 0);
    assert_eq!(insider_refused(&not_full), "content.chunk_length");
}

#[test]
fn a_content_at_the_limit_of_its_use_is_accepted() {
    let (mut operator, mut agent) = operator_and_agent();
    let longest = vec![7; 128 * 1024];
    let sent = frames(&operator.send(&longest).unwrap());
    assert_eq!(deliver(&mut agent, &sent).unwrap(), longest);
    let refused = ChannelError::SendLength {
        max_bytes: 128 * 1024,
    };
    assert_eq!(operator.send(&vec![7; 128 * 1024 + 1]), Err(refused));
    assert_eq!(operator.send(b""), Err(refused));
    // Neither has disturbed the session.
    assert_eq!(
        deliver(&mut agent, &frames(&operator.send(b"ok").unwrap())).unwrap(),
        b"ok"
    );
}

#[test]
fn a_second_chunk_must_be_what_is_missing() {
    let begin = |insider: &mut Insider, agent: &mut Session| {
        let frame = insider.begin(70_000, &[0; 65_515]);
        assert!(matches!(agent.receive(&frame), Ok(Received::Partial)));
    };
    for length in [4484, 4486] {
        let (mut insider, mut agent) = Insider::meets(&Accepting::Diagnostics);
        begin(&mut insider, &mut agent);
        let frame = insider.frame(&vec![0; length]);
        assert_eq!(refusal(&mut agent, &frame), "content.chunk_length");
    }
    // A close in the middle of a content is a cut.
    let (mut insider, mut agent) = Insider::meets(&Accepting::Diagnostics);
    begin(&mut insider, &mut agent);
    let frame = insider.frame(&[]);
    assert_eq!(refusal(&mut agent, &frame), "session.truncated");
}

#[test]
fn nothing_comes_after_a_close() {
    let (mut insider, mut agent) = Insider::meets(&Accepting::Diagnostics);
    let close = insider.frame(&[]);
    assert!(matches!(agent.receive(&close), Ok(Received::Closed)));
    assert!(agent.peer_closed());
    let frame = insider.begin(1, b"x");
    assert_eq!(refusal(&mut agent, &frame), "session.frame_after_close");
}

// --- Relays and reused documents ------------------------------------------------------------

/// An enclave with an NSM that signs: its documents hold the `user_data` asked for, and in this
/// test nobody else can make one.
struct Enclave {
    statement: Vec<u8>,
}

struct GenuineDocument {
    user_data: Vec<u8>,
}

impl Enclave {
    fn welcome(&self, h: &HandshakeHash) -> (Welcome, GenuineDocument) {
        let user_data = Welcome::user_data(h, &self.statement).as_ref().to_vec();
        let welcome = Welcome {
            document: b"a document".to_vec(),
            statement: self.statement.clone(),
        };
        (welcome, GenuineDocument { user_data })
    }
}

fn enclave(name: &str) -> Enclave {
    Enclave {
        statement: name.as_bytes().to_vec(),
    }
}

#[test]
fn a_session_relayed_to_another_genuine_enclave_is_refused() {
    // The host ends the operator's session itself and opens one of its own to an enclave.
    let (operator, _host_as_agent) = operator_and_agent();
    let (_host_as_operator, agent) = operator_and_agent();
    let (welcome, document) = enclave("statement").welcome(&agent.handshake_hash());

    // The enclave's document is genuine, and right for the enclave's own session.
    assert_eq!(
        welcome.check_binding(&agent.handshake_hash(), &document.user_data),
        Ok(())
    );
    let refused = welcome.check_binding(&operator.handshake_hash(), &document.user_data);
    assert_eq!(refused, Err(BindingError::OtherSession));
    assert_eq!(refused.unwrap_err().id(), "binding.other_session");
}

#[test]
fn a_document_of_an_earlier_session_is_refused() {
    let enclave = enclave("statement");
    let (earlier, _) = operator_and_agent();
    let (welcome, document) = enclave.welcome(&earlier.handshake_hash());
    let (now, _) = operator_and_agent();
    let refused = welcome.check_binding(&now.handshake_hash(), &document.user_data);
    assert_eq!(refused, Err(BindingError::OtherSession));
}

#[test]
fn a_document_under_another_statement_is_refused() {
    let (operator, agent) = operator_and_agent();
    let (mut welcome, document) = enclave("statement").welcome(&agent.handshake_hash());
    welcome.statement = b"a better statement".to_vec();
    let refused = welcome.check_binding(&operator.handshake_hash(), &document.user_data);
    assert_eq!(refused, Err(BindingError::OtherSession));
}

#[test]
fn a_document_for_another_use_is_refused() {
    let (operator, agent) = operator_and_agent();
    let (welcome, document) = enclave("same bytes").welcome(&agent.handshake_hash());
    let envelope = KeyRequestEnvelope {
        document: welcome.document,
        request: welcome.statement,
    };
    let refused = envelope.check_binding(&operator.handshake_hash(), &document.user_data);
    assert_eq!(refused, Err(BindingError::OtherUse));
    assert_eq!(refused.unwrap_err().id(), "binding.other_use");
}

#[test]
fn a_document_asked_for_by_a_workload_is_refused() {
    let (operator, _) = operator_and_agent();
    let h = operator.handshake_hash();
    // The workload knows `h` and the statement, and asks for exactly the binding digest.
    let digest = binding_digest(Label::DiagnosticsSession, &h, b"statement");
    let user_data = workload_user_data(digest.as_ref()).unwrap();
    let refused = check_binding(Label::DiagnosticsSession, &h, b"statement", &user_data);
    assert_eq!(refused, Err(BindingError::WorkloadDocument));
    assert_eq!(refused.unwrap_err().id(), "binding.workload_document");
}

#[test]
fn a_document_that_binds_nothing_is_refused() {
    let (operator, _) = operator_and_agent();
    let h = operator.handshake_hash();
    let refused = check_binding(Label::DiagnosticsSession, &h, b"statement", b"");
    assert_eq!(refused, Err(BindingError::Length));
    assert_eq!(refused.unwrap_err().id(), "binding.length");
}

#[test]
fn a_key_sealed_in_another_session_does_not_open() {
    let secret = StaticSecret::generate().unwrap();
    let opening = Opening::Keys {
        service: secret.public(),
    };
    let accepting = Accepting::Keys { secret: &secret };
    let recipient = RecipientKey::generate().unwrap();
    let name = KeyName::new("database").unwrap();
    let sealed_in = |session: &Session| {
        let h = session.handshake_hash();
        let shares = Shares::Service;
        let context = SealContext {
            handshake_hash: &h,
            name: &name,
            version: 1,
            shares,
        };
        seal(
            recipient.public(),
            &context,
            &SecretBytes::from(vec![1; 32]),
        )
        .unwrap()
    };

    let (agent, service) = meet(&opening, &accepting);
    assert!(
        recipient
            .open(&agent.handshake_hash(), &sealed_in(&service))
            .is_ok()
    );
    let (_, other_service) = meet(&opening, &accepting);
    let refused = recipient
        .open(&agent.handshake_hash(), &sealed_in(&other_service))
        .err();
    assert_eq!(refused, Some(SealError::Open));
}

/// Whatever bytes come first, a responder refuses them or waits for more; it never falls over.
#[test]
fn a_responder_takes_any_first_bytes() {
    let (_, first) = Initiator::new(&Opening::Diagnostics).unwrap();
    for position in 0..first.len() {
        for value in [0x00, 0x01, 0x7f, 0xff] {
            let mut changed = first.clone();
            changed[position] = value;
            let _outcome = narthex_channel::fuzzing::responder(&Accepting::Diagnostics, &changed);
        }
    }
}
