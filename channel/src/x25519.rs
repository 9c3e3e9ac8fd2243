//! X25519 for Noise: the service's static key, and the Diffie-Hellman that `snow` uses.
//!
//! `snow`'s own X25519 neither wipes private keys nor refuses an all-zero shared secret; this one
//! does both.

use core::fmt;

use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The key service's static private key (X25519). Wiped when dropped; no `Debug`, no `Clone`.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct StaticSecret([u8; StaticSecret::LENGTH]);

impl StaticSecret {
    /// Length in bytes.
    pub const LENGTH: usize = 32;

    /// Draws a new key from the operating system.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the operating system has no random bytes.
    pub fn generate() -> Result<Self, RandomError> {
        let mut secret = Self([0; Self::LENGTH]);
        getrandom::fill(&mut secret.0).map_err(|_| RandomError)?;
        Ok(secret)
    }

    /// Takes 32 bytes as a key. X25519 clamps them; every value is valid.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::LENGTH]) -> Self {
        Self(*bytes)
    }

    /// The 32 bytes, for storing. Whoever has them can pose as the service.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// The public key that belongs to it.
    #[must_use]
    pub fn public(&self) -> StaticPublic {
        let secret = x25519_dalek::StaticSecret::from(self.0);
        StaticPublic(x25519_dalek::PublicKey::from(&secret).to_bytes())
    }
}

/// The operating system has no random bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RandomError;

impl RandomError {
    /// The stable id of the reason.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        "environment.random"
    }
}

impl fmt::Display for RandomError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the operating system has no random bytes")
    }
}

impl std::error::Error for RandomError {}

/// The key service's static public key (X25519), as the policy names it.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct StaticPublic([u8; StaticPublic::LENGTH]);

impl StaticPublic {
    /// Length in bytes.
    pub const LENGTH: usize = 32;

    /// Takes 32 bytes as a key.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }

    /// The key that `text` states in hex, or nothing unless it is exactly 64 lower-case digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let mut bytes = [0; Self::LENGTH];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Display for StaticPublic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for StaticPublic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StaticPublic({self})")
    }
}

/// What `snow` calculates with: its own cipher, hash and random source, and the X25519 below.
pub(crate) struct Resolver;

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        DefaultResolver.resolve_rng()
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        match choice {
            DHChoice::Curve25519 => Some(Box::new(KeyPair::default())),
            _ => None,
        }
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

/// One key pair of a handshake.
#[derive(Default)]
struct KeyPair {
    private: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl KeyPair {
    fn secret(&self) -> x25519_dalek::StaticSecret {
        x25519_dalek::StaticSecret::from(*self.private)
    }
}

impl Dh for KeyPair {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, private: &[u8]) {
        // Invariant: every caller in this crate passes 32 bytes. Anything else would leave the
        // all-zero key, whose handshakes fail at the other end.
        if let Ok(private) = private.try_into() {
            self.private = Zeroizing::new(private);
        }
        self.public = x25519_dalek::PublicKey::from(&self.secret()).to_bytes();
    }

    fn generate(&mut self, random: &mut dyn Random) -> Result<(), snow::Error> {
        random.try_fill_bytes(self.private.as_mut_slice())?;
        self.public = x25519_dalek::PublicKey::from(&self.secret()).to_bytes();
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        self.private.as_slice()
    }

    fn dh(&self, public: &[u8], shared: &mut [u8]) -> Result<(), snow::Error> {
        // `snow` passes its largest public key buffer; the first 32 bytes are ours.
        let public = public.first_chunk::<32>().ok_or(snow::Error::Dh)?;
        let secret = self
            .secret()
            .diffie_hellman(&x25519_dalek::PublicKey::from(*public));
        // RFC 7748, section 6.1: an all-zero secret comes from a point of small order.
        if !secret.was_contributory() {
            return Err(snow::Error::Dh);
        }
        shared
            .get_mut(..32)
            .ok_or(snow::Error::Dh)?
            .copy_from_slice(secret.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> [u8; 32] {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).unwrap();
        bytes
    }

    /// RFC 7748, section 6.1.
    const ALICE: &str = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
    const ALICE_PUBLIC: &str = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
    const BOB_PUBLIC: &str = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
    const SHARED: &str = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";

    #[test]
    fn keys_are_as_rfc_7748_calculates_them() {
        assert_eq!(
            StaticSecret::from_bytes(&bytes(ALICE)).public().to_string(),
            ALICE_PUBLIC
        );
        let mut pair = KeyPair::default();
        pair.set(&bytes(ALICE));
        assert_eq!(pair.pubkey(), bytes(ALICE_PUBLIC));
        let mut shared = [0; 32];
        pair.dh(&bytes(BOB_PUBLIC), &mut shared).unwrap();
        assert_eq!(shared, bytes(SHARED));
    }

    #[test]
    fn points_of_small_order_are_refused() {
        let mut pair = KeyPair::default();
        pair.set(&bytes(ALICE));
        let one = {
            let mut one = [0; 32];
            one[0] = 1;
            one
        };
        for point in [[0; 32], one] {
            assert_eq!(pair.dh(&point, &mut [0; 32]), Err(snow::Error::Dh));
        }
    }

    #[test]
    fn public_keys_are_read_from_lower_case_hex_only() {
        assert_eq!(
            StaticPublic::from_hex(ALICE_PUBLIC).unwrap().to_string(),
            ALICE_PUBLIC
        );
        assert_eq!(StaticPublic::from_hex(&ALICE_PUBLIC.to_uppercase()), None);
        assert_eq!(StaticPublic::from_hex("8520"), None);
    }

    #[test]
    fn generated_keys_differ() {
        let (one, other) = (
            StaticSecret::generate().unwrap(),
            StaticSecret::generate().unwrap(),
        );
        assert_ne!(one.public(), other.public());
    }
}
