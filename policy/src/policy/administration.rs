//! Administration orders under the bundle in force.

use super::Policy;
use super::orders::{Approvals, check_delay};
use crate::administration::{AdministrationOrder, KeyOperation};
use crate::digest::Digest384;
use crate::order::SignedOrder;
use crate::reason::{Reason, Refusal};
use crate::signature::Signer;
use crate::time::UnixMillis;

/// Where and when an administration order is to be carried out.
#[derive(Clone, Copy, Debug)]
pub struct AdministrationContext<'a> {
    /// The service's time.
    pub now: UnixMillis,
    /// The digest of the service's genesis bundle.
    pub genesis: &'a Digest384,
}

/// Proof that an administration order may be carried out, once. Only
/// [`Policy::authorise_administration`] makes it. The key service marks
/// [`digest`](AuthorisedAdministration::digest) as used, durably, before it acts.
#[derive(Debug)]
pub struct AuthorisedAdministration {
    digest: Digest384,
    requester: Signer,
    approvers: Vec<Signer>,
    operation: KeyOperation,
    expires: UnixMillis,
}

impl Policy {
    /// Decides whether an administration order may be carried out now. Under an expired bundle
    /// only what looks or narrows goes on
    /// ([`KeyOperationKind::survives_expiry`](crate::KeyOperationKind::survives_expiry)).
    ///
    /// # Errors
    ///
    /// `order.*`, `signature.*`, `person.*`, `file.*`, [`Reason::BundleExpired`];
    /// [`Reason::BundleGenesis`] for an order to another service.
    pub fn authorise_administration(
        &self,
        order: &SignedOrder,
        context: &AdministrationContext<'_>,
    ) -> Result<AuthorisedAdministration, Refusal> {
        let SignedOrder {
            bytes,
            signature,
            approvals,
        } = order;
        let AdministrationContext { now, genesis } = context;
        let requester = self.check_requester_signature(bytes, signature)?;
        let AdministrationOrder {
            head,
            genesis: named,
            operation,
        } = AdministrationOrder::parse_unverified(bytes)?;
        self.check_head(&head, &requester, *now)?;
        if named != **genesis {
            return Err(Refusal::new(
                Reason::BundleGenesis,
                "the order is for a service with another first bundle",
            ));
        }
        let kind = operation.kind();
        if !kind.survives_expiry() {
            self.check_not_expired(*now)?;
        }
        let person = self.person(&requester.person)?;
        if !self.bundle.operations_of(person).contains(&kind) {
            return Err(Refusal::new(
                Reason::OrderRole,
                format!("no role of {} allows {kind}", requester.person),
            ));
        }
        let approvers = match self.bundle.approval_for_operation(kind) {
            Some(rule) => {
                let approvals = Approvals {
                    bytes,
                    signatures: approvals,
                };
                let approvers = self.check_approvals(rule, &requester.person, &approvals)?;
                check_delay(rule, head.issued, *now)?;
                approvers
            }
            // Bundles without a row for such an operation do not parse.
            None if kind.needs_approval() => {
                return Err(Refusal::new(
                    Reason::OrderUnderApproved,
                    format!("no approval rule for {kind}"),
                ));
            }
            None => Vec::new(),
        };
        Ok(AuthorisedAdministration {
            digest: Digest384::of(bytes),
            requester,
            approvers,
            operation,
            expires: head.expires,
        })
    }
}

impl AuthorisedAdministration {
    /// SHA-384 of the order's bytes; single use is by this.
    pub fn digest(&self) -> &Digest384 {
        &self.digest
    }

    /// What to do.
    pub fn operation(&self) -> &KeyOperation {
        &self.operation
    }

    /// Who asked.
    pub fn requester(&self) -> &Signer {
        &self.requester
    }

    /// Who approved.
    pub fn approvers(&self) -> &[Signer] {
        &self.approvers
    }

    /// From when on the mark of use may be forgotten.
    pub fn expires(&self) -> UnixMillis {
        self.expires
    }
}
