//! What only the order of entries shows: states of keys, single use, chains of decisions.
//!
//! It remembers 16 bytes and a place for each session and order, because one may be used again at any time: about
//! 50 bytes for each such entry of the log, and nothing of the others.

use std::collections::{BTreeMap, HashMap};

use narthex_ledger::{
    AdministrationEntry, Decision, Entry, KeyChange, KeyState, OrderEntry, ReleaseEntry,
    RestoreEntry, StatementEntry,
};
use narthex_policy::KeyOperation;

use super::check::Check;
use super::claim::Gap;
use super::findings::{Fault, Findings, Place};
use super::judge::{Change, Later, Spoken, Wanted, groundless};

/// Boots of enclaves whose decisions are followed; more are not.
const MAX_BOOTS: usize = 65_536;
/// Key versions that a service keeps.
const MAX_KEY_VERSIONS: usize = 8192;

/// What happened once.
type Once = HashMap<[u8; 16], Place>;

/// A version of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    state: KeyState,
    commitment: [u8; 48],
}

/// The state that follows from the entries so far.
#[derive(Default)]
pub(crate) struct Account {
    keys: BTreeMap<String, BTreeMap<u32, Version>>,
    sessions: Once,
    orders: Once,
    statements: Once,
    /// The order that the entry before was about: a restore may take several entries.
    last_order: Option<[u8; 48]>,
    boots: BTreeMap<(String, [u8; 16]), Spoken>,
}

impl Account {
    /// Judges what was left to judge in order.
    pub(crate) fn enter(&mut self, place: Place, later: Later, findings: &mut Findings) {
        let last_order = self.last_order.take();
        match later {
            Later::Nothing => {}
            Later::OrderAccepted(entry) => self.ordered(place, &entry, findings),
            Later::Released(entry, wanted, spoken) => {
                self.released(place, &entry, Some(&wanted), findings);
                self.spoke(place, spoken, findings);
            }
            Later::ReleaseRefused(entry, wanted, spoken) => {
                let outcome = self.release_refused(&entry, &wanted);
                findings.put(Check::RefusalRelease, Some(place), outcome);
                self.spoke(place, spoken, findings);
            }
            Later::Administered(entry, change) => {
                self.administered(place, &entry, Some(&change), last_order, findings);
            }
            Later::AdministrationRefused(entry, change) => {
                let outcome = self.administration_refused(&entry, &change);
                findings.put(Check::RefusalAdministration, Some(place), outcome);
            }
            Later::Stated(entry, spoken) => {
                self.stated(place, &entry, findings);
                self.spoke(place, Some(spoken), findings);
            }
            Later::Absent(_, _, entry) => self.unseen(place, &entry, last_order, findings),
        }
    }

    /// An entry whose evidence is gone: what it says still counts for what comes after.
    fn unseen(
        &mut self,
        place: Place,
        entry: &Entry,
        last_order: Option<[u8; 48]>,
        findings: &mut Findings,
    ) {
        let accepted = !matches!(entry.decision(), Some(Decision::Refused { .. }));
        match entry {
            Entry::Order(entry) if accepted => self.ordered(place, entry, findings),
            Entry::Release(entry) if accepted => self.released(place, entry, None, findings),
            Entry::Administration(entry) if accepted => {
                self.administered(place, entry, None, last_order, findings);
            }
            Entry::Statement(entry) => self.stated(place, entry, findings),
            _ => {}
        }
    }

    fn ordered(&mut self, place: Place, entry: &OrderEntry, findings: &mut Findings) {
        let outcome = once(
            &mut self.orders,
            entry.order.as_bytes(),
            place,
            "order.reused",
        );
        findings.put(Check::OrderOnce, Some(place), outcome);
    }

    fn stated(&mut self, place: Place, entry: &StatementEntry, findings: &mut Findings) {
        let session = entry.session.as_bytes();
        let outcome = once(&mut self.statements, session, place, "session.used");
        findings.put(Check::StatementOnce, Some(place), outcome);
    }

