//! Genuine documents give the outcome that their index states, under every backend.
//!
//! They lie beside the checkout in `../shared/real-documents`, or where `NARTHEX_REAL_DOCUMENTS`
//! says. Without them these tests say by name that they are skipped; with
//! `NARTHEX_REQUIRE_REAL_DOCUMENTS=1` their absence is a failure.

// Helpers outside of `#[test]` functions are tests too: a panic is how they fail.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod real;

use std::time::{SystemTime, UNIX_EPOCH};

use narthex_verifier::{
    AttestationDocument, Backend, ChainCache, CheckId, Digest384, DocumentKind, Expectations,
    Outcome, PcrIndex, Refusal, ReplayAt, ReplayVerified, TrustAnchors, UnixMillis,
    VerificationContext,
};
use real::{Document, documents};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

fn replay(document: &Document, backend: Backend) -> Result<ReplayVerified, Refusal> {
    let parsed = AttestationDocument::parse(&document.bytes)?;
    let mut context = VerificationContext::new(backend);
    TrustAnchors::aws().verify_replay(&parsed, document.replay_at(), &mut context)
}

fn system_now() -> UnixMillis {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMillis::from_millis(now.as_millis().try_into().unwrap())
}

#[test]
fn each_gives_the_outcome_of_the_index_in_replay() {
    let Some(documents) = documents("each_gives_the_outcome_of_the_index_in_replay") else {
        return;
    };
    for backend in Backend::ALL {
        for document in &documents {
            let outcome = replay(document, *backend);
            match (document.entry.outcome.as_str(), &outcome) {
                ("accepted", Ok(_)) | ("refused", Err(_)) => {}
                (expected, _) => panic!("{document}: expected {expected}, got {outcome:?}"),
            }
        }
    }
}

#[test]
fn fields_are_those_of_the_index() {
    let Some(documents) = documents("fields_are_those_of_the_index") else {
        return;
    };
    for document in documents.iter().filter(|document| document.is_accepted()) {
        let entry = &document.entry;
        let verified = replay(document, Backend::default()).unwrap();
        let fields = verified.fields();
        let kind = match entry.kind.as_str() {
            "enclave" => DocumentKind::Enclave,
            "nitrotpm" => DocumentKind::NitroTpm,
            other => panic!("{document}: kind {other}"),
        };
        assert_eq!(fields.kind(), kind, "{document}");
        assert_eq!(
            Some(fields.module_id()),
            entry.module_id.as_deref(),
            "{document}"
        );
        assert_eq!(
            Some(fields.timestamp().as_millis()),
            entry.timestamp_ms,
            "{document}"
        );
        assert_eq!(Some(fields.pcrs().count()), entry.pcr_count, "{document}");
        for (index, value) in fields.pcrs() {
            let expected = document.pcr(index).unwrap_or(Digest384::new([0; 48]));
            assert_eq!(
                value,
                expected.as_bytes(),
                "{document} PCR{}",
                index.as_u8()
            );
        }
        // An empty public key is an absent one (R13).
        let key = entry.public_key.as_deref().filter(|length| *length != "0");
        assert_eq!(
            length(fields.public_key()),
            key.unwrap_or("null"),
            "{document}"
        );
        assert_eq!(
            Some(length(fields.user_data()).as_str()),
            entry.user_data.as_deref()
        );
        assert_eq!(
            Some(length(fields.nonce()).as_str()),
            entry.nonce.as_deref(),
            "{document}"
        );
        let leaf = AttestationDocument::parse(&document.bytes)
            .unwrap()
            .certificate_summaries();
        let leaf = leaf.last().unwrap();
        assert_eq!(
            Some(plain(leaf.not_before)),
            entry.leaf_not_before,
            "{document}"
        );
        assert_eq!(
            Some(plain(leaf.not_after)),
            entry.leaf_not_after,
            "{document}"
        );
    }
}

fn length(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.len().to_string())
}

/// The index writes whole seconds and an offset.
fn plain(time: UnixMillis) -> String {
    time.to_string().replace(".000Z", "+00:00")
}

