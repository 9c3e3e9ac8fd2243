//! Every message type: round trips, and each rule of reading broken alone.

use super::samples::{self, encodings, reencode};
use crate::administration::{AdministrationAnswer, AdministrationRequest};
use crate::diagnostics::{
    CallAnswer, CallRequest, Field, FieldName, LogCheck, ResultBody, Value, Welcome,
};
use crate::keys::{KeyAnswer, KeyOutcome, KeyRequest, SealedKey};
use crate::policy::{PolicyAnswer, PolicyDelivery, PolicyRequest, Signed};
use crate::submissions::{Submission, SubmissionAnswer, SubmissionOutcome};
use crate::{Digest384, HandshakeHash, Message, MessageError, ReasonId, SecretBytes};

#[test]
fn every_message_is_read_as_it_was_written() {
    for (name, bytes) in encodings() {
        assert_eq!(reencode(name, &bytes).as_ref(), Ok(&bytes), "{name}");
    }
    let statement = samples::statement();
    assert_eq!(
        crate::diagnostics::SessionStatement::from_bytes(&statement.to_bytes().unwrap()),
        Ok(statement)
    );
    let done = samples::call_done();
    assert_eq!(CallAnswer::from_bytes(&done.to_bytes().unwrap()), Ok(done));
    let request = samples::key_request();
    assert_eq!(
        KeyRequest::from_bytes(&request.to_bytes().unwrap()),
        Ok(request)
    );
}

#[test]
fn bytes_after_a_message_are_refused() {
    for (name, bytes) in encodings() {
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(
            reencode(name, &longer),
            Err(MessageError::Trailing),
            "{name}"
        );
    }
}

#[test]
fn a_message_cut_anywhere_is_refused() {
    for (name, bytes) in encodings() {
        for length in 0..bytes.len() {
            let refused = reencode(name, &bytes[..length]).unwrap_err();
            assert_eq!(refused.id(), "message.malformed", "{name} cut at {length}");
        }
    }
}

#[test]
fn another_version_is_refused_before_the_rest_is_read() {
    for (name, bytes) in encodings() {
        let mut newer = bytes.clone();
        assert_eq!(newer[1], 1);
        newer[1] = 2;
        assert_eq!(
            reencode(name, &newer),
            Err(MessageError::Version { found: 2 }),
            "{name}"
        );
        // A newer version may have other parts: it is still named as a version.
        assert_eq!(
            reencode(name, &[0x81, 2]),
            Err(MessageError::Version { found: 2 }),
            "{name}"
        );
    }
}

#[test]
fn an_item_more_or_less_is_refused() {
    for (name, bytes) in encodings() {
        for change in [-1_i8, 1] {
            let mut other = bytes.clone();
            other[0] = other[0].wrapping_add_signed(change);
            let refused = reencode(name, &other).unwrap_err();
            assert_eq!(refused.id(), "message.malformed", "{name} {change}");
        }
    }
}

#[test]
fn another_encoding_of_the_same_message_is_refused() {
    for (name, bytes) in encodings() {
        // The version in two bytes instead of one.
        let longer_integer = [&bytes[..1], &[0x18, 0x01], &bytes[2..]].concat();
        let refused = reencode(name, &longer_integer);
        assert_eq!(refused, Err(MessageError::NotCanonical), "{name}");
        // The head of the array in two bytes instead of one.
        let longer_head = [&[0x98, bytes[0] & 0x1f], &bytes[1..]].concat();
        assert_eq!(
            reencode(name, &longer_head),
            Err(MessageError::NotCanonical),
            "{name}"
        );
        // An array of indefinite length.
        let indefinite = [&[0x9f], &bytes[1..], &[0xff]].concat();
        let refused = reencode(name, &indefinite).unwrap_err();
        assert_eq!(refused.id(), "message.malformed", "{name}");
    }
}

/// Whatever byte is changed, and however: a reader refuses, or has read exactly those bytes.
#[test]
fn a_changed_byte_is_refused_or_read_as_it_stands() {
    for (name, bytes) in encodings() {
        for position in 0..bytes.len() {
            for change in [0x01, 0x20, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[position] ^= change;
                if let Ok(read) = reencode(name, &changed) {
                    assert_eq!(read, changed, "{name} at {position}");
                }
            }
        }
    }
}

