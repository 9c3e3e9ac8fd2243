//! What changes from one bundle to the next, and which of it widens.
//!
//! *Widens* means: afterwards somebody may do something, or some enclave may have something, that
//! was not so before. Each bundle becomes a list of *facts* (present or not) and *settings* (a value
//! under a name), each with the direction in which it widens; the lists are compared.

use core::fmt;
use std::collections::BTreeMap;

use crate::action::Action;
use crate::administration::KeyOperationKind;
use crate::bundle::{AccountRule, Bundle, KeyRule, KeyShares, Review, Role, StopAuthority};
use crate::ledger::Ledger;
use crate::person::Person;
use crate::time::{UnixMillis, format_duration};

/// What happened to a thing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another.
    Changed,
}

/// Whether a change lets more happen than before.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Effect {
    /// Somebody may do, or some enclave may have, more than before.
    Widens,
    /// Nobody may do more than before, and somebody less.
    Narrows,
    /// Neither.
    Neutral,
}

/// One line of the comparison.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// Whether more is allowed now.
    pub effect: Effect,
    /// To what, in words.
    pub what: String,
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            ChangeKind::Added => '+',
            ChangeKind::Removed => '-',
            ChangeKind::Changed => '~',
        };
        let effect = match self.effect {
            Effect::Widens => " (widens)",
            Effect::Narrows | Effect::Neutral => "",
        };
        write!(formatter, "{sign} {}{effect}", self.what)
    }
}

/// Compares two bundles. Widening changes come first: reviewers read those first.
pub fn diff(old: &Bundle, new: &Bundle) -> Vec<Change> {
    let (before, after) = (Content::of(old), Content::of(new));
    let mut changes = Vec::new();
    for (fact, adding) in &after.facts {
        if !before.facts.contains_key(fact) {
            changes.push(change(ChangeKind::Added, *adding, fact.clone()));
        }
    }
    for (fact, adding) in &before.facts {
        if !after.facts.contains_key(fact) {
            changes.push(change(ChangeKind::Removed, adding.reversed(), fact.clone()));
        }
    }
    for (name, now) in &after.settings {
        match before.settings.get(name) {
            Some(was) if was.shown != now.shown => changes.push(change(
                ChangeKind::Changed,
                now.compared_with(was),
                format!("{name}: {} (was {})", now.shown, was.shown),
            )),
            // A setting of a new thing goes with the facts about that thing.
            _ => {}
        }
    }
    changes.sort_by_key(|change| change.effect);
    changes
}

fn change(kind: ChangeKind, effect: Effect, what: String) -> Change {
    Change { kind, effect, what }
}

impl Effect {
    fn reversed(self) -> Self {
        match self {
            Self::Widens => Self::Narrows,
            Self::Narrows => Self::Widens,
            Self::Neutral => Self::Neutral,
        }
    }
}

/// In which direction a setting widens.
#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Up,
    Down,
    /// Any other value is a new trust decision.
    AnyChange,
    /// It describes only.
    None,
}

struct Setting {
    shown: String,
    rank: u64,
    direction: Direction,
}

impl Setting {
    fn compared_with(&self, was: &Self) -> Effect {
        match (self.direction, self.rank.cmp(&was.rank)) {
            (Direction::None, _) => Effect::Neutral,
            (Direction::AnyChange, _)
            | (Direction::Up, core::cmp::Ordering::Greater)
            | (Direction::Down, core::cmp::Ordering::Less) => Effect::Widens,
            _ => Effect::Narrows,
        }
    }
}

#[derive(Default)]
struct Content {
    /// With the effect of adding each.
    facts: BTreeMap<String, Effect>,
    settings: BTreeMap<String, Setting>,
}

