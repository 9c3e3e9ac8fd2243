use super::error::{EifError, SectionKind};
use super::header::{
    Architecture, CHECKSUM_OFFSET, Entry, HEADER_BYTES, Header, MAX_SECTIONS, MIN_SECTIONS,
    SECTION_HEADER_BYTES, SectionHeader, checksum,
};
use super::image::{Image, check_content, command_line_text};
use super::metadata::Metadata;

/// What an image is made of.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// The processor that the kernel is for.
    pub architecture: Architecture,
    /// The kernel: a `bzImage` for x86, an `Image` for Arm.
    pub kernel: &'a [u8],
    /// The kernel's command line: 1 to 2047 bytes without a zero byte.
    pub command_line: &'a str,
    /// 1 to 28 ramdisks, so that a signature still fits.
    pub ramdisks: &'a [&'a [u8]],
    /// What the metadata section says.
    pub metadata: Metadata,
    /// Memory that the header proposes, in bytes.
    pub default_memory: u64,
    /// Processors that the header proposes.
    pub default_cpus: u64,
}

/// Writes an unsigned image of version 4: the same parts make the same bytes.
///
/// # Errors
///
/// What [`Image::parse`] would refuse is not written, with the same names.
pub fn write(parts: &Parts<'_>) -> Result<Vec<u8>, EifError> {
    let Parts {
        architecture,
        kernel,
        command_line,
        ramdisks,
        metadata,
        default_memory,
        default_cpus,
    } = parts;
    command_line_text(command_line.as_bytes())?;
    let metadata = metadata.to_json();
    let sections = in_order(kernel, command_line, &metadata, ramdisks);
    // One place stays free for the signature.
    if !(MIN_SECTIONS..MAX_SECTIONS).contains(&sections.len()) {
        return Err(EifError::SectionCount {
            found: sections.len(),
        });
    }
    let header = Header {
        architecture: *architecture,
        default_memory: *default_memory,
        default_cpus: *default_cpus,
        entries: Vec::new(),
        checksum: 0,
    };
    assemble(header, &sections)
}

/// The same image with one more section at its end.
pub(crate) fn with_signature(image: &Image<'_>, signature: &[u8]) -> Result<Vec<u8>, EifError> {
    let mut sections = unsigned_sections(image);
    sections.push((SectionKind::Signature, signature));
    if sections.len() > MAX_SECTIONS {
        return Err(EifError::SectionCount {
            found: sections.len(),
        });
    }
    assemble(header_of(image), &sections)
}

impl Image<'_> {
    /// The file of the same image without its signature, which is what [`sign`](super::sign) was given:
    /// all that is not measured can be compared with it, although the image was signed since.
    ///
    /// # Errors
    ///
    /// None for an image that was read from a file.
    pub fn without_signature(&self) -> Result<Vec<u8>, EifError> {
        assemble(header_of(self), &unsigned_sections(self))
    }
}

/// Every section but the signature.
fn unsigned_sections<'a>(image: &Image<'a>) -> Vec<(SectionKind, &'a [u8])> {
    in_order(
        image.kernel(),
        image.command_line(),
        image.metadata(),
        image.ramdisks(),
    )
}

/// The one order of the sections, as far as every image has them.
fn in_order<'a>(
    kernel: &'a [u8],
    command_line: &'a str,
    metadata: &'a [u8],
    ramdisks: &[&'a [u8]],
) -> Vec<(SectionKind, &'a [u8])> {
    let mut sections = vec![
        (SectionKind::Kernel, kernel),
        (SectionKind::CommandLine, command_line.as_bytes()),
        (SectionKind::Metadata, metadata),
    ];
    let ramdisks = ramdisks.iter();
    sections.extend(ramdisks.map(|ramdisk| (SectionKind::Ramdisk, *ramdisk)));
    sections
}

fn header_of(image: &Image<'_>) -> Header {
    Header {
        architecture: image.architecture(),
        default_memory: image.default_memory(),
        default_cpus: image.default_cpus(),
        entries: Vec::new(),
        checksum: 0,
    }
}

/// Sections one behind the other, and the header that says so.
fn assemble(mut header: Header, sections: &[(SectionKind, &[u8])]) -> Result<Vec<u8>, EifError> {
    let mut end = HEADER_BYTES;
    for (kind, content) in sections {
        check_content(*kind, content)?;
        header.entries.push(Entry {
            offset: bytes_as_u64(end),
            size: bytes_as_u64(content.len()),
        });
        end = end
            .saturating_add(SECTION_HEADER_BYTES)
            .saturating_add(content.len());
    }
    let mut file = Vec::with_capacity(end);
    file.extend(header.encode());
    for (kind, content) in sections {
        file.extend(
            SectionHeader {
                kind: *kind,
                size: bytes_as_u64(content.len()),
            }
            .encode(),
        );
        file.extend_from_slice(content);
    }
    let checksum = checksum(&file).to_be_bytes();
    if let Some(field) = file.get_mut(CHECKSUM_OFFSET..HEADER_BYTES) {
        field.copy_from_slice(&checksum);
    }
    Ok(file)
}

/// A length in memory always fits.
fn bytes_as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
