//! A whole log at once, signed and cosigned, in a folder: for tests of whatever reads logs.
//!
//! It does what a log and its witnesses do, and none of what makes them trustworthy: it signs whatever it is told.
//!
//! ```
//! use narthex_ledger::{CurrentEntry, Digest384, Entry, LogReader, mock::MockLog};
//!
//! # let directory = tempfile::tempdir()?;
//! let mut log = MockLog::create(directory.path(), "example.com/log", 2)?;
//! let current = CurrentEntry { time: 1_767_225_600_000, bundle: Digest384::of(b"bundle"), version: 1 };
//! let index = log.append(&Entry::Current(current))?;
//! log.publish(1_767_225_601)?;
//!
//! let proof = log.prove(index, Some(current.extra().to_bytes()?))?;
//! let leaf = CurrentEntry::accepted_leaf(&current.bundle, 1, &proof.extra.clone().unwrap())?;
//! proof.verify(&leaf, &log.trust(2)?)?;
//! assert_eq!(LogReader::open(log.folder(), &log.trust(2)?)?.size(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::PathBuf;

use crate::{
    Checkpoint, Decision, Digest384, Entry, EvidenceDigest, Folder, KeyKind, LogError, LogReader,
    LogReason, Proof, ReleaseEntry, ReleasedKey, Resource, SaltedEvidence, SessionHash, SignedNote,
    SigningKey, StoreError, TILE_WIDTH, TileBuilder, Trust, cosign, encode_entries, leaf_hash,
    sign_checkpoint,
};

/// A log that is being made.
pub struct MockLog {
    folder: Folder,
    key: SigningKey,
    witnesses: Vec<SigningKey>,
    tree: TileBuilder,
    /// The entries of the unfinished bundle.
    bundle: Vec<Vec<u8>>,
    /// How many earlier epochs there are.
    epochs: u32,
}

impl MockLog {
    /// An empty log with a new key, and new witnesses named `witness-0`, `witness-1`, …
    ///
    /// # Errors
    ///
    /// `log.key` if the origin cannot be a name, `log.unavailable` if the folder cannot be made.
    pub fn create(
        path: impl Into<PathBuf>,
        origin: &str,
        witnesses: usize,
    ) -> Result<Self, LogError> {
        let witnesses = (0..witnesses)
            .map(|number| SigningKey::generate(&format!("witness-{number}"), KeyKind::Witness))
            .collect::<Result<_, _>>()?;
        Self::with_keys(path, SigningKey::generate(origin, KeyKind::Log)?, witnesses)
    }

    /// An empty log with keys that are there.
    ///
    /// # Errors
    ///
    /// `log.unavailable` if the folder cannot be made.
    pub fn with_keys(
        path: impl Into<PathBuf>,
        key: SigningKey,
        witnesses: Vec<SigningKey>,
    ) -> Result<Self, LogError> {
        Ok(Self {
            folder: Folder::create(path)?.without_durability(),
            key,
            witnesses,
            tree: TileBuilder::new(),
            bundle: Vec::new(),
            epochs: 0,
        })
    }

    /// Appends an entry, and gives back its index.
    ///
    /// # Errors
    ///
    /// As [`Entry::to_leaf`] and [`MockLog::append_leaf`].
    pub fn append(&mut self, entry: &Entry) -> Result<u64, LogError> {
        self.append_leaf(&entry.to_leaf()?)
    }

    /// Appends whatever bytes, and gives back their index.
    ///
    /// # Errors
    ///
    /// `log.malformed` for more than 65,535 bytes, `log.unavailable` if a full bundle cannot be written.
    pub fn append_leaf(&mut self, leaf: &[u8]) -> Result<u64, LogError> {
        encode_entries(&[leaf])?;
        let index = self.tree.size();
        self.tree.append(leaf_hash(leaf))?;
        self.bundle.push(leaf.to_vec());
        if self.bundle.len() >= usize::from(TILE_WIDTH) {
            self.put_bundle()?;
            self.bundle.clear();
            for (tile, bytes) in self.tree.take_changed() {
                self.folder.put(&Resource::Tile(tile), &bytes)?;
            }
        }
        Ok(index)
    }

    /// Lays evidence beside the log.
    ///
    /// # Errors
    ///
    /// `log.unavailable` if it cannot be written.
    pub fn keep(&self, evidence: &SaltedEvidence) -> Result<EvidenceDigest, LogError> {
        let digest = evidence.digest();
        self.folder
            .put(&Resource::Evidence(digest), &evidence.to_bytes())?;
        Ok(digest)
    }

    /// Publishes what was appended, signed by the log and cosigned by every witness at `unix_seconds`.
    ///
    /// # Errors
    ///
    /// `log.unavailable` if it cannot be written.
    pub fn publish(&mut self, unix_seconds: u64) -> Result<SignedNote, LogError> {
        let times = vec![Some(unix_seconds); self.witnesses.len()];
        self.publish_cosigned(&times)
    }

