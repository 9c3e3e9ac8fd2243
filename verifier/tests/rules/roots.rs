//! R17, R55, R56: which roots are trusted, and how the others are called.

use narthex_nsm::mock::machine::{MachineSigner, UnsignedDocument};
use narthex_nsm::mock::mint::{DevelopmentAuthority, DocumentRecipe};
use narthex_nsm::mock::{ManualClock, MockConfig, MockNsm};
use narthex_nsm::{AttestationRequest, Nsm};
use narthex_verifier::{
    AnchorKind, AttestationDocument, CheckId, Digest384, Expectations, Outcome, TrustAnchors,
    VerificationContext,
};

use crate::support::{NOW, NOW_MILLIS, anchors, correct, only_failure};

#[track_caller]
fn judged_by_aws_root(bytes: &[u8]) -> narthex_verifier::Refusal {
    let parsed = AttestationDocument::parse(bytes).unwrap();
    let mut context = VerificationContext::default();
    let refusal = TrustAnchors::aws()
        .verify(&parsed, NOW, &mut context)
        .unwrap_err();
    assert_eq!(context.signature_checks(), 0, "refused at no cost");
    only_failure(&refusal);
    refusal
}

#[test]
fn r17_another_root_is_refused_though_it_has_the_same_name() {
    let refusal = judged_by_aws_root(&correct().mint());
    assert_eq!(refusal.reason(), CheckId::ChainRoot);
    assert_eq!(TrustAnchors::aws().anchor().kind(), AnchorKind::Aws);
    let fingerprint = TrustAnchors::aws().anchor().to_string();
    assert!(
        fingerprint.ends_with("641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b")
    );
}

#[test]
fn r56_a_mock_document_is_refused_by_its_own_reason() {
    let authority = DevelopmentAuthority::insecure_fixed();
    let refusal = judged_by_aws_root(&DocumentRecipe::new(&authority, NOW_MILLIS).mint());
    assert_eq!(refusal.reason(), CheckId::ChainDevelopmentRoot);
    // And so is what the mock NSM itself serves.
    let nsm = MockNsm::new(authority, MockConfig::example());
    let document = nsm.attest(AttestationRequest::default()).unwrap();
    assert_eq!(
        judged_by_aws_root(&document).reason(),
        CheckId::ChainDevelopmentRoot
    );
    // Under a custom root it is no more welcome.
    let parsed = AttestationDocument::parse(&document).unwrap();
    let outcome = anchors().verify(&parsed, NOW, &mut VerificationContext::default());
    assert_eq!(outcome.unwrap_err().reason(), CheckId::ChainDevelopmentRoot);
}

#[test]
fn r56_only_a_development_build_can_trust_a_development_root() {
    let authority = DevelopmentAuthority::insecure_fixed();
    let anchors = TrustAnchors::from_root_certificate(authority.root_certificate());
    if !cfg!(feature = "dev-root") {
        assert_eq!(anchors.unwrap_err().id(), "chain.development_root");
        return;
    }
    let anchors = anchors.unwrap();
    assert_eq!(anchors.anchor().kind(), AnchorKind::InsecureDevelopment);
    let bytes = DocumentRecipe::new(&authority, NOW_MILLIS).mint();
    let parsed = AttestationDocument::parse(&bytes).unwrap();
    let verified = anchors
        .verify(&parsed, NOW, &mut VerificationContext::default())
        .unwrap();
    // The result shows it.
    assert_eq!(verified.anchor().id(), "insecure-development");
    let outcome = verified.report().outcome(CheckId::ChainDevelopmentRoot);
    assert_eq!(outcome, Outcome::NotApplicable);
    // Another development root stays untrusted, and is called what it is.
    let other = DevelopmentAuthority::insecure_from_seed(b"other");
    let bytes = DocumentRecipe::new(&other, NOW_MILLIS).mint();
    let parsed = AttestationDocument::parse(&bytes).unwrap();
    let refusal = anchors
        .verify(&parsed, NOW, &mut VerificationContext::default())
        .unwrap_err();
    assert_eq!(refusal.reason(), CheckId::ChainDevelopmentRoot);
}

#[test]
fn r55_a_mock_document_has_the_layout_of_a_genuine_one() {
    let minted = correct().mint_parts();
    let parsed = AttestationDocument::parse(&minted.document).unwrap();
    let summaries = parsed.certificate_summaries();
    assert_eq!(summaries.len(), 5);
    let lifetimes: Vec<u64> = summaries
        .iter()
        .map(|c| (c.not_after.as_millis() - c.not_before.as_millis()) / 1000)
        .collect();
    // Leaf 3:00:03, instance 24 h, as AWS has them.
    assert_eq!(lifetimes[4], 3 * 3600 + 3);
    assert_eq!(lifetimes[3], 24 * 3600);
    assert!(lifetimes.is_sorted_by(|above, below| above > below));
    assert!((4000..5200).contains(&minted.document.len()));
}

#[test]
fn what_is_no_root_is_no_anchor() {
    let minted = correct().mint_parts();
    let error = |der: &[u8]| TrustAnchors::from_root_certificate(der).unwrap_err().id();
    assert_eq!(error(b"junk"), "anchor.not_a_certificate");
    assert_eq!(error(&[]), "anchor.not_a_certificate");
    assert_eq!(error(&minted.chain.cabundle[1]), "anchor.not_a_root");
    assert_eq!(error(&minted.chain.leaf), "anchor.not_a_root");
    let mut trailing = minted.chain.cabundle[0].clone();
    trailing.push(0);
    assert_eq!(error(&trailing), "anchor.not_a_certificate");
}

/// What QEMU's NSM said, captured; `nsm/docs/machine-signing.md`.
const OF_A_MACHINE: &[u8] = include_bytes!("../../../nsm/tests/machine/unsigned-1.bin");

#[test]
fn r56_a_machines_document_is_accepted_once_it_is_signed_and_only_under_its_root() {
    let unsigned = AttestationDocument::parse(OF_A_MACHINE).unwrap_err();
    assert_eq!(unsigned.reason(), CheckId::CoseAlgorithm);

    let authority = DevelopmentAuthority::insecure_fixed();
    let signer = MachineSigner::new(authority.clone(), ManualClock::new(NOW_MILLIS));
    let bytes = signer.sign(OF_A_MACHINE).unwrap();
    assert_eq!(
        judged_by_aws_root(&bytes).reason(),
        CheckId::ChainDevelopmentRoot
    );
    if !cfg!(feature = "dev-root") {
        return;
    }
    let said = UnsignedDocument::parse(OF_A_MACHINE).unwrap();
    let [pcr0, pcr1, pcr2] = [0, 1, 2].map(|index| Digest384::new(said.pcrs[index].1));
    let expectations = Expectations::builder()
        .image(pcr0, pcr1, pcr2)
        .build()
        .unwrap();
    let parsed = AttestationDocument::parse(&bytes).unwrap();
    TrustAnchors::from_root_certificate(authority.root_certificate())
        .unwrap()
        .verify_and_appraise(
            &parsed,
            &expectations,
            NOW,
            &mut VerificationContext::default(),
        )
        .unwrap();
}
