//! What every kind of entry has in common, and the rules of each.

mod extras;
mod random;
mod rules;
mod samples;
mod strictness;

use super::*;

#[test]
fn every_sample_reads_back_and_is_written_the_same_again() {
    for entry in samples::all() {
        let leaf = entry.to_leaf().unwrap();
        let read = Entry::from_leaf(&leaf).unwrap();
        assert_eq!(read, entry);
        assert_eq!(read.to_leaf().unwrap(), leaf);
    }
}

#[test]
fn there_is_a_sample_of_every_kind_and_outcome() {
    let seen: std::collections::BTreeSet<_> = samples::all()
        .iter()
        .map(|entry| (entry.kind(), entry.outcome()))
        .collect();
    for kind in EntryKind::ALL {
        assert!(seen.contains(&(*kind, Outcome::Accepted)), "{kind}");
        assert_eq!(EntryKind::from_text(kind.as_str()), Some(*kind));
    }
    for kind in [
        EntryKind::Policy,
        EntryKind::Order,
        EntryKind::Release,
        EntryKind::Administration,
    ] {
        assert!(seen.contains(&(kind, Outcome::Refused)), "{kind}");
    }
}

/// The documentation shows an example of each kind; every one of them is an entry, and none is forgotten.
#[test]
fn the_examples_in_the_documentation_are_entries() {
    let mut kinds = std::collections::BTreeSet::new();
    for line in include_str!("../../../ENTRIES.md").lines() {
        if !line.starts_with("{\"") || !line.contains("\"type\":") {
            continue;
        }
        let entry =
            Entry::from_leaf(line.as_bytes()).unwrap_or_else(|error| panic!("{error}: {line}"));
        kinds.insert((entry.kind(), entry.outcome()));
    }
    assert_eq!(
        kinds.into_iter().collect::<Vec<_>>(),
        samples::all()
            .iter()
            .map(|entry| (entry.kind(), entry.outcome()))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect::<Vec<_>>()
    );
}

/// A stranger's JSON reader and writer (keys in a sorted map, nothing escaped) gives the same bytes.
#[test]
fn another_json_library_agrees() {
    for entry in samples::all() {
        let leaf = entry.to_leaf().unwrap();
        let value: std::collections::BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(&leaf).unwrap();
        assert_eq!(serde_json::to_vec(&value).unwrap(), leaf);
    }
}

#[test]
fn entries_say_what_they_can_be_searched_for() {
    let (alice, bob) = (samples::person("alice"), samples::person("bob"));
    let mut both = vec![alice, bob];
    both.sort_unstable();
    let [read, write] = samples::orders();
    assert_eq!(read.people(), [alice]);
    assert_eq!(read.actions(), ["health", "memory"]);
    assert_eq!(read.enclave(), None);
    assert_eq!(write.people(), both);
    assert_eq!(write.actions(), ["restart-workload"]);
    assert_eq!(write.enclave(), Some(samples::MODULE));
    assert_eq!(write.evidence().len(), 1);
    let release = samples::release(true);
    assert_eq!(release.keys(), ["payments-db", "payments-queue"]);
    assert_eq!(release.enclave(), Some(samples::MODULE));
    assert!(release.people().is_empty());
    let refused = samples::release(false);
    assert_eq!(refused.keys(), ["payments-db"]);
    assert_eq!(refused.reason(), Some("key.release"));
    assert_eq!(refused.outcome(), Outcome::Refused);
    let administration = samples::administration(true);
    assert_eq!(administration.actions(), ["keys-retire"]);
    assert_eq!(administration.keys(), ["payments-db"]);
    assert_eq!(samples::all().first().unwrap().evidence().len(), 2);
}
