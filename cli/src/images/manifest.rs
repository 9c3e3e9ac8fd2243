//! A release manifest on disk, with the signatures beside it.

use std::path::{Path, PathBuf};

use narthex_image::manifest::{MAX_MANIFEST_BYTES, Manifest, ManifestMeasurements};
use narthex_policy::{Digest384, Pcr, Policy, Refusal, ReleaseName, SignedFile};

use crate::failure::{Failure, Outcome};
use crate::input::read_file;
use crate::policy_directory::read_signatures;
use crate::signing::signature_path;

/// A manifest's exact bytes. Nobody may believe it before its signatures were checked.
pub(crate) struct ManifestFile {
    path: PathBuf,
    bytes: Vec<u8>,
}

/// A manifest that enough people approved.
pub(crate) struct Approved {
    /// What it says.
    pub(crate) manifest: Manifest,
    /// The release's name, which those who approved may speak for.
    pub(crate) name: ReleaseName,
    /// Who approved, by name, in the order of their signatures.
    pub(crate) people: Vec<String>,
}

impl ManifestFile {
    /// Reads the file.
    ///
    /// # Errors
    /// `file.*`, `input.too_large`.
    pub(crate) fn read(path: &Path) -> Outcome<Self> {
        Ok(Self {
            path: path.to_owned(),
            bytes: read_file(path, MAX_MANIFEST_BYTES)?,
        })
    }

    /// The exact bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest by which a release statement names it.
    pub(crate) fn sha384(&self) -> Digest384 {
        Digest384::of(&self.bytes)
    }

    /// What it says, whoever wrote it.
    ///
    /// # Errors
    /// `manifest.*`.
    pub(crate) fn parse_unverified(&self) -> Outcome<Manifest> {
        Manifest::parse(&self.bytes).map_err(|refusal| {
            Failure::refused(
                refusal.id(),
                format!(
                    "{}: {}: {}",
                    self.path.display(),
                    refusal.subject(),
                    refusal.detail()
                ),
            )
            .next("`narthex image build` writes manifests; a changed one cannot be mended by hand")
        })
    }

    /// Checks the signatures beside the file, then reads it, then checks that those who signed may
    /// release what it names.
    ///
    /// # Errors
    /// `manifest.under_signed`, `manifest.name`, `signature.*`, `manifest.*`, `file.*`.
    pub(crate) fn approved(&self, policy: &Policy) -> Outcome<Approved> {
        let signatures = read_signatures(&self.path)?
            .into_iter()
            .map(|(_, signature)| signature)
            .collect();
        let signed = SignedFile {
            bytes: self.bytes.clone(),
            signatures,
        };
        let approved = policy
            .approved_manifest(&signed)
            .map_err(|refusal| self.not_approved(&refusal))?;
        let manifest = self.parse_unverified()?;
        let name = ReleaseName::new(&manifest.name)
            .map_err(|refusal| Failure::refused(refusal.id(), refusal.detail()))?;
        let people = approved
            .signers_for(&name)
            .map_err(|refusal| self.not_approved(&refusal))?
            .into_iter()
            .map(|signer| signer.person.to_string())
            .collect();
        Ok(Approved {
            manifest,
            name,
            people,
        })
    }

    fn not_approved(&self, refusal: &Refusal) -> Failure {
        Failure::refused(
            refusal.id(),
            format!("{}: {}", self.path.display(), refusal.detail()),
        )
        .next(format!(
            "those who may release it build it again (`narthex image rebuild`), then sign: \
             narthex image approve {} --as PERSON --key KEY",
            self.path.display()
        ))
    }

    /// Whether there is a file with the name that the signature of `person` would have.
    pub(crate) fn has_signature_file_of(&self, person: &str) -> bool {
        signature_path(&self.path, person).exists()
    }
}

/// A manifest's registers as policies have them.
pub(crate) fn policy_measurements(
    measurements: &ManifestMeasurements,
) -> narthex_policy::Measurements {
    let ManifestMeasurements { pcr0, pcr1, pcr2 } = measurements;
    narthex_policy::Measurements {
        pcr0: Pcr(*pcr0.as_bytes()),
        pcr1: Pcr(*pcr1.as_bytes()),
        pcr2: Pcr(*pcr2.as_bytes()),
        pcr8: None,
    }
}

/// The words for the language runtimes in the workload.
pub(super) fn runtimes(manifest: &Manifest) -> Vec<&'static str> {
    let runtimes = manifest.runtimes.iter();
    runtimes.map(|runtime| runtime.name()).collect()
}

/// The words for what was let in that weakens the image.
pub(super) fn insecure(manifest: &Manifest) -> Vec<&'static str> {
    let insecure = manifest.insecure.iter();
    insecure.map(|insecure| insecure.name()).collect()
}

/// What weakens the image or is worth knowing before it is signed, one a line; empty if nothing is.
pub(super) fn warnings(manifest: &Manifest) -> String {
    [
        ("runtimes", runtimes(manifest)),
        ("INSECURE", insecure(manifest)),
    ]
    .into_iter()
    .filter(|(_, words)| !words.is_empty())
    .map(|(title, words)| format!("  {title}  {}\n", words.join(", ")))
    .collect()
}
