//! The texts of the log's formats, from servers, witnesses, mirrors and files that nobody vouches for. What is accepted
//! has one spelling: written again it is the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_ledger::tokio::{HttpAddress, ListenAddress};
use narthex_ledger::{
    AddCheckpoint, Checkpoint, NoteSignature, Proof, Resource, SignedNote, Trust, VerifierKey,
};

fuzz_target!(|data: &[u8]| {
    let Some((&which, data)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match which % 8 {
        0 => again(text, SignedNote::parse(text).ok()),
        1 => again(text, Proof::parse(text).ok()),
        2 => {
            if let Ok(request) = AddCheckpoint::parse(text) {
                assert_eq!(request.to_body(), text);
                let _ = request.origin();
            }
        }
        3 => {
            if let Some(resource) = Resource::parse(text) {
                assert_eq!(resource.path(), text);
            }
        }
        4 => again(text, VerifierKey::parse(text).ok()),
        // Comments and spaces may go; after that it stays as it is.
        5 => {
            if let Ok(trust) = Trust::parse_policy(text) {
                let once = trust.to_string();
                let twice = Trust::parse_policy(&once).expect("what was written can be read");
                assert_eq!(twice.to_string(), once);
            }
        }
        6 => {
            if let Ok(checkpoint) = Checkpoint::parse(text) {
                // Lines that extend it are read over, and never written.
                assert!(text.starts_with(&checkpoint.to_text()));
            }
            let _ = NoteSignature::parse_lines(text);
        }
        _ => {
            let _ = text.parse::<HttpAddress>();
            let _ = text.parse::<ListenAddress>();
        }
    }
});

fn again(text: &str, parsed: Option<impl ToString>) {
    if let Some(parsed) = parsed {
        assert_eq!(parsed.to_string(), text);
    }
}
