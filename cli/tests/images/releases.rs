//! Releases that rest on manifests, and images that are held against releases.

use serde_json::Value;

use crate::common::read;
use crate::fixture::{Workshop, program};
use crate::signing::{SIGN, make_key};

const NEW: &str = "release new policy --manifest shop.manifest.json";
const STATEMENT: &str = "policy/releases/0002-shop.toml";

/// The statement that `release new` wrote, signed by alice and bob.
fn released(workshop: &Workshop) {
    workshop.done(NEW);
    sign(workshop, "--manifest shop.manifest.json");
}

fn sign(workshop: &Workshop, options: &str) {
    for person in ["alice", "bob"] {
        workshop.done(&format!(
            "release sign {STATEMENT} --as {person} --key {person} {options}"
        ));
    }
}

fn release(workshop: &Workshop, version: &str) -> Value {
    let value = workshop.json("release verify policy");
    let releases = value["releases"].as_array().unwrap();
    let found = releases
        .iter()
        .find(|release| release["version"] == version);
    found.unwrap().clone()
}

#[test]
fn from_recipe_to_a_release_in_force() {
    let workshop = Workshop::approved();
    let (_, said) = workshop.done(NEW);
    assert!(said.contains("approved by alice, bob"), "{said}");
    let (_, said) = workshop.done(&format!(
        "release sign {STATEMENT} --as alice --key alice --manifest shop.manifest.json"
    ));
    assert_eq!(said, "");
    let measure = "measure shop.eif --expect policy --release shop=1.0.0";
    workshop.refused(measure, 1, "release.unknown");
    sign(&workshop, "--manifest shop.manifest.json");

    let manifest = String::from_utf8(workshop.run("sha384sum shop.manifest.json")).unwrap();
    let in_force = release(&workshop, "1.0.0");
    assert_eq!(in_force["state"], "in force");
    assert_eq!(
        in_force["manifest_sha384"].as_str(),
        manifest.split_whitespace().next()
    );
    assert_eq!(in_force["insecure_measurements_by_hand"], false);
    let (text, _) = workshop.done("release verify policy");
    let line = text.lines().find(|line| line.contains("1.0.0")).unwrap();
    assert!(!line.contains("insecure"), "{line}");
    let value = workshop.json("policy verify policy");
    let files = value["files"].as_array().unwrap();
    let by_hand = |name: &str| {
        let file = files.iter().find(|file| file["file"] == name).unwrap();
        file.get("insecure_measurements_by_hand").cloned()
    };
    assert_eq!(by_hand("releases/0002-shop.toml"), Some(false.into()));
    assert_eq!(by_hand("releases/0001-shop.toml"), Some(true.into()));
    assert_eq!(by_hand("bundles/0001.toml"), None);

    let value = workshop.json("measure shop.eif --expect policy --release shop");
    assert_eq!(value["release_version"], "1.0.0");
    let registers = value["registers"].as_array().unwrap();
    assert_eq!(registers.len(), 3);
    assert!(registers.iter().all(|register| register["agrees"] == true));
    let value =
        workshop.json("image verify shop.eif --manifest shop.manifest.json --policy policy");
    assert_eq!(value["approved_by"], serde_json::json!(["alice", "bob"]));
    // A revocation says the same about the same image.
    workshop.done("release revoke policy --name shop --version 1.0.0");
    let revocation = workshop.text("policy/releases/0003-shop.toml");
    assert!(revocation.contains("manifest_sha384 = "), "{revocation}");
}

/// In each case one thing is wrong with the signatures, or with what they are over.
/// A draft that nobody signed says nothing about what is revoked.
#[test]
fn what_is_revoked_is_what_was_released() {
    let workshop = Workshop::approved();
    released(&workshop);
    let number = |digit: &str| digit.repeat(96);
    workshop.done(&format!(
        "release new policy --name shop --version 1.0.0 --insecure-pcr0 {} --insecure-pcr1 {} \
         --insecure-pcr2 {}",
        number("1"),
        number("2"),
        number("3")
    ));
    workshop.done("release revoke policy --name shop --version 1.0.0");
    let revoked = workshop.text("policy/releases/0004-shop.toml");
    let measured = workshop.json("measure shop.eif");
    let pcr0 = measured["Measurements"]["PCR0"].as_str().unwrap();
    assert!(revoked.contains(pcr0), "{revoked}");
}

