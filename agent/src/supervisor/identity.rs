//! Which enclave this is: learnt from its own NSM at boot, unchanged since.

use narthex_channel::ModuleId;
use narthex_channel::diagnostics::{AgentVersion, BootId};
use narthex_policy::Measurements;

/// Which enclave, which boot, which software.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The NSM's module id.
    pub module_id: ModuleId,
    /// 16 random bytes of this boot.
    pub boot_id: BootId,
    /// PCR0, PCR1, PCR2 and PCR8.
    pub measurements: Measurements,
}

impl Identity {
    /// The parent instance's id: the module id up to `-enc`.
    pub fn instance_id(&self) -> &str {
        let module_id = self.module_id.as_str();
        module_id
            .split_once("-enc")
            .map_or(module_id, |(instance, _)| instance)
    }
}

/// The version of this program.
pub fn agent_version() -> AgentVersion {
    let number = |text: &str| text.parse().unwrap_or(0);
    AgentVersion {
        major: number(env!("CARGO_PKG_VERSION_MAJOR")),
        minor: number(env!("CARGO_PKG_VERSION_MINOR")),
        patch: number(env!("CARGO_PKG_VERSION_PATCH")),
    }
}

#[cfg(test)]
mod tests {
    use narthex_policy::Pcr;

    use super::*;

    #[test]
    fn the_instance_id_is_the_front_of_the_module_id() {
        let measurements = Measurements {
            pcr0: Pcr::ZERO,
            pcr1: Pcr::ZERO,
            pcr2: Pcr::ZERO,
            pcr8: None,
        };
        let identity = |module_id| Identity {
            module_id: ModuleId::new(module_id).unwrap(),
            boot_id: BootId([0; 16]),
            measurements,
        };
        assert_eq!(
            identity("i-0123456789abcdef0-enc0123456789abcdef").instance_id(),
            "i-0123456789abcdef0"
        );
        assert_eq!(identity("strange").instance_id(), "strange");
    }

    #[test]
    fn the_version_is_the_package_version() {
        assert_eq!(agent_version().to_string(), env!("CARGO_PKG_VERSION"));
    }
}
