//! `narthex log search`: which entries are meant.

use serde_json::Value;

use super::people::People;
use super::words::Numbered;
use crate::commands::log::reading::{Conditions, OutcomeName};
use crate::failure::{Failure, Outcome};

/// The types of entries.
const TYPES: [&str; 10] = [
    "policy",
    "current",
    "order",
    "release",
    "administration",
    "statement",
    "summary",
    "purge",
    "epoch",
    "restore",
];

/// Conditions, resolved: names to ids.
pub(super) struct Wanted<'a> {
    conditions: &'a Conditions,
    people: Vec<String>,
}

impl<'a> Wanted<'a> {
    /// Resolves what was typed.
    ///
    /// # Errors
    /// `person.unknown`; `search.type` for a type that no entry has; `search.times` for an empty
    /// span.
    pub(super) fn new(conditions: &'a Conditions, people: &People) -> Outcome<Self> {
        for kind in &conditions.kind {
            if !TYPES.contains(&kind.as_str()) {
                return Err(Failure::misuse(
                    "search.type",
                    format!("no entry is of the type `{kind}`"),
                )
                .next(format!("there are: {}", TYPES.join(" "))));
            }
        }
        if let (Some(from), Some(to)) = (conditions.from, conditions.to)
            && from >= to
        {
            return Err(Failure::misuse(
                "search.times",
                "--from is not before --to, so nothing can be found",
            ));
        }
        let people = conditions.person.iter().map(|typed| people.id(typed));
        let people = people.map(|id| id.map(|id| id.to_string()));
        Ok(Self {
            conditions,
            people: people.collect::<Outcome<_>>()?,
        })
    }

    /// Whether all conditions hold for `entry`.
    pub(super) fn means(&self, entry: &Numbered) -> bool {
        let Conditions {
            from,
            to,
            person: _,
            action,
            key,
            enclave,
            outcome,
            kind,
            reason,
        } = self.conditions;
        let time = entry.number("time");
        from.is_none_or(|from| time >= from)
            && to.is_none_or(|to| time < to)
            && outcome.is_none_or(|outcome| entry.text("outcome") == word(outcome))
            && any(kind, |kind| entry.text("type") == kind)
            && any(action, |action| {
                entry.text("operation") == action || entry.texts("actions").contains(&action)
            })
            && any(key, |key| has_key(entry, key))
            && any(enclave, |id| is_enclave(entry.text("enclave"), id))
            && any(reason, |reason| is_reason(entry.text("reason"), reason))
            && any(&self.people, |id| {
                entry.people().iter().any(|other| other == id)
            })
    }
}

/// True where nothing was asked for.
fn any(asked: &[String], holds: impl Fn(&str) -> bool) -> bool {
    asked.is_empty() || asked.iter().any(|one| holds(one))
}

fn word(outcome: OutcomeName) -> &'static str {
    match outcome {
        OutcomeName::Accepted => "accepted",
        OutcomeName::Refused => "refused",
    }
}

fn has_key(entry: &Numbered, key: &str) -> bool {
    let named = |list: &[Value]| {
        list.iter()
            .any(|item| item.get("name").and_then(Value::as_str) == Some(key))
    };
    named(entry.list("keys")) || named(entry.list("lost")) || entry.texts("asked").contains(&key)
}

/// A module id, or any of a parent instance.
fn is_enclave(module_id: &str, asked: &str) -> bool {
    let instance = module_id.split_once("-enc").map(|(instance, _)| instance);
    module_id == asked || instance == Some(asked)
}

/// A reason, or all that begin with the same word.
fn is_reason(reason: &str, asked: &str) -> bool {
    let first = reason.split_once('.').map(|(first, _)| first);
    !reason.is_empty() && (reason == asked || first == Some(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: &str = r#"{"actions":["health"],"enclave":"i-0ab-enc0cd","outcome":"refused","reason":"order.expired","requester":"p-00000000000000000000000000000001","time":2000,"type":"order","v":1}"#;

    fn found(change: impl FnOnce(&mut Conditions)) -> bool {
        let mut conditions = Conditions::default();
        change(&mut conditions);
        let wanted = Wanted::new(&conditions, &People::default()).unwrap();
        wanted.means(&Numbered::new(0, LEAF.as_bytes()))
    }

    fn one(text: &str) -> Vec<String> {
        vec![text.to_owned()]
    }

    #[test]
    fn each_condition_selects() {
        assert!(found(|_| {}));
        assert!(found(|c| c.from = Some(2000)) && !found(|c| c.from = Some(2001)));
        assert!(found(|c| c.to = Some(2001)) && !found(|c| c.to = Some(2000)));
        assert!(found(|c| c.action = one("health")) && !found(|c| c.action = one("memory")));
        assert!(found(|c| c.enclave = one("i-0ab")) && !found(|c| c.enclave = one("i-0a")));
        assert!(found(|c| c.enclave = one("i-0ab-enc0cd")));
        assert!(found(|c| c.kind = one("order")) && !found(|c| c.kind = one("release")));
        assert!(found(|c| c.reason = one("order")) && found(|c| c.reason = one("order.expired")));
        assert!(!found(|c| c.reason = one("order.")) && !found(|c| c.reason = one("expired")));
        assert!(found(|c| c.outcome = Some(OutcomeName::Refused)));
        assert!(!found(|c| c.outcome = Some(OutcomeName::Accepted)));
        assert!(!found(|c| c.key = one("database")));
        let id = "p-00000000000000000000000000000001";
        assert!(found(|c| c.person = one(id)));
        assert!(!found(|c| c.person = one(&id.replace("01", "02"))));
    }

    #[test]
    fn keys_are_found_wherever_they_stand() {
        for list in [
            r#""keys":[{"name":"database","version":1}]"#,
            r#""lost":[{"name":"database","version":1}]"#,
            r#""asked":["database"]"#,
        ] {
            let entry = Numbered::new(0, format!("{{{list}}}").as_bytes());
            assert!(
                has_key(&entry, "database") && !has_key(&entry, "data"),
                "{list}"
            );
        }
    }

    #[test]
    fn what_no_entry_can_be_is_misuse() {
        let conditions = Conditions {
            kind: one("orders"),
            ..Conditions::default()
        };
        let failure = Wanted::new(&conditions, &People::default()).err().unwrap();
        assert_eq!(failure.id(), "search.type");
        let conditions = Conditions {
            person: one("carol"),
            ..Conditions::default()
        };
        let failure = Wanted::new(&conditions, &People::default()).err().unwrap();
        assert_eq!(failure.id(), "person.unknown");
    }
}