#[test]
fn lengths_that_are_not_there_allocate_nothing() {
    // A list, a byte string and a text that claim 2^63 items.
    for head in [0x9b, 0x5b, 0x7b_u8] {
        let claim = [&[head], 0x8000_0000_0000_0000_u64.to_be_bytes().as_slice()].concat();
        let request = [&[0x83, 0x01, 0x00], claim.as_slice()].concat();
        assert!(PolicyRequest::from_bytes(&request).is_err());
        let welcome = [&[0x83, 0x01], claim.as_slice()].concat();
        assert_eq!(
            Welcome::from_bytes(&welcome),
            Err(MessageError::Malformed { part: "document" })
        );
    }
}

/// Asserts that a message at the bound is written and read, and one over it is neither written
/// nor, when written by somebody without the rule, read.
fn assert_bound<M: Message>(make: impl Fn(usize) -> M, part: &'static str, max: usize) {
    let at_bound = make(max).to_bytes().unwrap();
    assert!(M::from_bytes(&at_bound).is_ok(), "{part}");
    let refused = make(max + 1).to_bytes().unwrap_err();
    assert_eq!(refused, MessageError::TooLong { part, max });
    assert_eq!(refused.id(), "message.too_long");
}

#[test]
fn each_bound_holds_on_both_sides() {
    assert_bound(
        |length| Welcome {
            document: vec![0; length],
            ..samples::welcome()
        },
        "document",
        16_640,
    );
    assert_bound(
        |length| Welcome {
            statement: vec![0; length],
            ..samples::welcome()
        },
        "session statement",
        1024,
    );
    assert_bound(
        |length| CallRequest {
            order: vec![0; length],
            ..samples::call_request()
        },
        "order",
        16_384,
    );
    assert_bound(
        |length| CallRequest {
            call: vec![0; length],
            ..samples::call_request()
        },
        "call",
        4096,
    );
    assert_bound(
        |length| CallRequest {
            approvals: vec![samples::signature(); length],
            ..samples::call_request()
        },
        "approvals",
        16,
    );
    assert_bound(
        |length| CallRequest {
            log_proof: Some(vec![0; length]),
            ..samples::call_request()
        },
        "log proof",
        32_768,
    );
    assert_bound(
        |length| {
            let keys = (0..length).map(|index| crate::keys::KeyWanted {
                name: crate::KeyName::new(&format!("key-{index}")).unwrap(),
                version: None,
            });
            KeyRequest {
                keys: keys.collect(),
                ..samples::key_request()
            }
        },
        "keys",
        32,
    );
    assert_bound(
        |length| {
            released(vec![SealedKey {
                ciphertext: vec![0; length],
                ..samples::sealed_key()
            }])
        },
        "ciphertext",
        4096 + 16,
    );
    assert_bound(
        |length| AdministrationRequest {
            payload: Some(SecretBytes::from(vec![0; length])),
            ..samples::administration_request()
        },
        "payload",
        4 * 1024 * 1024 - 128 * 1024,
    );
    assert_bound(
        |length| AdministrationAnswer::Done {
            body: vec![0; length],
            log_proof: None,
        },
        "body",
        4 * 1024 * 1024 - 64 * 1024,
    );
    assert_bound(
        |length| AdministrationAnswer::Done {
            body: Vec::new(),
            log_proof: Some(vec![0; length]),
        },
        "log proof",
        32_768,
    );
    assert_bound(
        |length| KeyAnswer {
            log_proof: Some(vec![0; length]),
            ..samples::keys_refused()
        },
        "log proof",
        32_768,
    );
    assert_bound(
        |length| SubmissionAnswer {
            log_proof: Some(vec![0; length]),
            ..samples::submission_refused()
        },
        "log proof",
        32_768,
    );
    assert_bound(
        |length| PolicyAnswer {
            currency: Some(vec![0; length]),
            ..PolicyAnswer::default()
        },
        "currency",
        32_768,
    );
    assert_bound(
        |length| Submission::Order {
            order: vec![0; length],
            signature: samples::signature(),
            approvals: Vec::new(),
        },
        "order",
        16_384,
    );
    assert_bound(
        |length| Submission::Order {
            order: vec![0],
            signature: samples::signature(),
            approvals: vec![samples::signature(); length],
        },
        "approvals",
        16,
    );
    assert_bound(|length| submitted_statement(length, 1), "document", 16_640);
    assert_bound(
        |length| submitted_statement(1, length),
        "session statement",
        1024,
    );
    assert_bound(
        |length| PolicyRequest {
            since_version: 0,
            known_statements: (0..length)
                .map(|index| Digest384::of(&index.to_be_bytes()))
                .collect(),
        },
        "known statements",
        1024,
    );
    assert_bound(
        |length| PolicyAnswer {
            stops: vec![Signed {
                bytes: vec![0; length],
                signatures: Vec::new(),
            }],
            ..PolicyAnswer::default()
        },
        "stops",
        256 * 1024,
    );
    assert_bound(
        |length| PolicyDelivery {
            stops: vec![Signed {
                bytes: vec![0; length],
                signatures: Vec::new(),
            }],
            ..PolicyDelivery::default()
        },
        "stops",
        256 * 1024,
    );
    assert_bound(
        |length| PolicyAnswer {
            releases: vec![
                Signed {
                    bytes: vec![0],
                    signatures: Vec::new()
                };
                length
            ],
            ..PolicyAnswer::default()
        },
        "releases",
        512,
    );
    assert_bound(
        |length| PolicyAnswer {
            bundles: vec![Signed {
                bytes: vec![0],
                signatures: vec![samples::signature(); length],
            }],
            ..PolicyAnswer::default()
        },
        "signatures",
        64,
    );
    assert_bound(
        |length| {
            let fields = (0..length).map(|index| {
                let index = u16::try_from(index).unwrap();
                Field::indexed(FieldName::PcrLocked, index, Value::Flag(true))
            });
            let CallAnswer::Done(body) = samples::call_done() else {
                panic!()
            };
            CallAnswer::Done(ResultBody {
                fields: fields.collect(),
                ..body
            })
        },
        "fields",
        1024,
    );
}

