//! Bytes that are wiped when dropped and that no formatting can show.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Secret bytes of any length.
///
/// Wiped when dropped. It has no `Debug`, no `Display` and no `Clone`: every copy is visible in the
/// code that makes it.
///
/// ```compile_fail,E0277
/// let secret = narthex_channel::SecretBytes::from(vec![1, 2, 3]);
/// println!("{secret:?}");
/// ```
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Copies `bytes`. The original stays the caller's to wipe.
    #[must_use]
    pub fn copied_from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for SecretBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
