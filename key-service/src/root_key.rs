//! The root keys: the secrets that wrap every stored key and authenticate every row.
//!
//! They stand in one file of mode 0600 beside, never inside, the database:
//!
//! ```text
//! narthex-root-keys v1
//! <id, 32 hex digits> <key, 64 hex digits>
//! ```
//!
//! The last line is the newest key. Older ones stay until `root-key forget`, because a rotation that was cut off, or
//! a backup made before the rotation, still needs them. The id is a digest of the key, so a damaged
//! line is noticed.

use std::path::Path;

use aws_lc_rs::{aead, hkdf, hmac};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    digest::{Digest, compose},
    secret_file::{self, SecretFileError},
};

const HEADER: &str = "narthex-root-keys v1";
/// More rotations than anybody keeps; bounds the file.
const MAX_KEYS: usize = 64;

/// The public name of a root key: the first 16 bytes of a digest of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RootKeyId(pub [u8; 16]);

impl RootKeyId {
    /// Exactly 16 bytes, or nothing.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl std::fmt::Display for RootKeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl std::fmt::Debug for RootKeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// One root key: 32 random bytes, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RootKey {
    secret: [u8; 32],
}

impl RootKey {
    /// A new one from the operating system's random source.
    ///
    /// # Errors
    ///
    /// When the random source fails.
    pub fn generate() -> Result<Self, RootKeyError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|_| RootKeyError::Random)?;
        Ok(Self { secret })
    }

    /// The id that rows name it by.
    #[must_use]
    pub fn id(&self) -> RootKeyId {
        let composed = Zeroizing::new(compose("narthex/v1/root-key-id", &[&self.secret]));
        let digest = Digest::of(&composed);
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(digest.as_bytes()) {
            *to = *from;
        }
        RootKeyId(id)
    }

    /// The working keys that follow from this root key within one lineage of policies.
    ///
    /// # Errors
    ///
    /// When the cryptographic library refuses, which it does not for these lengths.
    pub fn derive(&self, genesis: &Digest) -> Result<DerivedKeys, RootKeyError> {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA384, genesis.as_bytes()).extract(&self.secret);
        let mut wrapping = Zeroizing::new([0_u8; 32]);
        expand(&prk, b"narthex/v1/wrapping", wrapping.as_mut())?;
        let mut rows = Zeroizing::new([0_u8; 48]);
        expand(&prk, b"narthex/v1/rows", rows.as_mut())?;
        let mut backups = Zeroizing::new([0_u8; 48]);
        expand(&prk, b"narthex/v1/backups", backups.as_mut())?;
        let unbound = aead::UnboundKey::new(&aead::AES_256_GCM, wrapping.as_ref())
            .map_err(|_| RootKeyError::Cryptography)?;
        Ok(DerivedKeys {
            id: self.id(),
            wrapping: aead::LessSafeKey::new(unbound),
            rows: hmac::Key::new(hmac::HMAC_SHA384, rows.as_ref()),
            backups: hmac::Key::new(hmac::HMAC_SHA384, backups.as_ref()),
        })
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn expand(prk: &hkdf::Prk, info: &[u8], out: &mut [u8]) -> Result<(), RootKeyError> {
    prk.expand(&[info], Length(out.len()))
        .and_then(|okm| okm.fill(out))
        .map_err(|_| RootKeyError::Cryptography)
}

/// What follows from one root key within one lineage: the key that wraps keys, the key that
/// authenticates rows, and the key that authenticates backups.
pub struct DerivedKeys {
    /// Which root key these follow from.
    pub id: RootKeyId,
    /// AES-256-GCM, for key rows.
    pub wrapping: aead::LessSafeKey,
    /// HMAC-SHA384, for every other row.
    pub rows: hmac::Key,
    /// HMAC-SHA384, for backups.
    pub backups: hmac::Key,
}

/// The content of the root key file, oldest first, never empty.
#[derive(Clone)]
pub struct RootKeys {
    keys: Vec<RootKey>,
}

impl RootKeys {
    /// One new key.
    ///
    /// # Errors
    ///
    /// When the random source fails.
    pub fn generate() -> Result<Self, RootKeyError> {
        Ok(Self {
            keys: vec![RootKey::generate()?],
        })
    }

