//! Whose signatures over a release statement or a release manifest are enough.

use super::Policy;
use super::statements::StoppedSigners;
use crate::bundle::ReleaseAuthority;
use crate::file::SignedFile;
use crate::names::{PersonName, ReleaseName};
use crate::reason::{Reason, Refusal};
use crate::signature::{Namespace, Signer};
use crate::tally::Tally;

/// Release authorities of which enough people signed a file, and everybody whose signature counts.
pub(super) struct SignedBy<'p> {
    authorities: Vec<&'p ReleaseAuthority>,
    signers: Vec<Signer>,
}

impl SignedBy<'_> {
    /// Whether one of these authorities may speak for releases called `name`.
    pub(super) fn speak_for(&self, name: &ReleaseName) -> bool {
        self.authorities_for(name).next().is_some()
    }

    fn authorities_for(&self, name: &ReleaseName) -> impl Iterator<Item = &ReleaseAuthority> {
        self.authorities
            .iter()
            .copied()
            .filter(move |authority| authority.names.iter().any(|names| names.matches(name)))
    }
}

/// A release manifest that enough release signers put their names to. They say that they built the
/// image and got what the manifest says; a release statement needs signatures of its own.
pub struct ApprovedManifest<'p> {
    signed: SignedBy<'p>,
}

impl ApprovedManifest<'_> {
    /// Those whose signatures count for releases called `name`, at least as many as their authority
    /// asks for.
    ///
    /// # Errors
    ///
    /// [`Reason::ManifestName`] if those who signed may not speak for this name.
    pub fn signers_for(&self, name: &ReleaseName) -> Result<Vec<&Signer>, Refusal> {
        let eligible: Vec<&PersonName> = self
            .signed
            .authorities_for(name)
            .flat_map(|authority| &authority.signers)
            .collect();
        if eligible.is_empty() {
            return Err(Refusal::new(
                Reason::ManifestName,
                format!("those who signed the manifest may not speak for {name}"),
            ));
        }
        let counts = |signer: &&Signer| eligible.contains(&&signer.person);
        Ok(self.signed.signers.iter().filter(counts).collect())
    }
}

impl Policy {
    /// Checks the signatures over a release manifest (namespace `image@narthex`), before anybody
    /// reads it: as many distinct people with distinct keys as some release authority of the bundle
    /// in force asks for must have signed these exact bytes. Whom a stop statement names does not
    /// count.
    ///
    /// # Errors
    ///
    /// [`Reason::ManifestUnderSigned`], and what signatures refuse.
    pub fn approved_manifest(&self, file: &SignedFile) -> Result<ApprovedManifest<'_>, Refusal> {
        let signed = self.release_authorities_of(
            file,
            Namespace::Image,
            StoppedSigners::DoNotCount,
            Reason::ManifestUnderSigned,
        )?;
        Ok(ApprovedManifest { signed })
    }

    /// The release authorities of which enough people signed `file` for this purpose.
    pub(super) fn release_authorities_of(
        &self,
        file: &SignedFile,
        namespace: Namespace,
        stopped: StoppedSigners,
        under_signed: Reason,
    ) -> Result<SignedBy<'_>, Refusal> {
        let authorities = &self.bundle.release_authorities;
        let signers: Vec<PersonName> = authorities
            .iter()
            .flat_map(|authority| &authority.signers)
            .cloned()
            .collect();
        let people = self.bundle.people_named(&signers);
        let refuse = |signer: &Signer| match stopped {
            StoppedSigners::Count => None,
            StoppedSigners::DoNotCount => self.stopped(signer),
        };
        let tally = Tally::of(&file.signatures, namespace, &file.bytes, people, refuse)?;
        let mut refusal = Refusal::new(under_signed, "the bundle has no release authority");
        let mut satisfied = Vec::new();
        for authority in authorities {
            match tally.require(authority.threshold, &authority.signers, under_signed) {
                Ok(()) => satisfied.push(authority),
                Err(found) => refusal = found,
            }
        }
        if satisfied.is_empty() {
            return Err(refusal);
        }
        Ok(SignedBy {
            authorities: satisfied,
            signers: tally.signers().to_vec(),
        })
    }
}
