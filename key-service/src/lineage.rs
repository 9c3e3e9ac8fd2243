//! The policy as the service holds it: the verified state, and the signed files it follows from.
//!
//! The files are in the database in the order in which they were accepted, each with the time at which it was
//! judged. At every start they are judged again, from the genesis on, each at its own time: what was
//! accepted once is accepted again, whatever has expired since, and nothing else is.

use std::sync::{Arc, PoisonError, RwLock};

use narthex_ledger::{Decision, Entry, Evidence, PersonId, PolicyEntry};
use narthex_policy::{Ledger, Namespace, Pcr, Policy, Release, SignedFile, Signer};

use crate::{
    clock::UnixMillis,
    digest::Digest,
    storage::{PolicyFile, PolicyFileKind, Record, SealedEvidence, StoreError},
};

/// A verified policy with everything it follows from. Never changes; a successor is a new value.
#[derive(Clone)]
pub struct Lineage {
    policy: Policy,
    count: u64,
    bundles: Vec<BundleEntry>,
    /// What pseudonyms are made with; the same in every bundle of a lineage.
    salt: [u8; 32],
}

/// An accepted bundle.
#[derive(Clone)]
pub struct BundleEntry {
    /// Its version.
    pub version: u64,
    /// SHA-384 of its bytes.
    pub digest: Digest,
    /// PCR16 of an enclave that booted with it.
    pub pcr16: Pcr,
    /// The file.
    pub file: Arc<PolicyFile>,
}

/// What a statement is about; bundles are offered otherwise, see [`Lineage::offer_bundles`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StatementKind {
    /// A release.
    Release,
    /// A stop.
    Stop,
}

impl From<StatementKind> for PolicyFileKind {
    fn from(kind: StatementKind) -> Self {
        match kind {
            StatementKind::Release => Self::Release,
            StatementKind::Stop => Self::Stop,
        }
    }
}

/// What became of a statement that was offered.
pub enum Offered {
    /// The service has it already, or a newer one in its place.
    Known,
    /// The policy that follows, and the file to store.
    Accepted {
        /// With the file.
        lineage: Box<Lineage>,
        /// The file.
        file: AcceptedFile,
    },
}

/// A file that the policy takes, and what the log will say about it.
#[derive(Clone, Debug)]
pub struct AcceptedFile {
    /// The file.
    pub file: PolicyFile,
    /// A bundle's version; name and version of a release; the serial of a stop.
    pub version: String,
    /// Whose signatures on it hold, by the policy before it or the one after. At least one person's.
    pub signers: Vec<PersonId>,
}

impl Lineage {
    /// Judges the stored files again, from the genesis on.
    ///
    /// # Errors
    ///
    /// What `narthex-policy` refuses. Rows are authenticated, so this means another version of the program.
    pub fn replay(files: &[PolicyFile]) -> Result<Self, narthex_policy::Refusal> {
        let missing = || {
            narthex_policy::Refusal::new(
                narthex_policy::Reason::BundleMissing,
                "the database holds no genesis",
            )
        };
        let (genesis, later) = files.split_first().ok_or_else(missing)?;
        let AcceptedGenesis { mut lineage, .. } = Self::begin(genesis)?;
        for file in later {
            lineage.judge(file)?;
            lineage.enter(file.clone());
        }
        Ok(lineage)
    }

    /// Judges a genesis at the time it was accepted.
    ///
    /// # Errors
    ///
    /// What `narthex-policy` refuses; `bundle.ledger` when it names no log.
    pub fn begin(genesis: &PolicyFile) -> Result<AcceptedGenesis, narthex_policy::Refusal> {
        let policy = Policy::from_lineage(
            &to_policy_digest(&genesis.digest()),
            &[signed(genesis)],
            to_policy_time(genesis.accepted),
        )?;
        let salt = policy
            .bundle()
            .ledger
            .as_ref()
            .map(|ledger| *ledger.salt.as_bytes())
            .ok_or_else(|| {
                narthex_policy::Refusal::new(
                    narthex_policy::Reason::BundleLedger,
                    "the bundle has no [ledger]; this service decides nothing without a log",
                )
            })?;
        let mut lineage = Self {
            policy,
            count: 0,
            bundles: Vec::new(),
            salt,
        };
        let file = AcceptedFile {
            file: genesis.clone(),
            version: lineage.policy.version().to_string(),
            signers: lineage.signers(&lineage.policy, genesis),
        };
        lineage.enter(genesis.clone());
        Ok(AcceptedGenesis { lineage, file })
    }

