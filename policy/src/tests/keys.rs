//! Which enclave may have which key: each case breaks one thing in a good claim.

use super::world::*;
use crate::*;

struct Claim {
    measurements: Measurements,
    pcr3: Option<Pcr>,
    pcr4: Option<Pcr>,
    boot_bundle: Digest384,
    in_force: Digest384,
    key: &'static str,
}

fn good(policy: &Policy) -> Claim {
    Claim {
        measurements: IMAGE,
        pcr3: Some(Pcr::of_role_arn(ROLE_ARN)),
        pcr4: Some(Pcr::of_instance_id(INSTANCE_ID)),
        boot_bundle: *policy.digest(),
        in_force: *policy.digest(),
        key: "payments-db",
    }
}

fn decide(policy: &Policy, claim: &Claim, now: UnixMillis) -> Result<KeyGrant, Refusal> {
    let key = KeyName::new(claim.key).unwrap();
    policy.authorise_key(
        &KeyClaim {
            measurements: &claim.measurements,
            pcr3: claim.pcr3.as_ref(),
            pcr4: claim.pcr4.as_ref(),
            pcr16: &Pcr::of_boot_bundle(&claim.boot_bundle),
            bundle_in_force: &claim.in_force,
            key: &key,
        },
        now,
    )
}

#[test]
fn a_good_claim() {
    let policy = released();
    let grant = decide(&policy, &good(&policy), NOW).unwrap();
    assert_eq!(grant.key().as_str(), "payments-db");
    assert_eq!(grant.release().0.as_str(), "payments-api");
    assert_eq!(grant.release().1.as_str(), "1.0");
    assert_eq!(grant.release_status(), ReleaseStatus::Current);
    assert_eq!(
        *grant.release_digest(),
        policy.releases().next().unwrap().digest
    );
    assert_eq!(grant.boot_bundle_version(), 1);
    assert_eq!(grant.max_document_age().as_secs(), 120);
    assert_eq!(grant.commitment(1).unwrap().to_string(), "c0".repeat(48));
    assert_eq!(grant.commitment(2), None);
}

#[test]
fn an_expired_bundle() {
    let policy = released();
    let expires = policy.bundle().expires;
    decide(&policy, &good(&policy), UnixMillis(expires.0 - 1)).unwrap();
    refused(
        decide(&policy, &good(&policy), expires),
        Reason::BundleExpired,
    );
}

#[test]
fn an_unknown_boot_bundle() {
    let policy = released();
    let claim = Claim {
        boot_bundle: Digest384([9; 48]),
        ..good(&policy)
    };
    refused(decide(&policy, &claim, NOW), Reason::BundleNotInForce);
}

/// Newest; previous until its time; older only with the newest taken since.
#[test]
fn older_boot_bundles() {
    let mut policy = released();
    let first = *policy.digest();
    let text = next_text(&genesis_text());
    policy
        .succeed(&signed(&text, Namespace::Policy, &["alice", "bob"]), NOW)
        .unwrap();
    let second = *policy.digest();
    let claim = |boot_bundle, in_force, policy: &Policy| Claim {
        boot_bundle,
        in_force,
        ..good(policy)
    };

    let last = UnixMillis(at(DAY).0 - 1);
    let previous = claim(first, first, &policy);
    assert_eq!(
        decide(&policy, &previous, last)
            .unwrap()
            .boot_bundle_version(),
        1
    );
    refused(
        decide(&policy, &previous, at(DAY)),
        Reason::BundleNotInForce,
    );
    decide(&policy, &claim(first, second, &policy), at(DAY)).unwrap();
    decide(&policy, &claim(second, second, &policy), at(DAY)).unwrap();

    let third = next_text(&text);
    policy
        .succeed(&signed(&third, Namespace::Policy, &["alice", "bob"]), NOW)
        .unwrap();
    let newest = *policy.digest();
    refused(
        decide(&policy, &claim(first, first, &policy), NOW),
        Reason::BundleNotInForce,
    );
    refused(
        decide(&policy, &claim(first, second, &policy), NOW),
        Reason::BundleNotInForce,
    );
    decide(&policy, &claim(second, second, &policy), NOW).unwrap();
    decide(&policy, &claim(first, newest, &policy), NOW).unwrap();
}