impl Content {
    fn of(bundle: &Bundle) -> Self {
        // Named one by one: a new field does not compile until someone decides about it.
        let Bundle {
            project,
            version,
            previous: _,
            issued,
            expires,
            previous_accepted_until,
            people,
            review,
            roles,
            approvals: _, // One setting and facts per action and operation, below.
            release_authorities,
            stop,
            keys,
            key_service,
            ledger,
            digest: _,
        } = bundle;
        let mut content = Self::default();
        content.text("project", project, Direction::AnyChange);
        content.text("version", version, Direction::None);
        content.text("issued", issued, Direction::None);
        content.set("expires", expires, expires.as_millis(), Direction::Up);
        let until = previous_accepted_until.unwrap_or_default();
        content.set(
            "previous bundle accepted until",
            previous_accepted_until
                .as_ref()
                .map_or("its end now".into(), UnixMillis::to_string),
            until.as_millis(),
            Direction::Up,
        );
        people.iter().for_each(|person| content.person(person));
        content.review(review);
        roles.iter().for_each(|role| content.role(role));
        content.approvals(bundle);
        for authority in release_authorities {
            let names: Vec<String> = authority.names.iter().map(ToString::to_string).collect();
            let place = format!("releases {}", names.join(", "));
            for signer in &authority.signers {
                content.fact(format!("{place}: signer {signer}"), Effect::Widens);
            }
            content.count(
                format!("{place}: threshold"),
                authority.threshold,
                Direction::Down,
            );
        }
        content.stop(stop);
        keys.iter().for_each(|key| content.key(key));
        let static_key =
            key_service.map_or("none".into(), |service| service.static_key.to_string());
        content.text("key service", static_key, Direction::AnyChange);
        content.ledger(ledger.as_ref());
        content
    }

    fn person(&mut self, person: &Person) {
        let Person {
            name,
            keys,
            requirement,
            roles,
        } = person;
        for key in keys {
            let fact = format!("person {name}: SSH key {}", key.fingerprint());
            self.fact(fact, Effect::Widens);
        }
        for role in roles {
            self.fact(format!("person {name}: role {role}"), Effect::Widens);
        }
        self.set(
            format!("person {name}: requires"),
            requirement.name(),
            *requirement as u64,
            Direction::Down,
        );
    }

    fn review(&mut self, review: &Review) {
        let Review {
            reviewers,
            threshold,
        } = review;
        for reviewer in reviewers {
            self.fact(format!("reviewer {reviewer}"), Effect::Widens);
        }
        self.count("review threshold", *threshold, Direction::Down);
    }

    fn role(&mut self, role: &Role) {
        let Role {
            name,
            actions,
            operations,
        } = role;
        for action in actions {
            self.fact(format!("role {name}: action {action}"), Effect::Widens);
        }
        for operation in operations {
            self.fact(
                format!("role {name}: operation {operation}"),
                Effect::Widens,
            );
        }
    }

    /// Without a row, no approval is asked for: losing one shows as a threshold of 0.
    fn approvals(&mut self, bundle: &Bundle) {
        let actions = Action::ALL
            .iter()
            .filter(|action| action.is_write())
            .map(|action| (action.name(), bundle.approval_for_action(*action)));
        let operations = KeyOperationKind::ALL
            .iter()
            .map(|kind| (kind.name(), bundle.approval_for_operation(*kind)));
        for (name, approval) in actions.chain(operations) {
            for approver in approval.iter().flat_map(|approval| &approval.approvers) {
                self.fact(
                    format!("approval of {name}: approver {approver}"),
                    Effect::Widens,
                );
            }
            let threshold = approval.map_or(0, |approval| approval.threshold);
            self.count(
                format!("approval of {name}: threshold"),
                threshold,
                Direction::Down,
            );
            let delay = approval.map_or_else(Default::default, |approval| approval.delay);
            let place = format!("approval of {name}: delay");
            self.set(
                place,
                format_duration(delay),
                delay.as_secs(),
                Direction::Down,
            );
        }
    }

    /// Who may stop can only narrow; what is lifted widens again.
    fn stop(&mut self, stop: &StopAuthority) {
        let StopAuthority {
            signers,
            threshold,
            lifted,
        } = stop;
        for signer in signers {
            self.fact(format!("stop signer {signer}"), Effect::Neutral);
        }
        self.count("stop threshold", *threshold, Direction::None);
        for digest in lifted {
            self.fact(format!("lifted stop statement {digest}"), Effect::Widens);
        }
    }

