//! Release statements: who may speak, in which order, and what they say.

use super::world::*;
use crate::*;

fn add(policy: &mut Policy, text: &str, signers: &[&str]) -> Result<(), Refusal> {
    policy
        .add_release(&signed(text, Namespace::Release, signers), NOW)
        .map(|_| ())
}

fn good() -> String {
    release_text(1, "1.0", ReleaseStatus::Current)
}

#[test]
fn a_release_signed_by_enough_is_found_by_its_measurements() {
    let mut policy = policy();
    refused(policy.release_for(&IMAGE, NOW), Reason::ReleaseUnknown);
    for _ in 0..2 {
        add(&mut policy, &good(), &["rita", "sam"]).unwrap(); // The second time changes nothing.
    }
    let release = policy.release_for(&IMAGE, NOW).unwrap();
    assert_eq!(
        (release.name.as_str(), release.version.as_str()),
        ("payments-api", "1.0")
    );
    assert_eq!(policy.releases().count(), 1);
    assert_eq!(
        policy.release_files().next().unwrap().bytes,
        good().as_bytes()
    );
    assert_eq!(policy.release_named(&release.name, None), Some(release));
    let other = ReleaseVersion::new("2.0").unwrap();
    assert_eq!(policy.release_named(&release.name, Some(&other)), None);
}

/// Statements from before there were manifests do not count, and whoever finds one is told what to do.
#[test]
fn a_statement_without_a_provenance_names_the_way_out() {
    let text = good();
    let lines = text.split_inclusive('\n');
    let old: String = lines
        .filter(|line| !line.starts_with("manifest_sha384"))
        .collect();
    let refusal = Release::parse_unverified(old.as_bytes()).unwrap_err();
    assert_eq!(refusal.id(), "release.provenance");
    assert!(refusal.detail().contains("release new"), "{refusal:?}");
}

#[test]
fn too_few_signers() {
    for signers in [
        &[][..],
        &["rita"],
        &["rita", "rita"],
        &["rita", "bob"],
        &["rita", "olga"],
    ] {
        refused(
            add(&mut policy(), &good(), signers),
            Reason::ReleaseUnderSigned,
        );
    }
    // Before parsing: whatever the file is.
    refused(
        add(&mut policy(), "not = [toml", &["rita"]),
        Reason::ReleaseUnderSigned,
    );
    refused(
        add(&mut policy(), "not = [toml", &["rita", "sam"]),
        Reason::FileMalformed,
    );
    let none = with(
        &next_text(&genesis_text()),
        "[[release_authority]]\nnames = [\"batch\"]\nsigners = [\"alice\", \"bob\"]\nthreshold = 2\n",
        "",
    );
    let authority = "[[release_authority]]\nnames = [\"payments-*\"]\nsigners = [\"rita\", \"sam\", \"carol\"]\nthreshold = 2\n";
    let none = with(&none, authority, "");
    let mut policy = policy();
    policy
        .succeed(&signed(&none, Namespace::Policy, &["alice", "bob"]), NOW)
        .unwrap();
    refused(
        add(&mut policy, &good(), &["rita", "sam"]),
        Reason::ReleaseUnderSigned,
    );
}

#[test]
fn another_purpose() {
    let text = good();
    let file = signed(&text, Namespace::Policy, &["rita", "sam"]);
    refused(
        policy().add_release(&file, NOW).map(|_| ()),
        Reason::SignatureNamespace,
    );
}

/// alice and bob speak for `batch`, and for nothing else.
#[test]
fn a_name_that_belongs_to_others() {
    refused(
        add(&mut policy(), &good(), &["alice", "bob"]),
        Reason::ReleaseName,
    );
    let batch = with(&good(), "payments-api", "batch");
    add(&mut policy(), &batch, &["alice", "bob"]).unwrap();
    refused(
        add(&mut policy(), &batch, &["rita", "sam"]),
        Reason::ReleaseName,
    );
}

