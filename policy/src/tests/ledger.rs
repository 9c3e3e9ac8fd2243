//! What a bundle says about the log, and what the next one may say.

use ed25519_dalek::SigningKey as NoteKey;
use sha2::{Digest as _, Sha256};

use super::world::*;
use crate::*;

const LOG: u8 = 0x01;
const WITNESS: u8 = 0x04;

/// A verifier key with this name, its signature type, and a key pair made from `seed`.
fn note_key(name: &str, kind: u8, seed: u8) -> String {
    let point = NoteKey::from_bytes(&[seed; 32]).verifying_key().to_bytes();
    note_key_of(name, kind, &point)
}

fn note_key_of(name: &str, kind: u8, point: &[u8]) -> String {
    use base64ct::Encoding as _;
    let key = [&[kind], point].concat();
    let hash = Sha256::digest([name.as_bytes(), b"\n", &key].concat());
    let hash = hex::encode(&hash[..4]);
    format!("{name}+{hash}+{}", base64ct::Base64::encode_string(&key))
}

pub(super) fn log_key() -> String {
    note_key("example.com/payments", LOG, 1)
}

fn next_log_key() -> String {
    note_key("example.com/payments-2", LOG, 2)
}

fn witness_key(number: u8) -> String {
    note_key(&format!("witness{number}.example"), WITNESS, 0x40 + number)
}

fn salt() -> String {
    "5a".repeat(32)
}

/// 32 bytes of `byte` in base64.
fn root(byte: u8) -> String {
    use base64ct::Encoding as _;
    base64ct::Base64::encode_string(&[byte; 32])
}

fn previous(log: &str, size: u64) -> String {
    format!(
        "[[ledger.previous]]\nlog = \"{log}\"\nsize = {size}\nroot = \"{}\"\n",
        root(9)
    )
}

fn table(log: &str) -> String {
    format!(
        "[ledger]\nlog = \"{log}\"\nwitnesses = [\"{}\", \"{}\", \"{}\"]\nquorum = 2\n\
         salt = \"{}\"\nreaders = [\"carol\", \"rita\"]\n",
        witness_key(1),
        witness_key(2),
        witness_key(3),
        salt()
    )
}

pub(super) fn logged_text() -> String {
    format!("{}\n{}", genesis_text(), table(&log_key()))
}

/// Replaces the last occurrence of `from`, which is the one in the ledger's table.
fn with_last(text: &str, from: &str, to: &str) -> String {
    let (before, after) = text.rsplit_once(from).unwrap();
    format!("{before}{to}{after}")
}

/// A second bundle, with another log than the first.
pub(super) fn text_with_a_previous_log() -> String {
    with_next_log(&next_text(&logged_text()), &previous(&log_key(), 7))
}

fn parse(text: &str) -> Result<Bundle, Refusal> {
    Bundle::parse_unverified(text.as_bytes())
}

fn changed(from: &str, to: &str) -> Result<Bundle, Refusal> {
    parse(&with(&logged_text(), from, to))
}

fn file(text: &str) -> SignedFile {
    signed(text, Namespace::Policy, &["alice", "bob"])
}

pub(super) fn policy_of(text: &str) -> Policy {
    let genesis = file(text);
    Policy::from_genesis(&genesis, &genesis.digest(), NOW).unwrap()
}

/// `genesis`, then the bundle after it, changed as the test likes.
fn succession(genesis: &str, change: impl FnOnce(String) -> String) -> Result<Succession, Refusal> {
    let next = change(next_text(genesis));
    policy_of(genesis).succeed(&file(&next), NOW)
}

/// Another log, and the previous one with `rest` after its table.
fn with_next_log(text: &str, rest: &str) -> String {
    let text = with(text, &log_key(), &next_log_key());
    format!("{text}\n{rest}")
}