    fn released(
        &mut self,
        place: Place,
        entry: &ReleaseEntry,
        wanted: Option<&[Wanted]>,
        findings: &mut Findings,
    ) {
        let session = entry.session.as_bytes();
        let outcome = once(&mut self.sessions, session, place, "session.used");
        findings.put(Check::ReleaseOnce, Some(place), outcome);
        for key in &entry.keys {
            let asked = wanted.and_then(|wanted| {
                let mut wanted = wanted.iter();
                wanted.find(|wanted| wanted.name == key.name)
            });
            let outcome =
                self.releasable(&key.name, key.version, *key.commitment.as_bytes(), asked);
            findings.put(Check::ReleaseKeys, Some(place), outcome);
        }
    }

    /// Whether this version, with this commitment, was the one to release.
    fn releasable(
        &self,
        name: &str,
        version: u32,
        commitment: [u8; 48],
        asked: Option<&Wanted>,
    ) -> Result<(), Fault> {
        let known = self
            .keys
            .get(name)
            .and_then(|versions| versions.get(&version))
            .ok_or_else(|| {
                Fault::new(
                    "key.no_such_version",
                    format_args!("no entry says where {name} version {version} came from"),
                )
            })?;
        if known.state != KeyState::Enabled {
            return Err(Fault::new(
                state_reason(known.state),
                format_args!("{name} version {version} was {}", known.state),
            ));
        }
        if known.commitment != commitment {
            return Err(Fault::new(
                "key.commitment",
                format_args!("{name} version {version} was recorded with another commitment"),
            ));
        }
        let Some(asked) = asked else {
            return Ok(());
        };
        match self.choose(asked) {
            Ok(chosen) if chosen == version => Ok(()),
            Ok(chosen) => Err(Fault::new(
                "key.version",
                format_args!("version {version} of {name} was released, {chosen} was asked for"),
            )),
            Err(reason) => Err(Fault::new(
                reason,
                format_args!("the policy does not let version {version} of {name} out"),
            )),
        }
    }

