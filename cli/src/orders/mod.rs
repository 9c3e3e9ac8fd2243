//! `narthex order`: orders for enclaves, and (to look at) orders for the key service.

mod logged;
mod new;
mod on_disk;
mod proved;
mod show;
mod submit;
mod verify;

pub(crate) use logged::{proof_path, read_proof};
pub(crate) use new::{action, head, new, write_signed};
pub(crate) use on_disk::OrderOnDisk;
pub(crate) use proved::{LoggedOrder, parse as parse_proof};
pub(crate) use show::show;
pub(crate) use submit::submit;
pub(crate) use verify::verify;

use narthex_policy::{
    ADMINISTRATION_ORDER_SCHEMA, AdministrationOrder, Namespace, Order, OrderHead, PersonName,
    Refusal,
};

use crate::commands::signing_arguments::SignArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// Either kind of order, read and not judged.
pub(crate) enum AnyOrder {
    /// To an agent.
    Diagnostics(Order),
    /// To the key service.
    Administration(AdministrationOrder),
}

impl AnyOrder {
    /// Reads an order of either kind.
    ///
    /// # Errors
    /// The reason of the policy crate.
    pub(crate) fn parse(bytes: &[u8]) -> Outcome<Self> {
        // Which kind it is stands in `schema`; what follows checks it again, exactly.
        let is_administration =
            String::from_utf8_lossy(bytes).contains(&format!("\"{ADMINISTRATION_ORDER_SCHEMA}\""));
        match is_administration {
            true => AdministrationOrder::parse_unverified(bytes).map(AnyOrder::Administration),
            false => Order::parse_unverified(bytes).map(AnyOrder::Diagnostics),
        }
        .map_err(|refusal| unreadable(&refusal))
    }

    /// The fields that all orders share.
    pub(crate) fn head(&self) -> &OrderHead {
        match self {
            AnyOrder::Diagnostics(order) => order.head(),
            AnyOrder::Administration(order) => &order.head,
        }
    }
}

/// `narthex order approve`.
pub(crate) fn approve(arguments: &SignArguments, output: &Output) -> Outcome<Exit> {
    let order = OrderOnDisk::read(&arguments.file, &[])?;
    if order.parsed.head().requester.as_str() == arguments.person {
        return Err(Failure::refused(
            "order.self_approval",
            format!(
                "{} asks for this; approving it is for others",
                arguments.person
            ),
        ));
    }
    crate::sign_file::sign_file(arguments, Namespace::Approve, &order.bytes, output)
}

/// A person's name as typed.
///
/// # Errors
/// `name.malformed`.
pub(crate) fn person_name(text: &str) -> Outcome<PersonName> {
    PersonName::new(text).map_err(|refusal| Failure::misuse(refusal.id(), refusal.detail()))
}

fn unreadable(refusal: &Refusal) -> Failure {
    Failure::refused(
        refusal.id(),
        format!("this is no order: {}", refusal.detail()),
    )
    .next("`narthex order new` and `narthex keys … --write-order` write orders; use the file as it was written")
}
