//! The bundle as TOML, and from there to types.

use serde::Deserialize;
use toml::value::Datetime;

use super::{
    AccountRule, Approval, BUNDLE_SCHEMA, Bundle, DEFAULT_DOCUMENT_AGE, KeyCommitment, KeyRule,
    KeyServiceIdentity, KeyShares, ReleaseAuthority, Review, Role, StopAuthority,
};
use crate::action::Action;
use crate::administration::KeyOperationKind;
use crate::digest::{Digest384, Pcr, StaticKey};
use crate::file::{limits, parse_toml};
use crate::ledger::{Ledger, LedgerText};
use crate::names::{KeyName, NamePattern, PersonName, ProjectName, RoleName};
use crate::person::{Person, PersonText};
use crate::reason::{Reason, Refusal};
use crate::release::ReleaseStatus;
use crate::time::{UnixMillis, parse_duration};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BundleText {
    #[serde(rename = "schema")]
    _schema: String,
    project: String,
    version: u64,
    previous: Option<String>,
    issued: Datetime,
    expires: Datetime,
    previous_accepted_until: Option<Datetime>,
    person: Vec<PersonText>,
    review: ReviewText,
    #[serde(default)]
    role: Vec<RoleText>,
    #[serde(default)]
    approval: Vec<ApprovalText>,
    #[serde(default)]
    release_authority: Vec<ReleaseAuthorityText>,
    stop: StopText,
    #[serde(default)]
    key: Vec<KeyText>,
    key_service: Option<KeyServiceText>,
    ledger: Option<LedgerText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReviewText {
    reviewers: Vec<String>,
    threshold: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleText {
    name: String,
    #[serde(default)]
    actions: Vec<String>,
    #[serde(default)]
    operations: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApprovalText {
    #[serde(default)]
    actions: Vec<String>,
    #[serde(default)]
    operations: Vec<String>,
    approvers: Vec<String>,
    threshold: usize,
    delay: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseAuthorityText {
    names: Vec<String>,
    signers: Vec<String>,
    threshold: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StopText {
    signers: Vec<String>,
    threshold: usize,
    #[serde(default)]
    lifted: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyText {
    name: String,
    releases: Vec<String>,
    statuses: Option<Vec<ReleaseStatus>>,
    #[serde(default)]
    role_arns: Vec<String>,
    #[serde(default)]
    instance_ids: Vec<String>,
    #[serde(default)]
    pcr3: Vec<String>,
    #[serde(default)]
    pcr4: Vec<String>,
    #[serde(default)]
    insecure_any_account: bool,
    #[serde(default)]
    shares: KeyShares,
    max_document_age: Option<String>,
    #[serde(default)]
    commitments: Vec<CommitmentText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CommitmentText {
    version: u32,
    sha384: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyServiceText {
    static_key: String,
}

impl Bundle {
    /// Reads a bundle and checks every rule that can be seen in the file alone. This says nothing
    /// about who signed it: for that see [`Policy`](crate::Policy). People use it to look at drafts
    /// (`narthex policy lint`, `diff`).
    ///
    /// # Errors
    ///
    /// `file.*`, `bundle.*`, `person.*`, `name.*`, `hex.*`, `time.*`, `duration.*`.
    pub fn parse_unverified(bytes: &[u8]) -> Result<Self, Refusal> {
        let text: BundleText = parse_toml(bytes, limits::MAX_BUNDLE_BYTES, BUNDLE_SCHEMA)?;
        let bundle = Self::from_text(&text, Digest384::of(bytes))?;
        bundle.check_rules()?;
        Ok(bundle)
    }

    fn from_text(text: &BundleText, digest: Digest384) -> Result<Self, Refusal> {
        let BundleText {
            _schema,
            project,
            version,
            previous,
            issued,
            expires,
            previous_accepted_until,
            person,
            review,
            role,
            approval,
            release_authority,
            stop,
            key,
            key_service,
            ledger,
        } = text;
        Ok(Self {
            project: ProjectName::new(project)?,
            version: *version,
            previous: previous.as_deref().map(Digest384::from_hex).transpose()?,
            issued: UnixMillis::from_toml(issued)?,
            expires: UnixMillis::from_toml(expires)?,
            previous_accepted_until: previous_accepted_until
                .as_ref()
                .map(UnixMillis::from_toml)
                .transpose()?,
            people: each(person, Person::from_text)?,
            review: Review {
                reviewers: people(&review.reviewers)?,
                threshold: review.threshold,
            },
            roles: each(role, Role::from_text)?,
            approvals: each(approval, Approval::from_text)?,
            release_authorities: each(release_authority, ReleaseAuthority::from_text)?,
            stop: StopAuthority {
                signers: people(&stop.signers)?,
                threshold: stop.threshold,
                lifted: each(&stop.lifted, |hex| Digest384::from_hex(hex))?,
            },
            keys: each(key, |text| {
                KeyRule::from_text(text)
                    .map_err(|refusal| refusal.within(&format!("key {:?}", text.name)))
            })?,
            key_service: key_service
                .as_ref()
                .map(|text| StaticKey::from_hex(&text.static_key))
                .transpose()?
                .map(|static_key| KeyServiceIdentity { static_key }),
            ledger: ledger.as_ref().map(Ledger::from_text).transpose()?,
            digest,
        })
    }
}

impl Role {
    fn from_text(text: &RoleText) -> Result<Self, Refusal> {
        let RoleText {
            name,
            actions,
            operations,
        } = text;
        Ok(Self {
            name: RoleName::new(name)?,
            actions: each(actions, |name| Action::parse(name))?,
            operations: each(operations, |name| KeyOperationKind::parse(name))?,
        })
    }
}

impl Approval {
    fn from_text(text: &ApprovalText) -> Result<Self, Refusal> {
        let ApprovalText {
            actions,
            operations,
            approvers,
            threshold,
            delay,
        } = text;
        Ok(Self {
            actions: each(actions, |name| Action::parse(name))?,
            operations: each(operations, |name| KeyOperationKind::parse(name))?,
            approvers: people(approvers)?,
            threshold: *threshold,
            delay: parse_duration(delay)?,
        })
    }
}

impl ReleaseAuthority {
    fn from_text(text: &ReleaseAuthorityText) -> Result<Self, Refusal> {
        let ReleaseAuthorityText {
            names,
            signers,
            threshold,
        } = text;
        Ok(Self {
            names: each(names, |name| NamePattern::new(name))?,
            signers: people(signers)?,
            threshold: *threshold,
        })
    }
}

impl KeyRule {
    fn from_text(text: &KeyText) -> Result<Self, Refusal> {
        let KeyText {
            name,
            releases,
            statuses,
            role_arns,
            instance_ids,
            pcr3,
            pcr4,
            insecure_any_account,
            shares,
            max_document_age,
            commitments,
        } = text;
        let mut pcr3 = each(pcr3, |hex| Pcr::from_hex(hex))?;
        pcr3.extend(role_arns.iter().map(|arn| Pcr::of_role_arn(arn)));
        let mut pcr4 = each(pcr4, |hex| Pcr::from_hex(hex))?;
        pcr4.extend(instance_ids.iter().map(|id| Pcr::of_instance_id(id)));
        let account = match (insecure_any_account, pcr3.is_empty() && pcr4.is_empty()) {
            (false, false) => AccountRule::Named { pcr3, pcr4 },
            (true, true) => AccountRule::InsecureAny,
            (false, true) => {
                return Err(Refusal::new(
                    Reason::BundleKeyAnyAccount,
                    "name role_arns, instance_ids, pcr3 or pcr4: the same image in a stranger's \
                     account has the same PCR0 to PCR2 (insecure_any_account = true accepts that)",
                ));
            }
            (true, false) => {
                return Err(Refusal::new(
                    Reason::BundleKeyAnyAccount,
                    "insecure_any_account = true makes the named registers meaningless",
                ));
            }
        };
        check_machine_names(role_arns, instance_ids)?;
        Ok(Self {
            name: KeyName::new(name)?,
            releases: each(releases, |name| NamePattern::new(name))?,
            statuses: statuses
                .clone()
                .unwrap_or_else(|| vec![ReleaseStatus::Current, ReleaseStatus::Previous]),
            account,
            shares: *shares,
            max_document_age: max_document_age
                .as_deref()
                .map_or(Ok(DEFAULT_DOCUMENT_AGE), parse_duration)?,
            commitments: each(commitments, |CommitmentText { version, sha384 }| {
                Ok(KeyCommitment {
                    version: *version,
                    sha384: Digest384::from_hex(sha384)?,
                })
            })?,
        })
    }
}

/// Any text can be hashed into a register; a misspelt one would match no machine and say nothing.
fn check_machine_names(role_arns: &[String], instance_ids: &[String]) -> Result<(), Refusal> {
    let not_role = |arn: &&String| !arn.starts_with("arn:") || !arn.contains(":role/");
    let not_instance = |id: &&String| {
        let hex = |digits: &str| {
            digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        !id.strip_prefix("i-")
            .is_some_and(|digits| matches!(digits.len(), 8 | 17) && hex(digits))
    };
    let wrong = role_arns
        .iter()
        .find(not_role)
        .or_else(|| instance_ids.iter().find(not_instance));
    match wrong {
        Some(wrong) => Err(Refusal::new(
            Reason::NameMalformed,
            format!("{wrong:?} is not a role ARN (arn:...:role/...) or instance id (i-...)"),
        )),
        None => Ok(()),
    }
}

fn people(names: &[String]) -> Result<Vec<PersonName>, Refusal> {
    each(names, |name| PersonName::new(name))
}

fn each<T, U>(
    items: &[T],
    convert: impl FnMut(&T) -> Result<U, Refusal>,
) -> Result<Vec<U>, Refusal> {
    items.iter().map(convert).collect()
}
