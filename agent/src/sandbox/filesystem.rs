//! Landlock: no file system, no TCP, nothing outside the sandbox to signal or to talk to.

// Asking for the kernel's ABI has no safe wrapper.
#![allow(unsafe_code)]

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError,
    RulesetStatus, Scope,
};
use minicbor::{CborLen, Decode, Encode};
use nix::libc;

use super::SandboxError;

/// The ABI whose every restriction must be enforced. See the module above for the choice.
pub const FULL_LANDLOCK_ABI: u8 = 6;

/// What Landlock must enforce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, CborLen)]
#[cbor(index_only)]
pub enum LandlockDemand {
    /// All of [`FULL_LANDLOCK_ABI`].
    #[n(0)]
    Full,
    /// All of the newest ABI that the kernel has, whichever that is: on kernels before 6.12, TCP, signals or
    /// abstract sockets are left to seccomp alone.
    #[n(1)]
    InsecureNewest,
}

/// The Landlock ABI of the running kernel; 0 without Landlock.
pub fn kernel_landlock_abi() -> u8 {
    const CREATE_RULESET_VERSION: libc::c_uint = 1;
    let no_attributes = std::ptr::null::<libc::c_void>();
    // SAFETY: with this flag, a null pointer and length 0 the call reads no memory and makes nothing.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            no_attributes,
            0_usize,
            CREATE_RULESET_VERSION,
        )
    };
    u8::try_from(version.clamp(0, 255)).unwrap_or(0)
}

/// Handles every access that `demand` stands for on this kernel, grants none, and returns the ABI that is
/// enforced.
pub(super) fn deny_all(demand: LandlockDemand) -> Result<u8, SandboxError> {
    let abi = match demand {
        LandlockDemand::Full => FULL_LANDLOCK_ABI,
        LandlockDemand::InsecureNewest => kernel_landlock_abi().min(FULL_LANDLOCK_ABI),
    };
    if abi == 0 {
        return Err(SandboxError::Landlock);
    }
    let status = restrict(abi).map_err(|_| SandboxError::Landlock)?;
    // A hard requirement already fails when anything is missing; the status is read as well, because
    // the whole claim rests on it.
    if status == RulesetStatus::FullyEnforced {
        Ok(abi)
    } else {
        Err(SandboxError::Landlock)
    }
}

fn restrict(abi: u8) -> Result<RulesetStatus, RulesetError> {
    /// TCP rules came with this ABI.
    const NETWORK_ABI: u8 = 4;
    let number = abi;
    let abi = ABI::from(i32::from(abi));
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(abi))?;
    if number >= NETWORK_ABI {
        rules = rules.handle_access(AccessNet::from_all(abi))?;
    }
    if number >= FULL_LANDLOCK_ABI {
        rules = rules.scope(Scope::from_all(abi))?;
    }
    Ok(rules.create()?.restrict_self()?.ruleset)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Landlock confines one thread, so each ABI gets one of its own.
    fn on_a_thread_of_its_own<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(test).join().unwrap()
    }

    #[test]
    fn every_abi_that_the_kernel_has_is_enforced_in_full_and_denies_files() {
        let newest = kernel_landlock_abi().min(FULL_LANDLOCK_ABI);
        for abi in 1..=newest {
            let (status, opened) = on_a_thread_of_its_own(move || {
                nix::sys::prctl::set_no_new_privs().unwrap();
                (restrict(abi).unwrap(), std::fs::File::open("/etc/passwd"))
            });
            assert_eq!(status, RulesetStatus::FullyEnforced, "{abi}");
            let error = opened.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{abi}");
        }
    }

    #[test]
    fn the_full_demand_needs_the_full_abi_and_the_older_one_any() {
        let full = on_a_thread_of_its_own(|| deny_all(LandlockDemand::Full));
        let newest = on_a_thread_of_its_own(|| deny_all(LandlockDemand::InsecureNewest));
        match kernel_landlock_abi() {
            0 => {
                assert_eq!(full, Err(SandboxError::Landlock));
                assert_eq!(newest, Err(SandboxError::Landlock));
            }
            abi if abi < FULL_LANDLOCK_ABI => {
                assert_eq!(full, Err(SandboxError::Landlock));
                assert_eq!(newest, Ok(abi));
            }
            _ => {
                assert_eq!(full, Ok(FULL_LANDLOCK_ABI));
                assert_eq!(newest, Ok(FULL_LANDLOCK_ABI));
            }
        }
    }
}
