//! Who must sign a bundle, and which bundle may follow which.

use super::security_keys::{Kind, SecurityKey};
use super::world::*;
use crate::*;

const REVIEW: &str = "reviewers = [\"alice\", \"bob\", \"carol\"]\nthreshold = 2";

fn anchor(minimum: u64) -> TrustAnchor {
    let bundle = Bundle::parse_unverified(genesis_text().as_bytes()).unwrap();
    let reviewers = bundle
        .people_named(&bundle.review.reviewers)
        .cloned()
        .collect();
    TrustAnchor::new(bundle.project.clone(), reviewers, 2, minimum).unwrap()
}

fn bundle(text: &str, signers: &[&str]) -> SignedFile {
    signed(text, Namespace::Policy, signers)
}

fn second() -> String {
    next_text(&genesis_text())
}

fn boot(chain: &[SignedFile]) -> Result<Policy, Refusal> {
    Policy::from_anchor(&anchor(1), chain, NOW)
}

#[test]
fn an_anchor_takes_a_bundle_signed_by_enough() {
    for signers in [
        &["alice", "bob"][..],
        &["carol", "alice2"],
        &["alice", "bob", "carol"],
    ] {
        let policy = boot(&[bundle(&genesis_text(), signers)]).unwrap();
        assert_eq!(policy.version(), 1);
        assert_eq!(*policy.digest(), Digest384::of(genesis_text().as_bytes()));
        assert_eq!(policy.version_of(policy.digest()), Some(1));
    }
    refused(boot(&[]), Reason::BundleMissing);
}

#[test]
fn one_person_is_never_enough() {
    let text = genesis_text();
    for signers in [
        &[][..],
        &["alice"],
        &["alice", "alice"],
        &["alice", "alice2"], // Two keys, one person.
        &["alice", "olga"],   // Known, but no reviewer.
        &["alice", "mallory"],
    ] {
        refused(boot(&[bundle(&text, signers)]), Reason::BundleUnderSigned);
    }
}

/// The reason is that of the signature that would have made the difference.
#[test]
fn a_defect_that_matters_is_named() {
    let text = genesis_text();
    let mut file = bundle(&text, &["alice"]);
    file.signatures.push(
        key("bob")
            .sign(Namespace::Release, text.as_bytes())
            .unwrap(),
    );
    refused(boot(&[file.clone()]), Reason::SignatureNamespace);
    file.signatures.push(
        key("carol")
            .sign(Namespace::Policy, text.as_bytes())
            .unwrap(),
    );
    boot(&[file]).unwrap();
}

#[test]
fn signatures_are_bounded() {
    let many = |count: usize| {
        let mut file = bundle(&genesis_text(), &["alice", "bob"]);
        file.signatures.resize(count, "junk".to_owned());
        boot(&[file])
    };
    many(32).unwrap();
    refused(many(33), Reason::FileTooManySignatures);
}

/// An unsigned file is not parsed: its syntax error stays unseen.
#[test]
fn signatures_come_before_parsing() {
    refused(
        boot(&[bundle("not = [toml", &["alice"])]),
        Reason::BundleUnderSigned,
    );
    refused(
        boot(&[bundle("not = [toml", &["alice", "bob"])]),
        Reason::FileMalformed,
    );
    refused(
        policy().succeed(&bundle("not = [toml", &[]), NOW),
        Reason::BundleUnderSigned,
    );
    let huge = bundle(&"#".repeat(limits::MAX_BUNDLE_BYTES + 1), &["alice", "bob"]);
    refused(boot(&[huge]), Reason::FileTooLarge);
}

#[test]
fn another_project() {
    let text = with(
        &genesis_text(),
        "project = \"payments\"",
        "project = \"search\"",
    );
    refused(
        boot(&[bundle(&text, &["alice", "bob"])]),
        Reason::FileProject,
    );
    let text = with(&second(), "project = \"payments\"", "project = \"search\"");
    refused(
        policy().succeed(&bundle(&text, &["alice", "bob"]), NOW),
        Reason::FileProject,
    );
}