#[test]
fn the_wrong_release() {
    let policy = released();
    let other = Measurements {
        pcr2: Pcr([9; 48]),
        ..IMAGE
    };
    let claim = Claim {
        measurements: other,
        ..good(&policy)
    };
    refused(decide(&policy, &claim, NOW), Reason::ReleaseUnknown);
    let debug = Measurements {
        pcr0: Pcr::ZERO,
        pcr1: Pcr::ZERO,
        pcr2: Pcr::ZERO,
        pcr8: None,
    };
    let claim = Claim {
        measurements: debug,
        ..good(&policy)
    };
    refused(decide(&policy, &claim, NOW), Reason::ReleaseZeroPcr);
}

#[test]
fn a_release_that_is_not_for_this_key() {
    let mut policy = policy();
    let text = with(
        &release_text(1, "1.0", ReleaseStatus::Current),
        "payments-api",
        "payments-web",
    );
    policy
        .add_release(&signed(&text, Namespace::Release, &["rita", "sam"]), NOW)
        .unwrap();
    refused(decide(&policy, &good(&policy), NOW), Reason::KeyRelease);
    decide(
        &policy,
        &Claim {
            key: "anywhere",
            ..good(&policy)
        },
        NOW,
    )
    .unwrap();
    // The same image under both names: one of them suffices.
    policy
        .add_release(&release_file(1, "1.0", ReleaseStatus::Current), NOW)
        .unwrap();
    decide(&policy, &good(&policy), NOW).unwrap();
}

#[test]
fn a_status_that_is_not_for_this_key() {
    let mut policy = released();
    policy
        .add_release(&release_file(2, "1.0", ReleaseStatus::Previous), NOW)
        .unwrap();
    let anywhere = Claim {
        key: "anywhere",
        ..good(&policy)
    };
    refused(decide(&policy, &anywhere, NOW), Reason::KeyReleaseStatus);
    decide(&policy, &good(&policy), NOW).unwrap();
}

#[test]
fn an_unknown_or_stopped_key() {
    let mut policy = released();
    let claim = Claim {
        key: "other",
        ..good(&policy)
    };
    refused(decide(&policy, &claim, NOW), Reason::KeyUnknown);
    policy
        .add_stop(&stop_file("keys = [\"payments-db\"]"), NOW)
        .unwrap();
    refused(decide(&policy, &good(&policy), NOW), Reason::KeyStopped);
    decide(
        &policy,
        &Claim {
            key: "anywhere",
            ..good(&policy)
        },
        NOW,
    )
    .unwrap();
}

/// The same image in a stranger's account.
#[test]
fn another_account() {
    let policy = released();
    let stranger = Some(Pcr::of_role_arn("arn:aws:iam::999999999999:role/payments"));
    let elsewhere = Some(Pcr::of_instance_id("i-0fedcba9876543210"));
    for (pcr3, pcr4) in [
        (stranger, elsewhere),
        (None, None),
        (Some(Pcr::ZERO), Some(Pcr::ZERO)),
        // Right values in each other's place.
        (
            Some(Pcr::of_instance_id(INSTANCE_ID)),
            Some(Pcr::of_role_arn(ROLE_ARN)),
        ),
    ] {
        let claim = Claim {
            pcr3,
            pcr4,
            ..good(&policy)
        };
        refused(decide(&policy, &claim, NOW), Reason::KeyAccount);
        decide(
            &policy,
            &Claim {
                key: "anywhere",
                ..claim
            },
            NOW,
        )
        .unwrap();
    }
    for (pcr3, pcr4) in [
        (good(&policy).pcr3, elsewhere),
        (stranger, good(&policy).pcr4),
    ] {
        decide(
            &policy,
            &Claim {
                pcr3,
                pcr4,
                ..good(&policy)
            },
            NOW,
        )
        .unwrap();
    }
}

/// Such a rule does not parse; should one come about, zero still matches nothing.
#[test]
fn zero_never_matches() {
    let rule = AccountRule::Named {
        pcr3: vec![Pcr::ZERO],
        pcr4: vec![Pcr::ZERO],
    };
    assert!(!rule.accepts(Some(&Pcr::ZERO), Some(&Pcr::ZERO)));
}
