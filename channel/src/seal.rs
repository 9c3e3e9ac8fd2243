//! Sealing released keys, and committing to them.
//!
//! A released key crosses the Noise channel inside a second envelope: HPKE (RFC 9180, base mode)
//! with X-Wing, HKDF-SHA256 and AES-256-GCM, to a one-time key that the attested request carries.
//! So recorded traffic stays safe even if X25519 falls, and `info` ties each envelope to the
//! session, the key's name and its version.
//!
//! A *commitment* is a digest of a key that is as secret as the key is random: it can be published
//! for keys of at least 128 bits of entropy, and shows a reader whether bytes are that key.

use core::convert::Infallible;
use core::fmt;

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use zeroize::Zeroizing;

use crate::binding::{Composition, HandshakeHash, Label};
use crate::digest::Digest384;
use crate::keys::{SealedKey, Shares};
use crate::limits::MAX_KEY_BYTES;
use crate::name::KeyName;
use crate::secret::SecretBytes;

/// The public half of a one-time recipient key: an X-Wing encapsulation key.
///
/// Any 1216 bytes can be held; [`seal`] refuses those that are no key.
#[derive(Clone, Eq, PartialEq)]
pub struct RecipientPublicKey(Box<[u8; RecipientPublicKey::LENGTH]>);

impl RecipientPublicKey {
    /// Length in bytes: 1184 of ML-KEM-768 and 32 of X25519.
    pub const LENGTH: usize = 1216;

    /// Takes the bytes of a key, unchecked.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(Box::new(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Debug for RecipientPublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "RecipientPublicKey({})",
            Digest384::of(self.0.as_slice())
        )
    }
}

/// An X-Wing ciphertext: the shared secret, encapsulated to a recipient key.
#[derive(Clone, Eq, PartialEq)]
pub struct EncapsulatedKey(Box<[u8; EncapsulatedKey::LENGTH]>);

impl EncapsulatedKey {
    /// Length in bytes: 1088 of ML-KEM-768 and 32 of X25519.
    pub const LENGTH: usize = 1120;

    /// Takes the bytes of an encapsulation, unchecked.
    #[must_use]
    pub fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(Box::new(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }
}

impl fmt::Debug for EncapsulatedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "EncapsulatedKey({})",
            Digest384::of(self.0.as_slice())
        )
    }
}

/// What an envelope is for; it goes into HPKE's `info`, and a wrong one does not open.
#[derive(Clone, Copy, Debug)]
pub struct SealContext<'a> {
    /// The session in which the key is released.
    pub handshake_hash: &'a HandshakeHash,
    /// The key's name.
    pub name: &'a KeyName,
    /// The key's version.
    pub version: u32,
    /// What the key is made of.
    pub shares: Shares,
}

impl SealContext<'_> {
    /// HPKE's `info`: the composition under [`Label::KeyRelease`] whose body is
    /// `u16be(len(name)) || name || u32be(version) || u8(shares)`.
    fn info(&self) -> Vec<u8> {
        let Self {
            handshake_hash,
            name,
            version,
            shares,
        } = self;
        let name = name.as_str().as_bytes();
        Composition {
            label: Label::KeyRelease,
            context: handshake_hash.as_bytes(),
            body: &[
                &name_length(name),
                name,
                &version.to_be_bytes(),
                &[u8::try_from(shares.code()).unwrap_or(u8::MAX)],
            ],
        }
        .to_bytes()
    }
}

/// Key names are at most 64 bytes, by type.
fn name_length(name: &[u8]) -> [u8; 2] {
    u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes()
}

/// A one-time recipient key: made for one key request, and dropped when its answer is opened.
///
/// It has no `Debug`, no `Clone`, and is wiped when dropped.
pub struct RecipientKey {
    private: <XWing as Kem>::PrivateKey,
    public: RecipientPublicKey,
}