#[test]
fn below_the_images_minimum() {
    let chain = [bundle(&genesis_text(), &["alice", "bob"])];
    refused(
        Policy::from_anchor(&anchor(2), &chain, NOW),
        Reason::BundleBelowMinimum,
    );
    let chain = [bundle(&second(), &["alice", "bob"])];
    assert_eq!(
        Policy::from_anchor(&anchor(2), &chain, NOW)
            .unwrap()
            .version(),
        2
    );
}

#[test]
fn expiry_at_boot_and_the_moment_of_it() {
    let chain = [genesis_file()];
    let expires = UnixMillis::parse("2026-12-20T12:00:00Z").unwrap();
    let last = UnixMillis(expires.0 - 1);
    assert!(
        !Policy::from_anchor(&anchor(1), &chain, last)
            .unwrap()
            .is_expired(last)
    );
    refused(
        Policy::from_anchor(&anchor(1), &chain, expires),
        Reason::BundleExpired,
    );
    let digest = chain[0].digest();
    refused(
        Policy::from_genesis(&chain[0], &digest, expires),
        Reason::BundleExpired,
    );
    // A service starts all the same, to take a successor.
    assert!(
        Policy::from_lineage(&digest, &chain, expires)
            .unwrap()
            .is_expired(expires)
    );
}

#[test]
fn a_bundle_from_the_future() {
    let issued = UnixMillis::parse("2026-11-20T12:00:00Z").unwrap();
    let chain = [genesis_file()];
    // 60 seconds of skew are forgiven.
    Policy::from_anchor(&anchor(1), &chain, UnixMillis(issued.0 - 60_000)).unwrap();
    let early = UnixMillis(issued.0 - 60_001);
    refused(
        Policy::from_anchor(&anchor(1), &chain, early),
        Reason::BundleNotYetValid,
    );
    refused(
        Policy::from_genesis(&chain[0], &chain[0].digest(), early),
        Reason::BundleNotYetValid,
    );
    let file = bundle(&second(), &["alice", "bob"]);
    refused(
        policy().succeed(&file, before(2 * MINUTE + 1)),
        Reason::BundleNotYetValid,
    );
}

#[test]
fn a_genesis_is_pinned_by_its_digest_and_signed() {
    let file = genesis_file();
    refused(
        Policy::from_genesis(&file, &Digest384([0; 48]), NOW),
        Reason::BundleGenesis,
    );
    let alone = bundle(&genesis_text(), &["alice"]);
    refused(
        Policy::from_genesis(&alone, &alone.digest(), NOW),
        Reason::BundleUnderSigned,
    );
    let later = bundle(&second(), &["alice", "bob"]);
    refused(
        Policy::from_genesis(&later, &later.digest(), NOW),
        Reason::BundleGenesis,
    );
    refused(
        Policy::from_lineage(&file.digest(), &[], NOW),
        Reason::BundleMissing,
    );
}

#[test]
fn succession_by_one_step() {
    let mut policy = policy();
    let genesis = *policy.digest();
    let file = bundle(&second(), &["alice", "bob"]);
    let succession = policy.succeed(&file, NOW).unwrap();
    assert_eq!((succession.version, succession.digest), (2, file.digest()));
    assert!(!succession.reviewers_changed);
    assert_eq!(policy.previous_accepted(NOW), Some(&genesis));
    assert_eq!(policy.previous_accepted(at(DAY)), None);
    assert_eq!(policy.bundle_file(), &file);

    // Again, or back: both are rollbacks.
    refused(policy.succeed(&file, NOW), Reason::BundleRolledBack);
    refused(
        policy.succeed(&genesis_file(), NOW),
        Reason::BundleRolledBack,
    );
    assert_eq!(policy.version(), 2);
}

/// The same version with other content.
#[test]
fn a_twin_is_a_rollback() {
    let mut policy = policy();
    policy
        .succeed(&bundle(&second(), &["alice", "bob"]), NOW)
        .unwrap();
    let twin = with(&second(), "\"2m\"", "\"3m\"");
    refused(
        policy.succeed(&bundle(&twin, &["alice", "bob"]), NOW),
        Reason::BundleRolledBack,
    );
}

