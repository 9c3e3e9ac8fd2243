//! Agreement with OpenSSH: signatures made by `ssh-keygen` verify here, and those made here verify
//! there.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::security_keys::{Kind, SecurityKey};
use super::world::refused;
use crate::signature::check_signature;
use crate::{Namespace, Person, PersonKey, PersonName, Reason, Requirement, SigningKey};

const MESSAGE: &[u8] = b"schema = \"x\"\n";

/// Runs `ssh-keygen`, with `input` on its standard input.
fn ssh_keygen(arguments: &[&str], input: &Path) -> bool {
    Command::new("ssh-keygen")
        .args(arguments)
        .stdin(fs::File::open(input).unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("ssh-keygen is needed for this test: install openssh-client")
        .success()
}

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("message"), MESSAGE).unwrap();
        Self(directory)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    fn generate(&self, name: &str, algorithm: &str, bits: &str) {
        let path = self.path(name);
        let arguments = [
            "-q", "-t", algorithm, "-b", bits, "-N", "", "-C", name, "-f", &path,
        ];
        assert!(ssh_keygen(&arguments, Path::new("/dev/null")));
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn sign(&self, name: &str, namespace: &str, more: &[&str]) -> String {
        let (key, message) = (self.path(name), self.path("message"));
        let _ = fs::remove_file(self.path("message.sig"));
        let arguments = [
            &["-q", "-Y", "sign", "-n", namespace, "-f", &key],
            more,
            &[&message],
        ];
        assert!(ssh_keygen(&arguments.concat(), Path::new("/dev/null")));
        self.read("message.sig")
    }

    /// `ssh-keygen -Y verify` with an allowed_signers file that lists `line` for olga.
    fn verifies(&self, line: &str, namespace: &str, signature: &str) -> bool {
        fs::write(self.path("allowed"), format!("olga {line}\n")).unwrap();
        fs::write(self.path("signature"), signature).unwrap();
        let (allowed, signature) = (self.path("allowed"), self.path("signature"));
        let arguments = [
            "-Y", "verify", "-f", &allowed, "-I", "olga", "-n", namespace, "-s", &signature,
        ];
        ssh_keygen(&arguments, Path::new(&self.path("message")))
    }
}

fn person(line: &str) -> Person {
    Person {
        name: PersonName::new("olga").unwrap(),
        keys: vec![PersonKey::parse(line).unwrap()],
        requirement: Requirement::Key,
        roles: Vec::new(),
    }
}

const KINDS: [(&str, &str, &str); 4] = [
    ("ed", "ed25519", "256"),
    ("p256", "ecdsa", "256"),
    ("p384", "ecdsa", "384"),
    ("p521", "ecdsa", "521"),
];

#[test]
fn signatures_by_ssh_keygen_verify_here() {
    let directory = Directory::new();
    for (name, algorithm, bits) in KINDS {
        directory.generate(name, algorithm, bits);
        let people = [person(&directory.read(&format!("{name}.pub")))];
        for hash in ["hashalg=sha512", "hashalg=sha256"] {
            let signature = directory.sign(name, "policy@narthex", &["-O", hash]);
            let signer = check_signature(&signature, Namespace::Policy, MESSAGE, &people).unwrap();
            assert_eq!(signer.person.as_str(), "olga");
            refused(
                check_signature(&signature, Namespace::Release, MESSAGE, &people),
                Reason::SignatureNamespace,
            );
            refused(
                check_signature(&signature, Namespace::Policy, b"other", &people),
                Reason::SignatureInvalid,
            );
        }
    }
}

#[test]
fn signatures_made_here_verify_with_ssh_keygen() {
    let directory = Directory::new();
    for (name, algorithm, bits) in KINDS {
        // Numbers that begin with a zero byte cannot be read (see `SigningKey::from_openssh`).
        let readable = (0..64).find_map(|_| {
            let _ = fs::remove_file(directory.path(name));
            directory.generate(name, algorithm, bits);
            SigningKey::from_openssh(&directory.read(name)).ok()
        });
        let key = readable.unwrap();
        let line = key.public_key().to_openssh();
        assert!(directory.read(&format!("{name}.pub")).starts_with(&line));
        for namespace in Namespace::ALL {
            let signature = key.sign(*namespace, MESSAGE).unwrap();
            check_signature(&signature, *namespace, MESSAGE, &[person(&line)]).unwrap();
            assert!(
                directory.verifies(&line, namespace.name(), &signature),
                "{name} {namespace}"
            );
            assert!(!directory.verifies(&line, "other@narthex", &signature));
        }
    }
    let generated = SigningKey::generate_ed25519().unwrap();
    fs::write(
        directory.path("ours"),
        generated.to_openssh().unwrap().as_bytes(),
    )
    .unwrap();
    let again = SigningKey::from_openssh(&directory.read("ours")).unwrap();
    assert_eq!(again.public_key(), generated.public_key());
}

