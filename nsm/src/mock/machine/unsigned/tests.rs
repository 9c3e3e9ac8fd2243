//! A captured document, and documents that are wrong in one way each.

use super::*;
use crate::mock::mint::Cbor;

/// By QEMU 10.0.13, as it came out of `/dev/nsm`.
const CAPTURED: &[u8] = include_bytes!("../../../../tests/machine/unsigned-1.bin");

/// What QEMU writes, in pieces.
struct Pieces {
    protected: Cbor,
    unprotected: Cbor,
    signature: Cbor,
    entries: Vec<(Cbor, Cbor)>,
    after_payload: Vec<u8>,
}

fn registers(indices: impl IntoIterator<Item = u64>) -> Cbor {
    let entry = |index: u64| (Cbor::Unsigned(index), Cbor::Bytes(vec![7; 48]));
    Cbor::Map(indices.into_iter().map(entry).collect())
}

fn pieces() -> Pieces {
    let entry = |key: &str, value: Cbor| (Cbor::text(key), value);
    let zeros = Cbor::Bytes(vec![0; 64]);
    Pieces {
        protected: Cbor::Bytes(vec![0xa1, 1, 0x20]),
        unprotected: Cbor::Map(Vec::new()),
        signature: zeros.clone(),
        entries: vec![
            entry(
                "module_id",
                Cbor::text("i-00000000000000001-enc0000000000000002"),
            ),
            entry("digest", Cbor::text("SHA384")),
            entry("timestamp", Cbor::Unsigned(1_785_785_775_000)),
            entry("pcrs", registers((0..16).chain([16, 31]))),
            entry("certificate", zeros.clone()),
            entry("cabundle", Cbor::Array(vec![zeros])),
            entry("public_key", Cbor::Bytes(vec![1; 1024])),
            entry("user_data", Cbor::Null),
            entry("nonce", Cbor::Bytes(Vec::new())),
        ],
        after_payload: Vec::new(),
    }
}

impl Pieces {
    fn with(mut self, name: &str, value: Cbor) -> Self {
        let key = Cbor::text(name);
        let entry = self.entries.iter_mut().find(|(present, _)| *present == key);
        entry.unwrap().1 = value;
        self
    }

    fn bytes(self) -> Vec<u8> {
        let payload = [Cbor::Map(self.entries).to_bytes(), self.after_payload].concat();
        Cbor::Array(vec![
            self.protected,
            self.unprotected,
            Cbor::Bytes(payload),
            self.signature,
        ])
        .to_bytes()
    }

    fn refusal(self) -> UnsignedDocumentError {
        UnsignedDocument::parse(&self.bytes()).unwrap_err()
    }
}

#[test]
fn a_captured_document_is_read() {
    let document = UnsignedDocument::parse(CAPTURED).unwrap();
    assert_eq!(
        document.identity.module_id(),
        "i-0123456789abcdef0-enc0123456789abcdef"
    );
    assert_eq!(document.pcrs.len(), 16);
    assert!(
        document.pcrs[..3]
            .iter()
            .all(|(_, value)| *value != [0; 48])
    );
    assert_eq!(document.pcrs[8], (8, [0; 48]));
    assert_eq!(document.user_data.as_deref(), Some(b"hello".as_slice()));
    assert_eq!(document.nonce.as_deref(), Some([1, 2, 3, 4].as_slice()));
    assert_eq!(document.public_key, None);
}

#[test]
fn made_up_documents_are_read() {
    let document = UnsignedDocument::parse(&pieces().bytes()).unwrap();
    assert_eq!(document.timestamp, UnixMillis(1_785_785_775_000));
    assert_eq!(document.pcrs.last(), Some(&(31, [7; 48])));
    assert_eq!(document.public_key, Some(vec![1; 1024]));
    assert_eq!(document.user_data, None);
    assert_eq!(document.nonce, Some(Vec::new()));
}

#[test]
fn whatever_is_cut_off_is_missed() {
    for length in 0..CAPTURED.len() {
        assert!(UnsignedDocument::parse(&CAPTURED[..length]).is_err());
    }
    let long = vec![0; MAX_UNSIGNED_BYTES + 1];
    assert_eq!(
        UnsignedDocument::parse(&long),
        Err(UnsignedDocumentError::TooLong)
    );
}

