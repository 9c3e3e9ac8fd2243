//! Which byte changes which measurement.

use narthex_image::eif::{Image, Measurements};
use sha2::{Digest, Sha384};

use crate::support::*;

fn measure(raw: &Raw) -> Measurements {
    Image::parse(&raw.file()).unwrap().measure()
}

/// The rule once more, in the words of the format.
fn pcr(content: &[&[u8]]) -> [u8; 48] {
    let digest = Sha384::digest(content.concat());
    Sha384::digest([&[0; 48], digest.as_slice()].concat()).into()
}

#[test]
fn the_registers_are_what_the_format_says() {
    let (kernel, line) = (&b"the kernel"[..], &b"reboot=k panic=1"[..]);
    let (agent, workload) = (&b"the agent"[..], &b"the workload"[..]);
    let expected = Measurements {
        pcr0: pcr(&[kernel, line, agent, workload]),
        pcr1: pcr(&[kernel, line, agent]),
        pcr2: pcr(&[workload]),
        pcr8: None,
    };
    assert_eq!(measure(&Raw::genuine()), expected);

    let mut one = Raw::genuine();
    one.sections.pop();
    assert_eq!(measure(&one).pcr0, expected.pcr1);
    assert_eq!(measure(&one).pcr1, expected.pcr1);
    assert_eq!(measure(&one).pcr2, pcr(&[]));

    let mut three = Raw::genuine();
    three.sections.push(section(RAMDISK, b"third"));
    assert_eq!(
        measure(&three).pcr0,
        pcr(&[kernel, line, agent, workload, b"third"])
    );
    assert_eq!(measure(&three).pcr1, expected.pcr1);
    assert_eq!(measure(&three).pcr2, pcr(&[workload, b"third"]));
}

/// Random sections; the second ramdisk is in PCR2, all others but the metadata in PCR1.
#[test]
fn a_changed_byte_changes_exactly_its_registers() {
    let mut random = Random(0x0e1f);
    for _ in 0..300 {
        let mut raw = Raw::genuine();
        for index in [0, 3, 4] {
            let length = 1 + random.below(300);
            raw.sections[index].content = random.bytes(length);
        }
        raw.sections[1].content = vec![b'a'; 1 + random.below(300)];
        let before = measure(&raw);

        let index = random.below(5);
        let content = &mut raw.sections[index].content;
        let byte = random.below(content.len());
        content[byte] ^= 1 << random.below(7);
        let after = measure(&raw);

        let changed = [
            before.pcr0 != after.pcr0,
            before.pcr1 != after.pcr1,
            before.pcr2 != after.pcr2,
        ];
        let expected = match index {
            0 | 1 | 3 => [true, true, false],
            2 => [false; 3],
            _ => [true, false, true],
        };
        assert_eq!(changed, expected, "section {index}");
    }
}

#[test]
fn metadata_and_the_defaults_of_the_header_change_nothing() {
    let before = measure(&Raw::genuine());
    let mut raw = Raw::genuine();
    raw.default_memory = u64::MAX;
    raw.default_cpus = 0;
    raw.flags = 1;
    raw.sections[2].content = b"[\"anything\"]".to_vec();
    assert_eq!(measure(&raw), before);
}

/// The pieces are joined without their lengths. That is the format's, and why all three registers
/// are always expected together.
#[test]
fn bytes_that_move_to_the_neighbour_keep_pcr0_and_change_the_others() {
    let before = measure(&Raw::genuine());
    // From the first ramdisk to the second.
    let mut raw = Raw::genuine();
    raw.sections[3].content = b"the".to_vec();
    raw.sections[4].content = b" agentthe workload".to_vec();
    let after = measure(&raw);
    assert_eq!(after.pcr0, before.pcr0);
    assert_ne!(after.pcr1, before.pcr1);
    assert_ne!(after.pcr2, before.pcr2);

    // Between sections that PCR1 has both of, it shows in no register at all: a kernel that ends
    // in other bytes is another file, though, and its digest is in the manifest.
    let mut raw = Raw::genuine();
    raw.sections[0].content = b"the kernelre".to_vec();
    raw.sections[1].content = b"boot=k panic=1".to_vec();
    assert_eq!(measure(&raw), before);
}

#[test]
fn ramdisks_that_change_places_change_every_register() {
    let before = measure(&Raw::genuine());
    let mut raw = Raw::genuine();
    raw.sections.swap(3, 4);
    let after = measure(&raw);
    assert_ne!(after.pcr0, before.pcr0);
    assert_ne!(after.pcr1, before.pcr1);
    assert_ne!(after.pcr2, before.pcr2);
}
