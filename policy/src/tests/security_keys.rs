//! FIDO keys: the inner signature covers SHA-256(application), flags, counter and SHA-256(message)
//! (PROTOCOL.u2f). The keys here are software that signs like a security key.

use base64ct::{Base64, Encoding as _};
use ed25519_dalek::Signer as _;
use sha2::{Digest as _, Sha256};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg, PrivateKey, SshSig};

use super::signatures::string;
use super::world::{genesis_text, refused, with};
use crate::signature::{check_signature, rearmour};
use crate::{
    Bundle, Namespace, Person, PersonKey, PersonName, Reason, Refusal, Requirement, Signer,
};

const MESSAGE: &[u8] = b"a message";
const TOUCHED: u8 = 0x01;
const VERIFIED: u8 = 0x04;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Ed25519,
    Ecdsa,
}

/// Signs like a security key made for `application`.
pub(crate) struct SecurityKey {
    kind: Kind,
    key: PrivateKey,
    application: &'static str,
}

impl SecurityKey {
    pub(crate) fn new(kind: Kind, application: &'static str) -> Self {
        let algorithm = match kind {
            Kind::Ed25519 => Algorithm::Ed25519,
            Kind::Ecdsa => Algorithm::Ecdsa {
                curve: EcdsaCurve::NistP256,
            },
        };
        let key = PrivateKey::random(&mut ssh_key::rand_core::OsRng, algorithm).unwrap();
        Self {
            kind,
            key,
            application,
        }
    }

    /// The same secret, used for another application.
    fn used_for(&self, application: &'static str) -> Self {
        Self {
            kind: self.kind,
            key: self.key.clone(),
            application,
        }
    }

    fn algorithm(&self) -> &'static [u8] {
        match self.kind {
            Kind::Ed25519 => b"sk-ssh-ed25519@openssh.com",
            Kind::Ecdsa => b"sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    fn public_blob(&self) -> Vec<u8> {
        let plain = self.key.public_key().to_bytes().unwrap();
        // The plain key's fields after its algorithm name, then the application.
        let name = match self.kind {
            Kind::Ed25519 => "ssh-ed25519",
            Kind::Ecdsa => "ecdsa-sha2-nistp256",
        };
        [
            &string(self.algorithm())[..],
            &plain[4 + name.len()..],
            &string(self.application.as_bytes()),
        ]
        .concat()
    }

    pub(crate) fn line(&self) -> String {
        format!(
            "{} {}",
            String::from_utf8_lossy(self.algorithm()),
            Base64::encode_string(&self.public_blob())
        )
    }

    pub(crate) fn sign(&self, namespace: Namespace, message: &[u8], flags: u8) -> String {
        let data = SshSig::signed_data(namespace.name(), HashAlg::Sha512, message).unwrap();
        let counter = 9_u32.to_be_bytes();
        let inner = [
            &Sha256::digest(self.application)[..],
            &[flags],
            &counter[..],
            &Sha256::digest(&data)[..],
        ]
        .concat();
        let raw: ssh_key::Signature = self.key.try_sign(&inner).unwrap();
        let signature = [
            &string(self.algorithm())[..],
            &string(raw.as_bytes()),
            &[flags],
            &counter,
        ]
        .concat();
        let parts = [
            &self.public_blob()[..],
            namespace.name().as_bytes(),
            b"",
            b"sha512",
            &signature,
        ];
        let strings: Vec<u8> = parts.iter().flat_map(|part| string(part)).collect();
        rearmour(&[b"SSHSIG", &1_u32.to_be_bytes()[..], &strings].concat())
    }
}

fn person(key: &SecurityKey, requirement: Requirement) -> Person {
    Person {
        name: PersonName::new("olga").unwrap(),
        keys: vec![PersonKey::parse(&key.line()).unwrap()],
        requirement,
        roles: Vec::new(),
    }
}

fn check(key: &SecurityKey, requirement: Requirement, signature: &str) -> Result<Signer, Refusal> {
    check_signature(
        signature,
        Namespace::Call,
        MESSAGE,
        &[person(key, requirement)],
    )
}

const KINDS: [Kind; 2] = [Kind::Ed25519, Kind::Ecdsa];
const REQUIREMENTS: [Requirement; 3] = [
    Requirement::Key,
    Requirement::Touch,
    Requirement::Verification,
];

#[test]
fn touched_and_verified_passes_every_requirement() {
    for kind in KINDS {
        let key = SecurityKey::new(kind, "ssh:");
        let signature = key.sign(Namespace::Call, MESSAGE, TOUCHED | VERIFIED);
        for requirement in REQUIREMENTS {
            assert_eq!(
                check(&key, requirement, &signature)
                    .unwrap()
                    .person
                    .as_str(),
                "olga"
            );
        }
    }
}

