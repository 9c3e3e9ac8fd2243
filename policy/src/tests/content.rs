//! What a bundle may not say: each case changes one thing in a good bundle.

use super::world::{genesis_text, key_line, refused, with};
use crate::{Bundle, Reason, limits};

fn parse(text: &str) -> Result<Bundle, crate::Refusal> {
    Bundle::parse_unverified(text.as_bytes())
}

#[test]
fn the_good_bundle_is_good() {
    let bundle = parse(&genesis_text()).unwrap();
    assert_eq!(bundle.people.len(), 8);
    assert_eq!(
        bundle.keys[0].commitment(1).unwrap().to_string(),
        "c0".repeat(48)
    );
    assert_eq!(bundle.keys[0].commitment(2), None);
}

#[test]
fn each_rule_has_its_reason() {
    let zero = format!("pcr3 = [\"{}\"]\nrole_arns", "00".repeat(48));
    let cases: &[(&str, &str, Reason)] = &[
        // Form.
        (
            "schema = \"narthex/bundle/v1\"",
            "schema = \"narthex/release/v1\"",
            Reason::FileSchema,
        ),
        (
            "version = 1\nissued",
            "version = 1\nversions = 1\nissued",
            Reason::FileMalformed,
        ),
        (
            "version = 1\nissued",
            "version = 1\nversion = 1\nissued",
            Reason::FileMalformed,
        ),
        ("version = 1\nissued", "issued", Reason::FileMalformed),
        (
            "version = 1\nissued",
            "version = -1\nissued",
            Reason::FileMalformed,
        ),
        (
            "threshold = 2\n\n[[role]]",
            "threshold = 2\nextra = 1\n\n[[role]]",
            Reason::FileMalformed,
        ),
        (
            "2026-11-20T12:00:00Z",
            "2026-11-20T12:00:00+01:00",
            Reason::TimeMalformed,
        ),
        ("\"2m\"", "\"2 minutes\"", Reason::DurationMalformed),
        ("name = \"sam\"", "name = \"Sam\"", Reason::NameMalformed),
        (
            "\"status\", \"attest\"",
            "\"status\", \"exec\"",
            Reason::NameMalformed,
        ),
        (
            "\"keys-list\", ",
            "\"keys-list\", \"keys-export\", ",
            Reason::NameMalformed,
        ),
        (
            "payments-*\"]\nsigners",
            "pay*ments\"]\nsigners",
            Reason::NameMalformed,
        ),
        (
            "arn:aws:iam::123456789012:role/payments",
            "payments",
            Reason::NameMalformed,
        ),
        (
            "[\"i-0123456789abcdef0\"]",
            "[\"i-0123456789ABCDEF0\"]",
            Reason::NameMalformed,
        ),
        ("static_key = \"8f", "static_key = \"", Reason::HexMalformed),
        // Header.
        (
            "version = 1\nissued",
            "version = 0\nissued",
            Reason::BundleBound,
        ),
        (
            "version = 1\nissued",
            "version = 2\nissued",
            Reason::BundlePrevious,
        ),
        (
            "2026-12-20T12:00:00Z",
            "2026-11-20T12:00:00Z",
            Reason::BundleLifetime,
        ),
        (
            "2026-12-20T12:00:00Z",
            "2027-11-21T12:00:00.001Z",
            Reason::BundleLifetime,
        ),
        // People.
        ("name = \"sam\"", "name = \"rita\"", Reason::PersonDuplicate),
        (
            "[\"alice\", \"bob\", \"carol\"]\nthreshold = 2\n\n[[role]]",
            "[\"alice\", \"zoe\"]\nthreshold = 2\n\n[[role]]",
            Reason::PersonUnknown,
        ),
        (
            "[\"alice\", \"sam\"]",
            "[\"alice\", \"zoe\"]",
            Reason::PersonUnknown,
        ),
        (
            "[\"key-keeper\"]",
            "[\"key-keeper\", \"zoo-keeper\"]",
            Reason::BundleUnknownRole,
        ),
        (
            "[\"key-keeper\"]",
            "[\"key-keeper\", \"key-keeper\"]",
            Reason::BundleDuplicate,
        ),
        // Thresholds: one person alone is never enough, and the others exist.
        (
            "threshold = 2\n\n[[role]]",
            "threshold = 1\n\n[[role]]",
            Reason::BundleThreshold,
        ),
        (
            "threshold = 2\n\n[[role]]",
            "threshold = 0\n\n[[role]]",
            Reason::BundleThreshold,
        ),
        (
            "threshold = 2\n\n[[role]]",
            "threshold = 4\n\n[[role]]",
            Reason::BundleThreshold,
        ),
        (
            "\"carol\"]\nthreshold = 2\n\n[[release_authority]]\nnames = [\"batch\"]",
            "\"carol\"]\nthreshold = 1\n\n[[release_authority]]\nnames = [\"batch\"]",
            Reason::BundleThreshold,
        ),
        (
            "[\"alice\", \"sam\"]\nthreshold = 1",
            "[\"alice\", \"sam\"]\nthreshold = 0",
            Reason::BundleThreshold,
        ),
        (
            "[\"alice\", \"olga\"]\nthreshold = 1",
            "[\"alice\", \"olga\"]\nthreshold = 0",
            Reason::BundleThreshold,
        ),
        // Empty rules and doubles.
        (
            "actions = [\"health\", \"status\", \"attest\"]",
            "",
            Reason::BundleEmptyRule,
        ),
        ("[\"alice\", \"sam\"]", "[]", Reason::BundleEmptyRule),
        (
            "releases = [\"payments-api\"]",
            "releases = []",
            Reason::BundleEmptyRule,
        ),
        ("names = [\"batch\"]", "names = []", Reason::BundleEmptyRule),
        (
            "statuses = [\"current\"]",
            "statuses = []",
            Reason::BundleEmptyRule,
        ),
        (
            "statuses = [\"current\"]",
            "statuses = [\"revoked\"]",
            Reason::BundleEmptyRule,
        ),
        (
            "actions = [\"restart-workload\"]\n",
            "",
            Reason::BundleEmptyRule,
        ),
        (
            "[\"rita\", \"sam\", \"carol\"]",
            "[\"rita\", \"sam\", \"sam\"]",
            Reason::BundleDuplicate,
        ),
        (
            "name = \"anywhere\"",
            "name = \"payments-db\"",
            Reason::BundleDuplicate,
        ),
        (
            "name = \"maintainer\"\nactions",
            "name = \"on-call\"\nactions",
            Reason::BundleDuplicate,
        ),
        (
            "actions = [\"shutdown\"]",
            "actions = [\"shutdown\", \"restart-workload\"]",
            Reason::BundleDuplicate,
        ),
        // Approvals.
        (
            "actions = [\"shutdown\"]\n",
            "",
            Reason::BundleWithoutApproval,
        ),
        (
            "operations = [\"keys-import\", \"keys-retire\"]",
            "operations = [\"keys-import\"]",
            Reason::BundleWithoutApproval,
        ),
        (
            "actions = [\"shutdown\"]",
            "actions = [\"shutdown\", \"health\"]",
            Reason::BundleApprovalImpossible,
        ),
        ("\"15m\"", "\"13h\"", Reason::BundleBound),
        // Keys.
        (
            "max_document_age",
            "shares = \"service+external\"\nmax_document_age",
            Reason::FileMalformed,
        ),
        (
            "insecure_any_account = true\n",
            "",
            Reason::BundleKeyAnyAccount,
        ),
        (
            "insecure_any_account = true",
            "insecure_any_account = false",
            Reason::BundleKeyAnyAccount,
        ),
        (
            "max_document_age",
            "insecure_any_account = true\nmax_document_age",
            Reason::BundleKeyAnyAccount,
        ),
        ("role_arns", &zero, Reason::BundleZeroPcr),
        ("\"2m\"", "\"0s\"", Reason::BundleBound),
        ("\"2m\"", "\"3601s\"", Reason::BundleBound),
        ("{ version = 1", "{ version = 0", Reason::BundleBound),
        (
            "commitments = [",
            "commitments = [{ version = 1, sha384 = \"000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\" }, ",
            Reason::BundleDuplicate,
        ),
    ];
    for (from, to, reason) in cases {
        let text = with(&genesis_text(), from, to);
        match parse(&text) {
            Err(refusal) => assert_eq!(refusal.reason(), *reason, "{to:?}: {refusal}"),
            Ok(_) => panic!("{to:?}: accepted, expected {reason}"),
        }
    }
}

