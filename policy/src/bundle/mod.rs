//! Bundles: who reviews, who may do what, which releases may have which keys.

use core::time::Duration;

use serde::Deserialize;

use crate::action::Action;
use crate::administration::KeyOperationKind;
use crate::digest::{Digest384, Pcr, StaticKey};
use crate::ledger::Ledger;
use crate::names::{KeyName, NamePattern, PersonName, ProjectName, RoleName};
use crate::person::{Fingerprint, Person};
use crate::release::ReleaseStatus;
use crate::time::UnixMillis;

mod rules;
mod text;

pub(crate) use rules::check_unique;

/// `schema` of a bundle.
pub const BUNDLE_SCHEMA: &str = "narthex/bundle/v1";
/// Longest time between `issued` and `expires`: leap years included, a yearly review suffices.
pub const MAX_BUNDLE_LIFETIME: Duration = Duration::from_secs(366 * 86_400);
/// Longest time after `issued` during which enclaves with the previous bundle still get keys.
pub const MAX_PREVIOUS_ACCEPTED: Duration = Duration::from_secs(14 * 86_400);
/// How far in the future `issued` and `not_before` may lie: the clocks of people's machines.
pub const CLOCK_SKEW: Duration = Duration::from_secs(60);
/// Document age of a key rule that does not say one.
pub const DEFAULT_DOCUMENT_AGE: Duration = Duration::from_secs(5 * 60);
/// Largest document age: AWS's leaf certificates live three hours.
pub const MAX_DOCUMENT_AGE: Duration = Duration::from_secs(3600);
/// Longest delay of an approval row: a write order, which lives a day at most, must outlive it.
pub const MAX_DELAY: Duration = Duration::from_secs(12 * 3600);

/// A bundle whose content keeps every rule that can be seen in the file alone. Its signatures and
/// its place in the lineage are for [`Policy`](crate::Policy) to check.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Bundle {
    /// The project.
    pub project: ProjectName,
    /// Rises by exactly one.
    pub version: u64,
    /// The digest of the bundle before; absent in version 1 only.
    pub previous: Option<Digest384>,
    /// When it was written.
    pub issued: UnixMillis,
    /// First moment at which it holds no more.
    pub expires: UnixMillis,
    /// Until when enclaves that booted with the previous bundle still get keys.
    pub previous_accepted_until: Option<UnixMillis>,
    /// Everybody who signs anything.
    pub people: Vec<Person>,
    /// Who approves bundles.
    pub review: Review,
    /// Named sets of permissions.
    pub roles: Vec<Role>,
    /// What needs approval, by whom, and how long it waits.
    pub approvals: Vec<Approval>,
    /// Who may speak for which releases.
    pub release_authorities: Vec<ReleaseAuthority>,
    /// Who may stop things at once.
    pub stop: StopAuthority,
    /// Which releases may have which keys.
    pub keys: Vec<KeyRule>,
    /// Where keys come from.
    pub key_service: Option<KeyServiceIdentity>,
    /// Where things are logged.
    pub ledger: Option<Ledger>,
    /// SHA-384 of the bundle's bytes.
    pub digest: Digest384,
}

/// Who approves bundles.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Review {
    /// The reviewers.
    pub reviewers: Vec<PersonName>,
    /// How many of them must sign, at least 2.
    pub threshold: usize,
}

/// A named set of permissions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Role {
    /// The name.
    pub name: RoleName,
    /// Actions of agents.
    pub actions: Vec<Action>,
    /// Operations of the key service.
    pub operations: Vec<KeyOperationKind>,
}

/// What needs approval, by whom, and how long it waits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Approval {
    /// The write actions it is about.
    pub actions: Vec<Action>,
    /// The operations it is about.
    pub operations: Vec<KeyOperationKind>,
    /// Who may approve.
    pub approvers: Vec<PersonName>,
    /// How many of them must, the requester never counted.
    pub threshold: usize,
    /// How long after the order was issued it may first be used.
    pub delay: Duration,
}

/// Who may speak for which releases.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReleaseAuthority {
    /// The release names.
    pub names: Vec<NamePattern>,
    /// Who may sign.
    pub signers: Vec<PersonName>,
    /// How many must, at least 2.
    pub threshold: usize,
}

/// Who may stop things at once, and what the reviewers let go again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StopAuthority {
    /// Who may sign.
    pub signers: Vec<PersonName>,
    /// How many must; 1 is allowed, because a stop only narrows.
    pub threshold: usize,
    /// Digests of stop statements that have no effect any more.
    pub lifted: Vec<Digest384>,
}

