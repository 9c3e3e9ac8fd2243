//! Each rule of the reader, broken alone.

use narthex_image::eif::Image;

use crate::support::*;

/// What one case does to a genuine file before its checksum is made.
type Edit = fn(&mut Vec<u8>);

#[test]
fn a_file_made_by_hand_is_read() {
    let file = Raw::genuine().file();
    let image = Image::parse(&file).unwrap();
    assert_eq!(image.kernel(), b"the kernel");
    assert_eq!(image.command_line(), "reboot=k panic=1");
    assert_eq!(image.metadata(), b"{}");
    assert_eq!(image.ramdisks(), [&b"the agent"[..], b"the workload"]);
    assert_eq!((image.default_memory(), image.default_cpus()), (1 << 30, 2));
    assert_eq!(image.architecture().name(), "x86_64");
    assert_eq!(image.checksum().to_be_bytes(), file[0x220..0x224]);
    assert!(image.signature().is_none() && image.verify_signature() == Ok(None));
}

#[test]
fn each_field_of_the_headers_has_its_refusal() {
    let cases: [(&str, Edit); 19] = [
        ("eif.magic", |file| file[0] = b'E'),
        ("eif.version", |file| file[5] = 3),
        ("eif.version", |file| file[5] = 5),
        ("eif.flags", |file| file[7] = 2),
        ("eif.flags", |file| file[6] = 0x80),
        ("eif.reserved", |file| file[0x19] = 1),
        ("eif.reserved", |file| file[0x21c] = 1),
        ("eif.section_count", |file| file[0x1b] = 3),
        ("eif.section_count", |file| file[0x1b] = 33),
        ("eif.section_count", |file| file[0x1a] = 1),
        // The first entry that belongs to no section, and the last: its place, its size.
        ("eif.section_table", |file| file[0x1c + 5 * 8] = 1),
        ("eif.section_table", |file| file[0x11b] = 1),
        ("eif.section_table", |file| file[0x21b] = 1),
        // A gap, an overlap, and a place outside of the file.
        ("eif.section_offset", |file| file[0x1c + 15] += 1),
        ("eif.section_offset", |file| file[0x1c + 15] -= 1),
        ("eif.section_offset", |file| file[0x1c] = 0xff),
        ("eif.section_size", |file| file[0x11c + 7] += 1),
        ("eif.section_type", |file| file[549] = 6),
        ("eif.section_flags", |file| file[551] = 1),
    ];
    for (number, (id, edit)) in cases.into_iter().enumerate() {
        let file = Raw::genuine().file_with(edit);
        assert_eq!(refusal(&file), id, "case {number}");
    }
    assert_eq!(
        refusal(&Raw::genuine().file_with(|file| file[549] = 0)),
        "eif.section_type"
    );
}

#[test]
fn sizes_that_the_file_does_not_have_are_refused_before_they_are_believed() {
    for size in [11_u64, 1 << 40, u64::MAX, u64::MAX - 560] {
        let mut raw = Raw::genuine();
        raw.sections.truncate(4);
        let file = raw.file_with(|file| {
            let last = file.len() - 9;
            file[0x11c + 24..0x11c + 32].copy_from_slice(&size.to_be_bytes());
            file[last - 8..last].copy_from_slice(&size.to_be_bytes());
        });
        assert_eq!(refusal(&file), "eif.truncated", "{size}");
    }
}

#[test]
fn every_shorter_file_is_refused() {
    let file = Raw::genuine().file();
    for length in 0..file.len() {
        let mut shorter = file[..length].to_vec();
        fix_checksum(&mut shorter);
        assert_eq!(refusal(&shorter), "eif.truncated", "{length}");
    }
}

#[test]
fn nothing_follows_the_last_section() {
    let mut file = Raw::genuine().file();
    file.push(0);
    fix_checksum(&mut file);
    assert_eq!(refusal(&file), "eif.trailing");
    // Not even a section that the header does not count.
    let file = Raw::genuine().file_with(|file| {
        file[0x1b] = 4;
        file[0x1c + 32..0x1c + 40].fill(0);
        file[0x11c + 32..0x11c + 40].fill(0);
    });
    assert_eq!(refusal(&file), "eif.trailing");
}

#[test]
fn a_changed_checksum_is_refused() {
    for byte in 0x220..0x224 {
        let mut file = Raw::genuine().file();
        file[byte] ^= 1;
        assert_eq!(refusal(&file), "eif.crc");
    }
}

#[test]
fn every_flipped_bit_is_refused() {
    let file = Raw::genuine().file();
    for byte in 0..file.len() {
        for bit in 0..8 {
            let mut changed = file.clone();
            changed[byte] ^= 1 << bit;
            refusal(&changed);
        }
    }
}

