//! R19 and the cost of a document: signature checks, and what a cache may remember.

use std::sync::Arc;
use std::time::Duration;

use narthex_nsm::mock::mint::{
    DocumentRecipe, Identity, KeyPair, Name, SignatureRecipe, TimeField,
};
use narthex_verifier::{
    AttestationDocument, Backend, ChainCache, CheckId, DenyList, Outcome, Refusal, ReplayAt,
    TrustAnchors, UnixMillis, VerificationContext, Verified,
};

use crate::support::{NOW, NOW_MILLIS, anchors, anchors_of, correct, correct_for, later};

fn caching(backend: Backend) -> VerificationContext {
    VerificationContext::new(backend).with_cache(ChainCache::with_capacity(16))
}

fn verify_at(
    bytes: &[u8],
    now: UnixMillis,
    context: &mut VerificationContext,
) -> Result<Verified, Refusal> {
    let parsed = AttestationDocument::parse(bytes)?;
    anchors().verify(&parsed, now, context)
}

/// How many signatures one more document costs.
#[track_caller]
fn cost(recipe: &DocumentRecipe, context: &mut VerificationContext) -> u64 {
    let before = context.signature_checks();
    verify_at(&recipe.mint(), NOW, context).unwrap();
    context.signature_checks() - before
}

/// The same enclave with a leaf that was issued at another time.
fn with_another_leaf() -> DocumentRecipe {
    let mut recipe = correct();
    recipe
        .chain
        .leaf
        .set_key(KeyPair::insecure_from_seed(b"new leaf"));
    recipe.chain.leaf.certificate.serial = vec![0x11; 16];
    recipe
}

fn elsewhere(number: u8) -> DocumentRecipe {
    correct_for(&Identity {
        instance_id: format!("i-{number:017x}"),
        ..Identity::example()
    })
}

#[test]
fn a_document_costs_5_then_2_then_1() {
    for backend in Backend::ALL {
        let mut context = caching(*backend);
        assert_eq!(cost(&correct(), &mut context), 5, "never seen");
        assert_eq!(
            cost(&with_another_leaf(), &mut context),
            2,
            "known instance, new leaf"
        );
        assert_eq!(cost(&correct(), &mut context), 1, "known leaf");
        assert_eq!(cost(&with_another_leaf(), &mut context), 1, "known leaf");
        assert_eq!(cost(&elsewhere(1), &mut context), 5, "another instance");
        assert_eq!(context.cache.len(), 3);
    }
}

#[test]
fn without_a_cache_every_document_costs_5() {
    let mut context = VerificationContext::default();
    assert_eq!(
        [
            cost(&correct(), &mut context),
            cost(&correct(), &mut context)
        ],
        [5, 5]
    );
    assert!(context.cache.is_empty());
}

#[test]
fn a_known_chain_does_not_vouch_for_the_document() {
    let mut context = caching(Backend::default());
    cost(&correct(), &mut context);
    let mut forged = correct();
    forged.envelope.signature = SignatureRecipe::By(KeyPair::insecure_from_seed(b"forger"));
    let refusal = verify_at(&forged.mint(), NOW, &mut context).unwrap_err();
    assert_eq!(refusal.reason(), CheckId::CoseSignature);
}

