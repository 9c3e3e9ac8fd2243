//! A workload that looks around and tries what it must not be able to do. Each line of its report is
//! `name: result`; the report and then `done` appear in its own `/tmp`, where the test finds them through
//! `/proc/PID/root`. Built by the test, static, without a dependency.
//!
//! Arguments: `look`, `try NAME...` (see `attempt`), `fill PLACE`, `hold` (a System V segment), `await-key`, `end`.

use std::ffi::{CStr, CString, c_char, c_int, c_long};
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::Command;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn shmget(key: c_int, size: usize, flags: c_int) -> c_int;
    fn mmap(
        at: *mut u8,
        length: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: i64,
    ) -> *mut u8;
    fn mknod(path: *const c_char, mode: u32, device: u64) -> c_int;
    fn sysconf(name: c_int) -> c_long;
    fn kill(process: c_int, signal: c_int) -> c_int;
    fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int;
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut report = String::new();
    let (what, rest) = arguments.split_first().expect("what to do");
    match what.as_str() {
        "look" => look(&mut report),
        "try" => {
            for attempt_name in rest {
                let result = attempt(attempt_name);
                report.push_str(&format!("{attempt_name}: {}\n", shown(result)));
            }
        }
        "fill" => report.push_str(&format!("{}\n", fill(&rest[0]))),
        "hold" => {
            // SAFETY: takes integers only. IPC_PRIVATE, IPC_CREAT | 0600.
            let segment = unsafe { shmget(0, 1 << 20, 0o1600) };
            report.push_str(if segment < 0 { "refused" } else { "held" });
        }
        "await-key" => {
            let key = std::env::var("NARTHEX_KEYS").expect("keys") + "/a";
            while fs::read(&key).is_ok_and(|bytes| bytes != b"new") {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            report.push_str(&shown(fs::read_to_string(&key).map(drop)));
        }
        "end" => return,
        other => report.push_str(&format!("{other} is not known\n")),
    }
    fs::write("/tmp/report", report).expect("report");
    fs::write("/tmp/done", "").expect("done");
    loop {
        std::thread::park();
    }
}

fn shown(result: io::Result<()>) -> String {
    match result {
        Ok(()) => "done".to_owned(),
        Err(error) => error
            .raw_os_error()
            .map_or_else(|| format!("{error}"), |number| format!("{number}")),
    }
}

fn look(report: &mut String) {
    let mut line = |name: &str, text: String| report.push_str(&format!("{name}: {text}\n"));
    line("root", names("/"));
    line("above root", names("/.."));
    line("through proc", names("/proc/self/root/../.."));
    line("dev", names("/dev"));
    line("shm", names("/dev/shm"));
    line("run", names("/run"));
    let mut numbers = names("/proc");
    numbers = numbers
        .split(' ')
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
        .map(|name| {
            if name == std::process::id().to_string() {
                "own"
            } else {
                name
            }
        })
        .collect::<Vec<_>>()
        .join(" ");
    line("processes", numbers);
    let keys = std::env::var("NARTHEX_KEYS").expect("keys");
    line("keys", names(&keys));
    line(
        "key",
        fs::read_to_string(keys.clone() + "/a").unwrap_or_default(),
    );
    line("keys' folder", names(&(keys + "/..")));
    let opened = ["stdout", "stderr"].map(|name| {
        let stream = OpenOptions::new().write(true).open(format!("/dev/{name}"));
        stream.and_then(|mut stream| stream.write(b"x")).ok()
    });
    line("streams", format!("{opened:?}"));
    for node in ["null", "zero", "full", "random", "urandom"] {
        let mut byte = [1];
        let read = fs::File::open(format!("/dev/{node}")).and_then(|mut file| file.read(&mut byte));
        let written = OpenOptions::new()
            .write(true)
            .open(format!("/dev/{node}"))
            .and_then(|mut file| file.write(b"x"));
        line(
            node,
            format!(
                "{:?} {:?}",
                read.ok(),
                written.map_err(|error| error.kind())
            ),
        );
    }
    let socket = std::env::var("NARTHEX_SOCKET").expect("socket");
    let greeting = UnixStream::connect(socket).and_then(|mut stream| {
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    });
    line("socket", format!("{greeting:?}"));
    let modes: Vec<String> = ["/tmp", "/run", "/dev/shm", "/dev"]
        .iter()
        .map(|place| {
            let found = fs::metadata(place).expect("place");
            format!("{:o} {}", found.permissions().mode() & 0o7777, found.uid())
        })
        .collect();
    line("modes", modes.join(", "));
    // SAFETY: takes an integer. _SC_NPROCESSORS_ONLN, _SC_PHYS_PAGES.
    let (processors, pages) = unsafe { (sysconf(84), sysconf(85)) };
    line("machine", format!("{}", processors > 0 && pages > 0));
    line(
        "stat",
        format!("{}", fs::read_to_string("/proc/stat").is_ok()),
    );
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    for mount in mounts.lines() {
        let (place, kind) = mount.split_once(" - ").expect("mountinfo");
        let fields: Vec<&str> = place.split(' ').collect();
        let kind = kind.split(' ').next().unwrap_or_default();
        report.push_str(&format!("mount {}: {} {kind}\n", fields[4], fields[5]));
    }
}