#[test]
fn a_ledger_is_read_with_its_defaults() {
    let ledger = parse(&logged_text()).unwrap().ledger.unwrap();
    assert_eq!(ledger.origin(), "example.com/payments");
    assert_eq!(ledger.log.as_str(), log_key());
    assert_eq!((ledger.witnesses.len(), ledger.quorum), (3, 2));
    assert_eq!(ledger.salt, LedgerSalt([0x5a; 32]));
    assert_eq!(ledger.readers.len(), 2);
    assert!(ledger.release_waits_for_quorum);
    assert!(!ledger.anyone_may_read && !ledger.insecure_without_witnesses);
    assert_eq!(ledger.previous, []);
    let ledger = changed(
        "quorum = 2\n",
        "quorum = 2\nrelease_waits_for_quorum = false\nanyone_may_read = true\n",
    );
    let ledger = ledger.unwrap().ledger.unwrap();
    assert!(!ledger.release_waits_for_quorum && ledger.anyone_may_read);
}

#[test]
fn keys_are_checked() {
    // The key of the Go checksum database, as its documentation prints it.
    const SUMDB: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    let parsed = VerifierKey::parse(SUMDB).unwrap();
    assert_eq!((parsed.name(), parsed.key().len()), ("sum.golang.org", 33));
    assert_eq!(parsed.kind(), VerifierKind::Log);
    assert_eq!(parsed.to_string(), SUMDB);
    let witness = VerifierKey::parse(&witness_key(1)).unwrap();
    assert_eq!(witness.kind(), VerifierKind::Witness);
    let long = "x".repeat(128);
    VerifierKey::parse(&note_key(&long, LOG, 1)).unwrap();
    for wrong in [
        "",
        "sum.golang.org",
        &SUMDB.replace("033d", "033e"),
        &SUMDB.replace("sum", "sun"),
        // Another signature type, no name, a space in it, one byte too long.
        &note_key("a", 0x02, 1),
        &note_key("", LOG, 1),
        &note_key("a b", LOG, 1),
        &note_key("a\"b", LOG, 1),
        &note_key("a\\b", LOG, 1),
        &note_key("\u{e4}", LOG, 1),
        &note_key(&format!("{long}x"), LOG, 1),
        // Points of small order, under which anybody could sign; no point; half a point.
        &note_key_of("a", LOG, &[0; 32]),
        &note_key_of("a", LOG, &[&[1], [0; 31].as_slice()].concat()),
        &note_key_of("a", LOG, &[2; 32]),
        &note_key_of("a", LOG, &[1; 16]),
    ] {
        refused(VerifierKey::parse(wrong), Reason::BundleLedger);
    }
    refused(
        VerifierKey::parse_log(&witness_key(1)),
        Reason::BundleLedger,
    );
    refused(VerifierKey::parse_witness(&log_key()), Reason::BundleLedger);
}

#[test]
fn the_rules_of_the_table() {
    let ledger = Reason::BundleLedger;
    let as_witness = note_key("example.com/payments", WITNESS, 1);
    let other_name = note_key("other.example", WITNESS, 0x41);
    let other_key = note_key("witness1.example", WITNESS, 0x77);
    let log_as_witness = note_key("witness9.example", WITNESS, 1);
    for (from, to, reason) in [
        // A log's key signs checkpoints, a witness's cosignatures.
        (&log_key(), &as_witness, ledger),
        (&witness_key(1), &note_key("w", LOG, 7), ledger),
        // One key is one witness, under one name, and is not the log.
        (&witness_key(2), &other_name, ledger),
        (&witness_key(2), &other_key, ledger),
        (&witness_key(2), &log_as_witness, ledger),
        // What must be there.
        (
            &"quorum = 2\n".into(),
            &String::new(),
            Reason::FileMalformed,
        ),
        (
            &format!("salt = \"{}\"\n", salt()),
            &String::new(),
            Reason::FileMalformed,
        ),
        (&salt(), &"5a".repeat(31), Reason::HexMalformed),
        // The quorum can be reached, and having none is said aloud, and only then.
        (&"quorum = 2".into(), &"quorum = 4".into(), ledger),
        (&"quorum = 2".into(), &"quorum = 0".into(), ledger),
        (
            &"quorum = 2".into(),
            &"quorum = 2\ninsecure_without_witnesses = true".into(),
            ledger,
        ),
        // Readers are people of the bundle, each once.
        (
            &"\"rita\"]\n".into(),
            &"\"mallory\"]\n".into(),
            Reason::PersonUnknown,
        ),
        (
            &"\"rita\"]\n".into(),
            &"\"carol\"]\n".into(),
            Reason::BundleDuplicate,
        ),
        (
            &"\"rita\"]\n".into(),
            &"\"Rita\"]\n".into(),
            Reason::NameMalformed,
        ),
        (
            &"quorum = 2".into(),
            &"quorum = 2\nsomething = 1".into(),
            Reason::FileMalformed,
        ),
    ] {
        refused(parse(&with_last(&logged_text(), from, to)), reason);
    }
    let alone = changed(
        "quorum = 2\n",
        "quorum = 0\ninsecure_without_witnesses = true\n",
    );
    assert!(alone.unwrap().ledger.unwrap().insecure_without_witnesses);
}

