//! Reading who we are from the NSM, and fixing the policy in it.

use narthex_channel::ModuleId;
use narthex_channel::diagnostics::BootId;
use narthex_nsm::PCR_COUNT;
use narthex_policy::{Measurements, Pcr, Policy};

use crate::error::AgentError;
use crate::module::Module;
use crate::supervisor::identity::Identity;

/// The register that names the policy.
const POLICY_PCR: u16 = 16;

/// Who we are. Refused when PCR16 was touched before us: then something else in this enclave spoke to the NSM
/// first, and what PCR16 says would not be ours alone.
pub(super) fn identify(module: &Module) -> Result<Identity, AgentError> {
    let description = module.describe_now()?;
    let module_id = ModuleId::new(&description.module_id).map_err(|_| AgentError::NsmDocument)?;
    let policy_pcr = module.register_now(POLICY_PCR)?;
    if policy_pcr.locked || policy_pcr.data != Pcr::ZERO.0 {
        return Err(AgentError::PcrAlreadyExtended);
    }
    let mut boot_id = [0; 16];
    getrandom::fill(&mut boot_id).map_err(|_| AgentError::Random)?;
    let register = |index| register(module, index);
    let pcr8 = register(8)?;
    Ok(Identity {
        module_id,
        boot_id: BootId(boot_id),
        measurements: Measurements {
            pcr0: register(0)?,
            pcr1: register(1)?,
            pcr2: register(2)?,
            // An image that nobody signed has zeros there, which never match anything.
            pcr8: (pcr8 != Pcr::ZERO).then_some(pcr8),
        },
    })
}

fn register(module: &Module, index: u16) -> Result<Pcr, AgentError> {
    let state = module.register_now(index)?;
    state
        .data
        .try_into()
        .map(Pcr)
        .map_err(|_| AgentError::NsmDocument)
}

/// Extends the bundle's digest into PCR16, locks all registers, and looks whether both happened.
pub(super) fn seal(module: &Module, policy: &Policy) -> Result<(), AgentError> {
    let digest = policy.digest();
    module.extend_now(POLICY_PCR, digest.as_bytes())?;
    module.lock_below_now(PCR_COUNT)?;
    let state = module.register_now(POLICY_PCR)?;
    let expected = Pcr::of_boot_bundle(digest);
    let description = module.describe_now()?;
    let all_locked = (0..PCR_COUNT).all(|index| description.locked_pcrs.contains(&index));
    if state.data == expected.0 && state.locked && all_locked {
        Ok(())
    } else {
        Err(AgentError::PcrNotLocked)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use narthex_nsm::mock::mint::DevelopmentAuthority;
    use narthex_nsm::mock::{MockConfig, MockNsm};

    use super::*;

    #[test]
    fn a_register_that_was_extended_before_ends_the_boot() {
        let nsm = Arc::new(mock());
        let module = Module::new(nsm);
        assert!(identify(&module).is_ok());
        module.extend_now(POLICY_PCR, b"somebody else").unwrap();
        assert_eq!(
            identify(&module).unwrap_err(),
            AgentError::PcrAlreadyExtended
        );
    }

    #[test]
    fn a_register_that_was_locked_before_ends_the_boot() {
        let module = Module::new(Arc::new(mock()));
        module.lock_below_now(17).unwrap();
        assert_eq!(
            identify(&module).unwrap_err(),
            AgentError::PcrAlreadyExtended
        );
    }

    fn mock() -> MockNsm {
        MockNsm::new(
            DevelopmentAuthority::insecure_fixed(),
            MockConfig::example(),
        )
    }
}
