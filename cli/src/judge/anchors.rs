//! Which root is trusted, and how that shows.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use narthex_verifier::{AnchorError, TrustAnchors};

use crate::failure::{Failure, Outcome};
use crate::input::read_file;

/// A certificate is at most 1024 bytes; as PEM below 2 KiB, with words around it a little more.
const ROOT_LIMIT_BYTES: usize = 64 * 1024;

/// AWS's root, or the one in the file `root`.
///
/// # Errors
/// `file.*`; `root.unreadable` if there is no certificate in it; `chain.development_root` if it is
/// the root of `narthex mock-nsm` and this build does not take it.
pub(crate) fn anchors(root: Option<&Path>) -> Outcome<TrustAnchors> {
    match root {
        None => Ok(TrustAnchors::aws()),
        Some(path) => from_file(path),
    }
}

fn from_file(path: &Path) -> Outcome<TrustAnchors> {
    let der = certificate_der(path)?;
    TrustAnchors::from_root_certificate(&der).map_err(|error| match error {
        AnchorError::DevelopmentRoot => development_root(path),
        other => Failure::misuse(
            other.id(),
            format!("{} holds no root certificate: {other}", path.display()),
        ),
    })
}

fn development_root(path: &Path) -> Failure {
    Failure::refused(
        "chain.development_root",
        format!(
            "{} is a development root, which this build never trusts",
            path.display()
        ),
    )
    .next("build with `cargo build -p narthex --features dev-root` to try mock documents")
}

/// DER, or the first `CERTIFICATE` of a PEM file.
fn certificate_der(path: &Path) -> Outcome<Vec<u8>> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let bytes = read_file(path, ROOT_LIMIT_BYTES)?;
    let Ok(text) = core::str::from_utf8(&bytes) else {
        return Ok(bytes);
    };
    let body = text
        .split_once(BEGIN)
        .and_then(|(_, rest)| rest.split_once(END));
    let body: Option<String> =
        body.map(|(body, _)| body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    body.and_then(|body| STANDARD.decode(body).ok())
        .ok_or_else(|| {
            Failure::misuse(
                "root.unreadable",
                format!("{} holds no certificate", path.display()),
            )
            .next("--root takes one certificate, PEM or DER")
        })
}
