//! Use 1, diagnostics: what an operator's tool and an agent say to each other.
//!
//! After the handshake the agent speaks first: one [`Welcome`]. The operator's tool verifies the
//! document, checks the binding, the expected enclave and PCR16, and only then sends
//! [`CallRequest`]s; each is answered by one [`CallAnswer`], in order.
//!
//! Nothing in an answer can hold text or bytes of the workload: results are made of the closed
//! lists [`Action`], [`FieldName`] and [`State`], of numbers, and of names from measured
//! configuration.

mod action;
mod call;
mod fields;
mod result;
mod statement;
mod welcome;

pub use action::Action;
pub use call::{CallAnswer, CallRequest};
pub(crate) use call::{read_approvals, write_approvals};
pub use fields::{FieldName, State};
pub use result::{Field, LogCheck, ResultBody, Selector, Value};
pub use statement::{
    AgentVersion, BootId, BundleInForce, Decisions, ReleaseState, SessionStatement,
};
pub use welcome::Welcome;
