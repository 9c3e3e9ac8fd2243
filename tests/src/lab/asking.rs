//! A client of the key service that checks nothing, so that what refuses is the service.

use std::path::Path;

use super::enclave::Enclave;
use super::process::Said;
use super::{KEY, Lab};

/// Which bundle the client says it booted with.
#[derive(Clone, Copy, Debug)]
pub struct Booted<'a> {
    /// The file, in the lab's folder; PCR16 is extended with its bytes.
    pub bundle: &'a str,
    /// The version it claims.
    pub version: &'a str,
}

impl Lab {
    /// Asks for the lab's key with `adversary`, the path of `narthex-adversary`; `more` are further
    /// options. It prints `released` or the reason of the refusal.
    #[must_use]
    pub fn ask_unchecked(
        &self,
        adversary: &Path,
        enclave: &Enclave,
        booted: Booted<'_>,
        more: &[&str],
    ) -> Said {
        let (socket, service) = (
            enclave.socket().display().to_string(),
            self.address("keys.sock").to_string(),
        );
        let arguments = [
            "ask",
            "--service",
            &service,
            "--service-key",
            &self.service_key,
            "--nsm",
            &socket,
            "--bundle",
            booted.bundle,
            "--bundle-version",
            booted.version,
            "--key",
            KEY,
        ];
        Said::by(
            self.folder(),
            adversary,
            &[arguments.as_slice(), more].concat(),
        )
    }
}