    /// The version that the service releases, or its reason not to.
    fn choose(&self, wanted: &Wanted) -> Result<u32, &'static str> {
        let versions = self.keys.get(&wanted.name).ok_or("key.not_stored")?;
        let judge = |number: u32, version: &Version| {
            if version.state != KeyState::Enabled {
                return Err(state_reason(version.state));
            }
            if wanted.commitments.is_empty() {
                return Ok(number);
            }
            let mut commitments = wanted.commitments.iter();
            match commitments.find(|(committed, _)| *committed == number) {
                None => Err("key.not_committed"),
                Some((_, commitment)) if *commitment == version.commitment => Ok(number),
                Some(_) => Err("key.commitment"),
            }
        };
        if let Some(number) = wanted.version {
            let version = versions.get(&number).ok_or("key.no_such_version")?;
            return judge(number, version);
        }
        let mut newest = None;
        for (number, version) in versions.iter().rev() {
            match judge(*number, version) {
                Ok(number) => return Ok(number),
                Err(reason) => {
                    newest.get_or_insert(reason);
                }
            }
        }
        Err(newest.unwrap_or("key.not_stored"))
    }

    fn release_refused(&self, entry: &ReleaseEntry, wanted: &[Wanted]) -> Result<(), Fault> {
        let reason = entry.decision.reason().unwrap_or_default();
        if reason == "session.used" {
            return match self.sessions.contains_key(&short(entry.session.as_bytes())) {
                true => Ok(()),
                false => Err(groundless(reason)),
            };
        }
        let found = wanted.iter().find_map(|wanted| self.choose(wanted).err());
        same_reason(reason, found)
    }

    fn administered(
        &mut self,
        place: Place,
        entry: &AdministrationEntry,
        change: Option<&Change>,
        last_order: Option<[u8; 48]>,
        findings: &mut Findings,
    ) {
        let order = *entry.order.as_bytes();
        self.last_order = Some(order);
        let operation = entry.operation.as_deref().unwrap_or_default();
        let continues = operation == "keys-restore" && last_order == Some(order);
        if !continues {
            let outcome = once(&mut self.orders, &order, place, "order.reused");
            findings.put(Check::AdministrationOnce, Some(place), outcome);
        }
        if let Some(change) = change {
            let outcome = self.follows(entry, change.operation.as_ref());
            findings.put(Check::AdministrationState, Some(place), outcome);
            if matches!(change.operation, Some(KeyOperation::Import { .. })) {
                findings.gap(Gap::ImportedKeys);
            }
        }
        for key in &entry.keys {
            let known = self
                .keys
                .get(&key.name)
                .and_then(|versions| versions.get(&key.version));
            let same = known.is_none_or(|known| known.commitment == *key.commitment.as_bytes());
            let outcome = match same {
                true => Ok(()),
                false => Err(Fault::new(
                    "key.commitment",
                    format_args!(
                        "{} version {} had another commitment before",
                        key.name, key.version
                    ),
                )),
            };
            findings.put(Check::KeyRecorded, Some(place), outcome);
            // With the evidence gone, the entry alone shows at least this.
            if let (None, Err(fault)) = (change, self.stays_retired(key)) {
                findings.fail(Check::AdministrationState, Some(place), fault);
            }
            self.keys.entry(key.name.clone()).or_default().insert(
                key.version,
                Version {
                    state: key.state,
                    commitment: *key.commitment.as_bytes(),
                },
            );
        }
        if operation == "root-key-rotate" || entry.root_key.is_some() {
            let outcome = match (operation, entry.root_key) {
                ("root-key-rotate", Some(_)) => Ok(()),
                _ => Err(Fault::new(
                    "entry.differs",
                    "a root key came into use without an order to rotate it, or the other way round",
                )),
            };
            findings.put(Check::RootKeyOrder, Some(place), outcome);
        }
        if matches!(operation, "keys-backup" | "keys-restore") {
            findings.pass(Check::BackupOrder);
        }
    }

    /// Whether the changes are those that the order asks for, from the state in which the keys were.
    fn follows(
        &self,
        entry: &AdministrationEntry,
        operation: Option<&KeyOperation>,
    ) -> Result<(), Fault> {
        let Some(operation) = operation else {
            return Err(Fault::new("file.malformed", "the order cannot be read"));
        };
        let wrong = |words: String| Err(Fault::new("key.state", words));
        if let Some(reason) = self.refusal_of(operation) {
            return Err(Fault::new(
                reason,
                "the state of the key at that moment does not allow this",
            ));
        }
        let expected = match operation {
            KeyOperation::List | KeyOperation::BackUp | KeyOperation::ListDecisions => None,
            KeyOperation::RotateRootKey => None,
            KeyOperation::Restore { .. } => return self.restored(entry),
            KeyOperation::Create { key } => Some((key, 1, KeyState::Enabled)),
            KeyOperation::Rotate { key } => Some((key, self.next(key.as_str()), KeyState::Enabled)),
            KeyOperation::Import { key, version, .. } => Some((key, *version, KeyState::Enabled)),
            KeyOperation::Enable { key, version } => Some((key, *version, KeyState::Enabled)),
            KeyOperation::Disable { key, version } => Some((key, *version, KeyState::Disabled)),
            KeyOperation::Retire { key, version } => Some((key, *version, KeyState::Retired)),
        };
        match (expected, entry.keys.as_slice()) {
            (None, []) => Ok(()),
            (Some((name, version, state)), [change])
                if (change.name.as_str(), change.version, change.state)
                    == (name.as_str(), version, state) =>
            {
                match operation {
                    KeyOperation::Import { commitment, .. }
                        if commitment.as_bytes() != change.commitment.as_bytes() =>
                    {
                        Err(Fault::new(
                            "import.commitment",
                            "the order commits to another key",
                        ))
                    }
                    _ => Ok(()),
                }
            }
            (None, changes) => wrong(format!(
                "{} keys changed by a call that changes none",
                changes.len()
            )),
            (Some((name, version, state)), changes) => wrong(format!(
                "the order makes {name} version {version} {state}; the entry says {}",
                match changes {
                    [] => "that nothing changed".to_owned(),
                    [change, ..] => format!(
                        "{} version {} {}",
                        change.name, change.version, change.state
                    ),
                }
            )),
        }
    }

    /// What came out of a backup is inert, and nothing that was here became another key.
    fn restored(&self, entry: &AdministrationEntry) -> Result<(), Fault> {
        let live = entry
            .keys
            .iter()
            .find(|key| !matches!(key.state, KeyState::Restored | KeyState::Retired));
        match live {
            None => entry
                .keys
                .iter()
                .try_for_each(|key| self.stays_retired(key)),
            Some(key) => Err(Fault::new(
                "key.state",
                format_args!(
                    "{} version {} came out of a backup {}, and nobody had enabled it",
                    key.name, key.version, key.state
                ),
            )),
        }
    }

    /// What was destroyed never comes back, from no backup either.
    fn stays_retired(&self, key: &KeyChange) -> Result<(), Fault> {
        let known = self
            .keys
            .get(&key.name)
            .and_then(|versions| versions.get(&key.version));
        let retired = known.is_some_and(|known| known.state == KeyState::Retired);
        match retired && key.state != KeyState::Retired {
            false => Ok(()),
            true => Err(Fault::new(
                "key.retired",
                format_args!(
                    "{} version {} was retired, and is {} now",
                    key.name, key.version, key.state
                ),
            )),
        }
    }

    fn next(&self, name: &str) -> u32 {
        let newest = self
            .keys
            .get(name)
            .and_then(|versions| versions.keys().last());
        newest.map_or(1, |newest| newest.saturating_add(1))
    }

    /// The service's reason to refuse an operation because of what is stored.
    fn refusal_of(&self, operation: &KeyOperation) -> Option<&'static str> {
        let full = || {
            let count: usize = self.keys.values().map(BTreeMap::len).sum();
            (count >= MAX_KEY_VERSIONS).then_some("key.too_many")
        };
        let change = |name: &str, version: u32, to: KeyState| {
            let Some(versions) = self.keys.get(name) else {
                return Some("key.not_stored");
            };
            match versions.get(&version).map(|version| version.state) {
                None => Some("key.no_such_version"),
                Some(KeyState::Retired) => Some("key.retired"),
                Some(state) if state == to => Some("key.state"),
                Some(_) => None,
            }
        };
        match operation {
            KeyOperation::Create { key } if self.keys.contains_key(key.as_str()) => {
                Some("key.exists")
            }
            KeyOperation::Rotate { key } if !self.keys.contains_key(key.as_str()) => {
                Some("key.not_stored")
            }
            KeyOperation::Import { key, version, .. } if *version != self.next(key.as_str()) => {
                Some("key.version_order")
            }
            KeyOperation::Create { .. }
            | KeyOperation::Rotate { .. }
            | KeyOperation::Import { .. } => full(),
            KeyOperation::Enable { key, version } => {
                change(key.as_str(), *version, KeyState::Enabled)
            }
            KeyOperation::Disable { key, version } => {
                change(key.as_str(), *version, KeyState::Disabled)
            }
            KeyOperation::Retire { key, version } => {
                change(key.as_str(), *version, KeyState::Retired)
            }
            KeyOperation::List
            | KeyOperation::BackUp
            | KeyOperation::Restore { .. }
            | KeyOperation::RotateRootKey
            | KeyOperation::ListDecisions => None,
        }
    }

    fn administration_refused(
        &self,
        entry: &AdministrationEntry,
        change: &Change,
    ) -> Result<(), Fault> {
        let reason = entry.decision.reason().unwrap_or_default();
        if self.orders.contains_key(&short(entry.order.as_bytes())) {
            return same_reason(reason, Some("order.reused"));
        }
        let operation = change.operation.as_ref();
        same_reason(
            reason,
            operation.and_then(|operation| self.refusal_of(operation)),
        )
    }

    /// Decisions only grow. Statements may be handed in late, so the agent's own time says which came first.
    fn spoke(&mut self, place: Place, spoken: Option<Spoken>, findings: &mut Findings) {
        let Some(spoken) = spoken else { return };
        let Some(known) = self.boots.get(&spoken.boot) else {
            if self.boots.len() < MAX_BOOTS {
                self.boots.insert(spoken.boot.clone(), spoken);
            }
            findings.pass(Check::StatementChain);
            return;
        };
        let (older, newer) = match known.now <= spoken.now {
            true => (known, &spoken),
            false => (&spoken, known),
        };
        let grew = older.decisions.0 <= newer.decisions.0
            && older.decisions.1 <= newer.decisions.1
            && (older.decisions != newer.decisions || older.head == newer.head);
        // Two of the same moment may stand in either order.
        let tied = older.now == newer.now
            && newer.decisions.0 <= older.decisions.0
            && newer.decisions.1 <= older.decisions.1
            && older.decisions != newer.decisions;
        let outcome = match grew || tied {
            true => Ok(()),
            false => Err(Fault::new(
                "statement.chain",
                format_args!(
                    "{} had made {} and {} decisions, and {} and {} later",
                    spoken.boot.0,
                    older.decisions.0,
                    older.decisions.1,
                    newer.decisions.0,
                    newer.decisions.1
                ),
            )),
        };
        let forward = known.now <= spoken.now;
        findings.put(Check::StatementChain, Some(place), outcome);
        if forward {
            self.boots.insert(spoken.boot.clone(), spoken);
        }
    }

    /// What was lost when the service was restored counts as retired.
    pub(crate) fn restore(&mut self, place: Place, entry: &RestoreEntry, findings: &mut Findings) {
        let mut outcome = match entry.to_size > place.index {
            false => Ok(()),
            true => Err(Fault::new(
                "log.entry",
                format_args!(
                    "it says that {} entries were there before it; {} were",
                    entry.to_size, place.index
                ),
            )),
        };
        for lost in &entry.lost {
            let known = self.keys.get_mut(&lost.name);
            match known.and_then(|versions| versions.get_mut(&lost.version)) {
                Some(version) => version.state = KeyState::Retired,
                None => {
                    outcome = Err(Fault::new(
                        "key.no_such_version",
                        format_args!("{} version {} was never there", lost.name, lost.version),
                    ));
                }
            }
        }
        findings.put(Check::LogRestore, Some(place), outcome);
    }
}

