//! The signature section: each rule of it, broken alone.

use narthex_image::eif::{self, EifError, Image, P384FileSigner, SignError};
use narthex_nsm::mock::mint::SubjectPublicKey;
use p384::ecdsa::signature::Signer as _;
use p384::ecdsa::{Signature, SigningKey};
use p384::pkcs8::LineEnding;
use sha2::{Digest, Sha384};

use crate::support::*;

fn unsigned() -> Vec<u8> {
    eif::write(&parts(&[b"the agent", b"the workload"])).unwrap()
}

fn signed(signing: &Signing) -> Vec<u8> {
    let key = P384FileSigner::from_pem(&signing.key_pem()).unwrap();
    eif::sign(&unsigned(), &signing.certificate_pem(), &|bytes| {
        key.sign(bytes)
    })
    .unwrap()
}

/// The pieces of a signature section, each to be changed.
struct Pieces {
    certificate: Vec<u8>,
    protected: Vec<u8>,
    unprotected: Vec<u8>,
    payload: Vec<u8>,
    signature: Option<Vec<u8>>,
    key: SigningKey,
}

impl Pieces {
    fn genuine(signing: &Signing) -> Self {
        let pcr0 = Image::parse(&unsigned()).unwrap().measure().pcr0;
        Self {
            certificate: signing.certificate_pem().into_bytes(),
            protected: vec![0xa1, 0x01, 0x38, 0x22],
            unprotected: vec![0xa0],
            payload: payload(0, &pcr0),
            signature: None,
            key: SigningKey::from(&signing.key),
        }
    }

    fn cose(&self) -> Vec<u8> {
        let signed = [
            head(4, 4),
            text("Signature1"),
            byte_string(&self.protected),
            byte_string(b""),
            byte_string(&self.payload),
        ]
        .concat();
        let made: Signature = self.key.sign(&signed);
        let signature = self
            .signature
            .clone()
            .unwrap_or_else(|| made.to_bytes().to_vec());
        [
            head(4, 4),
            byte_string(&self.protected),
            self.unprotected.clone(),
            byte_string(&self.payload),
            byte_string(&signature),
        ]
        .concat()
    }

    fn record(&self) -> Vec<u8> {
        record(&self.certificate, &self.cose())
    }
}

fn payload(register: usize, value: &[u8]) -> Vec<u8> {
    [
        head(5, 2),
        text("register_index"),
        head(0, register),
        text("register_value"),
        integers(value),
    ]
    .concat()
}

fn record(certificate: &[u8], cose: &[u8]) -> Vec<u8> {
    [
        head(5, 2),
        text("signing_certificate"),
        integers(certificate),
        text("signature"),
        integers(cose),
    ]
    .concat()
}

/// An image with this signature section, otherwise the unsigned one.
fn with_section(content: &[u8]) -> Vec<u8> {
    let file = unsigned();
    let image = Image::parse(&file).unwrap();
    let mut raw = Raw::genuine();
    raw.sections[2].content = image.metadata().to_vec();
    raw.sections.push(section(SIGNATURE, content));
    raw.file()
}

fn with_record(record: &[u8]) -> Vec<u8> {
    with_section(&[head(4, 1), record.to_vec()].concat())
}

/// What the reader, or else the verifier, says.
fn verdict(file: &[u8]) -> Result<(), &'static str> {
    let image = Image::parse(file).map_err(|error| error.id())?;
    let certificate = image.verify_signature().map_err(|error| error.id())?;
    assert!(certificate.is_some());
    Ok(())
}