impl RecipientKey {
    /// Draws a new key from the operating system.
    ///
    /// # Errors
    ///
    /// [`SealError::Random`] if the operating system has no random bytes.
    pub fn generate() -> Result<Self, SealError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|_| SealError::Random)?;
        Ok(Self::from_seed(&seed))
    }

    /// The key of a 32-byte seed, as X-Wing's own key generation expands it. For known-answer
    /// tests and for callers with a random source of their own: the seed is the private key.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        // Invariant: every 32 bytes are an X-Wing seed; `derive_keypair` is only reached if a
        // future hpke disagreed.
        let private = <XWing as Kem>::PrivateKey::from_bytes(seed)
            .unwrap_or_else(|_| XWing::derive_keypair(seed).0);
        let mut public = Box::new([0; RecipientPublicKey::LENGTH]);
        XWing::sk_to_pk(&private).write_exact(public.as_mut_slice());
        Self {
            private,
            public: RecipientPublicKey(public),
        }
    }

    /// The public half, for [`crate::keys::KeyRequest`].
    #[must_use]
    pub fn public(&self) -> &RecipientPublicKey {
        &self.public
    }

    /// Opens a sealed key of the session with this handshake hash, and checks the commitment that
    /// came with it.
    ///
    /// Also compare [`SealedKey::commitment`] with the one that the policy or the log names: only
    /// that shows that it is the right key.
    ///
    /// # Errors
    ///
    /// [`SealError::Open`] if it was not sealed to this recipient for this session, name, version
    /// and shares; [`SealError::Commitment`] if the key inside is another.
    pub fn open(
        &self,
        handshake_hash: &HandshakeHash,
        sealed: &SealedKey,
    ) -> Result<SecretBytes, SealError> {
        let SealedKey {
            name,
            version,
            shares,
            commitment,
            encapsulated,
            ciphertext,
        } = sealed;
        let context = SealContext {
            handshake_hash,
            name,
            version: *version,
            shares: *shares,
        };
        let encapsulated = <XWing as Kem>::EncappedKey::from_bytes(encapsulated.as_bytes())
            .map_err(|_| SealError::Open)?;
        let opened = hpke::single_shot_open::<AesGcm256, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.private,
            &encapsulated,
            &context.info(),
            ciphertext,
            b"",
        );
        let key = SecretBytes::from(opened.map_err(|_| SealError::Open)?);
        if self::commitment(name, *version, &key) != *commitment {
            return Err(SealError::Commitment);
        }
        Ok(key)
    }
}

/// Seals `key` to `recipient` and commits to it.
///
/// # Errors
///
/// [`SealError::KeyLength`], [`SealError::Recipient`] if `recipient` is not an encapsulation key,
/// or [`SealError::Random`].
pub fn seal(
    recipient: &RecipientPublicKey,
    context: &SealContext<'_>,
    key: &SecretBytes,
) -> Result<SealedKey, SealError> {
    let mut seed = Zeroizing::new([0; 64]);
    getrandom::fill(seed.as_mut_slice()).map_err(|_| SealError::Random)?;
    seal_with_seed(recipient, context, key, &seed)
}

/// Seals with the 64 bytes that X-Wing's encapsulation consumes: 32 of ML-KEM, 32 of X25519.
pub(crate) fn seal_with_seed(
    recipient: &RecipientPublicKey,
    context: &SealContext<'_>,
    key: &SecretBytes,
    seed: &[u8; 64],
) -> Result<SealedKey, SealError> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(SealError::KeyLength);
    }
    let public = <XWing as Kem>::PublicKey::from_bytes(recipient.as_bytes())
        .map_err(|_| SealError::Recipient)?;
    let mut source = SeedOnce {
        unused: seed,
        exhausted: false,
    };
    let (encapsulated, ciphertext) =
        hpke::single_shot_seal_with_rng::<AesGcm256, HkdfSha256, XWing>(
            &OpModeS::Base,
            &public,
            &context.info(),
            key.as_bytes(),
            b"",
            &mut source,
        )
        .map_err(|_| SealError::Recipient)?;
    if source.exhausted || !source.unused.is_empty() {
        return Err(SealError::Random);
    }
    let mut encapsulated_bytes = Box::new([0; EncapsulatedKey::LENGTH]);
    encapsulated.write_exact(encapsulated_bytes.as_mut_slice());
    Ok(SealedKey {
        name: context.name.clone(),
        version: context.version,
        shares: context.shares,
        commitment: commitment(context.name, context.version, key),
        encapsulated: EncapsulatedKey(encapsulated_bytes),
        ciphertext,
    })
}

