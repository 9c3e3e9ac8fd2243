//! What the process does for its secrets before it reads the first one.
//!
//! Root key, static key and released keys are in this process's memory. Without this, a crash would write them
//! to a core file, and any other process of the same user could read them with `ptrace` or from `/proc`.

use nix::{
    errno::Errno,
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        stat::{Mode, umask},
    },
};

/// No core file, no debugger of the same user, and no file that others may reach, whatever was set before.
///
/// Swap is the host's business: turn it off, or encrypt it.
///
/// # Errors
///
/// What the system says; then nothing should be read.
pub fn harden() -> Result<(), Errno> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)?;
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
    Ok(())
}

#[cfg(test)]
mod tests {
    use nix::sys::resource::getrlimit;

    use super::*;

    #[test]
    fn the_process_leaves_no_core_and_takes_no_debugger() {
        harden().unwrap();
        assert_eq!(prctl::get_dumpable(), Ok(false));
        assert_eq!(getrlimit(Resource::RLIMIT_CORE), Ok((0, 0)));
        assert_eq!(umask(Mode::S_IRWXG | Mode::S_IRWXO).bits(), 0o077);
    }
}
