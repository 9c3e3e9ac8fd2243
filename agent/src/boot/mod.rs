//! From nothing to a state in which something may be served.
//!
//! The order matters. Nobody outside is asked anything but for policy before PCR16 names the bundle and all
//! registers are locked; nothing is served before the policy is verified; no key is asked for before
//! the gate stands.
//!
//! 1. The NSM says who we are ([`registers::identify`]); whatever used it before us ends the boot.
//! 2. Trusted time from the NSM's own document.
//! 3. Policy from the untrusted source, through a fetcher, verified against the anchor in the image, and named by the
//!    log as the one in force.
//! 4. PCR16, and the locks ([`registers::seal`]).

mod policy;
mod registers;

use std::sync::Arc;

use narthex_channel::UnixMillis;
use narthex_nsm::device::NsmDevice;
use narthex_nsm::socket::SocketNsm;
use narthex_nsm::{AttestationRequest, Nsm, own_document};

use crate::config::{Config, NsmConfig};
use crate::error::AgentError;
use crate::init::status::BootReporter;
use crate::module::Module;
use crate::notice::Notices;
use crate::supervisor::authority::{Authority, Now};
use crate::supervisor::exchange::Exchanger;
use crate::supervisor::policy_watch::Intake;
use crate::trusted_time::{BootMillis, TrustedTime};

pub use policy::PolicySource;

/// What boot leaves behind.
pub struct Booted {
    /// The NSM, with its registers locked.
    pub module: Module,
    /// Trusted time.
    pub time: TrustedTime,
    /// The authority under the policy that is now in PCR16.
    pub authority: Authority,
    /// Which statements were taken.
    pub intake: Intake,
}

/// Opens the NSM of the configuration.
///
/// # Errors
///
/// [`AgentError::Nsm`].
pub fn open_nsm(config: &NsmConfig) -> Result<Arc<dyn Nsm>, AgentError> {
    match config {
        NsmConfig::Device => Ok(Arc::new(NsmDevice::open()?)),
        NsmConfig::Socket(path) => Ok(Arc::new(SocketNsm::new(path.clone()))),
    }
}

/// Boots. Waits for the policy source for as long as it takes.
///
/// # Errors
///
/// [`AgentError`]; nothing was served.
pub async fn boot(
    config: &Config,
    nsm: Arc<dyn Nsm>,
    exchanger: &Exchanger,
    notices: Notices,
    reporter: &BootReporter,
) -> Result<Booted, AgentError> {
    let module = Module::new(nsm);
    let identity = registers::identify(&module)?;
    let mut time = start_time(&module)?;
    if config.insecure_without_ledger {
        notices.say(
            "insecure: neither policy nor orders nor keys are looked up in the log (insecure_without_ledger)",
            "",
        );
    }
    notices.say("waiting for a policy", "");
    let source = PolicySource::new(config)?;
    let (policy, answer) = source.policy(exchanger, &time, notices, reporter).await?;
    registers::seal(&module, policy.policy())?;
    notices.say(
        "the policy is verified, PCR16 names it, all registers are locked",
        "",
    );
    let boot = BootMillis::read();
    let now = Now {
        trusted: time.now(boot),
        boot,
    };
    let mut authority = Authority::new(identity, policy, &config.gate, now);
    let mut intake = Intake::default();
    intake.take(&answer, &mut authority, now);
    if let Some(witnessed) = authority.witnessed() {
        time.raise_to(witnessed, BootMillis::read());
    }
    Ok(Booted {
        module,
        time,
        authority,
        intake,
    })
}

fn start_time(module: &Module) -> Result<TrustedTime, AgentError> {
    let asked = BootMillis::read();
    let document = module.attest_now(AttestationRequest::default())?;
    let timestamp = own_document::timestamp(&document).map_err(|_| AgentError::NsmDocument)?;
    Ok(TrustedTime::start(UnixMillis(timestamp.0), asked))
}
