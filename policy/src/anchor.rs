//! The trust anchor baked into a measured image.

use serde::Deserialize;

use crate::bundle::Bundle;
use crate::names::ProjectName;
use crate::person::{Person, PersonText, check_distinct};
use crate::reason::{Reason, Refusal};
use crate::verifier_key::VerifierKey;

/// Fewest people who approve a bundle or a release: one person alone is never enough.
pub const MIN_THRESHOLD: usize = 2;

/// The first reviewers. `Deserialize` reads the agent's `[trust]` table:
///
/// ```
/// let anchor: narthex_policy::TrustAnchor = toml::from_str(r#"
///     project = "payments"
///     threshold = 2
///     minimum_bundle_version = 1
///
///     [[reviewer]]
///     name = "alice"
///     keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHnSKaIRn0y0Zw014tdmXPdGvePnIMl/RHpS9TD7MLd6"]
///
///     [[reviewer]]
///     name = "bob"
///     keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJePDAWN0K7oVcQ/Dcp5Y8wEBAVzzQ1Q/tdc7t9siFJd"]
/// "#).unwrap();
/// assert_eq!(anchor.reviewers().len(), 2);
/// ```
///
/// A reviewer may also say `requires = "touch"` or `"verification"`. `log`, a verifier key of the
/// signed-note format, names the log that must be the bundle's, or must have been it before.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(try_from = "AnchorText")]
pub struct TrustAnchor {
    project: ProjectName,
    reviewers: Vec<Person>,
    threshold: usize,
    minimum_bundle_version: u64,
    log: Option<VerifierKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchorText {
    project: String,
    threshold: usize,
    minimum_bundle_version: u64,
    log: Option<String>,
    reviewer: Vec<PersonText>,
}

impl TrustAnchor {
    /// Puts an anchor together, without a log.
    ///
    /// # Errors
    ///
    /// [`Reason::BundleThreshold`] for a threshold below 2 or above the number of reviewers,
    /// [`Reason::PersonDuplicate`] and [`Reason::PersonSharedKey`].
    pub fn new(
        project: ProjectName,
        reviewers: Vec<Person>,
        threshold: usize,
        minimum_bundle_version: u64,
    ) -> Result<Self, Refusal> {
        check_distinct(&reviewers)?;
        check_threshold("reviewers", threshold, MIN_THRESHOLD, reviewers.len())?;
        Ok(Self {
            project,
            reviewers,
            threshold,
            minimum_bundle_version,
            log: None,
        })
    }

    /// The same anchor, which demands this log.
    #[must_use]
    pub fn with_log(self, log: VerifierKey) -> Self {
        Self {
            log: Some(log),
            ..self
        }
    }

    /// The project.
    pub fn project(&self) -> &ProjectName {
        &self.project
    }

    /// The first reviewers.
    pub fn reviewers(&self) -> &[Person] {
        &self.reviewers
    }

    /// How many of them must sign.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// The lowest acceptable version of the newest bundle.
    pub fn minimum_bundle_version(&self) -> u64 {
        self.minimum_bundle_version
    }

    /// The log that must be the bundle's, or must have been it in an earlier epoch.
    pub fn log(&self) -> Option<&VerifierKey> {
        self.log.as_ref()
    }

    /// Refuses a bundle without that log.
    pub(crate) fn check_log(&self, bundle: &Bundle) -> Result<(), Refusal> {
        let Some(log) = &self.log else {
            return Ok(());
        };
        let ledger = bundle.ledger.as_ref();
        if ledger.is_some_and(|ledger| ledger.has_or_had_log(log)) {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::BundleOtherLog,
            format!(
                "the image demands the log {log}, bundle {} has {}",
                bundle.version,
                ledger.map_or("none", |ledger| ledger.log.as_str())
            ),
        ))
    }
}

impl TryFrom<AnchorText> for TrustAnchor {
    type Error = Refusal;

    fn try_from(text: AnchorText) -> Result<Self, Refusal> {
        let AnchorText {
            project,
            threshold,
            minimum_bundle_version,
            log,
            reviewer,
        } = text;
        let reviewers = reviewer
            .iter()
            .map(Person::from_text)
            .collect::<Result<_, _>>()?;
        let anchor = Self::new(
            ProjectName::new(&project)?,
            reviewers,
            threshold,
            minimum_bundle_version,
        )?;
        Ok(match log {
            Some(log) => anchor.with_log(VerifierKey::parse_log(&log)?),
            None => anchor,
        })
    }
}

/// Refuses a threshold outside `least..=people`.
pub(crate) fn check_threshold(
    place: &str,
    threshold: usize,
    least: usize,
    people: usize,
) -> Result<(), Refusal> {
    if (least..=people).contains(&threshold) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::BundleThreshold,
        format!("{place}: threshold {threshold} of {people} people; at least {least} are needed"),
    ))
}
