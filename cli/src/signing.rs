//! Makes SSH signatures over a file's exact bytes.
//!
//! An unencrypted Ed25519 or ECDSA key is used here, in this process. Everything else (a passphrase,
//! an agent, a FIDO key, a public key whose private half sits in an agent) is given to
//! `ssh-keygen -Y sign`, which people already trust with their keys and which asks for what it needs
//! on the terminal. Both give the same armored format.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use narthex_policy::{Namespace, SigningKey};
use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome, plain};

/// The largest OpenSSH keys (RSA 16384) are below 16 KiB.
const KEY_LIMIT_BYTES: usize = 64 * 1024;

/// An armored signature is below 1 KiB for the keys that a policy can name; RSA ones below 8 KiB.
const SIGNATURE_LIMIT_BYTES: u64 = 64 * 1024;

/// Something that signs for a person.
pub(crate) enum Signer {
    /// A key that can be used without asking anybody.
    Here(Box<SigningKey>, PathBuf),
    /// Everything else.
    SshKeygen(PathBuf),
}

impl Signer {
    /// Takes the key in the file `path`.
    ///
    /// # Errors
    /// `file.*` if it cannot be read, `key.permissions` if others can read it.
    pub(crate) fn load(path: &Path) -> Outcome<Self> {
        let failed = |error: io::Error| {
            Failure::file("read", path, &error)
                .next("--key takes a private key, or the public key of one that your agent holds")
        };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode();
        // With room for all of it: a text that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_LIMIT_BYTES));
        match file.take(KEY_LIMIT_BYTES as u64).read_to_string(&mut text) {
            // Not text, so no key of OpenSSH's; its own program says what it thinks of it.
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Ok(Signer::SshKeygen(path.to_owned()));
            }
            other => other.map_err(failed)?,
        };
        if !text.contains("PRIVATE KEY-----") {
            return Ok(Signer::SshKeygen(path.to_owned())); // A public key: an agent has the other half.
        }
        // As ssh does: a key that others can read is everybody's key.
        if mode & 0o077 != 0 {
            return Err(Failure::environment(
                "key.permissions",
                format!("{} can be read by other users", path.display()),
            )
            .next(format!("make it yours alone: chmod 600 {}", path.display())));
        }
        Ok(match SigningKey::from_openssh(&text) {
            Ok(key) => Signer::Here(Box::new(key), path.to_owned()),
            Err(_) => Signer::SshKeygen(path.to_owned()), // Encrypted, or a kind not known here.
        })
    }

    /// Signs `bytes` for one purpose; returns the armored signature.
    ///
    /// # Errors
    /// `key.unusable`; `ssh_keygen.*` if the other program is missing or says no.
    pub(crate) fn sign(&self, namespace: Namespace, bytes: &[u8]) -> Outcome<String> {
        match self {
            Signer::SshKeygen(path) => with_ssh_keygen(path, namespace.name(), bytes),
            Signer::Here(key, path) => key.sign(namespace, bytes).map_err(|refusal| {
                Failure::environment(
                    "key.unusable",
                    format!("cannot sign with {}: {}", path.display(), refusal.detail()),
                )
            }),
        }
    }
}

/// Signs once with the key in the file `key`.
///
/// # Errors
/// As [`Signer::load`] and [`Signer::sign`].
pub(crate) fn sign(key: &Path, namespace: Namespace, bytes: &[u8]) -> Outcome<String> {
    Signer::load(key)?.sign(namespace, bytes)
}

fn with_ssh_keygen(key: &Path, namespace: &str, bytes: &[u8]) -> Outcome<String> {
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-q", "-n", namespace, "-f"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit()) // Its questions and complaints are for the same person.
        .spawn()
        .map_err(|error| missing(key, &error))?;
    if let Some(mut stdin) = child.stdin.take() {
        match stdin.write_all(bytes) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(missing(key, &error));
            }
            _ => {} // If it has ended already, its exit status says why.
        }
    }
    let mut armored = String::new();
    if let Some(stdout) = child.stdout.take() {
        stdout
            .take(SIGNATURE_LIMIT_BYTES)
            .read_to_string(&mut armored)
            .map_err(|error| missing(key, &error))?;
    }
    let status = child.wait().map_err(|error| missing(key, &error))?;
    match status.success() && armored.starts_with("-----BEGIN SSH SIGNATURE-----") {
        true => Ok(armored),
        false => Err(Failure::environment(
            "ssh_keygen.refused",
            format!("ssh-keygen did not sign with {} ({status})", key.display()),
        )
        .next("its own message above says why; `ssh-add -l` lists what your agent holds")),
    }
}

fn missing(key: &Path, error: &io::Error) -> Failure {
    Failure::environment(
        "ssh_keygen.failed",
        format!(
            "{} needs `ssh-keygen`, which could not be run: {}",
            key.display(),
            plain(error)
        ),
    )
    .next("install OpenSSH's client, or use an Ed25519 key without a passphrase")
}

/// Where the signature of `person` over `file` is kept: `FILE.PERSON.sig`.
pub(crate) fn signature_path(file: &Path, person: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".");
    name.push(person);
    name.push(".sig");
    PathBuf::from(name)
}
