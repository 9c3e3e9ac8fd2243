//! What the writer makes, and what it does not.

use narthex_image::eif::{self, Architecture, EifError, Image, Metadata};

use crate::support::*;

#[test]
fn what_is_written_reads_back() {
    let mut random = Random(7);
    for count in 1..=28 {
        let contents: Vec<Vec<u8>> = (0..count)
            .map(|number| random.bytes(1 + number * 7))
            .collect();
        let ramdisks: Vec<&[u8]> = contents.iter().map(Vec::as_slice).collect();
        let mut parts = parts(&ramdisks);
        parts.architecture = Architecture::Aarch64;
        let file = eif::write(&parts).unwrap();
        let image = Image::parse(&file).unwrap();
        assert_eq!(image.architecture(), Architecture::Aarch64);
        assert_eq!(image.kernel(), parts.kernel);
        assert_eq!(image.command_line(), parts.command_line);
        assert_eq!(image.ramdisks(), ramdisks);
        assert_eq!(image.default_memory(), parts.default_memory);
        assert_eq!(image.default_cpus(), parts.default_cpus);
        assert!(image.signature().is_none());
    }
}

#[test]
fn the_same_parts_make_the_same_bytes_and_the_layout_is_the_one_of_the_format() {
    let file = eif::write(&parts(&[b"the agent", b"the workload"])).unwrap();
    assert_eq!(
        file,
        eif::write(&parts(&[b"the agent", b"the workload"])).unwrap()
    );
    let mut raw = Raw::genuine();
    raw.sections[2].content = Image::parse(&file).unwrap().metadata().to_vec();
    assert_eq!(file, raw.file());
}

#[test]
fn metadata_has_no_time_and_its_text_is_escaped() {
    let ramdisks: &[&[u8]] = &[b"the agent"];
    let mut parts = parts(ramdisks);
    parts.metadata = Metadata::new("a \"name\"\n", "1");
    let file = eif::write(&parts).unwrap();
    let metadata = Image::parse(&file).unwrap().metadata();
    let read: serde_json::Value = serde_json::from_slice(metadata).unwrap();
    assert_eq!(read["ImageName"], "a \"name\"\n");
    assert_eq!(
        read["BuildMetadata"]["BuildTime"],
        "1970-01-01T00:00:00+00:00"
    );
}

#[test]
fn what_the_reader_refuses_is_not_written() {
    let ramdisks: &[&[u8]] = &[b"the agent"];
    let refusal = |edit: fn(&mut eif::Parts<'_>)| {
        let mut parts = parts(ramdisks);
        edit(&mut parts);
        eif::write(&parts)
            .as_ref()
            .map_err(EifError::id)
            .unwrap_err()
    };
    assert_eq!(refusal(|parts| parts.kernel = b""), "eif.section_empty");
    assert_eq!(
        refusal(|parts| parts.command_line = ""),
        "eif.section_empty"
    );
    assert_eq!(
        refusal(|parts| parts.command_line = "a\0b"),
        "eif.command_line"
    );
    assert_eq!(refusal(|parts| parts.ramdisks = &[]), "eif.section_count");
    assert_eq!(
        refusal(|parts| parts.ramdisks = &[b""]),
        "eif.section_empty"
    );
    assert_eq!(
        refusal(|parts| parts.ramdisks = const { &[b"x" as &[u8]; 29] }),
        "eif.section_count"
    );
    let long = "a".repeat(2048);
    let mut parts = parts(ramdisks);
    parts.command_line = &long;
    assert_eq!(
        eif::write(&parts).unwrap_err().id(),
        "eif.section_too_large"
    );
    parts.command_line = &long[1..];
    assert!(eif::write(&parts).is_ok());
}
