//! What a confined process can do: each attempt is made by a process of its own, inside the sandbox that
//! the gate and the fetcher run in, and must fail for the stated reason.
//!
//! The test program starts itself again as `--probe LAYER ATTEMPT`. With the layer `full` the sandbox is the
//! shipped one, and a forbidden system call ends the process with SIGSYS. With `landlock` the last step is
//! left out, so that the second line of defence is seen to hold without the first.

// A test's helpers may panic: that is how they say what they found.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
#![allow(unsafe_code)] // The attempts are raw system calls; a wrapper might not make them.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::sync::atomic::{AtomicI32, Ordering};

use narthex_agent::sandbox::{
    self, FULL_LANDLOCK_ABI, LandlockDemand, Plan, Profile, UserIds, kernel_landlock_abi,
};
use nix::errno::Errno;
use nix::libc;

/// An attempt succeeded: the sandbox has a hole.
const SUCCEEDED: u8 = 99;
/// The sandbox could not be built.
const NOT_CONFINED: u8 = 98;

/// How an attempt must end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Expected {
    /// seccomp: SIGSYS, at once.
    Killed,
    /// The call returns this error.
    Fails(Errno),
    /// It is part of the work, and succeeds.
    Works,
}
use Expected::{Fails, Killed, Works};

/// A named attempt, and how it must end in the gate, in a fetcher, and with Landlock (and the dropped
/// privileges) alone. `None`: Landlock says nothing about it.
struct Attempt {
    name: &'static str,
    make: fn() -> Result<(), Errno>,
    gate: Expected,
    fetcher: Expected,
    landlock: Option<Expected>,
    /// The oldest Landlock ABI that says it.
    since: u8,
}

impl Attempt {
    /// The same, said by Landlock only since `abi`.
    const fn since(mut self, abi: u8) -> Self {
        self.since = abi;
        self
    }
}

const fn denied(
    name: &'static str,
    make: fn() -> Result<(), Errno>,
    landlock: Option<Expected>,
) -> Attempt {
    Attempt {
        name,
        make,
        gate: Killed,
        fetcher: Killed,
        landlock,
        since: 1,
    }
}