#[test]
fn witnesses_are_bounded() {
    let many = |count: u8| {
        let keys: Vec<String> = (0..count)
            .map(|number| format!("\"{}\"", witness_key(number)))
            .collect();
        let list = [1, 2, 3]
            .map(|number| format!("\"{}\"", witness_key(number)))
            .join(", ");
        changed(&list, &keys.join(", "))
    };
    assert_eq!(MAX_WITNESSES, 32);
    many(32).unwrap();
    refused(many(33), Reason::BundleLedger);
}

#[test]
fn previous_logs_are_read() {
    let later = |rest: &str| parse(&with_next_log(&next_text(&logged_text()), rest));
    let bundle = later(&previous(&log_key(), 7)).unwrap();
    let ledger = bundle.ledger.unwrap();
    let epoch = &ledger.previous[0];
    assert_eq!((epoch.size, epoch.root), (7, [9; 32]));
    assert_eq!(epoch.root_base64(), root(9));
    assert!(ledger.has_or_had_log(&VerifierKey::parse(&log_key()).unwrap()));
    assert!(ledger.has_or_had_log(&VerifierKey::parse(&next_log_key()).unwrap()));
    assert!(!ledger.has_or_had_log(&VerifierKey::parse(&witness_key(1)).unwrap()));
    // A key or a name is a log's for good.
    for again in [
        next_log_key(),
        note_key("example.com/payments-2", LOG, 8),
        note_key("example.com/payments-3", LOG, 2),
        witness_key(9),
    ] {
        refused(later(&previous(&again, 7)), Reason::BundleLedger);
    }
    refused(
        later(&previous(&log_key(), 7).replace(&root(9), "CQkJ")),
        Reason::BundleLedger,
    );
    refused(
        later(&previous(&log_key(), 0)),
        Reason::BundleLedgerPrevious,
    );
    let first = format!("{}\n{}", logged_text(), previous(&next_log_key(), 7));
    refused(parse(&first), Reason::BundleLedgerPrevious);
}

#[test]
fn a_log_is_added_but_never_dropped() {
    succession(&genesis_text(), |next| {
        format!("{next}\n{}", table(&log_key()))
    })
    .unwrap();
    // A history that nobody saw.
    refused(
        succession(&genesis_text(), |next| {
            format!(
                "{next}\n{}{}",
                table(&next_log_key()),
                previous(&log_key(), 7)
            )
        }),
        Reason::BundleLedgerPrevious,
    );
    refused(
        succession(&logged_text(), |next| with(&next, &table(&log_key()), "")),
        Reason::BundleLedgerRemoved,
    );
}

