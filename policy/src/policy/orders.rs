//! Orders and calls under the bundle in force.

use super::Policy;
use crate::action::Action;
use crate::bundle::{Approval, CLOCK_SKEW};
use crate::call::{Call, Parameters, SignedCall};
use crate::digest::{BootId, Digest384, SessionHash};
use crate::file::{check_project, check_size, limits};
use crate::names::PersonName;
use crate::order::{Order, OrderHead, ReadOrder, SignedOrder, Targets, WriteOrder};
use crate::reason::{Reason, Refusal};
use crate::release::Measurements;
use crate::signature::{Namespace, Signer, check_signature};
use crate::tally::Tally;
use crate::time::UnixMillis;

/// Where and when an order is to be used.
#[derive(Clone, Copy, Debug)]
pub struct OrderContext<'a> {
    /// Trusted time.
    pub now: UnixMillis,
    /// The enclave's `module_id`, from a document of its own NSM.
    pub module_id: &'a str,
    /// Its parent instance's id.
    pub instance_id: &'a str,
    /// The agent's boot id.
    pub boot_id: &'a BootId,
    /// The enclave's own measurements, to find its release.
    pub measurements: &'a Measurements,
    /// What is known of the order's place in the log; the delay counts from it.
    pub logged: Logged,
}

/// When an order was logged. Not an `Option`: what was forgotten must not look like what was meant.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Logged {
    /// The time of its cosignature, or of its entry where the policy wants no witnesses.
    At(UnixMillis),
    /// Nobody looked: for development, and for people who look at an order before it is logged. The
    /// delay counts from the order's own `issued`, which its requester chose.
    InsecureNotLooked,
}

/// Proof that an order was signed, allowed and approved, for whatever enclave and moment it names.
/// Only [`Policy::admit_order`] makes it. It is what the log writes down as accepted; to act, an
/// agent needs an [`AuthorisedOrder`].
#[derive(Clone, Debug)]
pub struct AdmittedOrder {
    digest: Digest384,
    order: Order,
    requester: Signer,
    approvers: Vec<Signer>,
}

/// Proof that an order was signed, allowed, approved, is due, and names this enclave. Only
/// [`Policy::authorise_order`] makes it.
#[derive(Clone, Debug)]
pub struct AuthorisedOrder {
    digest: Digest384,
    policy: Digest384,
    requester: Signer,
    approvers: Vec<Signer>,
    actions: Vec<Action>,
    parameters: Parameters,
    calls: u64,
    expires: UnixMillis,
}

/// Proof that a call is signed by the requester of an authorised order, for this session. Only
/// [`Policy::authorise_call`] makes it. It may still be a repetition:
/// [`UsedCalls::claim`](crate::UsedCalls::claim) turns it into a [`FreshCall`](crate::FreshCall).
#[derive(Debug)]
pub struct AuthorisedCall {
    order: AuthorisedOrder,
    call: Call,
    signer: Signer,
}

impl Policy {
    /// Decides whether an order may be used here and now. Made anew for every call: policy, stops
    /// and time change.
    ///
    /// The delay of a write order counts from the moment at which it was logged: nobody who signs
    /// it can move that.
    ///
    /// # Errors
    ///
    /// `order.*`, `signature.*`, `person.*`, `file.*`, [`Reason::BundleExpired`] (write orders).
    pub fn authorise_order(
        &self,
        order: &SignedOrder,
        context: &OrderContext<'_>,
    ) -> Result<AuthorisedOrder, Refusal> {
        let AdmittedOrder {
            digest,
            order,
            requester,
            approvers,
        } = self.judge_order(order, context.now, |order| {
            self.check_enclave(order, context)
        })?;
        let (actions, parameters, calls, expires) = match order {
            Order::Read(read) => {
                let ReadOrder {
                    head,
                    actions,
                    calls,
                    targets: _,
                } = read;
                (actions, Parameters::None, calls, head.expires)
            }
            Order::Write(write) => {
                let WriteOrder {
                    head,
                    action,
                    parameters,
                    module_id: _,
                    boot_id: _,
                } = write;
                let from = match context.logged {
                    Logged::At(logged) => logged,
                    Logged::InsecureNotLooked => head.issued,
                };
                check_delay(self.approval_rule(action)?, from, context.now)?;
                (vec![action], parameters, 1, head.expires)
            }
        };
        Ok(AuthorisedOrder {
            digest,
            policy: self.bundle.digest,
            requester,
            approvers,
            actions,
            parameters,
            calls,
            expires,
        })
    }