#[test]
fn a_known_issuer_does_not_vouch_for_a_leaf() {
    let mut context = caching(Backend::default());
    cost(&correct(), &mut context);
    let refused = |change: fn(&mut DocumentRecipe), context: &mut VerificationContext| {
        let mut recipe = with_another_leaf();
        change(&mut recipe);
        let before = context.signature_checks();
        let refusal = verify_at(&recipe.mint(), NOW, context).unwrap_err();
        (refusal.reason(), context.signature_checks() - before)
    };
    let forged = |r: &mut DocumentRecipe| {
        r.chain.leaf.certificate.signature = SignatureRecipe::Corrupted;
    };
    assert_eq!(refused(forged, &mut context), (CheckId::ChainSignature, 1));
    let named = |r: &mut DocumentRecipe| {
        r.chain.leaf.certificate.issuer = Name::aws_short("somebody.else");
    };
    assert_eq!(refused(named, &mut context), (CheckId::ChainNames, 0));
    let ended = |r: &mut DocumentRecipe| {
        r.chain.leaf.certificate.not_after = TimeField::utc_from_millis(NOW_MILLIS - 1000);
    };
    assert_eq!(refused(ended, &mut context), (CheckId::ChainExpired, 0));
    let authority = |r: &mut DocumentRecipe| {
        r.chain
            .leaf
            .certificate
            .remove_extension(narthex_nsm::mock::mint::oid::KEY_USAGE);
    };
    assert_eq!(
        refused(authority, &mut context),
        (CheckId::ChainLeafKeyUsage, 0)
    );
    let trailing = |r: &mut DocumentRecipe| r.chain.leaf.certificate.trailing = vec![0];
    assert_eq!(
        refused(trailing, &mut context),
        (CheckId::CertificateTrailingBytes, 0)
    );
}

#[test]
fn a_forged_leaf_leaves_its_genuine_issuer_known() {
    let mut context = caching(Backend::default());
    let mut forged = correct();
    forged.chain.leaf.certificate.signature = SignatureRecipe::Corrupted;
    verify_at(&forged.mint(), NOW, &mut context).unwrap_err();
    assert!(context.cache.is_empty(), "the leaf is not remembered");
    assert_eq!(cost(&correct(), &mut context), 2);
}

#[test]
fn a_failed_chain_is_not_remembered() {
    let mut context = caching(Backend::default());
    let mut forged = correct();
    forged.chain.instance.certificate.signature = SignatureRecipe::Corrupted;
    for _ in 0..2 {
        let refusal = verify_at(&forged.mint(), NOW, &mut context).unwrap_err();
        assert_eq!(refusal.reason(), CheckId::ChainSignature);
    }
    assert_eq!(cost(&correct(), &mut context), 5);
}

#[test]
fn r19_a_known_chain_ends_with_its_earliest_certificate() {
    type Place = fn(&mut DocumentRecipe) -> &mut TimeField;
    let places: [(&str, Place); 4] = [
        ("region", |r| &mut r.chain.region.certificate.not_after),
        ("zone", |r| &mut r.chain.zone.certificate.not_after),
        ("instance", |r| &mut r.chain.instance.certificate.not_after),
        ("leaf", |r| &mut r.chain.leaf.certificate.not_after),
    ];
    let end = NOW_MILLIS / 1000 * 1000 + 10_000;
    for (name, place) in places {
        let mut recipe = correct();
        *place(&mut recipe) = TimeField::utc_from_millis(end);
        let bytes = recipe.mint();
        let mut context = caching(Backend::default());
        let verified = verify_at(&bytes, NOW, &mut context).unwrap();
        assert_eq!(verified.chain_not_after().as_millis(), end);
        let at_end = UnixMillis::from_millis(end);
        verify_at(&bytes, at_end, &mut context).unwrap();
        assert_eq!(context.signature_checks(), 6, "still known");
        let after = UnixMillis::from_millis(end + 1);
        let refusal = verify_at(&bytes, after, &mut context).unwrap_err();
        assert_eq!(refusal.reason(), CheckId::ChainExpired);
        assert!(refusal.to_string().contains(name), "{refusal}");
        assert!(context.cache.is_empty(), "dropped");
        assert_eq!(context.signature_checks(), 6, "refused at no cost");
    }
}

