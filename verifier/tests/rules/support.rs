//! Correct documents, and the judgement of changed ones.

use std::sync::OnceLock;
use std::time::Duration;

use narthex_nsm::mock::mint::{DevelopmentAuthority, DocumentRecipe, Identity, Minted, Name};
use narthex_verifier::{
    Appraised, AttestationDocument, Backend, CheckId, Digest384, Expectations, Outcome, Refusal,
    Report, TrustAnchors, UnixMillis, VerificationContext, Verified,
};

/// When the documents are made, and the verifier's clock: 2026-08-03T19:36:15.857Z.
pub(crate) const NOW_MILLIS: u64 = 1_785_785_775_857;
pub(crate) const NOW: UnixMillis = UnixMillis::from_millis(NOW_MILLIS);

pub(crate) fn later(duration: Duration) -> UnixMillis {
    NOW.saturating_add(duration)
}

/// A correct document, under a root whose subject is AWS's.
pub(crate) fn correct() -> DocumentRecipe {
    correct_for(&Identity::example())
}

pub(crate) fn correct_for(identity: &Identity) -> DocumentRecipe {
    let authority = DevelopmentAuthority::insecure_fixed();
    let mut recipe = DocumentRecipe::for_identity(&authority, identity, NOW_MILLIS);
    let name = Name::aws_short("aws.nitro-enclaves");
    recipe.chain.root.certificate.subject = name.clone();
    recipe.chain.root.certificate.issuer = name.clone();
    recipe.chain.region.certificate.issuer = name;
    recipe
}

/// The root of these recipes, unless the test changed it.
pub(crate) fn anchors() -> TrustAnchors {
    static ANCHORS: OnceLock<TrustAnchors> = OnceLock::new();
    ANCHORS
        .get_or_init(|| anchors_of(&correct().mint_parts()))
        .clone()
}

pub(crate) fn anchors_of(minted: &Minted) -> TrustAnchors {
    TrustAnchors::from_root_certificate(&minted.chain.cabundle[0]).unwrap()
}

pub(crate) fn verify(bytes: &[u8], backend: Backend) -> Result<Verified, Refusal> {
    let parsed = AttestationDocument::parse(bytes)?;
    anchors().verify(&parsed, NOW, &mut VerificationContext::new(backend))
}

/// What the recipes' image measures.
pub(crate) fn image() -> [Digest384; 3] {
    [0, 1, 2].map(|index| {
        Digest384::new(narthex_nsm::mock::mint::PayloadRecipe::example_measurement(
            index,
        ))
    })
}

pub(crate) fn image_expectations() -> Expectations {
    let [pcr0, pcr1, pcr2] = image();
    Expectations::builder()
        .image(pcr0, pcr1, pcr2)
        .build()
        .unwrap()
}

pub(crate) fn appraise(bytes: &[u8], expectations: &Expectations) -> Result<Appraised, Refusal> {
    expectations.appraise(&verify(bytes, Backend::default())?, NOW)
}

/// A correct document, changed.
pub(crate) fn changed(change: impl FnOnce(&mut DocumentRecipe)) -> Vec<u8> {
    let mut recipe = correct();
    change(&mut recipe);
    recipe.mint()
}

/// The change is refused for this reason and no other, by every backend.
#[track_caller]
pub(crate) fn refused(id: CheckId, change: impl FnOnce(&mut DocumentRecipe)) -> Refusal {
    refused_bytes(id, &changed(change))
}

#[track_caller]
pub(crate) fn refused_bytes(id: CheckId, bytes: &[u8]) -> Refusal {
    let mut refusals = Backend::ALL
        .iter()
        .map(|backend| verify(bytes, *backend).unwrap_err());
    let refusal = refusals.next().unwrap();
    assert!(
        refusals.all(|other| other == refusal),
        "the backends differ"
    );
    assert_eq!(refusal.reason(), id, "{refusal}");
    only_failure(&refusal);
    refusal
}

#[track_caller]
pub(crate) fn only_failure(refusal: &Refusal) {
    let failures: Vec<_> = refusal.report().failures().map(|check| check.id).collect();
    assert_eq!(failures, [refusal.reason()], "{refusal}");
    let check = refusal.report().check(refusal.reason());
    assert!(
        !check.expected.is_empty() && !check.observed.is_empty(),
        "{check:?}"
    );
}

/// The change makes no difference to any backend.
#[track_caller]
pub(crate) fn accepted(change: impl FnOnce(&mut DocumentRecipe)) -> Verified {
    let bytes = changed(change);
    let mut verified = Backend::ALL
        .iter()
        .map(|backend| verify(&bytes, *backend).unwrap());
    let first = verified.next().unwrap();
    assert!(verified.all(|other| other.report() == first.report()));
    no_failure(first.report());
    first
}

#[track_caller]
pub(crate) fn no_failure(report: &Report) {
    let failed = report
        .checks()
        .into_iter()
        .find(|check| check.outcome == Outcome::Fail);
    assert_eq!(failed, None);
}
