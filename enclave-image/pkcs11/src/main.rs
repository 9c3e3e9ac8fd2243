//! `narthex-pkcs11`: signs one digest with a P-384 key in a token or hardware security module.
//!
//! PKCS#11 modules are shared libraries, and `narthex` is a static program that cannot load any. So
//! this small, dynamically linked program does nothing else: `narthex image sign` starts it, gives it
//! a SHA-384 digest on standard input, and reads r and s, 48 bytes each, from its standard output.
//! Nothing relies on what it says: `narthex` checks the signature against the certificate.
//!
//! The PIN comes from a file or from the environment variable `NARTHEX_PKCS11_PIN`: arguments can be
//! seen by every user of the machine.

#![forbid(unsafe_code)]

mod failure;
mod pin;
mod token;
mod uri;

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use failure::{Failure, Kind};
use uri::KeyUri;

/// A SHA-384 digest.
const DIGEST_BYTES: usize = 48;

/// Sign a SHA-384 digest with a P-384 key in a PKCS#11 token.
#[derive(Debug, Parser)]
#[command(
    name = "narthex-pkcs11",
    version,
    max_term_width = 100,
    after_help = "\
Reads 48 bytes, the digest, from standard input, and writes 96 bytes, r and s, to standard output.
`narthex image sign --pkcs11-module SO --pkcs11-uri URI` starts this program; people rarely do.

Exit codes: 0 signed, 1 the token said no, 2 misuse, 3 a file or the module failed.

Example:
  openssl dgst -sha384 -binary image.bin |
    narthex-pkcs11 --module /usr/lib/softhsm/libsofthsm2.so \\
        --uri 'pkcs11:token=release;object=image-signing' --pin-file pin.txt > signature.bin"
)]
struct Arguments {
    /// The token's PKCS#11 module, a shared library
    #[arg(long, value_name = "SO")]
    module: PathBuf,

    /// The private key (RFC 7512), for example `pkcs11:token=release;object=image-signing`
    #[arg(long, value_name = "URI")]
    uri: String,

    /// A file with the PIN in its first line; without it, NARTHEX_PKCS11_PIN
    #[arg(long, value_name = "FILE")]
    pin_file: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _nobody_to_tell = writeln!(io::stderr().lock(), "narthex-pkcs11: {failure}");
            failure.exit()
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let uri = KeyUri::parse(&arguments.uri)?;
    let pin = pin::read(arguments.pin_file.as_deref())?;
    let digest = digest(&mut io::stdin().lock())?;
    let signature = token::sign(&arguments.module, &uri, pin, &digest)?;
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(&signature)
        .and_then(|()| stdout.flush())
        .map_err(|error| {
            Failure::new(
                Kind::Environment,
                "output.failed",
                format!("cannot write the signature: {error}"),
            )
        })
}

/// Exactly one digest, nothing behind it.
fn digest(input: &mut impl Read) -> Result<[u8; DIGEST_BYTES], Failure> {
    let mut bytes = Vec::with_capacity(DIGEST_BYTES + 1);
    input
        .take(u64::try_from(DIGEST_BYTES + 1).unwrap_or(u64::MAX))
        .read_to_end(&mut bytes)
        .map_err(|error| {
            Failure::new(
                Kind::Environment,
                "input.failed",
                format!("cannot read the digest from standard input: {error}"),
            )
        })?;
    bytes.try_into().map_err(|_| {
        Failure::new(
            Kind::Misuse,
            "input.digest",
            "standard input must be one SHA-384 digest: 48 bytes and nothing else",
        )
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn one_digest_exactly() {
        assert_eq!(digest(&mut [7; 48].as_slice()).unwrap(), [7; 48]);
        for length in [0, 32, 47, 49, 1000] {
            let failure = digest(&mut vec![7; length].as_slice()).unwrap_err();
            assert_eq!(failure.id(), "input.digest", "{length}");
        }
    }
}
