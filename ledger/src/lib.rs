//! The transparency log of Narthex, in the formats of C2SP and with the trees of RFC 6962.
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
