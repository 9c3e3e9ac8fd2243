//! Reading the whole database once, believing nothing, before anything is served.
//!
//! Steps: settings hold under the root keys; the chain of decisions holds and ends where the authenticated head
//! says; the chain says which keys and policy files there must be, in which state; every row is there, is
//! authentic and agrees. An altered setting, decision or policy file stops the start. An altered key row
//! stops that key only: it is named in the log and the metrics and released to nobody.

use std::collections::{BTreeMap, HashSet};

use rusqlite::Connection;

use super::{
    chain,
    decision::{DecisionKind, Head, Mark, Outcome, Recorded},
    error::StoreError,
    key_version::{self, KeyReference},
    keyring::Keyring,
    policy_file::{self, PolicyFile},
    schema::Natural,
    setting::{self, Setting},
    writing::{Anchor, State},
};
use crate::{digest::Digest, root_key::RootKeys};

/// What a database that passed holds.
pub(crate) struct Loaded {
    pub(crate) state: State,
    pub(crate) policy_files: Vec<PolicyFile>,
    /// Key rows that are not what was written.
    pub(crate) altered_keys: Vec<StoreError>,
    /// Key rows that are not under the root key in use: a rotation was cut off.
    pub(crate) rows_to_rewrap: u64,
}

/// Checks everything. The caller holds a transaction, so that it sees one state of the file.
pub(crate) fn load(connection: &Connection, root_keys: &RootKeys) -> Result<Loaded, StoreError> {
    let (genesis, active) = setting::unauthenticated(connection)?;
    let keyring = Keyring::new(genesis, active, root_keys)?;
    for setting in [Setting::Genesis, Setting::ActiveRootKey] {
        setting::get(connection, &keyring, setting)?;
    }
    let head = setting::get(connection, &keyring, Setting::Head)?;
    let head = Head::from_bytes(&head).ok_or_else(|| wrong("setting", "head".to_owned()))?;

    let mut account = Account::default();
    let found = chain::verify_all(connection, &keyring, |recorded| account.enter(recorded))?;
    if found != head {
        let row = format!("{} decisions instead of {}", found.count, head.count);
        return Err(wrong("decision", row));
    }
    if let Some(expected) = &account.root_key
        && *expected != active.to_string()
    {
        return Err(wrong("setting", "active_root_key".to_owned()));
    }

    let policy_files = policy_file::all(connection, &keyring)?;
    account.compare_policy_files(&policy_files)?;
    if policy_files.first().map(PolicyFile::digest) != Some(genesis) {
        return Err(wrong("policy_file", "file 0".to_owned()));
    }
    let altered_keys = account.compare_keys(connection, &keyring)?;
    let rows_to_rewrap: Natural = connection.query_row(
        "SELECT (SELECT count(*) FROM key_version WHERE root_key <> ?1)
              + (SELECT count(*) FROM policy_file WHERE root_key <> ?1)",
        [active.0.as_slice()],
        |row| row.get(0),
    )?;
    let Account {
        anchors,
        order_marks,
        policy_files: _,
        root_key: _,
    } = account;
    Ok(Loaded {
        state: State {
            keyring,
            head,
            anchors,
            order_marks,
            policy_files: policy_files.len() as u64,
            undo: Vec::new(),
            after_commit: Vec::new(),
        },
        policy_files,
        altered_keys,
        rows_to_rewrap: rows_to_rewrap.0,
    })
}

/// What the decisions, read in order, say the other tables must hold.
#[derive(Default)]
struct Account {
    anchors: BTreeMap<KeyReference, Anchor>,
    order_marks: HashSet<Digest>,
    policy_files: Vec<(String, u64)>,
    root_key: Option<String>,
}

impl Account {
    fn enter(&mut self, recorded: &Recorded) -> Result<(), StoreError> {
        let decision = &recorded.decision;
        if let Some(Mark::Order(order)) = decision.mark {
            self.order_marks.insert(order);
        }
        if decision.outcome != Outcome::Accepted {
            return Ok(());
        }
        if decision.body.root_key.is_some() {
            self.root_key.clone_from(&decision.body.root_key);
        }
        match decision.kind {
            DecisionKind::Administration => {
                for key in &decision.body.keys {
                    let reference = KeyReference {
                        name: key.name.clone(),
                        version: key.version,
                    };
                    let commitment = hex::decode(&key.commitment)
                        .ok()
                        .and_then(|bytes| Digest::from_slice(&bytes))
                        .ok_or_else(|| {
                            wrong("decision", format!("decision {}", recorded.sequence))
                        })?;
                    let anchor = Anchor {
                        state: key.state,
                        decision: recorded.sequence,
                        commitment,
                    };
                    self.anchors.insert(reference, anchor);
                }
            }
            DecisionKind::Genesis | DecisionKind::Policy => {
                for file in &decision.body.policy_files {
                    self.policy_files
                        .push((file.sha384.clone(), recorded.sequence));
                }
            }
            DecisionKind::Release | DecisionKind::Summary => {}
        }
        Ok(())
    }

    fn compare_policy_files(&self, files: &[PolicyFile]) -> Result<(), StoreError> {
        if files.len() != self.policy_files.len() {
            let row = format!(
                "{} files instead of {}",
                files.len(),
                self.policy_files.len()
            );
            return Err(wrong("policy_file", row));
        }
        for (file, (sha384, decision)) in files.iter().zip(&self.policy_files) {
            if file.digest().to_string() != *sha384 || file.decision != *decision {
                return Err(wrong("policy_file", format!("file {}", file.position)));
            }
        }
        Ok(())
    }

    fn compare_keys(
        &self,
        connection: &Connection,
        keyring: &Keyring,
    ) -> Result<Vec<StoreError>, StoreError> {
        let mut findings = Vec::new();
        let mut missing: BTreeMap<_, _> = self.anchors.iter().collect();
        key_version::for_each(connection, |row| {
            let checked = row.and_then(|row| {
                let anchor = missing.remove(&row.key.reference);
                row.open(keyring)?;
                if anchor == Some(&row.key.anchor()) {
                    Ok(())
                } else {
                    Err(key_version::altered(&row.key.reference))
                }
            });
            match checked {
                Ok(()) => Ok(()),
                Err(error @ (StoreError::Altered { .. } | StoreError::RootKeyMissing(_))) => {
                    findings.push(error);
                    Ok(())
                }
                Err(error) => Err(error),
            }
        })?;
        for reference in missing.into_keys() {
            findings.push(key_version::altered(reference));
        }
        findings.dedup();
        Ok(findings)
    }
}

fn wrong(table: &'static str, row: String) -> StoreError {
    StoreError::Altered { table, row }
}
