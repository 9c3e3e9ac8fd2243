//! An image file, read and measured.

use std::path::Path;

use narthex_image::eif::{EifError, Image, Measurements, SigningCertificate};
use narthex_policy::Pcr;

use crate::failure::{Failure, Outcome};
use crate::input::read_file;

/// Larger than the memory of the enclaves that such an image could start in.
const IMAGE_LIMIT_BYTES: usize = 4 << 30;

/// Reads the file's bytes.
///
/// # Errors
/// `file.*`, `input.too_large`.
pub(super) fn read_image(path: &Path) -> Outcome<Vec<u8>> {
    read_file(path, IMAGE_LIMIT_BYTES)
}

/// An image whose signature holds, if it has one.
pub(super) struct Checked<'a> {
    pub(super) image: Image<'a>,
    pub(super) measurements: Measurements,
    pub(super) certificate: Option<SigningCertificate>,
}

/// Parses `bytes`, the content of the file `path`, verifies its signature and measures it.
///
/// # Errors
/// `eif.*`.
pub(super) fn check<'a>(path: &Path, bytes: &'a [u8]) -> Outcome<Checked<'a>> {
    let refused = |error: EifError| not_an_image(path, &error);
    let image = Image::parse(bytes).map_err(refused)?;
    let certificate = image.verify_signature().map_err(refused)?;
    Ok(Checked {
        measurements: image.measure(),
        image,
        certificate,
    })
}

/// What the image library refused, with the file's name.
pub(super) fn not_an_image(path: &Path, error: &EifError) -> Failure {
    Failure::refused(error.id(), format!("{}: {error}", path.display()))
}

/// PCR8 of the signed image in the file `path`, which must otherwise measure to `expected`.
///
/// # Errors
/// `file.*`, `eif.*`; `manifest.measurements` if it is another image, `eif.not_signed`.
pub(crate) fn signing_register(
    path: &Path,
    expected: &narthex_policy::Measurements,
) -> Outcome<Pcr> {
    let bytes = read_image(path)?;
    let measured = policy_measurements(&check(path, &bytes)?.measurements);
    if !expected.met_by(&measured) {
        return Err(Failure::refused(
            "manifest.measurements",
            format!(
                "{} measures to something else than the manifest says",
                path.display()
            ),
        ));
    }
    measured.pcr8.ok_or_else(|| {
        Failure::refused(
            "eif.not_signed",
            format!("{} is not signed, so it has no PCR8", path.display()),
        )
        .next("`narthex image sign` signs it; without --signed-image no signature is demanded")
    })
}

/// The measurements as policies have them.
pub(super) fn policy_measurements(measured: &Measurements) -> narthex_policy::Measurements {
    let Measurements {
        pcr0,
        pcr1,
        pcr2,
        pcr8,
    } = measured;
    narthex_policy::Measurements {
        pcr0: Pcr(*pcr0),
        pcr1: Pcr(*pcr1),
        pcr2: Pcr(*pcr2),
        pcr8: pcr8.map(Pcr),
    }
}