    fn key(&mut self, key: &KeyRule) {
        let KeyRule {
            name,
            releases,
            statuses,
            account,
            shares,
            max_document_age,
            commitments,
        } = key;
        for release in releases {
            self.fact(format!("key {name}: for release {release}"), Effect::Widens);
        }
        for status in statuses {
            self.fact(format!("key {name}: for {status} releases"), Effect::Widens);
        }
        match account {
            AccountRule::InsecureAny => {
                self.fact(format!("key {name}: insecure_any_account"), Effect::Widens);
            }
            AccountRule::Named { pcr3, pcr4 } => {
                for (index, pcrs) in [(3, pcr3), (4, pcr4)] {
                    for pcr in pcrs {
                        self.fact(format!("key {name}: PCR{index} {pcr}"), Effect::Widens);
                    }
                }
            }
        }
        self.set(
            format!("key {name}: maximum document age"),
            format_duration(*max_document_age),
            max_document_age.as_secs(),
            Direction::Up,
        );
        let KeyShares::Service = shares; // One value so far: nothing to compare.
        for commitment in commitments {
            self.fact(
                format!(
                    "key {name}: version {} committed to {}",
                    commitment.version, commitment.sha384
                ),
                Effect::Narrows,
            );
        }
    }

    /// A witness more is somebody more who may vouch for the log. No ledger at all demands nothing,
    /// so it reads like one with every switch in its widest position.
    fn ledger(&mut self, ledger: Option<&Ledger>) {
        self.text(
            "log key",
            ledger.map_or("none", |ledger| ledger.log.as_str()),
            Direction::AnyChange,
        );
        let quorum = ledger.map_or(0, |ledger| ledger.quorum);
        self.count("witness quorum", quorum, Direction::Down);
        let waits = ledger.is_some_and(|ledger| ledger.release_waits_for_quorum);
        self.flag("key release waits for the quorum", waits, Direction::Down);
        let Some(Ledger {
            log: _,
            witnesses,
            quorum: _,
            salt,
            readers,
            anyone_may_read,
            release_waits_for_quorum: _,
            insecure_without_witnesses,
            previous,
        }) = ledger
        else {
            return;
        };
        for witness in witnesses {
            self.fact(format!("witness {witness}"), Effect::Widens);
        }
        self.text("ledger salt", salt, Direction::AnyChange);
        for reader in readers {
            self.fact(format!("reader of the log {reader}"), Effect::Widens);
        }
        if *anyone_may_read {
            self.fact("anyone may read the log".into(), Effect::Widens);
        }
        if *insecure_without_witnesses {
            self.fact("insecure_without_witnesses".into(), Effect::Widens);
        }
        for epoch in previous {
            self.fact(
                format!(
                    "previous log {} ended at {} entries with root {}",
                    epoch.log,
                    epoch.size,
                    epoch.root_base64()
                ),
                Effect::Neutral,
            );
        }
    }

    fn flag(&mut self, name: &str, value: bool, direction: Direction) {
        let shown = if value { "yes" } else { "no" };
        self.set(name, shown, u64::from(value), direction);
    }

    fn fact(&mut self, fact: String, adding: Effect) {
        self.facts.insert(fact, adding);
    }

    fn text(&mut self, name: &str, value: impl fmt::Display, direction: Direction) {
        self.set(name, value, 0, direction);
    }

    fn count(&mut self, name: impl Into<String>, count: usize, direction: Direction) {
        self.set(
            name,
            count,
            u64::try_from(count).unwrap_or(u64::MAX),
            direction,
        );
    }

    fn set(
        &mut self,
        name: impl Into<String>,
        shown: impl fmt::Display,
        rank: u64,
        direction: Direction,
    ) {
        let setting = Setting {
            shown: shown.to_string(),
            rank,
            direction,
        };
        self.settings.insert(name.into(), setting);
    }
}
