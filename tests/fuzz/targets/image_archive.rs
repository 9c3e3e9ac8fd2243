//! Tar archives that become root file systems.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_fuzz::{SMALL, check_tree};
use narthex_image::source::archive;

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    narthex_fuzz::correct_checksums(&mut bytes);
    for bytes in [data, &bytes] {
        if let Ok(tree) = archive::read("fuzz.tar", bytes, &SMALL) {
            check_tree(&tree);
        }
    }
});
