//! Trees, stores and keys for tests.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding as _};
use narthex_ledger::{
    Checkpoint, EvidenceDigest, Frontier, Hash, HashSource, KeyKind, LogError, LogReason, LogStore,
    Resource, SignedNote, SigningKey, StoreError, TileBuilder, Trust, cosign, encode_entries,
    leaf_hash, root_of, sign_checkpoint,
};

/// SplitMix64: the same numbers in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.bits().to_be_bytes()[0]).collect()
    }
}

/// A tree whose leaves are all in memory.
pub(crate) struct Tree {
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) leaves: Vec<Hash>,
}

impl Tree {
    pub(crate) fn new(count: u64) -> Self {
        Self::of((0..count).map(|index| format!("entry {index}").into_bytes()))
    }

    pub(crate) fn of(entries: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let entries: Vec<Vec<u8>> = entries.into_iter().collect();
        let leaves = entries.iter().map(|entry| leaf_hash(entry)).collect();
        Self { entries, leaves }
    }

    pub(crate) fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    /// The root when the tree had `size` entries.
    pub(crate) fn root(&self, size: u64) -> Hash {
        let mut frontier = Frontier::new();
        for leaf in &self.leaves[..usize::try_from(size).unwrap()] {
            frontier.append(*leaf).unwrap();
        }
        frontier.root()
    }

    /// All tiles and bundles of the tree, as a log would serve them.
    pub(crate) fn store(&self) -> MemoryStore {
        let mut store = MemoryStore::default();
        let mut builder = TileBuilder::new();
        for leaf in &self.leaves {
            builder.append(*leaf).unwrap();
        }
        for (tile, bytes) in builder.take_changed() {
            store.0.insert(Resource::Tile(tile), bytes);
        }
        for (index, entries) in self.entries.chunks(256).enumerate() {
            let (index, width) = (index as u64, u16::try_from(entries.len()).unwrap());
            store.0.insert(
                Resource::Entries { index, width },
                encode_entries(entries).unwrap(),
            );
        }
        store
    }
}

impl HashSource for Tree {
    type Error = LogError;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, LogError> {
        let (begin, end) = (index << level, (index + 1) << level);
        self.leaves
            .get(usize::try_from(begin).unwrap()..usize::try_from(end).unwrap())
            .map(root_of)
            .ok_or_else(|| LogError::new(LogReason::Missing, "no such subtree"))
    }
}

/// A log in memory. Asking for anything under `EvidenceDigest([0xee; 48])` fails.
#[derive(Clone, Default)]
pub(crate) struct MemoryStore(pub(crate) BTreeMap<Resource, Vec<u8>>);

impl LogStore for MemoryStore {
    fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        if *resource == Resource::Evidence(EvidenceDigest([0xee; 48])) {
            return Err(StoreError::unavailable("the disk is gone"));
        }
        Ok(self.0.get(resource).cloned())
    }
}

pub(crate) const ORIGIN: &str = "log.example/narthex";

/// A log with witnesses `w0`, `w1`, …, any `quorum` of which are enough.
pub(crate) struct World {
    pub(crate) log: SigningKey,
    pub(crate) witnesses: Vec<SigningKey>,
    pub(crate) trust: Trust,
}

impl World {
    pub(crate) fn new(witnesses: usize, quorum: usize) -> Self {
        let log = SigningKey::generate(ORIGIN, KeyKind::Log).unwrap();
        let witnesses: Vec<SigningKey> = (0..witnesses)
            .map(|number| SigningKey::generate(&format!("w{number}"), KeyKind::Witness).unwrap())
            .collect();
        let trust = Trust::new(
            log.verifier_key(),
            witnesses.iter().map(SigningKey::verifier_key).collect(),
            quorum,
        )
        .unwrap();
        Self {
            log,
            witnesses,
            trust,
        }
    }

    /// The checkpoint of `tree` at `size`, cosigned by witnesses at times.
    pub(crate) fn checkpoint(&self, tree: &Tree, size: u64, times: &[(usize, u64)]) -> SignedNote {
        let head = Checkpoint {
            origin: self.log.name().to_owned(),
            size,
            root: tree.root(size),
        };
        let mut note = sign_checkpoint(&head, &self.log).unwrap();
        for (witness, time) in times {
            let line = cosign(&note, &self.witnesses[*witness], *time).unwrap();
            note.add(line).unwrap();
        }
        note
    }
}

/// What a refusal says, for comparing.
pub(crate) fn id<T: std::fmt::Debug>(result: Result<T, LogError>) -> &'static str {
    result.expect_err("this should have been refused").id()
}

/// Type byte and seed of a signing key's text.
pub(crate) fn seed(text: &str) -> Vec<u8> {
    Base64::decode_vec(text.splitn(5, '+').last().unwrap()).unwrap()
}
