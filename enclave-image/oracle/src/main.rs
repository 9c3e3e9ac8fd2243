//! AWS's opinion about enclave images, for tests.
//!
//! ```text
//! image-oracle build IMAGE x86_64|aarch64 COMMAND-LINE KERNEL RAMDISK...   builds; prints the measurements
//! image-oracle sign IMAGE KEY CERTIFICATE                                  signs in place
//! image-oracle describe IMAGE                                              prints what it read
//! ```

use std::fs::OpenOptions;
use std::path::Path;
use std::process::ExitCode;

use aws_nitro_enclaves_image_format::defs::{EIF_HDR_ARCH_ARM64, EifBuildInfo, EifIdentityInfo};
use aws_nitro_enclaves_image_format::utils::eif_reader::EifReader;
use aws_nitro_enclaves_image_format::utils::{EifBuilder, EifSigner, SignKeyData};
use serde_json::{Value, json};
use sha2::{Digest, Sha384};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let answer = match arguments.as_slice() {
        [
            "build",
            image,
            architecture,
            command_line,
            kernel,
            ramdisks @ ..,
        ] => build(image, architecture, command_line, kernel, ramdisks),
        ["sign", image, key, certificate] => sign(image, key, certificate),
        ["describe", image] => describe(image),
        _ => {
            eprintln!("usage: image-oracle build|sign|describe IMAGE ...");
            return ExitCode::from(2);
        }
    };
    match answer {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        Err(words) => {
            eprintln!("{words}");
            ExitCode::FAILURE
        }
    }
}

fn build(
    image: &str,
    architecture: &str,
    command_line: &str,
    kernel: &str,
    ramdisks: &[&str],
) -> Result<Value, String> {
    let flags = match architecture {
        "x86_64" => 0,
        "aarch64" => EIF_HDR_ARCH_ARM64,
        _ => return Err(format!("{architecture} is no architecture of images")),
    };
    let identity = EifIdentityInfo {
        img_name: "oracle".to_owned(),
        img_version: "1".to_owned(),
        build_info: EifBuildInfo {
            build_time: "2026-01-01T00:00:00+00:00".to_owned(),
            build_tool: "oracle".to_owned(),
            build_tool_version: "1".to_owned(),
            img_os: "Linux".to_owned(),
            img_kernel: "6".to_owned(),
        },
        docker_info: json!({ "Id": "sha256:0", "RepoTags": ["oracle:1"] }),
        custom_info: Value::Null,
    };
    let mut builder = EifBuilder::new(
        Path::new(kernel),
        command_line.to_owned(),
        None,
        Sha384::new(),
        flags,
        identity,
    );
    for ramdisk in ramdisks {
        builder.add_ramdisk(Path::new(ramdisk));
    }
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(image);
    let mut file = file.map_err(|error| format!("{image}: {error}"))?;
    Ok(json!({ "measurements": builder.write_to(&mut file) }))
}

fn sign(image: &str, key: &str, certificate: &str) -> Result<Value, String> {
    let keys = SignKeyData::new(key, Path::new(certificate))?;
    let signer = EifSigner::new(Some(keys)).ok_or("no signer")?;
    signer.sign_image(image)?;
    describe(image)
}

fn describe(image: &str) -> Result<Value, String> {
    let mut reader = EifReader::from_eif(image.to_owned())?;
    let measurements = reader.get_measurements()?;
    let certificate = match &reader.signature_section {
        Some(_) => Some(reader.get_certificate_info(measurements.clone())?),
        None => None,
    };
    Ok(json!({
        "measurements": measurements,
        "checksum": reader.check_crc(),
        "version": reader.header.version,
        "flags": reader.header.flags,
        "sections": reader.header.num_sections,
        "metadata": reader.metadata,
        "signature": reader.sign_check,
        "certificate": certificate,
    }))
}