/// The same bounds, met by a reader: the head is raised without the writer's knowledge.
#[test]
fn a_list_over_its_bound_is_refused_by_its_head() {
    let request = |head: &[u8]| [&[0x83, 0x01, 0x00], head].concat();
    let over = PolicyRequest::from_bytes(&request(&[0x99, 0x04, 0x01]));
    assert_eq!(
        over,
        Err(MessageError::TooLong {
            part: "known statements",
            max: 1024
        })
    );
    let at_bound = PolicyRequest::from_bytes(&request(&[0x99, 0x04, 0x00]));
    assert_eq!(
        at_bound,
        Err(MessageError::Malformed {
            part: "known statement"
        })
    );
}

#[test]
fn parts_that_must_not_be_empty_are_refused_on_both_sides() {
    let empty_keys = KeyRequest {
        keys: Vec::new(),
        ..samples::key_request()
    };
    assert_eq!(
        empty_keys.to_bytes(),
        Err(MessageError::Empty { part: "keys" })
    );
    let nothing = released(Vec::new());
    assert_eq!(
        nothing.to_bytes(),
        Err(MessageError::Empty { part: "keys" })
    );
    let read = KeyAnswer::from_bytes(&[0x85, 0x01, 0x01, 0xf6, 0x00, 0x80]);
    assert_eq!(read, Err(MessageError::Empty { part: "keys" }));
    let read = Welcome::from_bytes(&[0x83, 0x01, 0x40, 0x40]);
    assert_eq!(read, Err(MessageError::Empty { part: "document" }));
    // A proof is there or not: no bytes are no proof.
    let empty = MessageError::Empty { part: "log proof" };
    let nothing = SubmissionAnswer {
        log_proof: Some(Vec::new()),
        ..samples::submission_accepted()
    };
    assert_eq!(nothing.to_bytes(), Err(empty));
    let read = SubmissionAnswer::from_bytes(&[0x83, 0x01, 0x40, 0xf6]);
    assert_eq!(read, Err(empty));
    let read = KeyAnswer::from_bytes(&[0x85, 0x01, 0x00, 0x40, 0x01, 0x61, b'a']);
    assert_eq!(read, Err(empty));
    let read = AdministrationAnswer::from_bytes(&[0x84, 0x01, 0x00, 0x40, 0x40]);
    assert_eq!(read, Err(empty));
    let read = PolicyAnswer::from_bytes(&[0x85, 0x01, 0x80, 0x80, 0x80, 0x40]);
    assert_eq!(read, Err(MessageError::Empty { part: "currency" }));
}

