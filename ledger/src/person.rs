//! Pseudonyms: the log names people by a salted digest, and whoever has the bundle knows who they are.

use core::fmt;

use sha2::{Digest as _, Sha256};

use crate::bytes::{from_hex, to_hex};

/// First part of what is hashed.
const LABEL: &[u8] = b"narthex/v1/person";
/// What the text begins with, so that an id is not taken for another kind of digest.
const PREFIX: &str = "p-";

/// A person, by a pseudonym that is the same in all entries of a project.
///
/// It is the first 16 bytes of SHA-256 over `compose("narthex/v1/person", salt, name)`, where `compose` puts
/// its length (u64, big-endian) before each part. The salt stands in the bundle and never changes: who may read
/// the bundle can name the person, who has only the log cannot. Text: `p-` and 32 lower-case hex digits.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PersonId(pub [u8; 16]);

impl PersonId {
    /// The id of the person whom the bundle calls `name`, under the bundle's salt.
    #[must_use]
    pub fn of(salt: &[u8; 32], name: &str) -> Self {
        let mut hasher = Sha256::new();
        compose_into(&[LABEL, salt, name.as_bytes()], |bytes| {
            hasher.update(bytes)
        });
        let digest: [u8; 32] = hasher.finalize().into();
        let mut id = [0; 16];
        for (to, from) in id.iter_mut().zip(digest) {
            *to = from;
        }
        Self(id)
    }

    /// Reads `p-<32 hex>`, lower case.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        text.strip_prefix(PREFIX).and_then(from_hex).map(Self)
    }
}

impl fmt::Display for PersonId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}{}", to_hex(&self.0))
    }
}

impl fmt::Debug for PersonId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PersonId({self})")
    }
}

/// Hands out the parts, each behind its length: two different lists of parts never give the same bytes.
pub(crate) fn compose_into(parts: &[&[u8]], mut take: impl FnMut(&[u8])) {
    for part in parts {
        // `usize` has at most 64 bits on every platform Rust knows.
        take(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        take(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_depends_on_salt_and_name_and_reads_back() {
        let alice = PersonId::of(&[7; 32], "alice");
        assert_eq!(alice, PersonId::of(&[7; 32], "alice"));
        assert_ne!(alice, PersonId::of(&[8; 32], "alice"));
        assert_ne!(alice, PersonId::of(&[7; 32], "alice2"));
        let text = alice.to_string();
        assert_eq!(text.len(), 34);
        assert_eq!(PersonId::from_text(&text), Some(alice));
        for wrong in [
            text.to_uppercase(),
            format!("{text}0"),
            format!("{text} "),
            text.replace("p-", ""),
            "p-".to_owned(),
        ] {
            assert_eq!(PersonId::from_text(&wrong), None, "{wrong}");
        }
    }

    /// The bytes that are hashed, spelled out: lengths are 17, 32 and 3.
    #[test]
    fn the_composition_is_as_documented() {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 17]);
        bytes.extend_from_slice(b"narthex/v1/person");
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 32]);
        bytes.extend_from_slice(&[1; 32]);
        bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 3]);
        bytes.extend_from_slice(b"bob");
        let digest: [u8; 32] = Sha256::digest(&bytes).into();
        assert_eq!(PersonId::of(&[1; 32], "bob").0.as_slice(), &digest[..16]);
    }
}
