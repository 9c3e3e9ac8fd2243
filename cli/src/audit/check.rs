//! What is checked: one closed list with stable ids, each belonging to one claim.

use super::claim::Claim;

macro_rules! checks {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $claim:ident, $title:literal;)*) => {
        /// A check of the audit. The text of [`Check::id`] is stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub(crate) enum Check {
            $($(#[$doc])* $variant,)*
        }

        impl Check {
            /// All checks, claim by claim.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable id: `audit.` and `[a-z0-9_.]`.
            pub(crate) const fn id(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }

            /// The claim that it is about.
            pub(crate) const fn claim(self) -> Claim {
                match self {
                    $(Self::$variant => Claim::$claim,)*
                }
            }

            /// Whether it is about refusals.
            pub(crate) fn is_of_refusals(self) -> bool {
                self.id().starts_with("audit.refusal.")
            }

            /// What is tested, for people.
            pub(crate) const fn title(self) -> &'static str {
                match self {
                    $(Self::$variant => $title,)*
                }
            }
        }
    };
}

checks! {
    EnclaveMode = "audit.enclave.mode", C1, "Every enclave that got keys or spoke for itself ran outside debug mode";
    OrderActions = "audit.order.actions", C1, "Every accepted order names only actions of the closed list, and the entry says which";

    OrderScope = "audit.order.scope", C2, "Every accepted diagnostic order parses as the closed format, whose results have no room for content";

    ReleaseToEnclave = "audit.release.to_enclave", C3, "Keys went only to enclaves, each named by its own attestation document";
    AdministrationNoKey = "audit.administration.no_key", C3, "No administrative call is of a kind that hands out a key in the clear";

    PolicyGenesis = "audit.policy.genesis", C4, "The log begins with the first bundle, and it is the one that the reviewers named";
    PolicySignatures = "audit.policy.signatures", C4, "Every policy file was signed by enough of the right people, and follows the one before";
    PolicyEntry = "audit.policy.entry", C4, "Every entry about a policy file says what the file says, and who signed it";
    PolicyExpired = "audit.policy.expired", C4, "No bundle was put in force after it had expired";
    PolicyCurrent = "audit.policy.current", C4, "The bundle that the log names as current is the one that follows from its policy entries";
    PolicyDirectory = "audit.policy.directory", C4, "Your policy directory holds the same bundles as the log";

    KeyRecorded = "audit.key.recorded", C5, "Every version of a key entered the service through an order in the log, with one commitment that never changed";
    RootKeyOrder = "audit.key.root", C5, "Root keys changed only by approved orders";
    BackupOrder = "audit.key.backup", C5, "Backups left, and came back, only by orders";

    LogQuorum = "audit.log.quorum", C6, "Enough of the witnesses that the newest bundle names have cosigned the log";
    LogOlder = "audit.log.older", C6, "The log continues the checkpoints that you kept";
    LogTree = "audit.log.tree", C6, "Every entry hashes to what the signed tree says";
    LogEntry = "audit.log.entry", C6, "Every entry is written in the one form that entries have";
    LogTime = "audit.log.time", C6, "Times of entries rise, and none is later than the witnesses saw it";
    LogEpoch = "audit.log.epoch", C6, "Each epoch names the one before, as the reviewers signed it";
    LogRestore = "audit.log.restore", C6, "Whatever was lost when the service was restored is named, and was there before";
    EvidencePresent = "audit.evidence.present", C6, "All evidence is there, or an entry says that it was purged";
    EvidenceDigest = "audit.evidence.digest", C6, "All evidence that is there is what was recorded";
    StatementDocument = "audit.statement.document", C6, "Every session statement is bound by a genuine document of an enclave that the policy knows";
    StatementEntry = "audit.statement.entry", C6, "Every entry about a session statement says what the statement says";
    StatementChain = "audit.statement.chain", C6, "The decisions of each enclave only grow from statement to statement";
    StatementOnce = "audit.statement.once", C6, "No session's statement was recorded twice";
    StatementLogRequired = "audit.statement.log_check", C6, "Every agent that spoke demands a proof of the log before it acts";
    RefusalRelease = "audit.refusal.release", C6, "Every refused request for keys was refused for the reason that its evidence gives";

    OrderAuthorised = "audit.order.authorised", C7, "Every accepted order was signed by a person whose role allows it, in time, and approved as the policy asked";
    OrderEntry = "audit.order.entry", C7, "Every entry about an order says what the order says: requester, approvers, bundle";
    OrderOnce = "audit.order.once", C7, "No order was accepted twice";
    RefusalOrder = "audit.refusal.order", C7, "Every refused order was refused for the reason that its evidence gives";
    AdministrationAuthorised = "audit.administration.authorised", C7, "Every administrative call was signed, allowed by a role, in time, and approved and delayed as the policy asked";
    AdministrationEntry = "audit.administration.entry", C7, "Every entry about an administrative call says what the order says";
    AdministrationOnce = "audit.administration.once", C7, "No administrative order was carried out twice";
    AdministrationState = "audit.administration.state", C7, "Keys changed exactly as the order says, from the state in which they were";
    RefusalAdministration = "audit.refusal.administration", C7, "Every refused administrative call was refused for the reason that its evidence gives";

    ReleaseDocument = "audit.release.document", C8, "Every release of a key rests on a genuine attestation document, fresh at that moment";
    ReleaseBinding = "audit.release.binding", C8, "Every document was made for this session and these very bytes";
    ReleaseGranted = "audit.release.granted", C8, "The policy of that moment granted every key: release, measurements, account, boot bundle, age, stops, expiry";
    ReleaseEntry = "audit.release.entry", C8, "Every entry about a release says what document and request say";
    ReleaseKeys = "audit.release.keys", C8, "Only enabled versions of keys were released, with the commitment that was recorded or reviewed";
    ReleaseOnce = "audit.release.once", C8, "No session got keys twice";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_plain_and_distinct_and_documented() {
        let page = include_str!("../../docs/audit.md");
        let mut seen = std::collections::BTreeSet::new();
        for check in Check::ALL {
            let id = check.id();
            assert!(id.starts_with("audit.") && id.len() <= 64, "{id}");
            assert!(
                id.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || b"_.".contains(&byte)),
                "{id}"
            );
            assert!(seen.insert(id), "{id} twice");
            assert!(
                page.contains(&format!("| `{id}` |")),
                "{id} is not in audit.md"
            );
        }
    }
}
