//! Keys in a token: SoftHSM, with a key that OpenSSL made.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::read;
use crate::fixture::Workshop;
use crate::signing::{checked_by_others, make_key, pcr8};

/// Where distributions put it.
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];
const PIN: &str = "271828";

/// The other program, where the same build put it.
fn program() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_narthex")).with_file_name("narthex-pkcs11")
}

/// The module; `None` where a part is missing, which fails where peers are required.
fn module(test: &str) -> Option<&'static str> {
    let module = MODULES.into_iter().find(|path| Path::new(path).exists());
    let tool = Command::new("softhsm2-util").arg("--version").output();
    let missing = match (module, tool.is_ok(), program().is_file()) {
        (Some(module), true, true) => return Some(module),
        (_, _, false) => "narthex-pkcs11 is not built: scripts/build dev",
        _ => "SoftHSM is missing: scripts/install-tools peers",
    };
    assert!(
        std::env::var_os("NARTHEX_REQUIRE_PEERS").is_none(),
        "{missing}"
    );
    eprintln!("skipped {test}: {missing}");
    None
}

/// Puts `signing.key` into a token called `release`, as `image`.
fn token(workshop: &Workshop) {
    make_key(workshop, "signing", "P-384");
    make_key(workshop, "other", "P-384");
    fs::create_dir(workshop.path("tokens")).unwrap();
    let folder = workshop.path("tokens").display().to_string();
    workshop.write(
        "softhsm2.conf",
        format!("directories.tokendir = {folder}\n").as_bytes(),
    );
    workshop.write("pin", PIN.as_bytes());
    workshop.mode("pin", 0o600);
    for words in [
        format!("--init-token --free --label release --so-pin 314159 --pin {PIN}"),
        format!("--import signing.key --token release --label image --id 01 --pin {PIN}"),
    ] {
        let output = Command::new("softhsm2-util")
            .args(words.split_whitespace())
            .current_dir(workshop.world.directory.path())
            .env("SOFTHSM2_CONF", workshop.path("softhsm2.conf"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{:?}", read(&output));
    }
}

fn sign(
    workshop: &Workshop,
    narthex: &Path,
    module: &str,
    more: &str,
    pin: Option<&str>,
) -> Output {
    let words =
        format!("image sign shop.eif --json --out signed.eif --pkcs11-module {module} {more}");
    let mut command = Command::new(narthex);
    command
        .args(words.split_whitespace())
        .current_dir(workshop.world.directory.path())
        .env("HOME", workshop.world.directory.path())
        .env("SOFTHSM2_CONF", workshop.path("softhsm2.conf"))
        .env_remove("NARTHEX_PKCS11_PIN");
    if let Some(pin) = pin {
        command.env("NARTHEX_PKCS11_PIN", pin);
    }
    command.output().unwrap()
}

#[test]
fn a_token_signs_an_image() {
    let Some(module) = module("a_token_signs_an_image") else {
        return;
    };
    let workshop = Workshop::built();
    token(&workshop);
    let narthex = Path::new(env!("CARGO_BIN_EXE_narthex"));
    let good = "--certificate signing.pem --pkcs11-uri pkcs11:token=release;object=image";
    for (more, pin, status, id, words) in [
        (good.to_owned(), None, 3, "eif.signer", "[pin.missing]"),
        (
            good.to_owned(),
            Some("1234"),
            3,
            "eif.signer",
            "[pin.wrong]",
        ),
        (
            good.replace("object=image", "object=none"),
            Some(PIN),
            3,
            "eif.signer",
            "[pkcs11.no_key]",
        ),
        (
            good.replace("signing.pem", "other.pem"),
            Some(PIN),
            1,
            "eif.signer_mismatch",
            "",
        ),
    ] {
        let (found, stdout, stderr) = read(&sign(&workshop, narthex, module, &more, pin));
        assert_eq!(found, status, "{stdout}{stderr}");
        assert!(stdout.contains(&format!("\"{id}\"")), "{stdout}");
        assert!(stderr.contains(words), "{stderr}");
        assert!(!stdout.contains(PIN) && !stderr.contains(PIN));
        assert!(!workshop.exists("signed.eif"));
    }
    let with_file = format!("{good} --pkcs11-pin-file pin");
    let output = sign(&workshop, narthex, module, &with_file, None);
    assert_eq!(output.status.code(), Some(0), "{:?}", read(&output));
    let expected = pcr8(&workshop, "signing");
    assert_eq!(checked_by_others(&workshop, "signed.eif"), expected);
    assert_eq!(
        workshop.json("measure signed.eif")["Measurements"]["PCR8"],
        expected.as_str()
    );
}

/// Whatever the other program says: what is no signature by the certificate's key is not written.
#[test]
fn the_other_program_is_not_believed() {
    let workshop = Workshop::built();
    make_key(&workshop, "signing", "P-384");
    // Copied, so that a false program can lie beside it.
    fs::create_dir(workshop.path("bin")).unwrap();
    let narthex = workshop.path("bin/narthex");
    fs::copy(env!("CARGO_BIN_EXE_narthex"), &narthex).unwrap();
    let more = "--certificate signing.pem --pkcs11-uri pkcs11:object=image";
    let outcome = |script: Option<&str>| {
        if let Some(script) = script {
            workshop.write(
                "bin/narthex-pkcs11",
                format!("#!/bin/sh\n{script}\n").as_bytes(),
            );
            let path = workshop.path("bin/narthex-pkcs11");
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut command = Command::new(&narthex);
        let words = format!("image sign shop.eif --out signed.eif --pkcs11-module x.so {more}");
        let output = command
            .args(words.split_whitespace())
            .current_dir(workshop.world.directory.path())
            .env("PATH", "/nowhere")
            .output()
            .unwrap();
        assert!(!workshop.exists("signed.eif"));
        read(&output)
    };
    let (status, _, words) = outcome(None);
    assert!(status == 3 && words.contains("could not be run"), "{words}");
    for (script, expected, id) in [
        ("exit 0", 3, "[eif.signer]"),
        ("printf short", 3, "[eif.signer]"),
        ("printf '%097d' 1", 3, "[eif.signer]"),
        ("printf '%096d' 1; exit 1", 3, "[eif.signer]"),
        ("printf '%096d' 1", 1, "[eif.signer_mismatch]"),
    ] {
        let (status, _, words) = outcome(Some(script));
        assert_eq!(status, expected, "{script}: {words}");
        assert!(words.contains(id), "{script}: {words}");
    }
}
