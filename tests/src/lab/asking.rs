//! A client of the key service that checks nothing, so that what refuses is the service.

use std::path::Path;

use narthex_channel::keys::{
    KeyAnswer, KeyOutcome, KeyRequest, KeyRequestEnvelope, KeyWanted, SealSuite,
};
use narthex_channel::{KeyName, Message, Opening, RecipientKey, StaticPublic};
use narthex_nsm::{AttestationRequest, Nsm};
use narthex_policy::Digest384;

use super::enclave::Enclave;
use super::process::Said;
use super::{KEY, Lab};
use crate::connection::{Connection, ConnectionError};
use crate::statement::example_statement;

/// Which bundle the client says it booted with.
#[derive(Clone, Copy, Debug)]
pub struct Booted<'a> {
    /// The file, in the lab's folder; PCR16 is extended with its bytes.
    pub bundle: &'a str,
    /// The version it claims.
    pub version: &'a str,
}

impl Lab {
    /// Extends PCR16 of an NSM with a bundle and locks it, as an agent does that boots.
    pub fn boot(&self, nsm: &dyn Nsm, bundle: &str) {
        let bundle = std::fs::read(self.path(bundle)).expect("a bundle");
        nsm.extend_pcr(16, &Digest384::of(&bundle).0)
            .and_then(|_| nsm.lock_pcrs(32))
            .expect("PCR16");
    }

    /// Asks for the lab's key in this process, with the NSM of an enclave that was booted with `bundle`.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`]: there was no answer.
    pub fn ask_keys(
        &self,
        nsm: &dyn Nsm,
        bundle: &str,
        version: u64,
    ) -> Result<KeyAnswer, ConnectionError> {
        let service = hex::decode(&self.service_key).expect("hex");
        let service = StaticPublic::from_bytes(service.try_into().expect("32 bytes"));
        let mut connection =
            Connection::open(&self.address("keys.sock"), &Opening::Keys { service })?;
        let bundle = std::fs::read(self.path(bundle)).expect("a bundle");
        let recipient = RecipientKey::generate().expect("randomness");
        let module_id = nsm.describe().expect("an NSM").module_id;
        let statement = example_statement(&module_id, &bundle, version);
        let request = KeyRequest {
            suite: SealSuite::XWingHkdfSha256Aes256Gcm,
            recipient_key: recipient.public().clone(),
            keys: vec![KeyWanted {
                name: KeyName::new(KEY).expect("a name"),
                version: None,
            }],
            statement: statement.to_bytes().expect("a statement").to_vec(),
        };
        let request = request.to_bytes().expect("a request").to_vec();
        let hash = connection.session.handshake_hash();
        let attestation = AttestationRequest {
            user_data: Some(
                KeyRequestEnvelope::user_data(&hash, &request)
                    .as_bytes()
                    .to_vec(),
            ),
            ..AttestationRequest::default()
        };
        let document = nsm.attest(attestation).expect("a document");
        let envelope = KeyRequestEnvelope { document, request };
        connection.send(&envelope.to_bytes().expect("an envelope"))?;
        let cut_off = ConnectionError::Channel(narthex_channel::ChannelError::Truncated);
        let answer = connection.receive()?.ok_or(cut_off)?;
        Ok(KeyAnswer::from_bytes(answer.as_bytes()).expect("a key answer"))
    }

    /// The same in a word: `released`, or the reason of the refusal.
    #[must_use]
    pub fn asked(&self, nsm: &dyn Nsm, bundle: &str, version: u64) -> String {
        match self.ask_keys(nsm, bundle, version) {
            Ok(answer) => match answer.outcome {
                KeyOutcome::Released(_) => "released".to_owned(),
                KeyOutcome::Refused { reason } => reason.to_string(),
            },
            Err(error) => error.reason(),
        }
    }

    /// Asks for the lab's key with `adversary`, the path of `narthex-adversary`; `more` are further
    /// options. It prints `released` or the reason of the refusal.
    #[must_use]
    pub fn ask_unchecked(
        &self,
        adversary: &Path,
        enclave: &Enclave,
        booted: Booted<'_>,
        more: &[&str],
    ) -> Said {
        let (socket, service) = (
            enclave.socket().display().to_string(),
            self.address("keys.sock").to_string(),
        );
        let arguments = [
            "ask",
            "--service",
            &service,
            "--service-key",
            &self.service_key,
            "--nsm",
            &socket,
            "--bundle",
            booted.bundle,
            "--bundle-version",
            booted.version,
            "--key",
            KEY,
        ];
        Said::by(
            self.folder(),
            adversary,
            &[arguments.as_slice(), more].concat(),
        )
    }
}