/// Both sides of each bound.
#[test]
fn bounds_are_inclusive() {
    for (from, to) in [
        ("2026-12-20T12:00:00Z", "2027-11-21T12:00:00Z"),
        ("\"2m\"", "\"1h\""),
        ("\"2m\"", "\"1s\""),
        ("\"15m\"", "\"12h\""),
        ("threshold = 2\n\n[[role]]", "threshold = 3\n\n[[role]]"),
    ] {
        parse(&with(&genesis_text(), from, to)).unwrap();
    }
}

#[test]
fn keys_of_people() {
    let olga = key_line("olga");
    let change = |to: &str| parse(&with(&genesis_text(), &olga, to));
    refused(change(&key_line("alice2")), Reason::PersonSharedKey);
    refused(change("ssh-ed25519 AAAA"), Reason::KeyUnusable);
    refused(
        change(&olga.replace("ssh-ed25519", "ssh-rsa")),
        Reason::KeyUnusable,
    );
    let no_keys = with(&genesis_text(), &format!("[\"{olga}\"]"), "[]");
    refused(parse(&no_keys), Reason::KeyUnusable);
    // A comment is no part of the key.
    change(&format!("{olga} olga@example.com")).unwrap();
}

/// The requester's approval never counts, so a lone approver who is the only requester is useless.
#[test]
fn an_approval_nobody_can_get() {
    let text = genesis_text();
    let text = with(&text, "name = \"oscar\"", "name = \"otto\"");
    let text = with(&text, "roles = [\"maintainer\"]\n", "");
    let text = with(&text, "[\"alice\", \"olga\"]", "[\"olga\"]");
    refused(parse(&text), Reason::BundleApprovalImpossible);
}