#[test]
fn duplicates_are_refused_on_both_sides() {
    let key = samples::sealed_key();
    let twice = released(vec![key.clone(), key]);
    assert_eq!(
        twice.to_bytes(),
        Err(MessageError::Duplicate { part: "keys" })
    );

    let mut request = samples::key_request();
    request.keys[1].name = request.keys[0].name.clone();
    assert_eq!(
        request.to_bytes(),
        Err(MessageError::Duplicate { part: "keys" })
    );

    let CallAnswer::Done(mut body) = samples::call_done() else {
        panic!()
    };
    body.fields
        .push(Field::single(FieldName::MemoryTotal, Value::Bytes(1)));
    let twice = CallAnswer::Done(body);
    assert_eq!(
        twice.to_bytes(),
        Err(MessageError::Duplicate { part: "fields" })
    );

    let digest = Digest384::of(b"x");
    let twice = PolicyRequest {
        since_version: 0,
        known_statements: vec![digest, digest],
    };
    assert_eq!(
        twice.to_bytes(),
        Err(MessageError::Duplicate {
            part: "known statements"
        })
    );
    let head = [0x83, 0x01, 0x00, 0x82];
    let item = [&[0x58, 0x30], digest.as_bytes().as_slice()].concat();
    let bytes = [head.as_slice(), &item, &item].concat();
    let refused = PolicyRequest::from_bytes(&bytes);
    assert_eq!(
        refused,
        Err(MessageError::Duplicate {
            part: "known statements"
        })
    );
}

#[test]
fn codes_outside_the_closed_lists_are_refused() {
    let answer = |bytes: &[u8]| CallAnswer::from_bytes(bytes);
    let unknown = |part, code| Err(MessageError::UnknownCode { part, code });
    assert_eq!(answer(&[0x83, 0x01, 0x02, 0x00]), unknown("call answer", 2));
    assert_eq!(
        Submission::from_bytes(&[0x85, 0x01, 0x02, 0x40, 0x40, 0x40]),
        Err(MessageError::UnknownCode {
            part: "submission",
            code: 2
        })
    );
    // An answer for action 21, which does not exist.
    assert_eq!(
        answer(&[0x83, 0x01, 0x00, 0x83, 21, 0, 0x80]),
        unknown("action", 21)
    );
    assert_eq!(
        answer(&[0x83, 0x01, 0x00, 0x83, 1, 2, 0x80]),
        unknown("log check", 2)
    );
    let field = |field: &[u8]| answer(&[&[0x83, 0x01, 0x00, 0x83, 1, 0, 0x81], field].concat());
    assert_eq!(field(&[0x84, 0x00, 0xf6, 0, 0]), unknown("field name", 0));
    // Value kinds 8 and above do not exist: there is no kind for text or bytes.
    assert_eq!(
        field(&[0x84, 0x19, 0x01, 0x01, 0xf6, 8, 0x60]),
        unknown("value", 8)
    );
    assert_eq!(
        field(&[0x84, 0x19, 0x01, 0x01, 0xf6, 5, 0x19, 0xff, 0xff]),
        unknown("state", 65535)
    );
    assert_eq!(
        field(&[0x84, 0x19, 0x01, 0x01, 0x82, 2, 0x61, 0x61, 0, 0]),
        unknown("selector", 2)
    );
}

