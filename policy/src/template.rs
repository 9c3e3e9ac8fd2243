//! A first bundle to start from (`narthex policy init`).

use std::collections::BTreeSet;

use crate::action::Action;
use crate::administration::KeyOperationKind;
use crate::bundle::{BUNDLE_SCHEMA, Bundle};
use crate::digest::{LedgerSalt, StaticKey};
use crate::names::{PersonName, ProjectName};
use crate::person::PersonKey;
use crate::reason::Refusal;
use crate::time::UnixMillis;
use crate::verifier_key::VerifierKey;

/// A person with their SSH public keys.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NamedKeys {
    /// The name.
    pub name: PersonName,
    /// The keys.
    pub keys: Vec<PersonKey>,
}

/// What a first bundle needs to know.
#[derive(Clone, Debug)]
pub struct InitialBundle {
    /// The project.
    pub project: ProjectName,
    /// When it is written.
    pub issued: UnixMillis,
    /// First moment at which it holds no more.
    pub expires: UnixMillis,
    /// The reviewers, who also approve orders, sign releases and may stop things.
    pub reviewers: Vec<NamedKeys>,
    /// How many reviewers must sign, at least 2.
    pub threshold: usize,
    /// People with the roles `on-call` and `maintainer`.
    pub operators: Vec<NamedKeys>,
    /// People with the role `key-keeper`.
    pub key_administrators: Vec<NamedKeys>,
    /// The key service's static key, if there is one already.
    pub static_key: Option<StaticKey>,
    /// The log, if there is a key for it already.
    pub ledger: Option<InitialLedger>,
}

/// What a first bundle needs to know about the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InitialLedger {
    /// The log's key.
    pub log: VerifierKey,
    /// The witnesses' keys.
    pub witnesses: Vec<VerifierKey>,
    /// How many of them must cosign; 0 is refused unless `insecure_without_witnesses` is said.
    pub quorum: usize,
    /// Who may read the log; people who appear elsewhere in the bundle, or in `reader_keys`.
    pub readers: Vec<PersonName>,
    /// People who read the log and do nothing else.
    pub reader_keys: Vec<NamedKeys>,
    /// Whether everybody may read the log, without a ticket.
    pub anyone_may_read: bool,
    /// 32 bytes that the caller drew from a random source.
    pub salt: LedgerSalt,
    /// The visible way to have no quorum at all.
    pub insecure_without_witnesses: bool,
}

impl InitialLedger {
    fn to_toml(&self) -> String {
        let Self {
            log,
            witnesses,
            quorum,
            readers,
            reader_keys: _,
            anyone_may_read,
            salt,
            insecure_without_witnesses,
        } = self;
        let witnesses = quoted(witnesses.iter().map(VerifierKey::as_str));
        let readers = quoted(readers.iter().map(PersonName::as_str));
        let insecure = match insecure_without_witnesses {
            true => "insecure_without_witnesses = true\n",
            false => "",
        };
        let anyone = match anyone_may_read {
            true => "anyone_may_read = true\n",
            false => "",
        };
        format!(
            "\n# Where everything is logged, who vouches for it, and who may read it. The salt makes\n\
             # pseudonyms of people; it never changes.\n\
             [ledger]\nlog = \"{log}\"\nwitnesses = [{witnesses}]\nquorum = {quorum}\n{insecure}\
             salt = \"{salt}\"\nreaders = [{readers}]\n{anyone}"
        )
    }
}