    /// Judges a release or stop statement that somebody offers.
    ///
    /// # Errors
    ///
    /// What `narthex-policy` refuses.
    pub fn offer(
        &self,
        kind: StatementKind,
        content: Vec<u8>,
        signatures: Vec<String>,
        now: UnixMillis,
    ) -> Result<Offered, narthex_policy::Refusal> {
        let kind = kind.into();
        let file = PolicyFile {
            position: 0,
            kind,
            content,
            signatures,
            accepted: now,
            entry: 0,
        };
        let digest = file.digest();
        if self.knows(kind, &digest) {
            return Ok(Offered::Known);
        }
        let mut lineage = self.clone();
        let file = match lineage.take(file.clone()) {
            Err(refusal) if self.is_superseded(&file, &refusal) => return Ok(Offered::Known),
            taken => taken?,
        };
        Ok(Offered::Accepted {
            lineage: Box::new(lineage),
            file,
        })
    }

    /// Whether this is a genuine release statement in whose place a newer one about the same release stands. People deliver
    /// whole folders, where the older ones lie too.
    fn is_superseded(&self, file: &PolicyFile, refusal: &narthex_policy::Refusal) -> bool {
        // Of its refusals this one is the last: signatures hold.
        if refusal.reason() != narthex_policy::Reason::ReleaseRolledBack {
            return false;
        }
        let Ok(older) = Release::parse_unverified(&file.content) else {
            return false;
        };
        self.policy.releases().any(|held| {
            (&held.name, &held.version) == (&older.name, &older.version)
                && held.serial > older.serial
        })
    }

    /// Judges a file, enters it, and says what there is to say about it.
    fn take(&mut self, file: PolicyFile) -> Result<AcceptedFile, narthex_policy::Refusal> {
        let before = self.policy.clone();
        let version = self.judge(&file)?;
        self.enter(file.clone());
        let mut signers = self.signers(&before, &file);
        signers.extend(self.signers(&self.policy, &file));
        signers.sort_unstable();
        signers.dedup();
        Ok(AcceptedFile {
            file,
            version,
            signers,
        })
    }

    fn signers(&self, policy: &Policy, file: &PolicyFile) -> Vec<PersonId> {
        let namespace = match file.kind {
            PolicyFileKind::Bundle => Namespace::Policy,
            PolicyFileKind::Release => Namespace::Release,
            PolicyFileKind::Stop => Namespace::Stop,
        };
        let mut signers: Vec<_> = policy
            .signers_of(&signed(file), namespace)
            .iter()
            .flatten()
            .map(|signer| self.person(signer))
            .collect();
        signers.sort_unstable();
        signers.dedup();
        signers
    }

    /// The pseudonym under which the log speaks about somebody.
    #[must_use]
    pub fn person(&self, signer: &Signer) -> PersonId {
        PersonId::of(&self.salt, signer.person.as_str())
    }

    /// What the bundle in force says about the log. Absent only if `narthex-policy` took a successor without, which
    /// it does not.
    #[must_use]
    pub fn ledger(&self) -> Option<&Ledger> {
        self.policy.bundle().ledger.as_ref()
    }

    /// Judges bundles that the service does not have, as a chain: one that has expired meanwhile is taken if another
    /// follows that has not. Returns the lineage with as many as hold, at least one, and their files; to learn
    /// what is wrong with the rest, offer it again.
    ///
    /// # Errors
    ///
    /// What `narthex-policy` refuses.
    pub fn offer_bundles(
        &self,
        bundles: &[SignedFile],
        now: UnixMillis,
    ) -> Result<(Self, Vec<AcceptedFile>), narthex_policy::Refusal> {
        let mut policy = self.policy.clone();
        let taken = policy.succeed_chain(bundles, to_policy_time(now))?.len();
        // Step by step once more, because each entry notes the version that its bundle brought.
        let mut lineage = self.clone();
        let mut files = Vec::with_capacity(taken);
        for SignedFile { bytes, signatures } in bundles.iter().take(taken).cloned() {
            let file = PolicyFile {
                position: 0,
                kind: PolicyFileKind::Bundle,
                content: bytes,
                signatures,
                accepted: now,
                entry: 0,
            };
            files.push(lineage.take(file)?);
        }
        Ok((lineage, files))
    }

    /// Whether a bundle with these bytes is in the lineage.
    #[must_use]
    pub fn knows_bundle(&self, content: &[u8]) -> bool {
        self.knows(PolicyFileKind::Bundle, &Digest::of(content))
    }

    /// Whether the policy holds this file. A release statement that a change of bundle dropped is not held.
    fn knows(&self, kind: PolicyFileKind, digest: &Digest) -> bool {
        let digest = to_policy_digest(digest);
        match kind {
            PolicyFileKind::Bundle => self.policy.version_of(&digest).is_some(),
            PolicyFileKind::Release => self.policy.releases().any(|known| known.digest == digest),
            PolicyFileKind::Stop => self.policy.stops().any(|known| known.digest == digest),
        }
    }