    /// Reads the file; refuses loose permissions and damaged lines.
    ///
    /// # Errors
    ///
    /// [`RootKeyError`].
    pub fn load(path: &Path) -> Result<Self, RootKeyError> {
        Self::parse(&secret_file::read(path)?)
    }

    /// Writes the file for the first time.
    ///
    /// # Errors
    ///
    /// [`RootKeyError`]; an existing file is never overwritten.
    pub fn create(&self, path: &Path) -> Result<(), RootKeyError> {
        Ok(secret_file::create(path, self.to_text().as_bytes())?)
    }

    /// Replaces the file, whole or not at all.
    ///
    /// # Errors
    ///
    /// [`RootKeyError`].
    pub fn replace(&self, path: &Path) -> Result<(), RootKeyError> {
        Ok(secret_file::replace(path, self.to_text().as_bytes())?)
    }

    /// All keys, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &RootKey> {
        self.keys.iter()
    }

    /// Whether the key is here.
    #[must_use]
    pub fn contains(&self, id: RootKeyId) -> bool {
        self.keys.iter().any(|key| key.id() == id)
    }

    /// Adds a key at the end, unless it is here.
    ///
    /// # Errors
    ///
    /// [`RootKeyError::TooMany`].
    pub fn add_newest(&mut self, key: RootKey) -> Result<(), RootKeyError> {
        if self.contains(key.id()) {
            return Ok(());
        }
        self.bounded()?;
        self.keys.push(key);
        Ok(())
    }

    /// Adds a key of another machine at the front, where it can unwrap but is never the newest.
    ///
    /// # Errors
    ///
    /// [`RootKeyError::TooMany`].
    pub fn add_oldest(&mut self, key: RootKey) -> Result<(), RootKeyError> {
        if self.contains(key.id()) {
            return Ok(());
        }
        self.bounded()?;
        self.keys.insert(0, key);
        Ok(())
    }

    /// Removes a key. Everything still wrapped under it becomes unreadable for ever.
    ///
    /// # Errors
    ///
    /// [`RootKeyError::Unknown`] when it is not here, [`RootKeyError::LastOne`] when nothing would
    /// remain.
    pub fn forget(&mut self, id: RootKeyId) -> Result<(), RootKeyError> {
        if !self.contains(id) {
            return Err(RootKeyError::Unknown(id));
        }
        if self.keys.len() == 1 {
            return Err(RootKeyError::LastOne);
        }
        self.keys.retain(|key| key.id() != id);
        Ok(())
    }

    fn bounded(&self) -> Result<(), RootKeyError> {
        if self.keys.len() >= MAX_KEYS {
            return Err(RootKeyError::TooMany);
        }
        Ok(())
    }

    fn parse(content: &[u8]) -> Result<Self, RootKeyError> {
        let text = std::str::from_utf8(content).map_err(|_| RootKeyError::Malformed { line: 1 })?;
        let mut lines = text.lines();
        if lines.next() != Some(HEADER) {
            return Err(RootKeyError::Malformed { line: 1 });
        }
        let mut keys = Self { keys: Vec::new() };
        for (index, line) in lines.enumerate() {
            let malformed = RootKeyError::Malformed { line: index + 2 };
            let Some(key) = parse_line(line) else {
                return Err(malformed);
            };
            if keys.contains(key.id()) {
                return Err(malformed);
            }
            keys.add_newest(key)?;
        }
        if keys.keys.is_empty() {
            return Err(RootKeyError::Malformed { line: 2 });
        }
        Ok(keys)
    }

    fn to_text(&self) -> Zeroizing<String> {
        // Reserved up front: growing would leave copies of the secrets behind.
        let mut text = Zeroizing::new(String::with_capacity(32 + MAX_KEYS * 98));
        text.push_str(HEADER);
        text.push('\n');
        for key in &self.keys {
            text.push_str(&key.id().to_string());
            text.push(' ');
            text.push_str(&Zeroizing::new(hex::encode(key.secret)));
            text.push('\n');
        }
        text
    }
}

fn parse_line(line: &str) -> Option<RootKey> {
    let (id, secret) = line.split_once(' ')?;
    let mut key = RootKey { secret: [0; 32] };
    hex::decode_to_slice(secret, &mut key.secret).ok()?;
    (key.id().to_string() == id).then_some(key)
}

