//! Judging what a witness answered, before it counts for anything.

use narthex_ledger::{
    NoteSignature, VerifierKey,
    tokio::{ClientError, WitnessReply},
};

use super::rounds::Reply;
use crate::clock::UnixMillis;

/// How far a witness's clock may be from ours, in milliseconds. Agents allow as much; a time that they would refuse
/// is of no use.
const SKEW_MILLIS: u64 = 60_000;

/// When a witness was asked, and when it had answered, by our clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) from: UnixMillis,
    pub(super) to: UnixMillis,
}

/// What the answer is worth. `text` is what the witness was to cosign, `key` its key in the bundle.
pub(super) fn judge(
    answer: Result<WitnessReply, ClientError>,
    key: &VerifierKey,
    text: &str,
    asked: Asked,
) -> Reply<NoteSignature> {
    let words = match answer {
        Ok(WitnessReply::Cosigned(lines)) => {
            return match cosignature(lines, key, text, asked) {
                Ok(line) => Reply::Cosigned(line),
                Err(words) => Reply::Failed(words),
            };
        }
        Ok(WitnessReply::Conflict { size }) => return Reply::Knows(size),
        Ok(WitnessReply::OtherRoot) => return Reply::OtherRoot,
        Ok(WitnessReply::BadProof) => return Reply::NotContinued,
        Ok(WitnessReply::UnknownLog) => "does not watch this log; add its key there".to_owned(),
        Ok(WitnessReply::BadSignature) => "does not trust the key of this log".to_owned(),
        Ok(_) => "could not read the request".to_owned(),
        Err(error) => error.to_string(),
    };
    Reply::Failed(words)
}

/// The one line that is by the witness's own key, holds, and was made now.
fn cosignature(
    lines: Vec<NoteSignature>,
    key: &VerifierKey,
    text: &str,
    asked: Asked,
) -> Result<NoteSignature, String> {
    let line = lines
        .into_iter()
        .find(|line| key.claims(line))
        .ok_or_else(|| "answered without a signature of its key in the bundle".to_owned())?;
    let seconds = key
        .verify(text, &line)
        .map_err(|error| error.to_string())?
        .ok_or_else(|| "signed without a time: its key is not a witness's".to_owned())?;
    let time = seconds.saturating_mul(1000);
    let Asked { from, to } = asked;
    if time.saturating_add(1000 + SKEW_MILLIS) < from.0 {
        let behind = from.0.saturating_sub(time) / 1000;
        return Err(format!("its clock is {behind} s behind ours"));
    }
    if time > to.0.saturating_add(SKEW_MILLIS) {
        let ahead = time.saturating_sub(to.0) / 1000;
        return Err(format!("its clock is {ahead} s ahead of ours"));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use narthex_ledger::{
        Checkpoint, Hash, KeyKind, SignedNote, SigningKey, cosign, sign_checkpoint,
    };

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn note(size: u64) -> SignedNote {
        let log = SigningKey::generate("example.com/log", KeyKind::Log).unwrap();
        let checkpoint = Checkpoint {
            origin: "example.com/log".to_owned(),
            size,
            root: Hash([3; 32]),
        };
        sign_checkpoint(&checkpoint, &log).unwrap()
    }

    fn asked() -> Asked {
        Asked {
            from: UnixMillis(NOW * 1000 + 500),
            to: UnixMillis(NOW * 1000 + 700),
        }
    }

    fn words(reply: Reply<NoteSignature>) -> String {
        match reply {
            Reply::Failed(words) => words,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_counts_is_by_the_right_key_over_the_right_text_at_the_right_time() {
        let witness = SigningKey::generate("w", KeyKind::Witness).unwrap();
        let stranger = SigningKey::generate("s", KeyKind::Witness).unwrap();
        let namesake = SigningKey::generate("w", KeyKind::Witness).unwrap();
        let key = witness.verifier_key();
        let (note, other) = (note(7), note(8));
        let judge_lines = |lines: Vec<NoteSignature>| {
            judge(
                Ok(WitnessReply::Cosigned(lines)),
                &key,
                note.text(),
                asked(),
            )
        };
        let line = cosign(&note, &witness, NOW).unwrap();
        let foreign = cosign(&note, &stranger, NOW).unwrap();
        let good = judge_lines(vec![foreign.clone(), line.clone()]);
        assert_eq!(
            good,
            Reply::Cosigned(line),
            "a stranger's line beside it is left out"
        );

        for (lines, part) in [
            (vec![foreign], "without a signature of its key"),
            (
                vec![cosign(&note, &namesake, NOW).unwrap()],
                "without a signature of its key",
            ),
            (
                vec![cosign(&other, &witness, NOW).unwrap()],
                "does not hold",
            ),
            (
                vec![cosign(&note, &witness, NOW - 62).unwrap()],
                "behind ours",
            ),
            (vec![cosign(&note, &witness, 0).unwrap()], "behind ours"),
            (
                vec![cosign(&note, &witness, NOW + 62).unwrap()],
                "ahead of ours",
            ),
        ] {
            let said = words(judge_lines(lines));
            assert!(said.contains(part), "{said}");
        }
        for time in [NOW - 60, NOW + 60] {
            let line = cosign(&note, &witness, time).unwrap();
            assert!(
                matches!(judge_lines(vec![line]), Reply::Cosigned(_)),
                "{time}"
            );
        }
    }

    #[test]
    fn other_answers_mean_what_the_format_says() {
        let key = SigningKey::generate("w", KeyKind::Witness)
            .unwrap()
            .verifier_key();
        let judge_one = |reply| judge(Ok(reply), &key, "", asked());
        assert_eq!(
            judge_one(WitnessReply::Conflict { size: 9 }),
            Reply::Knows(9)
        );
        assert_eq!(judge_one(WitnessReply::OtherRoot), Reply::OtherRoot);
        assert_eq!(judge_one(WitnessReply::BadProof), Reply::NotContinued);
        assert!(words(judge_one(WitnessReply::UnknownLog)).contains("watch"));
        assert!(words(judge_one(WitnessReply::BadSignature)).contains("trust"));
        assert!(words(judge_one(WitnessReply::Rejected)).contains("request"));
    }
}
