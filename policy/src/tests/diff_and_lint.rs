//! What people see before they sign.

use super::world::*;
use crate::*;

fn changes(from: &str, to: &str) -> Vec<String> {
    let old = Bundle::parse_unverified(genesis_text().as_bytes()).unwrap();
    let new = Bundle::parse_unverified(with(&genesis_text(), from, to).as_bytes()).unwrap();
    diff(&old, &new).iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_changed() {
    let bundle = Bundle::parse_unverified(genesis_text().as_bytes()).unwrap();
    assert_eq!(diff(&bundle, &bundle), []);
}

#[test]
fn each_change_says_whether_it_widens() {
    let pcr4 = Pcr::of_instance_id(INSTANCE_ID);
    let spare = key("spare").public_key().fingerprint();
    let bob = key("bob").public_key().fingerprint();
    let cases: &[(&str, &str, &[&str])] = &[
        (
            "[\"alice\", \"bob\", \"carol\"]\nthreshold = 2\n\n[[role]]",
            "[\"alice\", \"bob\"]\nthreshold = 2\n\n[[role]]",
            &["- reviewer carol"],
        ),
        (
            "threshold = 2\n\n[[role]]",
            "threshold = 3\n\n[[role]]",
            &["~ review threshold: 3 (was 2)"],
        ),
        (
            &key_line("bob"),
            &key_line("spare"),
            &[
                &format!("+ person bob: SSH key {spare} (widens)"),
                &format!("- person bob: SSH key {bob}"),
            ],
        ),
        (
            "\"attest\"]",
            "\"attest\", \"keys\"]",
            &["+ role on-call: action keys (widens)"],
        ),
        (
            "roles = [\"on-call\", \"maintainer\"]",
            "roles = [\"maintainer\"]",
            &["- person olga: role on-call"],
        ),
        (
            "[\"alice\", \"olga\"]\nthreshold = 1",
            "[\"alice\", \"olga\"]\nthreshold = 2",
            &["~ approval of restart-workload: threshold: 2 (was 1)"],
        ),
        (
            "delay = \"0s\"",
            "delay = \"1m\"",
            &["~ approval of restart-workload: delay: 1m (was 0s)"],
        ),
        (
            "[\"rita\", \"sam\", \"carol\"]",
            "[\"rita\", \"sam\"]",
            &["- releases payments-*: signer carol"],
        ),
        (
            "[\"alice\", \"sam\"]",
            "[\"sam\"]",
            &["- stop signer alice"],
        ),
        (
            "releases = [\"payments-api\"]",
            "releases = [\"payments-*\"]",
            &[
                "+ key payments-db: for release payments-* (widens)",
                "- key payments-db: for release payments-api",
            ],
        ),
        (
            &format!("instance_ids = [\"{INSTANCE_ID}\"]"),
            "",
            &[&format!("- key payments-db: PCR4 {pcr4}")],
        ),
        (
            "\"2m\"",
            "\"1m\"",
            &["~ key payments-db: maximum document age: 1m (was 2m)"],
        ),
        (
            "\"2m\"",
            "\"3m\"",
            &["~ key payments-db: maximum document age: 3m (was 2m) (widens)"],
        ),
        (
            "2026-12-20T12:00:00Z",
            "2027-01-20T12:00:00Z",
            &["~ expires: 2027-01-20T12:00:00Z (was 2026-12-20T12:00:00Z) (widens)"],
        ),
    ];
    for (from, to, expected) in cases {
        assert_eq!(changes(from, to), *expected, "{to}");
    }
    let commitment = format!(
        "commitments = [{{ version = 1, sha384 = \"{}\" }}]",
        "c0".repeat(48)
    );
    assert!(
        changes(&commitment, "")[0].ends_with("(widens)"),
        "a commitment restricts"
    );
    assert!(changes(&"8f".repeat(32), &"8e".repeat(32))[0].ends_with("(widens)"));
}

/// Dropping the row of an operation that can do without one: nobody approves any more.
#[test]
fn a_lost_approval_widens() {
    let row = "[[approval]]\noperations = [\"keys-disable\"]\napprovers = [\"bob\"]\nthreshold = 1\n\
               delay = \"0s\"\n\n[stop]";
    let with_row = with(&genesis_text(), "[stop]", row);
    let old = Bundle::parse_unverified(with_row.as_bytes()).unwrap();
    let new = Bundle::parse_unverified(genesis_text().as_bytes()).unwrap();
    let changes: Vec<String> = diff(&old, &new).iter().map(ToString::to_string).collect();
    assert_eq!(
        changes[0],
        "~ approval of keys-disable: threshold: 0 (was 1) (widens)"
    );
}

fn findings(text: &str) -> Vec<&'static str> {
    lint(text.as_bytes(), NOW)
        .iter()
        .map(|finding| finding.id)
        .collect()
}

