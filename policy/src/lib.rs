//! Policy of Narthex: who may do what, decided by several people and checked from bytes.
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
mod time;
mod used_calls;
mod wire;

pub use action::{Action, ActionKind};
pub use administration::{
    ADMINISTRATION_ORDER_SCHEMA, AdministrationOrder, KeyOperation, KeyOperationKind,
};
pub use anchor::{MIN_THRESHOLD, TrustAnchor};
pub use bundle::{
    AccountRule, Approval, BUNDLE_SCHEMA, Bundle, CLOCK_SKEW, DEFAULT_DOCUMENT_AGE, KeyCommitment,
    KeyRule, KeyServiceIdentity, MAX_BUNDLE_LIFETIME, MAX_DELAY, MAX_DOCUMENT_AGE,
    MAX_PREVIOUS_ACCEPTED, ReleaseAuthority, Review, Role, StopAuthority,
};
pub use call::{Call, MAX_GRACE_SECONDS, Parameters, SignedCall};
pub use counters::{DeclaredCounter, bits_per_minute};
pub use diff::{Change, ChangeKind, Effect, diff};
pub use digest::{BootId, Digest384, Pcr, SessionHash, StaticKey};
pub use file::{SignedFile, limits};
pub use ledger::{Ledger, VerifierKey};
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
    AdministrationContext, AuthorisedAdministration, AuthorisedCall, AuthorisedOrder, HistoryEntry,
    KeyClaim, KeyGrant, OrderContext, Policy, Succession,
};
pub use reason::{Reason, Refusal};
pub use release::{MAX_RELEASE_LIFETIME, Measurements, RELEASE_SCHEMA, Release, ReleaseStatus};
pub use sign::SigningKey;
pub use signature::{Namespace, Signer};
pub use stop::{STOP_SCHEMA, Stop, StoppedRelease};
pub use tally::Tally;
pub use template::{InitialBundle, NamedKeys, draft_successor};
pub use time::{UnixMillis, format_duration, parse_duration};
pub use used_calls::{FreshCall, UsedCalls};

#[cfg(test)]
mod tests;
