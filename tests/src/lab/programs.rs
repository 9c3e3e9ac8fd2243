//! Where the programs are. They are not built here: cargo would join their features, and the difference
//! between a program that trusts a development root and one that ships is what some scenarios are about.

use std::path::PathBuf;

/// Folder of the programs that trust a development root when told to.
pub const DEV_VARIABLE: &str = "NARTHEX_DEV_PROGRAMS";
/// Folder of the programs as they ship.
pub const SHIPPED_VARIABLE: &str = "NARTHEX_SHIPPED_PROGRAMS";

/// The three programs of one kind.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Those that trust a development root when told to.
    ///
    /// # Panics
    ///
    /// If nobody said where they are.
    #[must_use]
    pub fn dev() -> Self {
        Self::at(DEV_VARIABLE)
    }

    /// Those that ship.
    ///
    /// # Panics
    ///
    /// If nobody said where they are.
    #[must_use]
    pub fn shipped() -> Self {
        Self::at(SHIPPED_VARIABLE)
    }

    fn at(variable: &str) -> Self {
        let Some(folder) = std::env::var_os(variable) else {
            panic!(
                "{variable} does not say where the programs are: run scripts/test, which builds them"
            );
        };
        let folder = PathBuf::from(folder);
        assert!(
            folder.join("narthex").is_file(),
            "{variable} is {}, and there is no narthex: run scripts/test, which builds it",
            folder.display()
        );
        Self { folder }
    }

    /// The command.
    #[must_use]
    pub fn narthex(&self) -> PathBuf {
        self.folder.join("narthex")
    }

    /// The agent.
    #[must_use]
    pub fn agent(&self) -> PathBuf {
        self.folder.join("narthex-agent")
    }

    /// The key service.
    #[must_use]
    pub fn key_service(&self) -> PathBuf {
        self.folder.join("narthex-key-service")
    }
}
