//! What virtual machines are made of. `scripts/vm tools` builds it and prints the folder.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::lab::process::Said;
use crate::lab::programs::SHIPPED_VARIABLE;

/// Folder of QEMU, the vsock device, the firmware and the kernel.
pub const VARIABLE: &str = "NARTHEX_MACHINE";
/// With this, a test without its machine fails.
pub const REQUIRED: &str = "NARTHEX_REQUIRE_MACHINE";
/// Folder of the static programs that only go into images: the specimen.
pub const IMAGE_PROGRAMS_VARIABLE: &str = "NARTHEX_IMAGE_PROGRAMS";

/// Everything that a virtual machine needs and that is not in the repository.
#[derive(Clone, Debug)]
pub struct Tools {
    folder: PathBuf,
    specimen: PathBuf,
    agent: PathBuf,
}

impl Tools {
    /// The tools; `None`, and a line that names the test, where there are none and none are required.
    ///
    /// # Panics
    ///
    /// If they are required and not there.
    #[must_use]
    pub fn find(test: &str) -> Option<Self> {
        match Self::at_variables() {
            Ok(tools) => Some(tools),
            Err(words) => {
                assert!(env::var_os(REQUIRED).is_none(), "{test}: {words}");
                eprintln!("SKIPPED {test}: {words}");
                None
            }
        }
    }

    fn at_variables() -> Result<Self, String> {
        let folder = folder(VARIABLE, "scripts/vm tools", "qemu-system-x86_64")?;
        let image = folder_of_programs(IMAGE_PROGRAMS_VARIABLE, "image", "narthex-specimen")?;
        let shipped = folder_of_programs(SHIPPED_VARIABLE, "ship", "narthex-agent")?;
        Ok(Self {
            folder,
            specimen: image.join("narthex-specimen"),
            agent: shipped.join("narthex-agent"),
        })
    }

    /// QEMU with the machine `nitro-enclave`.
    #[must_use]
    pub fn qemu(&self) -> PathBuf {
        self.folder.join("qemu-system-x86_64")
    }

    /// The device through which a machine reaches its parent, which is CID 3.
    #[must_use]
    pub fn vsock_device(&self) -> PathBuf {
        self.folder.join("vhost-device-vsock")
    }

    /// The firmware that QEMU loads.
    #[must_use]
    pub fn firmware(&self) -> PathBuf {
        self.folder.join("firmware")
    }

    /// The kernel of our recipe.
    #[must_use]
    pub fn kernel(&self) -> PathBuf {
        self.folder.join("bzImage")
    }

    /// The frequency of this computer's time-stamp counter, which QEMU's emulated one has.
    #[must_use]
    pub fn tsc_khz(&self) -> &str {
        static MEASURED: OnceLock<String> = OnceLock::new();
        MEASURED.get_or_init(|| {
            let said = Said::by::<&str>(&self.folder, &self.folder.join("tsc-khz"), &[]);
            said.done().trim().to_owned()
        })
    }

    /// The program that tests put into images.
    #[must_use]
    pub fn specimen(&self) -> &Path {
        &self.specimen
    }

    /// The agent as it ships.
    #[must_use]
    pub fn agent(&self) -> &Path {
        &self.agent
    }
}

fn folder_of_programs(variable: &str, kind: &str, program: &str) -> Result<PathBuf, String> {
    folder(variable, &format!("scripts/build {kind}"), program)
}

fn folder(variable: &str, maker: &str, file: &str) -> Result<PathBuf, String> {
    let folder = env::var_os(variable).map(PathBuf::from);
    let found = folder.filter(|folder| folder.join(file).is_file());
    found.ok_or_else(|| {
        format!("{variable} does not name the folder of {file}: run `{maker}`, then set {variable}")
    })
}
