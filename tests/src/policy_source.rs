//! A policy source that gives out what it likes: an old bundle, one that too few people signed, or exactly
//! what a key service would.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use narthex_channel::policy::{PolicyAnswer, PolicyRequest, Signed};
use narthex_channel::{Accepting, ArmoredSignature, Message};

use crate::connection::{Connection, ConnectionError};

/// A source that is bound and gives out one answer, which may be changed.
pub struct PolicySource {
    listener: UnixListener,
    answer: Arc<Mutex<PolicyAnswer>>,
}

/// Changes what a source gives out.
#[derive(Clone)]
pub struct Answer(Arc<Mutex<PolicyAnswer>>);

impl Answer {
    /// Gives this out from now on.
    pub fn set(&self, answer: PolicyAnswer) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }
}

impl PolicySource {
    /// Listens at `path`.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn bind(path: &Path, answer: PolicyAnswer) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        // Agents' fetchers may run as a user of their own.
        fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
        let answer = Arc::new(Mutex::new(answer));
        Ok(Self { listener, answer })
    }

    /// What it gives out.
    #[must_use]
    pub fn answer(&self) -> Answer {
        Answer(Arc::clone(&self.answer))
    }

    /// Serves one connection after the other, until the process ends.
    ///
    /// # Errors
    ///
    /// What the operating system says about the listener.
    pub fn serve(&self) -> io::Result<()> {
        for socket in self.listener.incoming() {
            // A peer that goes away, or breaks the protocol, is no reason to end.
            if let Err(error) = self.exchange(socket?) {
                eprintln!("policy source: {}", error.reason());
            }
        }
        Ok(())
    }

    /// Serves on a thread of its own.
    pub fn spawn(self) {
        thread::spawn(move || self.serve());
    }

    fn exchange(&self, socket: UnixStream) -> Result<(), ConnectionError> {
        let mut connection = Connection::accept(Box::new(socket), &Accepting::Policy)?;
        while let Some(request) = connection.receive()? {
            if PolicyRequest::from_bytes(request.as_bytes()).is_err() {
                break;
            }
            let answer = self
                .answer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            let answer = answer.to_bytes().map_err(|_| io::ErrorKind::InvalidInput)?;
            connection.send(&answer)?;
        }
        connection.close()
    }
}

impl From<io::ErrorKind> for ConnectionError {
    fn from(kind: io::ErrorKind) -> Self {
        Self::Io(kind.into())
    }
}

/// An answer with these bundles and nothing else: no release, no proof.
#[must_use]
pub fn only_bundles(bundles: Vec<Signed>) -> PolicyAnswer {
    PolicyAnswer {
        bundles,
        ..PolicyAnswer::default()
    }
}

/// A file with every signature that stands beside it as `FILE.PERSON.sig`.
///
/// # Errors
///
/// In words.
pub fn signed(file: &Path) -> Result<Signed, String> {
    let text = |error: io::Error| format!("{}: {error}", file.display());
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or("a file has a name")?;
    let folder = file.parent().ok_or("a file is in a folder")?;
    let mut signatures = Vec::new();
    for entry in fs::read_dir(folder).map_err(text)? {
        let path = entry.map_err(text)?.path();
        let other = path
            .file_name()
            .and_then(|other| other.to_str())
            .unwrap_or_default();
        if other
            .strip_prefix(name)
            .is_some_and(|rest| rest.ends_with(".sig"))
        {
            let armoured = fs::read_to_string(&path).map_err(text)?;
            signatures.push(ArmoredSignature::new(&armoured).map_err(|error| error.to_string())?);
        }
    }
    Ok(Signed {
        bytes: fs::read(file).map_err(text)?,
        signatures,
    })
}