#[test]
fn manifests_that_too_few_people_approved() {
    let workshop = Workshop::built();
    let verify = "image verify shop.eif --manifest shop.manifest.json --policy policy";
    let refused = |id: &str| {
        for command in [NEW, verify] {
            workshop.refused(command, 1, id);
        }
        assert!(!workshop.exists(STATEMENT));
    };
    let signature = |person: &str| format!("shop.manifest.json.{person}.sig");
    refused("manifest.under_signed");
    workshop.approve("alice");
    refused("manifest.under_signed");
    // The same person under another name.
    std::fs::copy(
        workshop.path(&signature("alice")),
        workshop.path(&signature("bob")),
    )
    .unwrap();
    refused("manifest.under_signed");
    // Somebody who may not release.
    std::fs::remove_file(workshop.path(&signature("bob"))).unwrap();
    workshop.approve("carol");
    refused("manifest.under_signed");
    // For another purpose.
    workshop.run("ssh-keygen -Y sign -q -n release@narthex -f bob shop.manifest.json");
    std::fs::rename(
        workshop.path("shop.manifest.json.sig"),
        workshop.path(&signature("bob")),
    )
    .unwrap();
    refused("signature.namespace");
    // Over other bytes.
    let manifest = workshop.bytes("shop.manifest.json");
    workshop.write("root/app/server", &program(b"server 2"));
    workshop.done("image build shop.toml --out shop.eif --force");
    workshop.approve("bob");
    workshop.write("shop.manifest.json", &manifest);
    refused("signature.invalid");
    // Enough at last; ssh-keygen makes the same signatures.
    workshop.run("ssh-keygen -Y sign -q -n image@narthex -f bob shop.manifest.json");
    std::fs::rename(
        workshop.path("shop.manifest.json.sig"),
        workshop.path(&signature("bob")),
    )
    .unwrap();
    workshop.done(NEW);
    // Changed after it was signed, or signed though it is none.
    workshop.write("shop.manifest.json", &[&manifest[..], b"\n"].concat());
    workshop.refused(verify, 1, "signature.invalid");
    for person in ["alice", "bob"] {
        workshop.write("none.json", b"{}");
        workshop.run(&format!(
            "ssh-keygen -Y sign -q -n image@narthex -f {person} none.json"
        ));
        std::fs::rename(
            workshop.path("none.json.sig"),
            workshop.path(&format!("none.json.{person}.sig")),
        )
        .unwrap();
    }
    workshop.refused(
        "release new policy --manifest none.json",
        1,
        "manifest.format",
    );
    workshop.refused(
        "release new policy --manifest nothing.json",
        3,
        "file.not_found",
    );
}

#[test]
fn people_who_were_stopped_do_not_count() {
    let workshop = Workshop::approved();
    workshop.done("release stop policy --person bob");
    workshop.done("release sign policy/stops/0001.toml --as alice --key alice");
    workshop.refused(NEW, 1, "person.stopped");
}

#[test]
fn what_is_typed_beside_a_manifest_must_match_it() {
    let workshop = Workshop::approved();
    workshop.refused(&format!("{NEW} --name shop2"), 1, "manifest.release");
    workshop.refused(&format!("{NEW} --version 1.0.1"), 1, "manifest.release");
    workshop.refused(
        &format!("{NEW} --genesis {}", "00".repeat(48)),
        1,
        "bundle.genesis",
    );
    assert!(!workshop.exists(STATEMENT));
    for words in [
        format!("{NEW} --insecure-measurements build.json"),
        "release new policy --insecure-measurements build.json --name shop".to_owned(),
        "release new policy --name shop --version 1".to_owned(),
    ] {
        assert_eq!(workshop.narthex(&words).status.code(), Some(2), "{words}");
    }
    workshop.done(&format!("{NEW} --name shop --version 1.0.0"));
}

