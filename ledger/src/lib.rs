//! The transparency log of Narthex, in the formats of C2SP and with the trees of RFC 6962.
//!
//! A log is a list of entries that only grows. Its head, a checkpoint, is signed by the log and
//! cosigned by witnesses that saw it grow; whoever holds one can have every entry proved and
//! notices when anything is changed, left out or shown differently to somebody else. What this
//! crate does not do is believe: bytes come in, and either follow from signatures of keys that the
//! caller trusts, or are refused.
//!
//! - *Hashes*: [`leaf_hash`], [`node_hash`], [`Frontier`], [`TileBuilder`];
//!   [`prove_inclusion`] and [`prove_consistency`] over any [`HashSource`];
//!   [`verify_inclusion`] and [`verify_consistency`].
//! - *Signatures*: [`SignedNote`], [`VerifierKey`], [`SigningKey`], [`sign_checkpoint`], [`cosign`].
//! - *Trust*: [`Trust`] says which logs, which witnesses and how many; [`Trust::check`] makes a
//!   [`TrustedCheckpoint`], and [`Proof::verify`] one that contains a certain entry.
//! - *Witnessing*: [`AddCheckpoint`] is what a witness is asked, [`judge_add_checkpoint`] how it
//!   decides.
//! - *Reading*: a [`LogStore`] gives out [`Resource`]s; [`TileReader`] and [`LogReader`] check
//!   them.
//! - *Content*: [`Entry`], [`Evidence`], [`PersonId`]; `ENTRIES.md` describes them.
//!
//! `README.md` lists the formats, clause by clause, and where we are stricter.
//!
//! ```
//! use narthex_ledger::{
//!     Checkpoint, Frontier, KeyKind, Proof, SigningKey, Trust, cosign, leaf_hash, sign_checkpoint,
//! };
//!
//! # fn main() -> Result<(), narthex_ledger::LogError> {
//! let log = SigningKey::generate("log.example/payments", KeyKind::Log)?;
//! let witness = SigningKey::generate("witness.example", KeyKind::Witness)?;
//! let trust = Trust::new(log.verifier_key(), vec![witness.verifier_key()], 1)?;
//!
//! let mut tree = Frontier::new();
//! tree.append(leaf_hash(b"the first entry"))?;
//! let head = Checkpoint { origin: log.name().into(), size: tree.size(), root: tree.root() };
//! let mut note = sign_checkpoint(&head, &log)?;
//! let proof = Proof { extra: None, index: 0, hashes: vec![], checkpoint: note.clone() };
//! let refusal = proof.verify(b"the first entry", &trust).unwrap_err();
//! assert_eq!(refusal.id(), "log.quorum"); // The log alone is not enough.
//!
//! note.add(cosign(&note, &witness, 1_800_000_000)?)?;
//! let proof = Proof { checkpoint: note, ..proof };
//! let trusted = Proof::parse(&proof.to_string())?.verify(b"the first entry", &trust)?;
//! assert_eq!(trusted.seen_at(), Some(1_800_000_000));
//!
//! let refusal = proof.verify(b"another entry", &trust).unwrap_err();
//! assert_eq!(refusal.id(), "log.inclusion");
//! # Ok(())
//! # }
//! ```
//!
//! A checkpoint that was checked has a type that only the check can make:
//!
//! ```compile_fail
//! fn act(head: narthex_ledger::TrustedCheckpoint) {}
//! fn hasty(head: narthex_ledger::Checkpoint) { act(head) } // Nobody has checked a signature.
//! ```
//!
//! Every refusal is a [`LogError`]: a closed [`LogReason`] with a stable id, and words for people.
//! Without features nothing here opens a file or a socket or reads a clock; only
//! [`SigningKey::generate`] asks the operating system for a random key. Everything that is read
//! has a bound, and nothing recurses deeper than entries nest: five objects or lists.
//!
//! # Features
//!
//! - `folder`: `Folder`, a log in files, in the layout of the HTTP paths.
//! - `tokio`: the thin shell with sockets, in the module `tokio`.
//! - `mock`: a whole log made at once, for tests. Never in what ships.

#![forbid(unsafe_code)]

mod bytes;
mod checkpoint;
mod cosignature;
mod digest;
mod entry;
mod error;
mod evidence;
#[cfg(feature = "folder")]
mod folder;
mod hash;
mod key;
mod merkle;
#[cfg(feature = "mock")]
pub mod mock;
mod note;
mod person;
mod proof;
mod reader;
mod store;
mod tile;
#[cfg(feature = "tokio")]
pub mod tokio;
mod trust;
mod witness;

pub use bytes::{BootId, Digest384, RootKeyId, Salt, SessionHash};
pub use checkpoint::{Checkpoint, MAX_SIZE, sign_checkpoint};
pub use cosignature::cosign;
pub use digest::EvidenceDigest;
pub use entry::{
    AdministrationEntry, CurrentEntry, CurrentExtra, Decision, Entry, EntryKind, EpochEntry,
    KeyChange, KeyState, LostKey, MAX_EXTRA, OrderEntry, OrderExtra, OrderFacts, OrderKind,
    OrderScope, Outcome, PolicyEntry, PolicyFile, PolicyFileKind, PurgeEntry, ReleaseEntry,
    ReleaseExtra, ReleaseFacts, ReleasedKey, RestoreEntry, StatementEntry, SummaryEntry,
};
pub use error::{LogError, LogReason};
pub use evidence::{Evidence, EvidenceKind, MAX_EVIDENCE, MAX_EVIDENCE_PARTS, SaltedEvidence};
#[cfg(feature = "folder")]
pub use folder::Folder;
pub use hash::{Hash, empty_root, leaf_hash, node_hash};
pub use key::{KeyKind, SigningKey, VerifierKey};
pub use merkle::{
    Frontier, HashSource, MAX_PROOF, prove_consistency, prove_inclusion, root_of,
    verify_consistency, verify_inclusion,
};
pub use note::{MAX_NAME, MAX_NOTE, MAX_SIGNATURES, NoteSignature, SignedNote};
pub use person::PersonId;
pub use proof::{MAX_PROOF_TEXT, Proof};
pub use reader::{LogEntries, LogReader, MAX_THREADS, VerifiedLog};
pub use store::{InEpoch, LogStore, StoreError, StoreErrorKind};
pub use tile::{
    MAX_ENTRY, MAX_LEVEL, MAX_PATH, Resource, TILE_WIDTH, Tile, TileBuilder, TileReader,
    bundles_of, encode_entries, parse_entries, tile_at, tile_hashes, tiles_of,
};
pub use trust::{MAX_TRUSTED, Trust, TrustedCheckpoint, TrustedWitness};
pub use witness::{AddCheckpoint, MAX_REQUEST, Seen, WitnessAnswer, judge_add_checkpoint};
