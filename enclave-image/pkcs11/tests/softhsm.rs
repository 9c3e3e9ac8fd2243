//! The program with a real token: SoftHSM, its key made by OpenSC's `pkcs11-tool`.

// All of it is a test, its helpers too.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    clippy::indexing_slicing
)]

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use p384::ecdsa::signature::hazmat::PrehashVerifier;
use p384::ecdsa::{Signature, VerifyingKey};
use sha2::{Digest, Sha384};

/// Where distributions put it.
const MODULES: [&str; 3] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
];
const PIN: &str = "271828";

/// A token called `release` with a P-384 key `image`, and a P-256 key `small`.
struct Token {
    folder: tempfile::TempDir,
    module: PathBuf,
}

impl Token {
    /// `None` where SoftHSM or `pkcs11-tool` is not installed.
    fn make(test: &str) -> Option<Self> {
        let module = MODULES
            .into_iter()
            .map(PathBuf::from)
            .find(|path| path.exists());
        let tool = Command::new("pkcs11-tool").arg("--help").output().is_ok();
        let (Some(module), true) = (module, tool) else {
            assert!(
                std::env::var_os("NARTHEX_REQUIRE_PEERS").is_none(),
                "SoftHSM or pkcs11-tool is missing: scripts/install-tools peers"
            );
            eprintln!("skipped {test}: SoftHSM or pkcs11-tool is missing");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let token = Self { folder, module };
        fs::create_dir(token.path("tokens")).unwrap();
        let configuration = format!(
            "directories.tokendir = {}\n",
            token.path("tokens").display()
        );
        fs::write(token.path("softhsm2.conf"), configuration).unwrap();
        token.file("pin", PIN, 0o600);
        token.add("release");
        token.generate("image", "01", "EC:secp384r1");
        token.generate("small", "02", "EC:prime256v1");
        Some(token)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str, text: &str, mode: u32) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    fn add(&self, label: &str) {
        self.tool(&[
            "--init-token",
            "--slot-index",
            &self.count().to_string(),
            "--label",
            label,
            "--so-pin",
            "314159",
        ]);
        self.tool(&[
            "--init-pin",
            "--token-label",
            label,
            "--login",
            "--login-type",
            "so",
            "--so-pin",
            "314159",
            "--pin",
            PIN,
        ]);
    }

    fn count(&self) -> usize {
        fs::read_dir(self.path("tokens")).unwrap().count()
    }

    fn generate(&self, label: &str, id: &str, kind: &str) {
        self.tool(&[
            "--token-label",
            "release",
            "--login",
            "--pin",
            PIN,
            "--keypairgen",
            "--key-type",
            kind,
            "--label",
            label,
            "--id",
            id,
        ]);
    }

    fn tool(&self, arguments: &[&str]) -> String {
        let output = Command::new("pkcs11-tool")
            .arg("--module")
            .arg(&self.module)
            .args(arguments)
            .env("SOFTHSM2_CONF", self.path("softhsm2.conf"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The public key as another tool reads it from the token: a DER octet string with the point.
    fn public_key(&self, label: &str) -> VerifyingKey {
        let listed = self.tool(&[
            "--token-label",
            "release",
            "--list-objects",
            "--type",
            "pubkey",
            "--label",
            label,
        ]);
        let point = listed
            .lines()
            .filter_map(|line| line.trim().strip_prefix("EC_POINT:"))
            // The tool lists the other key too, in any order; this is the one of P-384.
            .find_map(|text| text.trim().strip_prefix("0461"))
            .unwrap();
        let point: Vec<u8> = (0..point.len())
            .step_by(2)
            .map(|index| u8::from_str_radix(&point[index..index + 2], 16).unwrap())
            .collect();
        VerifyingKey::from_sec1_bytes(&point).unwrap()
    }

    fn sign(&self, uri: &str, options: &[&str], pin: Option<&str>, input: &[u8]) -> Output {
        sign(&self.module, self.folder.path(), uri, options, pin, input)
    }
}

fn sign(
    module: &Path,
    folder: &Path,
    uri: &str,
    options: &[&str],
    pin: Option<&str>,
    input: &[u8],
) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_narthex-pkcs11"));
    command
        .arg("--module")
        .arg(module)
        .args(["--uri", uri])
        .args(options)
        .current_dir(folder)
        .env("SOFTHSM2_CONF", folder.join("softhsm2.conf"))
        .env_remove("NARTHEX_PKCS11_PIN")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if let Some(pin) = pin {
        command.env("NARTHEX_PKCS11_PIN", pin);
    }
    let mut child = command.spawn().unwrap();
    // It may have ended before it reads.
    let _ended = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

#[track_caller]
fn refused(output: &Output, status: i32, id: &str) {
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{words}");
    assert!(words.trim_end().ends_with(&format!("[{id}]")), "{words}");
    assert!(output.stdout.is_empty());
    assert!(!words.contains(PIN), "{words}");
}

#[test]
fn a_token_signs() {
    let Some(token) = Token::make("a_token_signs") else {
        return;
    };
    let digest = Sha384::digest(b"what is signed");
    let key = token.public_key("image");
    let uris = [
        "pkcs11:token=release;object=image",
        "pkcs11:id=%01;type=private",
    ];
    for (uri, options, pin) in [
        (uris[0], &["--pin-file", "pin"][..], None),
        (uris[1], &[], Some(PIN)),
    ] {
        let output = token.sign(uri, options, pin, &digest);
        assert!(output.status.success(), "{output:?}");
        let signature = Signature::from_slice(&output.stdout).unwrap();
        key.verify_prehash(&digest, &signature).unwrap();
    }
}

#[test]
fn what_a_token_is_not_asked_or_refuses() {
    let Some(token) = Token::make("what_a_token_is_not_asked_or_refuses") else {
        return;
    };
    let digest = Sha384::digest(b"what is signed");
    let good = "pkcs11:token=release;object=image";
    let with_pin = |uri: &str| token.sign(uri, &["--pin-file", "pin"], None, &digest);
    refused(
        &with_pin("pkcs11:token=other;object=image"),
        1,
        "pkcs11.no_token",
    );
    refused(
        &with_pin("pkcs11:token=release;object=imagine"),
        1,
        "pkcs11.no_key",
    );
    refused(
        &with_pin("pkcs11:token=release;object=image;id=%02"),
        1,
        "pkcs11.no_key",
    );
    refused(
        &with_pin("pkcs11:token=release;object=small"),
        1,
        "pkcs11.key_type",
    );
    refused(&with_pin("pkcs11:token=release"), 2, "pkcs11.uri");
    refused(
        &with_pin(&format!("{good}?pin-value={PIN}")),
        2,
        "pkcs11.uri_pin",
    );
    refused(&token.sign(good, &[], None, &digest), 2, "pin.missing");
    refused(
        &token.sign(good, &[], Some("000000"), &digest),
        1,
        "pin.wrong",
    );
    refused(
        &token.sign(good, &[], Some(PIN), &digest[1..]),
        2,
        "input.digest",
    );
    token.file("pin", PIN, 0o644);
    refused(&with_pin(good), 3, "pin.permissions");
    token.file("pin", PIN, 0o600);
    token.generate("image", "03", "EC:secp384r1");
    refused(&with_pin(good), 2, "pkcs11.keys");
    token.add("second");
    refused(&with_pin("pkcs11:object=image;id=%01"), 2, "pkcs11.tokens");
    assert!(with_pin("pkcs11:token=release;id=%01").status.success());
}

#[test]
fn a_module_that_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("module.so");
    for content in [None, Some("no library")] {
        if let Some(content) = content {
            fs::write(&module, content).unwrap();
        }
        let output = sign(
            &module,
            folder.path(),
            "pkcs11:object=a",
            &[],
            Some(PIN),
            &[7; 48],
        );
        refused(&output, 3, "pkcs11.module");
    }
}
