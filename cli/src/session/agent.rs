//! Who is at the other end. Until [`Agent::verify`] has returned, nothing was sent but the
//! handshake, and nothing that was received is believed.

use narthex_channel::HandshakeHash;
use narthex_channel::diagnostics::{SessionStatement, Welcome};
use narthex_policy::{Digest384, Pcr, UnixMillis};
use narthex_verifier::{
    AttestationDocument, Backend, Expectations, Fields, PcrIndex, Refusal, TrustAnchors,
    VerificationContext,
};

use crate::failure::{Failure, Outcome};
use crate::judge::{choose_release, measured, shows as measurements_shown};
use crate::moment::now_unix_millis;
use crate::policy_directory::{Bundle, HeldPolicy};

/// Which agent is meant.
pub(super) struct Expectation<'a> {
    pub(super) held: &'a HeldPolicy,
    /// `NAME` or `NAME=VERSION`.
    pub(super) release: &'a str,
    /// Also one that is revoked, stopped or expired.
    pub(super) withdrawn_too: bool,
    /// A module id, or the id of a parent instance.
    pub(super) enclave: &'a str,
}

/// An agent whose document was verified, live, for this session.
pub(super) struct Agent {
    /// What it states about itself; bound by the document.
    pub(super) statement: SessionStatement,
    /// The document's own time.
    pub(super) attested_at: UnixMillis,
    /// The release that it runs.
    pub(super) release: (String, String),
    /// Why the policy does not let this release count, where that was accepted.
    pub(super) withdrawn: Option<narthex_policy::Refusal>,
    /// The bundle it booted with, as PCR16 proves.
    pub(super) boot_bundle: Bundle,
}

impl Agent {
    /// Verifies a welcome: signature and chain, fresh, made for the session `handshake_hash`, from
    /// the enclave meant, with the measurements of the release meant, booted with a bundle of the
    /// policy held.
    ///
    /// # Errors
    /// The verifier's reasons, `release.*`, `enclave.other`, `bundle.not_in_force`, `statement.*`.
    pub(super) fn verify(
        welcome: &Welcome,
        handshake_hash: &HandshakeHash,
        anchors: &TrustAnchors,
        expectation: &Expectation<'_>,
    ) -> Outcome<Self> {
        let Expectation {
            held,
            release,
            withdrawn_too,
            enclave,
        } = *expectation;
        // Read again: between the start of the command and here a person may have touched a key.
        let now_millis = now_unix_millis()?;
        let parsed = AttestationDocument::parse(&welcome.document).map_err(|r| untrusted(&r))?;
        let fields = parsed.fields();
        let chosen = choose_release(held, release, |wanted| measurements_shown(wanted, &fields))?;
        let withdrawn = held
            .policy
            .release_for(&chosen.measurements, UnixMillis(now_millis))
            .err();
        if let Some(refusal) = withdrawn.as_ref().filter(|_| !withdrawn_too) {
            return Err(Failure::refused(refusal.id(), refusal.detail()).next(
                "--insecure-withdrawn-release looks at it all the same, under an order that names the enclave",
            ));
        }
        // The document's own claim chooses which of our bundles it is compared with.
        let boot_bundle = held
            .lineage
            .iter()
            .rev()
            .find(|bundle| shows(&fields, &bundle.pcr16()))
            .or(held.lineage.last())
            .copied()
            .ok_or_else(|| Failure::misuse("bundle.missing", "the policy holds no bundle"))?;
        let user_data = Welcome::user_data(handshake_hash, &welcome.statement);
        let mut builder = Expectations::builder()
            .user_data(user_data.as_bytes())
            .instance_id(instance_of(enclave))
            .pcr(
                PcrIndex::BUNDLE,
                narthex_verifier::Digest384::new(boot_bundle.pcr16().0),
            );
        for (index, pcr) in measured(&chosen.measurements) {
            builder = builder.pcr(index, narthex_verifier::Digest384::new(pcr.0));
        }
        let expectations = builder.build().map_err(|error| {
            Failure::misuse(error.id(), format!("this cannot be expected: {error}"))
        })?;
        let mut context = VerificationContext::new(Backend::default());
        let now = narthex_verifier::UnixMillis::from_millis(now_millis);
        let appraised = anchors
            .verify_and_appraise(&parsed, &expectations, now, &mut context)
            .map_err(|refusal| untrusted(&refusal))?;
        require_enclave(enclave, appraised.module_id())?;
        let statement = welcome.session_statement().map_err(|error| {
            Failure::refused(
                "statement.malformed",
                format!("the agent's statement: {error}"),
            )
        })?;
        let agent = Self {
            statement,
            attested_at: UnixMillis(appraised.timestamp().as_millis()),
            release: (chosen.name.to_string(), chosen.version.to_string()),
            withdrawn,
            boot_bundle,
        };
        agent.require_consistent(appraised.module_id())?;
        // As the key service does: the boot bundle is the newest, or the one before it while it is
        // still accepted, or an older one whose agent has taken the newest since.
        let in_force = Digest384(*agent.statement.bundle_in_force.digest.as_bytes());
        held.policy
            .check_boot_bundle(&boot_bundle.pcr16(), &in_force, UnixMillis(now_millis))
            .map_err(|refusal| {
                Failure::refused(refusal.id(), refusal.detail()).next(
                    "the agent has not taken the newest bundle: look at its way to the key service",
                )
            })?;
        Ok(agent)
    }

