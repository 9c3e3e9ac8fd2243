//! The user's state directory.

use std::env;
use std::path::PathBuf;

use crate::failure::{Failure, Outcome};

/// `$XDG_STATE_HOME/narthex`, or `~/.local/state/narthex`. Nothing in it is taken at its word: counters
/// of calls, newest checkpoints of logs (signed), session statements (attested), and the mock's
/// development authority.
///
/// # Errors
/// `state.no_home` if neither variable is set to an absolute path.
pub(crate) fn state_directory() -> Outcome<PathBuf> {
    let absolute = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|directory| directory.join("narthex"))
        .ok_or_else(|| {
            Failure::environment("state.no_home", "neither XDG_STATE_HOME nor HOME is set")
                .next("set one, or name a directory with the command's own option")
        })
}
