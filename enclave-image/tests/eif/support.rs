//! Images made by hand, field by field, so that each can be wrong in exactly one way. Nothing here
//! uses the crate's own writer.

use narthex_image::eif::{Architecture, EifError, Image, Metadata, Parts};
use narthex_nsm::mock::mint::{DevelopmentAuthority, SubjectPublicKey};
use p384::SecretKey;
use p384::elliptic_curve::sec1::ToSec1Point;
use p384::pkcs8::{EncodePrivateKey, LineEnding};

pub(crate) const KERNEL: u16 = 1;
pub(crate) const COMMAND_LINE: u16 = 2;
pub(crate) const RAMDISK: u16 = 3;
pub(crate) const SIGNATURE: u16 = 4;
pub(crate) const METADATA: u16 = 5;

/// One section as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) content: Vec<u8>,
}

pub(crate) fn section(kind: u16, content: &[u8]) -> Section {
    Section {
        kind,
        flags: 0,
        content: content.to_vec(),
    }
}

/// A whole file in parts. The tables and the checksum follow from the sections.
#[derive(Clone, Debug)]
pub(crate) struct Raw {
    pub(crate) version: u16,
    pub(crate) flags: u16,
    pub(crate) default_memory: u64,
    pub(crate) default_cpus: u64,
    pub(crate) sections: Vec<Section>,
}

impl Raw {
    pub(crate) fn genuine() -> Self {
        Self {
            version: 4,
            flags: 0,
            default_memory: 1 << 30,
            default_cpus: 2,
            sections: vec![
                section(KERNEL, b"the kernel"),
                section(COMMAND_LINE, b"reboot=k panic=1"),
                section(METADATA, b"{}"),
                section(RAMDISK, b"the agent"),
                section(RAMDISK, b"the workload"),
            ],
        }
    }

    /// The file, with `edit` applied before the checksum is written.
    pub(crate) fn file_with(&self, edit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut file = Vec::new();
        file.extend(*b".eif");
        file.extend(self.version.to_be_bytes());
        file.extend(self.flags.to_be_bytes());
        file.extend(self.default_memory.to_be_bytes());
        file.extend(self.default_cpus.to_be_bytes());
        file.extend([0; 2]);
        file.extend((self.sections.len() as u16).to_be_bytes());
        let mut tables = [0_u64; 64];
        let mut offset = 548;
        for (index, section) in self.sections.iter().take(32).enumerate() {
            tables[index] = offset;
            tables[32 + index] = section.content.len() as u64;
            offset += 12 + section.content.len() as u64;
        }
        file.extend(tables.into_iter().flat_map(u64::to_be_bytes));
        file.extend([0; 8]);
        for section in &self.sections {
            file.extend(section.kind.to_be_bytes());
            file.extend(section.flags.to_be_bytes());
            file.extend((section.content.len() as u64).to_be_bytes());
            file.extend(&section.content);
        }
        edit(&mut file);
        fix_checksum(&mut file);
        file
    }

    pub(crate) fn file(&self) -> Vec<u8> {
        self.file_with(|_| ())
    }
}

/// CRC-32 (IEEE), bit by bit, over everything but its own field.
pub(crate) fn fix_checksum(file: &mut [u8]) {
    if file.len() < 548 {
        return;
    }
    let mut crc = u32::MAX;
    for byte in file[..0x220].iter().chain(&file[0x224..]) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    file[0x220..0x224].copy_from_slice(&(!crc).to_be_bytes());
}

/// The refusal of a file.
pub(crate) fn refusal(file: &[u8]) -> &'static str {
    Image::parse(file)
        .map(|_| ())
        .as_ref()
        .map_err(EifError::id)
        .expect_err("a refusal")
}

pub(crate) fn parts<'a>(ramdisks: &'a [&'a [u8]]) -> Parts<'a> {
    Parts {
        architecture: Architecture::X86_64,
        kernel: b"the kernel",
        command_line: "reboot=k panic=1",
        ramdisks,
        metadata: Metadata::new("example", "1.0.0"),
        default_memory: 1 << 30,
        default_cpus: 2,
    }
}

/// A key for tests and its self-made certificate.
pub(crate) struct Signing {
    pub(crate) key: SecretKey,
    pub(crate) certificate_der: Vec<u8>,
}

impl Signing {
    pub(crate) fn new(seed: u8) -> Self {
        let key = SecretKey::from_slice(&[seed; 48]).unwrap();
        let point = key.public_key().to_sec1_point(false).as_bytes().to_vec();
        Self {
            certificate_der: certificate(|public_key| public_key.key = point),
            key,
        }
    }

    pub(crate) fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate_der)
    }

    pub(crate) fn key_pem(&self) -> String {
        self.key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string()
    }
}

/// A well-formed certificate whose public key is changed first.
pub(crate) fn certificate(edit: impl FnOnce(&mut SubjectPublicKey)) -> Vec<u8> {
    let link = DevelopmentAuthority::insecure_fixed().root_link();
    let mut recipe = link.certificate;
    edit(&mut recipe.public_key);
    recipe.mint(&link.key)
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    pem_rfc7468::encode_string(label, pem_rfc7468::LineEnding::LF, der).unwrap()
}

/// The head of a CBOR item in shortest form.
pub(crate) fn head(major: u8, argument: usize) -> Vec<u8> {
    match argument {
        0..=23 => vec![major << 5 | argument as u8],
        24..=255 => vec![major << 5 | 24, argument as u8],
        _ => {
            let [high, low] = (argument as u16).to_be_bytes();
            vec![major << 5 | 25, high, low]
        }
    }
}

/// Bytes as an array of integers.
pub(crate) fn integers(bytes: &[u8]) -> Vec<u8> {
    let items = bytes.iter().flat_map(|byte| head(0, usize::from(*byte)));
    head(4, bytes.len()).into_iter().chain(items).collect()
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    [head(3, text.len()), text.as_bytes().to_vec()].concat()
}

pub(crate) fn byte_string(bytes: &[u8]) -> Vec<u8> {
    [head(2, bytes.len()), bytes.to_vec()].concat()
}

/// A small generator (xorshift64*): the same numbers in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16) as usize % bound
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.below(256) as u8).collect()
    }
}