#[test]
fn a_signed_image_verifies_and_has_pcr8() {
    let signing = Signing::new(1);
    let file = signed(&signing);
    assert_eq!(file, with_record(&Pieces::genuine(&signing).record()));
    assert_eq!(file, signed(&signing), "the same key makes the same bytes");

    let image = Image::parse(&file).unwrap();
    let digest = Sha384::digest(&signing.certificate_der);
    let pcr8 = Sha384::digest([&[0; 48], digest.as_slice()].concat());
    let measured = image.measure();
    assert_eq!(measured.pcr8, Some(pcr8.into()));
    let before = Image::parse(&unsigned()).unwrap().measure();
    assert_eq!(
        eif::Measurements {
            pcr8: None,
            ..measured
        },
        before
    );

    let certificate = image.verify_signature().unwrap().unwrap();
    assert_eq!(certificate.der(), signing.certificate_der);
    assert!(!certificate.subject().is_empty());
    assert!(certificate.not_before_unix_seconds() < certificate.not_after_unix_seconds());
    assert!(image.signature_record().is_some());
}

#[test]
fn the_section_has_one_record_in_one_spelling() {
    let pieces = Pieces::genuine(&Signing::new(1));
    let (certificate, cose) = (&pieces.certificate, pieces.cose());
    let one = pieces.record();
    let field = |name: &str, value: &[u8]| [text(name), integers(value)].concat();
    let certificate_field = field("signing_certificate", certificate);
    let signature_field = field("signature", &cose);
    let mut long_head = integers(&cose);
    long_head.splice(0..2, [0x99, 0, cose.len() as u8]);
    let mut open = integers(&cose);
    open.splice(0..2, [0x9f]);
    open.push(0xff);
    let wrong: Vec<Vec<u8>> = vec![
        b"x".to_vec(),
        head(4, 0),
        [head(4, 2), one.clone(), one.clone()].concat(),
        [vec![0x9f], one.clone(), vec![0xff]].concat(),
        [head(4, 1), one.clone(), vec![0]].concat(),
        // Another order, a name that is not known, one more field, one less.
        [
            head(4, 1),
            head(5, 2),
            signature_field.clone(),
            certificate_field.clone(),
        ]
        .concat(),
        [
            head(4, 1),
            head(5, 2),
            certificate_field.clone(),
            field("signatur", &cose),
        ]
        .concat(),
        [
            head(4, 1),
            head(5, 3),
            certificate_field.clone(),
            signature_field.clone(),
            field("x", b""),
        ]
        .concat(),
        [head(4, 1), head(5, 1), certificate_field.clone()].concat(),
        // A byte string, an open array and a longer head where an array of integers belongs.
        [
            head(4, 1),
            head(5, 2),
            certificate_field.clone(),
            text("signature"),
            byte_string(&cose),
        ]
        .concat(),
        [
            head(4, 1),
            head(5, 2),
            certificate_field.clone(),
            text("signature"),
            open,
        ]
        .concat(),
        [
            head(4, 1),
            head(5, 2),
            certificate_field.clone(),
            text("signature"),
            vec![0x81, 0x19, 1, 0],
        ]
        .concat(),
        [
            head(4, 1),
            head(5, 2),
            certificate_field.clone(),
            text("signature"),
            vec![0x81, 0x18, 5],
        ]
        .concat(),
        // A count that the section does not have.
        [
            head(4, 1),
            head(5, 2),
            certificate_field.clone(),
            text("signature"),
            vec![0x9b, 0xff, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat(),
        {
            let head_of_record = [head(4, 1), head(5, 2)].concat();
            [
                head_of_record,
                certificate_field,
                text("signature"),
                long_head,
            ]
            .concat()
        },
    ];
    for (number, section) in wrong.iter().enumerate() {
        assert_eq!(
            verdict(&with_section(section)),
            Err("eif.signature_record"),
            "case {number}"
        );
    }
}

#[test]
fn the_certificate_is_exactly_one() {
    let signing = Signing::new(1);
    let one = signing.certificate_pem();
    let der = &signing.certificate_der;
    let wrong = [
        String::new(),
        "no PEM".to_owned(),
        format!("{one}{one}"),
        format!("subject=someone\n{one}"),
        format!("{one}and more"),
        one.replace("CERTIFICATE", "PUBLIC KEY"),
        one.replace("-----END CERTIFICATE-----\n", ""),
        one.replacen('M', "*", 1),
        pem("CERTIFICATE", b"no certificate"),
        pem("CERTIFICATE", &[der.as_slice(), &[0]].concat()),
        pem("CERTIFICATE", &der[..der.len() - 1]),
        pem("CERTIFICATE", &with_longer_length(der, 0)),
        pem("CERTIFICATE", &with_longer_length(der, 4)),
    ];
    for (number, certificate) in wrong.into_iter().enumerate() {
        let mut pieces = Pieces::genuine(&signing);
        pieces.certificate = certificate.clone().into_bytes();
        let file = with_record(&pieces.record());
        assert_eq!(
            verdict(&file),
            Err("eif.signature_certificate"),
            "case {number}"
        );
        let refused = eif::sign(&unsigned(), &certificate, &|_| Ok([0; 96])).unwrap_err();
        assert_eq!(refused.id(), "eif.signature_certificate", "case {number}");
    }
}

/// The same certificate, with one byte more than it needs in the length at `offset`, which two bytes follow.
fn with_longer_length(der: &[u8], offset: usize) -> Vec<u8> {
    let mut longer = der.to_vec();
    assert_eq!(longer[offset + 1], 0x82);
    longer.splice(offset + 1..=offset + 1, [0x83, 0]);
    if offset > 0 {
        let outer = u16::from_be_bytes([der[2], der[3]]) + 1;
        longer[2..4].copy_from_slice(&outer.to_be_bytes());
    }
    longer
}

#[test]
fn the_certificates_key_is_on_p384() {
    let signing = Signing::new(1);
    let off_the_curve = certificate(|key| key.key[1] ^= 1);
    let another_curve = certificate(|key| *key = SubjectPublicKey::p256());
    for der in [off_the_curve, another_curve] {
        let mut pieces = Pieces::genuine(&signing);
        pieces.certificate = pem("CERTIFICATE", &der).into_bytes();
        let file = with_record(&pieces.record());
        // It is measured all the same: the hypervisor asks only for the certificate.
        assert!(Image::parse(&file).unwrap().measure().pcr8.is_some());
        assert_eq!(verdict(&file), Err("eif.signature_key"));
        let refused = eif::sign(&unsigned(), &pem("CERTIFICATE", &der), &|_| Ok([0; 96]));
        assert_eq!(refused.unwrap_err().id(), "eif.signature_key");
    }
}

#[test]
fn the_cose_has_one_spelling() {
    let signing = Signing::new(1);
    let cose = Pieces::genuine(&signing).cose();
    let certificate = signing.certificate_pem();
    let changed = |edit: fn(&mut Pieces)| {
        let mut pieces = Pieces::genuine(&signing);
        edit(&mut pieces);
        pieces.cose()
    };
    let wrong = [
        Vec::new(),
        b"x".to_vec(),
        // With its tag, with a byte behind it, cut short.
        [vec![0xd2], cose.clone()].concat(),
        [cose.clone(), vec![0]].concat(),
        cose[..cose.len() - 1].to_vec(),
        // Another header, protected and not; the algorithm in a longer form.
        changed(|pieces| pieces.protected = vec![0xa2, 0x01, 0x38, 0x22, 0x04, 0x41, 0x31]),
        changed(|pieces| pieces.unprotected = vec![0xa1, 0x04, 0x41, 0x31]),
        changed(|pieces| pieces.protected = vec![0xa1, 0x01, 0x39, 0, 0x22]),
    ];
    for (number, cose) in wrong.iter().enumerate() {
        let file = with_record(&record(certificate.as_bytes(), cose));
        assert_eq!(verdict(&file), Err("eif.signature_cose"), "case {number}");
    }
}

#[test]
fn the_algorithm_is_es384() {
    // ES256, ES512 and none; each correctly signed.
    for protected in [&[0xa1, 0x01, 0x26][..], &[0xa1, 0x01, 0x38, 0x23], &[0xa0]] {
        let mut pieces = Pieces::genuine(&Signing::new(1));
        pieces.protected = protected.to_vec();
        assert_eq!(
            verdict(&with_record(&pieces.record())),
            Err("eif.signature_algorithm")
        );
    }
}

#[test]
fn the_payload_is_pcr0_of_this_image() {
    let pcr0 = Image::parse(&unsigned()).unwrap().measure().pcr0;
    let mut other = pcr0;
    other[47] ^= 1;
    let payloads = [
        payload(0, &other),
        payload(1, &pcr0),
        payload(0, &pcr0[..47]),
        payload(0, &[]),
        [payload(0, &pcr0), vec![0]].concat(),
        Vec::new(),
    ];
    for (number, payload) in payloads.into_iter().enumerate() {
        let mut pieces = Pieces::genuine(&Signing::new(1));
        pieces.payload = payload;
        let file = with_record(&pieces.record());
        assert_eq!(
            verdict(&file),
            Err("eif.signature_payload"),
            "case {number}"
        );
    }
    // A genuine section, moved to another image.
    let signing = Signing::new(1);
    let mut raw = Raw::genuine();
    raw.sections[4].content = b"another workload".to_vec();
    let stolen = Image::parse(&signed(&signing))
        .unwrap()
        .signature()
        .unwrap()
        .to_vec();
    raw.sections.push(section(SIGNATURE, &stolen));
    assert_eq!(verdict(&raw.file()), Err("eif.signature_payload"));
}

#[test]
fn the_signature_is_by_the_certificates_key() {
    let mut pieces = Pieces::genuine(&Signing::new(1));
    pieces.key = SigningKey::from(&Signing::new(2).key);
    assert_eq!(
        verdict(&with_record(&pieces.record())),
        Err("eif.signature_invalid")
    );
    let mut pieces = Pieces::genuine(&Signing::new(1));
    for signature in [
        vec![0; 96],
        vec![0xff; 96],
        vec![1; 95],
        vec![1; 97],
        Vec::new(),
    ] {
        pieces.signature = Some(signature);
        assert_eq!(
            verdict(&with_record(&pieces.record())),
            Err("eif.signature_invalid")
        );
    }
}

#[test]
fn signing_refuses_what_would_not_verify() {
    let signing = Signing::new(1);
    let certificate = signing.certificate_pem();
    let id = |result: Result<Vec<u8>, EifError>| result.unwrap_err().id();

    let again = eif::sign(&signed(&signing), &certificate, &|_| Ok([1; 96]));
    assert_eq!(id(again), "eif.already_signed");
    let other = P384FileSigner::from_pem(&Signing::new(2).key_pem()).unwrap();
    let stranger = eif::sign(&unsigned(), &certificate, &|bytes| other.sign(bytes));
    assert_eq!(id(stranger), "eif.signer_mismatch");
    let refused = eif::sign(&unsigned(), &certificate, &|_| {
        Err(SignError::new("no token"))
    });
    assert!(
        refused
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("no token")
    );
    assert_eq!(id(refused), "eif.signer");
    assert_eq!(
        id(eif::sign(b"", &certificate, &|_| Ok([1; 96]))),
        "eif.truncated"
    );

    // All places taken.
    let mut raw = Raw::genuine();
    raw.sections.resize(32, section(RAMDISK, b"more"));
    let key = P384FileSigner::from_pem(&signing.key_pem()).unwrap();
    let full = eif::sign(&raw.file(), &certificate, &|bytes| key.sign(bytes));
    assert_eq!(id(full), "eif.section_count");
}

#[test]
fn keys_are_read_from_both_kinds_of_pem_and_never_shown() {
    let signing = Signing::new(1);
    let sec1 = signing.key.to_sec1_pem(LineEnding::LF).unwrap();
    let first = P384FileSigner::from_pem(&signing.key_pem()).unwrap();
    let second = P384FileSigner::from_pem(&sec1).unwrap();
    assert_eq!(first.sign(b"message"), second.sign(b"message"));
    assert_eq!(format!("{first:?}"), "P384FileSigner");
    for text in ["", "no PEM", &signing.certificate_pem()] {
        assert_eq!(
            P384FileSigner::from_pem(text).unwrap_err().id(),
            "eif.signing_key"
        );
    }
}