    /// Decides whether the log may write an order down as accepted: all that
    /// [`Policy::authorise_order`] asks, but for the enclave, its boot and the delay, which only the
    /// agent can judge.
    ///
    /// # Errors
    ///
    /// `order.*`, `signature.*`, `person.*`, `file.*`, [`Reason::BundleExpired`] (write orders).
    pub fn admit_order(
        &self,
        order: &SignedOrder,
        now: UnixMillis,
    ) -> Result<AdmittedOrder, Refusal> {
        self.judge_order(order, now, |_| Ok(()))
    }

    /// What the log and the agent ask alike; `check_place` is asked before approvals are counted.
    fn judge_order(
        &self,
        order: &SignedOrder,
        now: UnixMillis,
        check_place: impl FnOnce(&Order) -> Result<(), Refusal>,
    ) -> Result<AdmittedOrder, Refusal> {
        let SignedOrder {
            bytes,
            signature,
            approvals,
        } = order;
        let requester = self.check_requester_signature(bytes, signature)?;
        let order = Order::parse_unverified(bytes)?;
        self.check_head(order.head(), &requester, now)?;
        let approvers = match &order {
            Order::Read(read) => {
                for action in &read.actions {
                    self.check_may(&requester, *action)?;
                }
                check_place(&order)?;
                Vec::new()
            }
            Order::Write(write) => {
                self.check_not_expired(now)?;
                self.check_may(&requester, write.action)?;
                check_place(&order)?;
                let approvals = Approvals {
                    bytes,
                    signatures: approvals,
                };
                let rule = self.approval_rule(write.action)?;
                self.check_approvals(rule, &requester.person, &approvals)?
            }
        };
        Ok(AdmittedOrder {
            digest: Digest384::of(bytes),
            order,
            requester,
            approvers,
        })
    }

    /// Refuses an order for another enclave or boot.
    fn check_enclave(&self, order: &Order, context: &OrderContext<'_>) -> Result<(), Refusal> {
        match order {
            Order::Read(read) => self.check_targets(&read.targets, context),
            Order::Write(write) => {
                if write.module_id != context.module_id {
                    return Err(wrong_enclave(context));
                }
                if write.boot_id != *context.boot_id {
                    return Err(Refusal::new(
                        Reason::OrderWrongBoot,
                        format!("for boot {}, this is {}", write.boot_id, context.boot_id),
                    ));
                }
                Ok(())
            }
        }
    }

    fn check_targets(&self, targets: &Targets, context: &OrderContext<'_>) -> Result<(), Refusal> {
        let by_id = targets.module_ids.iter().any(|id| id == context.module_id)
            || targets
                .instance_ids
                .iter()
                .any(|id| id == context.instance_id);
        let by_release = || {
            // An enclave whose release was revoked is no release any more: name it by its id.
            let running = self
                .releases_for(context.measurements, context.now)
                .unwrap_or_default();
            running.iter().any(|release| {
                targets
                    .releases
                    .iter()
                    .any(|names| names.matches(&release.name))
            })
        };
        if by_id || by_release() {
            return Ok(());
        }
        Err(wrong_enclave(context))
    }