#[test]
fn two_steps_at_once() {
    let third = with(&second(), "version = 2", "version = 3");
    let file = bundle(&third, &["alice", "bob"]);
    refused(policy().succeed(&file, NOW), Reason::BundleVersionSkipped);
    let chain = [genesis_file(), file];
    refused(
        Policy::from_lineage(&chain[0].digest(), &chain, NOW),
        Reason::BundleVersionSkipped,
    );
    // An agent's chain may leave out bundles that do not change the reviewers.
    assert_eq!(boot(&chain).unwrap().version(), 3);
}

#[test]
fn another_previous_bundle() {
    let previous = Digest384::of(genesis_text().as_bytes()).to_string();
    let text = with(&second(), &previous, &"aa".repeat(48));
    let file = bundle(&text, &["alice", "bob"]);
    refused(policy().succeed(&file, NOW), Reason::BundlePrevious);
    refused(boot(&[genesis_file(), file]), Reason::BundlePrevious);
}

#[test]
fn an_expired_successor() {
    let text = with(&second(), "2026-12-20T12:00:00Z", "2026-11-22T18:00:00Z");
    let file = bundle(&text, &["alice", "bob"]);
    refused(
        policy().succeed(&file, at(30 * HOUR)),
        Reason::BundleExpired,
    );
    policy()
        .succeed(&file, UnixMillis(at(30 * HOUR).0 - 1))
        .unwrap();
}

/// Bundle 2, which has expired 30 hours from now, and bundle 3, which has not.
fn two_bundles_behind() -> [SignedFile; 2] {
    let expiring = with(
        &second(),
        "expires = 2026-12-20T12:00:00Z",
        "expires = 2026-11-22T18:00:00Z",
    );
    let third = draft_successor(
        expiring.as_bytes(),
        at(20 * HOUR),
        at(30 * DAY),
        Some(at(40 * HOUR)),
    )
    .unwrap();
    [
        bundle(&expiring, &["alice", "bob"]),
        bundle(&third, &["alice", "bob"]),
    ]
}

#[test]
fn who_is_two_bundles_behind_catches_up_although_the_one_between_has_expired() {
    let late = at(30 * HOUR);
    let [expired, current] = two_bundles_behind();
    let mut policy = policy();
    // Each alone is refused, and the chain in the wrong order.
    refused(policy.succeed(&expired, late), Reason::BundleExpired);
    refused(policy.succeed(&current, late), Reason::BundleVersionSkipped);
    let backwards = [current.clone(), expired.clone()];
    refused(
        policy.succeed_chain(&backwards, late),
        Reason::BundleVersionSkipped,
    );
    assert_eq!(policy.version(), 1);
    let taken = policy
        .succeed_chain(&[expired.clone(), current.clone()], late)
        .unwrap();
    assert_eq!(
        taken.iter().map(|step| step.version).collect::<Vec<_>>(),
        [2, 3]
    );
    assert_eq!(*policy.digest(), current.digest());
    assert_eq!(policy.version_of(&expired.digest()), Some(2));
}

#[test]
fn every_bundle_of_a_chain_is_judged_by_the_one_before() {
    let late = at(30 * HOUR);
    let [expired, current] = two_bundles_behind();
    let mut policy = policy();
    let unsigned = |file: &SignedFile| SignedFile {
        signatures: Vec::new(),
        ..file.clone()
    };
    for chain in [
        [unsigned(&expired), current.clone()],
        [expired.clone(), unsigned(&current)],
    ] {
        refused(
            policy.succeed_chain(&chain, late),
            Reason::BundleUnderSigned,
        );
    }
    // The last must not have expired.
    refused(
        policy.succeed_chain(&[expired, current], at(31 * DAY)),
        Reason::BundleExpired,
    );
    refused(policy.succeed_chain(&[], late), Reason::BundleMissing);
    assert_eq!(policy.version(), 1);
}

