//! What a log holds: entries, bundles of entries, tiles, evidence, and what proofs say beside them. What is accepted
//! encodes to the same bytes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_ledger::{
    CurrentExtra, Entry, OrderExtra, ReleaseExtra, SaltedEvidence, encode_entries, parse_entries,
    tile_hashes,
};

fuzz_target!(|data: &[u8]| {
    let Some((&which, data)) = data.split_first() else {
        return;
    };
    match which % 6 {
        0 => {
            if let Ok(entry) = Entry::from_leaf(data) {
                assert_eq!(entry.to_leaf().as_deref(), Ok(data));
                let _ = (entry.time(), entry.outcome(), entry.reason());
                let _ = (entry.evidence(), entry.people(), entry.keys());
            }
        }
        1 => {
            let Some((&width, data)) = data.split_first() else {
                return;
            };
            let width = u16::from(width) + 1;
            if let Ok(entries) = parse_entries(data, width) {
                assert_eq!(entries.len(), usize::from(width));
                assert_eq!(encode_entries(&entries).as_deref(), Ok(data));
            }
            let _ = tile_hashes(data, width);
        }
        2 => {
            if let Ok(evidence) = SaltedEvidence::from_bytes(data) {
                assert_eq!(evidence.to_bytes(), data);
                let digest = evidence.digest();
                assert!(SaltedEvidence::open(&digest, data).is_ok());
            }
        }
        3 => {
            if let Ok(extra) = CurrentExtra::from_bytes(data) {
                assert_eq!(extra.to_bytes().as_deref(), Ok(data));
            }
        }
        4 => {
            if let Ok(extra) = OrderExtra::from_bytes(data) {
                assert_eq!(extra.to_bytes().as_deref(), Ok(data));
            }
        }
        _ => {
            if let Ok(extra) = ReleaseExtra::from_bytes(data) {
                assert_eq!(extra.to_bytes().as_deref(), Ok(data));
            }
        }
    }
});
