//! A first bundle to start from (`narthex policy init`).

use crate::action::Action;
use crate::administration::KeyOperationKind;
use crate::bundle::{BUNDLE_SCHEMA, Bundle};
use crate::digest::StaticKey;
use crate::names::{PersonName, ProjectName};
use crate::person::PersonKey;
use crate::reason::Refusal;
use crate::time::UnixMillis;

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
    pub reviewers: Vec<(PersonName, PersonKey)>,
    /// How many reviewers must sign, at least 2.
    pub threshold: usize,
    /// People with the roles `on-call`, `maintainer` and `key-keeper`.
    pub operators: Vec<(PersonName, PersonKey)>,
    /// The key service's static key, if there is one already.
    pub static_key: Option<StaticKey>,
}

impl InitialBundle {
    /// Writes version 1 with comments, for its authors to edit, review and sign. Who reviews and
    /// operates both is listed once, with the roles.
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
            static_key,
        } = self;
        let mut text = format!(
            "# Policy of {project}, version 1. Sign with: narthex policy sign\n\
             # or: ssh-keygen -Y sign -n policy@narthex -f KEY FILE\n\
             schema = \"{BUNDLE_SCHEMA}\"\nproject = \"{project}\"\nversion = 1\n\
             issued = {issued}\nexpires = {expires}\n\n\
             # Everybody who signs anything. requires = \"touch\" or \"verification\" needs sk- keys.\n"
        );
        let operates = |name: &PersonName| operators.iter().any(|(operator, _)| operator == name);
        for (name, key) in reviewers {
            text.push_str(&person(name, key, operates(name)));
        }
        let reviews = |name: &PersonName| reviewers.iter().any(|(reviewer, _)| reviewer == name);
        for (name, key) in operators.iter().filter(|(name, _)| !reviews(name)) {
            text.push_str(&person(name, key, true));
        }
        let names = quoted(reviewers.iter().map(|(name, _)| name.as_str()));
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
        Bundle::parse_unverified(text.as_bytes())?;
        Ok(text)
    }
}

fn person(name: &PersonName, key: &PersonKey, operates: bool) -> String {
    let roles = if operates {
        "roles = [\"on-call\", \"maintainer\", \"key-keeper\"]\n"
    } else {
        ""
    };
    format!(
        "[[person]]\nname = \"{name}\"\nkeys = [\"{}\"]\n{roles}\n",
        key.to_openssh()
    )
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
        "# Whatever changes something: who else must agree, and how long it waits from `issued`.\n\
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

    fn template(threshold: usize) -> InitialBundle {
        let person = |name: &str| {
            (
                PersonName::new(name).unwrap(),
                SigningKey::generate_ed25519().unwrap().public_key().clone(),
            )
        };
        let issued = UnixMillis::parse("2026-11-21T12:00:00Z").unwrap();
        let reviewers = vec![person("alice"), person("bob")];
        InitialBundle {
            project: ProjectName::new("payments").unwrap(),
            issued,
            expires: issued.saturating_add(Duration::from_secs(90 * 86_400)),
            operators: vec![reviewers[0].clone(), person("olga")],
            reviewers,
            threshold,
            static_key: Some(StaticKey([7; 32])),
        }
    }

    #[test]
    fn is_a_complete_bundle() {
        let text = template(2).to_toml().unwrap();
        let bundle = Bundle::parse_unverified(text.as_bytes()).unwrap();
        assert_eq!(bundle.people.len(), 3);
        let olga = bundle.person(&PersonName::new("olga").unwrap()).unwrap();
        assert_eq!(bundle.actions_of(olga), Action::ALL);
        assert_eq!(bundle.operations_of(olga), KeyOperationKind::ALL);
        assert_eq!(bundle.key_service.unwrap().static_key, StaticKey([7; 32]));
    }

    #[test]
    fn one_person_alone_is_no_template() {
        assert_eq!(
            template(1).to_toml().unwrap_err().reason(),
            Reason::BundleThreshold
        );
    }
}