    /// Bundles without a row for a write action do not parse; nothing is allowed in its absence.
    fn approval_rule(&self, action: Action) -> Result<&Approval, Refusal> {
        self.bundle.approval_for_action(action).ok_or_else(|| {
            Refusal::new(
                Reason::OrderUnderApproved,
                format!("no approval rule for {action}"),
            )
        })
    }

    /// Decides whether a call belongs to `order` and to the session with the handshake hash
    /// `session`.
    ///
    /// # Errors
    ///
    /// `call.*`, `signature.*`, `person.*`, [`Reason::OrderExpired`].
    pub fn authorise_call(
        &self,
        order: &AuthorisedOrder,
        call: &SignedCall,
        session: &SessionHash,
        now: UnixMillis,
    ) -> Result<AuthorisedCall, Refusal> {
        let SignedCall { bytes, signature } = call;
        check_size(bytes, limits::MAX_CALL_BYTES)?;
        let requester = self.person(&order.requester.person)?;
        let signer = check_signature(signature, Namespace::Call, bytes, [requester])?;
        self.check_not_stopped(&signer)?;
        let call = Call::decode(bytes)?;
        if call.order != order.digest || order.policy != self.bundle.digest {
            return Err(Refusal::new(
                Reason::CallOrder,
                format!("the call is for order {}, not {}", call.order, order.digest),
            ));
        }
        if call.session != *session {
            return Err(Refusal::new(
                Reason::CallSession,
                "the call is for another session",
            ));
        }
        if now >= order.expires {
            return Err(expired(order.expires));
        }
        if !order.actions.contains(&call.action) {
            return Err(Refusal::new(
                Reason::CallAction,
                format!("the order does not cover {}", call.action),
            ));
        }
        // A write order fixes the parameters; a read order leaves them to the call.
        let fixed = call.action.is_write() && call.parameters != order.parameters;
        if fixed || !call.parameters.fit(call.action) {
            return Err(Refusal::new(
                Reason::CallParameters,
                format!("{} with {:?}", call.action, call.parameters),
            ));
        }
        if call.counter >= order.calls {
            return Err(Refusal::new(
                Reason::CallCounter,
                format!("counter {} of {} calls", call.counter, order.calls),
            ));
        }
        Ok(AuthorisedCall {
            order: order.clone(),
            call,
            signer,
        })
    }

    /// The person who signed an order, whoever it is; the order must name them then.
    pub(super) fn check_requester_signature(
        &self,
        bytes: &[u8],
        signature: &str,
    ) -> Result<Signer, Refusal> {
        check_size(bytes, limits::MAX_ORDER_BYTES)?;
        let requester = check_signature(signature, Namespace::Order, bytes, &self.bundle.people)?;
        self.check_not_stopped(&requester)?;
        Ok(requester)
    }

    /// What all orders share: project, requester, times.
    pub(super) fn check_head(
        &self,
        head: &OrderHead,
        requester: &Signer,
        now: UnixMillis,
    ) -> Result<(), Refusal> {
        let OrderHead {
            project,
            nonce: _,
            requester: named,
            issued: _,
            not_before,
            expires,
        } = head;
        check_project(project.as_str(), &self.bundle.project)?;
        if *named != requester.person {
            return Err(Refusal::new(
                Reason::OrderNotRequester,
                format!("{named} asks, {} signed", requester.person),
            ));
        }
        // Parsing saw to it that `issued` is not after `not_before`, so this covers both.
        if *not_before > now.saturating_add(CLOCK_SKEW) {
            return Err(Refusal::new(
                Reason::OrderNotYetValid,
                format!("not before {not_before}, and it is {now}"),
            ));
        }
        if now >= *expires {
            return Err(expired(*expires));
        }
        Ok(())
    }

    fn check_may(&self, requester: &Signer, action: Action) -> Result<(), Refusal> {
        let person = self.person(&requester.person)?;
        if self.bundle.actions_of(person).contains(&action) {
            return Ok(());
        }
        Err(Refusal::new(
            Reason::OrderRole,
            format!("no role of {} allows {action}", requester.person),
        ))
    }

