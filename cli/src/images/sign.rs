//! `image sign`: one more section, whose certificate is PCR8.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use narthex_image::eif::{self, P384FileSigner, SignError, SigningCertificate};
use serde_json::json;
use zeroize::Zeroizing;

use super::build::{existing, refuse_existing, refuse_same};
use super::describe;
use super::file::{check, not_an_image, read_image};
use super::inspect::{registers, seconds_text};
use super::pkcs11::Token;
use crate::commands::image::SignImageArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::files::write_file;
use crate::input::read_text;
use crate::moment::now_unix_millis;
use crate::output::Output;
use crate::printable::printable;

/// A P-384 key in PEM is below 1 KiB; so is nearly every certificate.
const PEM_LIMIT_BYTES: usize = 64 * 1024;

/// `narthex image sign`.
pub(super) fn sign(arguments: &SignImageArguments, output: &Output) -> Outcome<Exit> {
    let existing = existing(arguments.force);
    // The unsigned image may be replaced: it can be taken out of the signed one, a key out of nothing.
    let read = [Some(&arguments.certificate), arguments.key.as_ref()];
    let read: Vec<_> = read.into_iter().flatten().collect();
    refuse_same(&arguments.out, &read)?;
    refuse_existing(&arguments.out, existing)?;
    let bytes = read_image(&arguments.file)?;
    let certificate = read_text(&arguments.certificate, PEM_LIMIT_BYTES)?;
    let signer = Signer::from_arguments(arguments)?;
    let signed =
        sign_with(&bytes, &certificate, &signer).map_err(|error| named(arguments, &error))?;
    // Read back as everybody else will: what does not verify is not written.
    let checked = check(&arguments.out, &signed)?;
    let Some(certificate) = &checked.certificate else {
        return Err(Failure::environment(
            "eif.signature_invalid",
            "the signed image has no signature; nothing was written",
        ));
    };
    write_file(&arguments.out, &signed, existing)?;
    let value = json!({
        "image": arguments.out,
        "certificate_subject": certificate.subject(),
        "Measurements": describe::measurements(&checked.measurements),
    });
    output.result(&value, || {
        format!(
            "{}: signed by the key of {}\n{}",
            arguments.out.display(),
            printable(certificate.subject()),
            registers(&checked.measurements),
        )
    })?;
    tell_of_validity(certificate, output)?;
    Ok(Exit::Done)
}

/// Who signs.
enum Signer {
    File(P384FileSigner),
    Token(Token),
}

impl Signer {
    fn from_arguments(arguments: &SignImageArguments) -> Outcome<Self> {
        match (
            &arguments.key,
            &arguments.pkcs11_module,
            &arguments.pkcs11_uri,
        ) {
            (Some(path), ..) => key_file(path).map(Self::File),
            (None, Some(module), Some(uri)) => Ok(Self::Token(Token {
                module: module.clone(),
                uri: uri.clone(),
                pin_file: arguments.pkcs11_pin_file.clone(),
            })),
            _ => Err(Failure::misuse(
                "misuse.arguments",
                "--key, or --pkcs11-module with --pkcs11-uri, says who signs",
            )),
        }
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 96], SignError> {
        match self {
            Self::File(key) => key.sign(message),
            Self::Token(token) => token.sign(message),
        }
    }
}

fn sign_with(image: &[u8], certificate: &str, signer: &Signer) -> Result<Vec<u8>, eif::EifError> {
    eif::sign(image, certificate, &|message| signer.sign(message))
}

/// Which of the files named is the one that is wrong.
fn named(arguments: &SignImageArguments, error: &eif::EifError) -> Failure {
    match error.id() {
        "eif.signature_certificate" | "eif.signature_key" => {
            not_an_image(&arguments.certificate, error)
                .next("the certificate is one, in PEM, and its key is on P-384")
        }
        "eif.signer_mismatch" => not_an_image(&arguments.certificate, error)
            .next("key and certificate do not belong together; nothing was written"),
        "eif.signer" => {
            Failure::environment(error.id(), error.to_string()).next("nothing was written")
        }
        _ => not_an_image(&arguments.file, error),
    }
}

/// Reads a private key, wiping the text afterwards.
fn key_file(path: &Path) -> Outcome<P384FileSigner> {
    let failed = |error: io::Error| Failure::file("read", path, &error);
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    // As ssh does: a key that others can read is everybody's key.
    if mode & 0o077 != 0 {
        return Err(Failure::environment(
            "key.permissions",
            format!("{} can be read by other users", path.display()),
        )
        .next(format!("make it yours alone: chmod 600 {}", path.display())));
    }
    // With room for all of it: a text that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(PEM_LIMIT_BYTES + 1));
    let limit = u64::try_from(PEM_LIMIT_BYTES).unwrap_or(u64::MAX);
    let unusable = || {
        Failure::misuse(
            "eif.signing_key",
            format!("{} holds no usable signing key", path.display()),
        )
        .next(
            "images are signed with a P-384 key in PEM without a passphrase, for example of \
             `openssl ecparam -name secp384r1 -genkey -noout`",
        )
    };
    match file.take(limit).read_to_string(&mut text) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(unusable()),
        other => other.map_err(failed)?,
    };
    // `openssl ecparam -genkey` writes the curve in a block of its own before the key.
    let pem = match text.find("-----BEGIN EC PARAMETERS-----") {
        Some(_) => text
            .split_once("-----END EC PARAMETERS-----")
            .map_or("", |(_, key)| key),
        None => text.as_str(),
    };
    P384FileSigner::from_pem(pem.trim_start()).map_err(|_| unusable())
}

/// Dates are not measured, but AWS does not start an image whose certificate has expired.
fn tell_of_validity(certificate: &SigningCertificate, output: &Output) -> Outcome<()> {
    let now = i64::try_from(now_unix_millis()? / 1000).unwrap_or(i64::MAX);
    let (from, until) = (
        certificate.not_before_unix_seconds(),
        certificate.not_after_unix_seconds(),
    );
    if now < from || now > until {
        output.say(format_args!(
            "narthex: the certificate is valid from {} to {}, which is not now: nitro-cli refuses to \
             start such an image",
            seconds_text(from),
            seconds_text(until)
        ));
    }
    Ok(())
}
