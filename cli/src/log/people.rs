//! Names for the ids in the log.

use std::collections::BTreeMap;

use narthex_ledger::PersonId;

use crate::failure::{Failure, Outcome};
use crate::policy_directory::HeldPolicy;

/// Whom a policy names, by the id under which they appear in the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct People {
    names: BTreeMap<String, String>,
}

impl People {
    /// Everybody whom any bundle of the policy named, also those who have left since.
    pub(crate) fn of(held: &HeldPolicy) -> Self {
        let mut names = BTreeMap::new();
        let Some(ledger) = &held.policy.bundle().ledger else {
            return Self::default();
        };
        // The lineage was verified with the policy; what each file says is only read again here.
        for file in held.directory.bundles.iter().take(held.lineage.len()) {
            let Ok(bundle) = narthex_policy::Bundle::parse_unverified(&file.signed.bytes) else {
                continue;
            };
            for person in &bundle.people {
                let name = person.name.as_str();
                let id = PersonId::of(&ledger.salt.0, name).to_string();
                names.insert(id, name.to_owned());
            }
        }
        Self { names }
    }

    /// The name that belongs to `id`.
    pub(crate) fn name(&self, id: &str) -> Option<&str> {
        self.names.get(id).map(String::as_str)
    }

    /// The name, or the text itself where it is nobody's id.
    pub(crate) fn name_or_id<'a>(&'a self, text: &'a str) -> &'a str {
        self.name(text).unwrap_or(text)
    }

    /// The id of a person as typed: a name of the policy, or an id.
    ///
    /// # Errors
    /// `person.unknown`.
    pub(crate) fn id(&self, typed: &str) -> Outcome<PersonId> {
        let found = self.names.iter().find(|(_, name)| *name == typed);
        let id = found.map_or(typed, |(id, _)| id.as_str());
        PersonId::from_text(id).ok_or_else(|| {
            let failure = Failure::misuse(
                "person.unknown",
                format!("`{typed}` is neither a person's id nor a name in the policy"),
            );
            match self.names.is_empty() {
                true => failure.next("--policy DIR says who the people in the log are"),
                false => failure.next(format!("the policy names: {}", self.all())),
            }
        })
    }

    fn all(&self) -> String {
        let mut names: Vec<&str> = self.names.values().map(String::as_str).collect();
        names.sort_unstable();
        names.join(", ")
    }
}
