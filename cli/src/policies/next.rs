//! `policy next`: the newest bundle with its head moved on, comments kept.

use narthex_policy::{UnixMillis, draft_successor};
use serde_json::json;

use crate::commands::policy::NextArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::files::{Existing, write_file};
use crate::moment::now_to_the_second;
use crate::output::Output;
use crate::policy_directory::{Folder, PolicyDirectory};

/// `narthex policy next`.
pub(super) fn next(arguments: &NextArguments, output: &Output) -> Outcome<Exit> {
    let NextArguments {
        directory,
        valid_for,
        previous_accepted_for,
    } = arguments;
    let directory = PolicyDirectory::read(directory)?;
    let newest = directory.newest_bundle()?;
    let issued = UnixMillis(now_to_the_second()?);
    // The bundle before cannot be accepted for longer than this one lives.
    let previous_accepted_for = *previous_accepted_for.min(valid_for);
    let text = draft_successor(
        &newest.signed.bytes,
        issued,
        issued.saturating_add(*valid_for),
        (!previous_accepted_for.is_zero()).then(|| issued.saturating_add(previous_accepted_for)),
    )
    .map_err(|refusal| {
        Failure::refused(
            refusal.id(),
            format!("{}: {}", newest.short_name(), refusal.detail()),
        )
    })?;
    let version = narthex_policy::Bundle::parse_unverified(text.as_bytes())
        .map_err(|refusal| Failure::refused(refusal.id(), refusal.detail()))?
        .version;
    let path = directory.place(Folder::Bundles, version, None);
    write_file(&path, text.as_bytes(), Existing::Keep)?;
    output.result(&json!({ "bundle": path, "version": version }), || {
        format!("{}\n", path.display())
    })?;
    output.say(format_args!(
        "Change it, then:\n  narthex policy diff {} {1}\n  narthex policy sign {1} --as PERSON --key KEY",
        newest.path.display(),
        path.display()
    ));
    Ok(Exit::Done)
}