#[test]
fn what_a_statement_may_not_say() {
    let pcr = |byte: &str| byte.repeat(48);
    let cases = [
        (
            format!("pcr1 = \"{}\"\n", pcr("02")),
            String::new(),
            Reason::ReleasePartialPcrs,
        ),
        (
            format!("pcr2 = \"{}\"\n", pcr("03")),
            String::new(),
            Reason::ReleasePartialPcrs,
        ),
        (
            format!("pcr0 = \"{}\"\n", pcr("01")),
            String::new(),
            Reason::FileMalformed,
        ),
        (pcr("01"), pcr("00"), Reason::ReleaseZeroPcr),
        (pcr("02"), pcr("00"), Reason::ReleaseZeroPcr),
        (pcr("03"), pcr("00"), Reason::ReleaseZeroPcr),
        (
            "pcr0 =".to_owned(),
            format!("pcr8 = \"{}\"\npcr0 =", pcr("00")),
            Reason::ReleaseZeroPcr,
        ),
        (pcr("01"), "01".repeat(32), Reason::HexMalformed),
        (
            "serial = 1".to_owned(),
            "serial = 1\nnote = \"x\"".to_owned(),
            Reason::FileMalformed,
        ),
        (
            format!("manifest_sha384 = \"{}\"\n", pcr("07")),
            String::new(),
            Reason::ReleaseProvenance,
        ),
        (
            "manifest_sha384".to_owned(),
            "insecure_measurements_by_hand = true\nmanifest_sha384".to_owned(),
            Reason::ReleaseProvenance,
        ),
        (
            format!("manifest_sha384 = \"{}\"\n", pcr("07")),
            "insecure_measurements_by_hand = false\n".to_owned(),
            Reason::ReleaseProvenance,
        ),
        (pcr("07"), "07".repeat(32), Reason::HexMalformed),
        (
            "\"current\"".to_owned(),
            "\"newest\"".to_owned(),
            Reason::FileMalformed,
        ),
        (
            "narthex/release/v1".to_owned(),
            "narthex/release/v2".to_owned(),
            Reason::FileSchema,
        ),
        (
            "\"payments\"".to_owned(),
            "\"search\"".to_owned(),
            Reason::FileProject,
        ),
        (
            "2026-12-21T12:00:00Z".to_owned(),
            "2026-11-21T11:00:00Z".to_owned(),
            Reason::ReleaseLifetime,
        ),
        (
            "2026-12-21T12:00:00Z".to_owned(),
            "2027-11-22T11:00:00.001Z".to_owned(),
            Reason::ReleaseLifetime,
        ),
        (
            "issued = 2026-11-21T11:00:00Z".to_owned(),
            "issued = 2026-11-21T12:01:00.001Z".to_owned(),
            Reason::ReleaseNotYetValid,
        ),
    ];
    for (from, to, reason) in cases {
        let text = with(&good(), &from, &to);
        match add(&mut policy(), &text, &["rita", "sam"]) {
            Err(refusal) => assert_eq!(refusal.reason(), reason, "{to}: {refusal}"),
            Ok(()) => panic!("{to}: accepted, expected {reason}"),
        }
    }
    let longest = with(&good(), "2026-12-21T12:00:00Z", "2027-11-22T11:00:00Z");
    add(&mut policy(), &longest, &["rita", "sam"]).unwrap();
    let huge = format!("{}#{}", good(), "x".repeat(limits::MAX_STATEMENT_BYTES));
    refused(
        add(&mut policy(), &huge, &["rita", "sam"]),
        Reason::FileTooLarge,
    );
}

#[test]
fn numbers_given_by_hand_are_taken_and_named() {
    let by_hand = with(
        &good(),
        &format!("manifest_sha384 = \"{}\"", "07".repeat(48)),
        "insecure_measurements_by_hand = true",
    );
    let mut policy = policy();
    add(&mut policy, &by_hand, &["rita", "sam"]).unwrap();
    let release = policy.release_for(&IMAGE, NOW).unwrap();
    assert_eq!(release.provenance, Provenance::InsecureByHand);
    assert_eq!(release.to_toml(), by_hand);
    let warned = |text: &str| {
        lint(text.as_bytes(), NOW)
            .iter()
            .any(|finding| finding.id == "lint.measurements_by_hand")
    };
    assert!(warned(&by_hand));
    assert!(!warned(&good()));
}

