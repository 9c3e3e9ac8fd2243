//! Signing with unencrypted Ed25519 and ECDSA keys in OpenSSH's format.

use crate::person::PersonKey;
use crate::reason::Refusal;
use crate::signature::Namespace;

/// A private key for signing. Security keys, agents and encrypted keys sign through `ssh-keygen`.
pub struct SigningKey {
    key: ssh_key::PrivateKey,
}

impl SigningKey {
    /// Reads `-----BEGIN OPENSSH PRIVATE KEY-----`.
    ///
    /// # Errors
    ///
    /// `signing.key` for encrypted keys, RSA, DSA, security keys and unreadable text.
    pub fn from_openssh(pem: &str) -> Result<Self, Refusal> {
        todo!()
    }

    /// Makes a new Ed25519 key with the operating system's random source.
    ///
    /// # Errors
    ///
    /// `signing.key` if the random source fails.
    pub fn generate_ed25519() -> Result<Self, Refusal> {
        todo!()
    }

    /// The private key as OpenSSH text, to be written with mode 0600.
    ///
    /// # Errors
    ///
    /// `signing.key` if it cannot be encoded.
    pub fn to_openssh(&self) -> Result<zeroize::Zeroizing<String>, Refusal> {
        todo!()
    }

    /// The public half.
    pub fn public_key(&self) -> PersonKey {
        todo!()
    }

    /// Signs `message` for one purpose; the armoured signature is what `ssh-keygen -Y sign` makes.
    ///
    /// # Errors
    ///
    /// `signing.key` if the key cannot sign.
    pub fn sign(&self, namespace: Namespace, message: &[u8]) -> Result<String, Refusal> {
        todo!()
    }
}