const ATTEMPTS: &[Attempt] = &[
    // Files, the NSM's device and other processes' memory among them.
    denied(
        "open-file",
        || open(c"/etc/passwd", libc::O_RDONLY),
        Some(Fails(Errno::EACCES)),
    ),
    denied(
        "open-directory",
        || open(c"/", libc::O_RDONLY | libc::O_DIRECTORY),
        Some(Fails(Errno::EACCES)),
    ),
    denied("open-nsm", || open(c"/dev/nsm", libc::O_RDWR), None),
    denied(
        "open-null-device",
        || open(c"/dev/null", libc::O_RDWR),
        Some(Fails(Errno::EACCES)),
    ),
    denied(
        "open-own-memory",
        || open(c"/proc/self/mem", libc::O_RDWR),
        Some(Fails(Errno::EACCES)),
    ),
    denied(
        "create-file",
        || open(c"/tmp/narthex-probe", libc::O_CREAT | libc::O_WRONLY),
        Some(Fails(Errno::EACCES)),
    ),
    denied("open-with-openat2", openat2, Some(Fails(Errno::EACCES))),
    denied(
        "make-directory",
        || call(unsafe { libc::mkdir(c"/tmp/narthex-probe".as_ptr(), 0o700) }),
        Some(Fails(Errno::EACCES)),
    ),
    denied(
        "remove-file",
        || call(unsafe { libc::unlink(c"/tmp/narthex-probe".as_ptr()) }),
        None,
    ),
    denied("read-link", read_link, None),
    denied("stat", stat, None),
    // The keys' directory, as a path the supervisor's configuration would give it.
    denied(
        "open-keys",
        || open(c"/run/narthex/keys", libc::O_RDONLY),
        None,
    ),
    // Sockets of every kind.
    denied(
        "socket-unix",
        || socket(libc::AF_UNIX, libc::SOCK_STREAM),
        None,
    ),
    denied(
        "socket-tcp",
        || socket(libc::AF_INET, libc::SOCK_STREAM),
        None,
    ),
    denied(
        "socket-tcp6",
        || socket(libc::AF_INET6, libc::SOCK_STREAM),
        None,
    ),
    denied(
        "socket-udp",
        || socket(libc::AF_INET, libc::SOCK_DGRAM),
        None,
    ),
    denied(
        "socket-vsock",
        || socket(libc::AF_VSOCK, libc::SOCK_STREAM),
        None,
    ),
    denied(
        "socket-netlink",
        || socket(libc::AF_NETLINK, libc::SOCK_RAW),
        None,
    ),
    denied(
        "socket-packet",
        || socket(libc::AF_PACKET, libc::SOCK_RAW),
        None,
    ),
    denied("socket-pair", socket_pair, None),
    denied(
        "connect-tcp",
        || tcp(libc::connect),
        Some(Fails(Errno::EACCES)),
    )
    .since(4),
    denied("bind-tcp", || tcp(libc::bind), Some(Fails(Errno::EACCES))).since(4),
    denied(
        "connect-abstract",
        connect_abstract,
        Some(Fails(Errno::EPERM)),
    )
    .since(6),
    // On a listener that was shut down, this would be a way to connect that neither `connect` nor, on most
    // kernels, Landlock sees.
    denied("connect-by-fast-open", connect_by_fast_open, None),
    denied("send-to-an-address", send_to_an_address, None),
    denied("send-descriptor", send_descriptor, None),
    denied(
        "accept-plain",
        || call(unsafe { libc::accept(0, std::ptr::null_mut(), std::ptr::null_mut()) }),
        None,
    ),
    Attempt {
        name: "accept4",
        make: || call(unsafe { libc::accept4(0, std::ptr::null_mut(), std::ptr::null_mut(), 0) }),
        // Part of the gate's work; here there is no listener at descriptor 0.
        gate: Fails(Errno::ENOTSOCK),
        fetcher: Killed,
        landlock: None,
        since: 1,
    },
    // Processes and programs.
    denied("fork", fork, Some(Fails(Errno::EAGAIN))),
    denied(
        "thread",
        || {
            std::thread::Builder::new()
                .spawn(|| ())
                .map(|_| ())
                .map_err(|_| Errno::EAGAIN)
        },
        None,
    ),
    denied(
        "exec",
        || exec(c"/proc/self/exe"),
        Some(Fails(Errno::EACCES)),
    ),
    denied("exec-descriptor", exec_descriptor, None),
    denied(
        "kill-supervisor",
        || call(unsafe { libc::kill(parent(), libc::SIGTERM) }),
        Some(Fails(Errno::EPERM)),
    )
    .since(6),
    denied(
        "probe-supervisor",
        || call(unsafe { libc::kill(parent(), 0) }),
        Some(Fails(Errno::EPERM)),
    )
    .since(6),
    denied(
        "trace-supervisor",
        || call_long(unsafe { libc::ptrace(libc::PTRACE_ATTACH, parent(), 0, 0) }),
        Some(Fails(Errno::EPERM)),
    ),
    denied(
        "read-supervisor-memory",
        read_parent_memory,
        Some(Fails(Errno::EPERM)),
    ),
    denied(
        "steal-descriptor",
        steal_descriptor,
        Some(Fails(Errno::EPERM)),
    ),
    // Mounts, roots, namespaces, users, the kernel.
    denied("mount", mount, Some(Fails(Errno::EPERM))),
    denied(
        "unmount",
        || call(unsafe { libc::umount2(c"/proc".as_ptr(), libc::MNT_DETACH) }),
        Some(Fails(Errno::EPERM)),
    ),
    denied(
        "chroot",
        || call(unsafe { libc::chroot(c"/".as_ptr()) }),
        Some(Fails(Errno::EPERM)),
    ),
    denied(
        "change-directory",
        || call(unsafe { libc::chdir(c"/tmp".as_ptr()) }),
        None,
    ),
    denied(
        "unshare-user",
        || call(unsafe { libc::unshare(libc::CLONE_NEWUSER) }),
        None,
    ),
    denied("set-user", || call(unsafe { libc::setuid(0) }), None),
    denied("raise-limit", raise_limit, Some(Fails(Errno::EPERM))),
    denied(
        "prctl",
        || call(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }),
        None,
    ),
    denied(
        "bpf",
        || call_long(unsafe { libc::syscall(libc::SYS_bpf, 0, 0, 0) }),
        None,
    ),
    denied(
        "io-uring",
        || call_long(unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, 0) }),
        None,
    ),
    denied(
        "key-ring",
        || call_long(unsafe { libc::syscall(libc::SYS_keyctl, 0, 0, 0, 0, 0) }),
        None,
    ),
    denied(
        "user-fault",
        || call_long(unsafe { libc::syscall(libc::SYS_userfaultfd, 0) }),
        None,
    ),
    denied(
        "memory-file",
        || call(unsafe { libc::memfd_create(c"x".as_ptr(), 0) }),
        None,
    ),
    denied("executable-memory", executable_memory, None),
    denied(
        "reboot",
        || call(unsafe { libc::reboot(libc::RB_DISABLE_CAD) }),
        Some(Fails(Errno::EPERM)),
    ),
    denied(
        "signal-owner",
        || call(unsafe { libc::fcntl(0, libc::F_SETOWN, parent()) }),
        None,
    ),
    denied(
        "duplicate-descriptor",
        || call(unsafe { libc::fcntl(0, libc::F_DUPFD, 50) }),
        None,
    ),
    // What the work consists of still works: a test in which everything fails would show nothing.
    Attempt {
        name: "work",
        make: work,
        gate: Works,
        fetcher: Works,
        landlock: Some(Works),
        since: 1,
    },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        [_, "--probe", layer, attempt] => probe(layer, attempt),
        [_, "--list", ..] => ExitCode::SUCCESS,
        _ => run_all(),
    }
}

