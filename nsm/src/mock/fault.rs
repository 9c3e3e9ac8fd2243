//! Making the mock misbehave, on purpose and by name.

use std::time::Duration;

use crate::error::ErrorCode;
use crate::nsm::Request;

/// One way to misbehave, for some requests, some number of times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What happens.
    pub kind: FaultKind,
    /// To which requests.
    pub scope: FaultScope,
    /// How often; `None` is every time until [`MockNsm::clear_faults`](super::MockNsm::clear_faults).
    pub times: Option<u32>,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The answer takes this much longer.
    Slow(Duration),
    /// The request is not carried out, and this is the answer.
    Answer(ErrorCode),
    /// The request is carried out, and its answer is cut in half.
    Malformed,
    /// Documents are signed with a key that is not the leaf's.
    WrongKey,
    /// The hypervisor's clock is off by this many milliseconds: documents and new leaves show it.
    ClockShift(i64),
}

/// Which requests a fault meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultScope {
    /// All of them.
    Every,
    /// Those of one kind.
    Only(RequestKind),
}

/// The seven requests, without their arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// DescribePCR.
    DescribePcr,
    /// ExtendPCR.
    ExtendPcr,
    /// LockPCR.
    LockPcr,
    /// LockPCRs.
    LockPcrs,
    /// DescribeNSM.
    DescribeNsm,
    /// Attestation.
    Attestation,
    /// GetRandom.
    GetRandom,
}

impl RequestKind {
    /// The kind of a request.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        match request {
            Request::DescribePcr { .. } => Self::DescribePcr,
            Request::ExtendPcr { .. } => Self::ExtendPcr,
            Request::LockPcr { .. } => Self::LockPcr,
            Request::LockPcrs { .. } => Self::LockPcrs,
            Request::DescribeNsm => Self::DescribeNsm,
            Request::Attestation(_) => Self::Attestation,
            Request::GetRandom => Self::GetRandom,
        }
    }
}

impl Fault {
    /// Every request, every time.
    #[must_use]
    pub fn always(kind: FaultKind) -> Self {
        Self {
            kind,
            scope: FaultScope::Every,
            times: None,
        }
    }

    /// The next request of one kind.
    #[must_use]
    pub fn once(kind: FaultKind, request: RequestKind) -> Self {
        Self {
            kind,
            scope: FaultScope::Only(request),
            times: Some(1),
        }
    }
}

/// The faults that are waiting.
#[derive(Debug, Default)]
pub(super) struct Faults {
    waiting: Vec<Fault>,
}

/// What one request meets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Misbehaviour {
    pub(super) delay: Duration,
    pub(super) answer: Option<ErrorCode>,
    pub(super) malformed: bool,
    pub(super) wrong_key: bool,
    pub(super) clock_shift_millis: i64,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.waiting.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// What a request of this kind meets; faults with a number count down.
    pub(super) fn meet(&mut self, request: RequestKind) -> Misbehaviour {
        let mut met = Misbehaviour::default();
        for fault in &mut self.waiting {
            if fault.scope != FaultScope::Every && fault.scope != FaultScope::Only(request) {
                continue;
            }
            match &mut fault.times {
                Some(0) => continue,
                Some(times) => *times -= 1,
                None => {}
            }
            met.add(fault.kind);
        }
        self.waiting.retain(|fault| fault.times != Some(0));
        met
    }
}

impl Misbehaviour {
    fn add(&mut self, kind: FaultKind) {
        match kind {
            FaultKind::Slow(delay) => self.delay = self.delay.saturating_add(delay),
            FaultKind::Answer(code) => self.answer = Some(code),
            FaultKind::Malformed => self.malformed = true,
            FaultKind::WrongKey => self.wrong_key = true,
            FaultKind::ClockShift(millis) => {
                self.clock_shift_millis = self.clock_shift_millis.saturating_add(millis);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_count_down_and_keep_to_their_requests() {
        let mut faults = Faults::default();
        faults.add(Fault::once(FaultKind::Malformed, RequestKind::GetRandom));
        faults.add(Fault::always(FaultKind::ClockShift(5)));
        assert!(!faults.meet(RequestKind::Attestation).malformed);
        let met = faults.meet(RequestKind::GetRandom);
        assert!(met.malformed && met.clock_shift_millis == 5);
        assert!(!faults.meet(RequestKind::GetRandom).malformed);
        faults.clear();
        assert_eq!(faults.meet(RequestKind::GetRandom), Misbehaviour::default());
    }
}