/// A random source that gives out one seed and no more. hpke's own would panic where the operating
/// system has no random bytes; this one is filled before, and tells if it was asked for more.
struct SeedOnce<'a> {
    unused: &'a [u8],
    exhausted: bool,
}

impl TryRng for SeedOnce<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, wanted: &mut [u8]) -> Result<(), Infallible> {
        match self.unused.split_at_checked(wanted.len()) {
            Some((bytes, unused)) => {
                wanted.copy_from_slice(bytes);
                self.unused = unused;
            }
            None => self.exhausted = true,
        }
        Ok(())
    }
}

impl TryCryptoRng for SeedOnce<'_> {}

/// The commitment to one version of one key: the composition under [`Label::KeyCommitment`]
/// without a handshake hash, whose body is `u16be(len(name)) || name || u32be(version) || key`.
#[must_use]
pub fn commitment(name: &KeyName, version: u32, key: &SecretBytes) -> Digest384 {
    let name = name.as_str().as_bytes();
    Composition {
        label: Label::KeyCommitment,
        context: &[],
        body: &[
            &name_length(name),
            name,
            &version.to_be_bytes(),
            key.as_bytes(),
        ],
    }
    .digest()
}

/// Why a key could not be sealed or opened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SealError {
    /// The key is empty or longer than [`MAX_KEY_BYTES`].
    KeyLength,
    /// The recipient key is not an X-Wing encapsulation key.
    Recipient,
    /// The envelope does not open: another recipient, session, name, version or shares, or it was
    /// changed.
    Open,
    /// The key inside is not the one that the envelope's commitment names.
    Commitment,
    /// The operating system has no random bytes.
    Random,
}

impl SealError {
    /// The stable id of the reason.
    #[must_use]
    pub const fn id(&self) -> &'static str {
        match self {
            Self::KeyLength => "seal.key_length",
            Self::Recipient => "seal.recipient",
            Self::Open => "seal.open",
            Self::Commitment => "seal.commitment",
            Self::Random => "seal.random",
        }
    }
}

impl fmt::Display for SealError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::KeyLength => "the key is empty or too long",
            Self::Recipient => "the recipient key is not an X-Wing key",
            Self::Open => "the sealed key does not open here",
            Self::Commitment => "the key is not the one committed to",
            Self::Random => "the operating system has no random bytes",
        })
    }
}

impl std::error::Error for SealError {}

#[cfg(test)]
mod tests {
    use super::*;

    const H: HandshakeHash = HandshakeHash::from_bytes([3; 32]);

    fn key() -> SecretBytes {
        SecretBytes::from(vec![0x5a; 32])
    }

    fn sealed_to(recipient: &RecipientKey) -> SealedKey {
        let name = KeyName::new("database").unwrap();
        let shares = Shares::Service;
        let context = SealContext {
            handshake_hash: &H,
            name: &name,
            version: 7,
            shares,
        };
        seal(recipient.public(), &context, &key()).unwrap()
    }

    fn refused(outcome: Result<SecretBytes, SealError>) -> SealError {
        outcome.err().expect("must not open")
    }

    #[test]
    fn a_sealed_key_opens_where_it_belongs() {
        let recipient = RecipientKey::generate().unwrap();
        let opened = recipient.open(&H, &sealed_to(&recipient)).unwrap();
        assert_eq!(opened.as_bytes(), key().as_bytes());
    }