#[test]
fn judged_live_each_is_refused_for_its_own_reason() {
    let Some(documents) = documents("judged_live_each_is_refused_for_its_own_reason") else {
        return;
    };
    for backend in Backend::ALL {
        for document in &documents {
            let mut context = VerificationContext::new(*backend);
            let refusal = match AttestationDocument::parse(&document.bytes) {
                Err(refusal) => refusal,
                Ok(parsed) => TrustAnchors::aws()
                    .verify(&parsed, system_now(), &mut context)
                    .unwrap_err(),
            };
            assert_eq!(
                context.signature_checks(),
                0,
                "{document}: refused at no cost"
            );
            if document.is_accepted() {
                assert_eq!(refusal.reason(), CheckId::ChainExpired, "{document}");
                // The certificate and its end are named.
                let text = refusal.to_string();
                let ended = plain(leaf_end(document)).replace("+00:00", ".000Z");
                assert!(text.contains(&format!("the leaf ended {ended}")), "{text}");
            } else {
                assert_eq!(
                    refusal.reason(),
                    document.refused_live(),
                    "{document}: {refusal}"
                );
            }
        }
    }
}

fn leaf_end(document: &Document) -> UnixMillis {
    let summaries = AttestationDocument::parse(&document.bytes)
        .unwrap()
        .certificate_summaries();
    summaries.last().unwrap().not_after
}

#[test]
fn those_that_must_be_refused_are_refused_for_their_own_reason() {
    let name = "those_that_must_be_refused_are_refused_for_their_own_reason";
    let Some(documents) = documents(name) else {
        return;
    };
    for backend in Backend::ALL {
        for document in documents.iter().filter(|document| !document.is_accepted()) {
            let refusal = replay(document, *backend).unwrap_err();
            assert_eq!(
                refusal.reason(),
                document.refused_in_replay(),
                "{document}: {refusal}"
            );
        }
    }
}

#[test]
fn a_leaf_is_valid_at_both_ends_of_its_validity_and_not_beyond() {
    let name = "a_leaf_is_valid_at_both_ends_of_its_validity_and_not_beyond";
    let Some(documents) = documents(name) else {
        return;
    };
    let document = documents
        .iter()
        .find(|document| document.is_accepted())
        .unwrap();
    let parsed = AttestationDocument::parse(&document.bytes).unwrap();
    let summaries = parsed.certificate_summaries();
    let leaf = summaries.last().unwrap();
    let judge = |millis: u64| {
        let skew = core::time::Duration::ZERO;
        let mut context = VerificationContext::default().with_skew(skew);
        let at = ReplayAt::Time(UnixMillis::from_millis(millis));
        TrustAnchors::aws()
            .verify_replay(&parsed, at, &mut context)
            .map_err(|r| r.reason())
    };
    assert!(judge(leaf.not_before.as_millis()).is_ok());
    assert!(judge(leaf.not_after.as_millis()).is_ok());
    let early = judge(leaf.not_before.as_millis() - 1).unwrap_err();
    assert_eq!(early, CheckId::ChainNotYetValid);
    assert_eq!(
        judge(leaf.not_after.as_millis() + 1).unwrap_err(),
        CheckId::ChainExpired
    );
}

#[test]
fn appraisal_accepts_what_the_index_says_and_refuses_debug_and_nitrotpm() {
    let name = "appraisal_accepts_what_the_index_says_and_refuses_debug_and_nitrotpm";
    let Some(documents) = documents(name) else {
        return;
    };
    for document in documents.iter().filter(|document| document.is_accepted()) {
        let verified = replay(document, Backend::default()).unwrap();
        let mut builder = Expectations::builder();
        let some = Digest384::new([1; 48]);
        for index in [
            PcrIndex::IMAGE,
            PcrIndex::KERNEL,
            PcrIndex::APPLICATION,
            PcrIndex::ROLE,
        ] {
            match document.pcr(index) {
                Some(value) => builder = builder.pcr(index, value),
                // Debug mode: the index leaves zeros out, and nothing may make up for them.
                None if index != PcrIndex::ROLE => builder = builder.pcr(index, some),
                None => {}
            }
        }
        if let Some(instance) = verified.fields().instance_id() {
            builder = builder.instance_id(instance);
        }
        let expectations = builder.build().unwrap();
        let appraised = expectations.appraise_replay(&verified);
        let expected = match (document.entry.kind.as_str(), document.entry.debug) {
            ("nitrotpm", _) => Err(CheckId::DocumentKind),
            (_, Some(true)) => Err(CheckId::DocumentDebug),
            _ => Ok(()),
        };
        let got = appraised.as_ref().map(|_| ()).map_err(Refusal::reason);
        assert_eq!(got, expected, "{document}: {appraised:?}");
        // PCR4 is the measurement of the instance in the module id, in debug mode too.
        if document.entry.kind == "enclave" {
            let report = match &appraised {
                Ok(appraised) => appraised.report(),
                Err(refusal) => refusal.report(),
            };
            assert_eq!(
                report.outcome(CheckId::DocumentPcr4ModuleId),
                Outcome::Pass,
                "{document}"
            );
        }
    }
}

