//! What a witness tells whoever runs it.

use std::path::Path;

use super::StateError;
use crate::error::LogError;
use crate::witness::WitnessAnswer;

/// Something that whoever runs a witness wants to know.
#[derive(Debug)]
#[non_exhaustive]
pub enum WitnessEvent<'e> {
    /// A checkpoint was cosigned.
    Cosigned {
        /// The log.
        origin: &'e str,
        /// Its size.
        size: u64,
        /// When, in Unix seconds.
        time: u64,
    },
    /// A request was refused.
    Refused {
        /// The log, if the request names one that is watched here.
        origin: Option<&'e str>,
        /// How.
        answer: &'e WitnessAnswer,
    },
    /// A log signed two trees of the same size. Both checkpoints were kept.
    Forked {
        /// The log.
        origin: &'e str,
        /// The size.
        size: u64,
        /// The file with both, if it could be written.
        evidence: Option<&'e Path>,
    },
    /// A checkpoint was not cosigned because of the witness's own trouble.
    Unable {
        /// The log.
        origin: &'e str,
        /// The trouble.
        trouble: &'e Trouble,
    },
}

/// Why a witness cannot cosign at the moment, though the checkpoint may be sound.
#[derive(Debug)]
#[non_exhaustive]
pub enum Trouble {
    /// Its clock shows a time before its own last cosignature, or none at all.
    Clock {
        /// What it shows, in Unix seconds.
        now: Option<u64>,
        /// When it last cosigned, in Unix seconds.
        last: u64,
    },
    /// What it saw could not be written down.
    State(StateError),
    /// The key would not sign.
    Key(LogError),
}

impl core::fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Clock { now, last } => {
                let now = now.unwrap_or(0);
                write!(
                    formatter,
                    "the clock shows {now}, before the last cosignature at {last} (Unix seconds): set it right. \
                     If it was wrong then, wait, or retire this key"
                )
            }
            Self::State(error) => write!(formatter, "{error}"),
            Self::Key(error) => write!(formatter, "{error}"),
        }
    }
}

impl std::error::Error for Trouble {}
