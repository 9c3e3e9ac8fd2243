//! R13, R26, R27, R30 to R33, R36: a document against expectations.

use std::time::Duration;

use narthex_nsm::mock::mint::{
    Cbor, Edit, Identity, PayloadRecipe, SignatureRecipe, ZERO_MEASUREMENT, measurement_of,
};
use narthex_verifier::{
    AttestationDocument, CheckId, Digest384, Expectations, ExpectationsBuilder, Outcome, PcrIndex,
    Refusal, ReplayAt, SeenDocuments, Stage, UnixMillis, VerificationContext, Workload,
    WorkloadError,
};

use crate::support::{
    NOW, NOW_MILLIS, anchors, appraise, changed, correct, correct_for, image, image_expectations,
    later, no_failure, only_failure,
};

const OTHER: Digest384 = Digest384::new([0xee; 48]);

fn pcr(index: u8) -> PcrIndex {
    PcrIndex::new(index).unwrap()
}

fn with_image() -> ExpectationsBuilder {
    let [pcr0, pcr1, pcr2] = image();
    Expectations::builder().image(pcr0, pcr1, pcr2)
}

/// Refused in both ways to appraise, for one reason; before any signature where that can be.
#[track_caller]
fn refused_for(id: CheckId, bytes: &[u8], expectations: &Expectations) -> Refusal {
    let refusal = appraise(bytes, expectations).unwrap_err();
    assert_eq!(refusal.reason(), id, "{refusal}");
    only_failure(&refusal);
    assert_eq!(
        refusal.report().outcome(CheckId::CoseSignature),
        Outcome::Pass
    );

    let parsed = AttestationDocument::parse(bytes).unwrap();
    let mut context = VerificationContext::default();
    let early = anchors().verify_and_appraise(&parsed, expectations, NOW, &mut context);
    let early = early.unwrap_err();
    assert_eq!(early.reason(), id);
    assert_eq!(context.signature_checks(), 0, "refused at no cost");
    assert_eq!(
        early.report().outcome(CheckId::CoseSignature),
        Outcome::NotReached
    );
    refusal
}

#[test]
fn a_correct_document_is_appraised() {
    let bytes = changed(|r| {
        r.payload.user_data = Some(b"data".to_vec());
        r.payload.nonce = Some(vec![7; 16]);
        r.payload.public_key = Some(b"key".to_vec());
    });
    let expectations = with_image()
        .role_arn(PayloadRecipe::EXAMPLE_ROLE_ARN)
        .instance_id(&Identity::example().instance_id)
        .user_data(b"data")
        .nonce(&[7; 16])
        .public_key(b"key")
        .build()
        .unwrap();
    let appraised = appraise(&bytes, &expectations).unwrap();
    no_failure(appraised.report());
    assert_eq!(appraised.module_id(), Identity::example().module_id());
    assert_eq!(appraised.timestamp(), NOW);
    assert_eq!(appraised.user_data(), Some(&b"data"[..]));
    assert_eq!(appraised.nonce(), Some(&[7; 16][..]));
    assert_eq!(appraised.public_key(), Some(&b"key"[..]));
    assert_eq!(
        appraised.pcr(PcrIndex::IMAGE),
        Some(&image()[0].as_bytes()[..])
    );
    assert!(!appraised.insecure_pcr0_only());
    // In one call the result is the same.
    let parsed = AttestationDocument::parse(&bytes).unwrap();
    let mut context = VerificationContext::default();
    let at_once = anchors()
        .verify_and_appraise(&parsed, &expectations, NOW, &mut context)
        .unwrap();
    for check in appraised.report().checks() {
        assert_eq!(at_once.report().check(check.id), check);
    }
}

#[test]
fn r30_what_was_not_checked_is_not_what_matched() {
    let appraised = appraise(&correct().mint(), &image_expectations()).unwrap();
    let outcome = |id| appraised.report().outcome(id);
    assert_eq!(outcome(CheckId::Pcr(PcrIndex::IMAGE)), Outcome::Pass);
    for id in [
        CheckId::Pcr(PcrIndex::ROLE),
        CheckId::Pcr(PcrIndex::BUNDLE),
        CheckId::BindNonce,
        CheckId::BindUserData,
        CheckId::BindPublicKey,
        CheckId::FreshSingleUse,
    ] {
        assert_eq!(outcome(id), Outcome::NotApplicable, "{id}");
    }
}