fn names(folder: &str) -> String {
    let Ok(entries) = fs::read_dir(folder) else {
        return "unreadable".to_owned();
    };
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("entry")
                .file_name()
                .into_string()
                .expect("text")
        })
        .collect();
    names.sort();
    names.join(" ")
}

/// How many bytes fit, and why no more.
fn fill(place: &str) -> String {
    let mut file = fs::File::create(format!("{place}/much")).expect("create");
    let mut bytes = 0_usize;
    let reason = loop {
        match file.write(&[7; 4096]) {
            Ok(count) => bytes += count,
            Err(error) => break error,
        }
        if bytes > 1 << 30 {
            break ErrorKind::Other.into();
        }
    };
    fs::remove_file(format!("{place}/much")).expect("remove");
    format!("{bytes} {}", shown(Err(reason)))
}

/// `open:PATH`, `write:PATH` (an existing file), `create:PATH`, `folder:PATH`, `node:PATH`, `signal:PID`, `abstract:NAME`,
/// `socket:FAMILY`, `run:PATH` (a copy of this program), `map:PATH`, or a system call `NUMBER[:ARGUMENT...]` (decimal,
/// or `"TEXT` for a pointer to a text).
fn attempt(name: &str) -> io::Result<()> {
    let (kind, argument) = name.split_once(':').unwrap_or((name, ""));
    match kind {
        "open" => fs::File::open(argument).map(drop),
        "write" => OpenOptions::new().write(true).open(argument).map(drop),
        "create" => fs::File::create_new(argument).map(drop),
        "folder" => fs::create_dir(argument),
        "node" => {
            let path = CString::new(argument).expect("text");
            // SAFETY: the path is a C string. S_IFCHR | 0666, the device of /dev/mem.
            answer(unsafe { mknod(path.as_ptr(), 0o020_666, 0x101) }.into())
        }
        // SAFETY: takes integers only; signal 0 only asks.
        "signal" => answer(unsafe { kill(argument.parse().expect("pid"), 0) }.into()),
        "abstract" => SocketAddr::from_abstract_name(argument)
            .and_then(|address| UnixStream::connect_addr(&address))
            .map(drop),
        // SAFETY: takes integers only. SOCK_DGRAM, which every family has.
        "socket" => answer(unsafe { socket(argument.parse().expect("family"), 2, 0) }.into()),
        "run" => {
            fs::copy("/app/program", argument)?;
            fs::set_permissions(argument, fs::Permissions::from_mode(0o755))?;
            Command::new(argument).arg("end").status().map(drop)
        }
        "map" => {
            use std::os::fd::AsRawFd;
            let file = fs::File::create_new(argument)?;
            file.set_len(4096)?;
            let file = fs::File::open(argument)?;
            // SAFETY: a new mapping of a page, PROT_READ | PROT_EXEC, MAP_PRIVATE; never used.
            let page = unsafe { mmap(std::ptr::null_mut(), 4096, 5, 2, file.as_raw_fd(), 0) };
            if page.addr() == usize::MAX {
                return Err(io::Error::last_os_error());
            }
            Ok(())
        }
        number => {
            let texts: Vec<CString> = argument
                .split(':')
                .filter_map(|argument| argument.strip_prefix('"'))
                .map(|text| CString::new(text).expect("text"))
                .collect();
            let mut texts = texts.iter();
            let arguments: Vec<Argument<'_>> = argument
                .split(':')
                .filter(|argument| !argument.is_empty())
                .map(|argument| match argument.strip_prefix('"') {
                    Some(_) => Argument::Text(texts.next().expect("text")),
                    None => Argument::Number(argument.parse().expect("number")),
                })
                .collect();
            call(number.parse().expect("a known attempt"), &arguments)
        }
    }
}

enum Argument<'a> {
    Number(c_long),
    Text(&'a CStr),
}

fn call(number: c_long, arguments: &[Argument<'_>]) -> io::Result<()> {
    let value = |position: usize| match arguments.get(position) {
        Some(Argument::Number(number)) => *number,
        Some(Argument::Text(text)) => text.as_ptr().expose_provenance() as c_long,
        None => 0,
    };
    // SAFETY: pointers are to C strings that live on; every call is one that is refused, or changes nothing.
    answer(unsafe {
        syscall(
            number,
            value(0),
            value(1),
            value(2),
            value(3),
            value(4),
            value(5),
        )
    })
}

fn answer(result: c_long) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