/// Who may have a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyRule {
    /// The key.
    pub name: KeyName,
    /// The releases that may have it.
    pub releases: Vec<NamePattern>,
    /// The statuses of releases that may have it.
    pub statuses: Vec<ReleaseStatus>,
    /// On whose machines.
    pub account: AccountRule,
    /// Who must contribute to the key.
    pub shares: KeyShares,
    /// How old the document may be.
    pub max_document_age: Duration,
    /// Known commitments by version.
    pub commitments: Vec<KeyCommitment>,
}

/// Which parent instances a key rule accepts. The same image in a stranger's account has the same
/// PCR0 to PCR2 and PCR16; PCR3 and PCR4 tell the accounts apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AccountRule {
    /// PCR3 or PCR4 is one of these. Zero never matches.
    Named {
        /// PCR3 values, those of role ARNs among them.
        pcr3: Vec<Pcr>,
        /// PCR4 values, those of instance ids among them.
        pcr4: Vec<Pcr>,
    },
    /// Any AWS account: `insecure_any_account = true`.
    InsecureAny,
}

/// Who must contribute to a key. There is one answer so far; the field exists so that a key that
/// needs a second contributor can never be mistaken for one that does not.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(rename_all = "lowercase")]
pub enum KeyShares {
    /// The key service alone.
    #[default]
    Service,
}

/// A commitment to one version of a key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeyCommitment {
    /// The version.
    pub version: u32,
    /// SHA-384 over label, name, version and key (`narthex/v1/key-commitment`).
    pub sha384: Digest384,
}

/// How agents know the key service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KeyServiceIdentity {
    /// Its static X25519 key in the channel.
    pub static_key: StaticKey,
}

impl Bundle {
    /// The person named `name`.
    pub fn person(&self, name: &PersonName) -> Option<&Person> {
        self.people.iter().find(|person| &person.name == name)
    }

    /// The person who holds the SSH key with this fingerprint.
    pub fn holder(&self, fingerprint: &Fingerprint) -> Option<&Person> {
        self.people.iter().find(|person| {
            person
                .keys
                .iter()
                .any(|key| &key.fingerprint() == fingerprint)
        })
    }

    /// The people named in `names`.
    pub fn people_named<'b>(
        &'b self,
        names: &'b [PersonName],
    ) -> impl Iterator<Item = &'b Person> + Clone {
        self.people
            .iter()
            .filter(|person| names.contains(&person.name))
    }

    /// The actions that the roles of `person` allow.
    pub fn actions_of(&self, person: &Person) -> Vec<Action> {
        let allowed = |action: &Action| {
            self.roles_of(person)
                .any(|role| role.actions.contains(action))
        };
        Action::ALL.iter().copied().filter(allowed).collect()
    }

    /// The operations that the roles of `person` allow.
    pub fn operations_of(&self, person: &Person) -> Vec<KeyOperationKind> {
        let allowed = |kind: &KeyOperationKind| {
            self.roles_of(person)
                .any(|role| role.operations.contains(kind))
        };
        KeyOperationKind::ALL
            .iter()
            .copied()
            .filter(allowed)
            .collect()
    }

    fn roles_of<'b>(&'b self, person: &'b Person) -> impl Iterator<Item = &'b Role> {
        self.roles
            .iter()
            .filter(|role| person.roles.contains(&role.name))
    }

    /// The approvals that `action` needs; every write action that a role allows has some.
    pub fn approval_for_action(&self, action: Action) -> Option<&Approval> {
        self.approvals
            .iter()
            .find(|approval| approval.actions.contains(&action))
    }

    /// The approvals that an operation needs, if any.
    pub fn approval_for_operation(&self, kind: KeyOperationKind) -> Option<&Approval> {
        self.approvals
            .iter()
            .find(|approval| approval.operations.contains(&kind))
    }

    /// The rule for a key.
    pub fn key_rule(&self, key: &KeyName) -> Option<&KeyRule> {
        self.keys.iter().find(|rule| &rule.name == key)
    }
}

impl KeyRule {
    /// The commitment to `version`, if the bundle states one.
    pub fn commitment(&self, version: u32) -> Option<&Digest384> {
        self.commitments
            .iter()
            .find(|commitment| commitment.version == version)
            .map(|commitment| &commitment.sha384)
    }
}

impl AccountRule {
    /// Whether an enclave with these registers is on a machine the rule accepts. Zero, and a
    /// register that is absent, never match.
    pub fn accepts(&self, pcr3: Option<&Pcr>, pcr4: Option<&Pcr>) -> bool {
        let one_of = |observed: Option<&Pcr>, named: &[Pcr]| {
            observed.is_some_and(|pcr| *pcr != Pcr::ZERO && named.contains(pcr))
        };
        match self {
            Self::Named {
                pcr3: roles,
                pcr4: instances,
            } => one_of(pcr3, roles) || one_of(pcr4, instances),
            Self::InsecureAny => true,
        }
    }
}