#[test]
fn r31_debug_mode_is_refused_whatever_is_expected() {
    let debug = changed(|r| r.payload.set_debug_mode());
    let expectations = Expectations::builder().role_arn(PayloadRecipe::EXAMPLE_ROLE_ARN);
    let refusal = refused_for(
        CheckId::DocumentDebug,
        &debug,
        &expectations.build().unwrap(),
    )
    .to_string();
    assert!(refusal.contains("debug mode"), "{refusal}");
    // Either of the measured registers shows it, and an absent one is no better than zero.
    for index in [0, 1, 2] {
        let expectations = Expectations::builder().pcr(PcrIndex::ROLE, role());
        let expectations = expectations.build().unwrap();
        let zero = changed(|r| r.payload.set_pcr(index, &ZERO_MEASUREMENT));
        refused_for(CheckId::DocumentDebug, &zero, &expectations);
        let absent = changed(|r| r.payload.remove_pcr(index));
        refused_for(CheckId::DocumentDebug, &absent, &expectations);
    }
    // PCR8 is zero in every unsigned image, PCR3 without a role.
    let bytes = changed(|r| {
        r.payload.set_pcr(8, &ZERO_MEASUREMENT);
        r.payload.set_pcr(3, &ZERO_MEASUREMENT);
    });
    assert!(appraise(&bytes, &image_expectations()).is_ok());
}

fn role() -> Digest384 {
    Digest384::of_role_arn(PayloadRecipe::EXAMPLE_ROLE_ARN)
}

#[test]
fn r33_each_register_is_compared() {
    for index in 0..32 {
        if index == 4 {
            continue; // Has a check of its own on top; below.
        }
        let value = measurement_of(&[index]);
        let bytes = changed(|r| r.payload.set_pcr(index.into(), &value));
        let expect = |digest| {
            // The image's own registers come as three.
            let mut builder = Expectations::builder().insecure_pcr0_only();
            builder = builder.pcr(pcr(index), digest);
            builder.build().unwrap()
        };
        let appraised = appraise(&bytes, &expect(Digest384::new(value))).unwrap();
        assert_eq!(
            appraised.report().outcome(CheckId::Pcr(pcr(index))),
            Outcome::Pass
        );
        let refusal = refused_for(CheckId::Pcr(pcr(index)), &bytes, &expect(OTHER));
        let check = refusal.report().check(refusal.reason());
        assert_eq!(check.expected.to_string(), OTHER.to_string());
        assert_eq!(
            check.observed.to_string(),
            Digest384::new(value).to_string()
        );
    }
}

#[test]
fn r33_an_absent_register_matches_nothing() {
    let expectations = with_image().pcr(PcrIndex::BUNDLE, OTHER).build().unwrap();
    let refusal = refused_for(
        CheckId::Pcr(PcrIndex::BUNDLE),
        &correct().mint(),
        &expectations,
    );
    assert!(refusal.to_string().ends_with("found absent"), "{refusal}");
    // Nor does one of another size, though it begins the same.
    let value = role();
    let cut = changed(|r| r.payload.set_pcr(3, &value.as_bytes()[..32]));
    let expectations = with_image().pcr(PcrIndex::ROLE, value).build().unwrap();
    refused_for(CheckId::Pcr(PcrIndex::ROLE), &cut, &expectations);
}

#[test]
fn r33_role_and_instance_tell_accounts_apart() {
    // The same image in a stranger's account.
    let id = CheckId::Pcr(PcrIndex::ROLE);
    let stranger = with_image().role_arn("arn:aws:iam::999999999999:role/stranger");
    refused_for(id, &correct().mint(), &stranger.build().unwrap());
    let id = CheckId::Pcr(PcrIndex::INSTANCE);
    let stranger = with_image().instance_id("i-0ffffffffffffffff");
    refused_for(id, &correct().mint(), &stranger.build().unwrap());
    // One of several is enough.
    let several = with_image()
        .pcr_any_of(PcrIndex::ROLE, [OTHER, role()])
        .build()
        .unwrap();
    assert!(appraise(&correct().mint(), &several).is_ok());
    let several = with_image()
        .pcr_any_of(PcrIndex::ROLE, [OTHER])
        .build()
        .unwrap();
    refused_for(CheckId::Pcr(PcrIndex::ROLE), &correct().mint(), &several);
}

