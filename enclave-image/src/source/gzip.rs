//! Unpacking with a limit.

use std::borrow::Cow;
use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use crate::refusal::{Refusal, Rule};

const GZIP: &[u8] = &[0x1f, 0x8b];
/// Magic numbers of what people also pack archives with, and its name.
const OTHERS: [(&[u8], &str); 4] = [
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (&[0x04, 0x22, 0x4d, 0x18], "lz4"),
];

/// The content of `bytes`, which are plain or packed with gzip; `subject` is their name.
///
/// The kind is recognised by content: media types and file names are often wrong about it.
///
/// # Errors
///
/// `archive.compression`, `archive.format`, `archive.too_large`.
pub(super) fn unpack<'a>(
    subject: &str,
    bytes: &'a [u8],
    limit: u64,
) -> Result<Cow<'a, [u8]>, Refusal> {
    if let Some((_, name)) = OTHERS.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        let detail = format!("is packed with {name}; pack it with gzip, or not at all");
        return Err(Refusal::new(Rule::ArchiveCompression, subject, detail));
    }
    let too_large = || {
        let detail = format!("unpacks to more than {limit} bytes");
        Refusal::new(Rule::ArchiveTooLarge, subject, detail)
    };
    if !bytes.starts_with(GZIP) {
        return if bytes.len() as u64 > limit {
            Err(too_large())
        } else {
            Ok(Cow::Borrowed(bytes))
        };
    }
    let mut content = Vec::new();
    // Several members in a row are one file (RFC 1952, section 2.2); layers that can be read lazily are
    // made of them.
    MultiGzDecoder::new(bytes)
        .take(limit.saturating_add(1))
        .read_to_end(&mut content)
        .map_err(|error| {
            Refusal::new(
                Rule::ArchiveFormat,
                subject,
                format!("is no sound gzip: {error}"),
            )
        })?;
    if content.len() as u64 > limit {
        return Err(too_large());
    }
    Ok(Cow::Owned(content))
}
