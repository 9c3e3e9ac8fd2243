//! Why the service says no: one closed list of its own reasons.
//!
//! Reasons about documents come from `narthex-verifier`, reasons about policies, orders and signatures
//! from `narthex-policy`; these here are about requests, sessions, stored keys and storage. Only the id
//! leaves the service. `docs/reasons.md` explains each to people.

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $id:literal,)*) => {
        /// A reason of the key service itself. The text of [`Reason::id`] is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// All reasons, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable id: `[a-z0-9_.]`, at most 64 bytes.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }
        }
    };
}

reasons! {
    /// A second request in one session: one request is answered for each handshake hash.
    SessionUsed = "session.used",
    /// The request is not the message that belongs here.
    RequestMalformed = "request.malformed",
    /// The request is of a version or suite that this service does not speak.
    RequestVersion = "request.version",
    /// The request asks for no key.
    RequestEmpty = "request.empty",
    /// The request asks for the same key twice.
    RequestDuplicateKey = "request.duplicate_key",
    /// The one-time key that the answer would be sealed to is unusable.
    RequestRecipientKey = "request.recipient_key",
    /// The session statement inside the request is not one.
    StatementMalformed = "statement.malformed",
    /// The session statement names another enclave than the document.
    StatementOtherEnclave = "statement.other_enclave",
    /// The session statement names another boot bundle than PCR16 does.
    StatementOtherBundle = "statement.other_bundle",
    /// The agent says that it acts without the log: it gets no key.
    StatementWithoutLog = "statement.without_log",
    /// The document shows no PCR16: the enclave did not lock itself to a policy.
    BundleAbsent = "bundle.pcr16_absent",
    /// PCR16 is that of no bundle of this lineage.
    BundleUnknown = "bundle.pcr16_unknown",

    /// No key of this name is stored.
    KeyNotStored = "key.not_stored",
    /// The key has no such version.
    KeyNoSuchVersion = "key.no_such_version",
    /// The key, or every version of it that could be released, is disabled.
    KeyDisabled = "key.disabled",
    /// The key came from a backup, and nobody has enabled it since.
    KeyRestored = "key.restored",
    /// The key is retired: its material is destroyed.
    KeyRetired = "key.retired",
    /// The bundle in force commits to other versions of this key, but not to this one.
    KeyNotCommitted = "key.not_committed",
    /// The bundle in force commits to another key under this name and version.
    KeyCommitment = "key.commitment",
    /// A key of this name is stored already.
    KeyExists = "key.exists",
    /// The key is in that state already.
    KeyState = "key.state",
    /// There is no room for another key.
    KeyTooMany = "key.too_many",

    /// The version that is to be imported is not 1 or the one after the newest.
    KeyVersionOrder = "key.version_order",

    /// The operation needs a payload, and none came.
    PayloadMissing = "administration.payload_missing",
    /// The operation takes no payload, and one came.
    PayloadUnexpected = "administration.payload_unexpected",
    /// The key to import is empty or longer than 4096 bytes.
    ImportLength = "import.length",
    /// The key to import is not the one that the order commits to.
    ImportCommitment = "import.commitment",
    /// The answer would not fit into one message.
    AnswerTooLarge = "answer.too_large",

    /// The backup is not the one that the order names.
    BackupDigest = "backup.digest",
    /// The backup is not one, or is damaged.
    BackupMalformed = "backup.malformed",
    /// The backup was made under another genesis bundle.
    BackupForeign = "backup.foreign",
    /// The root key that the backup was made under is not in the root key file.
    BackupRootKey = "backup.root_key",
    /// Somebody altered the backup.
    BackupAltered = "backup.altered",
    /// The backup holds another key under a name and version that is stored here.
    BackupConflict = "backup.conflict",

    /// Too few of the witnesses that the bundle names have seen the log as it is.
    LogQuorum = "log.quorum",

    /// A stored row is not what this service wrote.
    StorageRowAltered = "storage.row_altered",
    /// The disk or the configured size of the database is full.
    StorageFull = "storage.full",
    /// The database failed; nothing is decided until the service is started again.
    StorageUnavailable = "storage.unavailable",
    /// A row names a root key that is not in the root key file.
    StorageRootKey = "storage.root_key",
    /// The root key file could not be written.
    StorageRootKeyFile = "storage.root_key_file",
    /// Too much is going on at once.
    ServiceBusy = "service.busy",
    /// The service is being stopped.
    ServiceStopping = "service.stopping",
    /// The service failed in itself; its log says how.
    ServiceInternal = "service.internal",
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_plain_and_distinct() {
        let mut seen = std::collections::BTreeSet::new();
        for reason in Reason::ALL {
            let id = reason.id();
            assert!(!id.is_empty() && id.len() <= 64);
            assert!(id.bytes().all(|byte| byte.is_ascii_lowercase()
                || byte.is_ascii_digit()
                || b"_.".contains(&byte)));
            assert!(seen.insert(id), "{id} twice");
        }
    }

    #[test]
    fn the_page_for_people_lists_every_reason() {
        let page = include_str!("../docs/reasons.md");
        for reason in Reason::ALL {
            assert!(page.contains(&format!("| `{}` |", reason.id())), "{reason}");
        }
    }
}