fn run_all() -> ExitCode {
    let name = abstract_name(libc::pid_t::try_from(std::process::id()).expect("small"));
    let address = SocketAddr::from_abstract_name(&name[1..]).expect("name");
    let _listener = UnixListener::bind_addr(&address).expect("abstract socket");
    let mut failures = 0_u32;
    let mut made = 0_u32;
    for attempt in ATTEMPTS {
        let expectations = [
            ("gate", Some(attempt.gate)),
            ("fetcher", Some(attempt.fetcher)),
            ("landlock", attempt.landlock),
        ];
        for (layer, expected) in expectations {
            let Some(expected) = expected else { continue };
            if layer == "landlock" && attempt.since > kernel_landlock_abi() {
                eprintln!(
                    "landlock: {}: skipped, it needs a newer kernel",
                    attempt.name
                );
                continue;
            }
            made += 1;
            let status = start(layer, attempt.name);
            if !as_expected(status, expected) {
                failures += 1;
                eprintln!(
                    "{layer}: {}: expected {expected:?}, got {status:?}",
                    attempt.name
                );
            }
        }
    }
    if cfg!(target_arch = "x86_64") {
        made += 1;
        // The same number means another call in the x32 table; the filter must not be fooled.
        let status = start("gate", "x32-getpid");
        if status.signal() != Some(libc::SIGSYS) {
            failures += 1;
            eprintln!("gate: x32-getpid: got {status:?}");
        }
    }
    println!("{made} attempts, {failures} not as expected");
    if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn start(layer: &str, attempt: &str) -> ExitStatus {
    let program = std::env::current_exe().expect("own path");
    Command::new(program)
        .args(["--probe", layer, attempt])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .expect("start")
}

fn as_expected(status: ExitStatus, expected: Expected) -> bool {
    match expected {
        Killed => status.signal() == Some(libc::SIGSYS),
        Fails(errno) => status.code() == Some(errno as i32),
        Works => status.code() == Some(0),
    }
}

fn probe(layer: &str, name: &str) -> ExitCode {
    PARENT.store(nix::unistd::getppid().as_raw(), Ordering::Relaxed);
    let listeners: [_; 2] =
        std::array::from_fn(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a listener"));
    let target = listeners[1].local_addr().expect("an address").port();
    TARGET_PORT.store(i32::from(target), Ordering::Relaxed);
    LISTENERS.set(listeners).expect("once");
    let user = nix::unistd::geteuid().is_root().then_some(UserIds {
        user: 64_123,
        group: 64_123,
    });
    let profile = if layer == "fetcher" {
        Profile::Fetcher
    } else {
        Profile::Gate
    };
    let plan = Plan {
        profile,
        user,
        max_open_files: 64,
        landlock: if kernel_landlock_abi() >= FULL_LANDLOCK_ABI {
            LandlockDemand::Full
        } else {
            LandlockDemand::InsecureNewest
        },
    };
    let Ok(prepared) = sandbox::prepare(plan) else {
        return ExitCode::from(NOT_CONFINED);
    };
    if layer != "landlock" {
        let Ok(_) = prepared.seal() else {
            return ExitCode::from(NOT_CONFINED);
        };
    }
    let make = match name {
        "x32-getpid" => || call_long(unsafe { libc::syscall(0x4000_0000 | libc::SYS_getpid) }),
        _ => {
            ATTEMPTS
                .iter()
                .find(|attempt| attempt.name == name)
                .expect("known attempt")
                .make
        }
    };
    match make() {
        Ok(()) if name == "work" => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(SUCCEEDED),
        Err(errno) => ExitCode::from(u8::try_from(errno as i32).expect("small")),
    }
}

fn call(result: libc::c_int) -> Result<(), Errno> {
    Errno::result(result).map(|_| ())
}

fn call_long(result: libc::c_long) -> Result<(), Errno> {
    Errno::result(result).map(|_| ())
}

/// The process that started this one, read before the sandbox: `getppid` is denied as well.
static PARENT: AtomicI32 = AtomicI32::new(0);
/// The port of the second of [`LISTENERS`]: `getsockname` is denied.
static TARGET_PORT: AtomicI32 = AtomicI32::new(0);

fn parent() -> libc::pid_t {
    PARENT.load(Ordering::Relaxed)
}

fn open(path: &std::ffi::CStr, flags: libc::c_int) -> Result<(), Errno> {
    call(unsafe { libc::open(path.as_ptr(), flags, 0o600) })
}

fn openat2() -> Result<(), Errno> {
    // struct open_how: flags, mode, resolve.
    let how = [0_u64; 3];
    let path = c"/etc/passwd".as_ptr();
    call_long(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            libc::AT_FDCWD,
            path,
            how.as_ptr(),
            size_of_val(&how),
        )
    })
}

