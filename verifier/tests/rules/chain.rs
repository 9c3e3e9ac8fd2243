//! R15, R16, R18 to R20, R23, R24, R27: how certificates hang together.

use std::time::Duration;

use narthex_nsm::mock::mint::{
    CertificateRecipe, Criticality, Der, DocumentRecipe, Extension, KeyPair, KeyUsage, Link, Name,
    SignatureRecipe, TimeField, oid,
};
use narthex_verifier::{
    AttestationDocument, CheckId, DenyList, Outcome, Refusal, UnixMillis, VerificationContext,
    Verified,
};

use crate::support::{NOW, accepted, anchors, anchors_of, correct, only_failure, refused};

/// A certificate's name in messages, and how to reach it.
type Place = (&'static str, fn(&mut DocumentRecipe) -> &mut Link);

/// Below the root, which cannot be changed without becoming another root.
const BELOW: [Place; 4] = [
    ("cabundle[1] (region)", |r| &mut r.chain.region),
    ("cabundle[2] (zone)", |r| &mut r.chain.zone),
    ("cabundle[3] (instance)", |r| &mut r.chain.instance),
    ("leaf", |r| &mut r.chain.leaf),
];

/// The change below the root is refused for this reason, and the place is named.
#[track_caller]
fn refused_at(id: CheckId, (place, link): Place, change: impl FnOnce(&mut CertificateRecipe)) {
    let refusal = refused(id, |r| change(&mut link(r).certificate));
    assert!(refusal.to_string().contains(place), "{refusal}");
}

/// Judged under whatever root the recipe has, so that a root's own faults show.
#[track_caller]
fn judge_root(change: impl FnOnce(&mut CertificateRecipe)) -> Result<Verified, Refusal> {
    let mut recipe = correct();
    change(&mut recipe.chain.root.certificate);
    let minted = recipe.mint_parts();
    let parsed = AttestationDocument::parse(&minted.document).unwrap();
    anchors_of(&minted).verify(&parsed, NOW, &mut VerificationContext::default())
}

#[test]
fn r15_the_root_comes_first() {
    let bundle = correct().mint_parts().chain.cabundle;
    let reversed: Vec<_> = bundle.iter().rev().cloned().collect();
    let refusal = refused(CheckId::ChainOrder, |r| r.payload.cabundle = Some(reversed));
    assert!(refusal.to_string().contains("cabundle[3]"), "{refusal}");
    let swapped = [1, 0, 2, 3]
        .map(|index: usize| bundle[index].clone())
        .to_vec();
    refused(CheckId::ChainOrder, |r| r.payload.cabundle = Some(swapped));
}

#[test]
fn r15_the_last_one_issues_the_leaf() {
    let bundle = correct().mint_parts().chain.cabundle;
    for order in [
        &[0_usize, 2, 1, 3][..],
        &[0, 1, 3, 2],
        &[0, 1, 2],
        &[0, 1, 2, 3, 3],
        &[0],
    ] {
        let other: Vec<_> = order.iter().map(|index| bundle[*index].clone()).collect();
        refused(CheckId::ChainNames, |r| r.payload.cabundle = Some(other));
    }
}

#[test]
fn r16_the_key_at_the_end_of_the_path_signs() {
    // The document's leaf is another than the one whose key signed it.
    let other = KeyPair::insecure_from_seed(b"another leaf");
    let mut recipe = correct();
    recipe.chain.leaf.set_key(other);
    let other_leaf = recipe.mint_parts().chain.leaf;
    refused(CheckId::CoseSignature, |r| {
        r.payload.certificate = Some(other_leaf)
    });
    // Nor may an authority of the path sign.
    let instance = correct().chain.instance.key;
    refused(CheckId::CoseSignature, |r| {
        r.envelope.signature = SignatureRecipe::By(instance);
    });
}

#[test]
fn each_certificate_is_signed_by_the_one_above() {
    for (place, link) in BELOW {
        let at = (place, link);
        refused_at(CheckId::ChainSignature, at, |c| {
            c.signature = SignatureRecipe::Corrupted
        });
        let forger = SignatureRecipe::By(KeyPair::insecure_from_seed(b"forger"));
        refused_at(CheckId::ChainSignature, at, |c| c.signature = forger);
        refused_at(CheckId::ChainSignature, at, |c| {
            c.signature = SignatureRecipe::OverSha256
        });
        accepted(|r| link(r).certificate.signature = SignatureRecipe::HighS);
        accepted(|r| link(r).certificate.signature = SignatureRecipe::LowS);
    }
    // What is signed is the certificate as it came, not as it is understood.
    refused(CheckId::ChainSignature, |r| {
        let mut signed = r.chain.zone.certificate.tbs_der().to_bytes();
        let last = signed.len() - 1;
        signed[last] ^= 1;
        r.chain.zone.certificate.signature =
            SignatureRecipe::Raw(asn1(&r.chain.region.key.sign(&signed).to_bytes()));
    });
}

fn asn1(fixed: &[u8]) -> Vec<u8> {
    let (r, s) = fixed.split_at(48);
    Der::sequence(vec![Der::unsigned(r), Der::unsigned(s)]).to_bytes()
}

#[test]
fn r20_names_are_those_above() {
    for at in BELOW {
        refused_at(CheckId::ChainNames, at, |c| {
            c.issuer = Name::aws_short("somebody.else")
        });
    }
    // The same letters in another order of attributes are another name.
    refused(CheckId::ChainNames, |r| {
        r.chain.region.certificate.issuer.0.reverse()
    });
    // A root that was issued by somebody else is none.
    let mut recipe = correct();
    recipe.chain.root.certificate.issuer = Name::aws_short("somebody.else");
    let root = &recipe.mint_parts().chain.cabundle[0];
    let error = narthex_verifier::TrustAnchors::from_root_certificate(root).unwrap_err();
    assert_eq!(error.id(), "anchor.not_a_root");
}

#[test]
fn r20_authorities_say_so_in_a_critical_basic_constraints() {
    let id = CheckId::ChainBasicConstraints;
    for at in BELOW.into_iter().take(3) {
        refused_at(id, at, |c| c.remove_extension(oid::BASIC_CONSTRAINTS));
        refused_at(id, at, |c| c.set_extension(Extension::end_entity()));
        refused_at(id, at, |c| {
            let constraints = c.extension_mut(oid::BASIC_CONSTRAINTS).unwrap();
            constraints.critical = Criticality::NotCritical;
        });
    }
    let root = judge_root(|c| c.remove_extension(oid::BASIC_CONSTRAINTS)).unwrap_err();
    assert_eq!(root.reason(), id);
}

#[test]
fn r20_path_lengths_suffice() {
    let id = CheckId::ChainPathLen;
    let set =
        |length| move |c: &mut CertificateRecipe| c.set_extension(Extension::authority(length));
    // Region: two authorities below; zone: one.
    refused_at(id, BELOW[0], set(Some(1)));
    refused_at(id, BELOW[0], set(Some(0)));
    refused_at(id, BELOW[1], set(Some(0)));
    for (index, enough) in [(0, 2), (0, 3), (0, 255), (1, 1), (2, 0)] {
        accepted(|r| set(Some(enough))(&mut BELOW[index].1(r).certificate));
        accepted(|r| set(None)(&mut BELOW[index].1(r).certificate));
    }
    // The root: three below.
    assert_eq!(judge_root(set(Some(2))).unwrap_err().reason(), id);
    assert!(judge_root(set(Some(3))).is_ok());
    // An authority more than the instance allows, and one that it allows.
    refused(id, |r| r.chain.insert_authority("one.more", Some(0)));
    accepted(|r| {
        r.chain.insert_authority("one.more", Some(0));
        r.chain
            .region
            .certificate
            .set_extension(Extension::authority(Some(3)));
        r.chain
            .zone
            .certificate
            .set_extension(Extension::authority(Some(2)));
        r.chain
            .instance
            .certificate
            .set_extension(Extension::authority(Some(1)));
    });
}

#[test]
fn r20_oversize_path_lengths_do_not_wrap() {
    for value in [&[1, 0][..], &[1, 0, 0, 0, 2], &[1, 0, 0, 0, 0, 0, 0, 0, 2]] {
        refused_at(CheckId::ChainPathLen, BELOW[0], |c| {
            let fields = vec![Der::boolean(0xff), Der::unsigned(value)];
            c.set_extension(Extension::basic_constraints(fields));
        });
    }
}

#[test]
fn r20_authorities_may_sign_certificates() {
    let id = CheckId::ChainKeyUsage;
    let usage = |bits| Extension::key_usage(bits, Criticality::Critical);
    for at in BELOW.into_iter().take(3) {
        refused_at(id, at, |c| c.remove_extension(oid::KEY_USAGE));
        let others = KeyUsage::DIGITAL_SIGNATURE.and(KeyUsage::CRL_SIGN);
        refused_at(id, at, |c| c.set_extension(usage(others)));
    }
    let root = judge_root(|c| c.set_extension(usage(KeyUsage::CRL_SIGN))).unwrap_err();
    assert_eq!(root.reason(), id);
}

#[test]
fn r20_the_leaf_is_no_authority() {
    refused(CheckId::ChainLeafNotCa, |r| {
        r.chain
            .leaf
            .certificate
            .set_extension(Extension::authority(None));
    });
    refused(CheckId::ChainPathLen, |r| {
        let fields = vec![Der::unsigned(&[0])];
        r.chain
            .leaf
            .certificate
            .set_extension(Extension::basic_constraints(fields));
    });
    accepted(|r| {
        r.chain
            .leaf
            .certificate
            .remove_extension(oid::BASIC_CONSTRAINTS)
    });
}

#[test]
fn r20_the_leaf_may_sign_documents() {
    let id = CheckId::ChainLeafKeyUsage;
    refused(id, |r| {
        r.chain.leaf.certificate.remove_extension(oid::KEY_USAGE)
    });
    refused(id, |r| {
        let usage = Extension::key_usage(KeyUsage::NON_REPUDIATION, Criticality::NotCritical);
        r.chain.leaf.certificate.set_extension(usage);
    });
    for critical in [Criticality::Critical, Criticality::NotCritical] {
        accepted(|r| {
            let usage = Extension::key_usage(KeyUsage::DIGITAL_SIGNATURE, critical);
            r.chain.leaf.certificate.set_extension(usage);
        });
    }
}

/// The verifier's clock in whole seconds, as certificates count.
const SECOND: u64 = crate::support::NOW_MILLIS / 1000 * 1000;

#[track_caller]
fn judge_at(
    now_millis: u64,
    skew: Duration,
    change: impl FnOnce(&mut DocumentRecipe),
) -> Result<Verified, Refusal> {
    let bytes = crate::support::changed(change);
    let parsed = AttestationDocument::parse(&bytes).unwrap();
    let mut context = VerificationContext::default().with_skew(skew);
    let outcome = anchors().verify(&parsed, UnixMillis::from_millis(now_millis), &mut context);
    if let Err(refusal) = &outcome {
        only_failure(refusal);
        assert_eq!(context.signature_checks(), 0, "refused at no cost");
    }
    outcome
}

#[test]
fn r18_the_verifiers_clock_decides_and_not_the_documents() {
    // The document says a time at which everything was valid; the clock says otherwise.
    for at in BELOW {
        let ended = TimeField::utc_from_millis(SECOND - 1000);
        let outcome = judge_at(SECOND, Duration::ZERO, |r| {
            r.payload.timestamp = (SECOND - 60_000).into();
            at.1(r).certificate.not_after = ended;
        });
        let refusal = outcome.unwrap_err();
        assert_eq!(refusal.reason(), CheckId::ChainExpired);
        assert!(
            refusal.to_string().contains(&format!("the {} ended", at.0)),
            "{refusal}"
        );
    }
}

#[test]
fn r18_the_root_is_judged_too() {
    let ended = |c: &mut CertificateRecipe| c.not_after = TimeField::utc_from_millis(SECOND - 1000);
    assert_eq!(
        judge_root(ended).unwrap_err().reason(),
        CheckId::ChainExpired
    );
    let begins = |c: &mut CertificateRecipe| {
        c.not_before = TimeField::utc_from_millis(SECOND + 120_000);
    };
    assert_eq!(
        judge_root(begins).unwrap_err().reason(),
        CheckId::ChainNotYetValid
    );
}

#[test]
fn r23_both_ends_are_inclusive() {
    for (_, link) in BELOW {
        let ends = |r: &mut DocumentRecipe| {
            link(r).certificate.not_after = TimeField::utc_from_millis(SECOND);
        };
        assert!(judge_at(SECOND, Duration::ZERO, ends).is_ok());
        let refusal = judge_at(SECOND + 1, Duration::ZERO, ends).unwrap_err();
        assert_eq!(refusal.reason(), CheckId::ChainExpired);
        // There is no allowance at this end.
        let refusal = judge_at(SECOND + 1, Duration::from_secs(60), ends).unwrap_err();
        assert_eq!(refusal.reason(), CheckId::ChainExpired);

        let begins = |r: &mut DocumentRecipe| {
            link(r).certificate.not_before = TimeField::utc_from_millis(SECOND);
        };
        assert!(judge_at(SECOND, Duration::ZERO, begins).is_ok());
        let refusal = judge_at(SECOND - 1, Duration::ZERO, begins).unwrap_err();
        assert_eq!(refusal.reason(), CheckId::ChainNotYetValid);
    }
}

#[test]
fn r27_a_leaf_from_the_future_is_not_yet_valid_beyond_the_skew() {
    let begins = |r: &mut DocumentRecipe| {
        r.chain.leaf.certificate.not_before = TimeField::utc_from_millis(SECOND + 60_000);
    };
    let skew = Duration::from_secs(60);
    assert!(judge_at(SECOND, skew, begins).is_ok());
    let refusal = judge_at(SECOND - 1, skew, begins).unwrap_err();
    assert_eq!(refusal.reason(), CheckId::ChainNotYetValid);
    assert!(refusal.to_string().contains("the leaf begins"), "{refusal}");
    // One minute unless stated, and never more than a quarter of an hour.
    assert_eq!(VerificationContext::default().skew(), skew);
    let most = VerificationContext::default()
        .with_skew(Duration::from_secs(3600))
        .skew();
    assert_eq!(most, Duration::from_secs(900));
}

#[test]
fn r24_denied_certificates_are_refused_and_others_are_not() {
    let minted = correct().mint_parts();
    let parsed = AttestationDocument::parse(&minted.document).unwrap();
    let chain = minted.chain.cabundle.iter().chain([&minted.chain.leaf]);
    for (der, place) in chain.zip(["root", "region", "zone", "instance", "leaf"]) {
        let mut list = DenyList::new();
        list.deny_certificate(der).unwrap();
        let mut context = VerificationContext::default().with_deny_list(list);
        let refusal = anchors().verify(&parsed, NOW, &mut context).unwrap_err();
        assert_eq!(refusal.reason(), CheckId::ChainDenied);
        assert!(refusal.to_string().contains(place), "{refusal}");
        only_failure(&refusal);
        assert_eq!(context.signature_checks(), 0);
    }
    let mut list = DenyList::new();
    list.deny(b"another issuer", &[1]);
    let mut context = VerificationContext::default().with_deny_list(list);
    let verified = anchors().verify(&parsed, NOW, &mut context).unwrap();
    assert_eq!(
        verified.report().outcome(CheckId::ChainDenied),
        Outcome::Pass
    );
    let verified = accepted(|_| {});
    assert_eq!(
        verified.report().outcome(CheckId::ChainDenied),
        Outcome::NotApplicable
    );
}
