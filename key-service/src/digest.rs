//! SHA-384 digests and the one way this crate composes several fields into bytes.

use std::fmt;

use aws_lc_rs::digest;

/// A SHA-384 digest: 48 bytes, shown as 96 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 48]);

impl Digest {
    /// SHA-384 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut out = [0; 48];
        for (to, from) in out
            .iter_mut()
            .zip(digest::digest(&digest::SHA384, bytes).as_ref())
        {
            *to = *from;
        }
        Self(out)
    }

    /// The 48 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 48] {
        &self.0
    }

    /// Exactly 48 bytes, or nothing.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Labels and fields as one unambiguous byte string:
/// u16be(len(label)) || label || for each field: u32be(len(field)) || field.
///
/// Two different lists of fields never give the same bytes, because every length is stated. Fields
/// come from this program or from rows whose length SQLite bounds (1 GB), so the lengths fit.
#[must_use]
pub fn compose(label: &str, fields: &[&[u8]]) -> Vec<u8> {
    let total: usize = fields.iter().map(|field| field.len() + 4).sum();
    let mut out = Vec::with_capacity(2 + label.len() + total);
    let label_length = u16::try_from(label.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&label_length.to_be_bytes());
    out.extend_from_slice(label.as_bytes());
    for field in fields {
        let length = u32::try_from(field.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_cannot_be_shifted_into_each_other() {
        assert_ne!(compose("l", &[b"ab", b"c"]), compose("l", &[b"a", b"bc"]));
        assert_ne!(compose("l", &[b"ab"]), compose("l", &[b"ab", b""]));
        assert_ne!(compose("lx", &[b""]), compose("l", &[b"x"]));
    }

    #[test]
    fn the_composition_is_the_documented_one() {
        assert_eq!(compose("ab", &[b"c"]), b"\x00\x02ab\x00\x00\x00\x01c");
    }

    #[test]
    fn sha_384_of_nothing_is_the_known_value() {
        assert!(
            Digest::of(b"")
                .to_string()
                .starts_with("38b060a751ac96384cd9327eb1b1e36a")
        );
    }
}
