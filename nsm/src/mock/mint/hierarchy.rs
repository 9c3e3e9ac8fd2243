//! What AWS's certificates say, from the root's key down.
//!
//! Lifetimes, subjects, extensions and their order are those of genuine documents of 2024-07 and
//! later. The upper certificates are issued in fixed slots and follow from
//! the authority's key, so every mock on one authority shows the same region, zone and instance
//! certificates until they are due, as AWS does.

use super::authority::DevelopmentAuthority;
use super::certificate::{AlgorithmIdentifier, CertificateRecipe, SubjectPublicKey};
use super::chain::Link;
use super::der::Der;
use super::extension::{Criticality, Extension, KeyUsage};
use super::identity::Identity;
use super::key::{KeyPair, derive_bytes};
use super::name::Name;
use super::signature::SignatureRecipe;
use super::time_field::TimeField;

/// 20 days and an hour, as measured ("3 weeks").
pub const REGION_LIFETIME_SECONDS: u64 = 20 * DAY + HOUR;
/// 6 days.
pub const ZONE_LIFETIME_SECONDS: u64 = 6 * DAY;
/// 24 hours.
pub const INSTANCE_LIFETIME_SECONDS: u64 = DAY;
/// 3 hours, counted from the moment of issue.
pub const LEAF_LIFETIME_SECONDS: u64 = 3 * HOUR;
/// A leaf's notBefore lies this long before the moment of issue: 3 s since 2022, none in 2021.
pub const LEAF_BACKDATING_SECONDS: u64 = 3;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// What differs from one authority to the next.
pub(crate) struct Profile {
    pub(crate) issuer: Name,
    pub(crate) subject: Name,
    pub(crate) serial: Vec<u8>,
    pub(crate) not_before_seconds: u64,
    pub(crate) not_after_seconds: u64,
    pub(crate) extensions: Vec<Extension>,
}

impl Profile {
    pub(crate) fn certify(self, key: KeyPair) -> Link {
        let Self {
            issuer,
            subject,
            serial,
            not_before_seconds,
            not_after_seconds,
            extensions,
        } = self;
        let certificate = CertificateRecipe {
            version: Some(2),
            serial,
            inner_algorithm: AlgorithmIdentifier::ecdsa_sha384(),
            outer_algorithm: AlgorithmIdentifier::ecdsa_sha384(),
            issuer,
            not_before: TimeField::Utc(not_before_seconds),
            not_after: TimeField::Utc(not_after_seconds),
            subject,
            public_key: SubjectPublicKey::p384(&key),
            before_extensions: Vec::new(),
            extensions: Some(extensions),
            signature: SignatureRecipe::Genuine,
            signature_unused_bits: 0,
            tbs_override: None,
            trailing: Vec::new(),
            raw: None,
        };
        Link { certificate, key }
    }
}

/// keyUsage of root, region and zone.
pub(crate) fn authority_usage() -> Extension {
    let usage = KeyUsage::DIGITAL_SIGNATURE
        .and(KeyUsage::KEY_CERT_SIGN)
        .and(KeyUsage::CRL_SIGN);
    Extension::key_usage(usage, Criticality::Critical)
}

/// Content bytes of a positive INTEGER.
pub(crate) fn serial(big_endian: &[u8]) -> Vec<u8> {
    match Der::unsigned(big_endian) {
        Der::Primitive(_, content) => content,
        other => other.to_bytes(),
    }
}

/// The last slot boundary that is at least an hour old, so that small differences between clocks
/// never make an authority's certificate "not yet valid".
fn slot_start(now_seconds: u64, slot_seconds: u64) -> u64 {
    let settled = now_seconds.saturating_sub(HOUR);
    settled - settled % slot_seconds
}

/// Everything that a slot's certificate takes from the authority's secret.
struct Slot<'a> {
    authority: &'a DevelopmentAuthority,
    label: &'static str,
    context: Vec<u8>,
}

impl Slot<'_> {
    fn key(&self) -> KeyPair {
        KeyPair::derive(&self.authority.secret(), self.label, &self.context)
    }

    fn serial(&self, length: usize) -> Vec<u8> {
        let bytes = self.bytes("serial");
        serial(bytes.get(..length).unwrap_or(&bytes))
    }

    /// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, as in AWS's CRL addresses.
    fn uuid(&self) -> String {
        let bytes = self.bytes("uuid");
        let hex = |range: std::ops::Range<usize>| hex_text(bytes.get(range).unwrap_or_default());
        format!(
            "{}-{}-{}-{}-{}",
            hex(0..4),
            hex(4..6),
            hex(6..8),
            hex(8..10),
            hex(10..16)
        )
    }

    /// 16 hexadecimal digits.
    fn name(&self) -> String {
        hex_text(self.bytes("name").get(..8).unwrap_or_default())
    }

    fn bytes(&self, purpose: &str) -> [u8; 48] {
        let label = format!("{}-{purpose}", self.label);
        derive_bytes(&self.authority.secret(), &label, &self.context, 0)
    }
}

