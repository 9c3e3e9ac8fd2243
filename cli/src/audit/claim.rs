//! The eight claims of the design, and how the audit words what it found about them.

/// A claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Claim {
    /// Nobody has interactive access.
    C1,
    /// Nobody reads content through diagnostics.
    C2,
    /// Administration cannot reach the data plane.
    C3,
    /// Changes need several people.
    C4,
    /// Stored keys are useless to a thief.
    C5,
    /// Every interaction is visible.
    C6,
    /// Administrative calls are authenticated, authorised, logged.
    C7,
    /// Only tested software gets keys.
    C8,
}

impl Claim {
    /// All claims.
    pub(crate) const ALL: &'static [Self] = &[
        Self::C1,
        Self::C2,
        Self::C3,
        Self::C4,
        Self::C5,
        Self::C6,
        Self::C7,
        Self::C8,
    ];

    /// `C1` to `C8`.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::C1 => "C1",
            Self::C2 => "C2",
            Self::C3 => "C3",
            Self::C4 => "C4",
            Self::C5 => "C5",
            Self::C6 => "C6",
            Self::C7 => "C7",
            Self::C8 => "C8",
        }
    }

    /// The claim in one sentence.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::C1 => "Nobody has interactive access to an enclave",
            Self::C2 => "Nobody can read, copy or change customer content through the diagnostics",
            Self::C3 => "The administrative interface cannot reach the data plane",
            Self::C4 => {
                "A change to actions, operators, measurements or key rules needs several people"
            }
            Self::C5 => "Stored keys and backups are useless to whoever steals them",
            Self::C6 => "Every interaction is visible to the customer",
            Self::C7 => {
                "Every administrative call is authenticated, authorised, least-privilege, and logged"
            }
            Self::C8 => "Only tested software from a trusted pipeline gets keys",
        }
    }
}

/// What the audit says about a claim. A closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything that was tested holds.
    Shown,
    /// Something that was tested does not hold.
    Exceptions,
    /// Nothing here shows it: there was nothing to test, or something that the claim rests on is missing.
    NotShown,
}

impl Verdict {
    /// The word in text, JSON and HTML.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::Exceptions => "exceptions",
            Self::NotShown => "not shown",
        }
    }
}

/// What this audit could not see. A closed list with stable ids.
macro_rules! gaps {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $weight:ident, [$($claim:ident),+], $words:literal;)*) => {
        /// Something that this log, or any log, does not show.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Gap {
            $($(#[$doc])* $variant,)*
        }

        impl Gap {
            /// All of them.
            #[cfg(test)]
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable id.
            pub(crate) const fn id(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)*
                }
            }

            /// The claims that it touches.
            pub(crate) const fn claims(self) -> &'static [Claim] {
                match self {
                    $(Self::$variant => &[$(Claim::$claim),+],)*
                }
            }

            /// Whether the claims cannot count as shown because of it.
            pub(crate) const fn weight(self) -> Weight {
                match self {
                    $(Self::$variant => Weight::$weight,)*
                }
            }

            /// What is not shown, for people.
            pub(crate) const fn words(self) -> &'static str {
                match self {
                    $(Self::$variant => $words,)*
                }
            }
        }
    };
}

/// How much a gap weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The claims it touches are not shown.
    Decides,
    /// Part of the claims it touches is not shown; what was tested stands.
    Limits,
}