fn read_link() -> Result<(), Errno> {
    let mut target = [0_u8; 64];
    let path = c"/proc/self/exe".as_ptr();
    let length = unsafe { libc::readlink(path, target.as_mut_ptr().cast(), target.len()) };
    Errno::result(length).map(|_| ())
}

fn stat() -> Result<(), Errno> {
    let mut status = std::mem::MaybeUninit::<libc::stat>::uninit();
    call(unsafe { libc::stat(c"/etc/passwd".as_ptr(), status.as_mut_ptr()) })
}

fn socket(family: libc::c_int, kind: libc::c_int) -> Result<(), Errno> {
    call(unsafe { libc::socket(family, kind, 0) })
}

fn socket_pair() -> Result<(), Errno> {
    let mut pair = [0; 2];
    call(unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()) })
}

type AddressCall =
    unsafe extern "C" fn(libc::c_int, *const libc::sockaddr, libc::socklen_t) -> libc::c_int;

/// With Landlock alone a socket can be made; it cannot be connected or bound.
fn tcp(call_with_address: AddressCall) -> Result<(), Errno> {
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) };
    Errno::result(socket)?;
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as libc::sa_family_t;
    address.sin_port = 9_u16.to_be();
    address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
    let length = size_of_val(&address) as libc::socklen_t;
    call(unsafe { call_with_address(socket, (&raw const address).cast(), length) })
}

/// An inherited listener and where another one listens, made before the sandbox.
static LISTENERS: std::sync::OnceLock<[std::net::TcpListener; 2]> = std::sync::OnceLock::new();

fn connect_by_fast_open() -> Result<(), Errno> {
    let [inherited, _] = LISTENERS.get().expect("made before the sandbox");
    call(unsafe { libc::shutdown(inherited.as_raw_fd(), libc::SHUT_RDWR) })?;
    let port = TARGET_PORT.load(Ordering::Relaxed) as u16;
    send_to(inherited.as_raw_fd(), libc::MSG_FASTOPEN, port)
}

/// Without the flag the kernel ignores the address on a stream; the filter need not know that.
fn send_to_an_address() -> Result<(), Errno> {
    let [inherited, _] = LISTENERS.get().expect("made before the sandbox");
    send_to(inherited.as_raw_fd(), 0, 9)
}