#[test]
fn touched_only_passes_all_but_verification() {
    for kind in KINDS {
        let key = SecurityKey::new(kind, "ssh:narthex");
        let signature = key.sign(Namespace::Call, MESSAGE, TOUCHED);
        check(&key, Requirement::Key, &signature).unwrap();
        check(&key, Requirement::Touch, &signature).unwrap();
        refused(
            check(&key, Requirement::Verification, &signature),
            Reason::SignatureVerification,
        );
    }
}

/// `ssh-keygen -Y verify` accepts these; we never do.
#[test]
fn untouched_passes_nothing() {
    for kind in KINDS {
        let key = SecurityKey::new(kind, "ssh:");
        for flags in [0, VERIFIED] {
            let signature = key.sign(Namespace::Call, MESSAGE, flags);
            for requirement in REQUIREMENTS {
                refused(
                    check(&key, requirement, &signature),
                    Reason::SignaturePresence,
                );
            }
        }
    }
}

/// The flags are signed: setting them afterwards breaks the signature.
#[test]
fn flags_cannot_be_added() {
    for kind in KINDS {
        let key = SecurityKey::new(kind, "ssh:");
        let untouched = key.sign(Namespace::Call, MESSAGE, 0);
        let lines: Vec<&str> = untouched
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        let mut blob = Base64::decode_vec(&lines.concat()).unwrap();
        let flags_at = blob.len() - 5;
        assert_eq!(blob[flags_at], 0);
        blob[flags_at] = TOUCHED;
        refused(
            check(&key, Requirement::Key, &rearmour(&blob)),
            Reason::SignatureInvalid,
        );
    }
}

#[test]
fn the_application_is_pinned() {
    for kind in KINDS {
        let key = SecurityKey::new(kind, "ssh:narthex");
        for other in ["ssh:", "https://example.com"] {
            let signature = key.used_for(other).sign(Namespace::Call, MESSAGE, TOUCHED);
            refused(
                check(&key, Requirement::Key, &signature),
                Reason::SignatureApplication,
            );
        }
    }
}

/// The bare key of a security key, were it ever to leak, is not the security key.
#[test]
fn a_plain_signature_by_the_same_secret_is_another_key() {
    let key = SecurityKey::new(Kind::Ed25519, "ssh:");
    let plain = key
        .key
        .sign(Namespace::Call.name(), HashAlg::Sha512, MESSAGE)
        .and_then(|signature| signature.to_pem(ssh_key::LineEnding::LF))
        .unwrap();
    refused(
        check(&key, Requirement::Key, &plain),
        Reason::SignatureApplication,
    );
}

#[test]
fn a_signature_without_flags_is_malformed() {
    let key = SecurityKey::new(Kind::Ed25519, "ssh:");
    let good = key.sign(Namespace::Call, MESSAGE, TOUCHED);
    let lines: Vec<&str> = good.lines().filter(|line| !line.starts_with('-')).collect();
    let mut blob = Base64::decode_vec(&lines.concat()).unwrap();
    blob.truncate(blob.len() - 5);
    // The length of the last string shrinks with it: algorithm (4 + 26), signature (4 + 64).
    let length_at = blob.len() - (4 + 26 + 4 + 64) - 4;
    blob[length_at..length_at + 4].copy_from_slice(&98_u32.to_be_bytes());
    refused(
        check(&key, Requirement::Key, &rearmour(&blob)),
        Reason::SignatureMalformed,
    );
}

#[test]
fn keys_for_web_sites_are_refused() {
    for kind in KINDS {
        let key = SecurityKey::new(kind, "https://example.com");
        refused(PersonKey::parse(&key.line()), Reason::KeyUnusable);
    }
}

#[test]
fn a_touch_requirement_needs_security_keys_only() {
    let text = with(
        &genesis_text(),
        "roles = [\"on-call\", \"maintainer\"]",
        "roles = [\"on-call\", \"maintainer\"]\nrequires = \"touch\"",
    );
    refused(
        Bundle::parse_unverified(text.as_bytes()),
        Reason::PersonRequirement,
    );
    let key = SecurityKey::new(Kind::Ecdsa, "ssh:");
    let text = with(&text, &super::world::key_line("olga"), &key.line());
    Bundle::parse_unverified(text.as_bytes()).unwrap();
}

/// One secret under two names of keys is one key.
#[test]
fn the_same_point_twice_is_a_shared_key() {
    let key = SecurityKey::new(Kind::Ed25519, "ssh:");
    let text = with(
        &genesis_text(),
        &super::world::key_line("alice2"),
        &key.line(),
    );
    Bundle::parse_unverified(text.as_bytes()).unwrap();
    for twin in [
        key.used_for("ssh:other").line(),
        key.key.public_key().to_openssh().unwrap(),
    ] {
        let text = with(&text, &super::world::key_line("olga"), &twin);
        refused(
            Bundle::parse_unverified(text.as_bytes()),
            Reason::PersonSharedKey,
        );
    }
}