    /// The statement repeats what the document proves; a difference is a fault of the agent.
    fn require_consistent(&self, module_id: &str) -> Outcome<()> {
        let same_module = self.statement.module_id.as_str() == module_id;
        let same_bundle = self.statement.boot_bundle.as_bytes() == &self.boot_bundle.digest.0;
        match same_module && same_bundle {
            true => Ok(()),
            false => Err(Failure::refused(
                "statement.contradiction",
                "the agent's statement names another enclave or boot bundle than its document",
            )),
        }
    }

    /// What a person should know before reading on.
    pub(super) fn warnings(&self, held: &HeldPolicy) -> Vec<String> {
        let mut warnings = Vec::new();
        let in_force = &self.statement.bundle_in_force;
        if in_force.digest.as_bytes() != &held.policy.digest().0 {
            warnings.push(format!(
                "the agent has bundle {} in force, you hold bundle {}",
                in_force.version,
                held.policy.bundle().version
            ));
        }
        if self.insecure_without_ledger() {
            warnings.push("this agent runs without the log (insecure_without_ledger)".to_owned());
        }
        warnings
    }

    /// Whether the agent skips the three checks that need the log.
    pub(super) fn insecure_without_ledger(&self) -> bool {
        self.statement.log_check == narthex_channel::diagnostics::LogCheck::InsecureWithoutLedger
    }
}

impl Bundle {
    /// What PCR16 holds after a boot with this bundle.
    fn pcr16(&self) -> Pcr {
        Pcr::of_boot_bundle(&self.digest)
    }
}

/// `i-0ab…-enc0cd…` → `i-0ab…`; an instance id stays what it is.
fn instance_of(enclave: &str) -> &str {
    enclave
        .split_once("-enc")
        .map_or(enclave, |(instance, _)| instance)
}

fn require_enclave(expected: &str, module_id: &str) -> Outcome<()> {
    let is_instance = !expected.contains("-enc");
    let same = match is_instance {
        true => instance_of(module_id) == expected,
        false => module_id == expected,
    };
    match same {
        true => Ok(()),
        false => Err(Failure::refused(
            "enclave.other",
            format!("this is the enclave {module_id}, you mean {expected}"),
        )
        .next("somebody in between relayed you to another one, or the address is another's")),
    }
}

fn shows(fields: &Fields<'_>, pcr16: &Pcr) -> bool {
    fields.pcr(PcrIndex::BUNDLE) == Some(&pcr16.0)
}

fn untrusted(refusal: &Refusal) -> Failure {
    let failure = Failure::refused(
        refusal.reason().id(),
        format!("the agent's document is refused: {refusal}"),
    );
    match refusal.reason().id() {
        "chain.development_root" => failure.next(
            "it comes from `narthex mock-nsm`; only a build with the feature `dev-root` can take it",
        ),
        _ => failure.next("nothing was sent to it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODULE: &str = "i-0123456789abcdef0-enc0123456789abcdef";

    #[test]
    fn an_enclave_is_meant_by_module_or_by_instance() {
        assert!(require_enclave(MODULE, MODULE).is_ok());
        assert!(require_enclave("i-0123456789abcdef0", MODULE).is_ok());
        for other in [
            "i-0123456789abcdef0-enc0123456789abcde0",
            "i-0123456789abcdef",
            "",
            "enc",
        ] {
            assert_eq!(
                require_enclave(other, MODULE).unwrap_err().id(),
                "enclave.other",
                "{other}"
            );
        }
    }
}
