//! What the fuzz targets and their seeds share.

use base64ct::{Base64, Encoding};
use narthex_image::tree::{Kind, Limits, Tree};
use narthex_image::{Sha256Digest, ramdisk};
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

/// Limits that keep one input quick.
pub const SMALL: Limits = Limits {
    entries: 200,
    bytes: 1 << 20,
    input_bytes: 1 << 20,
};

/// What holds for every tree that is accepted.
///
/// # Panics
///
/// If it does not.
pub fn check_tree(tree: &Tree) {
    assert!(tree.len() <= SMALL.entries && tree.bytes() <= SMALL.bytes);
    for (path, _) in tree.iter() {
        let names = path.relative().split('/');
        assert!(
            names.clone().all(|name| !matches!(name, "" | "." | "..")),
            "{path:?}"
        );
        let mut parent = path.parent();
        while let Some(path) = parent {
            let entry = tree.get(&path).expect("a parent");
            assert!(
                matches!(entry.kind, Kind::Directory),
                "{path:?} is no directory"
            );
            parent = path.parent();
        }
        let _ = tree.resolve(path);
    }
    ramdisk::archive(tree).expect("a small ramdisk");
}

/// Corrects the checksum of every block of a tar archive that could be a header, which mutation would hardly ever hit.
pub fn correct_checksums(archive: &mut [u8]) {
    for block in archive.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().copied().map(u32::from).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}

/// An image layout of these layers for Linux on x86-64.
///
/// # Panics
///
/// Never: it is written into memory.
#[must_use]
pub fn oci_image(layers: &[&[u8]]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, name, content)
            .expect("memory");
    };
    let mut digests = std::collections::BTreeSet::new();
    let mut blob = |kind: &str, content: &[u8]| {
        let digest = Sha256Digest::of(content);
        if digests.insert(digest) {
            add(&format!("blobs/sha256/{digest}"), content);
        }
        let size = content.len();
        format!(
            r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"sha256:{digest}","size":{size}}}"#
        )
    };
    let diff_ids: Vec<_> = layers
        .iter()
        .map(|layer| format!(r#""sha256:{}""#, Sha256Digest::of(layer)))
        .collect();
    let configuration = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"User":"a:b"}},"rootfs":{{"diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    );
    let configuration = blob("config.v1+json", configuration.as_bytes());
    let layers: Vec<_> = layers
        .iter()
        .map(|layer| blob("layer.v1.tar", layer))
        .collect();
    let manifest = format!(
        r#"{{"config":{configuration},"layers":[{}]}}"#,
        layers.join(",")
    );
    let manifest = blob("manifest.v1+json", manifest.as_bytes());
    add(
        "index.json",
        format!(r#"{{"manifests":[{manifest}]}}"#).as_bytes(),
    );
    archive.into_inner().expect("memory")
}