#[test]
fn what_may_change_about_a_log_by_itself() {
    for (from, to) in [
        ("quorum = 2\n", "quorum = 3\nanyone_may_read = true\n"),
        (
            "quorum = 2\n",
            "quorum = 1\nrelease_waits_for_quorum = false\n",
        ),
        (&witness_key(2), &witness_key(7)),
        ("\"rita\"]\n", "\"sam\"]\n"),
    ] {
        succession(&logged_text(), |next| with_last(&next, from, to)).unwrap();
    }
    refused(
        succession(&logged_text(), |next| {
            with(&next, &salt(), &"5b".repeat(32))
        }),
        Reason::BundleLedgerSalt,
    );
}

#[test]
fn another_log_names_the_one_before() {
    let next_with = |rest: &str| succession(&logged_text(), |next| with_next_log(&next, rest));
    next_with(&previous(&log_key(), 7)).unwrap();
    let other = note_key("other.example", LOG, 8);
    for rest in [
        String::new(),
        previous(&other, 7),
        [previous(&log_key(), 7), previous(&other, 9)].concat(),
        [previous(&other, 9), previous(&log_key(), 7)].concat(),
    ] {
        refused(next_with(&rest), Reason::BundleLedgerPrevious);
    }
    // Without another log there is nothing to add.
    refused(
        succession(&logged_text(), |next| {
            format!("{next}\n{}", previous(&other, 7))
        }),
        Reason::BundleLedgerPrevious,
    );
}

#[test]
fn previous_logs_stay_as_they_are() {
    let genesis = logged_text();
    let second = with_next_log(&next_text(&genesis), &previous(&log_key(), 7));
    let third = |change: &dyn Fn(String) -> String| {
        let mut policy = policy_of(&genesis);
        policy.succeed(&file(&second), NOW).unwrap();
        policy.succeed(&file(&change(next_of(&second))), NOW)
    };
    third(&|text| text).unwrap();
    let entry = previous(&log_key(), 7);
    for to in [
        String::new(),
        entry.replace("size = 7", "size = 6"),
        entry.replace(&root(9), &root(8)),
        entry.replace(&log_key(), &note_key("other.example", LOG, 8)),
    ] {
        refused(
            third(&|text| with(&text, &entry, &to)),
            Reason::BundleLedgerPrevious,
        );
    }
    // A third log: its predecessor comes after what was listed.
    let newest = note_key("example.com/payments-3", LOG, 3);
    let ended = previous(&next_log_key(), 12);
    third(&|text| {
        let text = with(&text, &next_log_key(), &newest);
        format!("{text}\n{ended}")
    })
    .unwrap();
    refused(
        third(&|text| {
            let text = with(&text, &next_log_key(), &newest);
            with(&text, &entry, &format!("{ended}{entry}"))
        }),
        Reason::BundleLedgerPrevious,
    );
}

/// `next_text`, without the overlap that it would write again.
fn next_of(text: &str) -> String {
    draft_successor(text.as_bytes(), before(MINUTE), at(30 * DAY), None).unwrap()
}

/// Agents may be given a chain with bundles left out; the rules hold over the gap.
#[test]
fn the_rules_hold_over_a_gap() {
    let first = logged_text();
    let second = with_next_log(&next_of(&first), &previous(&log_key(), 7));
    let newest = note_key("example.com/payments-3", LOG, 3);
    let third = with(&next_of(&second), &next_log_key(), &newest);
    let third = format!("{third}\n{}", previous(&next_log_key(), 12));
    let boot = |texts: &[&str]| {
        let chain: Vec<_> = texts.iter().map(|text| file(text)).collect();
        Policy::from_anchor(&anchor(&first), &chain, NOW)
    };
    boot(&[&first, &second, &third]).unwrap();
    boot(&[&first, &third]).unwrap();
    for (from, to, reason) in [
        (&salt(), &"5b".repeat(32), Reason::BundleLedgerSalt),
        (
            &previous(&log_key(), 7),
            &String::new(),
            Reason::BundleLedgerPrevious,
        ),
        (
            &previous(&log_key(), 7),
            &previous(&note_key("other.example", LOG, 8), 7),
            Reason::BundleLedgerPrevious,
        ),
    ] {
        refused(boot(&[&first, &with(&third, from, to)]), reason);
    }
    let dropped = genesis_text().replace("version = 1\n", "version = 3\nprevious = \"");
    let dropped = dropped.replacen(
        "previous = \"",
        &format!("previous = \"{}\"\n", "00".repeat(48)),
        1,
    );
    refused(boot(&[&first, &dropped]), Reason::BundleLedgerRemoved);
}