/// OpenSSH agrees that the crafted security-key signatures are what a security key makes, and lets
/// an untouched one pass, which is why the flags are checked here.
#[test]
fn security_key_signatures_verify_with_ssh_keygen() {
    let directory = Directory::new();
    for kind in [Kind::Ed25519, Kind::Ecdsa] {
        let key = SecurityKey::new(kind, "ssh:");
        let touched = key.sign(Namespace::Policy, MESSAGE, 1);
        assert!(
            directory.verifies(&key.line(), "policy@narthex", &touched),
            "{kind:?}"
        );
        check_signature(&touched, Namespace::Policy, MESSAGE, &[person(&key.line())]).unwrap();
        let untouched = key.sign(Namespace::Policy, MESSAGE, 0);
        assert!(
            directory.verifies(&key.line(), "policy@narthex", &untouched),
            "{kind:?}"
        );
        refused(
            check_signature(
                &untouched,
                Namespace::Policy,
                MESSAGE,
                &[person(&key.line())],
            ),
            Reason::SignaturePresence,
        );
    }
}

#[test]
fn fingerprints_are_those_of_ssh_keygen() {
    let directory = Directory::new();
    directory.generate("ed", "ed25519", "256");
    let output = Command::new("ssh-keygen")
        .args(["-l", "-f", &directory.path("ed.pub")])
        .output()
        .expect("ssh-keygen is needed for this test: install openssh-client");
    let text = String::from_utf8(output.stdout).unwrap();
    let fingerprint = PersonKey::parse(&directory.read("ed.pub"))
        .unwrap()
        .fingerprint();
    assert!(text.contains(fingerprint.as_str()), "{text}");
    assert_eq!(
        crate::Fingerprint::parse(fingerprint.as_str()),
        Ok(fingerprint)
    );
}

#[test]
fn rsa_and_encrypted_keys_are_refused() {
    let directory = Directory::new();
    directory.generate("rsa", "rsa", "3072");
    directory.generate("ed", "ed25519", "256");
    refused(
        PersonKey::parse(&directory.read("rsa.pub")),
        Reason::KeyUnusable,
    );
    let signature = directory.sign("rsa", "policy@narthex", &[]);
    let people = [person(&directory.read("ed.pub"))];
    refused(
        check_signature(&signature, Namespace::Policy, MESSAGE, &people),
        Reason::SignatureAlgorithm,
    );
    let signing = |name: &str| SigningKey::from_openssh(&directory.read(name)).map(|_| ());
    refused(signing("rsa"), Reason::SigningKey);
    refused(signing("ed.pub"), Reason::SigningKey);
    let path = directory.path("ed");
    let encrypt = ["-q", "-p", "-P", "", "-N", "secret", "-f", &path];
    assert!(ssh_keygen(&encrypt, Path::new("/dev/null")));
    refused(signing("ed"), Reason::SigningKey);
}

/// A point of small order: one signature with such a key holds over many messages.
#[test]
fn weak_keys_are_refused() {
    use base64ct::{Base64, Encoding as _};
    let line = |point: [u8; 32]| {
        let blob = [&b"\0\0\0\x0bssh-ed25519\0\0\0 "[..], &point].concat();
        format!("ssh-ed25519 {}", Base64::encode_string(&blob))
    };
    let mut identity = [0; 32];
    identity[0] = 1;
    for point in [[0; 32], identity] {
        refused(PersonKey::parse(&line(point)), Reason::KeyUnusable);
    }
    refused(PersonKey::parse("ssh-ed25519 AAAA"), Reason::KeyUnusable);
}
