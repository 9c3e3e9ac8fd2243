//! The agent's processes, seen from beside the agent: what they occupy, and what becomes of it when one is killed.
//!
//! Process 1 starts a child that stays, and then becomes the agent. The child sees what nobody sees in an image
//! that ships: all of `/proc`.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use vsock::VsockStream;

use crate::workload::number;
use crate::{CONTROL_PORT, line};

/// The agent to become.
const AGENT: &str = "/rootfs/agent";

/// Whether there is one.
pub(crate) fn has_agent() -> bool {
    Path::new(AGENT).is_file()
}

/// Leaves a child behind and becomes the agent, which is told by its name that it is process 1.
pub(crate) fn become_agent() -> io::Result<Infallible> {
    // `/proc` is not there yet, so `/proc/self/exe` is no way to name this program.
    Command::new("/init").arg("monitor").spawn()?;
    Err(Command::new(AGENT).arg0("/init").exec())
}

/// Answers `list` with a line for each process, and `kill ID NUMBER` with nothing.
pub(crate) fn serve() -> io::Result<()> {
    Err(line::serve(&line::listen(CONTROL_PORT)?, obey))
}

fn obey(mut stream: VsockStream) -> io::Result<()> {
    let line = line::read(&mut stream)?.unwrap_or_default();
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["kill", id, signal] => {
            let signal = Signal::try_from(number::<i32>(signal)?)?;
            Ok(kill(Pid::from_raw(number(id)?), signal)?)
        }
        _ => tell(stream),
    }
}

fn tell(mut stream: VsockStream) -> io::Result<()> {
    let mut lines = String::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let id = entry.file_name().to_string_lossy().into_owned();
        if id.bytes().all(|byte| byte.is_ascii_digit()) {
            // A process may be gone by now.
            let _ = one(&id, &mut lines);
        }
    }
    stream.write_all(lines.as_bytes())
}

/// `ID rss=KIB NAME ARGUMENTS`. Kernel threads have no memory of their own, and no line.
fn one(id: &str, lines: &mut String) -> io::Result<()> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let field = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next().map(str::to_owned)
    };
    let Some(resident) = field(&status, "VmRSS:") else {
        return Ok(());
    };
    let name = field(&status, "Name:").unwrap_or_default();
    let arguments = fs::read(format!("/proc/{id}/cmdline"))?;
    let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
    // Writing to a `String` does not fail.
    let _ = writeln!(lines, "{id} rss={resident} {name} {arguments}");
    Ok(())
}