impl InitialBundle {
    /// Writes version 1 with comments, for its authors to edit, review and sign. Who appears in
    /// several lists is written once, with all roles; the keys are those of the first list.
    ///
    /// # Errors
    ///
    /// What [`Bundle::parse_unverified`] refuses about the result: a threshold out of bounds, a
    /// shared key, a lifetime above a year.
    pub fn to_toml(&self) -> Result<String, Refusal> {
        let Self {
            project,
            issued,
            expires,
            reviewers,
            threshold,
            operators,
            key_administrators,
            static_key,
            ledger,
        } = self;
        let mut text = format!(
            "# Policy of {project}, version 1. Sign with: narthex policy sign\n\
             # or: ssh-keygen -Y sign -n policy@narthex -f KEY FILE\n\
             schema = \"{BUNDLE_SCHEMA}\"\nproject = \"{project}\"\nversion = 1\n\
             issued = {issued}\nexpires = {expires}\n\n\
             # Everybody who signs anything. requires = \"touch\" or \"verification\" needs sk- keys.\n"
        );
        let mut written = BTreeSet::new();
        let reader_keys = ledger.iter().flat_map(|ledger| &ledger.reader_keys);
        let people = reviewers.iter().chain(operators).chain(key_administrators);
        for person in people.chain(reader_keys) {
            if written.insert(&person.name) {
                text.push_str(&self.person(person));
            }
        }
        let names = quoted(reviewers.iter().map(|person| person.name.as_str()));
        text.push_str(&format!(
            "# Who approves bundles; a change of them needs the old threshold and the new one.\n\
             [review]\nreviewers = [{names}]\nthreshold = {threshold}\n\n{}{}\
             # Who may say what is a release.\n\
             [[release_authority]]\nnames = [\"*\"]\nsigners = [{names}]\nthreshold = {threshold}\n\n\
             # Who may stop a release, a person or a key at once.\n\
             [stop]\nsigners = [{names}]\nthreshold = 1\n",
            roles(),
            approvals(&names),
        ));
        text.push_str(
            "\n# Which releases may have which keys, and on whose machines.\n\
             # [[key]]\n# name = \"example-key\"\n# releases = [\"example-api\"]\n\
             # role_arns = [\"arn:aws:iam::123456789012:role/example\"]\n",
        );
        if let Some(static_key) = static_key {
            text.push_str(&format!("\n[key_service]\nstatic_key = \"{static_key}\"\n"));
        }
        if let Some(ledger) = ledger {
            text.push_str(&ledger.to_toml());
        }
        Bundle::parse_unverified(text.as_bytes())?;
        Ok(text)
    }

    fn person(&self, person: &NamedKeys) -> String {
        let NamedKeys { name, keys } = person;
        let among = |people: &[NamedKeys]| people.iter().any(|other| other.name == *name);
        let mut roles = Vec::new();
        if among(&self.operators) {
            roles.extend(["on-call", "maintainer"]);
        }
        if among(&self.key_administrators) {
            roles.push("key-keeper");
        }
        let roles = match roles.is_empty() {
            true => String::new(),
            false => format!("roles = [{}]\n", quoted(roles.into_iter())),
        };
        let keys: Vec<String> = keys.iter().map(PersonKey::to_openssh).collect();
        let keys = quoted(keys.iter().map(String::as_str));
        format!("[[person]]\nname = \"{name}\"\nkeys = [{keys}]\n{roles}\n")
    }
}

/// Drafts the bundle after `previous` as a copy with version, digest and times moved on; comments
/// and everything else stay, for its authors to edit.
///
/// # Errors
///
/// What [`Bundle::parse_unverified`] refuses about `previous` or about the result.
pub fn draft_successor(
    previous: &[u8],
    issued: UnixMillis,
    expires: UnixMillis,
    previous_accepted_until: Option<UnixMillis>,
) -> Result<String, Refusal> {
    let bundle = Bundle::parse_unverified(previous)?;
    let text = String::from_utf8_lossy(previous);
    let (head, tables) = split_head(&text);
    let moved = [
        "version",
        "previous",
        "issued",
        "expires",
        "previous_accepted_until",
    ];
    let is_moved = |line: &&str| {
        let field = line.split('=').next().unwrap_or_default().trim();
        !moved.contains(&field)
    };
    let mut draft: String = head
        .lines()
        .filter(is_moved)
        .map(|line| format!("{line}\n"))
        .collect();
    draft.truncate(draft.trim_end().len());
    draft.push_str(&format!(
        "\nversion = {}\nprevious = \"{}\"\nissued = {issued}\nexpires = {expires}\n",
        bundle.version.saturating_add(1),
        bundle.digest
    ));
    if let Some(until) = previous_accepted_until {
        draft.push_str(&format!("previous_accepted_until = {until}\n"));
    }
    draft.push('\n');
    draft.push_str(tables);
    Bundle::parse_unverified(draft.as_bytes())?;
    Ok(draft)
}

