//! Keys in files. OpenSSL makes keys and certificates; Python and OpenSSL check what comes out.

use crate::common::read;
use crate::fixture::{Workshop, program, register};

/// A key on `curve` in PKCS#8 and its self-signed certificate: NAME.key, NAME.pem.
pub(crate) fn make_key(workshop: &Workshop, name: &str, curve: &str) {
    workshop.run(&format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:{curve} -noenc -sha384 -days 30 \
         -subj /C=DE/O=Example/CN={name} -keyout {name}.key -out {name}.pem"
    ));
    workshop.mode(&format!("{name}.key"), 0o600);
}

/// PCR8 by OpenSSL's DER of a certificate.
pub(crate) fn pcr8(workshop: &Workshop, name: &str) -> String {
    register(&workshop.run(&format!("openssl x509 -in {name}.pem -outform DER")))
}

/// Has Python and OpenSSL check the signature of an image; returns PCR8 as they see it.
pub(crate) fn checked_by_others(workshop: &Workshop, image: &str) -> String {
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/images/check_signature.py"
    );
    let said = workshop.run(&format!("python3 {script} {image} ."));
    String::from_utf8(said).unwrap().trim().to_owned()
}

pub(crate) const SIGN: &str =
    "image sign shop.eif --certificate signing.pem --key signing.key --out signed.eif";

#[test]
fn a_signed_image() {
    let workshop = Workshop::built();
    make_key(&workshop, "signing", "P-384");
    let unsigned = workshop.json("measure shop.eif");
    let said = workshop.json(SIGN);
    let signed = workshop.json("measure signed.eif");
    let expected = pcr8(&workshop, "signing");
    assert_eq!(signed["Measurements"]["PCR8"], expected.as_str());
    assert_eq!(checked_by_others(&workshop, "signed.eif"), expected);
    for name in ["PCR0", "PCR1", "PCR2"] {
        assert_eq!(signed["Measurements"][name], unsigned["Measurements"][name]);
    }
    assert_eq!(said["Measurements"], signed["Measurements"]);
    assert_eq!(signed["IsSigned"], true);
    assert_eq!(signed["SignatureCheck"], true);
    let certificate = &signed["SigningCertificate"];
    assert_eq!(
        certificate["IssuerName"],
        serde_json::json!({ "countryName": "DE", "organizationName": "Example", "commonName": "signing" })
    );
    assert_eq!(certificate["Algorithm"], "ecdsa-with-SHA384");
    let dates = workshop.run("openssl x509 -in signing.pem -noout -dates");
    let dates = String::from_utf8(dates).unwrap();
    for (name, label) in [("NotBefore", "notBefore="), ("NotAfter", "notAfter=")] {
        let date = dates.lines().find_map(|line| line.strip_prefix(label));
        assert_eq!(certificate[name].as_str(), date);
    }
    assert!(
        certificate["Signature"]
            .as_str()
            .unwrap()
            .split(':')
            .all(|byte| byte.len() == 2),
        "{certificate}"
    );
    let (text, _) = workshop.done("image inspect signed.eif");
    assert!(text.contains("signed by the key of "), "{text}");
    // The same key in the other form, as `openssl ecparam -genkey` writes it, gives the same bytes.
    let sec1 = workshop.run("openssl ec -in signing.key");
    let parameters = workshop.run("openssl ecparam -name secp384r1");
    workshop.write("sec1.key", &[parameters, sec1].concat());
    workshop.mode("sec1.key", 0o600);
    workshop.done(
        &SIGN
            .replace("signing.key", "sec1.key")
            .replace("signed.eif", "again.eif"),
    );
    assert_eq!(workshop.bytes("again.eif"), workshop.bytes("signed.eif"));
}