    /// Counts approvals by others than the requester.
    pub(super) fn check_approvals(
        &self,
        rule: &Approval,
        requester: &PersonName,
        approvals: &Approvals<'_>,
    ) -> Result<Vec<Signer>, Refusal> {
        let people = self.bundle.people_named(&rule.approvers);
        // The requester's own approval never counts; it is kept as the reason in case it is what
        // is missing.
        let refuse = |signer: &Signer| {
            let own = signer.person == *requester;
            self.stopped(signer).or_else(|| {
                own.then(|| {
                    Refusal::new(
                        Reason::OrderSelfApproval,
                        format!("{requester} asks, and cannot approve"),
                    )
                })
            })
        };
        let others = Tally::of(
            approvals.signatures,
            Namespace::Approve,
            approvals.bytes,
            people,
            refuse,
        )?;
        others.require(rule.threshold, &rule.approvers, Reason::OrderUnderApproved)?;
        Ok(others.signers().to_vec())
    }
}

/// The approvals that came with an order.
pub(super) struct Approvals<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) signatures: &'a [String],
}

/// Refuses what is not due yet: the delay begins at `from`.
pub(super) fn check_delay(
    rule: &Approval,
    from: UnixMillis,
    now: UnixMillis,
) -> Result<(), Refusal> {
    let due = from.saturating_add(rule.delay);
    if now < due {
        return Err(Refusal::new(
            Reason::OrderDelay,
            format!("not before {due}, and it is {now}"),
        ));
    }
    Ok(())
}

fn expired(expires: UnixMillis) -> Refusal {
    Refusal::new(
        Reason::OrderExpired,
        format!("the order expired at {expires}"),
    )
}

fn wrong_enclave(context: &OrderContext<'_>) -> Refusal {
    Refusal::new(
        Reason::OrderWrongEnclave,
        format!("the order does not name the enclave {}", context.module_id),
    )
}

impl AdmittedOrder {
    /// SHA-384 of the order's bytes.
    pub fn digest(&self) -> &Digest384 {
        &self.digest
    }

    /// What it says.
    pub fn order(&self) -> &Order {
        &self.order
    }

    /// Who asked.
    pub fn requester(&self) -> &Signer {
        &self.requester
    }

    /// Who approved; nobody for read orders.
    pub fn approvers(&self) -> &[Signer] {
        &self.approvers
    }
}

impl AuthorisedOrder {
    /// SHA-384 of the order's bytes.
    pub fn digest(&self) -> &Digest384 {
        &self.digest
    }

    /// Who asked.
    pub fn requester(&self) -> &Signer {
        &self.requester
    }

    /// Who approved; nobody for read orders.
    pub fn approvers(&self) -> &[Signer] {
        &self.approvers
    }

    /// The actions it covers.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// Calls allowed in this boot; counters stay below.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// When it ends.
    pub fn expires(&self) -> UnixMillis {
        self.expires
    }
}

impl AuthorisedCall {
    /// What to do.
    pub fn action(&self) -> Action {
        self.call.action
    }

    /// With which parameters.
    pub fn parameters(&self) -> Parameters {
        self.call.parameters
    }

    /// Who asked, with the key that signed the call.
    pub fn requester(&self) -> &Signer {
        &self.signer
    }

    /// The order's digest.
    pub fn order(&self) -> &Digest384 {
        &self.order.digest
    }

    /// The call's counter.
    pub fn counter(&self) -> u64 {
        self.call.counter
    }

    /// When the order ends, and with it the memory of this call.
    pub fn expires(&self) -> UnixMillis {
        self.order.expires
    }

    /// The actions of the order, all allowed to the requester: what `status` may show.
    pub fn allowed(&self) -> &[Action] {
        &self.order.actions
    }
}
