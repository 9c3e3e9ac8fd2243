//! Many random entries: what is written reads back, and what reads was written so.

use super::{samples, *};
use crate::{
    BootId, Digest384, EvidenceDigest, EvidenceKind, Hash, PersonId, RootKeyId, SessionHash,
};

/// A small generator (xorshift64*): the same entries in every run, no dependency.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn number(&mut self) -> u64 {
        match self.below(4) {
            0 => 0,
            1 => (1 << 53) - 1,
            2 => self.below(1000),
            _ => self.below(1 << 53),
        }
    }

    fn small(&mut self) -> u32 {
        u32::try_from(self.next() >> 32).unwrap()
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.next().to_le_bytes()[3])
    }

    fn text(&mut self, alphabet: &str, max: u64) -> String {
        let alphabet: Vec<_> = alphabet.chars().collect();
        let length = 1 + self.below(max);
        (0..length)
            .map(|_| alphabet[usize::try_from(self.below(alphabet.len() as u64)).unwrap()])
            .collect()
    }

    fn name(&mut self) -> String {
        self.text("abcxyz019._-", 64)
    }

    fn names(&mut self) -> Vec<String> {
        let mut names: Vec<_> = (0..1 + self.below(5)).map(|_| self.name()).collect();
        names.sort();
        names.dedup();
        names
    }

    fn printable(&mut self) -> String {
        self.text(" !#$%&'()*+,-./09:;<=>?@AZ[]^_`az{|}~", 160)
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(2) == 0).then(|| make(self))
    }

    fn people(&mut self, least: u64) -> Vec<PersonId> {
        (0..least + self.below(4))
            .map(|_| PersonId(self.bytes()))
            .collect()
    }

    fn digest(&mut self) -> Digest384 {
        Digest384(self.bytes())
    }

    fn evidence(&mut self) -> EvidenceDigest {
        EvidenceDigest(self.bytes())
    }

    fn decision(&mut self) -> Decision {
        match self.below(2) {
            0 => Decision::Accepted,
            _ => Decision::Refused {
                reason: self.name(),
            },
        }
    }

    fn scope(&mut self) -> OrderScope {
        match self.below(2) {
            0 => OrderScope::Read {
                actions: self.names(),
            },
            _ => OrderScope::Write {
                action: self.name(),
                enclave: self.text("iABZ09-._", 128),
                boot: BootId(self.bytes()),
            },
        }
    }

    fn entry(&mut self) -> Entry {
        let time = self.number();
        match self.below(10) {
            0 => Entry::Policy(PolicyEntry {
                time,
                decision: self.decision(),
                files: (0..1 + self.below(3))
                    .map(|_| PolicyFile {
                        kind: PolicyFileKind::ALL[usize::try_from(self.below(3)).unwrap()],
                        sha384: self.digest(),
                        version: self.printable(),
                        evidence: self.evidence(),
                        signers: self.people(1),
                    })
                    .collect(),
            }),
            1 => Entry::Current(CurrentEntry {
                time,
                bundle: self.digest(),
                version: self.number(),
            }),
            2 => {
                let decision = self.decision();
                let accepted = decision.is_accepted();
                let (requester, scope) = (PersonId(self.bytes()), self.scope());
                Entry::Order(OrderEntry {
                    time,
                    decision,
                    order: self.digest(),
                    evidence: self.evidence(),
                    requester: (accepted || self.below(2) == 0).then_some(requester),
                    approvers: self.people(0),
                    scope: (accepted || self.below(2) == 0).then_some(scope),
                    bundle: self.number(),
                })
            }
            3 => {
                let decision = self.decision();
                let names = self.names();
                let keys = names.iter().map(|name| ReleasedKey {
                    name: name.clone(),
                    version: self.small(),
                    commitment: self.digest(),
                });
                let (keys, asked) = if decision.is_accepted() {
                    (keys.collect(), Vec::new())
                } else {
                    (Vec::new(), names.clone())
                };
                Entry::Release(ReleaseEntry {
                    time,
                    decision,
                    enclave: self.text("iABZ09-._", 128),
                    session: SessionHash(self.bytes()),
                    evidence: self.evidence(),
                    boot_bundle: self.maybe(Self::number),
                    in_force: self.number(),
                    release: self.maybe(Self::printable),
                    keys,
                    asked,
                })
            }
            4 => {
                let decision = self.decision();
                let accepted = decision.is_accepted();
                let names = if accepted { self.names() } else { Vec::new() };
                let keys = names.into_iter().map(|name| KeyChange {
                    name,
                    version: self.small(),
                    state: KeyState::ALL[usize::try_from(self.below(4)).unwrap()],
                    commitment: self.digest(),
                });
                Entry::Administration(AdministrationEntry {
                    time,
                    decision,
                    keys: keys.collect(),
                    operation: Some(self.name()),
                    order: self.digest(),
                    evidence: self.evidence(),
                    requester: Some(PersonId(self.bytes())),
                    approvers: self.people(0),
                    root_key: if accepted {
                        self.maybe(|random| RootKeyId(random.bytes()))
                    } else {
                        None
                    },
                })
            }
            5 => Entry::Statement(StatementEntry {
                time,
                enclave: self.text("iABZ09-._", 128),
                boot: BootId(self.bytes()),
                session: SessionHash(self.bytes()),
                evidence: self.evidence(),
                accepted: self.number(),
                refused: self.number(),
                chain_head: self.digest(),
                bundle: self.digest(),
                submitter: self.maybe(|random| PersonId(random.bytes())),
            }),
            6 => {
                let names = self.names();
                let from = self.below(1000);
                Entry::Summary(SummaryEntry {
                    time,
                    counts: names
                        .into_iter()
                        .map(|name| (name, 1 + self.below(1 << 50)))
                        .collect(),
                    from,
                    to: from + self.below(1000),
                })
            }
            7 => Entry::Purge(PurgeEntry {
                time,
                before: self.number(),
                kinds: vec![EvidenceKind::Administration, EvidenceKind::Statement],
                count: self.number(),
            }),
            8 => Entry::Epoch(EpochEntry {
                time,
                old_origin: self.text("abc./-09", 255),
                old_size: self.number(),
                old_root: Hash(self.bytes()),
                bundle: self.digest(),
                version: self.number(),
                evidence: self.evidence(),
                signers: self.people(1),
            }),
            _ => {
                let from_size = self.below(1 << 50);
                Entry::Restore(RestoreEntry {
                    time,
                    from_size,
                    to_size: from_size + self.below(1000),
                    lost: self
                        .names()
                        .into_iter()
                        .map(|name| LostKey { name, version: 7 })
                        .collect(),
                })
            }
        }
    }
}

#[test]
fn random_entries_read_back() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..20_000 {
        let entry = random.entry();
        let leaf = entry
            .to_leaf()
            .unwrap_or_else(|error| panic!("{error}: {entry:?}"));
        assert_eq!(Entry::from_leaf(&leaf).unwrap(), entry);
    }
}

/// Cutting samples apart and gluing the pieces together: nothing panics, and what reads is canonical.
#[test]
fn spliced_entries_are_refused_or_canonical() {
    let leaves: Vec<_> = samples::all()
        .iter()
        .map(|entry| entry.to_leaf().unwrap())
        .collect();
    let mut random = Random(0x0123_4567_89ab_cdef);
    let mut pick = |length: usize| usize::try_from(random.below(length as u64)).unwrap();
    for _ in 0..200_000 {
        let (one, other) = (&leaves[pick(leaves.len())], &leaves[pick(leaves.len())]);
        let (end, start) = (pick(one.len()), pick(other.len()));
        let spliced = [&one[..end], &other[start..]].concat();
        if let Ok(entry) = Entry::from_leaf(&spliced) {
            assert_eq!(entry.to_leaf().unwrap(), spliced);
        }
    }
}
