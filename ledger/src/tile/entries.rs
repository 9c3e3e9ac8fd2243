//! Bundles of entries: each entry behind its length as two big-endian bytes.

use super::TILE_WIDTH;
use crate::error::LogError;

/// The longest entry, in bytes.
pub const MAX_ENTRY: usize = 65_535;

/// Writes a bundle of 1 to 256 entries.
///
/// # Errors
///
/// `log.malformed` for another number of entries, and for an entry of more than 65,535 bytes.
pub fn encode_entries<E: AsRef<[u8]>>(entries: &[E]) -> Result<Vec<u8>, LogError> {
    if entries.is_empty() || entries.len() > usize::from(TILE_WIDTH) {
        return Err(LogError::malformed("a bundle has 1 to 256 entries"));
    }
    let mut bundle = Vec::new();
    for entry in entries {
        let entry = entry.as_ref();
        let length = u16::try_from(entry.len())
            .map_err(|_| LogError::malformed("an entry has more than 65,535 bytes"))?;
        bundle.extend_from_slice(&length.to_be_bytes());
        bundle.extend_from_slice(entry);
    }
    Ok(bundle)
}

/// Reads a bundle of exactly `width` entries.
///
/// # Errors
///
/// `log.malformed` if it ends early or goes on.
pub fn parse_entries(bundle: &[u8], width: u16) -> Result<Vec<&[u8]>, LogError> {
    if !(1..=TILE_WIDTH).contains(&width) {
        return Err(LogError::malformed("a bundle has 1 to 256 entries"));
    }
    let mut entries = Vec::with_capacity(usize::from(width));
    let mut rest = bundle;
    for _ in 0..width {
        let entry = rest.split_first_chunk::<2>().and_then(|(length, behind)| {
            behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        });
        let Some((entry, behind)) = entry else {
            return Err(LogError::malformed("a bundle of entries ends early"));
        };
        entries.push(entry);
        rest = behind;
    }
    if !rest.is_empty() {
        return Err(LogError::malformed(
            "a bundle of entries goes on after its last entry",
        ));
    }
    Ok(entries)
}
