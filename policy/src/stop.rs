//! Stop statements: they only narrow, and at once (namespace `stop@narthex`).

use serde::Deserialize;
use toml::value::Datetime;

use crate::digest::Digest384;
use crate::file::{limits, parse_toml};
use crate::names::{KeyName, PersonName, ProjectName, ReleaseName, ReleaseVersion};
use crate::person::Fingerprint;
use crate::reason::{Reason, Refusal};
use crate::release::Release;
use crate::signature::Signer;
use crate::time::UnixMillis;

/// `schema` of a stop statement.
pub const STOP_SCHEMA: &str = "narthex/stop/v1";

/// A stop statement: what is refused from the moment it is known, until a bundle lists its digest
/// under `lifted`. Inside a [`Policy`](crate::Policy) its signatures were checked.
///
/// People and SSH keys are stopped for orders, approvals, calls, administration and release
/// statements to come; not for bundles, where only a bundle changes who reviews, and not for
/// further stop statements, so that nobody can silence the others by being first.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Stop {
    /// The project.
    pub project: ProjectName,
    /// Counts the statements. Two people in haste may use one number: both statements hold.
    pub serial: u64,
    /// When it was written.
    pub issued: UnixMillis,
    /// Releases that get nothing any more.
    pub releases: Vec<StoppedRelease>,
    /// People whose signatures are refused.
    pub people: Vec<PersonName>,
    /// Keys that are not released any more.
    pub keys: Vec<KeyName>,
    /// SSH keys whose signatures are refused.
    pub ssh_keys: Vec<Fingerprint>,
    /// SHA-384 of the statement.
    pub digest: Digest384,
}

/// A release by name, in one version or in all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct StoppedRelease {
    /// The name.
    pub name: ReleaseName,
    /// The version; all if absent.
    pub version: Option<ReleaseVersion>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StopText {
    #[serde(rename = "schema")]
    _schema: String,
    project: String,
    serial: u64,
    issued: Datetime,
    #[serde(default)]
    releases: Vec<StoppedReleaseText>,
    #[serde(default)]
    people: Vec<String>,
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    ssh_keys: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StoppedReleaseText {
    name: String,
    version: Option<String>,
}

impl Stop {
    /// Reads a stop statement and checks every rule that can be seen in the file alone. This says
    /// nothing about who signed it.
    ///
    /// # Errors
    ///
    /// `file.*`, `name.*`, `time.*`, [`Reason::StopEmpty`].
    pub fn parse_unverified(bytes: &[u8]) -> Result<Self, Refusal> {
        let text: StopText = parse_toml(bytes, limits::MAX_STATEMENT_BYTES, STOP_SCHEMA)?;
        let StopText {
            _schema,
            project,
            serial,
            issued,
            releases,
            people,
            keys,
            ssh_keys,
        } = text;
        let stop = Self {
            project: ProjectName::new(&project)?,
            serial,
            issued: UnixMillis::from_toml(&issued)?,
            releases: releases
                .iter()
                .map(StoppedRelease::from_text)
                .collect::<Result<_, _>>()?,
            people: people
                .iter()
                .map(|name| PersonName::new(name))
                .collect::<Result<_, _>>()?,
            keys: keys
                .iter()
                .map(|name| KeyName::new(name))
                .collect::<Result<_, _>>()?,
            ssh_keys: ssh_keys
                .iter()
                .map(|key| Fingerprint::parse(key))
                .collect::<Result<_, _>>()?,
            digest: Digest384::of(bytes),
        };
        let Self {
            project: _,
            serial: _,
            issued: _,
            releases,
            people,
            keys,
            ssh_keys,
            digest: _,
        } = &stop;
        if releases.is_empty() && people.is_empty() && keys.is_empty() && ssh_keys.is_empty() {
            return Err(Refusal::new(
                Reason::StopEmpty,
                "nothing is named to be stopped",
            ));
        }
        Ok(stop)
    }

    /// Writes the statement as TOML, ready to be signed. The digest is that of the result.
    pub fn to_toml(&self) -> String {
        let Self {
            project,
            serial,
            issued,
            releases,
            people,
            keys,
            ssh_keys,
            digest: _,
        } = self;
        let mut text = format!(
            "schema = \"{STOP_SCHEMA}\"\nproject = \"{project}\"\nserial = {serial}\nissued = {issued}\n"
        );
        let mut list = |field: &str, items: Vec<String>| {
            if !items.is_empty() {
                text.push_str(&format!("{field} = [{}]\n", items.join(", ")));
            }
        };
        let quoted = |item: &dyn core::fmt::Display| format!("\"{item}\"");
        list("people", people.iter().map(|name| quoted(name)).collect());
        list("keys", keys.iter().map(|name| quoted(name)).collect());
        list("ssh_keys", ssh_keys.iter().map(|key| quoted(key)).collect());
        list(
            "releases",
            releases.iter().map(StoppedRelease::to_toml).collect(),
        );
        text
    }

    /// Whether it names this release.
    pub fn stops_release(&self, release: &Release) -> bool {
        self.releases.iter().any(|stopped| {
            stopped.name == release.name
                && stopped
                    .version
                    .as_ref()
                    .is_none_or(|version| *version == release.version)
        })
    }

    /// Whether it names this signer, by name or by key.
    pub fn stops_signer(&self, signer: &Signer) -> bool {
        self.people.contains(&signer.person) || self.ssh_keys.contains(&signer.fingerprint)
    }

    /// Whether it names this key.
    pub fn stops_key(&self, key: &KeyName) -> bool {
        self.keys.contains(key)
    }
}

impl StoppedRelease {
    fn from_text(text: &StoppedReleaseText) -> Result<Self, Refusal> {
        let StoppedReleaseText { name, version } = text;
        Ok(Self {
            name: ReleaseName::new(name)?,
            version: version.as_deref().map(ReleaseVersion::new).transpose()?,
        })
    }

    fn to_toml(&self) -> String {
        match &self.version {
            Some(version) => format!("{{ name = \"{}\", version = \"{version}\" }}", self.name),
            None => format!("{{ name = \"{}\" }}", self.name),
        }
    }
}
