//! What an entry can be found by.

use super::{Entry, OrderScope};
use crate::{EvidenceDigest, PersonId};

impl Entry {
    /// The evidence it names.
    #[must_use]
    pub fn evidence(&self) -> Vec<EvidenceDigest> {
        match self {
            Self::Policy(entry) => entry.files.iter().map(|file| file.evidence).collect(),
            Self::Order(entry) => vec![entry.evidence],
            Self::Release(entry) => vec![entry.evidence],
            Self::Administration(entry) => vec![entry.evidence],
            Self::Statement(entry) => vec![entry.evidence],
            Self::Epoch(entry) => vec![entry.evidence],
            Self::Current(_) | Self::Summary(_) | Self::Purge(_) | Self::Restore(_) => Vec::new(),
        }
    }

    /// The people it names, each once, in the order of their ids.
    #[must_use]
    pub fn people(&self) -> Vec<PersonId> {
        let mut people: Vec<PersonId> = match self {
            Self::Policy(entry) => entry
                .files
                .iter()
                .flat_map(|file| file.signers.iter().copied())
                .collect(),
            Self::Order(entry) => entry
                .requester
                .iter()
                .chain(&entry.approvers)
                .copied()
                .collect(),
            Self::Administration(entry) => entry
                .requester
                .iter()
                .chain(&entry.approvers)
                .copied()
                .collect(),
            Self::Statement(entry) => entry.submitter.into_iter().collect(),
            Self::Epoch(entry) => entry.signers.clone(),
            Self::Release(_)
            | Self::Current(_)
            | Self::Summary(_)
            | Self::Purge(_)
            | Self::Restore(_) => Vec::new(),
        };
        people.sort_unstable();
        people.dedup();
        people
    }

    /// The enclave it is about, by its module id.
    #[must_use]
    pub fn enclave(&self) -> Option<&str> {
        match self {
            Self::Order(entry) => entry.scope.as_ref().and_then(OrderScope::enclave),
            Self::Release(entry) => Some(&entry.enclave),
            Self::Statement(entry) => Some(&entry.enclave),
            Self::Policy(_)
            | Self::Current(_)
            | Self::Administration(_)
            | Self::Summary(_)
            | Self::Purge(_)
            | Self::Epoch(_)
            | Self::Restore(_) => None,
        }
    }

    /// The names of the keys it is about: released, asked for, changed or lost.
    #[must_use]
    pub fn keys(&self) -> Vec<&str> {
        match self {
            Self::Release(entry) => entry
                .keys
                .iter()
                .map(|key| key.name.as_str())
                .chain(entry.asked.iter().map(String::as_str))
                .collect(),
            Self::Administration(entry) => entry.keys.iter().map(|key| key.name.as_str()).collect(),
            Self::Restore(entry) => entry.lost.iter().map(|key| key.name.as_str()).collect(),
            Self::Policy(_)
            | Self::Current(_)
            | Self::Order(_)
            | Self::Statement(_)
            | Self::Summary(_)
            | Self::Purge(_)
            | Self::Epoch(_) => Vec::new(),
        }
    }

    /// The actions of an order, the operation of an administrative call.
    #[must_use]
    pub fn actions(&self) -> Vec<&str> {
        match self {
            Self::Order(entry) => entry
                .scope
                .as_ref()
                .map(OrderScope::actions)
                .unwrap_or_default(),
            Self::Administration(entry) => entry.operation.as_deref().into_iter().collect(),
            Self::Policy(_)
            | Self::Current(_)
            | Self::Release(_)
            | Self::Statement(_)
            | Self::Summary(_)
            | Self::Purge(_)
            | Self::Epoch(_)
            | Self::Restore(_) => Vec::new(),
        }
    }
}
