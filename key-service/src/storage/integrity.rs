//! Reading the whole database once, believing nothing, before anything is served.
//!
//! Steps: settings hold under the root keys; the tree over the entries of each epoch is the one that the authenticated
//! head, the epoch's end, the tiles and the signed checkpoints say; the entries say which keys and policy files there
//! must be, in which state; every row is there, is authentic and agrees. An altered setting, entry, tile, checkpoint or
//! policy file stops the start. An altered key row stops that key only: it is named in the log and the metrics and
//! released to nobody. Evidence is read by `check` alone: there is much of it, and nothing is decided on it again.

use std::{collections::BTreeMap, sync::Arc};

use narthex_ledger::SigningKey;
use rusqlite::Connection;

use super::{
    account::Account,
    checkpoint::{self, CheckpointKind},
    epoch::Epoch,
    error::StoreError,
    key_version,
    keyring::Keyring,
    policy_file::{self, PolicyFile},
    record::Head,
    schema::Natural,
    setting::{self, Setting},
    state::{Log, State},
    walk::Walk,
};
use crate::{log::Shown, root_key::RootKeys};

/// What a database that passed holds.
pub(crate) struct Loaded {
    pub(crate) state: State,
    /// The newest signed checkpoint, which is over all of the tree.
    pub(crate) newest: Shown,
    pub(crate) policy_files: Vec<PolicyFile>,
    /// Key rows that are not what was written.
    pub(crate) altered_keys: Vec<StoreError>,
    /// Key rows that are not under the root key in use: a rotation was cut off.
    pub(crate) rows_to_rewrap: u64,
}

/// Checks everything but the evidence. The caller holds a transaction, so that it sees one state of the file.
///
/// `log_key` is what further checkpoints will be signed with, if any will; it must be the one that signed so far.
pub(crate) fn load(
    connection: &Connection,
    root_keys: &RootKeys,
    log_key: Option<Arc<SigningKey>>,
) -> Result<Loaded, StoreError> {
    let (genesis, active) = setting::unauthenticated(connection)?;
    let keyring = Keyring::new(genesis, active, root_keys)?;
    for setting in [Setting::Genesis, Setting::ActiveRootKey] {
        setting::get(connection, &keyring, setting)?;
    }
    let head = setting::get(connection, &keyring, Setting::Head)?;
    let head = Head::from_bytes(&head).ok_or_else(|| wrong("setting", "head".to_owned()))?;

    let Walk {
        epochs,
        tree,
        account,
        ends_with_current,
        ..
    } = Walk::through(connection, &head, |_| {})?;
    check_log_key(log_key.as_deref(), &epochs)?;
    if account.root_key.is_some_and(|expected| expected != active) {
        return Err(wrong("setting", "active_root_key".to_owned()));
    }
    let newest = checkpoint::find(connection, &epochs, CheckpointKind::Signed)?
        .ok_or_else(|| CheckpointKind::Signed.altered())?;

    let policy_files = policy_file::all(connection, &keyring)?;
    compare_policy_files(&account, &policy_files)?;
    if policy_files.first().map(PolicyFile::digest) != Some(genesis) {
        return Err(wrong("policy_file", "file 0".to_owned()));
    }
    let altered_keys = compare_keys(&account, connection, &keyring)?;
    let rows_to_rewrap: Natural = connection.query_row(
        "SELECT (SELECT count(*) FROM key_version WHERE root_key <> ?1)
              + (SELECT count(*) FROM policy_file WHERE root_key <> ?1)",
        [active.0.as_slice()],
        |row| row.get(0),
    )?;
    Ok(Loaded {
        state: State {
            keyring,
            log: Log {
                key: log_key,
                epochs,
                tree,
                ends_with_current,
                current_due: None,
            },
            account,
            undo: Vec::new(),
            after_commit: Vec::new(),
            // A run that was killed may have left it.
            destroyed: true,
        },
        newest: Shown {
            size: newest.checkpoint.size,
            root: newest.checkpoint.root.0,
            note: newest.note.to_string(),
        },
        policy_files,
        altered_keys,
        rows_to_rewrap: rows_to_rewrap.0,
    })
}

fn check_log_key(log_key: Option<&SigningKey>, epochs: &[Epoch]) -> Result<(), StoreError> {
    let (Some(key), Some(epoch)) = (log_key, epochs.last()) else {
        return Ok(());
    };
    let (ours, expected) = (key.verifier_key().to_string(), epoch.log_key.to_string());
    if ours == expected {
        Ok(())
    } else {
        Err(StoreError::LogKey { ours, expected })
    }
}

fn compare_policy_files(account: &Account, files: &[PolicyFile]) -> Result<(), StoreError> {
    let expected = &account.policy_files;
    if files.len() != expected.len() {
        let row = format!("{} files instead of {}", files.len(), expected.len());
        return Err(wrong("policy_file", row));
    }
    for (file, (sha384, entry)) in files.iter().zip(expected) {
        if file.digest() != *sha384 || file.entry != *entry {
            return Err(wrong("policy_file", format!("file {}", file.position)));
        }
    }
    Ok(())
}

fn compare_keys(
    account: &Account,
    connection: &Connection,
    keyring: &Keyring,
) -> Result<Vec<StoreError>, StoreError> {
    let mut findings = Vec::new();
    let mut missing: BTreeMap<_, _> = account.anchors.iter().collect();
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

fn wrong(table: &'static str, row: String) -> StoreError {
    StoreError::Altered { table, row }
}