/// The part before the first table, and the rest with the comments that belong to it.
fn split_head(text: &str) -> (&str, &str) {
    let mut head_end = 0;
    let mut position = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        if trimmed.starts_with('[') {
            return text.split_at_checked(head_end).unwrap_or((text, ""));
        }
        position += line.len();
        // Comments and blank lines between the last field and the table belong to the table.
        if !trimmed.is_empty() && !trimmed.starts_with('#') {
            head_end = position;
        }
    }
    (text, "")
}

fn roles() -> String {
    let (writes, reads): (Vec<_>, Vec<_>) =
        Action::ALL.iter().partition(|action| action.is_write());
    let names = |actions: Vec<Action>| quoted(actions.iter().map(|action| action.name()));
    format!(
        "[[role]]\nname = \"on-call\"\nactions = [{}]\n\n\
         [[role]]\nname = \"maintainer\"\nactions = [{}]\n\n\
         [[role]]\nname = \"key-keeper\"\noperations = [{}]\n\n",
        names(reads),
        names(writes),
        quoted(KeyOperationKind::ALL.iter().map(|kind| kind.name()))
    )
}

fn approvals(approvers: &str) -> String {
    let writes = Action::ALL.iter().filter(|action| action.is_write());
    let kinds = KeyOperationKind::ALL
        .iter()
        .filter(|kind| kind.needs_approval());
    format!(
        "# Whatever changes something: who else must agree, and how long it waits. The wait of an\n\
         # order for an agent begins when it is logged, that of an order for keys at its `issued`.\n\
         [[approval]]\nactions = [{}]\noperations = [{}]\napprovers = [{approvers}]\n\
         threshold = 1\ndelay = \"0s\"\n\n",
        quoted(writes.map(|action| action.name())),
        quoted(kinds.map(|kind| kind.name()))
    )
}

