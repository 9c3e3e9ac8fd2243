//! What a workload must not be able to do. Each attempt says how far it came.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::ptrace;
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use nix::unistd::{Pid, Uid, chroot, getgid, getgroups, getuid, sethostname, setuid};
use vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener, VsockStream};

use crate::line;
use crate::workload::number;

/// More than any file system of a small machine holds.
const FILL_AT_MOST: usize = 1 << 30;

/// `VMADDR_PORT_ANY` (linux/vm_sockets.h): the kernel chooses.
const ANY_PORT: u32 = u32::MAX;
/// Many times what a kernel passes over when it looks for a free port.
const PORTS: u32 = 4000;

/// Tries what the words say.
pub(crate) fn attempt(words: &[&str]) -> io::Result<String> {
    let nothing: Option<&str> = None;
    let done = |outcome: nix::Result<()>| outcome.map(|()| String::new()).map_err(io::Error::from);
    match words {
        ["whoami"] => whoami(),
        ["open", path] => OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .map(|_| String::new()),
        ["read", path] => read(path),
        ["list", path] => list(Path::new(path)),
        ["write", path] => fs::write(path, b"x").map(|()| String::new()),
        ["fill", path] => fill(path),
        ["take-ports"] => take_ports(),
        ["processes"] => processes(),
        ["bind", port] => line::listen(number(port)?).map(|_| String::new()),
        ["ptrace", id] => done(ptrace::attach(Pid::from_raw(number(id)?))),
        ["seize", id] => done(ptrace::seize(
            Pid::from_raw(number(id)?),
            ptrace::Options::empty(),
        )),
        ["kill", id] => done(kill(Pid::from_raw(number(id)?), Signal::SIGKILL)),
        ["mount"] => done(mount(
            Some("tmpfs"),
            "/tmp",
            Some("tmpfs"),
            MsFlags::empty(),
            nothing,
        )),
        ["remount"] => done(mount(
            nothing,
            "/",
            nothing,
            MsFlags::MS_REMOUNT | MsFlags::MS_BIND,
            nothing,
        )),
        ["unshare-user"] => done(unshare(CloneFlags::CLONE_NEWUSER)),
        ["unshare-mounts"] => done(unshare(CloneFlags::CLONE_NEWNS)),
        ["chroot"] => done(chroot("/tmp")),
        ["root"] => done(setuid(Uid::from_raw(0))),
        ["hostname"] => done(sethostname("elsewhere")),
        ["clock"] => done(clock_settime(
            ClockId::CLOCK_REALTIME,
            TimeSpec::from_duration(Duration::from_secs(1)),
        )),
        ["reboot"] => reboot(RebootMode::RB_AUTOBOOT)
            .map(|never| match never {})
            .map_err(io::Error::from),
        // Major 10 is `misc`, where the NSM is; 1:1 is all memory.
        ["node", minor] => done(mknod(
            "/tmp/node",
            SFlag::S_IFCHR,
            Mode::S_IRWXU,
            makedev(10, number(minor)?),
        )),
        ["time"] => {
            let now = UNIX_EPOCH.elapsed().map_err(io::Error::other)?;
            Ok(now.as_secs().to_string())
        }
        _ => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "no such command",
        )),
    }
}

/// Connects, sends bytes, and says what came back: `closed`, or `answered` with a number of bytes.
pub(crate) fn connect(cid: u32, port: u32, bytes: &[u8]) -> io::Result<String> {
    let mut stream = VsockStream::connect(&VsockAddr::new(cid, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let sent = stream.write_all(bytes);
    let mut answer = [0; 4096];
    let outcome = match sent.and_then(|()| stream.read(&mut answer)) {
        Ok(0) => "closed".to_owned(),
        Ok(count) => format!("answered {count}"),
        Err(error) if is_reset(&error) => "closed".to_owned(),
        Err(error) => return Err(error),
    };
    let _ = stream.shutdown(Shutdown::Both);
    Ok(outcome)
}

fn is_reset(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected
    )
}

/// User, group, number of supplementary groups, and what `/proc/self/status` says about capabilities and filters.
fn whoami() -> io::Result<String> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let wanted = ["CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp:"];
    let lines = status
        .lines()
        .filter(|line| wanted.iter().any(|name| line.starts_with(name)));
    let facts: Vec<String> = lines
        .map(|line| line.split_whitespace().collect::<String>())
        .collect();
    let (user, group) = (getuid(), getgid());
    let groups = getgroups().map_err(io::Error::from)?.len();
    Ok(format!(
        "user={user} group={group} groups={groups} {}",
        facts.join(" ")
    ))
}

/// How many bytes could be read: the first 64 KiB suffice.
fn read(path: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    let file = fs::File::open(path)?;
    file.take(64 * 1024).read_to_end(&mut bytes)?;
    Ok(bytes.len().to_string())
}

/// The names in a folder.
pub(crate) fn list(path: &Path) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join(" "))
}

/// The processes that it sees.
fn processes() -> io::Result<String> {
    let names = list(Path::new("/proc"))?;
    let ids = names
        .split(' ')
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let mut seen = Vec::new();
    for id in ids {
        let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
        seen.push(format!("{id}:{}", name.trim()));
    }
    Ok(seen.join(" "))
}

/// Writes until there is no room; says how much there was, and takes it away again.
fn fill(path: &str) -> io::Result<String> {
    let mut file = fs::File::create(path)?;
    let block = vec![0xa5; 64 * 1024];
    let mut written = 0;
    let stopped = loop {
        match file.write(&block) {
            Ok(count) if written < FILL_AT_MOST => written += count,
            Ok(_) => break "no limit".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    drop(file);
    fs::remove_file(path)?;
    Ok(format!("{written} {stopped}"))
}

/// Takes the vsock ports that the kernel would hand out next, and keeps them; says how many.
fn take_ports() -> io::Result<String> {
    let bind = |port| VsockListener::bind(&VsockAddr::new(VMADDR_CID_ANY, port));
    let first = bind(ANY_PORT)?;
    let next = first.local_addr()?.port();
    let others = (1..=PORTS).filter_map(|distance| bind(next.checked_add(distance)?).ok());
    let mut taken: Vec<VsockListener> = others.collect();
    taken.push(first);
    let count = taken.len();
    std::mem::forget(taken);
    Ok(count.to_string())
}
