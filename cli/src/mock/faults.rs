//! `--fault`.

use narthex_nsm::ErrorCode;
use narthex_nsm::mock::{Fault, FaultKind, FaultScope, RequestKind};

use crate::commands::mock_nsm::{Arguments, RequestName, parse_shift};
use crate::failure::{Failure, Outcome};
use crate::moment::parse_duration;

/// The faults that were asked for.
///
/// # Errors
/// `misuse.fault` for a word that is none.
pub(super) fn faults(arguments: &Arguments) -> Outcome<Vec<Fault>> {
    let scope = match arguments.fault_request {
        None => FaultScope::Every,
        Some(name) => FaultScope::Only(request_kind(name)),
    };
    arguments
        .fault
        .iter()
        .map(|text| {
            let kind = kind(text).map_err(|why| {
                Failure::misuse("misuse.fault", format!("--fault {text}: {why}"))
                    .next("`narthex mock-nsm --help` lists the faults")
            })?;
            Ok(Fault {
                kind,
                scope,
                times: arguments.fault_times,
            })
        })
        .collect()
}

fn kind(text: &str) -> Result<FaultKind, String> {
    match text.split_once('=') {
        Some(("slow", duration)) => parse_duration(duration).map(FaultKind::Slow),
        Some(("clock", shift)) => parse_shift(shift).map(FaultKind::ClockShift),
        Some(_) => Err("there is no such fault".to_owned()),
        None if text == "wrong-key" => Ok(FaultKind::WrongKey),
        None if text == "malformed" => Ok(FaultKind::Malformed),
        None => ErrorCode::from_name(text)
            .map(FaultKind::Answer)
            .ok_or_else(|| "there is no such fault or error code".to_owned()),
    }
}

fn request_kind(name: RequestName) -> RequestKind {
    match name {
        RequestName::DescribePcr => RequestKind::DescribePcr,
        RequestName::ExtendPcr => RequestKind::ExtendPcr,
        RequestName::LockPcr => RequestKind::LockPcr,
        RequestName::LockPcrs => RequestKind::LockPcrs,
        RequestName::DescribeNsm => RequestKind::DescribeNsm,
        RequestName::Attestation => RequestKind::Attestation,
        RequestName::GetRandom => RequestKind::GetRandom,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn faults_by_name() {
        assert_eq!(kind("slow=2s"), Ok(FaultKind::Slow(Duration::from_secs(2))));
        assert_eq!(kind("clock=-1h"), Ok(FaultKind::ClockShift(-3_600_000)));
        assert_eq!(
            kind("InternalError"),
            Ok(FaultKind::Answer(ErrorCode::InternalError))
        );
        for wrong in ["slow", "clock=5s", "fast=1s", "internalerror", ""] {
            assert!(kind(wrong).is_err(), "{wrong}");
        }
    }
}
