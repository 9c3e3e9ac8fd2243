//! From what was typed to an operation and its payload.

use narthex_channel::{SecretBytes, commitment};
use narthex_policy::{Digest384, KeyName, KeyOperation};

use crate::commands::keys::{CallArguments, Operation};
use crate::failure::{Failure, Outcome};
use crate::input::read_file;

/// The longest secret that the service takes.
const SECRET_LIMIT_BYTES: usize = 4096;

/// The longest backup that fits one request.
const BACKUP_LIMIT_BYTES: usize = narthex_channel::limits::MAX_PAYLOAD_BYTES;

/// What will be ordered, and what goes with it.
pub(super) struct Planned<'a> {
    pub(super) operation: KeyOperation,
    pub(super) payload: Option<SecretBytes>,
    pub(super) call: &'a CallArguments,
}

impl<'a> Planned<'a> {
    /// Resolves what was typed.
    ///
    /// # Errors
    /// `file.*`, `name.malformed`, `secret.length`.
    pub(super) fn from_arguments(operation: &'a Operation) -> Outcome<Self> {
        let plain = |operation, call| {
            Ok(Self {
                operation,
                payload: None,
                call,
            })
        };
        match operation {
            Operation::Create { name, call } => {
                plain(KeyOperation::Create { key: key(name)? }, call)
            }
            Operation::Rotate { name, call } => {
                plain(KeyOperation::Rotate { key: key(name)? }, call)
            }
            Operation::List { name: _, call } => plain(KeyOperation::List, call),
            Operation::Decisions { call } => plain(KeyOperation::ListDecisions, call),
            Operation::Disable {
                name,
                version,
                call,
            } => plain(
                KeyOperation::Disable {
                    key: key(name)?,
                    version: *version,
                },
                call,
            ),
            Operation::Enable {
                name,
                version,
                call,
            } => plain(
                KeyOperation::Enable {
                    key: key(name)?,
                    version: *version,
                },
                call,
            ),
            Operation::Retire {
                name,
                version,
                call,
            } => plain(
                KeyOperation::Retire {
                    key: key(name)?,
                    version: *version,
                },
                call,
            ),
            Operation::Backup { out, call } => {
                // Known before anything is asked for, so that no order is used up for nothing.
                if out.exists() {
                    let taken = std::io::ErrorKind::AlreadyExists.into();
                    return Err(Failure::file("write", out, &taken));
                }
                plain(KeyOperation::BackUp, call)
            }
            Operation::RotateRoot { call } => plain(KeyOperation::RotateRootKey, call),
            Operation::Import {
                name,
                version,
                secret,
                call,
            } => {
                // Wiped when the request is: it moves there, and is never copied.
                let secret = SecretBytes::from(secret.read(SECRET_LIMIT_BYTES)?);
                if secret.is_empty() {
                    return Err(Failure::misuse("secret.length", "the secret is empty"));
                }
                let commitment = commit(name, *version, &secret)?;
                let operation = KeyOperation::Import {
                    key: key(name)?,
                    version: *version,
                    commitment,
                };
                Ok(Self {
                    operation,
                    payload: Some(secret),
                    call,
                })
            }
            Operation::Restore { backup, call } => {
                let bytes = read_file(backup, BACKUP_LIMIT_BYTES)?;
                Ok(Self {
                    operation: KeyOperation::Restore {
                        backup: Digest384::of(&bytes),
                    },
                    payload: Some(SecretBytes::from(bytes)),
                    call,
                })
            }
        }
    }
}

fn commit(name: &str, version: u32, secret: &SecretBytes) -> Outcome<Digest384> {
    let name = narthex_channel::KeyName::new(name).map_err(|error| {
        Failure::misuse(
            "name.malformed",
            format!("`{name}` is no key name: {error}"),
        )
    })?;
    Ok(Digest384(*commitment(&name, version, secret).as_bytes()))
}

fn key(name: &str) -> Outcome<KeyName> {
    KeyName::new(name).map_err(|refusal| Failure::misuse(refusal.id(), refusal.detail()))
}
