//! When an ended workload is started again. Values in, values out: the runner owns the clock.

use std::time::Duration;

use super::exit::ExitKind;
use crate::config::RestartPolicy;

/// A run this much longer than the longest pause was a good one: the next pause is the shortest
/// again.
const GOOD_RUN_FACTOR: u32 = 2;

/// The rules of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartRules {
    /// After which ends.
    pub policy: RestartPolicy,
    /// Shortest pause.
    pub delay: Duration,
    /// Longest pause.
    pub delay_max: Duration,
    /// Most restarts since the agent asked for the start. `None`: no limit.
    pub restarts_max: Option<u64>,
}

/// What the runner does about an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start again after this pause.
    Restart(Duration),
    /// It ended well, or the policy is `never`: it stays ended.
    StayStopped,
    /// It failed, and may not be started again.
    StayFailed,
}

/// Remembers the pause and the number of restarts.
#[derive(Clone, Debug)]
pub struct RestartDecider {
    rules: RestartRules,
    next_delay: Duration,
    restarts: u64,
}

impl RestartDecider {
    /// Nothing has happened yet.
    pub fn new(rules: RestartRules) -> Self {
        Self {
            rules,
            next_delay: rules.delay,
            restarts: 0,
        }
    }

    /// Somebody asked for a start: the pause and the limit begin anew.
    pub fn begin_anew(&mut self) {
        self.next_delay = self.rules.delay;
        self.restarts = 0;
    }

    /// It ended by itself after `ran_for`.
    pub fn after_end(&mut self, end: ExitKind, ran_for: Duration) -> Next {
        let RestartRules {
            policy,
            delay,
            delay_max,
            restarts_max,
        } = self.rules;
        let again = match policy {
            RestartPolicy::Always => true,
            RestartPolicy::OnFailure => end.is_failure(),
            RestartPolicy::Never => false,
        };
        let exhausted = restarts_max.is_some_and(|most| self.restarts >= most);
        if !again || exhausted {
            return if end.is_failure() {
                Next::StayFailed
            } else {
                Next::StayStopped
            };
        }
        if ran_for >= delay_max.saturating_mul(GOOD_RUN_FACTOR) {
            self.next_delay = delay;
        }
        let pause = self.next_delay.min(delay_max);
        self.next_delay = pause.saturating_mul(2).min(delay_max);
        self.restarts = self.restarts.saturating_add(1);
        Next::Restart(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICK: Duration = Duration::from_millis(1);
    const FAILURE: ExitKind = ExitKind::Code(1);

    fn decider(policy: RestartPolicy, restarts_max: Option<u64>) -> RestartDecider {
        RestartDecider::new(RestartRules {
            policy,
            delay: Duration::from_millis(100),
            delay_max: Duration::from_millis(350),
            restarts_max,
        })
    }

    #[test]
    fn each_policy_for_a_good_and_a_bad_end() {
        let first = Next::Restart(Duration::from_millis(100));
        for (policy, good, bad) in [
            (RestartPolicy::Always, first, first),
            (RestartPolicy::OnFailure, Next::StayStopped, first),
            (RestartPolicy::Never, Next::StayStopped, Next::StayFailed),
        ] {
            assert_eq!(
                decider(policy, None).after_end(ExitKind::Code(0), QUICK),
                good
            );
            assert_eq!(decider(policy, None).after_end(FAILURE, QUICK), bad);
            assert_eq!(
                decider(policy, None).after_end(ExitKind::Signal(11), QUICK),
                bad
            );
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_begin_anew_after_a_good_run() {
        let mut decider = decider(RestartPolicy::Always, None);
        let mut pauses = |ran_for| match decider.after_end(FAILURE, ran_for) {
            Next::Restart(pause) => pause.as_millis(),
            other => panic!("{other:?}"),
        };
        let quick: Vec<_> = (0..4).map(|_| pauses(QUICK)).collect();
        assert_eq!(quick, [100, 200, 350, 350]);
        assert_eq!(pauses(Duration::from_millis(699)), 350);
        assert_eq!(pauses(Duration::from_millis(700)), 100);
    }

    #[test]
    fn the_limit_holds_until_somebody_asks_for_a_start() {
        let mut decider = decider(RestartPolicy::Always, Some(2));
        assert!(matches!(
            decider.after_end(FAILURE, QUICK),
            Next::Restart(_)
        ));
        assert!(matches!(
            decider.after_end(FAILURE, QUICK),
            Next::Restart(_)
        ));
        assert_eq!(decider.after_end(FAILURE, QUICK), Next::StayFailed);
        decider.begin_anew();
        assert_eq!(
            decider.after_end(FAILURE, QUICK),
            Next::Restart(Duration::from_millis(100))
        );
    }
}