/// Whoever carries the files could otherwise stop a succession by adding one.
#[test]
fn what_is_wrong_after_a_good_bundle_does_not_undo_it() {
    let [second, third] = two_bundles_behind();
    let mut policy = policy();
    let garbage = bundle("not = [toml", &[]);
    let taken = policy
        .succeed_chain(&[second, garbage, third], NOW)
        .unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(policy.version(), 2);
}

/// Otherwise nothing could repair a policy that nobody renewed in time.
#[test]
fn an_expired_bundle_can_be_succeeded() {
    let late = at(40 * DAY);
    let text = draft_successor(genesis_text().as_bytes(), late, at(70 * DAY), None).unwrap();
    let mut policy = policy();
    assert!(policy.is_expired(late));
    policy
        .succeed(&bundle(&text, &["alice", "bob"]), late)
        .unwrap();
    assert!(!policy.is_expired(late));
}

#[test]
fn a_chain_goes_forward_only() {
    let chain = [bundle(&second(), &["alice", "bob"]), genesis_file()];
    refused(boot(&chain), Reason::BundleRolledBack);
}

/// dora joins, alice leaves: two of the old and two of the new must sign.
fn other_reviewers() -> String {
    let dora = format!(
        "[[person]]\nname = \"dora\"\nkeys = [\"{}\"]\n\n[review]",
        key_line("dora")
    );
    let text = with(&second(), "[review]", &dora);
    with(
        &text,
        REVIEW,
        "reviewers = [\"bob\", \"carol\", \"dora\"]\nthreshold = 2",
    )
}

#[test]
fn new_reviewers_need_both_thresholds() {
    let text = other_reviewers();
    for (signers, reason) in [
        (&["bob", "dora"][..], Reason::BundleUnderSigned),
        (&["alice", "bob"], Reason::BundleUnderSignedByNew),
        (&["alice", "dora"], Reason::BundleUnderSigned),
    ] {
        refused(policy().succeed(&bundle(&text, signers), NOW), reason);
        refused(boot(&[genesis_file(), bundle(&text, signers)]), reason);
    }
    for signers in [&["bob", "carol"][..], &["alice", "bob", "dora"]] {
        let mut policy = policy();
        assert!(
            policy
                .succeed(&bundle(&text, signers), NOW)
                .unwrap()
                .reviewers_changed
        );
        // From now on the new ones decide.
        let third = next_text(&text);
        refused(
            policy
                .clone()
                .succeed(&bundle(&third, &["alice", "bob"]), NOW),
            Reason::BundleUnderSigned,
        );
        policy
            .succeed(&bundle(&third, &["carol", "dora"]), NOW)
            .unwrap();
    }
}

/// The first image still knows the first reviewers: the chain leads from them to the newest.
#[test]
fn a_chain_from_the_anchor() {
    let text = other_reviewers();
    let third = next_text(&text);
    let newest = bundle(&third, &["carol", "dora"]);
    refused(
        boot(core::slice::from_ref(&newest)),
        Reason::BundleUnderSigned,
    );
    let change = bundle(&text, &["bob", "carol"]);
    assert_eq!(
        boot(&[change.clone(), newest.clone()]).unwrap().version(),
        3
    );
    let lineage = [genesis_file(), change, newest];
    let policy = Policy::from_lineage(&lineage[0].digest(), &lineage, NOW).unwrap();
    assert_eq!(policy.version_of(&lineage[1].digest()), Some(2));
}

#[test]
fn a_lower_threshold_is_a_change_of_reviewers() {
    let three = with(
        &second(),
        REVIEW,
        "reviewers = [\"alice\", \"bob\", \"carol\"]\nthreshold = 3",
    );
    refused(
        policy().succeed(&bundle(&three, &["alice", "bob"]), NOW),
        Reason::BundleUnderSignedByNew,
    );
    let mut policy = policy();
    let succession = policy
        .succeed(&bundle(&three, &["alice", "bob", "carol"]), NOW)
        .unwrap();
    assert!(succession.reviewers_changed);
    // Back to two: all three must agree.
    let two = with(
        &next_text(&three),
        "reviewers = [\"alice\", \"bob\", \"carol\"]\nthreshold = 3",
        REVIEW,
    );
    refused(
        policy
            .clone()
            .succeed(&bundle(&two, &["alice", "bob"]), NOW),
        Reason::BundleUnderSigned,
    );
    policy
        .succeed(&bundle(&two, &["alice", "bob", "carol"]), NOW)
        .unwrap();
}

