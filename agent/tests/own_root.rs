//! A workload in a root of its own: what it sees, what it is refused, and that half a root is no root. Needs root's
//! rights, and says so without.
// Helpers of tests are tests to the lints only when they carry the attribute.
#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing
)]
#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::OnceLock;

use common::users::{WORKLOAD, skip_without_root};
use common::workloads::{agent, key, run, until};
use narthex_agent::config::WorkloadConfig;
use narthex_agent::mode::{Mode, Privileges};
use narthex_agent::platform::process::descendants;
use narthex_agent::workload::{
    ConfinementMeasure, LaunchStep, MeasureState, WorkloadError, WorkloadHandle, WorkloadSettings,
    WorkloadState, spawn,
};
use nix::errno::Errno;
use nix::libc;
use nix::sys::stat::{Mode as FileMode, SFlag, makedev, mknod};
use nix::unistd::Pid;

/// Where the images' folders are: cargo's place for files of tests.
const IMAGES: &str = env!("CARGO_TARGET_TMPDIR");

/// Puts the program of `tests/programs/confined.rs` at `place`: static, so that it needs nothing of the machine's
/// files.
///
/// A link, not a copy: the descriptor that writes a copy may live on for a moment in a process that another test has
/// just forked, and a file that is written cannot be started.
fn link_program(place: &Path) {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let program = Path::new(IMAGES).join("confined");
        // Another run of these tests may be using it.
        let built = Path::new(IMAGES).join(format!("confined-{}", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs/confined.rs");
        let status = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
            .args(["--edition", "2024", "-C", "target-feature=+crt-static"])
            .args(["-C", "strip=symbols", "-o"])
            .args([built.as_path(), Path::new(source)])
            .status()
            .unwrap();
        assert!(status.success());
        fs::set_permissions(&built, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(built, &program).unwrap();
        program
    });
    fs::hard_link(program, place).unwrap();
}

/// An image's root folder, and a runtime directory of the agent's.
struct Scene {
    image: tempfile::TempDir,
    runtime: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = |parent| {
            let folder = tempfile::Builder::new()
                .prefix("narthex-test-")
                .tempdir_in(parent)
                .unwrap();
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
            folder
        };
        let scene = Self {
            image: folder(IMAGES),
            runtime: folder("/run"),
        };
        for name in ["app", "dev", "etc", "proc", "run", "tmp"] {
            fs::create_dir_all(scene.root().join(name)).unwrap();
        }
        link_program(&scene.root().join("app/program"));
        // The workload's own: what refuses it is that nothing there is writable.
        fs::write(scene.root().join("app/data"), "").unwrap();
        for place in ["etc", "app/data"] {
            chown(scene.root().join(place), Some(WORKLOAD), Some(WORKLOAD)).unwrap();
        }
        scene
    }

    fn root(&self) -> PathBuf {
        self.image.path().join("rootfs")
    }

    fn socket(&self) -> PathBuf {
        self.runtime.path().join("workload.sock")
    }

    fn config(&self, arguments: &[&str], extra: &str) -> WorkloadConfig {
        let root = self.root();
        let text = format!(
            "command = \"/app/program\"\nuser = {WORKLOAD}\ngroup = {WORKLOAD}\nrestart = \"never\"\n\
             root = {root:?}\n{extra}"
        );
        let mut config: WorkloadConfig = toml::from_str(&text).unwrap();
        config.arguments = arguments.iter().map(|&text| text.to_owned()).collect();
        config
    }

    fn workload(&self, config: &WorkloadConfig) -> WorkloadHandle {
        let socket = self.socket();
        let settings = WorkloadSettings::resolve(
            config,
            self.runtime.path(),
            socket.exists().then_some(socket.as_path()),
            Mode::Local,
            Privileges::current(),
        );
        spawn(Some(settings.unwrap().with_shepherd_program(agent())))
    }

    /// Starts the program, waits for its report, and returns it.
    async fn report(&self, workload: &WorkloadHandle) -> String {
        workload.start().await.unwrap();
        let tmp = PathBuf::from(format!("/proc/{}/root/tmp", main_process(workload)));
        until("the report", || {
            let snapshot = workload.snapshot();
            assert_eq!(snapshot.state, WorkloadState::Running, "{snapshot:?}");
            tmp.join("done").exists()
        })
        .await;
        fs::read_to_string(tmp.join("report")).unwrap()
    }

    /// The launch step at which the workload of `config` fails.
    fn refusal(&self, config: &WorkloadConfig) -> (LaunchStep, Errno) {
        let started = run(async { self.workload(config).start().await });
        match started {
            Err(WorkloadError::NotStarted(step, error)) => (step, Errno::from_raw(error)),
            other => panic!("{other:?}"),
        }
    }

    /// What became of each of these attempts.
    fn attempts(&self, attempts: &[String], extra: &str) -> BTreeMap<String, Errno> {
        let mut arguments = vec!["try"];
        arguments.extend(attempts.iter().map(String::as_str));
        let config = self.config(&arguments, extra);
        let report = run(async {
            let workload = self.workload(&config);
            let report = self.report(&workload).await;
            workload.stop(None).await.unwrap();
            report
        });
        let mut results = BTreeMap::new();
        for line in report.lines() {
            let (attempt, result) = line.rsplit_once(": ").unwrap();
            // 0 is no error.
            let number = result.parse().unwrap_or(0);
            results.insert(attempt.to_owned(), Errno::from_raw(number));
        }
        assert_eq!(results.len(), attempts.len(), "{report}");
        results
    }
}

