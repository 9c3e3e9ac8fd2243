//! Every bound of the protocol in one place; each number says where it comes from.

/// The most bytes of a Noise message, and so of a frame (Noise specification, section 3).
pub const MAX_FRAME_BYTES: usize = 65_535;

/// The ChaChaPoly tag at the end of each Noise message.
pub const TAG_BYTES: usize = 16;

/// The most plaintext in one frame.
pub const MAX_CHUNK_BYTES: usize = MAX_FRAME_BYTES - TAG_BYTES;

/// The longest attestation document: the payload's 16384 bytes of AWS's text, and room for tag,
/// headers and signature.
pub const MAX_DOCUMENT_BYTES: usize = 16_384 + 256;

/// The longest session statement: its parts add up to less than 512 bytes.
pub const MAX_STATEMENT_BYTES: usize = 1024;

/// The longest order: text that a person reviews.
pub const MAX_ORDER_BYTES: usize = 16 * 1024;

/// The longest call: a few numbers, a digest and the parameters of one action.
pub const MAX_CALL_BYTES: usize = 4 * 1024;

/// The longest proof that something was logged: a checkpoint with its cosignatures and an inclusion
/// proof of at most 64 hashes fit in half of it.
pub const MAX_LOG_PROOF_BYTES: usize = 32 * 1024;

/// The most approvals beside an order. A policy has fewer reviewers than that.
pub const MAX_APPROVALS: usize = 16;

/// The most signatures beside a bundle, a release or a stop.
pub const MAX_SIGNATURES: usize = 64;

/// The most fields in a result; `status` of a machine with many filesystems stays under half.
pub const MAX_FIELDS: usize = 1024;

/// The most keys asked for at once.
pub const MAX_KEYS: usize = 32;

/// The longest key, in bytes. An RSA-4096 private key in DER is under 2400.
pub const MAX_KEY_BYTES: usize = 4096;

/// The longest policy file.
pub const MAX_POLICY_FILE_BYTES: usize = 256 * 1024;

/// The most bundles, releases or stops in one policy answer, each.
pub const MAX_POLICY_FILES: usize = 512;

/// The most statements that a policy request may say are already known.
pub const MAX_KNOWN_STATEMENTS: usize = 1024;

/// The longest content of a diagnostics session: an order with all its approvals.
pub const MAX_DIAGNOSTICS_CONTENT_BYTES: usize = 128 * 1024;

/// The longest content that a key service takes: a document and a request with the most and longest
/// names have about 25 KiB together. Whoever sends it has shown nothing yet.
pub const MAX_KEYS_REQUEST_BYTES: usize = 32 * 1024;

/// The longest content that a key service sends: an answer with the most and longest keys.
pub const MAX_KEYS_CONTENT_BYTES: usize = 256 * 1024;

/// The longest content of an administration session: a backup of some ten thousand wrapped keys.
pub const MAX_ADMINISTRATION_CONTENT_BYTES: usize = 4 * 1024 * 1024;

/// The longest secret payload of an administration request: what remains beside an order with all
/// its approvals.
pub const MAX_PAYLOAD_BYTES: usize = 4 * 1024 * 1024 - 128 * 1024;

/// The longest body of an administration answer: what remains beside a log proof.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024 - 64 * 1024;

/// The longest content that somebody who asks for the policy sends.
pub const MAX_POLICY_REQUEST_BYTES: usize = 64 * 1024;

/// The longest answer to that, and the longest delivery.
pub const MAX_POLICY_CONTENT_BYTES: usize = 4 * 1024 * 1024;

/// The longest submission: an order with all its approvals.
pub const MAX_SUBMISSION_BYTES: usize = 128 * 1024;

/// The longest answer to that: a log proof and a reason.
pub const MAX_SUBMISSION_ANSWER_BYTES: usize = 64 * 1024;