    /// Publishes what was appended, signed by the log and cosigned by each witness at its own time; those with
    /// `None`, and those beyond the end of `times`, withhold their cosignatures.
    ///
    /// # Errors
    ///
    /// `log.unavailable` if it cannot be written.
    pub fn publish_cosigned(&mut self, times: &[Option<u64>]) -> Result<SignedNote, LogError> {
        if !self.bundle.is_empty() {
            self.put_bundle()?;
        }
        for (tile, bytes) in self.tree.take_changed() {
            self.folder.put(&Resource::Tile(tile), &bytes)?;
        }
        let mut note = sign_checkpoint(&self.checkpoint(), &self.key)?;
        for (witness, time) in self.witnesses.iter().zip(times) {
            if let Some(time) = time {
                note.add(cosign(&note, witness, *time)?)?;
            }
        }
        self.folder
            .put(&Resource::Checkpoint, note.to_string().as_bytes())?;
        Ok(note)
    }

    /// Ends this log, which must be published, and begins the next epoch with `key`: the tree moves to
    /// `epoch/<number>/`, evidence stays where it is. Gives back the number of the epoch that ended.
    ///
    /// # Errors
    ///
    /// `log.unavailable` if it cannot be moved.
    pub fn begin_epoch(&mut self, key: SigningKey) -> Result<u32, LogError> {
        let ended = self.epochs;
        let path = self.folder.path();
        let to = path.join("epoch").join(ended.to_string());
        let moved = std::fs::create_dir_all(&to)
            .and_then(|()| std::fs::rename(path.join("checkpoint"), to.join("checkpoint")))
            .and_then(|()| std::fs::rename(path.join("tile"), to.join("tile")));
        moved.map_err(|error| StoreError::unavailable(error.to_string()))?;
        self.key = key;
        self.tree = TileBuilder::new();
        self.bundle.clear();
        self.epochs = ended.saturating_add(1);
        Ok(ended)
    }

    /// A proof of entry `index` under the checkpoint that was published last.
    ///
    /// # Errors
    ///
    /// `log.missing` if there is no such entry there.
    pub fn prove(&self, index: u64, extra: Option<Vec<u8>>) -> Result<Proof, LogError> {
        LogReader::open_log_only(&self.folder, &self.trust(0)?)?.prove(index, extra)
    }

    /// Trust in this log as far as any `quorum` of its witnesses have seen it.
    ///
    /// # Errors
    ///
    /// `log.policy` if there are fewer witnesses.
    pub fn trust(&self, quorum: usize) -> Result<Trust, LogError> {
        let witnesses = self.witnesses.iter().map(SigningKey::verifier_key);
        Trust::new(self.key.verifier_key(), witnesses.collect(), quorum)
    }

    /// The tree as it is now, published or not.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint {
            origin: self.key.name().to_owned(),
            size: self.tree.size(),
            root: self.tree.root(),
        }
    }

    /// Where the log is.
    #[must_use]
    pub const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The log's key.
    #[must_use]
    pub const fn key(&self) -> &SigningKey {
        &self.key
    }

    /// The witnesses' keys.
    #[must_use]
    pub fn witnesses(&self) -> &[SigningKey] {
        &self.witnesses
    }

    fn put_bundle(&self) -> Result<(), LogError> {
        let width = u16::try_from(self.bundle.len())
            .map_err(|_| LogError::new(LogReason::Malformed, "a bundle too wide"))?;
        let index = self.tree.size().saturating_sub(1) / u64::from(TILE_WIDTH);
        let resource = Resource::Entries { index, width };
        Ok(self.folder.put(&resource, &encode_entries(&self.bundle)?)?)
    }
}

/// A release of one key, as most entries of a busy service are; another one for each number. Its evidence is nowhere.
#[must_use]
pub fn sample_release(number: u64) -> Entry {
    let digest = Digest384::of(&number.to_be_bytes());
    let mut session = [0; 32];
    for (to, from) in session.iter_mut().zip(digest.0) {
        *to = from;
    }
    Entry::Release(ReleaseEntry {
        time: 1_767_225_600_000_u64.saturating_add(number),
        decision: Decision::Accepted,
        enclave: "i-1234567890abcdef0-enc9876543210abcde".to_owned(),
        session: SessionHash(session),
        evidence: EvidenceDigest(digest.0),
        boot_bundle: Some(7),
        in_force: 7,
        release: Some("payments 1.4.2".to_owned()),
        keys: vec![ReleasedKey {
            name: "payments-db".to_owned(),
            version: 3,
            commitment: digest,
        }],
        asked: Vec::new(),
    })
}