const DONE: Errno = Errno::UnknownErrno;

/// The workload's first process, below its shepherd.
fn main_process(workload: &WorkloadHandle) -> Pid {
    let shepherd = workload.shepherd().unwrap() as i32;
    *descendants(Pid::from_raw(shepherd)).first().unwrap()
}

/// A process of the workload's user that the workload has not started.
struct Stranger(Child);

impl Stranger {
    fn start() -> Self {
        let mut command = Command::new("sleep");
        command.arg("1000").uid(WORKLOAD).gid(WORKLOAD);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn it_sees_its_image_its_keys_its_socket_and_nothing_else() {
    if skip_without_root("it_sees_its_image_its_keys_its_socket_and_nothing_else") {
        return;
    }
    let scene = Scene::new();
    let _stranger = Stranger::start();
    let listener = UnixListener::bind(scene.socket()).unwrap();
    fs::set_permissions(scene.socket(), fs::Permissions::from_mode(0o600)).unwrap();
    chown(scene.socket(), Some(WORKLOAD), Some(WORKLOAD)).unwrap();
    let greeter = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"hello").unwrap();
    });
    let report = run(async {
        let workload = scene.workload(&scene.config(&["look"], ""));
        let keys = vec![key("a", b"key bytes")];
        workload.deliver_keys(keys).await.unwrap();
        let report = scene.report(&workload).await;
        let confinement = workload.snapshot().confinement.unwrap();
        assert!(confinement.missing().is_empty(), "{confinement:?}");
        for measure in [
            ConfinementMeasure::OwnRoot,
            ConfinementMeasure::NoWrittenPrograms,
            ConfinementMeasure::OwnIpc,
            ConfinementMeasure::ScopedSignals,
        ] {
            assert_eq!(confinement.state(measure), MeasureState::Enforced);
        }
        workload.stop(None).await.unwrap();
        report
    });
    greeter.join().unwrap();
    let runtime = scene.runtime.path().to_str().unwrap().to_owned();
    let runtime_name = runtime.strip_prefix("/run/").unwrap();
    let line = |name: &str| {
        let line = report
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("{name}: {report}"))
    };
    for name in ["root", "above root", "through proc"] {
        assert_eq!(line(name), "app dev etc proc run tmp", "{name}");
    }
    let dev = "fd full null random shm stderr stdin stdout urandom zero";
    assert_eq!(line("dev"), dev);
    assert_eq!(line("shm"), "");
    assert_eq!(line("run"), runtime_name);
    assert_eq!(
        line("processes"),
        "own",
        "nobody else's, of its user either"
    );
    assert_eq!((line("keys"), line("key")), ("a", "key bytes"));
    assert_eq!(line("keys' folder"), "unreadable", "passed through only");
    assert_eq!(line("socket"), "Ok(\"hello\")");
    for (node, wanted) in [
        ("null", "Some(0) Ok(1)"),
        ("zero", "Some(1) Ok(1)"),
        ("full", "Some(1) Err(StorageFull)"),
        ("random", "Some(1) Ok(1)"),
        ("urandom", "Some(1) Ok(1)"),
    ] {
        assert_eq!(line(node), wanted, "{node}");
    }
    assert_eq!(line("streams"), "[Some(1), Some(1)]");
    assert_eq!(line("modes"), "1777 0, 1777 0, 1777 0, 755 0");
    assert_eq!(
        line("machine"),
        "true",
        "runtimes count processors and memory"
    );
    assert_eq!(line("stat"), "true");
    let mounts: BTreeMap<&str, &str> = report
        .lines()
        .filter_map(|line| line.strip_prefix("mount ")?.split_once(": "))
        .collect();
    let (keys, socket) = (
        format!("{runtime}/keys"),
        format!("{runtime}/workload.sock"),
    );
    let sealed = ["ro", "nosuid", "nodev", "noexec"];
    let wanted: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("/", &sealed[..3]),
        ("/proc", &sealed[..]),
        ("/dev", &["ro", "nosuid", "noexec"][..]),
        ("/dev/shm", &sealed[1..]),
        ("/tmp", &sealed[1..]),
        ("/run", &sealed[1..]),
        (keys.as_str(), &sealed[1..]),
        (socket.as_str(), &sealed[..]),
    ]);
    assert_eq!(
        mounts.keys().collect::<Vec<_>>(),
        wanted.keys().collect::<Vec<_>>(),
        "no other mount"
    );
    for (place, options) in wanted {
        let (found, _) = mounts[place].rsplit_once(' ').unwrap();
        let found: Vec<&str> = found.split(',').collect();
        for option in options {
            assert!(found.contains(option), "{place}: {found:?}");
        }
    }
}

