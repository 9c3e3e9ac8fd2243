//! The JSON that `nitro-cli describe-eif` and `build-enclave` print, name for name, so that scripts
//! written for them read ours.

use jiff::Timestamp;
use jiff::fmt::strtime;
use narthex_image::eif::{Measurements, SigningCertificate};
use serde_json::{Map, Value, json};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::file::Checked;

/// The only version that is read.
const EIF_VERSION: u16 = 4;

/// How AWS's tools name SHA-384: the hasher's debug output.
const HASH_ALGORITHM: &str = "Sha384 { ... }";

/// What `build-enclave` calls `Measurements`.
pub(super) fn measurements(measured: &Measurements) -> Value {
    let Measurements {
        pcr0,
        pcr1,
        pcr2,
        pcr8,
    } = measured;
    let mut value = json!({
        "HashAlgorithm": HASH_ALGORITHM,
        "PCR0": hex::encode(pcr0),
        "PCR1": hex::encode(pcr1),
        "PCR2": hex::encode(pcr2),
    });
    if let (Some(pcr8), Some(members)) = (pcr8, value.as_object_mut()) {
        members.insert("PCR8".to_owned(), json!(hex::encode(pcr8)));
    }
    value
}

/// What `describe-eif` prints. `CheckCRC` and `SignatureCheck` are always true: an image in which
/// either does not hold never gets here.
pub(super) fn describe(checked: &Checked<'_>) -> Value {
    let Checked {
        image,
        measurements: measured,
        certificate,
    } = checked;
    let mut described = Map::new();
    let mut put = |name: &str, value: Value| {
        described.insert(name.to_owned(), value);
    };
    put("EifVersion", json!(EIF_VERSION));
    put("Measurements", measurements(measured));
    put("IsSigned", json!(certificate.is_some()));
    put("CheckCRC", json!(true));
    if let Some(certificate) = certificate {
        put("SignatureCheck", json!(true));
        if let Some(value) = signing_certificate(certificate) {
            put("SigningCertificate", value);
        }
    }
    if let Ok(metadata) = serde_json::from_slice::<Value>(image.metadata()) {
        for name in ["ImageName", "ImageVersion"] {
            if let Some(value) = metadata.get(name) {
                put(name, value.clone());
            }
        }
        put("Metadata", flattened(&metadata));
    }
    Value::Object(described)
}

/// `describe-eif` lifts the build's and the user's own fields one level up.
fn flattened(metadata: &Value) -> Value {
    let mut members = Map::new();
    for name in ["BuildMetadata", "CustomMetadata"] {
        if let Some(Value::Object(inner)) = metadata.get(name) {
            members.extend(inner.clone());
        }
    }
    if let Some(docker) = metadata.get("DockerInfo") {
        members.insert("DockerInfo".to_owned(), docker.clone());
    }
    Value::Object(members)
}

/// Names and forms are those of OpenSSL, which AWS's tools print.
fn signing_certificate(certificate: &SigningCertificate) -> Option<Value> {
    let (_, parsed) = X509Certificate::from_der(certificate.der()).ok()?;
    let issuer: Map<String, Value> = parsed
        .issuer()
        .iter_attributes()
        .map(|attribute| {
            let oid = attribute.attr_type().to_id_string();
            let value = match attribute.as_str() {
                Ok(text) => text.to_owned(),
                Err(_) => hex::encode(attribute.as_slice()),
            };
            (long_name(&oid).unwrap_or(&oid).to_owned(), json!(value))
        })
        .collect();
    let signature: Vec<String> = parsed
        .signature_value
        .data
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    let algorithm = parsed.signature_algorithm.algorithm.to_id_string();
    Some(json!({
        "IssuerName": issuer,
        "Algorithm": long_name(&algorithm).unwrap_or(&algorithm),
        "NotBefore": time(certificate.not_before_unix_seconds()),
        "NotAfter": time(certificate.not_after_unix_seconds()),
        "Signature": signature.join(":"),
    }))
}

/// OpenSSL's long names of what such certificates usually have; others show as dotted numbers.
fn long_name(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "commonName",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "countryName",
        "2.5.4.7" => "localityName",
        "2.5.4.8" => "stateOrProvinceName",
        "2.5.4.10" => "organizationName",
        "2.5.4.11" => "organizationalUnitName",
        "1.2.840.113549.1.9.1" => "emailAddress",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.2.840.113549.1.1.11" => "sha256WithRSAEncryption",
        _ => return None,
    })
}

/// `Nov  2 03:04:05 2026 GMT`.
fn time(unix_seconds: i64) -> String {
    Timestamp::from_second(unix_seconds)
        .ok()
        .and_then(|time| strtime::format("%b %e %H:%M:%S %Y GMT", time).ok())
        .unwrap_or_else(|| format!("{unix_seconds} s after 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_openssls() {
        assert_eq!(time(0), "Jan  1 00:00:00 1970 GMT");
        assert_eq!(time(1_795_262_400), "Nov 21 12:00:00 2026 GMT");
    }

    #[test]
    fn metadata_is_flattened_as_nitro_cli_does() {
        let metadata = json!({
            "ImageName": "a",
            "BuildMetadata": { "BuildTime": "t", "KernelVersion": "6" },
            "DockerInfo": { "x": 1 },
            "CustomMetadata": { "own": true },
        });
        assert_eq!(
            flattened(&metadata),
            json!({ "BuildTime": "t", "KernelVersion": "6", "DockerInfo": { "x": 1 }, "own": true })
        );
        assert_eq!(flattened(&json!([1])), json!({}));
    }
}
