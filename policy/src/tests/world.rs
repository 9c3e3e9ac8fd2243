//! The people and files that the tests are about. Everything is made here: keys at every run,
//! files from one good text in which a test breaks one thing.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::*;

/// The moment of most tests.
pub(crate) const NOW: UnixMillis = UnixMillis(1_795_262_400_000); // 2026-11-21T12:00:00Z
pub(crate) const MINUTE: u64 = 60_000;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;

pub(crate) const MODULE_ID: &str = "i-0123456789abcdef0-enc0123456789abcdef";
pub(crate) const INSTANCE_ID: &str = "i-0123456789abcdef0";
pub(crate) const ROLE_ARN: &str = "arn:aws:iam::123456789012:role/payments";
pub(crate) const BOOT: BootId = BootId([0x42; 16]);
pub(crate) const SESSION: SessionHash = SessionHash([0x11; 32]);
pub(crate) const IMAGE: Measurements = Measurements {
    pcr0: Pcr([1; 48]),
    pcr1: Pcr([2; 48]),
    pcr2: Pcr([3; 48]),
    pcr8: None,
};

/// Everybody; `mallory` is in no policy, `spare` and `dora` only where a test puts them.
static KEYS: LazyLock<BTreeMap<&str, SigningKey>> = LazyLock::new(|| {
    [
        "alice", "alice2", "bob", "carol", "dora", "keith", "mallory", "olga", "oscar", "rita",
        "sam", "spare",
    ]
    .into_iter()
    .map(|name| (name, SigningKey::generate_ed25519().unwrap()))
    .collect()
});

pub(crate) fn key(name: &str) -> &'static SigningKey {
    &KEYS[name]
}

pub(crate) fn key_line(name: &str) -> String {
    key(name).public_key().to_openssh()
}

pub(crate) fn at(offset_millis: u64) -> UnixMillis {
    UnixMillis(NOW.0 + offset_millis)
}

pub(crate) fn before(offset_millis: u64) -> UnixMillis {
    UnixMillis(NOW.0 - offset_millis)
}

/// Signs `text` by the keys of `signers`.
pub(crate) fn signed(text: &str, namespace: Namespace, signers: &[&str]) -> SignedFile {
    SignedFile {
        bytes: text.as_bytes().to_vec(),
        signatures: signers
            .iter()
            .map(|name| key(name).sign(namespace, text.as_bytes()).unwrap())
            .collect(),
    }
}

/// Replaces the one occurrence of `from`.
pub(crate) fn with(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?} in:\n{text}");
    text.replacen(from, to, 1)
}

/// A good first bundle that uses every section.
pub(crate) fn genesis_text() -> String {
    let person = |name: &str, more: &str| {
        format!(
            "[[person]]\nname = \"{name}\"\nkeys = [\"{}\"]\n{more}\n",
            key_line(name)
        )
    };
    let alice = format!(
        "[[person]]\nname = \"alice\"\nkeys = [\"{}\", \"{}\"]\n\n",
        key_line("alice"),
        key_line("alice2")
    );
    let people = [
        alice,
        person("bob", ""),
        person("carol", ""),
        person("olga", "roles = [\"on-call\", \"maintainer\"]\n"),
        person("oscar", "roles = [\"maintainer\"]\n"),
        person("keith", "roles = [\"key-keeper\"]\n"),
        person("rita", ""),
        person("sam", ""),
    ]
    .concat();
    format!(
        r#"schema = "narthex/bundle/v1"
project = "payments"
version = 1
issued = 2026-11-20T12:00:00Z
expires = 2026-12-20T12:00:00Z

{people}[review]
reviewers = ["alice", "bob", "carol"]
threshold = 2

[[role]]
name = "on-call"
actions = ["health", "status", "attest"]

[[role]]
name = "maintainer"
actions = ["restart-workload", "shutdown"]

[[role]]
name = "key-keeper"
operations = ["keys-list", "keys-create", "keys-import", "keys-disable", "keys-retire"]

[[approval]]
actions = ["restart-workload"]
approvers = ["alice", "olga"]
threshold = 1
delay = "0s"

[[approval]]
actions = ["shutdown"]
operations = ["keys-import", "keys-retire"]
approvers = ["alice", "bob", "carol"]
threshold = 2
delay = "15m"

[[release_authority]]
names = ["payments-*"]
signers = ["rita", "sam", "carol"]
threshold = 2

[[release_authority]]
names = ["batch"]
signers = ["alice", "bob"]
threshold = 2

[stop]
signers = ["alice", "sam"]
threshold = 1

[[key]]
name = "payments-db"
releases = ["payments-api"]
role_arns = ["{ROLE_ARN}"]
instance_ids = ["{INSTANCE_ID}"]
max_document_age = "2m"
commitments = [{{ version = 1, sha384 = "{commitment}" }}]

[[key]]
name = "anywhere"
releases = ["payments-*"]
statuses = ["current"]
insecure_any_account = true

[key_service]
static_key = "{static_key}"
"#,
        commitment = "c0".repeat(48),
        static_key = "8f".repeat(32),
    )
}