#[test]
fn a_value_of_another_type_is_refused() {
    let field = |value: &[u8]| {
        let head = [
            0x83, 0x01, 0x00, 0x83, 1, 0, 0x81, 0x84, 0x19, 0x01, 0x01, 0xf6,
        ];
        CallAnswer::from_bytes(&[&head, value].concat()).unwrap_err()
    };
    // A count that is a text, a flag that is a number, a ratio over 32 bits, a digest of 47 bytes.
    assert_eq!(
        field(&[0, 0x61, b'x']),
        MessageError::Malformed { part: "value" }
    );
    assert_eq!(field(&[4, 1]), MessageError::Malformed { part: "value" });
    let ratio = [3, 0x1b, 0, 0, 0, 1, 0, 0, 0, 0];
    assert_eq!(field(&ratio), MessageError::Malformed { part: "value" });
    let digest = [&[6, 0x58, 47], [0; 47].as_slice()].concat();
    assert_eq!(
        field(&digest),
        MessageError::Length {
            part: "value",
            expected: 48
        }
    );
}

#[test]
fn a_whole_message_over_its_bound_is_refused_unread() {
    let long = vec![0xff; 128 * 1024 + 1];
    let refused = CallRequest::from_bytes(&long);
    assert_eq!(
        refused,
        Err(MessageError::TooLong {
            part: "message",
            max: 128 * 1024
        })
    );
}

/// The bounds of the parts add up to no more than the bound of the whole.
#[test]
fn the_longest_messages_fit() {
    let longest_signature = crate::ArmoredSignature::new(&"s".repeat(4096)).unwrap();
    let request = CallRequest {
        order: vec![0; 16_384],
        order_signature: longest_signature.clone(),
        approvals: vec![longest_signature.clone(); 16],
        call: vec![0; 4096],
        call_signature: longest_signature.clone(),
        log_proof: Some(vec![0; 32_768]),
    };
    assert!(CallRequest::from_bytes(&request.to_bytes().unwrap()).is_ok());

    let fields = (0..1024).map(|index| Field {
        name: FieldName::ShutdownGrace,
        selector: crate::diagnostics::Selector::Key(
            crate::KeyName::new(&format!("{index:064}")).unwrap(),
        ),
        value: Value::Digest(Digest384::ZERO),
    });
    let CallAnswer::Done(body) = samples::call_done() else {
        panic!()
    };
    let answer = CallAnswer::Done(ResultBody {
        fields: fields.collect(),
        ..body
    });
    assert!(CallAnswer::from_bytes(&answer.to_bytes().unwrap()).is_ok());

    let name = |index: usize| crate::KeyName::new(&format!("{index:064}")).unwrap();
    let request = KeyRequest {
        keys: (0..32)
            .map(|index| crate::keys::KeyWanted {
                name: name(index),
                version: Some(u32::MAX),
            })
            .collect(),
        statement: vec![0; 1024],
        ..samples::key_request()
    };
    assert!(KeyRequest::from_bytes(&request.to_bytes().unwrap()).is_ok());
    let sealed = |index| SealedKey {
        name: name(index),
        version: u32::MAX,
        ciphertext: vec![0; 4112],
        ..samples::sealed_key()
    };
    let answer = released((0..32).map(sealed).collect());
    assert!(KeyAnswer::from_bytes(&answer.to_bytes().unwrap()).is_ok());

    let request = AdministrationRequest {
        order: vec![0; 16_384],
        signature: longest_signature.clone(),
        approvals: vec![longest_signature.clone(); 16],
        payload: Some(SecretBytes::from(vec![0; 4_063_232])),
    };
    assert!(AdministrationRequest::from_bytes(&request.to_bytes().unwrap()).is_ok());
    let answer = AdministrationAnswer::Done {
        body: vec![0; 4_128_768],
        log_proof: Some(vec![0; 32_768]),
    };
    assert!(AdministrationAnswer::from_bytes(&answer.to_bytes().unwrap()).is_ok());
    let submission = Submission::Order {
        order: vec![0; 16_384],
        signature: longest_signature.clone(),
        approvals: vec![longest_signature; 16],
    };
    assert!(Submission::from_bytes(&submission.to_bytes().unwrap()).is_ok());
    let answer = SubmissionAnswer {
        outcome: SubmissionOutcome::Refused {
            reason: ReasonId::received(&"r".repeat(64)).unwrap(),
        },
        log_proof: Some(vec![0; 32_768]),
    };
    assert!(SubmissionAnswer::from_bytes(&answer.to_bytes().unwrap()).is_ok());
    let welcome = Welcome {
        document: vec![0; 16_640],
        statement: vec![0; 1024],
    };
    assert!(Welcome::from_bytes(&welcome.to_bytes().unwrap()).is_ok());
}