#[test]
fn nothing_is_signed_that_the_manifest_does_not_say() {
    let workshop = Workshop::approved();
    workshop.done(NEW);
    let good = workshop.text(STATEMENT);
    let sign =
        format!("release sign {STATEMENT} --as alice --key alice --manifest shop.manifest.json");
    let manifest: Value = serde_json::from_str(&workshop.text("shop.manifest.json")).unwrap();
    let pcr2 = manifest["predicate"]["measurements"]["pcr2"]
        .as_str()
        .unwrap();
    let digest = release_field(&good, "manifest_sha384");
    for (from, to, id) in [
        (pcr2, &*"5a".repeat(48), "manifest.measurements"),
        (
            "version = \"1.0.0\"",
            "version = \"1.0.1\"",
            "manifest.release",
        ),
        ("name = \"shop\"", "name = \"shop2\"", "manifest.release"),
        (&digest, &*"5a".repeat(48), "manifest.digest"),
        (
            &format!("manifest_sha384 = \"{digest}\""),
            "insecure_measurements_by_hand = true",
            "release.provenance",
        ),
        ("serial = 2", "serial = 2\nmore = 1", "file.malformed"),
    ] {
        workshop.edit(STATEMENT, from, to);
        workshop.refused(&sign, 1, id);
        assert!(!workshop.exists(&format!("{STATEMENT}.alice.sig")), "{id}");
        workshop.write(STATEMENT, good.as_bytes());
    }
    workshop.done("release stop policy --person carol");
    workshop.refused(
        "release sign policy/stops/0001.toml --as alice --key alice --manifest shop.manifest.json",
        2,
        "misuse.arguments",
    );
    // Whoever compares nothing is told so; whoever has not approved, too.
    let (_, said) = workshop.done(&format!("release sign {STATEMENT} --as alice --key alice"));
    assert!(said.contains("not compared with its manifest"), "{said}");
    std::fs::remove_file(workshop.path("shop.manifest.json.alice.sig")).unwrap();
    let (_, said) = workshop.done(&sign);
    assert!(said.contains("no signature of alice beside"), "{said}");
}

fn release_field(statement: &str, name: &str) -> String {
    let line = statement
        .lines()
        .find(|line| line.starts_with(name))
        .unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

#[test]
fn images_that_are_not_the_release() {
    let workshop = Workshop::approved();
    released(&workshop);
    workshop.write("root/app/server", &program(b"server 2"));
    workshop.done("image build shop.toml --out other.eif");
    let words = "measure other.eif --expect policy --release shop=1.0.0";
    let value = workshop.refused(words, 1, "release.measurements");
    let agrees: Vec<bool> = value["registers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|register| register["agrees"].as_bool().unwrap())
        .collect();
    assert_eq!(agrees, [false, true, false]);
    let (_, text, _) = read(&workshop.narthex(words));
    assert!(
        text.starts_with("REFUSED  this is not release shop 1.0.0"),
        "{text}"
    );
    workshop.refused(
        "image verify other.eif --manifest shop.manifest.json --policy policy",
        1,
        "manifest.measurements",
    );
    workshop.refused(
        "measure shop.eif --expect policy --release shap",
        1,
        "release.unknown",
    );
    workshop.refused(
        "measure shop.eif --expect policy --release shop --at 2020-01-01T00:00:00Z",
        1,
        "bundle.not_yet_valid",
    );
    // Stopped: the measurements agree, and it is refused.
    workshop.done("release stop policy --release shop=1.0.0");
    workshop.done("release sign policy/stops/0001.toml --as alice --key alice");
    let value = workshop.refused(
        "measure shop.eif --expect policy --release shop=1.0.0",
        1,
        "release.stopped",
    );
    assert_eq!(value["registers"][0]["agrees"], true);
}

/// The registers agree, and still it is another file: what is not measured was changed.
#[test]
fn what_is_not_measured_is_compared_too() {
    let workshop = Workshop::approved();
    let mut bytes = workshop.bytes("shop.eif");
    let place = bytes
        .windows(9)
        .position(|window| window == b"\"unknown\"")
        .unwrap();
    bytes[place + 1] = b'X';
    let crc = crc32(&bytes);
    bytes[0x220..0x224].copy_from_slice(&crc.to_be_bytes());
    workshop.write("shop.eif", &bytes);
    let verify =
        |file: &str| format!("image verify {file} --manifest shop.manifest.json --policy policy");
    workshop.refused(&verify("shop.eif"), 1, "manifest.image");
    // Whoever signs it signs PCR0, and cannot make it the file that people approved.
    make_key(&workshop, "signing", "P-384");
    workshop.done(SIGN);
    workshop.refused(&verify("signed.eif"), 1, "manifest.image");
    let (_, before) = workshop.done("image build shop.toml --out shop2.eif --manifest 2.json");
    assert!(before.contains("Somebody else"), "{before}");
}

/// CRC-32 (IEEE) over everything but the field itself, bit by bit.
fn crc32(file: &[u8]) -> u32 {
    let content = file[..0x220].iter().chain(&file[0x224..]);
    !content.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1))
        })
    })
}