#[track_caller]
fn adds(from: &str, to: &str, id: &str) {
    let text = with(&genesis_text(), from, to);
    assert!(
        findings(&text).contains(&id),
        "{id} not in {:?}",
        findings(&text)
    );
    let before = findings(&genesis_text())
        .iter()
        .filter(|found| **found == id)
        .count();
    let after = findings(&text).iter().filter(|found| **found == id).count();
    assert!(after > before, "{id} was there before");
}

#[test]
fn advice_about_bundles() {
    adds(
        "threshold = 2\n\n[[role]]",
        "threshold = 3\n\n[[role]]",
        "lint.review_no_spare",
    );
    adds(
        "[\"alice\", \"olga\"]\nthreshold = 1",
        "[\"alice\", \"olga\"]\nthreshold = 2",
        "lint.approval_unreachable",
    );
    adds(
        "[\"alice\", \"sam\"]\nthreshold = 1",
        "[\"alice\", \"sam\"]\nthreshold = 2",
        "lint.stop_threshold",
    );
    adds("names = [\"batch\"]", "names = [\"*\"]", "lint.any_release");
    adds(
        "[\"rita\", \"sam\", \"carol\"]",
        "[\"rita\", \"sam\"]",
        "lint.release_no_spare",
    );
    adds(
        "releases = [\"payments-api\"]",
        "releases = [\"*\"]",
        "lint.key_any_release",
    );
    adds(
        "releases = [\"payments-api\"]",
        "releases = [\"search\"]",
        "lint.key_without_release",
    );
    adds(
        "statuses = [\"current\"]",
        "statuses = [\"previous\"]",
        "lint.key_not_current",
    );
    adds(
        &format!(
            "commitments = [{{ version = 1, sha384 = \"{}\" }}]",
            "c0".repeat(48)
        ),
        "",
        "lint.key_without_commitment",
    );
    adds(
        &format!("[key_service]\nstatic_key = \"{}\"\n", "8f".repeat(32)),
        "",
        "lint.key_service",
    );
    adds("roles = [\"key-keeper\"]\n", "", "lint.role_unused");
    adds("roles = [\"key-keeper\"]\n", "", "lint.person_idle");
    adds(
        "2026-12-20T12:00:00Z",
        "2026-12-05T11:59:59Z",
        "lint.expires_soon",
    );
    adds(
        "2026-12-20T12:00:00Z",
        "2026-11-21T12:00:00Z",
        "lint.expired",
    );
    assert!(findings(&genesis_text()).contains(&"lint.any_account"));
    assert!(findings(&genesis_text()).contains(&"lint.software_key"));
    assert!(findings(&genesis_text()).contains(&"lint.approval"));
}

#[test]
fn errors_have_the_reason_of_their_refusal() {
    let broken = with(
        &genesis_text(),
        "threshold = 2\n\n[[role]]",
        "threshold = 1\n\n[[role]]",
    );
    let found = lint(broken.as_bytes(), NOW);
    assert_eq!((found.len(), found[0].severity), (1, Severity::Error));
    assert_eq!(found[0].id, "bundle.threshold");
    assert!(
        found[0]
            .to_string()
            .starts_with("error: bundle.threshold: review")
    );
    assert_eq!(findings("schema = \"other\""), ["file.schema"]);
    assert_eq!(findings("not toml"), ["file.malformed"]);
    let release = release_text(1, "1.0", ReleaseStatus::Current);
    assert_eq!(findings(&release), ["lint.no_pcr8"]);
    assert_eq!(
        findings(&with(&release, &"01".repeat(48), &"00".repeat(48))),
        ["release.zero_pcr"]
    );
    assert_eq!(
        findings(&release_text(1, "1.0", ReleaseStatus::Revoked)),
        [""; 0]
    );
    assert_eq!(findings(&stop_text(1, "")), ["stop.empty"]);
    assert_eq!(findings(&Order::Read(read_order()).to_toml()), [""; 0]);
}

#[test]
fn counters_are_added_up() {
    let counter = |name: &str, max| DeclaredCounter {
        name: name.to_owned(),
        min: 0,
        max,
        step: 1,
    };
    let found = lint_counters(&[counter("a", 255), counter("b", 1)]);
    assert_eq!(found[0].words, "counter a: 8.0 bits per minute");
    assert!(
        found[2].words.contains("9.0 bits per minute"),
        "{}",
        found[2].words
    );
}
