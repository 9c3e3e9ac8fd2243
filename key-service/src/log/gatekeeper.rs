//! Who may read the log over HTTP: whom the bundle in force names, by a ticket that they signed.

use std::sync::Arc;

use narthex_ledger::{Resource, StoreError, tokio::Gatekeeper};
use narthex_policy::SignedTicket;

use crate::{lineage::to_policy_time, service::Service};

/// Asks the bundle in force, anew for every request: a reader who is removed or stopped reads nothing more.
pub(crate) struct PolicyGate(pub(crate) Arc<Service>);

impl Gatekeeper for PolicyGate {
    fn may_read(&self, authorization: Option<&str>) -> bool {
        let service = &self.0;
        let lineage = service.lineage.get();
        let policy = lineage.policy();
        let Some(ledger) = policy.bundle().ledger.as_ref() else {
            return false;
        };
        if ledger.anyone_may_read {
            return true;
        }
        let Some(header) = authorization else {
            return false;
        };
        let judged = SignedTicket::from_header(header).and_then(|ticket| {
            policy.authorise_reader(&ticket, ledger.origin(), to_policy_time(service.now()))
        });
        match judged {
            Ok(_reader) => true,
            Err(refusal) => {
                tracing::debug!(reason = refusal.id(), "a reader of the log was sent away");
                false
            }
        }
    }

    fn store_failed(&self, resource: &Resource, error: &StoreError) {
        tracing::error!(%resource, %error, "the log could not be read for a reader");
    }
}
