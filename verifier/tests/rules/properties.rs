//! R9: no input makes a panic, and nothing that was changed is accepted. The fuzz targets go on
//! where these deterministic loops end.

use narthex_nsm::mock::mint::Edit;
use narthex_verifier::internals::{RawCheck, parse_certificate};
use narthex_verifier::{AttestationDocument, Backend, ChainCache, VerificationContext};

use crate::support::{NOW, anchors, changed, correct, image_expectations};

/// A small generator, the same in every run (splitmix64).
struct Generator(u64);

impl Generator {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        // Bytes that mean something in CBOR and DER come up often.
        const TELLING: [u8; 16] = [
            0x00, 0x01, 0x17, 0x18, 0x1b, 0x30, 0x58, 0x5f, 0x7f, 0x80, 0x81, 0x82, 0x9f, 0xbf,
            0xf6, 0xff,
        ];
        let random = self.next().to_le_bytes();
        if random[0] & 1 == 0 {
            TELLING[usize::from(random[1] & 15)]
        } else {
            random[1]
        }
    }

    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(5) {
                0 if !bytes.is_empty() => bytes[at] = self.byte(),
                1 => bytes.insert(at, self.byte()),
                2 if !bytes.is_empty() => {
                    bytes.remove(at);
                }
                3 => bytes.truncate(at),
                _ => {
                    let length = self.below(40).min(bytes.len() - at.min(bytes.len()));
                    let piece: Vec<u8> = bytes[at..at + length].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
            }
        }
    }
}

#[test]
fn r9_mutated_documents_are_refused_without_a_panic() {
    let genuine = correct().mint();
    let mut generator = Generator(1);
    let cache = ChainCache::with_capacity(4);
    let mut context = VerificationContext::default().with_cache(cache);
    let expectations = image_expectations();
    let mut parsed_anyway = 0;
    for _ in 0..20_000 {
        let mut bytes = genuine.clone();
        generator.mutate(&mut bytes);
        if bytes == genuine {
            continue;
        }
        if let Ok(parsed) = AttestationDocument::parse(&bytes) {
            parsed_anyway += 1;
            let _ = parsed.certificate_summaries();
            let outcome = anchors().verify_and_appraise(&parsed, &expectations, NOW, &mut context);
            assert!(outcome.is_err(), "{bytes:02x?}");
        }
    }
    assert!(
        parsed_anyway > 1000,
        "{parsed_anyway}: the loop looks behind the parser too"
    );
}

#[test]
fn r9_mutated_payloads_with_a_good_signature_do_not_panic() {
    // Signed by the right key: what comes after the signature is reached too.
    let mut generator = Generator(2);
    let payload = correct().mint_parts().payload;
    let expectations = image_expectations();
    let mut verified_anyway = 0;
    for _ in 0..300 {
        let mut bytes = payload.clone();
        generator.mutate(&mut bytes);
        let document = changed(|r| r.payload.raw = Some(bytes));
        let Ok(parsed) = AttestationDocument::parse(&document) else {
            continue;
        };
        let outcome = anchors().verify(&parsed, NOW, &mut VerificationContext::default());
        if let Ok(verified) = outcome {
            verified_anyway += 1;
            let _ = expectations.appraise(&verified, NOW);
            assert!(verified.report().checks().len() > 90);
        }
    }
    assert!(
        verified_anyway > 0,
        "the loop looks behind the signature too"
    );
}

#[test]
fn r9_mutated_certificates_do_not_panic() {
    let chain = correct().mint_parts().chain;
    let mut generator = Generator(3);
    for der in chain.cabundle.iter().chain([&chain.leaf]) {
        assert_eq!(parse_certificate(der), Ok(()));
        for length in 0..der.len() {
            assert!(parse_certificate(&der[..length]).is_err());
        }
        for _ in 0..10_000 {
            let mut bytes = der.clone();
            generator.mutate(&mut bytes);
            let _ = parse_certificate(&bytes);
        }
    }
}

#[test]
fn r9_random_bytes_do_not_panic() {
    let mut generator = Generator(4);
    for _ in 0..50_000 {
        let length = generator.below(200);
        let bytes: Vec<u8> = (0..length).map(|_| generator.byte()).collect();
        assert!(AttestationDocument::parse(&bytes).is_err());
        let _ = parse_certificate(&bytes);
    }
}

#[test]
fn r9_empty_parts_do_not_panic() {
    for change in [
        (|r| r.payload.raw = Some(vec![])) as fn(&mut narthex_nsm::mock::mint::DocumentRecipe),
        |r| r.payload.cabundle = Some(vec![]),
        |r| r.payload.cabundle = Some(vec![vec![]]),
        |r| r.payload.certificate = Some(vec![]),
        |r| r.payload.edits.push(Edit::Remove("pcrs")),
        |r| r.envelope.signature = narthex_nsm::mock::mint::SignatureRecipe::Raw(vec![]),
    ] {
        assert!(AttestationDocument::parse(&changed(change)).is_err());
    }
}

#[test]
fn the_raw_check_is_the_documents_own() {
    let bytes = correct().mint();
    let raw = RawCheck::of(&AttestationDocument::parse(&bytes).unwrap()).unwrap();
    assert!(Backend::ALL.iter().all(|backend| raw.run(*backend)));
}