pub(crate) fn genesis_file() -> SignedFile {
    signed(&genesis_text(), Namespace::Policy, &["alice", "bob"])
}

/// The policy with its first bundle only.
pub(crate) fn policy() -> Policy {
    let file = genesis_file();
    Policy::from_genesis(&file, &file.digest(), NOW).unwrap()
}

/// The text of the bundle after `previous`, otherwise the same; a test changes it further.
pub(crate) fn next_text(previous: &str) -> String {
    let bundle = Bundle::parse_unverified(previous.as_bytes()).unwrap();
    draft_successor(
        previous.as_bytes(),
        before(MINUTE),
        bundle.expires,
        Some(at(DAY)),
    )
    .unwrap()
}

pub(crate) fn release_text(serial: u64, version: &str, status: ReleaseStatus) -> String {
    Release {
        project: ProjectName::new("payments").unwrap(),
        serial,
        issued: before(HOUR),
        expires: at(30 * DAY),
        name: ReleaseName::new("payments-api").unwrap(),
        version: ReleaseVersion::new(version).unwrap(),
        measurements: IMAGE,
        provenance: Provenance::Manifest(Digest384([7; 48])),
        status,
        digest: Digest384([0; 48]),
    }
    .to_toml()
}

pub(crate) fn release_file(serial: u64, version: &str, status: ReleaseStatus) -> SignedFile {
    signed(
        &release_text(serial, version, status),
        Namespace::Release,
        &["rita", "sam"],
    )
}

/// The policy with the image released as payments-api 1.0.
pub(crate) fn released() -> Policy {
    let mut policy = policy();
    policy
        .add_release(&release_file(1, "1.0", ReleaseStatus::Current), NOW)
        .unwrap();
    policy
}

/// A stop statement with `lines` as its content.
pub(crate) fn stop_text(serial: u64, lines: &str) -> String {
    format!(
        "schema = \"narthex/stop/v1\"\nproject = \"payments\"\nserial = {serial}\n\
         issued = 2026-11-21T11:00:00Z\n{lines}\n"
    )
}

pub(crate) fn stop_file(lines: &str) -> SignedFile {
    signed(&stop_text(1, lines), Namespace::Stop, &["sam"])
}

pub(crate) fn head(requester: &str) -> OrderHead {
    OrderHead {
        project: ProjectName::new("payments").unwrap(),
        nonce: [7; 16],
        requester: PersonName::new(requester).unwrap(),
        issued: before(HOUR),
        not_before: before(HOUR),
        expires: at(HOUR),
    }
}

pub(crate) fn read_order() -> ReadOrder {
    ReadOrder {
        head: head("olga"),
        actions: vec![Action::Health, Action::Status, Action::Attest],
        calls: 3,
        targets: Targets {
            module_ids: vec![MODULE_ID.to_owned()],
            ..Targets::default()
        },
    }
}

pub(crate) fn write_order(action: Action) -> WriteOrder {
    WriteOrder {
        head: head("olga"),
        action,
        parameters: Parameters::None,
        module_id: MODULE_ID.to_owned(),
        boot_id: BOOT,
    }
}

pub(crate) fn signed_order(text: &str, requester: &str, approvers: &[&str]) -> SignedOrder {
    SignedOrder {
        bytes: text.as_bytes().to_vec(),
        signature: key(requester)
            .sign(Namespace::Order, text.as_bytes())
            .unwrap(),
        approvals: signed(text, Namespace::Approve, approvers).signatures,
    }
}

pub(crate) fn signed_read(order: ReadOrder) -> SignedOrder {
    signed_order(&Order::Read(order).to_toml(), "olga", &[])
}

pub(crate) fn signed_write(order: WriteOrder, approvers: &[&str]) -> SignedOrder {
    signed_order(&Order::Write(order).to_toml(), "olga", approvers)
}

pub(crate) fn context(now: UnixMillis) -> OrderContext<'static> {
    OrderContext {
        now,
        module_id: MODULE_ID,
        instance_id: INSTANCE_ID,
        boot_id: &BOOT,
        measurements: &IMAGE,
        logged: Logged::InsecureNotLooked,
    }
}

/// Asserts the exact reason.
#[track_caller]
pub(crate) fn refused<T: core::fmt::Debug>(result: Result<T, Refusal>, reason: Reason) {
    match result {
        Err(refusal) => assert_eq!(refusal.reason(), reason, "{refusal}"),
        Ok(value) => panic!("accepted, expected {reason}: {value:?}"),
    }
}