    /// Adds a file to the policy, and returns its version in words.
    fn judge(&mut self, file: &PolicyFile) -> Result<String, narthex_policy::Refusal> {
        let (signed, at) = (signed(file), to_policy_time(file.accepted));
        match file.kind {
            // Whether one may be in force now was decided when it was taken: one between two others may have
            // expired by then.
            PolicyFileKind::Bundle => {
                self.policy.replay_successor(&signed, at)?;
                Ok(self.policy.version().to_string())
            }
            PolicyFileKind::Release => {
                let release = self.policy.add_release(&signed, at)?;
                Ok(format!("{} {}", release.name, release.version))
            }
            PolicyFileKind::Stop => {
                self.policy.add_stop(&signed, at)?;
                let digest = to_policy_digest(&file.digest());
                let stop = self.policy.stops().find(|stop| stop.digest == digest);
                Ok(stop.map_or_else(|| "?".to_owned(), |stop| stop.serial.to_string()))
            }
        }
    }

    fn enter(&mut self, file: PolicyFile) {
        let file = Arc::new(file);
        if file.kind == PolicyFileKind::Bundle {
            let digest = file.digest();
            self.bundles.push(BundleEntry {
                version: self.policy.bundle().version,
                digest,
                pcr16: Pcr::of_boot_bundle(&to_policy_digest(&digest)),
                file: Arc::clone(&file),
            });
        }
        self.count += 1;
    }

    /// The verified policy.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// How many files there are; names this state of the policy.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Every accepted bundle, oldest first.
    #[must_use]
    pub fn bundles(&self) -> &[BundleEntry] {
        &self.bundles
    }

    /// The bundle that an enclave with this PCR16 booted with.
    #[must_use]
    pub fn bundle_of(&self, pcr16: &[u8]) -> Option<&BundleEntry> {
        self.bundles
            .iter()
            .rev()
            .find(|bundle| bundle.pcr16.as_bytes().as_slice() == pcr16)
    }
}

/// A lineage that begins.
pub struct AcceptedGenesis {
    /// With the genesis alone.
    pub lineage: Lineage,
    /// The genesis.
    pub file: AcceptedFile,
}

impl AcceptedFile {
    /// How an entry speaks about it, and its evidence.
    ///
    /// # Errors
    ///
    /// [`StoreError::Entry`] when it is too large to be evidence; [`StoreError::Cryptography`] when the operating
    /// system gives no random bytes.
    pub fn to_entry(&self) -> Result<(narthex_ledger::PolicyFile, SealedEvidence), StoreError> {
        let Self {
            file,
            version,
            signers,
        } = self;
        let evidence = Evidence::policy_file(&file.content, &file.signatures)?;
        let evidence = SealedEvidence::new(evidence)?;
        let entry = narthex_ledger::PolicyFile {
            kind: match file.kind {
                PolicyFileKind::Bundle => narthex_ledger::PolicyFileKind::Bundle,
                PolicyFileKind::Release => narthex_ledger::PolicyFileKind::Release,
                PolicyFileKind::Stop => narthex_ledger::PolicyFileKind::Stop,
            },
            sha384: narthex_ledger::Digest384(file.digest().0),
            version: version.clone(),
            evidence: evidence.digest(),
            signers: signers.clone(),
        };
        Ok((entry, evidence))
    }

    /// Files that one entry speaks about, whatever their signatures: it stays well under its bound of 65,535 bytes.
    pub const PER_ENTRY: usize = 32;

    /// The record that accepts these files together, at most [`Self::PER_ENTRY`].
    ///
    /// # Errors
    ///
    /// As [`Self::to_entry`].
    pub fn record(files: &[Self], now: UnixMillis) -> Result<Record, StoreError> {
        let (files, evidence) = files
            .iter()
            .map(Self::to_entry)
            .collect::<Result<(Vec<_>, Vec<_>), _>>()?;
        let entry = Entry::Policy(PolicyEntry {
            time: now.0,
            decision: Decision::Accepted,
            files,
        });
        Ok(Record { entry, evidence })
    }
}

/// The lineage in force, for everybody to read. Changed by the writer alone, between a commit and its
/// answers.
pub struct CurrentLineage(RwLock<Arc<Lineage>>);

impl CurrentLineage {
    /// Starts with this one.
    #[must_use]
    pub fn new(lineage: Lineage) -> Self {
        Self(RwLock::new(Arc::new(lineage)))
    }

    /// The one in force now.
    #[must_use]
    pub fn get(&self) -> Arc<Lineage> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another in force.
    pub fn set(&self, lineage: Lineage) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(lineage);
    }
}

fn signed(file: &PolicyFile) -> SignedFile {
    SignedFile {
        bytes: file.content.clone(),
        signatures: file.signatures.clone(),
    }
}

/// The policy crate's digest of the same bytes.
#[must_use]
pub fn to_policy_digest(digest: &Digest) -> narthex_policy::Digest384 {
    narthex_policy::Digest384(*digest.as_bytes())
}

/// The policy crate's time of the same moment.
#[must_use]
pub fn to_policy_time(time: UnixMillis) -> narthex_policy::UnixMillis {
    narthex_policy::UnixMillis(time.0)
}
