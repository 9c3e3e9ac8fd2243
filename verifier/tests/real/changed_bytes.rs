//! One changed byte anywhere makes a genuine document refused.

use std::collections::BTreeMap;

use narthex_verifier::{
    AttestationDocument, Backend, ChainCache, CheckId, TrustAnchors, VerificationContext,
};

use super::{Document, documents};

/// With `p384` alone every fifth position is tried, because each costs a signature or more; with
/// `aws-lc` every position of every document.
fn stride(backend: Backend) -> usize {
    if backend.id() == "aws-lc" { 1 } else { 5 }
}

#[test]
fn a_changed_byte_anywhere_is_refused() {
    let Some(documents) = documents("a_changed_byte_anywhere_is_refused") else {
        return;
    };
    let genuine: Vec<&Document> = documents.iter().filter(|d| d.is_accepted()).collect();
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let reasons = std::thread::scope(|scope| {
        let started: Vec<_> = (0..workers)
            .map(|worker| {
                let share = genuine.iter().copied().skip(worker).step_by(workers);
                let share: Vec<&Document> = share.collect();
                scope.spawn(move || share.into_iter().map(refusals).collect::<Vec<_>>())
            })
            .collect();
        started
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect::<Vec<_>>()
    });

    let mut total = BTreeMap::new();
    for (reason, count) in reasons.into_iter().flatten() {
        *total.entry(reason).or_insert(0_usize) += count;
    }
    // Every kind of defence was reached, each signature among them.
    for id in [
        CheckId::CoseStructure,
        CheckId::CoseAlgorithm,
        CheckId::PayloadUnknownKey,
        CheckId::ChainRoot,
        CheckId::CertificateDer,
        CheckId::ChainSignature,
        CheckId::CoseSignature,
    ] {
        assert!(
            total.get(&id).is_some_and(|count| *count > 0),
            "{id}: {total:?}"
        );
    }
    let tried: usize = total.values().sum();
    eprintln!(
        "{tried} changed documents, all refused, for {} reasons",
        total.len()
    );
}

/// How often each reason was given over all positions of one document.
fn refusals(document: &Document) -> BTreeMap<CheckId, usize> {
    let backend = Backend::default();
    let cache = ChainCache::with_capacity(4);
    let mut context = VerificationContext::new(backend).with_cache(cache);
    let anchors = TrustAnchors::aws();
    // The genuine chain is known, as in a service that has seen this enclave.
    let parsed = AttestationDocument::parse(&document.bytes).unwrap();
    anchors
        .verify_replay(&parsed, document.replay_at(), &mut context)
        .unwrap();

    let mut reasons = BTreeMap::new();
    let mut bytes = document.bytes.clone();
    let offset = document.bytes.len() % stride(backend);
    for position in (offset..bytes.len()).step_by(stride(backend)) {
        // Another bit at each position, so that all eight take part.
        let flip = 1 << (position % 8);
        bytes[position] ^= flip;
        let outcome = AttestationDocument::parse(&bytes)
            .and_then(|parsed| anchors.verify_replay(&parsed, document.replay_at(), &mut context));
        match outcome {
            // The envelope has one encoding, and everything in it is signed or is the signature:
            // no change is without effect.
            Ok(_) => panic!("{document}: byte {position} ^ {flip:#04x} made no difference"),
            Err(refusal) => *reasons.entry(refusal.reason()).or_insert(0) += 1,
        }
        bytes[position] ^= flip;
    }
    reasons
}
