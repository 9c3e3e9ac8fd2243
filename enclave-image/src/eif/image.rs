use super::error::{EifError, SectionKind};
use super::header::{
    Architecture, HEADER_BYTES, Header, SECTION_HEADER_BYTES, SectionHeader, checksum,
};
use super::measure::Measurements;
use super::signature::SignatureRecord;

/// What Linux keeps of a command line (`COMMAND_LINE_SIZE` of both architectures, less the zero
/// byte). It cuts a longer one, so that what boots would not be what people read.
pub(crate) const MAX_COMMAND_LINE_BYTES: usize = 2047;
/// Ample for JSON about a build; ours has some 300 bytes.
pub(crate) const MAX_METADATA_BYTES: usize = 1 << 20;
/// AWS's limit of the signature section.
pub(crate) const MAX_SIGNATURE_BYTES: usize = 32_768;

/// An enclave image that is well formed. That says nothing about who made it or whether it is
/// good: compare [`Image::measure`] with measurements that people approved.
#[derive(Clone, Debug)]
pub struct Image<'a> {
    architecture: Architecture,
    default_memory: u64,
    default_cpus: u64,
    kernel: &'a [u8],
    command_line: &'a str,
    metadata: &'a [u8],
    ramdisks: Vec<&'a [u8]>,
    signature: Option<&'a [u8]>,
    record: Option<SignatureRecord>,
    checksum: u32,
}

impl<'a> Image<'a> {
    /// Reads a whole file of version 4.
    ///
    /// # Errors
    ///
    /// Every rule of `docs/eif.md` that is broken, the first one found. The CBOR of a signature
    /// section and its certificate are read, because PCR8 follows from them; whether the signature
    /// holds is for [`Image::verify_signature`].
    pub fn parse(file: &'a [u8]) -> Result<Self, EifError> {
        let header = Header::parse(file)?;
        let count = header.entries.len();
        let mut contents = Vec::with_capacity(count);
        let mut signature = None;
        let mut offset = HEADER_BYTES;
        for (index, entry) in header.entries.iter().enumerate() {
            // The place is known before the header names it: no gap, no overlap.
            let expected = u64::try_from(offset).unwrap_or(u64::MAX);
            if entry.offset != expected {
                return Err(EifError::SectionOffset {
                    index,
                    expected,
                    found: entry.offset,
                });
            }
            let SectionHeader { kind, size } = SectionHeader::parse(file, index, offset)?;
            if size != entry.size {
                return Err(EifError::SectionSize {
                    index,
                    header: entry.size,
                    section: size,
                });
            }
            let content = content(file, offset, size)?;
            check_order(index, count, kind)?;
            check_content(kind, content)?;
            if kind == SectionKind::Signature {
                signature = Some(content);
            } else {
                contents.push(content);
            }
            offset = offset
                .saturating_add(SECTION_HEADER_BYTES)
                .saturating_add(content.len());
        }
        if offset != file.len() {
            return Err(EifError::Trailing { offset });
        }
        let [kernel, command_line, metadata, ramdisks @ ..] = contents.as_slice() else {
            return Err(EifError::SectionCount { found: count });
        };
        let command_line = command_line_text(command_line)?;
        let expected = checksum(file);
        if expected != header.checksum {
            return Err(EifError::Checksum {
                expected,
                found: header.checksum,
            });
        }
        let record = signature.map(SignatureRecord::parse).transpose()?;
        Ok(Self {
            architecture: header.architecture,
            default_memory: header.default_memory,
            default_cpus: header.default_cpus,
            kernel,
            command_line,
            metadata,
            ramdisks: ramdisks.to_vec(),
            signature,
            record,
            checksum: header.checksum,
        })
    }