    #[test]
    fn nothing_else_opens_it() {
        let recipient = RecipientKey::generate().unwrap();
        let sealed = sealed_to(&recipient);

        let stranger = RecipientKey::generate().unwrap();
        assert_eq!(refused(stranger.open(&H, &sealed)), SealError::Open);
        let other_session = HandshakeHash::from_bytes([4; 32]);
        assert_eq!(
            refused(recipient.open(&other_session, &sealed)),
            SealError::Open
        );
        let renamed = SealedKey {
            name: KeyName::new("databasf").unwrap(),
            ..sealed.clone()
        };
        assert_eq!(refused(recipient.open(&H, &renamed)), SealError::Open);
        let other_version = SealedKey {
            version: 8,
            ..sealed.clone()
        };
        assert_eq!(refused(recipient.open(&H, &other_version)), SealError::Open);

        let mut changed = sealed.clone();
        changed.ciphertext[0] ^= 1;
        assert_eq!(refused(recipient.open(&H, &changed)), SealError::Open);
        let mut encapsulated = *sealed.encapsulated.as_bytes();
        encapsulated[1119] ^= 1;
        let encapsulated = EncapsulatedKey::from_bytes(encapsulated);
        let changed = SealedKey {
            encapsulated,
            ..sealed
        };
        assert_eq!(refused(recipient.open(&H, &changed)), SealError::Open);
    }

    #[test]
    fn another_key_under_the_commitment_is_refused() {
        let recipient = RecipientKey::generate().unwrap();
        let sealed = sealed_to(&recipient);
        let changed = SealedKey {
            commitment: Digest384::ZERO,
            ..sealed
        };
        assert_eq!(refused(recipient.open(&H, &changed)), SealError::Commitment);
    }

    #[test]
    fn key_lengths_are_bounded_on_both_sides() {
        let recipient = RecipientKey::generate().unwrap();
        let name = KeyName::new("k").unwrap();
        let shares = Shares::Service;
        let context = SealContext {
            handshake_hash: &H,
            name: &name,
            version: 1,
            shares,
        };
        let seal_bytes = |length| {
            seal(
                recipient.public(),
                &context,
                &SecretBytes::from(vec![1; length]),
            )
        };
        assert_eq!(seal_bytes(0).err(), Some(SealError::KeyLength));
        assert!(seal_bytes(1).is_ok());
        assert!(seal_bytes(4096).is_ok());
        assert_eq!(seal_bytes(4097).err(), Some(SealError::KeyLength));
    }

    #[test]
    fn a_recipient_key_out_of_range_is_refused() {
        // FIPS 203, 7.2: each coefficient must be under q; 0xfff is not.
        let recipient = RecipientPublicKey::from_bytes([0xff; 1216]);
        let name = KeyName::new("k").unwrap();
        let shares = Shares::Service;
        let context = SealContext {
            handshake_hash: &H,
            name: &name,
            version: 1,
            shares,
        };
        assert_eq!(
            seal(&recipient, &context, &key()).err(),
            Some(SealError::Recipient)
        );
    }

    #[test]
    fn commitments_name_key_and_version() {
        let name = KeyName::new("k1").unwrap();
        let by_hand = [
            b"\x00\x19narthex/v1/key-commitment".as_slice(),
            b"\x00\x00",
            b"\x00\x00\x00\x28",
            b"\x00\x02k1",
            b"\x00\x00\x00\x07",
            &[0x5a; 32],
        ]
        .concat();
        assert_eq!(commitment(&name, 7, &key()), Digest384::of(&by_hand));
        assert_ne!(commitment(&name, 7, &key()), commitment(&name, 8, &key()));
    }

    #[test]
    fn seeds_are_used_once() {
        let recipient = RecipientKey::generate().unwrap();
        assert_ne!(
            sealed_to(&recipient).encapsulated,
            sealed_to(&recipient).encapsulated
        );
        let mut source = SeedOnce {
            unused: &[1; 8],
            exhausted: false,
        };
        assert_eq!(source.try_next_u64(), Ok(u64::from_le_bytes([1; 8])));
        assert!(!source.exhausted);
        source.try_next_u32().unwrap();
        assert!(source.exhausted);
    }
}
