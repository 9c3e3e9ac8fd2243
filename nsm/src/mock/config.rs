//! Which enclave the mock pretends to be.

use std::fmt;
use std::sync::Arc;

use super::clock::{Clock, SystemClock};
use super::mint::{Identity, Measurement, PayloadRecipe};

/// The enclave that the mock speaks for.
#[derive(Clone)]
pub struct MockConfig {
    /// Instance, enclave and region: module id, PCR4 and all subjects follow from it.
    pub identity: Identity,
    /// PCR0: the whole image.
    pub pcr0: Measurement,
    /// PCR1: kernel and first ramdisk.
    pub pcr1: Measurement,
    /// PCR2: the application.
    pub pcr2: Measurement,
    /// PCR8: the image's signer; `None` for an unsigned image.
    pub pcr8: Option<Measurement>,
    /// The parent's role, which PCR3 follows from; `None` leaves PCR3 zero.
    pub role_arn: Option<String>,
    /// Whether the enclave runs in debug mode.
    pub mode: EnclaveMode,
    /// How the payload map of documents ends.
    pub payload_form: PayloadForm,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

/// How the enclave was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnclaveMode {
    /// Measurements are shown.
    Production,
    /// `--debug-mode`: PCR0, 1, 2 and 8 are zero; PCR3 and 4 are as always.
    Debug,
}

/// How the payload map of documents ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PayloadForm {
    /// With a break: every genuine document since 2025-08.
    Indefinite,
    /// With its number of entries: every genuine document before.
    Definite,
}

impl MockConfig {
    /// An enclave with made-up measurements and a role, on the system's clock.
    #[must_use]
    pub fn example() -> Self {
        Self {
            identity: Identity::example(),
            pcr0: PayloadRecipe::example_measurement(0),
            pcr1: PayloadRecipe::example_measurement(1),
            pcr2: PayloadRecipe::example_measurement(2),
            pcr8: None,
            role_arn: Some(PayloadRecipe::EXAMPLE_ROLE_ARN.to_owned()),
            mode: EnclaveMode::Production,
            payload_form: PayloadForm::Indefinite,
            clock: Arc::new(SystemClock),
        }
    }
}

impl fmt::Debug for MockConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            identity,
            mode,
            payload_form,
            role_arn,
            ..
        } = self;
        f.debug_struct("MockConfig")
            .field("identity", identity)
            .field("mode", mode)
            .field("payload_form", payload_form)
            .field("role_arn", role_arn)
            .finish_non_exhaustive()
    }
}