#[test]
fn serials_rise_per_name() {
    let mut policy = policy();
    let signers = &["rita", "sam"];
    add(
        &mut policy,
        &release_text(5, "1.0", ReleaseStatus::Current),
        signers,
    )
    .unwrap();
    for serial in [0, 4, 5] {
        let older = release_text(serial, "1.1", ReleaseStatus::Current);
        refused(add(&mut policy, &older, signers), Reason::ReleaseRolledBack);
    }
    let other_name = with(
        &release_text(1, "1.0", ReleaseStatus::Current),
        "payments-api",
        "payments-x",
    );
    add(&mut policy, &other_name, signers).unwrap();
    add(
        &mut policy,
        &release_text(6, "1.0", ReleaseStatus::Previous),
        signers,
    )
    .unwrap();
    assert_eq!(policy.releases().count(), 2);
    // The statement it replaced does not come back.
    let replaced = release_text(5, "1.0", ReleaseStatus::Current);
    refused(
        add(&mut policy, &replaced, signers),
        Reason::ReleaseRolledBack,
    );
}

/// Whoever carries the files brings the statement about 1.1 first, and the revocation of 1.0 never counts?
#[test]
fn a_revocation_counts_although_later_statements_about_other_versions_came_first() {
    let mut policy = released();
    let other = with(
        &release_text(3, "1.1", ReleaseStatus::Current),
        &"01".repeat(48),
        &"0f".repeat(48),
    );
    let signers = &["rita", "sam"];
    add(&mut policy, &other, signers).unwrap();
    // What does not narrow stays refused.
    let older = release_text(2, "1.0", ReleaseStatus::Previous);
    refused(add(&mut policy, &older, signers), Reason::ReleaseRolledBack);
    let revoked = release_text(2, "1.0", ReleaseStatus::Revoked);
    add(&mut policy, &revoked, signers).unwrap();
    refused(policy.release_for(&IMAGE, NOW), Reason::ReleaseRevoked);
    // The highest serial is remembered as before.
    let between = release_text(3, "1.2", ReleaseStatus::Current);
    refused(
        add(&mut policy, &between, signers),
        Reason::ReleaseRolledBack,
    );
    // Nor does an old revocation undo a later statement about the same version.
    let renewed = release_text(4, "1.0", ReleaseStatus::Current);
    add(&mut policy, &renewed, signers).unwrap();
    refused(
        add(&mut policy, &revoked, signers),
        Reason::ReleaseRolledBack,
    );
}

#[test]
fn debug_mode_matches_nothing() {
    for zeroed in [
        Measurements {
            pcr0: Pcr::ZERO,
            ..IMAGE
        },
        Measurements {
            pcr1: Pcr::ZERO,
            ..IMAGE
        },
        Measurements {
            pcr2: Pcr::ZERO,
            ..IMAGE
        },
    ] {
        refused(released().release_for(&zeroed, NOW), Reason::ReleaseZeroPcr);
    }
}

#[test]
fn every_register_counts() {
    let policy = released();
    for other in [
        Measurements {
            pcr0: Pcr([9; 48]),
            ..IMAGE
        },
        Measurements {
            pcr1: Pcr([9; 48]),
            ..IMAGE
        },
        Measurements {
            pcr2: Pcr([9; 48]),
            ..IMAGE
        },
    ] {
        refused(policy.release_for(&other, NOW), Reason::ReleaseUnknown);
    }
    // PCR8 counts only where the statement names it.
    policy
        .release_for(
            &Measurements {
                pcr8: Some(Pcr([8; 48])),
                ..IMAGE
            },
            NOW,
        )
        .unwrap();
    let mut policy = super::world::policy();
    let text = format!("{}pcr8 = \"{}\"\n", good(), "08".repeat(48));
    add(&mut policy, &text, &["rita", "sam"]).unwrap();
    policy
        .release_for(
            &Measurements {
                pcr8: Some(Pcr([8; 48])),
                ..IMAGE
            },
            NOW,
        )
        .unwrap();
    for pcr8 in [None, Some(Pcr([9; 48]))] {
        let image = Measurements { pcr8, ..IMAGE };
        refused(policy.release_for(&image, NOW), Reason::ReleaseUnknown);
    }
}

#[test]
fn expiry_and_the_moment_of_it() {
    let policy = released();
    let expires = at(30 * DAY);
    policy
        .release_for(&IMAGE, UnixMillis(expires.0 - 1))
        .unwrap();
    refused(policy.release_for(&IMAGE, expires), Reason::ReleaseExpired);
}

