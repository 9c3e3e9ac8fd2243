//! One signature: armour, purpose, algorithms, holder, validity.

use base64ct::{Base64, Encoding as _};

use super::world::{key, policy, refused};
use crate::signature::rearmour;
use crate::wire::Reader;
use crate::{Namespace, Reason, Refusal, Signer};

const MESSAGE: &[u8] = b"a message";

fn good() -> String {
    key("olga").sign(Namespace::Order, MESSAGE).unwrap()
}

fn identify(signature: &str) -> Result<Signer, Refusal> {
    policy().identify(MESSAGE, signature, Namespace::Order)
}

fn blob(armoured: &str) -> Vec<u8> {
    let lines: Vec<&str> = armoured
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    Base64::decode_vec(&lines.concat()).unwrap()
}

/// The parts of a blob after magic and version, so that a test can put others in their place.
fn parts(blob: &[u8]) -> Vec<Vec<u8>> {
    let mut reader = Reader::new(&blob[10..]);
    (0..5).map(|_| reader.string().unwrap().to_vec()).collect()
}

pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    [
        &u32::try_from(bytes.len()).unwrap().to_be_bytes()[..],
        bytes,
    ]
    .concat()
}

fn assembled(version: u32, parts: &[Vec<u8>]) -> String {
    let strings: Vec<u8> = parts.iter().flat_map(|part| string(part)).collect();
    rearmour(&[b"SSHSIG", &version.to_be_bytes()[..], &strings].concat())
}

/// The good signature with one part replaced: 0 key, 1 namespace, 2 reserved, 3 hash, 4 signature.
fn replaced(index: usize, part: &[u8]) -> String {
    let mut parts = parts(&blob(&good()));
    parts[index] = part.to_vec();
    assembled(1, &parts)
}

#[test]
fn a_good_signature_names_its_person() {
    let signer = identify(&good()).unwrap();
    assert_eq!(signer.person.as_str(), "olga");
    assert_eq!(signer.fingerprint, key("olga").public_key().fingerprint());
    assert_eq!(
        identify(&assembled(1, &parts(&blob(&good())))),
        Ok(signer.clone())
    );
    // Peers wrap at other widths and end lines otherwise.
    let encoded = Base64::encode_string(&blob(&good()));
    let (first, rest) = encoded.split_at(76);
    let other = format!(
        "-----BEGIN SSH SIGNATURE-----\r\n{first}\r\n{rest}\r\n-----END SSH SIGNATURE-----"
    );
    assert_eq!(identify(&other), Ok(signer));
}

#[test]
fn malformed_armour_and_blobs() {
    let good = good();
    let blob = blob(&good);
    let strange = "x".repeat(crate::limits::MAX_SIGNATURE_BYTES + 1);
    let cases = [
        ("empty", String::new()),
        ("too long", strange),
        ("text before", format!("x{good}")),
        ("no end", good.replace("-----END SSH SIGNATURE-----", "")),
        (
            "other label",
            good.replace("SSH SIGNATURE", "OPENSSH PRIVATE KEY"),
        ),
        ("one line", good.replace('\n', "")),
        ("not base64", good.replacen('U', "*", 1)),
        ("other magic", rearmour(&[b"SSHSIH", &blob[6..]].concat())),
        ("version 0", assembled(0, &parts(&blob))),
        ("version 2", assembled(2, &parts(&blob))),
        ("trailing byte", rearmour(&[&blob[..], &[0]].concat())),
        ("cut short", rearmour(&blob[..blob.len() - 1])),
        ("reserved", replaced(2, b"x")),
        (
            "trailing byte in the key",
            replaced(0, &[&parts(&blob)[0][..], &[0]].concat()),
        ),
        (
            "trailing byte in the signature",
            replaced(4, &[&parts(&blob)[4][..], &[0]].concat()),
        ),
        ("no key", replaced(0, b"")),
    ];
    for (what, text) in cases {
        match identify(&text) {
            Err(refusal) => assert_eq!(refusal.reason(), Reason::SignatureMalformed, "{what}"),
            Ok(signer) => panic!("{what}: accepted as {signer:?}"),
        }
    }
}

#[test]
fn another_purpose() {
    for namespace in Namespace::ALL {
        let signature = key("olga").sign(*namespace, MESSAGE).unwrap();
        match namespace {
            Namespace::Order => drop(identify(&signature).unwrap()),
            _ => refused(identify(&signature), Reason::SignatureNamespace),
        }
    }
    // Exactness: neither a prefix nor an extension, nor a NUL after the right text.
    for other in [
        "order",
        "order@narthex2",
        "order@narthex\0",
        "Order@narthex",
        "",
    ] {
        refused(
            identify(&replaced(1, other.as_bytes())),
            Reason::SignatureNamespace,
        );
    }
}

#[test]
fn another_hash() {
    for other in ["sha1", "sha384", "SHA512", ""] {
        refused(
            identify(&replaced(3, other.as_bytes())),
            Reason::SignatureHash,
        );
    }
    // Known, but not the one that was signed.
    refused(identify(&replaced(3, b"sha256")), Reason::SignatureInvalid);
}

#[test]
fn another_algorithm() {
    let blob = blob(&good());
    let renamed = |index: usize, name: &[u8]| {
        let rest = &parts(&blob)[index][4 + b"ssh-ed25519".len()..];
        replaced(index, &[&string(name)[..], rest].concat())
    };
    for name in [
        "ssh-rsa",
        "ssh-dss",
        "ssh-ed25519-cert-v01@openssh.com",
        "ssh-ed448",
    ] {
        refused(
            identify(&renamed(0, name.as_bytes())),
            Reason::SignatureAlgorithm,
        );
    }
    for name in [
        "rsa-sha2-512",
        "sk-ssh-ed25519@openssh.com",
        "ecdsa-sha2-nistp256",
    ] {
        refused(
            identify(&renamed(4, name.as_bytes())),
            Reason::SignatureAlgorithm,
        );
    }
}

#[test]
fn an_unknown_key() {
    let signature = key("mallory").sign(Namespace::Order, MESSAGE).unwrap();
    refused(identify(&signature), Reason::SignatureUnknownSigner);
}

#[test]
fn other_bytes() {
    let signature = key("olga")
        .sign(Namespace::Order, b"another message")
        .unwrap();
    refused(identify(&signature), Reason::SignatureInvalid);
    let flipped = {
        let mut blob = blob(&good());
        *blob.last_mut().unwrap() ^= 1;
        rearmour(&blob)
    };
    refused(identify(&flipped), Reason::SignatureInvalid);
}

/// Every byte of a signature matters: none can be changed and still pass.
#[test]
fn every_flipped_bit_is_refused() {
    let blob = blob(&good());
    let policy = policy();
    for index in 0..blob.len() {
        for bit in [0, 7] {
            let mut changed = blob.clone();
            changed[index] ^= 1 << bit;
            let result = policy.identify(MESSAGE, &rearmour(&changed), Namespace::Order);
            assert!(result.is_err(), "byte {index} bit {bit}");
        }
    }
}
