//! Recipes of images: text that somebody else wrote.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_image::recipe::Recipe;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Err(refusals) = Recipe::parse(text) {
        assert!(
            refusals
                .iter()
                .all(|refusal| !refusal.to_string().contains('\n')),
            "one line each"
        );
    }
});
