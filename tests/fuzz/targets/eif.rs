//! Enclave images: whole files, and signature sections of one fixed image. The first byte chooses.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use narthex_image::eif::{self, Architecture, EifError, Image, Metadata, Parts};

/// The image whose signature sections are read; `narthex-fuzz-seeds` signs the same one.
static UNSIGNED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    eif::write(&Parts {
        architecture: Architecture::X86_64,
        kernel: b"kernel",
        command_line: "panic=1",
        ramdisks: &[b"agent", b"workload"],
        metadata: Metadata::new("fuzz", "1"),
        default_memory: 0,
        default_cpus: 0,
    })
    .expect("an image")
});

fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else {
        return;
    };
    let mut file = match which {
        0 => data.to_vec(),
        _ => with_signature(data),
    };
    // Past the checksum, which mutation would hardly ever hit.
    if let Err(EifError::Checksum { expected, .. }) = Image::parse(&file) {
        file[0x220..0x224].copy_from_slice(&expected.to_be_bytes());
    }
    let Ok(image) = Image::parse(&file) else {
        return;
    };
    let sections = [
        image.kernel(),
        image.command_line().as_bytes(),
        image.metadata(),
    ];
    let sections = sections.into_iter().chain(image.ramdisks().iter().copied());
    let bytes: usize = sections
        .chain(image.signature())
        .map(|section| 12 + section.len())
        .sum();
    assert_eq!(548 + bytes, file.len(), "each byte belongs to one section");
    let signed = image.signature().is_some();
    let unsigned = image.without_signature().expect("it was read from a file");
    match signed {
        false => assert_eq!(unsigned, file, "there is one way to write an image"),
        true => assert_eq!(
            Image::parse(&unsigned).map(|image| image.signature()),
            Ok(None)
        ),
    }
    assert_eq!(image.measure().pcr8.is_some(), signed);
    if let Ok(certificate) = image.verify_signature() {
        assert_eq!(certificate.is_some(), signed);
    }
});

fn with_signature(section: &[u8]) -> Vec<u8> {
    let mut file = UNSIGNED.clone();
    file[0x1b] = 6;
    let offset = (file.len() as u64).to_be_bytes();
    let size = (section.len() as u64).to_be_bytes();
    file[0x1c + 40..0x1c + 48].copy_from_slice(&offset);
    file[0x11c + 40..0x11c + 48].copy_from_slice(&size);
    file.extend([0, 4, 0, 0]);
    file.extend(size);
    file.extend(section);
    file
}
