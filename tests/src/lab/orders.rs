//! Orders and calls, made as the operator's tool makes them, without its checks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use narthex_channel::diagnostics::{CallAnswer, CallRequest, ResultBody, SessionStatement};
use narthex_policy::{
    Action, BootId, NamePattern, Namespace, Order, OrderHead, Parameters, PersonName, ProjectName,
    ReadOrder, Targets, UnixMillis, WriteOrder,
};

use super::Lab;
use super::agent::Reachable;
use super::enclave::Enclave;
use super::people::People;
use crate::operator::{Operator, Paper, What, outcome};

impl Lab {
    /// A read order by `requester`, logged, for every read action and every release of the lab.
    #[must_use]
    pub fn read_order(&self, requester: &str) -> Paper {
        self.read_order_with(requester, |_| ())
    }

    /// The same, with a last word about it.
    #[must_use]
    pub fn read_order_with(&self, requester: &str, change: impl FnOnce(&mut ReadOrder)) -> Paper {
        self.logged(self.unlogged_read_order(requester, change))
    }

    /// The same, without handing it in to the log.
    #[must_use]
    pub fn unlogged_read_order(
        &self,
        requester: &str,
        change: impl FnOnce(&mut ReadOrder),
    ) -> Paper {
        let any = NamePattern::new("*").expect("a pattern");
        let mut order = ReadOrder {
            head: head(requester, Duration::from_secs(3600)),
            actions: read_actions(),
            calls: narthex_policy::MAX_CALLS,
            targets: Targets {
                releases: vec![any],
                ..Targets::default()
            },
        };
        change(&mut order);
        self.signed_order(&Order::Read(order), requester, &[])
    }

    /// A write order, logged, for the enclave that made `statement`.
    #[must_use]
    pub fn write_order(
        &self,
        requester: &str,
        action: Action,
        statement: &SessionStatement,
        approvers: &[&str],
    ) -> Paper {
        self.logged(self.unlogged_write_order(requester, action, statement, approvers))
    }

    /// The same, without handing it in to the log.
    #[must_use]
    pub fn unlogged_write_order(
        &self,
        requester: &str,
        action: Action,
        statement: &SessionStatement,
        approvers: &[&str],
    ) -> Paper {
        let order = WriteOrder {
            head: head(requester, Duration::from_secs(3600)),
            action,
            parameters: Parameters::None,
            module_id: statement.module_id.as_str().to_owned(),
            boot_id: BootId(statement.boot_id.0),
        };
        self.signed_order(&Order::Write(order), requester, approvers)
    }

    /// Signs an order. It is not in the log.
    #[must_use]
    pub fn signed_order(&self, order: &Order, requester: &str, approvers: &[&str]) -> Paper {
        let bytes = order.to_toml().into_bytes();
        let signature = self.people.sign(requester, Namespace::Order, &bytes);
        let approve = |name: &&str| self.people.sign(name, Namespace::Approve, &bytes);
        Paper {
            signature,
            approvals: approvers.iter().map(approve).collect(),
            order: bytes,
            log_proof: None,
        }
    }

    /// Composes a call of `caller` in an open session.
    #[must_use]
    pub fn compose(
        &self,
        operator: &Operator,
        caller: &str,
        paper: &Paper,
        what: What,
    ) -> CallRequest {
        operator.compose(paper, what, signer(&self.people, caller))
    }

    /// Makes a call in a new session.
    #[must_use]
    pub fn call(
        &self,
        agent: &impl Reachable,
        caller: &str,
        paper: &Paper,
        what: What,
    ) -> CallAnswer {
        let mut operator = agent.session();
        let request = self.compose(&operator, caller, paper, what);
        operator.call(&request)
    }

    /// Olga reads, under the order of her shift, in a session of its own.
    #[must_use]
    pub fn read(&self, agent: &impl Reachable, action: Action) -> ResultBody {
        self.try_read(agent, "olga", action)
            .unwrap_or_else(|reason| panic!("{action} was refused: {reason}"))
    }

    /// Somebody reads, or is told why not.
    ///
    /// # Errors
    ///
    /// The reason.
    pub fn try_read(
        &self,
        agent: &impl Reachable,
        caller: &str,
        action: Action,
    ) -> Result<ResultBody, String> {
        let mut operator = agent.session();
        let module_id = operator.statement().module_id.as_str().to_owned();
        let (paper, counter) = self.standing_order(caller, module_id);
        let what = What::plain(action, counter);
        let request = self.compose(&operator, caller, &paper, what);
        match operator.call(&request) {
            CallAnswer::Done(body) => Ok(body),
            CallAnswer::Refused { reason } => Err(reason.to_string()),
        }
    }

    /// Logs the order of somebody's shift for one enclave, for reading when the log can no longer be reached.
    pub fn begin_shift(&self, caller: &str, enclave: &Enclave) {
        let (_, counter) = self.standing_order(caller, enclave.module_id());
        assert!(counter > 0, "{caller} may not read here");
    }

    /// The order of somebody's shift for one enclave, and the next counter under it. It names the enclave by
    /// its id: a revoked release is no release any more, and can be read all the same.
    fn standing_order(&self, caller: &str, module_id: String) -> (Paper, u64) {
        let mut orders = self
            .orders
            .lock()
            .expect("no test panics while it holds this");
        let name = (caller.to_owned(), module_id.clone());
        if !orders.contains_key(&name) {
            let only = |order: &mut ReadOrder| {
                order.targets = Targets {
                    module_ids: vec![module_id],
                    ..Targets::default()
                };
            };
            match self.try_logged(self.unlogged_read_order(caller, only)) {
                Ok(paper) => orders.insert(name.clone(), (paper, 0)),
                // Somebody who may not read now may be allowed to later.
                Err(paper) => return (paper, 0),
            };
        }
        let (paper, counter) = orders.get_mut(&name).expect("it was inserted");
        *counter += 1;
        (paper.clone(), *counter)
    }

    /// Olga changes something with these approvals; returns `done` or the reason.
    #[must_use]
    pub fn write(&self, agent: &impl Reachable, action: Action, approvers: &[&str]) -> String {
        let mut operator = agent.session();
        let paper = self.write_order("olga", action, &operator.statement(), approvers);
        let request = self.compose(&operator, "olga", &paper, What::plain(action, 0));
        outcome(&operator.call(&request)).to_owned()
    }
}

/// Makes a person's signatures over calls.
pub fn signer<'p>(people: &'p People, caller: &'p str) -> impl Fn(&[u8]) -> String + 'p {
    move |call| people.sign(caller, Namespace::Call, call)
}

/// Every action that only looks.
#[must_use]
pub fn read_actions() -> Vec<Action> {
    Action::ALL
        .iter()
        .copied()
        .filter(|action| !action.is_write())
        .collect()
}

/// The head of an order that begins now.
#[must_use]
pub fn head(requester: &str, lifetime: Duration) -> OrderHead {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    // Orders are told apart by their digest; this need not be secret.
    let mut nonce = [0; 16];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    nonce[8..].copy_from_slice(&now().0.to_be_bytes());
    let issued = UnixMillis(now().0 / 1000 * 1000);
    let lifetime = u64::try_from(lifetime.as_millis()).expect("a short life");
    OrderHead {
        project: ProjectName::new("lab").expect("a project"),
        nonce,
        requester: PersonName::new(requester).expect("a person"),
        issued,
        not_before: issued,
        expires: UnixMillis(issued.0 + lifetime),
    }
}

/// The system's time, which the mock NSMs run on.
#[must_use]
pub fn now() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    UnixMillis(u64::try_from(since.as_millis()).expect("milliseconds"))
}