#[test]
fn there_is_one_order() {
    let genuine = Raw::genuine().sections;
    let order = |indexes: &[usize]| {
        let mut raw = Raw::genuine();
        raw.sections = indexes
            .iter()
            .map(|index| genuine[*index].clone())
            .collect();
        Image::parse(&raw.file())
            .map(|_| ())
            .map_err(|error| error.id())
    };
    // 0 kernel, 1 command line, 2 metadata, 3 and 4 ramdisks.
    assert_eq!(order(&[0, 1, 2, 3]), Ok(()));
    assert_eq!(order(&[0, 1, 2, 4, 3, 3]), Ok(()));
    let wrong: [&[usize]; 11] = [
        &[1, 0, 2, 3],
        &[0, 2, 1, 3],
        &[0, 1, 3, 2],
        &[0, 1, 3, 4],
        &[3, 0, 1, 2],
        &[0, 0, 1, 2, 3],
        &[0, 1, 1, 2, 3],
        &[0, 1, 2, 2, 3],
        &[0, 1, 2, 3, 0],
        &[0, 1, 2, 3, 1],
        &[0, 1, 2, 3, 2],
    ];
    for indexes in wrong {
        assert_eq!(order(indexes), Err("eif.section_order"), "{indexes:?}");
    }
    let mut raw = Raw::genuine();
    for place in [0, 1, 2, 3, 4] {
        raw.sections = genuine.clone();
        raw.sections.insert(place, section(SIGNATURE, b"x"));
        assert_eq!(refusal(&raw.file()), "eif.section_order");
    }
    raw.sections = genuine;
    raw.sections
        .extend([section(SIGNATURE, b"x"), section(SIGNATURE, b"x")]);
    assert_eq!(refusal(&raw.file()), "eif.section_order");
}

#[test]
fn as_many_sections_as_the_tables_have_room_for() {
    let mut raw = Raw::genuine();
    raw.sections.resize(32, section(RAMDISK, b"more"));
    let file = raw.file();
    assert_eq!(Image::parse(&file).unwrap().ramdisks().len(), 29);
    raw.sections.push(section(RAMDISK, b"more"));
    assert_eq!(refusal(&raw.file()), "eif.section_count");
}

#[test]
fn sections_are_neither_empty_nor_too_large() {
    for index in 0..5 {
        let mut raw = Raw::genuine();
        raw.sections[index].content.clear();
        assert_eq!(refusal(&raw.file()), "eif.section_empty", "{index}");
    }
    for (index, limit) in [(1, 2047), (2, 1 << 20)] {
        let mut raw = Raw::genuine();
        raw.sections[index].content = vec![b' '; limit];
        assert!(Image::parse(&raw.file()).is_ok());
        raw.sections[index].content.push(b' ');
        assert_eq!(refusal(&raw.file()), "eif.section_too_large");
    }
    let mut raw = Raw::genuine();
    raw.sections.push(section(SIGNATURE, &[0; 32_769]));
    assert_eq!(refusal(&raw.file()), "eif.section_too_large");
    raw.sections[5].content.pop();
    assert_eq!(refusal(&raw.file()), "eif.signature_record");
}

#[test]
fn a_command_line_is_text_without_zero_bytes() {
    for content in [&b"panic=1\0init=/bin/sh"[..], b"panic=1\0", b"panic=\xff"] {
        let mut raw = Raw::genuine();
        raw.sections[1].content = content.to_vec();
        assert_eq!(refusal(&raw.file()), "eif.command_line");
    }
}

#[test]
fn arm_is_the_one_flag() {
    let mut raw = Raw::genuine();
    raw.flags = 1;
    let file = raw.file();
    assert_eq!(
        Image::parse(&file).unwrap().architecture().name(),
        "aarch64"
    );
}

/// The page lists what the code can say, and every rule has a test that names it.
#[test]
fn the_page_and_the_tests_know_every_refusal() {
    let source = include_str!("../../src/eif/error.rs");
    let page = include_str!("../../docs/eif.md");
    let tests = [
        include_str!("refusals.rs"),
        include_str!("signatures.rs"),
        include_str!("writer.rs"),
    ]
    .concat();
    let quoted = source.split('"').filter(|text| text.starts_with("eif."));
    let ids: Vec<&str> = quoted.collect();
    assert!(ids.len() > 20, "{ids:?}");
    for id in &ids {
        assert!(
            page.contains(&format!("| `{id}` |")),
            "docs/eif.md lacks {id}"
        );
        assert!(tests.contains(&format!("\"{id}\"")), "no test names {id}");
    }
    let listed = page.lines().filter_map(|line| line.strip_prefix("| `eif."));
    for line in listed {
        let id = format!("eif.{}", line.split('`').next().unwrap());
        assert!(
            ids.contains(&id.as_str()),
            "docs/eif.md has {id}, the code not"
        );
    }
}
