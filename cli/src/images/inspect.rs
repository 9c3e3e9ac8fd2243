//! `image inspect`: what is in an image file.

use narthex_image::Sha256Digest;
use narthex_image::eif::SigningCertificate;
use serde_json::{Value, json};

use super::describe;
use super::file::{Checked, check, read_image};
use crate::commands::image::InspectArguments;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::moment::time_text;
use crate::output::Output;
use crate::printable::printable;
use crate::table::Table;

/// `narthex image inspect`.
pub(super) fn inspect(arguments: &InspectArguments, output: &Output) -> Outcome<Exit> {
    let bytes = read_image(&arguments.file)?;
    let checked = check(&arguments.file, &bytes)?;
    let sections = sections(&checked);
    let Checked {
        image,
        measurements,
        certificate,
    } = &checked;
    let metadata = serde_json::from_slice::<Value>(image.metadata()).ok();
    let value = json!({
        "file": arguments.file,
        "size": bytes.len(),
        "sha256": Sha256Digest::of(&bytes).to_string(),
        "architecture": image.architecture().name(),
        "sections": sections.iter().map(Section::to_json).collect::<Vec<_>>(),
        "command_line": image.command_line(),
        "Measurements": describe::measurements(measurements),
        "signing_certificate": certificate.as_ref().map(certificate_json),
        "unmeasured": {
            "default_memory_bytes": image.default_memory(),
            "default_cpus": image.default_cpus(),
            "metadata": metadata,
        },
    });
    output.result(&value, || {
        let mut table = Table::indented(2);
        for section in &sections {
            table.row([
                section.name.as_str(),
                &format!("{} bytes", section.size),
                &format!("sha256 {}", section.sha256),
            ]);
        }
        let mut text = format!(
            "{}: {} bytes, EIF version 4, {}\n{}\n  command line  {}\n\nmeasurements\n",
            printable(&arguments.file.display().to_string()),
            bytes.len(),
            image.architecture().name(),
            table.text(),
            printable(image.command_line()),
        );
        text.push_str(&registers(measurements));
        match certificate {
            None => text.push_str("\nnot signed\n"),
            Some(certificate) => text.push_str(&format!(
                "\nsigned by the key of {}, valid {} to {}; the signature holds\n",
                printable(certificate.subject()),
                seconds_text(certificate.not_before_unix_seconds()),
                seconds_text(certificate.not_after_unix_seconds()),
            )),
        }
        text.push_str(&format!(
            "\nnot measured, whoever holds the file can write what they like\n  memory    {} MiB\n  \
             CPUs      {}\n  metadata  {}\n",
            image.default_memory() >> 20,
            image.default_cpus(),
            metadata.map_or_else(
                || format!("{} bytes that are no JSON", image.metadata().len()),
                |metadata| printable(&metadata.to_string()).into_owned()
            ),
        ));
        text
    })?;
    Ok(Exit::Done)
}

/// One part of the image with its digest, to be compared with a manifest's inputs.
struct Section {
    name: String,
    size: usize,
    sha256: Sha256Digest,
}

impl Section {
    fn to_json(&self) -> Value {
        json!({ "name": self.name, "size": self.size, "sha256": self.sha256.to_string() })
    }
}

fn sections(checked: &Checked<'_>) -> Vec<Section> {
    let image = &checked.image;
    let section = |name: String, bytes: &[u8]| Section {
        name,
        size: bytes.len(),
        sha256: Sha256Digest::of(bytes),
    };
    let mut sections = vec![section("kernel".to_owned(), image.kernel())];
    for (index, ramdisk) in image.ramdisks().iter().enumerate() {
        sections.push(section(format!("ramdisk {}", index + 1), ramdisk));
    }
    sections.push(section("metadata".to_owned(), image.metadata()));
    if let Some(bytes) = image.signature() {
        sections.push(section("signature".to_owned(), bytes));
    }
    sections
}

/// One line a register.
pub(super) fn registers(measurements: &narthex_image::eif::Measurements) -> String {
    let registers = [
        ("PCR0", Some(&measurements.pcr0)),
        ("PCR1", Some(&measurements.pcr1)),
        ("PCR2", Some(&measurements.pcr2)),
        ("PCR8", measurements.pcr8.as_ref()),
    ];
    registers
        .into_iter()
        .filter_map(|(name, value)| Some(format!("  {name}  {}\n", hex::encode(value?))))
        .collect()
}

fn certificate_json(certificate: &SigningCertificate) -> Value {
    json!({
        "subject": certificate.subject(),
        "not_before": seconds_text(certificate.not_before_unix_seconds()),
        "not_after": seconds_text(certificate.not_after_unix_seconds()),
        "sha256": Sha256Digest::of(certificate.der()).to_string(),
    })
}

/// Seconds since 1970 as RFC 3339.
pub(super) fn seconds_text(unix_seconds: i64) -> String {
    match u64::try_from(unix_seconds) {
        Ok(seconds) => time_text(seconds.saturating_mul(1000)),
        Err(_) => "before 1970".to_owned(),
    }
}
