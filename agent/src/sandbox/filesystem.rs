//! Landlock: no file system, no TCP, nothing outside the sandbox to signal or to talk to.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError,
    RulesetStatus, Scope,
};

use super::SandboxError;

/// The ABI whose every restriction must be enforced. See the module above for the choice.
const REQUIRED_ABI: ABI = ABI::V6;

/// Handles every access of [`REQUIRED_ABI`] and grants none.
pub(super) fn deny_all() -> Result<(), SandboxError> {
    let status = restrict().map_err(|_| SandboxError::Landlock)?;
    // A hard requirement already fails when anything is missing; the status is read as well, because
    // the whole claim rests on it.
    if status == RulesetStatus::FullyEnforced {
        Ok(())
    } else {
        Err(SandboxError::Landlock)
    }
}

fn restrict() -> Result<RulesetStatus, RulesetError> {
    let restriction = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(REQUIRED_ABI))?
        .handle_access(AccessNet::from_all(REQUIRED_ABI))?
        .scope(Scope::from_all(REQUIRED_ABI))?
        .create()?
        .restrict_self()?;
    Ok(restriction.ruleset)
}