#[test]
fn another_key_of_a_reviewer_is_a_change_of_reviewers() {
    let text = with(&second(), &key_line("bob"), &key_line("spare"));
    refused(
        policy().succeed(&bundle(&text, &["alice", "bob"]), NOW),
        Reason::BundleUnderSignedByNew,
    );
    let succession = policy()
        .succeed(&bundle(&text, &["alice", "bob", "spare"]), NOW)
        .unwrap();
    assert!(succession.reviewers_changed);
}

/// Whether bob must touch his key is for both to decide, too.
#[test]
fn another_requirement_of_a_reviewer_is_a_change_of_reviewers() {
    let security_key = SecurityKey::new(Kind::Ed25519, "ssh:");
    let keys = |line: &str| format!("keys = [\"{line}\"]\n");
    let touching = with(
        &genesis_text(),
        &keys(&key_line("bob")),
        &format!("{}requires = \"touch\"\n", keys(&security_key.line())),
    );
    let first = bundle(&touching, &["alice", "carol"]);
    let mut policy = Policy::from_genesis(&first, &first.digest(), NOW).unwrap();
    let untouching = with(&next_text(&touching), "requires = \"touch\"\n", "");
    let next = bundle(&untouching, &["alice", "carol"]);
    assert!(policy.succeed(&next, NOW).unwrap().reviewers_changed);
}

#[test]
fn anchors_keep_the_rules_too() {
    let bundle = Bundle::parse_unverified(genesis_text().as_bytes()).unwrap();
    let people: Vec<Person> = bundle
        .people_named(&bundle.review.reviewers)
        .cloned()
        .collect();
    let new = |people: &[Person], threshold| {
        TrustAnchor::new(bundle.project.clone(), people.to_vec(), threshold, 1)
    };
    new(&people, 3).unwrap();
    for threshold in [0, 1, 4] {
        refused(new(&people, threshold), Reason::BundleThreshold);
    }
    refused(
        new(&[people[0].clone(), people[0].clone()], 2),
        Reason::PersonDuplicate,
    );
    let mut twin = people[0].clone();
    twin.name = PersonName::new("twin").unwrap();
    refused(new(&[people[0].clone(), twin], 2), Reason::PersonSharedKey);
}

/// Releases and stops are judged by the bundle that was in force when they came.
#[test]
fn a_history_is_replayed_in_order() {
    let stop = stop_file("people = [\"olga\"]");
    let without_sam = with(&second(), "[\"alice\", \"sam\"]", "[\"alice\"]");
    let successor = bundle(&without_sam, &["alice", "bob"]);
    let genesis = genesis_file();
    let history = [
        HistoryEntry::Bundle(genesis.clone()),
        HistoryEntry::Release(release_file(1, "1.0", ReleaseStatus::Current)),
        HistoryEntry::Stop(stop.clone()),
        HistoryEntry::Bundle(successor.clone()),
    ];
    let policy = Policy::from_history(&genesis.digest(), &history, NOW).unwrap();
    assert_eq!(
        (
            policy.version(),
            policy.stops().count(),
            policy.releases().count()
        ),
        (2, 1, 1)
    );
    assert_eq!(policy.highest_stop(), 1);
    let late = [
        HistoryEntry::Bundle(genesis.clone()),
        HistoryEntry::Bundle(successor),
        HistoryEntry::Stop(stop),
    ];
    refused(
        Policy::from_history(&genesis.digest(), &late, NOW),
        Reason::StopUnderSigned,
    );
    refused(
        Policy::from_history(&genesis.digest(), &history[1..], NOW),
        Reason::BundleMissing,
    );
}
