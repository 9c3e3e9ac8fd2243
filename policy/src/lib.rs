//! Policy of Narthex: who may do what, decided by several people, checked from bytes.
//!
//! What this crate proves: a bundle in force was signed by enough distinct reviewers with distinct
//! keys and follows the one before; a release, a stop, an order, an approval, a call was signed by
//! somebody the bundle lets do so, for this purpose, this project, this enclave and this session,
//! in time. It does not prove that anybody saw it: that is the log's part. Files and formats are
//! shown in `README.md`.
//!
//! The steps a caller takes:
//!
//! 1. Make a [`Policy`]: [`Policy::from_anchor`] in an enclave, [`Policy::from_genesis`] and
//!    [`Policy::from_history`] in a service, [`Policy::from_lineage`] for a person with a directory.
//! 2. Feed it what arrives: [`Policy::succeed`], [`Policy::add_release`], [`Policy::add_stop`].
//!    Nothing changes on refusal.
//! 3. Ask: [`Policy::authorise_key`]; [`Policy::admit_order`] where orders are logged;
//!    [`Policy::authorise_order`], then [`Policy::authorise_call`], then [`UsedCalls::claim`] where
//!    they are carried out; [`Policy::authorise_administration`]; [`Policy::authorise_reader`].
//!
//! Each answer is a type that only the check can make, and what acts takes that type:
//!
//! ```compile_fail
//! let call = narthex_policy::FreshCall(todo!()); // Private: only `UsedCalls::claim` makes it.
//! ```
//!
//! ```compile_fail
//! fn act(call: narthex_policy::FreshCall) {}
//! fn hasty(call: narthex_policy::AuthorisedCall) { act(call) } // Not known to be the first.
//! ```
//!
//! ```compile_fail
//! let policy = narthex_policy::Policy::default(); // There is no policy without signatures.
//! ```
//!
//! ```compile_fail
//! let grant = narthex_policy::KeyGrant { ..todo!() }; // Only `Policy::authorise_key` makes it.
//! ```
//!
//! Every refusal is a [`Refusal`]: a closed [`Reason`] with a stable id, and words for people. No
//! clock, file, socket or random source is used, except that [`SigningKey::generate_ed25519`] asks
//! the operating system for a key.

#![forbid(unsafe_code)]

mod action;
mod administration;
mod anchor;
mod bundle;
mod call;
mod counters;
mod diff;
mod digest;
mod file;
mod ledger;
mod lint;
mod names;
mod order;
mod person;
mod policy;
mod reason;
mod release;
mod sign;
mod signature;
mod stop;
mod tally;
mod template;
mod ticket;
mod time;
mod used_calls;
mod verifier_key;
mod wire;

pub use action::{Action, ActionKind};
pub use administration::{
    ADMINISTRATION_ORDER_SCHEMA, AdministrationOrder, KeyOperation, KeyOperationKind,
};
pub use anchor::{MIN_THRESHOLD, TrustAnchor};
pub use bundle::{
    AccountRule, Approval, BUNDLE_SCHEMA, Bundle, CLOCK_SKEW, DEFAULT_DOCUMENT_AGE, KeyCommitment,
    KeyRule, KeyServiceIdentity, KeyShares, MAX_BUNDLE_LIFETIME, MAX_DELAY, MAX_DOCUMENT_AGE,
    MAX_PREVIOUS_ACCEPTED, ReleaseAuthority, Review, Role, StopAuthority,
};
pub use call::{Call, MAX_GRACE_SECONDS, Parameters, SignedCall};
pub use counters::{DeclaredCounter, bits_per_minute};
pub use diff::{Change, ChangeKind, Effect, diff};
pub use digest::{BootId, Digest384, LedgerSalt, Pcr, SessionHash, StaticKey};
pub use file::{SignedFile, limits};
pub use ledger::{Ledger, MAX_WITNESSES, PreviousEpoch};
pub use lint::{Finding, Severity, lint, lint_counters};
pub use names::{
    KeyName, NamePattern, PersonName, ProjectName, ReleaseName, ReleaseVersion, RoleName,
};
pub use order::{
    MAX_CALLS, MAX_READ_ORDER_LIFETIME, MAX_TARGETS, MAX_WRITE_ORDER_LIFETIME, Order, OrderHead,
    READ_ORDER_SCHEMA, ReadOrder, SignedOrder, Targets, WRITE_ORDER_SCHEMA, WriteOrder,
};
pub use person::{Fingerprint, Person, PersonKey, Requirement};
pub use policy::{
    AdministrationContext, AdmittedOrder, ApprovedManifest, AuthorisedAdministration,
    AuthorisedCall, AuthorisedOrder, AuthorisedReader, HistoryEntry, KeyClaim, KeyGrant, Logged,
    OrderContext, Policy, Succession,
};
pub use reason::{Reason, Refusal};
pub use release::{
    MAX_RELEASE_LIFETIME, Measurements, Provenance, RELEASE_SCHEMA, Release, ReleaseStatus,
};
pub use sign::SigningKey;
pub use signature::{Namespace, Signer};
pub use stop::{STOP_SCHEMA, Stop, StoppedRelease};
pub use template::{InitialBundle, InitialLedger, NamedKeys, draft_successor};
pub use ticket::{MAX_READER_TICKET_LIFETIME, READER_TICKET_SCHEMA, ReaderTicket, SignedTicket};
pub use time::{UnixMillis, format_duration, parse_duration};
pub use used_calls::{FreshCall, UsedCalls};
pub use verifier_key::{VerifierKey, VerifierKind};

#[cfg(test)]
mod tests;
