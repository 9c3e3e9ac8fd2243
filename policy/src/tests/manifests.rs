//! Who must have signed a release manifest before a release is made of it.

use super::world::*;
use crate::*;

/// Nothing here reads it.
const MANIFEST: &str = "what went into an image";

fn signers(policy: &Policy, file: &SignedFile, name: &str) -> Result<Vec<String>, Refusal> {
    let approved = policy.approved_manifest(file)?;
    let signers = approved.signers_for(&ReleaseName::new(name).unwrap())?;
    Ok(signers
        .into_iter()
        .map(|signer| signer.person.to_string())
        .collect())
}

fn manifest(people: &[&str]) -> SignedFile {
    signed(MANIFEST, Namespace::Image, people)
}

#[test]
fn enough_people_who_may_release_that_name() {
    let policy = policy();
    assert_eq!(
        signers(&policy, &manifest(&["rita", "sam"]), "payments-api"),
        Ok(vec!["rita".to_owned(), "sam".to_owned()])
    );
    // All who count are named, and others are not.
    assert_eq!(
        signers(
            &policy,
            &manifest(&["carol", "olga", "mallory", "rita", "sam"]),
            "payments-api"
        )
        .map(|people| people.join(" ")),
        Ok("carol rita sam".to_owned())
    );
}

#[test]
fn too_few() {
    for people in [
        &[][..],
        &["rita"],
        &["rita", "rita"],
        &["rita", "olga"],
        &["rita", "mallory"],
    ] {
        refused(
            signers(&policy(), &manifest(people), "payments-api"),
            Reason::ManifestUnderSigned,
        );
    }
}

/// alice and bob may release `batch` and nothing else.
#[test]
fn a_name_that_belongs_to_others() {
    let policy = policy();
    let file = manifest(&["alice", "bob"]);
    signers(&policy, &file, "batch").unwrap();
    refused(
        signers(&policy, &file, "payments-api"),
        Reason::ManifestName,
    );
    // With one of each, neither authority has spoken.
    refused(
        signers(&policy, &manifest(&["alice", "rita"]), "batch"),
        Reason::ManifestUnderSigned,
    );
}

#[test]
fn signatures_over_other_bytes_or_for_another_purpose() {
    let mut changed = manifest(&["rita", "sam"]);
    changed.bytes.push(b'\n');
    refused(
        signers(&policy(), &changed, "payments-api"),
        Reason::SignatureInvalid,
    );
    let statement = signed(MANIFEST, Namespace::Release, &["rita", "sam"]);
    refused(
        signers(&policy(), &statement, "payments-api"),
        Reason::SignatureNamespace,
    );
    // Nor does a signed manifest pass for a statement.
    let text = release_text(1, "1.0", ReleaseStatus::Current);
    let file = signed(&text, Namespace::Image, &["rita", "sam"]);
    refused(
        policy().add_release(&file, NOW).map(drop),
        Reason::SignatureNamespace,
    );
}

#[test]
fn a_stopped_person_does_not_count() {
    let mut policy = policy();
    policy
        .add_stop(&stop_file("people = [\"sam\"]"), NOW)
        .unwrap();
    refused(
        signers(&policy, &manifest(&["rita", "sam"]), "payments-api"),
        Reason::PersonStopped,
    );
    signers(&policy, &manifest(&["rita", "carol"]), "payments-api").unwrap();
}