/// The region certificate that is in use at `now_seconds`.
pub(super) fn region_link(
    authority: &DevelopmentAuthority,
    root: &Link,
    identity: &Identity,
    now_seconds: u64,
) -> Link {
    let not_before = slot_start(now_seconds, 10 * DAY);
    let slot = Slot {
        authority,
        label: "region",
        context: context(&identity.region, not_before),
    };
    let key = slot.key();
    let common_name = format!("{}.{}.aws.nitro-enclaves", slot.name(), identity.region);
    // Shape and length of AWS's address, under a name that never resolves (RFC 2606).
    let crl = format!(
        "http://aws-nitro-enclaves-crl.s3.mocks.invalid/crl/{}.crl",
        slot.uuid()
    );
    Profile {
        issuer: root.certificate.subject.clone(),
        subject: Name::aws_short(&common_name),
        serial: slot.serial(16),
        not_before_seconds: not_before,
        not_after_seconds: not_before.saturating_add(REGION_LIFETIME_SECONDS),
        extensions: vec![
            Extension::authority(Some(2)),
            Extension::authority_key_identifier(&root.key.public_point()),
            Extension::subject_key_identifier(&key.public_point()),
            authority_usage(),
            Extension::crl_distribution_point(&crl),
        ],
    }
    .certify(key)
}

/// The zone certificate that is in use at `now_seconds`.
pub(super) fn zone_link(
    authority: &DevelopmentAuthority,
    region: &Link,
    identity: &Identity,
    now_seconds: u64,
) -> Link {
    let not_before = slot_start(now_seconds, 3 * DAY);
    let slot = Slot {
        authority,
        label: "zone",
        context: context(&identity.region, not_before),
    };
    let key = slot.key();
    let common_name = format!(
        "{}.zonal.{}.aws.nitro-enclaves",
        slot.name(),
        identity.region
    );
    let crl = format!(
        "http://crl-{region}-aws-nitro-enclaves.s3.{region}.mocks.invalid/crl/{}.crl",
        slot.uuid(),
        region = identity.region,
    );
    Profile {
        issuer: region.certificate.subject.clone(),
        subject: Name::aws_zone(&common_name),
        serial: slot.serial(16),
        not_before_seconds: not_before,
        not_after_seconds: not_before.saturating_add(ZONE_LIFETIME_SECONDS),
        extensions: vec![
            Extension::authority(Some(1)),
            Extension::authority_key_identifier(&region.key.public_point()),
            Extension::subject_key_identifier(&key.public_point()),
            authority_usage(),
            Extension::crl_distribution_point(&crl),
        ],
    }
    .certify(key)
}

/// The instance certificate that is in use at `now_seconds`.
pub(super) fn instance_link(
    authority: &DevelopmentAuthority,
    zone: &Link,
    identity: &Identity,
    now_seconds: u64,
) -> Link {
    let not_before = slot_start(now_seconds, DAY / 2);
    let slot = Slot {
        authority,
        label: "instance",
        context: context(&identity.instance_id, not_before),
    };
    let key = slot.key();
    let common_name = format!(
        "{}.{}.aws.nitro-enclaves",
        identity.instance_id, identity.region
    );
    Profile {
        issuer: zone.certificate.subject.clone(),
        subject: Name::aws_long(&common_name),
        serial: slot.serial(20),
        not_before_seconds: not_before,
        not_after_seconds: not_before.saturating_add(INSTANCE_LIFETIME_SECONDS),
        extensions: vec![
            Extension::authority(Some(0)),
            Extension::key_usage(KeyUsage::KEY_CERT_SIGN, Criticality::Critical),
            Extension::subject_key_identifier(&key.public_point()),
            Extension::authority_key_identifier(&zone.key.public_point()),
        ],
    }
    .certify(key)
}

/// The leaf certificate that is issued at `now_seconds`.
pub(super) fn leaf_link(
    authority: &DevelopmentAuthority,
    instance: &Link,
    identity: &Identity,
    now_seconds: u64,
) -> Link {
    let module_id = identity.module_id();
    let slot = Slot {
        authority,
        label: "leaf",
        context: context(&module_id, now_seconds),
    };
    let usage = KeyUsage::DIGITAL_SIGNATURE.and(KeyUsage::NON_REPUDIATION);
    Profile {
        issuer: instance.certificate.subject.clone(),
        subject: Name::aws_long(&format!("{module_id}.{}.aws", identity.region)),
        serial: serial(&leaf_serial(identity, now_seconds)),
        not_before_seconds: now_seconds.saturating_sub(LEAF_BACKDATING_SECONDS),
        not_after_seconds: now_seconds.saturating_add(LEAF_LIFETIME_SECONDS),
        extensions: vec![
            Extension::end_entity(),
            // Not critical: measured in every genuine leaf.
            Extension::key_usage(usage, Criticality::NotCritical),
        ],
    }
    .certify(slot.key())
}

/// Enclave id, then the moment of issue in seconds: eight bytes each, as AWS does.
fn leaf_serial(identity: &Identity, issued_seconds: u64) -> Vec<u8> {
    [identity.enclave_id_bytes(), issued_seconds.to_be_bytes()].concat()
}

fn context(name: &str, seconds: u64) -> Vec<u8> {
    [name.as_bytes(), &seconds.to_be_bytes()].concat()
}

fn hex_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_785_785_775;

    #[test]
    fn every_certificate_covers_its_leaf_at_any_moment() {
        // Eleven days in steps that hit all slot boundaries, to the second around them.
        for step in 0..264_u64 {
            for offset in [0, HOUR - 1, HOUR, HOUR + 1] {
                let now = NOW / DAY * DAY + step * HOUR + offset;
                for (slot, lifetime) in [
                    (10 * DAY, REGION_LIFETIME_SECONDS),
                    (3 * DAY, ZONE_LIFETIME_SECONDS),
                    (DAY / 2, INSTANCE_LIFETIME_SECONDS),
                ] {
                    let start = slot_start(now, slot);
                    assert!(start + HOUR <= now);
                    assert!(start + lifetime >= now + LEAF_LIFETIME_SECONDS);
                }
            }
        }
    }
}
