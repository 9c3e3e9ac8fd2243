//! What the supervisor's tasks share. One thread; each borrow lasts for one synchronous step.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use narthex_channel::diagnostics::{ReleaseState, State};
use narthex_channel::{Address, UnixMillis};
use tokio::sync::{Notify, watch};

use super::authority::{Authority, Now};
use super::exchange::Exchanger;
use super::keyring::Keyring;
use crate::config::Config;
use crate::decisions::Outcome;
use crate::init::heartbeat::Heartbeat;
use crate::ipc::GateTally;
use crate::local_socket::Counters;
use crate::mode::{Mode, Privileges};
use crate::module::Module;
use crate::notice::Notices;
use crate::probes::Probes;
use crate::trusted_time::{BootMillis, TrustedTime};
use crate::workload::WorkloadHandle;

/// The shared state.
pub struct Core {
    /// The configuration.
    pub config: Config,
    /// How the agent runs.
    pub mode: Mode,
    /// With which rights.
    pub privileges: Privileges,
    /// What a person at `--local` reads.
    pub notices: Notices,
    /// The NSM.
    pub module: Module,
    /// Runs fetchers.
    pub exchanger: Exchanger,
    /// Where policy comes from.
    pub policy_source: Address,
    /// Where keys come from, when any are wanted.
    pub key_service: Option<Address>,
    /// Every decision.
    pub authority: RefCell<Authority>,
    /// Trusted time.
    pub time: RefCell<TrustedTime>,
    /// The keys.
    pub keyring: RefCell<Keyring>,
    /// The workload.
    pub workload: WorkloadHandle,
    /// Readings of the kernel.
    pub probes: Probes,
    /// What the workload counts.
    pub counters: RefCell<Counters>,
    /// The gate, as the supervisor sees it.
    pub gate: RefCell<GateStatus>,
    /// The policy source, as the supervisor sees it.
    pub policy_status: RefCell<SourceStatus>,
    /// The key service, as the supervisor sees it.
    pub key_status: RefCell<SourceStatus>,
    /// The release was found revoked: keys are wiped, the workload is stopped.
    pub revoked: Cell<bool>,
    /// The workload was started: once keys were there, and once more after each revocation that was lifted.
    /// What ends it later is the restart policy's matter, not that of fresh keys.
    pub workload_started: Cell<bool>,
    /// Wakes the task that fetches keys.
    pub fetch_keys: Notify,
    /// The order to end, with the grace period asked for.
    pub shutdown: watch::Sender<Option<Shutdown>>,
    /// When the agent started.
    pub started: BootMillis,
    /// How the machine was found when it started.
    pub start: Start,
}

/// How the machine was found when the agent started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Self-checks that failed; an enclave does not get here with any.
    pub failed_checks: u64,
    /// What became of the heartbeat.
    pub heartbeat: Heartbeat,
}

/// The order to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long the workload has; `None`: as configured.
    pub grace: Option<Duration>,
}

/// The gate, as the supervisor sees it.
#[derive(Clone, Copy, Debug, Default)]
pub struct GateStatus {
    /// Whether one is running and confined.
    pub running: bool,
    /// Whether it runs as a user of its own.
    pub user_changed: bool,
    /// The Landlock ABI that confines it; 0 before the first.
    pub landlock_abi: u8,
    /// Times it was started again.
    pub restarts: u64,
    /// Sessions it opened.
    pub accepted: u64,
    /// What it turned away, by its own word.
    pub limited: u64,
    /// As `limited`.
    pub faulty: u64,
    /// As `limited`.
    pub timed_out: u64,
}

impl GateStatus {
    /// Adds a tally.
    pub fn add(&mut self, tally: GateTally) {
        let GateTally {
            limited,
            faulty,
            timed_out,
        } = tally;
        self.limited = self.limited.saturating_add(u64::from(limited));
        self.faulty = self.faulty.saturating_add(u64::from(faulty));
        self.timed_out = self.timed_out.saturating_add(u64::from(timed_out));
    }
}

/// A peer that the agent asks for things.
#[derive(Clone, Copy, Debug, Default)]
pub struct SourceStatus {
    /// Requests made.
    pub requests: u64,
    /// Requests that failed or were refused.
    pub failures: u64,
    /// When one last succeeded.
    pub succeeded: Option<UnixMillis>,
    /// When the next is due.
    pub next: Option<UnixMillis>,
}

impl SourceStatus {
    /// Counts a request.
    pub fn requested(&mut self) {
        self.requests = self.requests.saturating_add(1);
        self.next = None;
    }

    /// Counts a failure.
    pub fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }
}

impl Core {
    /// Trusted time and the boot clock.
    pub fn now(&self) -> Now {
        let boot = BootMillis::read();
        Now {
            trusted: self.time.borrow().now(boot),
            boot,
        }
    }

    /// Lifts trusted time to what the log's witnesses have signed, as the authority learnt it.
    pub fn learn_time(&self) {
        if let Some(witnessed) = self.authority.borrow().witnessed() {
            let mut time = self.time.borrow_mut();
            time.raise_to(witnessed, BootMillis::read());
        }
    }

    /// What the agent is doing.
    pub fn state(&self) -> State {
        if self.shutdown.borrow().is_some() {
            State::Stopping
        } else if self.revoked.get() {
            State::Revoked
        } else if !self.keyring.borrow().is_complete() {
            State::WaitingForKeys
        } else {
            State::Running
        }
    }

    /// Looks whether the policy in force revokes the release that is running, and acts on it: keys are wiped
    /// and the workload is stopped. Reading goes on. A release that is good again (a new bundle, a
    /// statement signed again) gets keys and is started again like after a boot.
    pub async fn act_on_release_state(self: &Rc<Self>) {
        let now = self.now();
        let state = self.authority.borrow().release_state(now);
        let was_revoked = self.revoked.get();
        match (state == ReleaseState::Revoked, was_revoked) {
            (true, false) => {
                self.revoked.set(true);
                self.notices.say(
                    "this release is revoked: keys are wiped, the workload stops",
                    "",
                );
                self.authority
                    .borrow_mut()
                    .record_event(Outcome::Accepted, "release.revoked", now);
                self.workload_started.set(false);
                self.keyring.borrow_mut().wipe();
                // Errors show in the workload's state; there is nothing else to be done about them here.
                let _ = self.workload.withdraw().await;
            }
            (false, true) => {
                self.revoked.set(false);
                self.workload.permit();
                self.notices.say("this release is no longer revoked", "");
                self.authority.borrow_mut().record_event(
                    Outcome::Accepted,
                    "release.restored",
                    now,
                );
                self.fetch_keys.notify_one();
            }
            (true, true) | (false, false) => {}
        }
    }
}
