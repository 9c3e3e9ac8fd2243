//! The console of a virtual machine whose process 1 this is.

use std::convert::Infallible;
use std::fs::OpenOptions;
use std::io;

use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::unistd::{dup2_stderr, dup2_stdout};

/// Mounts `/dev` and puts standard output and error on the console.
pub(crate) fn open() -> io::Result<()> {
    // A kernel may have mounted it by itself.
    let _ = mount_plain("devtmpfs", "/dev");
    let console = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/console")?;
    dup2_stdout(&console)?;
    dup2_stderr(&console)?;
    Ok(())
}

/// Mounts a file system without a device.
pub(crate) fn mount_plain(kind: &str, target: &str) -> io::Result<()> {
    let nothing: Option<&str> = None;
    mount(Some(kind), target, Some(kind), MsFlags::empty(), nothing).map_err(io::Error::from)
}

/// Says why, and restarts the machine, which ends a virtual one.
pub(crate) fn end(why: &io::Result<Infallible>) -> ! {
    match why {
        Ok(never) => match *never {},
        Err(error) => eprintln!("narthex-specimen: ends: {error}"),
    }
    loop {
        // It does not come back, unless somebody else is process 1.
        if reboot(RebootMode::RB_AUTOBOOT).is_err() {
            std::process::exit(3);
        }
    }
}
