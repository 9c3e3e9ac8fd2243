//! Manifests of images: what is accepted has one spelling.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_image::manifest::{Manifest, compare};

fuzz_target!(|data: &[u8]| {
    if let Ok(manifest) = Manifest::parse(data) {
        assert_eq!(manifest.to_json().as_bytes(), data);
        assert!(compare(&manifest, &manifest).is_empty());
    }
});
