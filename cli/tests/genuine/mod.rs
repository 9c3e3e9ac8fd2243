//! Where genuine AWS-signed documents are, and what happens where they are not.

#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};

/// The folder that `NARTHEX_REAL_DOCUMENTS` names, else `../shared/real-documents` beside the checkout.
pub(crate) fn folder() -> PathBuf {
    std::env::var_os("NARTHEX_REAL_DOCUMENTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/real-documents"),
        PathBuf::from,
    )
}

/// Says that `test` is skipped; with `NARTHEX_REQUIRE_REAL_DOCUMENTS=1` that is a failure.
pub(crate) fn skip(test: &str) {
    let folder = folder();
    let required = std::env::var_os("NARTHEX_REQUIRE_REAL_DOCUMENTS");
    assert!(
        required.is_none_or(|value| value != "1"),
        "{test}: {} is not there",
        folder.display()
    );
    // Straight to standard error: what `eprintln` says in a test that passes, nobody sees.
    let words = format!(
        "SKIPPED {test}: no genuine documents in {}\n",
        folder.display()
    );
    std::io::stderr().write_all(words.as_bytes()).unwrap();
}