#[test]
fn overlap_is_bounded() {
    let text = with(
        &genesis_text(),
        "version = 1\nissued",
        &format!("version = 2\nprevious = \"{}\"\nissued", "aa".repeat(48)),
    );
    let until = |time: &str| {
        parse(&with(
            &text,
            "\n\n[[person]]\nname = \"alice\"",
            &format!("\nprevious_accepted_until = {time}\n\n[[person]]\nname = \"alice\""),
        ))
    };
    until("2026-12-04T12:00:00Z").unwrap();
    for time in ["2026-12-04T12:00:00.001Z", "2026-11-20T12:00:00Z"] {
        refused(until(time), Reason::BundlePreviousAccepted);
    }
    let first = with(
        &genesis_text(),
        "\n\n[[person]]\nname = \"alice\"",
        "\nprevious_accepted_until = 2026-11-21T12:00:00Z\n\n[[person]]\nname = \"alice\"",
    );
    refused(parse(&first), Reason::BundlePreviousAccepted);
}

#[test]
fn sizes_are_bounded_on_both_sides() {
    let padded = |length: usize| {
        let mut text = genesis_text();
        text.push('#');
        text.push_str(&"x".repeat(length - text.len()));
        text
    };
    parse(&padded(limits::MAX_BUNDLE_BYTES)).unwrap();
    refused(
        parse(&padded(limits::MAX_BUNDLE_BYTES + 1)),
        Reason::FileTooLarge,
    );
    refused(
        Bundle::parse_unverified(&[0xff, 0xfe]),
        Reason::FileMalformed,
    );
    refused(parse(""), Reason::FileMalformed);
    // Nesting is bounded by the reader, without a crash.
    refused(
        parse(&format!("schema = {}", "[".repeat(100_000))),
        Reason::FileMalformed,
    );
}