#[test]
fn a_document_that_somebody_signed_is_refused() {
    let es384 = Pieces {
        protected: Cbor::Bytes(vec![0xa1, 1, 0x38, 0x22]),
        ..pieces()
    };
    assert_eq!(
        es384.refusal(),
        UnsignedDocumentError::NotUnsigned("protected header")
    );
    let mut signature = vec![0; 64];
    signature[63] = 1;
    for (signature, expected) in [
        (
            Cbor::Bytes(signature),
            UnsignedDocumentError::NotUnsigned("signature"),
        ),
        (
            Cbor::Bytes(vec![0; 96]),
            UnsignedDocumentError::NotUnsigned("signature"),
        ),
        (Cbor::Null, UnsignedDocumentError::Malformed("signature")),
    ] {
        let changed = Pieces {
            signature,
            ..pieces()
        };
        assert_eq!(changed.refusal(), expected);
    }
    let certificate = pieces().with("certificate", Cbor::Bytes(vec![1; 64]));
    assert_eq!(
        certificate.refusal(),
        UnsignedDocumentError::NotUnsigned("certificate")
    );
    let certificates = Cbor::Array(vec![Cbor::Bytes(vec![1; 64])]);
    assert_eq!(
        pieces().with("cabundle", certificates).refusal(),
        UnsignedDocumentError::NotUnsigned("cabundle")
    );
    let unprotected = Pieces {
        unprotected: Cbor::Map(vec![(Cbor::Unsigned(4), Cbor::Null)]),
        ..pieces()
    };
    assert_eq!(
        unprotected.refusal(),
        UnsignedDocumentError::Malformed("unprotected header")
    );
}

#[test]
fn nothing_may_follow() {
    let inside = Pieces {
        after_payload: vec![0xf6],
        ..pieces()
    };
    assert_eq!(inside.refusal(), UnsignedDocumentError::Trailing("payload"));
    let mut outside = pieces().bytes();
    outside.push(0xf6);
    assert_eq!(
        UnsignedDocument::parse(&outside),
        Err(UnsignedDocumentError::Trailing("envelope"))
    );
}

#[test]
fn each_value_has_its_rules() {
    let registers_of = |length: usize| {
        let entry = |index| (Cbor::Unsigned(index), Cbor::Bytes(vec![0; length]));
        Cbor::Map((0..16).map(entry).collect())
    };
    for (name, value, expected) in [
        (
            "digest",
            Cbor::text("SHA256"),
            UnsignedDocumentError::Digest,
        ),
        (
            "module_id",
            Cbor::text("hello"),
            UnsignedDocumentError::ModuleId,
        ),
        (
            "module_id",
            Cbor::Unsigned(1),
            UnsignedDocumentError::Malformed("module_id"),
        ),
        (
            "timestamp",
            Cbor::Unsigned(0),
            UnsignedDocumentError::Timestamp,
        ),
        (
            "timestamp",
            Cbor::Unsigned(1_785_785_775_001),
            UnsignedDocumentError::Timestamp,
        ),
        (
            "timestamp",
            Cbor::text("now"),
            UnsignedDocumentError::Malformed("timestamp"),
        ),
        ("pcrs", registers(0..15), UnsignedDocumentError::Registers),
        ("pcrs", registers(1..17), UnsignedDocumentError::Registers),
        (
            "pcrs",
            registers((0..16).chain([32])),
            UnsignedDocumentError::Registers,
        ),
        (
            "pcrs",
            registers((0..16).chain([16, 16])),
            UnsignedDocumentError::Registers,
        ),
        (
            "pcrs",
            registers((0..16).chain([18, 17])),
            UnsignedDocumentError::Registers,
        ),
        (
            "pcrs",
            registers((0..33).map(|_| 0)),
            UnsignedDocumentError::Registers,
        ),
        (
            "pcrs",
            registers((0..16).chain([256])),
            UnsignedDocumentError::Malformed("pcrs"),
        ),
        ("pcrs", registers_of(32), UnsignedDocumentError::Registers),
        ("pcrs", Cbor::Null, UnsignedDocumentError::Malformed("pcrs")),
        (
            "cabundle",
            Cbor::Array(Vec::new()),
            UnsignedDocumentError::Malformed("cabundle"),
        ),
        (
            "public_key",
            Cbor::Bytes(vec![0; 1025]),
            UnsignedDocumentError::FieldTooLong("public_key"),
        ),
        (
            "user_data",
            Cbor::text("x"),
            UnsignedDocumentError::Malformed("user_data"),
        ),
        (
            "nonce",
            Cbor::Undefined,
            UnsignedDocumentError::Malformed("nonce"),
        ),
    ] {
        let changed = pieces().with(name, value.clone());
        assert_eq!(changed.refusal(), expected, "{name} {value:?}");
    }
}

#[test]
fn entries_keep_their_places() {
    let mut swapped = pieces();
    swapped.entries.swap(7, 8);
    assert_eq!(
        swapped.refusal(),
        UnsignedDocumentError::Malformed("user_data")
    );
    let mut more = pieces();
    more.entries.push((Cbor::text("more"), Cbor::Null));
    assert_eq!(more.refusal(), UnsignedDocumentError::Malformed("payload"));
    let mut fewer = pieces();
    fewer.entries.pop();
    assert_eq!(fewer.refusal(), UnsignedDocumentError::Malformed("payload"));
}
