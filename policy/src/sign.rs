//! Signing with unencrypted Ed25519 and ECDSA keys in OpenSSH's format.

use ssh_key::private::KeypairData;
use ssh_key::{Algorithm, HashAlg, LineEnding, PrivateKey};
use zeroize::Zeroizing;

use crate::person::PersonKey;
use crate::reason::{Reason, Refusal};
use crate::signature::Namespace;

/// A private key for signing, wiped when dropped. Security keys, agents and encrypted keys sign
/// through `ssh-keygen -Y sign`.
pub struct SigningKey {
    key: PrivateKey,
    public: PersonKey,
}

impl SigningKey {
    /// Reads `-----BEGIN OPENSSH PRIVATE KEY-----`. `ssh-key` 0.6 cannot read ECDSA keys whose
    /// number begins with a zero byte (every second one on P-521, few on the others).
    ///
    /// # Errors
    ///
    /// [`Reason::SigningKey`] for encrypted keys, RSA, DSA, security keys and unreadable text.
    pub fn from_openssh(pem: &str) -> Result<Self, Refusal> {
        let key = PrivateKey::from_openssh(pem).map_err(|error| {
            refuse(format!(
                "not a private key in OpenSSH's format that can be read here ({error}); \
                 ssh-keygen -Y sign may know it"
            ))
        })?;
        Self::accept(key)
    }

    /// Makes a new Ed25519 key with the operating system's random source.
    ///
    /// # Errors
    ///
    /// [`Reason::SigningKey`] if the random source fails.
    pub fn generate_ed25519() -> Result<Self, Refusal> {
        let key = PrivateKey::random(&mut ssh_key::rand_core::OsRng, Algorithm::Ed25519)
            .map_err(|error| refuse(error.to_string()))?;
        Self::accept(key)
    }

    fn accept(key: PrivateKey) -> Result<Self, Refusal> {
        if key.is_encrypted() {
            return Err(refuse(
                "the key is encrypted: sign with ssh-keygen -Y sign instead",
            ));
        }
        if !matches!(
            key.key_data(),
            KeypairData::Ed25519(_) | KeypairData::Ecdsa(_)
        ) {
            return Err(refuse(format!(
                "keys of kind {} do not sign here: sign with ssh-keygen -Y sign instead",
                key.algorithm().as_str()
            )));
        }
        let public = PersonKey::parse(&key.public_key().to_openssh().unwrap_or_default())
            .map_err(|refusal| refuse(refusal.detail()))?;
        Ok(Self { key, public })
    }

    /// The private key as OpenSSH text, to be written with mode 0600.
    ///
    /// # Errors
    ///
    /// [`Reason::SigningKey`] if it cannot be encoded.
    pub fn to_openssh(&self) -> Result<Zeroizing<String>, Refusal> {
        self.key
            .to_openssh(LineEnding::LF)
            .map_err(|error| refuse(error.to_string()))
    }

    /// The public half.
    pub fn public_key(&self) -> &PersonKey {
        &self.public
    }

    /// Signs `message` for one purpose; the armoured signature is what `ssh-keygen -Y sign` makes.
    ///
    /// # Errors
    ///
    /// [`Reason::SigningKey`] if the key cannot sign.
    pub fn sign(&self, namespace: Namespace, message: &[u8]) -> Result<String, Refusal> {
        self.key
            .sign(namespace.name(), HashAlg::Sha512, message)
            .and_then(|signature| signature.to_pem(LineEnding::LF))
            .map_err(|error| refuse(format!("cannot sign: {error}")))
    }
}

fn refuse(detail: impl Into<String>) -> Refusal {
    Refusal::new(Reason::SigningKey, detail)
}