fn send_to(socket: libc::c_int, flags: libc::c_int, port: u16) -> Result<(), Errno> {
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    address.sin_family = libc::AF_INET as libc::sa_family_t;
    address.sin_port = port.to_be();
    address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
    let flags = flags | libc::MSG_NOSIGNAL;
    let sent = unsafe {
        libc::sendto(
            socket,
            c"x".as_ptr().cast(),
            1,
            flags,
            (&raw const address).cast(),
            size_of_val(&address) as libc::socklen_t,
        )
    };
    Errno::result(sent).map(|_| ())
}

/// The test program listens on an abstract name of its own for the one attempt that looks for it.
fn connect_abstract() -> Result<(), Errno> {
    let socket = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0) };
    Errno::result(socket)?;
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (target, byte) in address
        .sun_path
        .iter_mut()
        .zip(abstract_name(parent()).bytes())
    {
        *target = byte as libc::c_char;
    }
    let length = size_of::<libc::sa_family_t>() + abstract_name(parent()).len();
    call(unsafe {
        libc::connect(
            socket,
            (&raw const address).cast(),
            length as libc::socklen_t,
        )
    })
}

fn abstract_name(process: libc::pid_t) -> String {
    format!("\0narthex-sandbox-test-{process}")
}

fn send_descriptor() -> Result<(), Errno> {
    let message: libc::msghdr = unsafe { std::mem::zeroed() };
    let result = unsafe { libc::sendmsg(0, &raw const message, 0) };
    Errno::result(result).map(|_| ())
}

fn fork() -> Result<(), Errno> {
    let result = unsafe { libc::fork() };
    if result == 0 {
        unsafe { libc::_exit(0) }
    }
    call(result)
}

fn exec(path: &std::ffi::CStr) -> Result<(), Errno> {
    let arguments = [path.as_ptr(), std::ptr::null()];
    call(unsafe { libc::execv(path.as_ptr(), arguments.as_ptr()) })
}

fn exec_descriptor() -> Result<(), Errno> {
    let (empty, null) = (c"".as_ptr(), std::ptr::null::<libc::c_char>());
    call_long(unsafe {
        libc::syscall(
            libc::SYS_execveat,
            0,
            empty,
            &null,
            &null,
            libc::AT_EMPTY_PATH,
        )
    })
}

fn read_parent_memory() -> Result<(), Errno> {
    let mut byte = 0_u8;
    let local = libc::iovec {
        iov_base: (&raw mut byte).cast(),
        iov_len: 1,
    };
    let remote = libc::iovec {
        iov_base: ATTEMPTS.as_ptr() as *mut libc::c_void,
        iov_len: 1,
    };
    let result = unsafe { libc::process_vm_readv(parent(), &local, 1, &remote, 1, 0) };
    Errno::result(result).map(|_| ())
}

fn steal_descriptor() -> Result<(), Errno> {
    let process = unsafe { libc::syscall(libc::SYS_pidfd_open, parent(), 0) };
    Errno::result(process)?;
    call_long(unsafe { libc::syscall(libc::SYS_pidfd_getfd, process, 1, 0) })
}

fn mount() -> Result<(), Errno> {
    let (source, target, kind) = (c"x".as_ptr(), c"/tmp".as_ptr(), c"tmpfs".as_ptr());
    call(unsafe { libc::mount(source, target, kind, 0, std::ptr::null()) })
}

fn raise_limit() -> Result<(), Errno> {
    let limit = libc::rlimit {
        rlim_cur: 10,
        rlim_max: 10,
    };
    call(unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit) })
}

fn executable_memory() -> Result<(), Errno> {
    let protection = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), 4096, protection, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        Err(Errno::last())
    } else {
        Ok(())
    }
}

/// Memory, randomness, time, and writing to a descriptor that was there before.
fn work() -> Result<(), Errno> {
    let memory = vec![1_u8; 4 * 1024 * 1024];
    let mut random = [0_u8; 32];
    let filled = unsafe { libc::getrandom(random.as_mut_ptr().cast(), random.len(), 0) };
    Errno::result(filled)?;
    let _ = std::time::Instant::now();
    std::io::stdout()
        .write_all(&memory[..16])
        .map_err(|_| Errno::EIO)?;
    std::io::stdout().flush().map_err(|_| Errno::EIO)
}
