//! A key in a token, through `narthex-pkcs11`.
//!
//! PKCS#11 modules are shared libraries, which a static program cannot load. The other program gets
//! a digest and gives a signature, which is checked against the certificate before anything is made
//! of it; so nothing has to be believed about it, or about the module.

use std::env;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use narthex_image::Sha384Digest;
use narthex_image::eif::SignError;

use crate::failure::plain;

/// The other program's name.
const PROGRAM: &str = "narthex-pkcs11";

/// Which key.
pub(super) struct Token {
    pub(super) module: PathBuf,
    pub(super) uri: String,
    pub(super) pin_file: Option<PathBuf>,
}

impl Token {
    /// Signs `message` by ES384.
    ///
    /// # Errors
    /// A sentence; what the token itself said has gone to standard error.
    pub(super) fn sign(&self, message: &[u8]) -> Result<[u8; 96], SignError> {
        let digest = Sha384Digest::of(message);
        let (program, signature) = self.run(digest.as_bytes()).map_err(|error| {
            SignError::new(format!("{PROGRAM} could not be run: {}", plain(&error)))
        })?;
        let signature = signature.ok_or_else(|| {
            SignError::new(format!(
                "{} did not sign; its own message says why",
                program.display()
            ))
        })?;
        signature.try_into().map_err(|_| {
            SignError::new(format!(
                "{} gave no signature of 96 bytes",
                program.display()
            ))
        })
    }

    fn run(&self, digest: &[u8]) -> io::Result<(PathBuf, Option<Vec<u8>>)> {
        let program = program();
        let mut command = Command::new(&program);
        command
            .arg("--module")
            .arg(&self.module)
            .arg("--uri")
            .arg(&self.uri)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit()); // Its words are for the same person.
        if let Some(path) = &self.pin_file {
            command.arg("--pin-file").arg(path);
        }
        let mut child = command.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(digest) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
                _ => {} // If it has ended already, its exit status says why.
            }
        }
        let mut signature = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            stdout.take(97).read_to_end(&mut signature)?;
        }
        let status = child.wait()?;
        Ok((program, status.success().then_some(signature)))
    }
}

/// Beside this program, or on the PATH.
fn program() -> PathBuf {
    env::current_exe()
        .ok()
        .map(|path| path.with_file_name(PROGRAM))
        .filter(|path| path.is_file())
        .unwrap_or_else(|| PathBuf::from(PROGRAM))
}