/// A comma-separated list in quotes, wrapped for people.
fn quoted<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names
        .map(|name| format!("\"{name}\""))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::reason::Reason;
    use crate::sign::SigningKey;

    const LOG: &str = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8";
    const WITNESSES: [&str; 2] = [
        "customer.example/witness+8d84b1e3+BNuZX+JRadFByrm7upK6oB+fLh7OffTLKsBRkPN/zB+d",
        "auditor.example/witness+a712299f+BCFS+NGbeR0kRTJC4V8uq2y3z/p7al7TAJeWDgaYgdsS",
    ];

    fn template(threshold: usize) -> InitialBundle {
        let person = |name: &str| NamedKeys {
            name: PersonName::new(name).unwrap(),
            keys: vec![SigningKey::generate_ed25519().unwrap().public_key().clone()],
        };
        let issued = UnixMillis::parse("2026-11-21T12:00:00Z").unwrap();
        let reviewers = vec![person("alice"), person("bob")];
        InitialBundle {
            project: ProjectName::new("payments").unwrap(),
            issued,
            expires: issued.saturating_add(Duration::from_secs(90 * 86_400)),
            operators: vec![reviewers[0].clone(), person("olga")],
            key_administrators: vec![person("keith")],
            reviewers,
            threshold,
            static_key: Some(StaticKey([7; 32])),
            ledger: None,
        }
    }

    #[test]
    fn is_a_complete_bundle() {
        let text = template(2).to_toml().unwrap();
        let bundle = Bundle::parse_unverified(text.as_bytes()).unwrap();
        assert_eq!(bundle.people.len(), 4);
        let person = |name: &str| bundle.person(&PersonName::new(name).unwrap()).unwrap();
        assert_eq!(bundle.actions_of(person("olga")), Action::ALL);
        assert_eq!(bundle.actions_of(person("alice")), Action::ALL);
        assert_eq!(bundle.operations_of(person("olga")), []);
        assert_eq!(bundle.operations_of(person("keith")), KeyOperationKind::ALL);
        assert_eq!(bundle.key_service.unwrap().static_key, StaticKey([7; 32]));
    }

    #[test]
    fn a_draft_moves_only_the_head() {
        let first = template(2).to_toml().unwrap();
        let issued = UnixMillis::parse("2027-01-01T00:00:00Z").unwrap();
        let until = issued.saturating_add(Duration::from_secs(86_400));
        let expires = issued.saturating_add(Duration::from_secs(90 * 86_400));
        let second = draft_successor(first.as_bytes(), issued, expires, Some(until)).unwrap();
        let (old, new) = (
            Bundle::parse_unverified(first.as_bytes()).unwrap(),
            Bundle::parse_unverified(second.as_bytes()).unwrap(),
        );
        let expected = Bundle {
            version: 2,
            previous: Some(old.digest),
            issued,
            expires,
            previous_accepted_until: Some(until),
            digest: new.digest,
            ..old
        };
        assert_eq!(new, expected);
        assert!(second.contains("# Everybody who signs anything."));
        let third = draft_successor(second.as_bytes(), issued, expires, None).unwrap();
        assert_eq!(
            Bundle::parse_unverified(third.as_bytes()).unwrap().version,
            3
        );
    }

    fn ledger(quorum: usize) -> InitialLedger {
        InitialLedger {
            log: VerifierKey::parse_log(LOG).unwrap(),
            witnesses: WITNESSES
                .iter()
                .map(|text| VerifierKey::parse_witness(text).unwrap())
                .collect(),
            quorum,
            readers: ["keith", "rita"]
                .map(|name| PersonName::new(name).unwrap())
                .to_vec(),
            reader_keys: vec![NamedKeys {
                name: PersonName::new("rita").unwrap(),
                keys: vec![SigningKey::generate_ed25519().unwrap().public_key().clone()],
            }],
            anyone_may_read: quorum == 1,
            salt: LedgerSalt([0x5a; 32]),
            insecure_without_witnesses: quorum == 0,
        }
    }

    #[test]
    fn a_log_comes_with_it() {
        for quorum in [0, 1, 2] {
            let initial = InitialBundle {
                ledger: Some(ledger(quorum)),
                ..template(2)
            };
            let text = initial.to_toml().unwrap();
            let bundle = Bundle::parse_unverified(text.as_bytes()).unwrap();
            let rita = bundle.person(&PersonName::new("rita").unwrap()).unwrap();
            assert_eq!(rita.roles, [], "who only reads has no role");
            let InitialLedger {
                log,
                witnesses,
                quorum,
                readers,
                reader_keys: _,
                anyone_may_read,
                salt,
                insecure_without_witnesses,
            } = ledger(quorum);
            let expected = crate::Ledger {
                log,
                witnesses,
                quorum,
                salt,
                readers,
                anyone_may_read,
                release_waits_for_quorum: true,
                insecure_without_witnesses,
                previous: Vec::new(),
            };
            assert_eq!(bundle.ledger, Some(expected));
            // The next draft has the same log.
            let issued = UnixMillis::parse("2027-01-01T00:00:00Z").unwrap();
            let expires = issued.saturating_add(Duration::from_secs(90 * 86_400));
            let next = draft_successor(text.as_bytes(), issued, expires, None).unwrap();
            assert_eq!(ledger_of(&next), ledger_of(&text));
        }
        let refused = |change: &dyn Fn(&mut InitialLedger)| {
            let mut ledger = ledger(1);
            change(&mut ledger);
            let initial = InitialBundle {
                ledger: Some(ledger),
                ..template(2)
            };
            initial.to_toml().unwrap_err().reason()
        };
        assert_eq!(refused(&|ledger| ledger.quorum = 3), Reason::BundleLedger);
        assert_eq!(refused(&|ledger| ledger.quorum = 0), Reason::BundleLedger);
        let stranger = PersonName::new("mallory").unwrap();
        assert_eq!(
            refused(&|ledger| ledger.readers = vec![stranger.clone()]),
            Reason::PersonUnknown
        );
    }

    fn ledger_of(text: &str) -> Option<crate::Ledger> {
        Bundle::parse_unverified(text.as_bytes()).unwrap().ledger
    }

    #[test]
    fn one_person_alone_is_no_template() {
        assert_eq!(
            template(1).to_toml().unwrap_err().reason(),
            Reason::BundleThreshold
        );
    }
}