fn anchor(text: &str) -> TrustAnchor {
    let bundle = parse(text).unwrap();
    let reviewers = bundle
        .people_named(&bundle.review.reviewers)
        .cloned()
        .collect();
    TrustAnchor::new(bundle.project.clone(), reviewers, 2, 1).unwrap()
}

#[test]
fn the_images_log_is_the_bundles_or_was_it() {
    let first = logged_text();
    let second = with_next_log(&next_of(&first), &previous(&log_key(), 7));
    let boot = |log: &str, texts: &[&str]| {
        let anchor = anchor(&first).with_log(VerifierKey::parse(log).unwrap());
        assert_eq!(anchor.log().unwrap().as_str(), log);
        let chain: Vec<_> = texts.iter().map(|text| file(text)).collect();
        Policy::from_anchor(&anchor, &chain, NOW)
    };
    boot(&log_key(), &[&first]).unwrap();
    boot(&log_key(), &[&first, &second]).unwrap();
    boot(&log_key(), &[&second]).unwrap();
    boot(&next_log_key(), &[&first, &second]).unwrap();
    // The newest bundle decides, whatever an older one said.
    refused(boot(&next_log_key(), &[&first]), Reason::BundleOtherLog);
    refused(boot(&log_key(), &[&genesis_text()]), Reason::BundleOtherLog);
    let same_name = note_key("example.com/payments", LOG, 8);
    refused(boot(&same_name, &[&first]), Reason::BundleOtherLog);
    // A log that joined later is fine.
    let joined = format!("{}\n{}", next_of(&genesis_text()), table(&log_key()));
    boot(&log_key(), &[&genesis_text(), &joined]).unwrap();
    assert_eq!(anchor(&first).log(), None);
}

#[test]
fn an_anchor_is_read_with_its_log() {
    let text = |log: &str| {
        format!(
            "project = \"payments\"\nthreshold = 2\nminimum_bundle_version = 1\nlog = \"{log}\"\n\
             reviewer = [{{ name = \"alice\", keys = [\"{}\"] }}, {{ name = \"bob\", keys = [\"{}\"] }}]\n",
            key_line("alice"),
            key_line("bob")
        )
    };
    let anchor: TrustAnchor = toml::from_str(&text(&log_key())).unwrap();
    assert_eq!(anchor.log().unwrap().as_str(), log_key());
    for wrong in [witness_key(1), "log".into()] {
        let error = toml::from_str::<TrustAnchor>(&text(&wrong)).unwrap_err();
        assert!(error.to_string().contains("bundle.ledger"), "{error}");
    }
}