#[test]
fn signatures_that_are_not_made() {
    let workshop = Workshop::built();
    make_key(&workshop, "signing", "P-384");
    make_key(&workshop, "other", "P-384");
    make_key(&workshop, "small", "P-256");
    workshop.run("openssl pkcs8 -topk8 -in signing.key -out locked.key -passout pass:secret");
    workshop.mode("locked.key", 0o600);
    workshop.write(
        "bundle.pem",
        &[workshop.bytes("signing.pem"), workshop.bytes("other.pem")].concat(),
    );
    for (from, to, status, id) in [
        (
            "--key signing.key",
            "--key other.key",
            1,
            "eif.signer_mismatch",
        ),
        ("--key signing.key", "--key small.key", 2, "eif.signing_key"),
        (
            "--key signing.key",
            "--key locked.key",
            2,
            "eif.signing_key",
        ),
        (
            "--key signing.key",
            "--key signing.pem",
            3,
            "key.permissions",
        ),
        ("--key signing.key", "--key none.key", 3, "file.not_found"),
        ("signing.pem", "small.pem", 1, "eif.signature_key"),
        ("signing.pem", "bundle.pem", 1, "eif.signature_certificate"),
        ("signing.pem", "shop.toml", 1, "eif.signature_certificate"),
        ("sign shop.eif", "sign bzImage", 1, "eif.magic"),
        ("--out signed.eif", "--out shop.eif", 3, "file.exists"),
        // A key that is written over is gone.
        (
            "--out signed.eif",
            "--out ./signing.key --force",
            2,
            "misuse.arguments",
        ),
        (
            "--out signed.eif",
            "--out ./signing.pem --force",
            2,
            "misuse.arguments",
        ),
    ] {
        let value = workshop.refused(&SIGN.replace(from, to), status, id);
        assert!(!value.to_string().contains("PRIVATE"), "{value}");
        assert!(!workshop.exists("signed.eif"), "{id}");
    }
    workshop.mode("signing.key", 0o640);
    workshop.refused(SIGN, 3, "key.permissions");
    workshop.mode("signing.key", 0o600);
    workshop.done(SIGN);
    workshop.refused(
        "image sign signed.eif --certificate signing.pem --key signing.key --out twice.eif",
        1,
        "eif.already_signed",
    );
    // Who signs must be said, and by one means.
    for words in [
        "image sign shop.eif --certificate signing.pem --out x.eif",
        "image sign shop.eif --certificate signing.pem --pkcs11-module x.so --out x.eif",
        "image sign shop.eif --certificate signing.pem --key a --pkcs11-module x.so --pkcs11-uri u --out x.eif",
    ] {
        assert_eq!(workshop.narthex(words).status.code(), Some(2), "{words}");
    }
}

#[test]
fn a_certificate_whose_time_is_over_is_named() {
    let workshop = Workshop::built();
    workshop.run("openssl ecparam -name secp384r1 -genkey -noout -out signing.key");
    workshop.mode("signing.key", 0o600);
    workshop.run("openssl req -new -key signing.key -sha384 -subj /CN=old -out old.csr");
    workshop.run(
        "openssl x509 -req -in old.csr -signkey signing.key -sha384 -days -1 -out signing.pem",
    );
    let (_, said) = workshop.done(SIGN);
    assert!(said.contains("which is not now"), "{said}");
}

/// A release that demands a signing certificate, and images with and without it.
#[test]
fn releases_that_demand_a_certificate() {
    let workshop = Workshop::approved();
    make_key(&workshop, "signing", "P-384");
    make_key(&workshop, "other", "P-384");
    workshop.done(SIGN);
    workshop.done(
        &SIGN
            .replace("signing.", "other.")
            .replace("signed.eif", "strange.eif"),
    );
    let new = "release new policy --manifest shop.manifest.json --signed-image";
    workshop.refused(&format!("{new} shop.eif"), 1, "eif.not_signed");
    workshop.write("root/app/server", &program(b"server 2"));
    workshop.done("image build shop.toml --out second.eif");
    workshop.done(
        &SIGN
            .replace("shop.eif", "second.eif")
            .replace("signed.eif", "wrong.eif"),
    );
    workshop.refused(&format!("{new} wrong.eif"), 1, "manifest.measurements");
    workshop.done(&format!("{new} signed.eif"));
    for person in ["alice", "bob"] {
        workshop.done(&format!(
            "release sign policy/releases/0002-shop.toml --as {person} --key {person} \
             --manifest shop.manifest.json"
        ));
    }
    let measure = |image: &str| format!("measure {image} --expect policy --release shop=1.0.0");
    let value = workshop.json(&measure("signed.eif"));
    assert_eq!(
        value["registers"][3]["expected"],
        pcr8(&workshop, "signing")
    );
    for image in ["shop.eif", "strange.eif"] {
        let value = workshop.refused(&measure(image), 1, "release.measurements");
        assert_eq!(value["registers"][0]["agrees"], true);
        assert_eq!(value["registers"][3]["agrees"], false);
    }
    let (_, text, _) = read(&workshop.narthex(&measure("shop.eif")));
    assert!(text.contains("none: the image is not signed"), "{text}");
    // The manifest is the unsigned image's; a signature changes nothing that it says.
    let verify = "image verify signed.eif --manifest shop.manifest.json --policy policy";
    assert_eq!(workshop.json(verify)["signed"], true);
    // One changed byte of the signature: no numbers at all.
    let mut bytes = workshop.bytes("signed.eif");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    workshop.write("bad.eif", &bytes);
    workshop.refused("measure bad.eif", 1, "eif.crc");
}