#[test]
fn at_its_own_timestamp_each_is_genuine_and_not_shown_fresh() {
    let name = "at_its_own_timestamp_each_is_genuine_and_not_shown_fresh";
    let Some(documents) = documents(name) else {
        return;
    };
    for document in documents.iter().filter(|document| document.is_accepted()) {
        let parsed = AttestationDocument::parse(&document.bytes).unwrap();
        let mut context = VerificationContext::default();
        let at = ReplayAt::DocumentTimestamp;
        let verified = TrustAnchors::aws()
            .verify_replay(&parsed, at, &mut context)
            .unwrap();
        assert_eq!(verified.judged_at(), None);
        if document.entry.debug == Some(true) || document.entry.kind != "enclave" {
            continue;
        }
        let instance = verified.fields().instance_id().unwrap().to_owned();
        let expectations = Expectations::builder()
            .instance_id(&instance)
            .build()
            .unwrap();
        let appraised = expectations.appraise_replay(&verified).unwrap();
        for id in [CheckId::FreshAge, CheckId::FreshFuture] {
            assert_eq!(appraised.report().outcome(id), Outcome::NotApplicable);
        }
    }
}

#[test]
fn an_independent_parser_reads_the_same_certificates() {
    let name = "an_independent_parser_reads_the_same_certificates";
    let Some(documents) = documents(name) else {
        return;
    };
    for document in documents.iter().filter(|document| document.is_accepted()) {
        let parsed = AttestationDocument::parse(&document.bytes).unwrap();
        let fields = parsed.fields();
        let ders: Vec<&[u8]> = fields.cabundle().chain([fields.certificate()]).collect();
        let summaries = parsed.certificate_summaries();
        assert_eq!(summaries.len(), ders.len(), "{document}");
        for (ours, der) in summaries.iter().zip(ders) {
            let (rest, theirs) = X509Certificate::from_der(der).unwrap();
            assert!(rest.is_empty());
            assert_eq!(ours.subject, theirs.subject().to_string(), "{document}");
            assert_eq!(ours.issuer, theirs.issuer().to_string(), "{document}");
            let millis = |time: UnixMillis| i64::try_from(time.as_millis() / 1000).unwrap();
            assert_eq!(
                millis(ours.not_before),
                theirs.validity().not_before.timestamp()
            );
            assert_eq!(
                millis(ours.not_after),
                theirs.validity().not_after.timestamp()
            );
            let serial = theirs.raw_serial_as_string().replace(':', "");
            assert_eq!(
                ours.serial,
                serial.strip_prefix("00").unwrap_or(&serial),
                "{document}"
            );
        }
    }
}

#[test]
fn signatures_are_counted_5_then_2_then_1() {
    let Some(documents) = documents("signatures_are_counted_5_then_2_then_1") else {
        return;
    };
    for backend in Backend::ALL {
        let cache = ChainCache::with_capacity(8);
        let mut context = VerificationContext::new(*backend).with_cache(cache);
        for document in documents.iter().filter(|document| document.is_accepted()) {
            // Two documents of the set may share a chain; a fresh context shows the cold count.
            let mut cold = VerificationContext::new(*backend);
            let parsed = AttestationDocument::parse(&document.bytes).unwrap();
            let at = document.replay_at();
            TrustAnchors::aws()
                .verify_replay(&parsed, at, &mut cold)
                .unwrap();
            assert_eq!(cold.signature_checks(), 5, "{document}");

            TrustAnchors::aws()
                .verify_replay(&parsed, at, &mut context)
                .unwrap();
            let before = context.signature_checks();
            let warm = TrustAnchors::aws()
                .verify_replay(&parsed, at, &mut context)
                .unwrap();
            assert_eq!(context.signature_checks() - before, 1, "{document}");
            assert_eq!(
                warm.report().outcome(CheckId::ChainSignature),
                Outcome::Pass
            );
        }
        assert!(context.cache.len() <= 8, "the cache is bounded");
    }
}