gaps! {
    DevelopmentRoot = "gap.development_root", Decides, [C1, C3, C8], "documents were verified under a development root that was named with --root: a mock made them, and they show nothing about any enclave";
    OtherRoot = "gap.other_root", Limits, [C1, C3, C8], "documents were verified under a root that was named with --root, not under AWS's commercial root";
    NoQuorum = "gap.no_quorum", Decides, [C6], "the bundle asks for no witness: the log may show others something else";
    KeysBeforeQuorum = "gap.keys_before_quorum", Limits, [C6], "keys are released on the log's own signature, before witnesses have cosigned (release_waits_for_quorum = false)";
    NoStatements = "gap.no_statements", Limits, [C6], "no session statement was logged: what the agents themselves decided is not visible here";
    RootKeyFile = "gap.root_key_file", Decides, [C5], "the key service keeps its root key in a file, which a copy of its disk may hold; --assume root-key-apart says that you have seen that it lies apart from database and backups";
    ServiceHost = "gap.service_host", Decides, [C3], "a log cannot show that the key service runs apart from the enclaves' parents; --assume service-apart says that you have seen it";
    PurgedEvidence = "gap.purged_evidence", Limits, [C1, C2, C3, C6, C7, C8], "evidence was purged, as entries say; the decisions that rest on it were not verified again";
    NoEvidence = "gap.evidence_absent", Limits, [C1, C2, C3, C6, C7, C8], "evidence is not in this copy of the log; the decisions that rest on it were not verified again";
    ServiceRefusals = "gap.service_refusals", Limits, [C6, C7], "some refusals have their reason inside the service (storage, payloads, its own state), which a log cannot show";
    SummarisedRefusals = "gap.summarised_refusals", Limits, [C6, C7], "refusals that nobody can be held to are counted in summaries; their evidence was never kept";
    AnyAccount = "gap.any_account", Limits, [C8], "a key rule accepts enclaves of any AWS account (insecure_any_account = true)";
    MeasurementsByHand = "gap.measurements_by_hand", Limits, [C8], "a release statement has numbers that were given by hand (insecure_measurements_by_hand = true): no manifest says what went into the image";
    UncommittedKeys = "gap.uncommitted_keys", Limits, [C5, C8], "the bundle commits to no version of some keys: that a key is the reviewed one rests on the log alone";
    ImportedKeys = "gap.imported_keys", Limits, [C5], "keys were imported: the people who brought them have seen them";
    LostEntries = "gap.lost_entries", Limits, [C6], "a copy of an earlier epoch has more entries than the bundle that ended it counts";
    OlderCopy = "gap.older_copy", Limits, [C6], "what came later is not here: no quorum of witnesses vouches that this was all of the log within a day of this audit, or this machine has seen more of it";
    ResultTypes = "gap.result_types", Limits, [C1, C2], "that the image has no shell, and that results cannot carry content, shows in the image, not in a log: rebuild it and compare the measurements";
    Delays = "gap.delays", Limits, [C7], "when an agent acted is not in the log: that it waited for the delay of a write order shows in the agent, not here";
    PolicyBroken = "gap.policy_broken", Decides, [C1, C2, C3, C4, C5, C6, C7, C8], "from one entry on the policy could not be followed any more; what was decided after it was not judged";
    Genesis = "gap.genesis", Limits, [C4], "the first bundle was not compared with a digest of your own (--genesis HEX); it was taken at its word";
}

/// What the auditor has seen with their own eyes and takes on themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Assumption {
    /// The key service does not run on a parent instance of the enclaves
    ServiceApart,
    /// The root key lies apart from the database and its backups
    RootKeyApart,
}

impl Assumption {
    /// The gap that it closes.
    pub(crate) const fn closes(self) -> Gap {
        match self {
            Self::ServiceApart => Gap::ServiceHost,
            Self::RootKeyApart => Gap::RootKeyFile,
        }
    }

    /// The word on the command line and in JSON.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::ServiceApart => "service-apart",
            Self::RootKeyApart => "root-key-apart",
        }
    }

    /// What is assumed, for people.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::ServiceApart => {
                "on the auditor's word: the key service does not run on a parent instance of the enclaves"
            }
            Self::RootKeyApart => {
                "on the auditor's word: the root key lies apart from the database and its backups"
            }
        }
    }
}

/// What always stays an assumption: id and words.
pub(crate) const STANDING: [(&str, &str); 6] = [
    (
        "aws",
        "AWS's hardware, hypervisor and root certificate do what AWS says",
    ),
    (
        "reviewers",
        "enough of the reviewers are honest, keep their keys to themselves, and read what they sign",
    ),
    (
        "witnesses",
        "enough of the witnesses remember what they saw, and sign nothing that contradicts it",
    ),
    (
        "service_host",
        "the host of the key service keeps keys in use to itself, and keeps to its own clock",
    ),
    (
        "side_channels",
        "nobody learns content from timing, power, caches or other side channels",
    ),
    (
        "workload",
        "the released workload does not itself give content away",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_distinct_and_documented() {
        let page = include_str!("../../docs/audit.md");
        let mut seen = std::collections::BTreeSet::new();
        for gap in Gap::ALL {
            assert!(seen.insert(gap.id()), "{} twice", gap.id());
            let row = format!("| `{}` |", gap.id());
            assert!(page.contains(&row), "{} is not in audit.md", gap.id());
            assert!(!gap.claims().is_empty());
        }
    }
}
