//! The header of the file and of each section: fixed places, big-endian.

use super::error::{EifError, SectionKind};

/// The file's header, in bytes.
pub(crate) const HEADER_BYTES: usize = 548;
/// The header in front of each section, in bytes.
pub(crate) const SECTION_HEADER_BYTES: usize = 12;
/// Room in the header's two tables.
pub(crate) const MAX_SECTIONS: usize = 32;
/// Kernel, command line, metadata and one ramdisk.
pub(crate) const MIN_SECTIONS: usize = 4;
/// Where the checksum is: the header's last field, the only bytes it does not cover.
pub(crate) const CHECKSUM_OFFSET: usize = 0x220;

const MAGIC: [u8; 4] = *b".eif";
const VERSION: u16 = 4;
const FLAG_ARM64: u16 = 1;

/// The processor an image is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Architecture {
    /// The name as compilers and `uname -m` spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The opposite of [`Self::name`].
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }
}

/// Place and size of one section as the header's tables have them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Entry {
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) architecture: Architecture,
    pub(crate) default_memory: u64,
    pub(crate) default_cpus: u64,
    /// One for each section.
    pub(crate) entries: Vec<Entry>,
    pub(crate) checksum: u32,
}

impl Header {
    /// Reads the header; checks everything in it that needs no other byte of the file.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, EifError> {
        let mut fields = Fields {
            rest: file,
            offset: 0,
            part: "header",
        };
        if fields.array()? != MAGIC {
            return Err(EifError::Magic);
        }
        let version = fields.u16()?;
        if version != VERSION {
            return Err(EifError::Version { found: version });
        }
        let flags = fields.u16()?;
        let architecture = match flags {
            0 => Architecture::X86_64,
            FLAG_ARM64 => Architecture::Aarch64,
            _ => return Err(EifError::Flags { found: flags }),
        };
        let default_memory = fields.u64()?;
        let default_cpus = fields.u64()?;
        if fields.u16()? != 0 {
            return Err(EifError::Reserved { offset: 0x18 });
        }
        let count = usize::from(fields.u16()?);
        if !(MIN_SECTIONS..=MAX_SECTIONS).contains(&count) {
            return Err(EifError::SectionCount { found: count });
        }
        let mut entries = vec![Entry::default(); MAX_SECTIONS];
        for entry in &mut entries {
            entry.offset = fields.u64()?;
        }
        for entry in &mut entries {
            entry.size = fields.u64()?;
        }
        // Nothing may hide in the rest of the tables: it is not measured.
        let unused = entries
            .iter()
            .skip(count)
            .position(|entry| *entry != Entry::default());
        if let Some(index) = unused {
            return Err(EifError::SectionTable {
                index: count + index,
            });
        }
        entries.truncate(count);
        if fields.u32()? != 0 {
            return Err(EifError::Reserved { offset: 0x21c });
        }
        let checksum = fields.u32()?;
        Ok(Self {
            architecture,
            default_memory,
            default_cpus,
            entries,
            checksum,
        })
    }

    /// The header's bytes. At most [`MAX_SECTIONS`] entries are written.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Self {
            architecture,
            default_memory,
            default_cpus,
            entries,
            checksum,
        } = self;
        let flags = match architecture {
            Architecture::X86_64 => 0,
            Architecture::Aarch64 => FLAG_ARM64,
        };
        let count = entries.len().min(MAX_SECTIONS);
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_be_bytes());
        bytes.extend(flags.to_be_bytes());
        bytes.extend(default_memory.to_be_bytes());
        bytes.extend(default_cpus.to_be_bytes());
        bytes.extend([0; 2]);
        bytes.extend(u16::try_from(count).unwrap_or(u16::MAX).to_be_bytes());
        let table = |field: fn(&Entry) -> u64| {
            let rest = core::iter::repeat_n(0, MAX_SECTIONS - count);
            entries
                .iter()
                .take(count)
                .map(field)
                .chain(rest)
                .flat_map(u64::to_be_bytes)
        };
        bytes.extend(table(|entry| entry.offset));
        bytes.extend(table(|entry| entry.size));
        bytes.extend([0; 4]);
        bytes.extend(checksum.to_be_bytes());
        bytes
    }
}

/// The header in front of a section; the size is not yet compared with anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SectionHeader {
    pub(crate) kind: SectionKind,
    pub(crate) size: u64,
}

impl SectionHeader {
    /// Reads the header of section `index` at `offset` of the file.
    pub(crate) fn parse(file: &[u8], index: usize, offset: usize) -> Result<Self, EifError> {
        let rest = file.get(offset..).unwrap_or_default();
        let mut fields = Fields {
            rest,
            offset,
            part: "header of a section",
        };
        let number = fields.u16()?;
        let flags = fields.u16()?;
        let size = fields.u64()?;
        let kind = SectionKind::from_number(number).ok_or(EifError::SectionType {
            index,
            found: number,
        })?;
        if flags != 0 {
            return Err(EifError::SectionFlags {
                index,
                found: flags,
            });
        }
        Ok(Self { kind, size })
    }

    pub(crate) fn encode(self) -> [u8; SECTION_HEADER_BYTES] {
        let mut bytes = [0; SECTION_HEADER_BYTES];
        let fields = self
            .kind
            .number()
            .to_be_bytes()
            .into_iter()
            .chain([0; 2])
            .chain(self.size.to_be_bytes());
        bytes
            .iter_mut()
            .zip(fields)
            .for_each(|(byte, field)| *byte = field);
        bytes
    }
}

/// The checksum of a whole file: CRC-32 (IEEE) over everything but its own field.
pub(crate) fn checksum(file: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(file.get(..CHECKSUM_OFFSET).unwrap_or(file));
    crc.update(file.get(HEADER_BYTES..).unwrap_or_default());
    crc.finalize()
}

/// Reads fields from the front of some bytes.
struct Fields<'a> {
    rest: &'a [u8],
    /// Where the first field is in the file, for the message.
    offset: usize,
    part: &'static str,
}

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], EifError> {
        let truncated = EifError::Truncated {
            part: self.part,
            offset: self.offset,
        };
        let (field, rest) = self.rest.split_first_chunk().ok_or(truncated)?;
        self.rest = rest;
        Ok(*field)
    }

    fn u16(&mut self) -> Result<u16, EifError> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, EifError> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, EifError> {
        self.array().map(u64::from_be_bytes)
    }
}
