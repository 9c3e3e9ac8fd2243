//! `verify` and `inspect`: from what was typed to a verdict.
//!
//! | File | Job |
//! |---|---|
//! | `anchors.rs` | which root is trusted |
//! | `expected.rs` | what is expected, from flags and from the policy |
//! | `judgement.rs` | the verdict with its circumstances, as JSON and as text |
//! | `document.rs` | what stands in a document, as JSON and as text |

mod anchors;
mod document;
mod expected;
mod judgement;

pub(crate) use anchors::anchors;
pub(crate) use expected::{choose_release, measured, shows};

use narthex_verifier::{
    AttestationDocument, Backend, Parsed, ReplayAt, UnixMillis, VerificationContext,
};

use crate::commands::{inspect, verify};
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::input::{Source, decode_document};
use crate::moment::{now_unix_millis, parse_time};
use crate::output::Output;

use document::Document;
use expected::Expected;
use judgement::{Appraisal, Judgement, Mode};

/// The largest document is 16.1 KiB; as hex twice that, and people wrap lines.
const DOCUMENT_LIMIT_BYTES: usize = 128 * 1024;

/// `narthex verify`.
pub(crate) fn verify(arguments: &verify::Arguments, output: &Output) -> Outcome<Exit> {
    let anchors = anchors(arguments.root.as_deref())?;
    let now = now()?;
    let bytes = read_document(&arguments.document)?;
    let parsed = match AttestationDocument::parse(&bytes) {
        Ok(parsed) => parsed,
        Err(refusal) => {
            let mode = Mode::from_arguments(arguments.replay_at, now);
            let judgement = Judgement::refused(mode, Appraisal::Expected(None), &anchors, &refusal);
            return judgement.show(None, output);
        }
    };
    let mode = mode_for(arguments.replay_at, now, &parsed);
    let expected = Expected::from_arguments(arguments, &parsed, mode.judged_at(), output)?;
    let mut context = context(arguments.skew);
    if let Some(refusal) = &expected.refusal {
        let judgement = Judgement::refused_by_policy(mode, &expected, &anchors, refusal);
        return judgement.show(Some(&Document::from(&parsed)), output);
    }
    let expectations = &expected.expectations;
    let result = match arguments.replay_at {
        None => anchors
            .verify_and_appraise(&parsed, expectations, now, &mut context)
            .map(|appraised| appraised.report().clone()),
        Some(at) => anchors
            .verify_and_appraise_replay(&parsed, expectations, at, &mut context)
            .map(|appraised| appraised.report().clone()),
    };
    let appraisal = Appraisal::Expected(Some(&expected));
    let judgement = match &result {
        Ok(report) => Judgement::accepted(mode, appraisal, &anchors, report),
        Err(refusal) => Judgement::refused(mode, appraisal, &anchors, refusal),
    };
    judgement.show(Some(&Document::from(&parsed)), output)
}

/// `narthex inspect`.
pub(crate) fn inspect(arguments: &inspect::Arguments, output: &Output) -> Outcome<Exit> {
    let inspect::Arguments {
        document,
        replay_at,
        root,
    } = arguments;
    let anchors = anchors(root.as_deref())?;
    let now = now()?;
    let bytes = read_document(document)?;
    let parsed = match AttestationDocument::parse(&bytes) {
        Ok(parsed) => parsed,
        Err(refusal) => {
            let mode = Mode::from_arguments(*replay_at, now);
            return Judgement::refused(mode, Appraisal::None, &anchors, &refusal)
                .show(None, output);
        }
    };
    let mode = mode_for(*replay_at, now, &parsed);
    let mut context = context(narthex_verifier::limits::DEFAULT_SKEW);
    let result = match replay_at {
        None => anchors
            .verify(&parsed, now, &mut context)
            .map(|verified| verified.report().clone()),
        Some(at) => anchors
            .verify_replay(&parsed, *at, &mut context)
            .map(|verified| verified.report().clone()),
    };
    let judgement = match &result {
        Ok(report) => Judgement::accepted(mode, Appraisal::None, &anchors, report),
        Err(refusal) => Judgement::refused(mode, Appraisal::None, &anchors, refusal),
    };
    judgement.show(Some(&Document::from(&parsed)), output)
}

/// `TIME` or `document`, for `--replay-at`.
///
/// # Errors
/// A sentence that shows the expected form.
pub(crate) fn parse_replay_at(text: &str) -> Result<ReplayAt, String> {
    match text {
        "document" => Ok(ReplayAt::DocumentTimestamp),
        time => parse_time(time)
            .map(UnixMillis::from_millis)
            .map(ReplayAt::Time)
            .map_err(|error| {
                format!("{error}, or the word `document` for the document's own time")
            }),
    }
}

fn read_document(source: &Source) -> Outcome<Vec<u8>> {
    source.read(DOCUMENT_LIMIT_BYTES).map(decode_document)
}

fn now() -> Outcome<UnixMillis> {
    now_unix_millis().map(UnixMillis::from_millis)
}

fn context(skew: core::time::Duration) -> VerificationContext {
    VerificationContext::new(Backend::default()).with_skew(skew)
}

fn mode_for(replay_at: Option<ReplayAt>, now: UnixMillis, parsed: &Parsed<'_>) -> Mode {
    match replay_at {
        Some(ReplayAt::DocumentTimestamp) => Mode::Replay(Some(parsed.fields().timestamp())),
        other => Mode::from_arguments(other, now),
    }
}
