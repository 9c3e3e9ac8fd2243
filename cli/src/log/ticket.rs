//! `narthex log ticket`: a reader's signature that opens a log for some hours.

use narthex_policy::{
    MAX_READER_TICKET_LIFETIME, Namespace, ReaderTicket, SignedTicket, UnixMillis,
};
use serde_json::json;

use super::trust::ledger_of;
use crate::commands::log::taking_part::TicketArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::files::{Existing, write_private_file};
use crate::moment::now_to_the_second;
use crate::orders::person_name;
use crate::output::Output;
use crate::policy_directory::HeldPolicy;
use crate::signing::sign;

/// `narthex log ticket`.
pub(super) fn ticket(arguments: &TicketArguments, output: &Output) -> Outcome<Exit> {
    let now = UnixMillis(now_to_the_second()?);
    let held =
        HeldPolicy::load_and_tell(&arguments.policy, arguments.genesis.as_deref(), now, output)?;
    let ledger = ledger_of(&held)?;
    let reader = person_name(&arguments.person)?;
    if ledger.anyone_may_read {
        output.say("narthex: this log is open to everybody; a ticket is not needed");
    } else if !ledger.readers.contains(&reader) {
        let names: Vec<_> = ledger.readers.iter().map(|name| name.as_str()).collect();
        return Err(Failure::refused(
            "ticket.not_reader",
            format!(
                "bundle {} does not let {reader} read the log",
                held.policy.bundle().version
            ),
        )
        .next(match names.is_empty() {
            true => {
                "it names no readers: reviewers add them to [ledger] in the next bundle".to_owned()
            }
            false => format!("it names: {}", names.join(", ")),
        }));
    }
    if arguments.valid_for > MAX_READER_TICKET_LIFETIME {
        return Err(
            Failure::misuse("ticket.lifetime", "a ticket is valid for 12 hours at most")
                .next("leave --valid-for out, or give 12h or less"),
        );
    }
    let expires = now.saturating_add(arguments.valid_for);
    let origin = ledger.log.name().to_owned();
    let ticket = ReaderTicket {
        origin: origin.clone(),
        reader,
        expires,
    };
    let text = ticket
        .to_toml()
        .map_err(|refusal| Failure::misuse(refusal.id(), refusal.detail()))?;
    let signed = SignedTicket {
        signature: sign(&arguments.key, Namespace::ReadLog, text.as_bytes())?,
        bytes: text.into_bytes(),
    };
    // A ticket that no server would take is not written: the wrong key is found here.
    held.policy
        .authorise_reader(&signed, &origin, now)
        .map_err(|refusal| {
            Failure::refused(refusal.id(), refusal.detail())
                .next("does --key belong to the person after --as, in your policy?")
        })?;
    write_private_file(
        &arguments.out,
        format!("{}\n", signed.to_header()).as_bytes(),
        Existing::Replace,
    )?;
    let value = json!({
        "ticket": arguments.out,
        "origin": origin,
        "reader": arguments.person,
        "expires": expires.to_string(),
    });
    output.result(&value, || format!("{}\n", arguments.out.display()))?;
    output.say(format_args!(
        "whoever has this file can read {origin} until {expires}"
    ));
    Ok(Exit::Done)
}