fn same_reason(reason: &str, found: Option<&str>) -> Result<(), Fault> {
    match found {
        Some(found) if found == reason => Ok(()),
        Some(found) => Err(Fault::new(
            "refusal.reason",
            format_args!("refused as {reason}; the entries before give {found}"),
        )),
        None => Err(groundless(reason)),
    }
}

fn state_reason(state: KeyState) -> &'static str {
    match state {
        KeyState::Enabled => "key.state",
        KeyState::Disabled => "key.disabled",
        KeyState::Restored => "key.restored",
        KeyState::Retired => "key.retired",
    }
}

fn once(seen: &mut Once, digest: &[u8], place: Place, reason: &str) -> Result<(), Fault> {
    match seen.entry(short(digest)) {
        std::collections::hash_map::Entry::Vacant(empty) => {
            empty.insert(place);
            Ok(())
        }
        std::collections::hash_map::Entry::Occupied(first) => {
            let first = first.get();
            Err(Fault::new(
                reason,
                format_args!(
                    "entry {} of epoch {} had it before",
                    first.index, first.epoch
                ),
            ))
        }
    }
}

/// Half of a digest is enough to tell a million of them apart.
fn short(digest: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    for (to, from) in short.iter_mut().zip(digest) {
        *to = *from;
    }
    short
}