#[test]
fn r33_pcr0_alone_is_possible_and_shows() {
    let [pcr0, ..] = image();
    let expectations = Expectations::builder()
        .pcr(PcrIndex::IMAGE, pcr0)
        .insecure_pcr0_only();
    let appraised = appraise(&correct().mint(), &expectations.build().unwrap()).unwrap();
    assert!(appraised.insecure_pcr0_only());
    let check = appraised.report().check(CheckId::MeasurementsComplete);
    assert_eq!(check.outcome, Outcome::NotApplicable);
    assert!(check.observed.to_string().contains("insecure_pcr0_only"));
    let complete = appraise(&correct().mint(), &image_expectations()).unwrap();
    assert_eq!(
        complete.report().outcome(CheckId::MeasurementsComplete),
        Outcome::Pass
    );
}

#[test]
fn pcr4_measures_the_instance_that_module_id_names() {
    let id = CheckId::DocumentPcr4ModuleId;
    let expectations = image_expectations();
    let other = changed(|r| {
        r.payload
            .set_pcr(4, &measurement_of(b"i-0ffffffffffffffff"))
    });
    refused_for(id, &other, &expectations);
    refused_for(id, &changed(|r| r.payload.remove_pcr(4)), &expectations);
    refused_for(
        id,
        &changed(|r| r.payload.set_pcr(4, &ZERO_MEASUREMENT)),
        &expectations,
    );
    for name in [
        "x",
        "i-0123456789abcdef0",
        "i-0123456789abcdef0-enc",
        "i--enc1",
        "-enc1",
    ] {
        let bytes = changed(|r| r.payload.module_id = name.to_owned());
        refused_for(id, &bytes, &expectations);
    }
    let elsewhere = Identity {
        instance_id: "i-0ffffffffffffffff".to_owned(),
        ..Identity::example()
    };
    assert!(appraise(&correct_for(&elsewhere).mint(), &expectations).is_ok());
}

#[test]
fn a_nitrotpm_document_is_refused_by_its_own_reason() {
    let bytes = changed(|r| {
        r.payload
            .edits
            .push(Edit::Rename("pcrs", Cbor::text("nitrotpm_pcrs")));
    });
    let expectations = Expectations::builder().nonce(&[1; 16]).build().unwrap();
    let bytes_with_nonce = changed(|r| {
        r.payload.nonce = Some(vec![1; 16]);
        r.payload
            .edits
            .push(Edit::Rename("pcrs", Cbor::text("nitrotpm_pcrs")));
    });
    refused_for(CheckId::DocumentKind, &bytes_with_nonce, &expectations);
    // Its registers are not read as an enclave's, though they have the very values expected.
    let refusal = appraise(&bytes, &image_expectations()).unwrap_err();
    assert_eq!(refusal.reason(), CheckId::DocumentKind);
    let failed = refusal.report().check(CheckId::Pcr(PcrIndex::IMAGE));
    assert_eq!(
        (failed.outcome, failed.observed.to_string().as_str()),
        (Outcome::Fail, "absent")
    );
}

#[test]
fn r27_age_is_bounded_and_both_sides_are_tested() {
    let at = |millis: u64| changed(|r| r.payload.timestamp = millis.into());
    let default = image_expectations();
    assert_eq!(default.max_age(), Duration::from_secs(300));
    assert!(appraise(&at(NOW_MILLIS - 300_000), &default).is_ok());
    let refusal = refused_for(CheckId::FreshAge, &at(NOW_MILLIS - 300_001), &default);
    assert!(
        refusal.to_string().contains("300s"),
        "the limit is in the report: {refusal}"
    );
    let narrow = with_image()
        .max_age(Duration::from_millis(10))
        .build()
        .unwrap();
    assert!(appraise(&at(NOW_MILLIS - 10), &narrow).is_ok());
    refused_for(CheckId::FreshAge, &at(NOW_MILLIS - 11), &narrow);
}

