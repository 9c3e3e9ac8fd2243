//! Signatures as they travel: armored SSHSIG text.

use core::fmt;

use crate::codec::{MessageError, filled};

/// An armored SSH signature, as `ssh-keygen -Y sign` writes it.
///
/// Only its length and alphabet are checked here (printable ASCII and line feeds); whether it
/// signs anything is for the policy to say.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct ArmoredSignature(String);

impl ArmoredSignature {
    /// The longest armored signature accepted. A FIDO signature with attestation-free flags is
    /// under 1 KiB and P-521 under 700 bytes; 4 KiB leaves room and stays small.
    pub const MAX_BYTES: usize = 4096;

    const PART: &'static str = "signature";

    /// Checks `text` and keeps it.
    ///
    /// # Errors
    ///
    /// [`MessageError::Empty`], [`MessageError::TooLong`], or [`MessageError::Text`].
    pub fn new(text: &str) -> Result<Self, MessageError> {
        filled(Self::PART, text.len(), Self::MAX_BYTES)?;
        let allowed = |byte: u8| (b' '..=b'~').contains(&byte) || byte == b'\n';
        if !text.bytes().all(allowed) {
            return Err(MessageError::Text { part: Self::PART });
        }
        Ok(Self(text.to_owned()))
    }

    /// The armored text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl core::str::FromStr for ArmoredSignature {
    type Err = MessageError;

    fn from_str(text: &str) -> Result<Self, MessageError> {
        Self::new(text)
    }
}

impl fmt::Debug for ArmoredSignature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ArmoredSignature({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_printable_ascii_is_kept() {
        assert!(ArmoredSignature::new("-----BEGIN SSH SIGNATURE-----\nU1NI\n").is_ok());
        for text in ["a\r\n", "a\0", "\u{1b}[31m", "é"] {
            let refused = MessageError::Text { part: "signature" };
            assert_eq!(ArmoredSignature::new(text), Err(refused), "{text:?}");
        }
        assert_eq!(
            ArmoredSignature::new(""),
            Err(MessageError::Empty { part: "signature" })
        );
        let max = "a".repeat(4096);
        assert!(ArmoredSignature::new(&max).is_ok());
        assert_eq!(
            ArmoredSignature::new(&format!("{max}a")),
            Err(MessageError::TooLong {
                part: "signature",
                max: 4096
            })
        );
    }
}
