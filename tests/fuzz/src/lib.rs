//! What the fuzz targets and their seeds share.

use base64ct::{Base64, Encoding};
use narthex_nsm::mock::mint::{DevelopmentAuthority, DocumentRecipe};
use narthex_verifier::{TrustAnchors, UnixMillis};

/// The moment at which every seed is fresh: 2026-01-01T00:00:00Z.
pub const NOW: UnixMillis = UnixMillis::from_millis(1_767_225_600_000);

/// The recipe of a correct document under the fixed, insecure authority.
#[must_use]
pub fn example_document() -> DocumentRecipe {
    DocumentRecipe::new(&DevelopmentAuthority::insecure_fixed(), NOW.as_millis())
}

/// Anchors that trust that authority.
///
/// # Panics
///
/// If the build lacks the verifier's `dev-root` feature.
#[must_use]
pub fn development_anchors() -> TrustAnchors {
    TrustAnchors::from_root_certificate(DevelopmentAuthority::insecure_fixed().root_certificate())
        .expect("this build trusts the development root")
}

/// An SSH signature's armour around `blob`.
#[must_use]
pub fn armour(blob: &[u8]) -> String {
    let base64 = Base64::encode_string(blob);
    let mut text = String::from("-----BEGIN SSH SIGNATURE-----\n");
    for line in base64.as_bytes().chunks(70) {
        text.extend(line.iter().copied().map(char::from));
        text.push('\n');
    }
    text.push_str("-----END SSH SIGNATURE-----\n");
    text
}

/// The blob in an SSH signature's armour.
///
/// # Panics
///
/// If it is no armour.
#[must_use]
pub fn dearmour(text: &str) -> Vec<u8> {
    let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    Base64::decode_vec(&base64).expect("an armour of ours")
}