#[test]
fn changes_of_the_ledger_say_whether_they_widen() {
    let old = parse(&logged_text()).unwrap();
    let changes = |text: &str| -> Vec<String> {
        let new = parse(text).unwrap();
        diff(&old, &new).iter().map(ToString::to_string).collect()
    };
    let expect = |from: &str, to: &str, expected: &[&str]| {
        assert_eq!(changes(&with(&logged_text(), from, to)), expected, "{to}");
    };
    expect(
        "quorum = 2",
        "quorum = 1",
        &["~ witness quorum: 1 (was 2) (widens)"],
    );
    expect("quorum = 2", "quorum = 3", &["~ witness quorum: 3 (was 2)"]);
    expect(
        "quorum = 2",
        "quorum = 2\nanyone_may_read = true",
        &["+ anyone may read the log (widens)"],
    );
    expect(
        "quorum = 2",
        "quorum = 2\nrelease_waits_for_quorum = false",
        &["~ key release waits for the quorum: no (was yes) (widens)"],
    );
    expect(
        "quorum = 2",
        "quorum = 0\ninsecure_without_witnesses = true",
        &[
            "+ insecure_without_witnesses (widens)",
            "~ witness quorum: 0 (was 2) (widens)",
        ],
    );
    expect(
        "readers = [\"carol\", \"rita\"]",
        "readers = [\"carol\", \"sam\"]",
        &[
            "+ reader of the log sam (widens)",
            "- reader of the log rita",
        ],
    );
    expect(
        &witness_key(3),
        &witness_key(4),
        &[
            &format!("+ witness {} (widens)", witness_key(4)),
            &format!("- witness {}", witness_key(3)),
        ],
    );
    let other_salt = changes(&with(&logged_text(), &salt(), &"5b".repeat(32)));
    assert!(other_salt[0].starts_with("~ ledger salt") && other_salt[0].ends_with("(widens)"));
    // Another log: who vouches for everything is another.
    let next = with_next_log(&next_of(&logged_text()), &previous(&log_key(), 7));
    let moved = changes(&next);
    let place = format!("~ log key: {} (was {}) (widens)", next_log_key(), log_key());
    assert!(moved.contains(&place), "{moved:?}");
    let ended = format!(
        "+ previous log {} ended at 7 entries with root {}",
        log_key(),
        root(9)
    );
    assert!(moved.contains(&ended), "{moved:?}");
    // Dropping it can never succeed, and is shown all the same.
    let dropped = changes(&genesis_text());
    assert!(dropped.contains(&format!("~ log key: none (was {}) (widens)", log_key())));
    assert!(dropped.contains(&"~ witness quorum: 0 (was 2) (widens)".to_owned()));
}

#[test]
fn advice_about_the_ledger() {
    let findings = |text: &str| -> Vec<&'static str> {
        lint(text.as_bytes(), NOW)
            .iter()
            .map(|finding| finding.id)
            .collect()
    };
    let about_the_log = |text: &str| -> Vec<&'static str> {
        let known = findings(&logged_text());
        findings(text)
            .into_iter()
            .filter(|id| !known.contains(id))
            .collect()
    };
    let changed = |from: &str, to: &str| about_the_log(&with(&logged_text(), from, to));
    assert!(!findings(&logged_text()).contains(&"lint.no_ledger"));
    assert_eq!(about_the_log(&genesis_text()), ["lint.no_ledger"]);
    assert_eq!(
        changed(
            "quorum = 2",
            "quorum = 0\ninsecure_without_witnesses = true"
        ),
        ["lint.no_witnesses"]
    );
    assert_eq!(
        changed("quorum = 2", "quorum = 1"),
        ["lint.quorum_minority"]
    );
    assert_eq!(
        changed("quorum = 2", "quorum = 3"),
        ["lint.quorum_no_spare"]
    );
    assert_eq!(
        changed("quorum = 2", "quorum = 2\nrelease_waits_for_quorum = false"),
        ["lint.release_before_quorum"]
    );
    assert_eq!(
        changed("quorum = 2", "quorum = 2\nanyone_may_read = true"),
        ["lint.log_public"]
    );
    assert_eq!(
        changed("readers = [\"carol\", \"rita\"]", "readers = []"),
        ["lint.log_unread"]
    );
    // Who only reads does something.
    let idle = format!(
        "{}\n[[person]]\nname = \"dora\"\nkeys = [\"{}\"]\n",
        logged_text(),
        key_line("dora")
    );
    assert_eq!(about_the_log(&idle), ["lint.person_idle"]);
    assert_eq!(
        about_the_log(&with(
            &idle,
            "\"carol\", \"rita\"]\n",
            "\"carol\", \"dora\"]\n"
        )),
        [""; 0]
    );
}
