//! A whole judgement: a trust policy, a leaf and its proof, with good signatures in the seeds so that what comes after them
//! is reached. Input: policy, leaf and proof, separated by zero bytes. What is accepted with witnesses is accepted
//! without them, and a witness judges the same checkpoint.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_ledger::{AddCheckpoint, Proof, Trust, judge_add_checkpoint};

fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let (Some(policy), Some(leaf), Some(proof)) = (parts.next(), parts.next(), parts.next()) else {
        return;
    };
    let (Ok(policy), Ok(proof)) = (std::str::from_utf8(policy), std::str::from_utf8(proof)) else {
        return;
    };
    let (Ok(trust), Ok(proof)) = (Trust::parse_policy(policy), Proof::parse(proof)) else {
        return;
    };
    if let Ok(head) = proof.verify(leaf, &trust) {
        assert!(proof.verify_log_only(leaf, &trust).is_ok());
        assert!(proof.index < head.checkpoint().size);
        let _ = (head.seen_at(), head.fresh_at(), trust.missing(&head));
    }
    for (log, _) in trust.logs() {
        let request = AddCheckpoint {
            old_size: proof.index % 2,
            proof: proof.hashes.clone(),
            checkpoint: proof.checkpoint.clone(),
        };
        let _ = judge_add_checkpoint(&request, log, None);
    }
});