/// Why a root key could not be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum RootKeyError {
    /// The file could not be read or written, or others may reach it.
    File(SecretFileError),
    /// The file is not one of ours, or a line of it is damaged.
    Malformed {
        /// Counted from 1.
        line: usize,
    },
    /// The file holds no key of this id.
    Unknown(RootKeyId),
    /// The only key cannot be removed.
    LastOne,
    /// More keys than the file may hold.
    TooMany,
    /// The operating system gave no random bytes.
    Random,
    /// The cryptographic library refused.
    Cryptography,
}

impl From<SecretFileError> for RootKeyError {
    fn from(error: SecretFileError) -> Self {
        Self::File(error)
    }
}

impl RootKeyError {
    /// Stable identifier.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::File(error) => error.id(),
            Self::Malformed { .. } => "root_key.malformed",
            Self::Unknown(_) => "root_key.unknown",
            Self::LastOne => "root_key.last_one",
            Self::TooMany => "root_key.too_many",
            Self::Random => "root_key.random",
            Self::Cryptography => "root_key.cryptography",
        }
    }
}

impl std::fmt::Display for RootKeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Malformed { line } => write!(f, "line {line} of the root key file is damaged"),
            Self::Unknown(id) => write!(f, "the root key file holds no key {id}"),
            Self::LastOne => f.write_str("the only root key cannot be removed"),
            Self::TooMany => write!(f, "a root key file holds at most {MAX_KEYS} keys"),
            Self::Random => f.write_str("the operating system gave no random bytes"),
            Self::Cryptography => f.write_str("the cryptographic library refused a root key"),
        }
    }
}

impl std::error::Error for RootKeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_reads_back_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("root.key");
        let mut keys = RootKeys::generate().unwrap();
        keys.create(&path).unwrap();
        keys.add_newest(RootKey::generate().unwrap()).unwrap();
        keys.add_oldest(RootKey::generate().unwrap()).unwrap();
        keys.replace(&path).unwrap();
        let read = RootKeys::load(&path).unwrap();
        let ids = |keys: &RootKeys| keys.iter().map(RootKey::id).collect::<Vec<_>>();
        assert_eq!(ids(&read), ids(&keys));
        assert_eq!(ids(&read).len(), 3);
    }

    #[test]
    fn damage_is_noticed_with_its_line() {
        let keys = RootKeys::generate().unwrap();
        let text = keys.to_text();
        let damaged = |content: &[u8]| RootKeys::parse(content).err().map(|error| error.id());
        assert_eq!(damaged(text.as_bytes()), None);
        assert_eq!(damaged(b""), Some("root_key.malformed"));
        assert_eq!(
            damaged(format!("{HEADER}\n").as_bytes()),
            Some("root_key.malformed")
        );
        let mut flipped = text.as_bytes().to_vec();
        let last = flipped.len() - 2;
        flipped[last] = if flipped[last] == b'0' { b'1' } else { b'0' };
        assert_eq!(damaged(&flipped), Some("root_key.malformed"));
        let twice = format!("{}{}\n", *text, text.lines().nth(1).unwrap());
        assert_eq!(damaged(twice.as_bytes()), Some("root_key.malformed"));
    }

    #[test]
    fn the_last_key_stays_and_others_can_go() {
        let mut keys = RootKeys::generate().unwrap();
        let first = keys.keys[0].id();
        assert_eq!(keys.forget(first).unwrap_err().id(), "root_key.last_one");
        keys.add_newest(RootKey::generate().unwrap()).unwrap();
        keys.forget(first).unwrap();
        assert_eq!(keys.forget(first).unwrap_err().id(), "root_key.unknown");
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let mut keys = RootKeys::generate().unwrap();
        for _ in 1..MAX_KEYS {
            keys.add_newest(RootKey::generate().unwrap()).unwrap();
        }
        assert_eq!(
            keys.add_newest(RootKey::generate().unwrap())
                .unwrap_err()
                .id(),
            "root_key.too_many"
        );
    }

    #[test]
    fn another_lineage_gives_other_keys() {
        let key = RootKey::generate().unwrap();
        let tag = |genesis: &[u8]| {
            let derived = key.derive(&Digest::of(genesis)).unwrap();
            hmac::sign(&derived.rows, b"x").as_ref().to_vec()
        };
        assert_eq!(tag(b"a"), tag(b"a"));
        assert_ne!(tag(b"a"), tag(b"b"));
    }
}
