//! The supervisor's side of the workload's local socket.

use std::rc::Rc;

use narthex_channel::{UnixMillis, WorkloadDataError, workload_user_data};
use narthex_nsm::AttestationRequest;
use zeroize::Zeroizing;

use super::core::Core;
use crate::actions;
use crate::local_socket::{
    LocalBackend, LocalKey, LocalPolicy, LocalRefusal, Readiness, WorkloadAttestation,
    WorkloadReadiness,
};

/// Answers the workload.
#[derive(Clone)]
pub struct Backend(pub Rc<Core>);

impl LocalBackend for Backend {
    async fn attest(&self, request: WorkloadAttestation) -> Result<Vec<u8>, LocalRefusal> {
        let Self(core) = self;
        let WorkloadAttestation {
            user,
            nonce,
            public_key,
        } = request;
        // The prefix keeps a workload from asking for a document that passes as the agent's own.
        let user_data = workload_user_data(&user).map_err(|error| match error {
            WorkloadDataError::ReservedLength => LocalRefusal::ReservedLength,
            _ => LocalRefusal::TooLong,
        })?;
        let request = AttestationRequest {
            user_data: Some(user_data),
            nonce,
            public_key,
        };
        core.module
            .attest(request)
            .await
            .map_err(|_| LocalRefusal::NsmFailed)
    }

    fn keys(&self) -> Vec<LocalKey> {
        let keyring = self.0.keyring.borrow();
        keyring
            .wanted()
            .iter()
            .filter_map(|wanted| {
                let held = keyring.held(&wanted.name)?;
                Some(LocalKey {
                    name: wanted.name.as_str().to_owned(),
                    version: held.version,
                    bytes: Zeroizing::new(held.bytes.as_bytes().to_vec()),
                })
            })
            .collect()
    }

    fn ready(&self) -> Readiness {
        let Self(core) = self;
        if core.revoked.get() {
            Readiness::ReleaseRevoked
        } else if core.keyring.borrow().is_complete() {
            Readiness::Ready
        } else {
            Readiness::WaitingForKeys
        }
    }

    fn set_ready(&self, readiness: WorkloadReadiness) -> Result<(), LocalRefusal> {
        self.0.workload.set_ready(readiness)
    }

    fn set_counter(&self, name: &str, value: u64) -> Result<(), LocalRefusal> {
        let Self(core) = self;
        let now = core.now();
        core.counters
            .borrow_mut()
            .set(name, value, now.boot, now.trusted)
    }

    fn policy(&self) -> Option<LocalPolicy> {
        let Self(core) = self;
        let now = core.now();
        let authority = core.authority.borrow();
        let bundle = authority.policy().bundle();
        Some(LocalPolicy {
            version: bundle.version,
            bundle: authority.bundle_in_force(),
            boot_bundle: authority.boot_bundle(),
            expires: UnixMillis(bundle.expires.0),
            release: actions::release_state(authority.release_state(now)),
        })
    }
}