#[test]
fn r27_a_document_from_the_future_is_refused_beyond_the_skew() {
    let at = |millis: u64| changed(|r| r.payload.timestamp = millis.into());
    let default = image_expectations();
    assert_eq!(default.skew(), Duration::from_secs(60));
    assert!(appraise(&at(NOW_MILLIS + 60_000), &default).is_ok());
    let refusal = refused_for(CheckId::FreshFuture, &at(NOW_MILLIS + 60_001), &default);
    assert!(
        refusal.to_string().contains("60s"),
        "the limit is in the report: {refusal}"
    );
    let none = with_image().skew(Duration::ZERO).build().unwrap();
    assert!(appraise(&at(NOW_MILLIS), &none).is_ok());
    refused_for(CheckId::FreshFuture, &at(NOW_MILLIS + 1), &none);
    refused_for(CheckId::FreshFuture, &at(u64::MAX), &none);
}

#[test]
fn r26_the_nonce_is_the_callers() {
    let id = CheckId::BindNonce;
    let expectations = with_image().nonce(&[7; 16]).build().unwrap();
    refused_for(id, &correct().mint(), &expectations);
    for other in [vec![], vec![7; 15], vec![7; 17], vec![8; 16]] {
        refused_for(
            id,
            &changed(|r| r.payload.nonce = Some(other)),
            &expectations,
        );
    }
    assert!(
        appraise(
            &changed(|r| r.payload.nonce = Some(vec![7; 16])),
            &expectations
        )
        .is_ok()
    );
}

#[test]
fn r26_a_document_is_known_by_its_payload_and_not_by_its_signature() {
    let appraised = |recipe| {
        let bytes = changed(|r| r.envelope.signature = recipe);
        appraise(&bytes, &image_expectations()).unwrap()
    };
    let (low, high) = (
        appraised(SignatureRecipe::LowS),
        appraised(SignatureRecipe::HighS),
    );
    assert_eq!(low.payload_digest(), high.payload_digest());
    assert_eq!(
        low.payload_digest(),
        Digest384::sha384(low.fields().payload())
    );

    let mut seen = SeenDocuments::new(2, &image_expectations());
    seen.record(&low, NOW).unwrap();
    let refusal = seen.record(&high, NOW).unwrap_err();
    assert_eq!(refusal.reason(), CheckId::FreshSingleUse);
    only_failure(&refusal);
}

#[test]
fn r26_the_store_is_bounded_and_forgets_only_what_is_too_old() {
    let document = |millis: u64| {
        let bytes = changed(|r| r.payload.timestamp = millis.into());
        appraise(&bytes, &image_expectations()).unwrap()
    };
    let mut seen = SeenDocuments::new(2, &image_expectations());
    let first = document(NOW_MILLIS - 2);
    seen.record(&first, NOW).unwrap();
    seen.record(&document(NOW_MILLIS - 1), NOW).unwrap();
    let mut refused = |document: &_, now: UnixMillis| {
        let refusal = seen.record(document, now).unwrap_err();
        assert_eq!(refusal.reason(), CheckId::FreshSingleUse);
        refusal
            .report()
            .check(refusal.reason())
            .observed
            .to_string()
    };
    // Full: refused rather than forgotten.
    let third = document(NOW_MILLIS);
    assert_eq!(refused(&third, NOW), "a full store");
    // The last moment at which the first could be accepted again.
    let last = UnixMillis::from_millis(NOW_MILLIS - 2 + 300_000);
    assert!(image_expectations().max_age() == Duration::from_secs(300));
    assert_eq!(refused(&first, last), "a document that was accepted before");
    let after = UnixMillis::from_millis(last.as_millis() + 1);
    assert_eq!(
        refused(&first, after),
        "a document older than what is remembered"
    );
    // And though the clock is set back.
    assert_eq!(
        refused(&first, NOW),
        "a document older than what is remembered"
    );
    seen.record(&third, NOW).unwrap();
    assert_eq!(seen.len(), 2);
}

