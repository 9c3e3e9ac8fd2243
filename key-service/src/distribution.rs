//! Handing out the policy: every signed file that somebody does not have yet.
//!
//! Nothing here is secret, and nothing rests on who serves it: agents judge the files themselves.

use narthex_channel::{
    ArmoredSignature, Digest384, Message,
    limits::{MAX_LOG_PROOF_BYTES, MAX_POLICY_CONTENT_BYTES, MAX_POLICY_FILES},
    policy::{PolicyAnswer, PolicyRequest, Signed},
};
use narthex_policy::SignedFile;

use crate::{lineage::Lineage, service::Service};

/// What the files of an answer may take.
const ROOM_BYTES: usize = MAX_POLICY_CONTENT_BYTES - MAX_LOG_PROOF_BYTES - 1024;
/// What the stops among them may take. Often one person is enough for a stop: whoever signs many large ones must not keep
/// the bundles away, without which no agent boots.
const STOPS_ROOM_BYTES: usize = ROOM_BYTES / 4;
/// Room for lengths and heads around the files of an answer.
const FILE_OVERHEAD_BYTES: usize = 16;

impl Service {
    /// The files that the request does not say are known.
    #[must_use]
    pub fn answer_policy_request(&self, request: &PolicyRequest) -> PolicyAnswer {
        PolicyAnswer {
            currency: self.currency(),
            ..compose(&self.lineage.get(), request)
        }
    }
}

/// Stops first (they count at once), the newest first; then bundles and releases, oldest first; all as far as there is room.
/// Whoever is far behind gets the oldest bundles, and asks again from where they end; whoever says which stops it has gets
/// the others.
fn compose(lineage: &Lineage, request: &PolicyRequest) -> PolicyAnswer {
    let known = |file: &SignedFile| {
        request
            .known_statements
            .contains(&Digest384::of(&file.bytes))
    };
    let policy = lineage.policy();
    let mut stops_room = Room {
        bytes: STOPS_ROOM_BYTES,
    };
    let stops = stops_room.take(policy.stop_files().filter(|file| !known(file)));
    let mut room = Room {
        bytes: ROOM_BYTES - STOPS_ROOM_BYTES + stops_room.bytes,
    };
    let bundles = lineage
        .bundles()
        .iter()
        .filter(|bundle| bundle.version > request.since_version)
        .map(|bundle| SignedFile {
            bytes: bundle.file.content.clone(),
            signatures: bundle.file.signatures.clone(),
        })
        .collect::<Vec<_>>();
    let bundles = room.take(bundles.iter());
    let releases = room.take(policy.release_files().filter(|file| !known(file)));
    PolicyAnswer {
        bundles,
        releases,
        stops,
        currency: None,
    }
}

struct Room {
    bytes: usize,
}

impl Room {
    fn take<'a>(&mut self, files: impl Iterator<Item = &'a SignedFile>) -> Vec<Signed> {
        let mut taken = Vec::new();
        for file in files.take(MAX_POLICY_FILES) {
            // Each signature was checked when the file was accepted, so each is well-formed.
            let signatures: Vec<_> = file
                .signatures
                .iter()
                .filter_map(|signature| ArmoredSignature::new(signature).ok())
                .collect();
            let size = file.bytes.len()
                + FILE_OVERHEAD_BYTES
                + file
                    .signatures
                    .iter()
                    .map(|signature| signature.len() + FILE_OVERHEAD_BYTES)
                    .sum::<usize>();
            let Some(left) = self.bytes.checked_sub(size) else {
                break;
            };
            self.bytes = left;
            taken.push(Signed {
                bytes: file.bytes.clone(),
                signatures,
            });
        }
        taken
    }
}

/// Reads a request; an unreadable one is as good as none.
///
/// # Errors
///
/// What the channel's codec says.
pub(crate) fn read_request(content: &[u8]) -> Result<PolicyRequest, narthex_channel::MessageError> {
    PolicyRequest::from_bytes(content)
}
