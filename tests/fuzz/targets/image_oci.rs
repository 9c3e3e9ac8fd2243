//! OCI images: whole archives, and two layers that the target puts the right documents around. The first byte chooses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_fuzz::{SMALL, check_tree, correct_checksums, oci_image};
use narthex_image::eif::Architecture;
use narthex_image::source::oci;

fuzz_target!(|data: &[u8]| {
    let Some((which, data)) = data.split_first() else {
        return;
    };
    let archive = match which {
        // As it is: digests leave nothing to correct.
        0 => data.to_vec(),
        // Layers end at whole blocks, as tar archives do.
        _ => {
            let mut data = data.to_vec();
            correct_checksums(&mut data);
            let middle = (usize::from(*which) * 512).min(data.len());
            let (lower, upper) = data.split_at(middle);
            oci_image(&[lower, upper])
        }
    };
    if let Ok(image) = oci::read("fuzz.tar", &archive, Architecture::X86_64, &SMALL) {
        check_tree(&image.tree);
        assert!(
            image
                .tree
                .iter()
                .all(|(path, _)| !path.name().starts_with(".wh."))
        );
    }
});