    /// The processor that the header names. Not measured.
    #[must_use]
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The kernel.
    #[must_use]
    pub fn kernel(&self) -> &'a [u8] {
        self.kernel
    }

    /// The kernel's command line.
    #[must_use]
    pub fn command_line(&self) -> &'a str {
        self.command_line
    }

    /// The ramdisks in their order, at least one.
    #[must_use]
    pub fn ramdisks(&self) -> &[&'a [u8]] {
        &self.ramdisks
    }

    /// The metadata section as it is, at most 1 MiB. Not measured: nothing may follow from it.
    #[must_use]
    pub fn metadata(&self) -> &'a [u8] {
        self.metadata
    }

    /// The signature section as it is.
    #[must_use]
    pub fn signature(&self) -> Option<&'a [u8]> {
        self.signature
    }

    /// The one record of the signature section. Not yet verified.
    #[must_use]
    pub fn signature_record(&self) -> Option<&SignatureRecord> {
        self.record.as_ref()
    }

    /// Memory in bytes that the header proposes. Not measured.
    #[must_use]
    pub fn default_memory(&self) -> u64 {
        self.default_memory
    }

    /// Processors that the header proposes. Not measured.
    #[must_use]
    pub fn default_cpus(&self) -> u64 {
        self.default_cpus
    }

    /// The checksum in the header, which is that of the file.
    #[must_use]
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// What a hypervisor measures when it boots this image. Hashes everything anew.
    #[must_use]
    pub fn measure(&self) -> Measurements {
        Measurements::new(
            self.kernel,
            self.command_line.as_bytes(),
            &self.ramdisks,
            self.record.as_ref().map(SignatureRecord::certificate_der),
        )
    }
}

/// The content behind the section header at `offset`: a size that the file does not have is
/// refused before it is believed.
fn content(file: &[u8], offset: usize, size: u64) -> Result<&[u8], EifError> {
    let start = offset.saturating_add(SECTION_HEADER_BYTES);
    let end = usize::try_from(size)
        .ok()
        .and_then(|size| start.checked_add(size));
    end.and_then(|end| file.get(start..end))
        .ok_or(EifError::Truncated {
            part: "section",
            offset,
        })
}

/// The one order, which is the one that AWS's builder writes. Readers differ in what they do with
/// another: hash in the order of the file, or in the order of the kinds. With one order only, all
/// measure the same, and each section but the ramdisks is there exactly once.
fn check_order(index: usize, count: usize, found: SectionKind) -> Result<(), EifError> {
    const FIRST: [SectionKind; 4] = [
        SectionKind::Kernel,
        SectionKind::CommandLine,
        SectionKind::Metadata,
        SectionKind::Ramdisk,
    ];
    let last = index.saturating_add(1) == count;
    let allowed = match FIRST.get(index) {
        Some(kind) => found == *kind,
        None => found == SectionKind::Ramdisk || (found == SectionKind::Signature && last),
    };
    if allowed {
        Ok(())
    } else {
        Err(EifError::SectionOrder { index, found })
    }
}

/// The rules about one section's size. The writer asks the same.
pub(crate) fn check_content(kind: SectionKind, content: &[u8]) -> Result<(), EifError> {
    if content.is_empty() {
        return Err(EifError::SectionEmpty { kind });
    }
    let limit = match kind {
        SectionKind::Kernel | SectionKind::Ramdisk => return Ok(()),
        SectionKind::CommandLine => MAX_COMMAND_LINE_BYTES,
        SectionKind::Metadata => MAX_METADATA_BYTES,
        SectionKind::Signature => MAX_SIGNATURE_BYTES,
    };
    if content.len() > limit {
        return Err(EifError::SectionTooLarge { kind, limit });
    }
    Ok(())
}

/// A zero byte would end the line for the kernel, and not for the measurement.
pub(crate) fn command_line_text(content: &[u8]) -> Result<&str, EifError> {
    let text = core::str::from_utf8(content).map_err(|_| EifError::CommandLine)?;
    if text.contains('\0') {
        return Err(EifError::CommandLine);
    }
    Ok(text)
}