#[test]
fn it_can_change_no_file_but_its_temporary_ones() {
    if skip_without_root("it_can_change_no_file_but_its_temporary_ones") {
        return;
    }
    let scene = Scene::new();
    let set_user_id = scene.root().join("app/set-user-id");
    fs::copy(scene.root().join("app/program"), &set_user_id).unwrap();
    fs::set_permissions(&set_user_id, fs::Permissions::from_mode(0o4755)).unwrap();
    // Readable for everybody, were it not for `nodev`.
    let everybody = FileMode::from_bits_truncate(0o666);
    let memory = scene.root().join("app/zero");
    mknod(&memory, SFlag::S_IFCHR, everybody, makedev(1, 5)).unwrap();
    fs::set_permissions(&memory, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(fs::metadata(&memory).unwrap().file_type().is_char_device());
    let memory_file = memory_file();
    let cases = [
        ("create:/new", Errno::EROFS),
        ("create:/etc/new", Errno::EROFS), // The folder is its own.
        ("folder:/etc/new", Errno::EROFS),
        ("write:/app/data", Errno::EROFS),
        ("create:/dev/new", Errno::EROFS),
        ("node:/tmp/memory", Errno::EPERM),
        ("node:/dev/shm/memory", Errno::EPERM),
        ("open:/app/zero", Errno::EACCES),
        ("open:/app/set-user-id", DONE),
        ("create:/tmp/new", DONE),
        ("create:/run/new", DONE),
        ("create:/dev/shm/new", DONE),
        // Devices of the machine.
        ("open:/dev/nsm", Errno::ENOENT),
        ("open:/dev/vsock", Errno::ENOENT),
        ("open:/dev/kmsg", Errno::ENOENT),
        ("open:/dev/console", Errno::ENOENT),
        ("open:/dev/tty", Errno::ENOENT),
        ("open:/dev/pts", Errno::ENOENT),
        ("open:/dev/mem", Errno::ENOENT),
        ("open:/dev/hwrng", Errno::ENOENT),
        // The machine's and the agent's files.
        ("open:/usr", Errno::ENOENT),
        ("open:/sys", Errno::ENOENT),
        ("open:/init", Errno::ENOENT),
        ("open:/narthex/agent.toml", Errno::ENOENT),
        ("open:/../../etc/passwd", Errno::ENOENT),
        ("open:/proc/self/root/../usr", Errno::ENOENT),
        ("open:/proc/self/fd/0/../usr", Errno::ENOTDIR),
        ("open:/proc/1", Errno::ENOENT),
        ("open:/proc/1/environ", Errno::ENOENT),
        // The kernel's memory, messages and settings: root's, where it has them.
        ("open:/proc/kmsg", Errno::EACCES),
        ("open:/proc/kcore", Errno::EACCES),
        ("write:/proc/sysrq-trigger", Errno::EACCES),
        ("write:/proc/sys/kernel/core_pattern", Errno::EACCES),
        ("write:/proc/self/oom_score_adj", Errno::EROFS),
        ("write:/proc/self/mem", Errno::EROFS),
        // Programs of its own making.
        ("run:/tmp/program", Errno::EACCES),
        ("run:/run/program", Errno::EACCES),
        ("run:/dev/shm/program", Errno::EACCES),
        ("map:/tmp/library", Errno::EPERM),
        (memory_file.as_str(), Errno::ENOSYS), // It could be started through /proc/self/fd.
    ];
    let attempts: Vec<_> = cases.iter().map(|(name, _)| (*name).to_owned()).collect();
    let results = scene.attempts(&attempts, "");
    for (attempt, wanted) in cases {
        let found = results[attempt];
        let (_, path) = attempt.split_once(':').unwrap();
        let wanted = match wanted {
            Errno::EACCES if path.starts_with("/proc") && !Path::new(path).exists() => {
                Errno::ENOENT
            }
            other => other,
        };
        assert_eq!(found, wanted, "{attempt}");
    }
    assert!(!scene.root().join("etc/new").exists());
    assert!(!Path::new("/tmp/new").exists() && !Path::new("/run/new").exists());
}

#[test]
fn it_reaches_no_process_and_no_socket_of_others() {
    if skip_without_root("it_reaches_no_process_and_no_socket_of_others") {
        return;
    }
    let scene = Scene::new();
    let stranger = Stranger::start();
    let name = format!("narthex-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let (us, of_its_user) = (std::process::id(), stranger.0.id());
    let cases = [
        (format!("signal:{us}"), Errno::EPERM),
        (format!("signal:{of_its_user}"), Errno::EPERM), // By Landlock: the user is its own.
        ("signal:1".to_owned(), Errno::EPERM),
        (format!("open:/proc/{us}/status"), Errno::ENOENT),
        (format!("open:/proc/{of_its_user}/status"), Errno::ENOENT),
        (format!("abstract:{name}"), Errno::EPERM),
        (
            call(libc::SYS_ptrace, &format!("16:{of_its_user}")),
            Errno::EPERM,
        ),
        (
            call(libc::SYS_process_vm_readv, &of_its_user.to_string()),
            Errno::EPERM,
        ),
        (call(libc::SYS_pidfd_getfd, "0:0"), Errno::EPERM),
        (call(libc::SYS_kcmp, &format!("{us}:{us}")), Errno::EPERM),
    ];
    let attempts: Vec<_> = cases.iter().map(|(name, _)| name.clone()).collect();
    let results = scene.attempts(&attempts, "");
    for (attempt, wanted) in cases {
        assert_eq!(results[&attempt], wanted, "{attempt}");
    }
}

fn call(number: libc::c_long, arguments: &str) -> String {
    format!("{number}:{arguments}")
}

/// A file in memory that has no place.
fn memory_file() -> String {
    call(libc::SYS_memfd_create, "\"x:0")
}

#[test]
fn the_kernel_takes_no_orders_from_it() {
    if skip_without_root("the_kernel_takes_no_orders_from_it") {
        return;
    }
    // Arguments with which an unrefused call would say something else than EPERM, or do no harm.
    let refused = [
        (libc::SYS_mount, "\"none:\"/tmp:\"tmpfs"),
        (libc::SYS_umount2, "\"/tmp:2"),
        (libc::SYS_chroot, "\"/tmp"),
        (libc::SYS_pivot_root, "\"/tmp:\"/tmp"),
        (libc::SYS_move_mount, "-1:\"x"),
        (libc::SYS_open_tree, "-100:\"/"),
        (libc::SYS_fsopen, "\"tmpfs"),
        (libc::SYS_fsmount, "-1"),
        (libc::SYS_fsconfig, "-1"),
        (libc::SYS_fspick, "-100:\"/"),
        (libc::SYS_mount_setattr, "-100:\"/"),
        (467, "-100:\"/"), // open_tree_attr
        (libc::SYS_open_by_handle_at, "-100"),
        (libc::SYS_setns, "-1"),
        (libc::SYS_unshare, "131072"),     // CLONE_NEWNS
        (libc::SYS_unshare, "268435456"),  // CLONE_NEWUSER
        (libc::SYS_unshare, "1073741824"), // CLONE_NEWNET
        (libc::SYS_unshare, "128"),        // CLONE_NEWTIME
        (libc::SYS_kexec_load, "0:0:0:0"),
        (libc::SYS_init_module, "0:0"),
        (libc::SYS_finit_module, "-1:\"x"),
        (libc::SYS_delete_module, "\"x"),
        (libc::SYS_reboot, "0"),
        (libc::SYS_swapon, "\"/tmp/x"),
        (libc::SYS_sethostname, "\"x:1"),
        (libc::SYS_settimeofday, "0:0"),
        (libc::SYS_clock_settime, "0"),
        (libc::SYS_syslog, "9"),
        (libc::SYS_bpf, "99"),
        (libc::SYS_perf_event_open, "0"),
        (libc::SYS_userfaultfd, "-1"),
        (libc::SYS_io_uring_setup, "0"),
        (libc::SYS_io_uring_enter, "-1"),
        (libc::SYS_io_uring_register, "-1"),
        (libc::SYS_fanotify_init, "-1"),
        (libc::SYS_vmsplice, "-1"),
        (libc::SYS_add_key, "0"),
        (libc::SYS_keyctl, "99"),
    ];
    let mut attempts: Vec<_> = refused
        .iter()
        .map(|(number, arguments)| (call(*number, arguments), Errno::EPERM))
        .collect();
    // x32's own numbers: ptrace, kexec_load, vmsplice, process_vm_readv, process_vm_writev.
    if cfg!(target_arch = "x86_64") {
        for number in [521, 528, 532, 539, 540] {
            attempts.push((call(0x4000_0000 | number, "-1"), Errno::EPERM));
        }
    }
    attempts.push((call(libc::SYS_clone3, "0"), Errno::ENOSYS));
    // SOCK_RAW of netlink: its interfaces (NETLINK_ROUTE), and sockets of others (NETLINK_SOCK_DIAG).
    attempts.push((call(libc::SYS_socket, "16:3:0"), DONE));
    attempts.push((call(libc::SYS_socket, "16:3:4"), Errno::EAFNOSUPPORT));
    // What the kernel does not look at must not pass for another protocol.
    let zero_below = (1_i64 << 32).to_string();
    attempts.push((call(libc::SYS_socket, &format!("16:3:{zero_below}")), DONE));
    for (family, wanted) in [
        (libc::AF_UNIX, DONE),
        (libc::AF_INET, DONE),
        (libc::AF_NETLINK, Errno::ESOCKTNOSUPPORT), // Reached: netlink has no such type, or has it.
        (libc::AF_PACKET, Errno::EAFNOSUPPORT),
        (libc::AF_ALG, Errno::EAFNOSUPPORT),
        (libc::AF_XDP, Errno::EAFNOSUPPORT),
        (libc::AF_CAN, Errno::EAFNOSUPPORT),
    ] {
        attempts.push((format!("socket:{family}"), wanted));
    }
    let scene = Scene::new();
    let names: Vec<_> = attempts.iter().map(|(name, _)| name.clone()).collect();
    let results = scene.attempts(&names, "");
    for (attempt, wanted) in attempts {
        let found = results[&attempt];
        if wanted == Errno::ESOCKTNOSUPPORT {
            assert_ne!(found, Errno::EAFNOSUPPORT, "{attempt}");
        } else {
            assert_eq!(found, wanted, "{attempt}");
        }
    }
}

#[test]
fn vsock_can_be_taken_from_it() {
    if skip_without_root("vsock_can_be_taken_from_it") {
        return;
    }
    let scene = Scene::new();
    let attempt = vec![format!("socket:{}", libc::AF_VSOCK)];
    let refused = scene.attempts(&attempt, "vsock = false");
    assert_eq!(refused[&attempt[0]], Errno::EAFNOSUPPORT);
    let flags = nix::sys::socket::SockFlag::empty();
    let (family, kind) = (
        nix::sys::socket::AddressFamily::Vsock,
        nix::sys::socket::SockType::Datagram,
    );
    let machine = nix::sys::socket::socket(family, kind, flags, None).map(drop);
    let allowed = scene.attempts(&attempt, "");
    assert_eq!(allowed[&attempt[0]], machine.err().unwrap_or(DONE));
}

#[test]
fn its_temporary_files_are_bounded() {
    if skip_without_root("its_temporary_files_are_bounded") {
        return;
    }
    for (place, extra, most) in [
        ("/tmp", "tmp_max_bytes = 1048576", 1 << 20),
        ("/dev/shm", "shm_max_bytes = 2097152", 2 << 20),
        ("/run", "", 4 << 20),
    ] {
        let scene = Scene::new();
        let report = run(async {
            let workload = scene.workload(&scene.config(&["fill", place], extra));
            scene.report(&workload).await
        });
        let no_space = Errno::ENOSPC as i32;
        assert_eq!(report, format!("{most} {no_space}\n"), "{place}");
    }
}

#[test]
fn programs_in_tmp_can_be_allowed_and_that_shows() {
    if skip_without_root("programs_in_tmp_can_be_allowed_and_that_shows") {
        return;
    }
    let scene = Scene::new();
    let places = ["run:/tmp/program", "map:/tmp/library", "run:/run/program"];
    let [start, load, elsewhere] = places.map(str::to_owned);
    let attempts = [start, load, memory_file(), elsewhere];
    let extra = "insecure_executable_tmp = true";
    let results = scene.attempts(&attempts, extra);
    let wanted = [DONE, DONE, DONE, Errno::EACCES];
    assert_eq!(attempts.each_ref().map(|attempt| results[attempt]), wanted);
    run(async {
        let workload = scene.workload(&scene.config(&["hold"], extra));
        workload.start().await.unwrap();
        let confinement = workload.snapshot().confinement.unwrap();
        let measure = ConfinementMeasure::NoWrittenPrograms;
        assert_eq!(confinement.state(measure), MeasureState::NotEnforced);
        assert_eq!(confinement.missing().iter().collect::<Vec<_>>(), [measure]);
        workload.stop(None).await.unwrap();
    });
}

/// `CAP_SYS_RESOURCE`.
const SYS_RESOURCE: u32 = 24;

/// Whether this process has the capability of that number.
fn has_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let held = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let held = u64::from_str_radix(held.unwrap().trim(), 16).unwrap();
    held & (1 << number) != 0
}

#[test]
fn it_is_the_first_to_go_when_memory_runs_out() {
    if skip_without_root("it_is_the_first_to_go_when_memory_runs_out") {
        return;
    }
    let scene = Scene::new();
    run(async {
        let workload = scene.workload(&scene.config(&["hold"], ""));
        workload.start().await.unwrap();
        let score = |process: u32| {
            let text = fs::read_to_string(format!("/proc/{process}/oom_score_adj")).unwrap();
            text.trim().parse::<i32>().unwrap()
        };
        let main = main_process(&workload).as_raw().unsigned_abs();
        assert_eq!(score(main), 500);
        // Of a container the right to that has often been taken away.
        let spared = score(std::process::id()).min(if has_capability(SYS_RESOURCE) {
            -900
        } else {
            0
        });
        assert_eq!(score(workload.shepherd().unwrap()), spared);
        workload.stop(None).await.unwrap();
    });
}

#[test]
fn shared_memory_ends_with_it() {
    if skip_without_root("shared_memory_ends_with_it") {
        return;
    }
    let segments = || {
        let table = fs::read_to_string("/proc/sysvipc/shm").unwrap_or_default();
        let user = WORKLOAD.to_string();
        let of_its_user = |line: &str| line.split_whitespace().nth(7) == Some(&*user);
        table.lines().filter(|line| of_its_user(line)).count()
    };
    let scene = Scene::new();
    let report = run(async {
        let workload = scene.workload(&scene.config(&["hold"], ""));
        let report = scene.report(&workload).await;
        assert_eq!(segments(), 0, "out of the machine's sight");
        workload.stop(None).await.unwrap();
        report
    });
    if !Path::new("/proc/sysvipc/shm").exists() {
        return eprintln!("skipped: this kernel has no System V shared memory");
    }
    assert_eq!(report, "held");
    assert_eq!(segments(), 0);
}

#[test]
fn keys_are_replaced_in_its_root_while_it_runs() {
    if skip_without_root("keys_are_replaced_in_its_root_while_it_runs") {
        return;
    }
    let scene = Scene::new();
    run(async {
        let workload = scene.workload(&scene.config(&["await-key"], ""));
        let keys = |bytes| vec![key("a", bytes)];
        workload.deliver_keys(keys(b"old")).await.unwrap();
        workload.start().await.unwrap();
        workload.deliver_keys(keys(b"new")).await.unwrap();
        assert_eq!(scene.report(&workload).await, "done");
        workload.stop(None).await.unwrap();
    });
}

#[test]
fn half_a_root_is_no_root() {
    if skip_without_root("half_a_root_is_no_root") {
        return;
    }
    for place in ["proc", "dev", "tmp", "run"] {
        let scene = Scene::new();
        fs::remove_dir(scene.root().join(place)).unwrap();
        let refusal = scene.refusal(&scene.config(&["look"], ""));
        assert_eq!(refusal, (LaunchStep::Root, Errno::ENOENT), "{place}");
        // A file is no place for a folder.
        fs::write(scene.root().join(place), "").unwrap();
        let refusal = scene.refusal(&scene.config(&["look"], ""));
        assert_eq!(refusal, (LaunchStep::Root, Errno::EINVAL), "{place}");
    }
    let scene = Scene::new();
    fs::rename(scene.root(), scene.image.path().join("elsewhere")).unwrap();
    let refusal = scene.refusal(&scene.config(&["look"], ""));
    assert_eq!(refusal, (LaunchStep::Root, Errno::ENOENT));
    symlink("elsewhere", scene.root()).unwrap();
    let (step, _) = scene.refusal(&scene.config(&["look"], ""));
    assert_eq!(step, LaunchStep::Root, "a link is no folder");
}

#[test]
fn the_program_and_its_folder_are_looked_for_in_its_root() {
    if skip_without_root("the_program_and_its_folder_are_looked_for_in_its_root") {
        return;
    }
    let scene = Scene::new();
    let mut config = scene.config(&["look"], "");
    config.command = "/bin/sh".into();
    let missing = (LaunchStep::Program, Errno::ENOENT);
    assert_eq!(scene.refusal(&config), missing);
    let mut config = scene.config(&["look"], "");
    config.working_directory = "/usr".into();
    let missing = (LaunchStep::WorkingDirectory, Errno::ENOENT);
    assert_eq!(scene.refusal(&config), missing);
}

#[test]
fn links_of_the_image_lead_nowhere_else() {
    if skip_without_root("links_of_the_image_lead_nowhere_else") {
        return;
    }
    let scene = Scene::new();
    let root = scene.root();
    // `/var/spool` is on the machine as well.
    for (place, target) in [("tmp", "var/tmp"), ("run", "/var/spool")] {
        fs::remove_dir(root.join(place)).unwrap();
        symlink(target, root.join(place)).unwrap();
        fs::create_dir_all(root.join(target.trim_start_matches('/'))).unwrap();
    }
    let attempts = ["create:/var/tmp/mine", "create:/var/spool/mine"].map(str::to_owned);
    let results = scene.attempts(&attempts, "");
    assert!(
        results.values().all(|&result| result == DONE),
        "{results:?}"
    );
    for place in ["/var/tmp", "/var/spool"] {
        assert!(!Path::new(place).join("mine").exists(), "{place}");
    }
    // A link out of the image leads into it.
    fs::remove_file(root.join("tmp")).unwrap();
    symlink("../../../../../../var/log", root.join("tmp")).unwrap();
    let refusal = scene.refusal(&scene.config(&["look"], ""));
    assert_eq!(refusal, (LaunchStep::Root, Errno::ENOENT));
}