#[test]
fn revocation_holds_for_good() {
    let mut policy = released();
    policy
        .add_release(&release_file(2, "1.0", ReleaseStatus::Revoked), NOW)
        .unwrap();
    refused(policy.release_for(&IMAGE, NOW), Reason::ReleaseRevoked);
    refused(
        policy.release_for(&IMAGE, at(400 * DAY)),
        Reason::ReleaseRevoked,
    );
    // The same image under another name, or with another PCR8, is the same image.
    let renamed = with(
        &release_text(1, "1.0", ReleaseStatus::Current),
        "payments-api",
        "payments-x",
    );
    add(&mut policy, &renamed, &["rita", "sam"]).unwrap();
    let image = Measurements {
        pcr8: Some(Pcr([8; 48])),
        ..IMAGE
    };
    refused(policy.release_for(&image, NOW), Reason::ReleaseRevoked);
}

/// A revocation that names a PCR8 reaches the image without that signature as well.
#[test]
fn revocation_looks_no_further_than_the_image() {
    let mut policy = released();
    let text = with(
        &release_text(1, "1.0", ReleaseStatus::Revoked),
        "payments-api",
        "payments-x",
    );
    let text = format!("{text}pcr8 = \"{}\"\n", "08".repeat(48));
    add(&mut policy, &text, &["rita", "sam"]).unwrap();
    refused(policy.release_for(&IMAGE, NOW), Reason::ReleaseRevoked);
}

#[test]
fn a_current_statement_goes_before_a_previous_one() {
    let mut policy = released();
    policy
        .add_release(&release_file(2, "1.0", ReleaseStatus::Previous), NOW)
        .unwrap();
    assert_eq!(
        policy.release_for(&IMAGE, NOW).unwrap().status,
        ReleaseStatus::Previous
    );
    policy
        .add_release(&release_file(3, "1.1", ReleaseStatus::Current), NOW)
        .unwrap();
    assert_eq!(
        policy.release_for(&IMAGE, NOW).unwrap().status,
        ReleaseStatus::Current
    );
}

/// A leaver's signature stops counting with the bundle that removes them; revocations stay.
#[test]
fn a_leaver_takes_releases_along_but_no_revocations() {
    let mut policy = released();
    let text = with(
        &release_text(2, "0.9", ReleaseStatus::Revoked),
        &"01".repeat(48),
        &"0a".repeat(48),
    );
    add(&mut policy, &text, &["rita", "sam"]).unwrap();
    let without_rita = with(
        &next_text(&genesis_text()),
        "[\"rita\", \"sam\", \"carol\"]",
        "[\"sam\", \"carol\"]",
    );
    let succession = policy
        .succeed(
            &signed(&without_rita, Namespace::Policy, &["alice", "bob"]),
            NOW,
        )
        .unwrap();
    let name = |text: &str| ReleaseName::new(text).unwrap();
    assert_eq!(
        succession.dropped_releases,
        [(name("payments-api"), ReleaseVersion::new("1.0").unwrap())]
    );
    refused(policy.release_for(&IMAGE, NOW), Reason::ReleaseUnknown);
    let revoked = Measurements {
        pcr0: Pcr([10; 48]),
        ..IMAGE
    };
    refused(policy.release_for(&revoked, NOW), Reason::ReleaseRevoked);
    // The serials are remembered: signing again takes a new statement.
    refused(
        add(&mut policy, &good(), &["sam", "carol"]),
        Reason::ReleaseRolledBack,
    );
    let again = release_text(3, "1.0", ReleaseStatus::Current);
    add(&mut policy, &again, &["sam", "carol"]).unwrap();
    policy.release_for(&IMAGE, NOW).unwrap();
}

#[test]
fn the_number_of_releases_is_bounded() {
    use crate::policy::MAX_RELEASES;
    let mut policy = policy();
    policy.fill_releases_for_test(
        &release_file(1, "1.0", ReleaseStatus::Current),
        MAX_RELEASES,
    );
    let one_more = release_text(u64::MAX / 2, "2.0", ReleaseStatus::Current);
    refused(
        add(&mut policy, &one_more, &["rita", "sam"]),
        Reason::ReleaseTooMany,
    );
}