fn released(keys: Vec<SealedKey>) -> KeyAnswer {
    KeyAnswer {
        log_check: LogCheck::InsecureWithoutLedger,
        log_proof: Some(vec![0; 32_768]),
        outcome: KeyOutcome::Released(keys),
    }
}

fn submitted_statement(document: usize, statement: usize) -> Submission {
    Submission::Statement {
        session: HandshakeHash::from_bytes([0; 32]),
        document: vec![0; document],
        statement: vec![0; statement],
    }
}

#[test]
fn every_key_answer_says_whether_the_log_was_checked() {
    for outcome in [
        samples::keys_released().outcome,
        samples::keys_refused().outcome,
    ] {
        for log_check in [LogCheck::Required, LogCheck::InsecureWithoutLedger] {
            let answer = KeyAnswer {
                log_check,
                log_proof: None,
                outcome: outcome.clone(),
            };
            let bytes = answer.to_bytes().unwrap();
            assert_eq!(bytes.get(2).copied(), u8::try_from(log_check.code()).ok());
            assert_eq!(KeyAnswer::from_bytes(&bytes), Ok(answer));
        }
    }
    // Without the mark, or with one that does not exist, it is no answer.
    let reason = b"\x63a.b".as_slice();
    let unmarked = [b"\x84\x01\xf6\x01".as_slice(), reason].concat();
    assert!(KeyAnswer::from_bytes(&unmarked).is_err());
    let unknown = [b"\x85\x01\x02\xf6\x01".as_slice(), reason].concat();
    assert_eq!(
        KeyAnswer::from_bytes(&unknown),
        Err(MessageError::UnknownCode {
            part: "log check",
            code: 2
        })
    );
}

/// Two kinds of content share an address, so one may never be taken for the other.
#[test]
fn a_delivery_is_neither_a_request_nor_an_answer() {
    let encoded = |message: &dyn Fn() -> Result<zeroize::Zeroizing<Vec<u8>>, MessageError>| {
        message().unwrap().to_vec()
    };
    let delivery = encoded(&|| samples::policy_delivery().to_bytes());
    let answer = encoded(&|| samples::policy_answer().to_bytes());
    let request = encoded(&|| samples::administration_request().to_bytes());
    assert_eq!((delivery[0], request[0]), (0x84, 0x85));
    let malformed = |part| MessageError::Malformed { part };
    assert_eq!(
        AdministrationRequest::from_bytes(&delivery).err(),
        Some(malformed("administration request"))
    );
    assert_eq!(
        PolicyDelivery::from_bytes(&request).err(),
        Some(malformed("policy delivery"))
    );
    assert_eq!(
        PolicyDelivery::from_bytes(&answer).err(),
        Some(malformed("policy delivery"))
    );
    assert_eq!(
        PolicyAnswer::from_bytes(&delivery).err(),
        Some(malformed("policy answer"))
    );
}

/// An order and a statement have as many parts, and are told apart by their kind alone.
#[test]
fn one_kind_of_submission_is_not_the_other() {
    for submission in [samples::submitted_order(), samples::submitted_statement()] {
        let mut bytes = submission.to_bytes().unwrap().to_vec();
        assert_eq!(Submission::from_bytes(&bytes), Ok(submission));
        bytes[2] ^= 1;
        assert!(Submission::from_bytes(&bytes).is_err());
    }
}

/// What leaves a program in words holds neither an order's text nor a document.
#[test]
fn submissions_are_not_spelled_out() {
    let order = format!("{:?}", samples::submitted_order());
    assert!(!order.contains("schema") && !order.contains("SSH SIGNATURE"));
    let statement = format!("{:?}", samples::submitted_statement());
    assert!(statement.len() < 512 && !statement.contains("enc9876"));
}
