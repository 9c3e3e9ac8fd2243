//! The key, what is signed with it, and what is attested.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::local::Agent;
use crate::request::Request;

/// Before each digest that is signed: a signature of this notary can never be taken for one over anything else.
const SIGNED_LABEL: &[u8; 26] = b"narthex/example/notary/v1\0";

/// An Ed25519 public key as SubjectPublicKeyInfo (RFC 8410, section 4) begins; 32 bytes follow. In this form every
/// tool can read it.
const PUBLIC_KEY_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Signs digests and says who it is.
pub(crate) struct Notary {
    key_file: PathBuf,
    agent: Agent,
}

impl Notary {
    /// With the key in `key_file`, 32 bytes, which is the seed of an Ed25519 key (RFC 8032, section 5.1.5).
    pub(crate) fn new(key_file: PathBuf, agent: Agent) -> Self {
        Self { key_file, agent }
    }

    /// The agent that started us.
    pub(crate) fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The public key, as SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    ///
    /// The key file cannot be read, or does not hold 32 bytes.
    pub(crate) fn public_key(&self) -> io::Result<[u8; 44]> {
        Ok(subject_public_key_info(
            &self.signing_key()?.verifying_key(),
        ))
    }

    /// What a request asks for.
    ///
    /// # Errors
    ///
    /// The key cannot be read, or the agent does not attest now.
    pub(crate) fn answer(&self, request: Request) -> io::Result<Vec<u8>> {
        match request {
            Request::Identity(nonce) => self.agent.attest(&self.public_key()?, &nonce),
            Request::Sign(digest) => {
                let mut message = SIGNED_LABEL.to_vec();
                message.extend_from_slice(&digest);
                Ok(self.signing_key()?.sign(&message).to_bytes().to_vec())
            }
        }
    }

    /// Read each time and wiped after use: operators may have keys reloaded while we run, and the agent replaces
    /// the file as a whole.
    fn signing_key(&self) -> io::Result<SigningKey> {
        let mut seed = Zeroizing::new([0; 32]);
        let mut file = File::open(&self.key_file)?;
        file.read_exact(&mut *seed)?;
        if file.read(&mut [0])? != 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not 32 bytes"));
        }
        Ok(SigningKey::from_bytes(&seed))
    }
}

fn subject_public_key_info(key: &VerifyingKey) -> [u8; 44] {
    let mut bytes = [0; 44];
    let (prefix, rest) = bytes.split_at_mut(PUBLIC_KEY_PREFIX.len());
    prefix.copy_from_slice(&PUBLIC_KEY_PREFIX);
    rest.copy_from_slice(key.as_bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signature, SigningKey};

    use super::{Notary, SIGNED_LABEL};
    use crate::local::Agent;
    use crate::request::Request;

    fn notary(folder: &std::path::Path, key: &[u8]) -> Notary {
        std::fs::write(folder.join("notary"), key).unwrap();
        Notary::new(folder.join("notary"), Agent::new(folder.join("no-socket")))
    }

    #[test]
    fn signatures_hold_under_the_public_key_and_over_the_label() {
        let folder = tempfile::tempdir().unwrap();
        let notary = notary(folder.path(), &[9; 32]);
        let signature = notary.answer(Request::Sign([1; 48])).unwrap();
        let signature = Signature::from_slice(&signature).unwrap();
        let key = SigningKey::from_bytes(&[9; 32]).verifying_key();
        let message = [SIGNED_LABEL.as_slice(), &[1; 48]].concat();
        key.verify_strict(&message, &signature).unwrap();
        assert!(key.verify_strict(&[1; 48], &signature).is_err());
        assert_eq!(notary.public_key().unwrap()[12..], *key.as_bytes());
    }

    #[test]
    fn a_new_key_counts_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let notary = notary(folder.path(), &[9; 32]);
        let before = notary.public_key().unwrap();
        std::fs::write(folder.path().join("notary"), [8; 32]).unwrap();
        assert_ne!(notary.public_key().unwrap(), before);
    }

    #[test]
    fn a_key_of_another_length_is_no_key() {
        let folder = tempfile::tempdir().unwrap();
        for length in [0, 31, 33] {
            assert!(
                notary(folder.path(), &vec![9; length])
                    .public_key()
                    .is_err()
            );
        }
    }
}
