//! Why something was refused: one closed list for the whole crate.
//!
//! A [`Refusal`] is a [`Reason`] plus words for the person who sits in front of the command. Only
//! [`Reason::id`] may leave an enclave or a service: the words can quote names and times from the
//! files that were judged.

use core::fmt;

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $id:literal,)*) => {
        /// Every way this crate says no. The text of [`Reason::id`] is stable.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// All reasons, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable id: `[a-z0-9_.]`, at most 64 bytes.
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }
        }
    };
}

reasons! {
    /// A file is larger than its kind may be.
    FileTooLarge = "file.too_large",
    /// A file is not UTF-8, not TOML, or lacks, repeats or adds a field.
    FileMalformed = "file.malformed",
    /// The `schema` of a file is not the one expected in its place.
    FileSchema = "file.schema",
    /// A file speaks about another project.
    FileProject = "file.project",
    /// More signatures came with a file than are ever looked at.
    FileTooManySignatures = "file.too_many_signatures",
    /// A time is not RFC 3339 in UTC, to the millisecond.
    TimeMalformed = "time.malformed",
    /// A duration is not a whole number of `s`, `m`, `h` or `d`.
    DurationMalformed = "duration.malformed",
    /// A name of a person, role, key or release has the wrong form.
    NameMalformed = "name.malformed",
    /// A digest, PCR value or other hexadecimal field has the wrong form or length.
    HexMalformed = "hex.malformed",

    /// The armour or the blob inside is not an SSHSIG version 1 signature.
    SignatureMalformed = "signature.malformed",
    /// The signature was made for another purpose (namespace).
    SignatureNamespace = "signature.namespace",
    /// The message was hashed with something else than SHA-256 or SHA-512.
    SignatureHash = "signature.hash",
    /// The key or signature algorithm is not accepted (RSA, DSA, certificates, WebAuthn, others).
    SignatureAlgorithm = "signature.algorithm",
    /// No person who may sign this holds the key.
    SignatureUnknownSigner = "signature.unknown_signer",
    /// The security key signed for another application than the one approved.
    SignatureApplication = "signature.application",
    /// The security key was not touched.
    SignaturePresence = "signature.presence",
    /// The security key did not verify its user (PIN or fingerprint), and this person must.
    SignatureVerification = "signature.verification",
    /// The signature does not hold over these bytes.
    SignatureInvalid = "signature.invalid",

    /// A public key is unreadable, of a refused algorithm, weak, or has a refused application.
    KeyUnusable = "person.key",
    /// A person must touch or verify, but has a key that can prove neither.
    PersonRequirement = "person.requirement",
    /// Two people hold the same key, or one person lists it twice.
    PersonSharedKey = "person.shared_key",
    /// Two people have the same name.
    PersonDuplicate = "person.duplicate",
    /// A name is used that no `[[person]]` bears.
    PersonUnknown = "person.unknown",
    /// A stop statement names this person, or the key that was used.
    PersonStopped = "person.stopped",

    /// Fewer distinct people, with distinct keys, signed the bundle than the threshold asks for.
    BundleUnderSigned = "bundle.under_signed",
    /// The reviewers change, and the new reviewers' own threshold is not reached.
    BundleUnderSignedByNew = "bundle.under_signed_by_new",
    /// The bundle is older than the one already accepted, or the same version with other content.
    BundleRolledBack = "bundle.rolled_back",
    /// The version is not exactly one more than that of the bundle in force.
    BundleVersionSkipped = "bundle.version_skipped",
    /// The previous bundle's digest is missing, superfluous or another one.
    BundlePrevious = "bundle.previous",
    /// The bundle's last day is over.
    BundleExpired = "bundle.expired",
    /// The bundle was issued in the future.
    BundleNotYetValid = "bundle.not_yet_valid",
    /// The bundle would live longer than bundles may, or ends before it begins.
    BundleLifetime = "bundle.lifetime",
    /// `previous_accepted_until` lies outside its bounds.
    BundlePreviousAccepted = "bundle.previous_accepted",
    /// The version is below what the measured image demands.
    BundleBelowMinimum = "bundle.below_minimum",
    /// No bundle at all was given.
    BundleMissing = "bundle.missing",
    /// The first bundle is not the one whose digest was fixed.
    BundleGenesis = "bundle.genesis",
    /// A threshold is below what its kind allows or above the number of people.
    BundleThreshold = "bundle.threshold",
    /// A rule says nothing: an empty list, or a role without a permission.
    BundleEmptyRule = "bundle.empty_rule",
    /// A list names the same thing twice.
    BundleDuplicate = "bundle.duplicate",
    /// A role is used that no `[[role]]` defines.
    BundleUnknownRole = "bundle.unknown_role",
    /// A write action, or an operation that loses or widens something, has no `[[approval]]`.
    BundleWithoutApproval = "bundle.without_approval",
    /// An `[[approval]]` row can never be fulfilled.
    BundleApprovalImpossible = "bundle.approval_impossible",
    /// A number or duration lies outside its bounds.
    BundleBound = "bundle.bound",
    /// The ledger section has a malformed or repeated key, or a quorum that its witnesses cannot
    /// reach, or none without saying so.
    BundleLedger = "bundle.ledger",
    /// The bundle before has a log, and this one has none.
    BundleLedgerRemoved = "bundle.ledger_removed",
    /// The ledger's salt is not that of the bundle before.
    BundleLedgerSalt = "bundle.ledger_salt",
    /// The list of previous logs does not follow from the bundle before: an entry was changed,
    /// removed or added without a new log, or the log before a new one is not named.
    BundleLedgerPrevious = "bundle.ledger_previous",
    /// Neither the bundle's log nor one before it is the log that the measured image demands.
    BundleOtherLog = "bundle.other_log",
    /// A key rule names neither PCR3 nor PCR4 and does not say `insecure_any_account`.
    BundleKeyAnyAccount = "bundle.key_any_account",
    /// An expected PCR is all zero.
    BundleZeroPcr = "bundle.zero_pcr",
    /// An enclave booted with a bundle that is neither newest, nor still accepted, nor succeeded.
    BundleNotInForce = "bundle.not_in_force",

    /// Fewer distinct people than some release authority asks for signed the statement.
    ReleaseUnderSigned = "release.under_signed",
    /// Those who signed may not speak for this release name.
    ReleaseName = "release.name",
    /// The serial does not rise above that of the statement already known.
    ReleaseRolledBack = "release.rolled_back",
    /// The release statement has expired.
    ReleaseExpired = "release.expired",
    /// The release statement was issued in the future.
    ReleaseNotYetValid = "release.not_yet_valid",
    /// The release statement would live longer than it may, or ends before it begins.
    ReleaseLifetime = "release.lifetime",
    /// PCR0, PCR1 or PCR2 is missing: PCR0 alone was a finding elsewhere.
    ReleasePartialPcrs = "release.partial_pcrs",
    /// A PCR of the statement or of the enclave is all zero (debug mode).
    ReleaseZeroPcr = "release.zero_pcr",
    /// A statement names neither a release manifest nor says that its numbers were given by hand, or
    /// it does both.
    ReleaseProvenance = "release.provenance",
    /// No release statement has these measurements.
    ReleaseUnknown = "release.unknown",
    /// The newest statement on this release says that it is revoked.
    ReleaseRevoked = "release.revoked",
    /// A stop statement names this release.
    ReleaseStopped = "release.stopped",
    /// Fewer distinct people than some release authority asks for signed the release manifest.
    ManifestUnderSigned = "manifest.under_signed",
    /// Those who signed the release manifest may not speak for this release name.
    ManifestName = "manifest.name",
    /// There is no room for another release.
    ReleaseTooMany = "release.too_many",

    /// Fewer distinct people than the bundle asks for signed the stop statement.
    StopUnderSigned = "stop.under_signed",
    /// The stop statement names nothing.
    StopEmpty = "stop.empty",
    /// The stop statement was issued in the future.
    StopNotYetValid = "stop.not_yet_valid",
    /// There is no room for another stop statement.
    StopTooMany = "stop.too_many",

    /// The policy has no rule for this key.
    KeyUnknown = "key.unknown",
    /// A stop statement names this key.
    KeyStopped = "key.stopped",
    /// The enclave's release is not one that may have this key.
    KeyRelease = "key.release",
    /// The enclave's release has a status that may not have this key.
    KeyReleaseStatus = "key.release_status",
    /// Neither PCR3 nor PCR4 of the enclave is one that the key rule names.
    KeyAccount = "key.account",

    /// The order is not valid any more.
    OrderExpired = "order.expired",
    /// The order is not valid yet.
    OrderNotYetValid = "order.not_yet_valid",
    /// The order would be valid for longer than it may, or ends before it begins.
    OrderLifetime = "order.lifetime",
    /// An order lists no or too many actions, enclaves or calls, or mixes read and write.
    OrderContent = "order.content",
    /// The order names another enclave.
    OrderWrongEnclave = "order.wrong_enclave",
    /// The order names another boot of this enclave.
    OrderWrongBoot = "order.wrong_boot",
    /// The order is not signed by the person it names as requester.
    OrderNotRequester = "order.not_requester",
    /// The requester has no role that allows what the order asks for.
    OrderRole = "order.role",
    /// Fewer distinct approvers than the policy asks for approved the order.
    OrderUnderApproved = "order.under_approved",
    /// An approval by the requester is what is missing to the threshold, and it never counts.
    OrderSelfApproval = "order.self_approval",
    /// The delay that the policy asks for is not over.
    OrderDelay = "order.delay",
    /// The parameters are missing, superfluous or out of bounds for the action.
    OrderParameters = "order.parameters",
    /// The order was used before. Given by the key service, whose durable marks know it.
    OrderReused = "order.reused",
    /// The table of used orders is full of orders that are still valid.
    OrderTableFull = "order.table_full",

    /// The bytes of a call are not the canonical encoding of a call.
    CallMalformed = "call.malformed",
    /// The call names another order.
    CallOrder = "call.order",
    /// The call was signed for another session.
    CallSession = "call.session",
    /// The order does not cover the action of the call.
    CallAction = "call.action",
    /// The call's parameters are not those of the order, or not allowed for the action.
    CallParameters = "call.parameters",
    /// The call's counter is at or above the number of calls that the order allows.
    CallCounter = "call.counter",
    /// The counter was used before, under this order, since this boot.
    CallCounterReused = "call.counter_reused",

    /// The header or the ticket of somebody who wants to read the log has another form.
    TicketMalformed = "ticket.malformed",
    /// The ticket is for another log.
    TicketOrigin = "ticket.origin",
    /// The ticket has expired.
    TicketExpired = "ticket.expired",
    /// The ticket would be valid for longer than tickets may.
    TicketLifetime = "ticket.lifetime",
    /// The ticket's reader is not who signed it, or may not read the log.
    TicketNotReader = "ticket.not_reader",

    /// A private key for signing is unreadable, encrypted or of an unsupported kind.
    SigningKey = "signing.key",
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.id())
    }
}

/// A [`Reason`] with its circumstances in words for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    reason: Reason,
    detail: String,
}

impl Refusal {
    /// Puts `reason` and words about what was expected and what was found together.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }

    /// Why, as a value to compare with.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// Why, as the stable text that may be shown to a peer.
    pub const fn id(&self) -> &'static str {
        self.reason.id()
    }

    /// What was expected and found, for the person at the command. Never sent to a peer: it may
    /// quote the files that were judged.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Prefixes the detail with where in a file it happened.
    pub(crate) fn within(mut self, place: &str) -> Self {
        self.detail = format!("{place}: {}", self.detail);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.reason.id(), self.detail)
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_plain_and_distinct() {
        let mut seen = std::collections::BTreeSet::new();
        for reason in Reason::ALL {
            let id = reason.id();
            assert!(!id.is_empty() && id.len() <= 64);
            assert!(
                id.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.".contains(&b))
            );
            assert!(seen.insert(id), "{id} twice");
        }
    }
}