#[test]
fn user_data_is_what_is_expected() {
    let id = CheckId::BindUserData;
    let expectations = with_image().user_data(b"bound").build().unwrap();
    refused_for(id, &correct().mint(), &expectations);
    for other in [&b""[..], b"bound ", b"boun", b"Bound"] {
        let bytes = changed(|r| r.payload.user_data = Some(other.to_vec()));
        refused_for(id, &bytes, &expectations);
    }
    // Empty is a value, absent is none.
    let empty = with_image().user_data(b"").build().unwrap();
    assert!(appraise(&changed(|r| r.payload.user_data = Some(vec![])), &empty).is_ok());
    refused_for(id, &correct().mint(), &empty);
}

#[test]
fn r13_a_public_key_is_compared_when_it_is_expected() {
    let id = CheckId::BindPublicKey;
    let expectations = with_image().public_key(b"key").build().unwrap();
    refused_for(id, &correct().mint(), &expectations);
    refused_for(
        id,
        &changed(|r| r.payload.public_key = Some(vec![])),
        &expectations,
    );
    refused_for(
        id,
        &changed(|r| r.payload.public_key = Some(b"kez".to_vec())),
        &expectations,
    );
    assert!(appraise(&correct().mint(), &image_expectations()).is_ok());
}

#[test]
fn r36_every_failing_check_is_reported() {
    let bytes = changed(|r| {
        r.payload.set_debug_mode();
        r.payload.set_pcr(4, &measurement_of(b"i-1"));
        r.payload.timestamp = (NOW_MILLIS - 600_000).into();
    });
    let expectations = with_image()
        .pcr(PcrIndex::SIGNER, OTHER)
        .user_data(b"data")
        .nonce(&[7; 16])
        .public_key(b"key")
        .build()
        .unwrap();
    let expected = [
        CheckId::DocumentDebug,
        CheckId::DocumentPcr4ModuleId,
        CheckId::FreshAge,
        CheckId::Pcr(PcrIndex::IMAGE),
        CheckId::Pcr(PcrIndex::KERNEL),
        CheckId::Pcr(PcrIndex::APPLICATION),
        CheckId::Pcr(PcrIndex::SIGNER),
        CheckId::BindUserData,
        CheckId::BindNonce,
        CheckId::BindPublicKey,
    ];
    let refusal = appraise(&bytes, &expectations).unwrap_err();
    let failed = |r: &Refusal| {
        r.report()
            .failures()
            .map(|check| check.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(failed(&refusal), expected);
    assert_eq!(
        refusal.reason(),
        CheckId::DocumentDebug,
        "the first is the reason"
    );
    assert!(refusal.to_string().ends_with("(and 9 more)"), "{refusal}");
    let parsed = AttestationDocument::parse(&bytes).unwrap();
    let mut context = VerificationContext::default();
    let early = anchors().verify_and_appraise(&parsed, &expectations, NOW, &mut context);
    assert_eq!(failed(&early.unwrap_err()), expected);
    assert_eq!(context.signature_checks(), 0);
}

#[test]
fn expectations_that_hold_do_not_replace_signatures() {
    let bytes = changed(|r| r.envelope.signature = SignatureRecipe::Corrupted);
    let parsed = AttestationDocument::parse(&bytes).unwrap();
    let mut context = VerificationContext::default();
    let outcome = anchors().verify_and_appraise(&parsed, &image_expectations(), NOW, &mut context);
    assert_eq!(outcome.unwrap_err().reason(), CheckId::CoseSignature);
    assert_eq!(context.signature_checks(), 5);
}

#[test]
fn a_verified_document_does_not_outlive_its_chain() {
    let bytes = correct().mint();
    let verified = crate::support::verify(&bytes, narthex_verifier::Backend::default()).unwrap();
    let patient = with_image()
        .max_age(Duration::from_secs(1_000_000))
        .build()
        .unwrap();
    let end = verified.chain_not_after();
    assert!(patient.appraise(&verified, end).is_ok());
    let after = UnixMillis::from_millis(end.as_millis() + 1);
    let refusal = patient.appraise(&verified, after).unwrap_err();
    assert_eq!(refusal.reason(), CheckId::ChainExpired);
    assert_eq!(
        refusal.report().outcome(CheckId::ChainExpired),
        Outcome::Fail
    );
    only_failure(&refusal);
    let before = UnixMillis::from_millis(NOW_MILLIS - 86_400_000);
    let refusal = patient.appraise(&verified, before).unwrap_err();
    assert_eq!(refusal.reason(), CheckId::ChainNotYetValid);
}

#[test]
fn r18_replay_says_what_it_does_not_show() {
    let bytes = correct().mint();
    let parsed = AttestationDocument::parse(&bytes).unwrap();
    let mut context = VerificationContext::default();
    let replayed = anchors().verify_replay(&parsed, ReplayAt::DocumentTimestamp, &mut context);
    let replayed = replayed.unwrap();
    assert_eq!(replayed.judged_at(), None);
    let archived = image_expectations().appraise_replay(&replayed).unwrap();
    for id in [CheckId::FreshAge, CheckId::FreshFuture] {
        let check = archived.report().check(id);
        assert_eq!(check.outcome, Outcome::NotApplicable);
        assert!(
            check
                .observed
                .to_string()
                .contains("freshness is not shown")
        );
    }
    // At a stated time, age and future are judged at it.
    for (offset, reason) in [(300_000, None), (300_001, Some(CheckId::FreshAge))] {
        let at = ReplayAt::Time(later(Duration::from_millis(offset)));
        let outcome =
            anchors().verify_and_appraise_replay(&parsed, &image_expectations(), at, &mut context);
        assert_eq!(outcome.err().map(|refusal| refusal.reason()), reason);
        let replayed = anchors().verify_replay(&parsed, at, &mut context).unwrap();
        assert_eq!(
            replayed.judged_at(),
            Some(later(Duration::from_millis(offset)))
        );
        let outcome = image_expectations().appraise_replay(&replayed);
        assert_eq!(outcome.err().map(|refusal| refusal.reason()), reason);
    }
}

#[test]
fn one_call_judges_a_workload() {
    let bundle = b"schema = \"policy\"";
    let attested_data = [9; 32];
    let document = |bundle: &[u8], user_data: Vec<u8>| {
        changed(|r| {
            r.payload
                .set_pcr(16, Digest384::of_bundle_bytes(bundle).as_bytes());
            r.payload.user_data = Some(user_data);
        })
    };
    let prefixed = |data: &[u8]| [&b"narthex/v1/workload\0"[..], data].concat();
    let [pcr0, pcr1, pcr2] = image();
    let workload = Workload {
        pcr0,
        pcr1,
        pcr2,
        bundle: Digest384::sha384(bundle),
        attested_data: &attested_data,
    };
    let judge = |bytes: &[u8]| {
        let mut context = VerificationContext::default();
        workload.check_under(&anchors(), bytes, NOW, &mut context)
    };
    let reason = |bytes: &[u8]| match judge(bytes) {
        Err(WorkloadError::Refused(refusal)) => refusal.reason(),
        other => panic!("{other:?}"),
    };
    let good = document(bundle, prefixed(&attested_data));
    assert!(judge(&good).is_ok());
    // Another policy, no policy, other data, data without the prefix.
    let bundle_check = CheckId::Pcr(PcrIndex::BUNDLE);
    assert_eq!(
        reason(&document(b"another", prefixed(&attested_data))),
        bundle_check
    );
    assert_eq!(
        reason(&changed(
            |r| r.payload.user_data = Some(prefixed(&attested_data))
        )),
        bundle_check
    );
    assert_eq!(
        reason(&document(bundle, prefixed(&[8; 32]))),
        CheckId::BindUserData
    );
    assert_eq!(
        reason(&document(bundle, attested_data.to_vec())),
        CheckId::BindUserData
    );
    assert_eq!(reason(b"junk"), CheckId::CborTruncated);
    // Under AWS's root, which is the one call's, no such document is genuine.
    let Err(WorkloadError::Refused(refusal)) = workload.check(&good, NOW) else {
        panic!()
    };
    assert_eq!(refusal.reason(), CheckId::ChainRoot);
    assert_eq!(refusal.reason().stage(), Stage::Chain);
    // A measurement of zero is the caller's mistake.
    let zero = Workload {
        pcr0: Digest384::new([0; 48]),
        ..workload
    };
    assert!(matches!(
        zero.check(&good, NOW),
        Err(WorkloadError::Misuse(_))
    ));
}
