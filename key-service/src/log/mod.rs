//! The transparency log, as far as it is more than rows of the database.
//!
//! Entries, tiles and the signed checkpoint become durable in one transaction with what they are about
//! ([`crate::storage`]). What happens to them then is here:
//!
//! - [`settings`] where the witnesses are; [`published`] what the writer tells after each commit;
//! - [`rounds`] and [`witness`] whom to show which checkpoint, and when it has its quorum; [`reply`] what a witness's
//!   answer is worth
//!
//! Nothing in here can change what was recorded.

mod answer;
mod published;
#[allow(dead_code, reason = "its task comes with the next commits")]
mod reply;
#[allow(dead_code, reason = "its task comes with the next commits")]
mod rounds;
mod settings;
#[allow(dead_code, reason = "its task comes with the next commits")]
mod witness;

pub use published::{Published, Shown};
pub use rounds::LogStop;
pub use settings::LedgerConfig;
