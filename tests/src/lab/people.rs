//! People with SSH keys.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use narthex_policy::{Namespace, SigningKey};

/// Everybody. Alice, Bob and Carol review; Dave may become a reviewer; Olga operates and Oscar may come to;
/// Kim administers keys; Mallory is nobody.
pub const NAMES: [&str; 8] = [
    "alice", "bob", "carol", "dave", "olga", "oscar", "kim", "mallory",
];

/// Their keys, in memory and as files for the command.
pub struct People {
    folder: PathBuf,
    keys: Vec<(&'static str, SigningKey)>,
}

impl People {
    /// New keys for everybody in `folder`.
    #[must_use]
    pub fn make(folder: &Path) -> Self {
        fs::create_dir(folder).expect("the people's folder");
        let keys = NAMES.map(|name| {
            let key = SigningKey::generate_ed25519().expect("randomness");
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(folder.join(name))
                .expect("a key file");
            let private = key.to_openssh().expect("an OpenSSH key");
            file.write_all(private.as_bytes()).expect("a written key");
            let public = format!("{} {name}\n", key.public_key().to_openssh());
            fs::write(folder.join(format!("{name}.pub")), public).expect("a public key");
            (name, key)
        });
        Self {
            folder: folder.to_owned(),
            keys: keys.into(),
        }
    }

    /// A person's private key file.
    #[must_use]
    pub fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    /// A person's public key, in OpenSSH's form.
    #[must_use]
    pub fn public_key(&self, name: &str) -> String {
        self.key(name).public_key().to_openssh()
    }

    /// A person's signature.
    #[must_use]
    pub fn sign(&self, name: &str, namespace: Namespace, bytes: &[u8]) -> String {
        self.key(name).sign(namespace, bytes).expect("a signature")
    }

    fn key(&self, name: &str) -> &SigningKey {
        let known = self.keys.iter().find(|(person, _)| *person == name);
        &known.expect("one of NAMES").1
    }
}