#[test]
fn a_known_chain_is_judged_anew_at_an_earlier_time() {
    let mut context = caching(Backend::default());
    let bytes = correct().mint();
    verify_at(&bytes, NOW, &mut context).unwrap();
    let before = UnixMillis::from_millis(NOW_MILLIS - 10 * 86_400_000);
    let refusal = verify_at(&bytes, before, &mut context).unwrap_err();
    assert_eq!(refusal.reason(), CheckId::ChainNotYetValid);
    // And for an issuer that is known.
    let refusal = verify_at(&with_another_leaf().mint(), before, &mut context).unwrap_err();
    assert_eq!(refusal.reason(), CheckId::ChainNotYetValid);
    // What was replayed in the past does not become valid now.
    let mut context = caching(Backend::default());
    let parsed = AttestationDocument::parse(&bytes).unwrap();
    anchors()
        .verify_replay(&parsed, ReplayAt::Time(NOW), &mut context)
        .unwrap();
    let refusal = verify_at(&bytes, later(Duration::from_secs(86_400)), &mut context).unwrap_err();
    assert_eq!(refusal.reason(), CheckId::ChainExpired);
}

#[test]
fn r24_a_known_chain_can_be_denied() {
    let minted = correct().mint_parts();
    let chain = minted.chain.cabundle.iter().chain([&minted.chain.leaf]);
    for der in chain {
        let mut context = caching(Backend::default());
        verify_at(&minted.document, NOW, &mut context).unwrap();
        let mut list = DenyList::new();
        list.deny_certificate(der).unwrap();
        context.deny_list = list;
        let refusal = verify_at(&minted.document, NOW, &mut context).unwrap_err();
        assert_eq!(refusal.reason(), CheckId::ChainDenied);
        assert_eq!(context.signature_checks(), 5, "refused at no cost");
    }
    // An authority that is denied denies a new leaf of a known issuer as well.
    let mut context = caching(Backend::default());
    verify_at(&minted.document, NOW, &mut context).unwrap();
    context
        .deny_list
        .deny_certificate(&minted.chain.cabundle[1])
        .unwrap();
    let refusal = verify_at(&with_another_leaf().mint(), NOW, &mut context).unwrap_err();
    assert_eq!(refusal.reason(), CheckId::ChainDenied);
}

#[test]
fn a_chain_known_under_one_root_is_unknown_under_another() {
    let mut context = caching(Backend::default());
    let minted = correct().mint_parts();
    let parsed = AttestationDocument::parse(&minted.document).unwrap();
    anchors_of(&minted)
        .verify(&parsed, NOW, &mut context)
        .unwrap();
    let refusal = TrustAnchors::aws()
        .verify(&parsed, NOW, &mut context)
        .unwrap_err();
    assert_eq!(refusal.reason(), CheckId::ChainRoot);
    assert_eq!(refusal.report().outcome(CheckId::ChainRoot), Outcome::Fail);
}

#[test]
fn a_known_leaf_with_other_authorities_is_unknown() {
    let mut context = caching(Backend::default());
    cost(&correct(), &mut context);
    let mut recipe = correct();
    recipe.chain.region.certificate.signature = SignatureRecipe::Corrupted;
    let refusal = verify_at(&recipe.mint(), NOW, &mut context).unwrap_err();
    assert_eq!(refusal.reason(), CheckId::ChainSignature);
}

#[test]
fn contexts_share_a_cache() {
    let cache = Arc::new(ChainCache::with_capacity(16));
    let context = || VerificationContext::default().with_cache(Arc::clone(&cache));
    assert_eq!(cost(&correct(), &mut context()), 5);
    let costs = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| cost(&correct(), &mut context())))
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(costs, [1; 4]);
}

#[test]
fn the_cache_is_bounded() {
    let mut context = VerificationContext::default().with_cache(ChainCache::with_capacity(3));
    for number in 0..8 {
        cost(&elsewhere(number), &mut context);
        assert!(context.cache.len() <= 3);
    }
    assert_eq!(context.cache.len(), 3);
    assert_eq!(cost(&elsewhere(7), &mut context), 1, "the newest is kept");
}
