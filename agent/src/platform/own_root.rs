//! A root of its own for the workload: a folder of the image and a few file systems in memory, and nothing else of
//! what the agent sees.
//!
//! | Place | What | Writable | Programs |
//! |---|---|---|---|
//! | `/` | the folder, without the mounts below it | no | yes |
//! | `/proc` | its own processes | no | no |
//! | `/dev` | `null`, `zero`, `full`, `random`, `urandom`, links to the standard streams | no | no |
//! | `/dev/shm`, `/tmp` | tmpfs, as large as configured | yes | no, unless configured for `/tmp` |
//! | `/run` | tmpfs, [`RUN_BYTES`]; keys and local socket below it, at the agent's own paths | yes | no |
//!
//! Every one is `nosuid`, and all but `/dev` are `nodev`.
//!
//! # Why this is enough where `pivot_root` is not to be had
//!
//! Where the agent's root is a file system that something is mounted below (a laptop), `pivot_root` takes that root
//! out of the namespace for good. The root of an initramfs cannot be taken out: there the folder is moved over `/`
//! and entered with `chroot`, and the initramfs stays below it. To look below, a process must unmount
//! (`CAP_SYS_ADMIN`), call `chroot` again (`CAP_SYS_CHROOT`), enter another namespace or process
//! (`CAP_SYS_ADMIN`, `CAP_SYS_PTRACE`), or hold a descriptor of a folder outside. The workload has no capability and
//! can get none (no set-user-id, no user namespace), seccomp refuses it these calls a second time, and it inherits no
//! folder.

use std::ffi::{CStr, OsStr};
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat, umask};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chdir, chroot, fchdir, pivot_root, symlinkat};

use super::filesystems::{self, Attributes, TmpfsOptions};
use super::mounts::attach;

/// Most bytes in `/run`: names of processes, sockets and the like.
pub const RUN_BYTES: u64 = 4 << 20;
/// Most files in `/run` and `/dev/shm`.
const FEW_INODES: u64 = 4096;
/// Most files in `/tmp`: each costs about a kilobyte of the kernel's memory, which counts as the workload's.
const TMP_INODES: u64 = 65_536;
/// Nothing but nodes and links.
const DEVICES_BYTES: u64 = 64 << 10;
const DEVICES_INODES: u64 = 32;
/// For everybody, but only the owner of a file may remove it.
const EVERYBODYS: u32 = 0o1777;
/// Character devices of Documentation/admin-guide/devices.txt, all of major 1.
const DEVICES: [(&CStr, u64); 5] = [
    (c"null", 3),
    (c"zero", 5),
    (c"full", 7),
    (c"random", 8),
    (c"urandom", 9),
];
const LINKS: [(&CStr, &CStr); 4] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
];

/// What the root is made of.
#[derive(Clone, Copy, Debug)]
pub struct OwnRoot<'a> {
    /// The folder that becomes `/`, in the agent's file system.
    pub folder: &'a CStr,
    /// The keys' detached tmpfs, and where the workload finds it: below `/run` or `/tmp`.
    pub keys: (BorrowedFd<'a>, &'a CStr),
    /// The local socket, which the workload finds where the agent has it: below `/run` or `/tmp`.
    pub socket: Option<&'a CStr>,
    /// Most bytes in `/tmp`.
    pub tmp_bytes: u64,
    /// Most bytes in `/dev/shm`.
    pub shm_bytes: u64,
    /// Whether programs in `/tmp` can be started.
    pub written_programs: WrittenPrograms,
}

/// Whether the workload can start or load programs that it has written to a file. (What it writes to its own memory is
/// another matter: a program that compiles while it runs must be able to.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WrittenPrograms {
    /// No file system is both writable and executable, and files without a place (`memfd_create`) are refused.
    Deny,
    /// `/tmp` is both, and so are files without a place.
    InsecurelyAllow,
}

impl OwnRoot<'_> {
    /// Makes this the root of the calling process, which must be alone in its mount namespace. Afterwards nothing
    /// else of the agent's file system has a path.
    ///
    /// # Errors
    ///
    /// The kernel's. The process has then half a root, and must end. `ENOENT`: the folder, or one of the places in it
    /// (`/proc`, `/dev`, `/tmp`, `/run`), is missing.
    pub fn enter(&self) -> Result<(), Errno> {
        // The modes below are the ones that are meant; the workload's own mask is set later.
        umask(Mode::empty());
        // What comes from the agent's file system is fetched before it is out of sight.
        let sealed = Attributes::READ_ONLY
            .and(Attributes::NO_SET_USER_ID)
            .and(Attributes::NO_DEVICES);
        let folder = filesystems::second_mount(self.folder, sealed)?;
        let socket_sealed = sealed.and(Attributes::NO_PROGRAMS);
        let socket = self
            .socket
            .map(|place| Ok((filesystems::second_mount(place, socket_sealed)?, place)))
            .transpose()?;
        // Both are enough.
        let (OldRoot::Removed | OldRoot::Covered) = change_root(folder)?;
        attach(filesystems::proc_of_own_processes()?.as_fd(), c"/proc")?;
        attach(devices()?.as_fd(), c"/dev")?;
        for (place, tmpfs) in self.temporary() {
            attach(filesystems::tmpfs(tmpfs)?.as_fd(), place)?;
        }
        let (keys, place) = self.keys;
        make_folder(path(place))?;
        attach(keys, place)?;
        if let Some((socket, place)) = socket {
            make_file(path(place))?;
            attach(socket.as_fd(), place)?;
        }
        look_at_root()
    }

    fn temporary(&self) -> [(&'static CStr, TmpfsOptions); 3] {
        let no_devices = Attributes::NO_SET_USER_ID.and(Attributes::NO_DEVICES);
        let no_programs = no_devices.and(Attributes::NO_PROGRAMS);
        let options = |max_bytes, max_inodes, attributes| TmpfsOptions {
            max_bytes,
            max_inodes,
            mode: EVERYBODYS,
            attributes,
        };
        let tmp = match self.written_programs {
            WrittenPrograms::Deny => no_programs,
            WrittenPrograms::InsecurelyAllow => no_devices,
        };
        [
            (
                c"/dev/shm",
                options(self.shm_bytes, FEW_INODES, no_programs),
            ),
            (c"/tmp", options(self.tmp_bytes, TMP_INODES, tmp)),
            (c"/run", options(RUN_BYTES, FEW_INODES, no_programs)),
        ]
    }
}

/// What became of the root that was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OldRoot {
    /// It is in this namespace no more.
    Removed,
    /// It is below the new one: see the top of this file.
    Covered,
}

/// Puts the detached mount in the place of `/`, and takes away what was there where the kernel can.
fn change_root(folder: OwnedFd) -> Result<OldRoot, Errno> {
    attach(folder.as_fd(), c"/")?;
    fchdir(folder.as_fd())?;
    let old = match pivot_root(".", ".") {
        Ok(()) => {
            // The old root now lies over the new one.
            umount2(".", MntFlags::MNT_DETACH)?;
            OldRoot::Removed
        }
        // The old root is the namespace's first mount: an initramfs.
        Err(Errno::EINVAL) => {
            chroot(".")?;
            OldRoot::Covered
        }
        Err(error) => return Err(error),
    };
    chdir("/")?;
    Ok(old)
}

/// `/dev`, complete and closed.
fn devices() -> Result<OwnedFd, Errno> {
    let devices = filesystems::tmpfs(TmpfsOptions {
        max_bytes: DEVICES_BYTES,
        max_inodes: DEVICES_INODES,
        mode: 0o755,
        attributes: Attributes::NO_SET_USER_ID.and(Attributes::NO_PROGRAMS),
    })?;
    let everybody = Mode::from_bits_truncate(0o666);
    for (name, minor) in DEVICES {
        mknodat(&devices, name, SFlag::S_IFCHR, everybody, makedev(1, minor))?;
    }
    for (name, target) in LINKS {
        symlinkat(target, &devices, name)?;
    }
    mkdirat(&devices, c"shm", Mode::from_bits_truncate(0o755))?;
    filesystems::forbid(devices.as_fd(), Attributes::READ_ONLY)?;
    Ok(devices)
}

/// An empty folder to attach something to, and the way to it, which everybody may pass.
fn make_folder(place: &Path) -> Result<(), Errno> {
    let made = DirBuilder::new().recursive(true).mode(0o711).create(place);
    made.map_err(|error| number(&error))
}

fn make_file(place: &Path) -> Result<(), Errno> {
    if let Some(parent) = place.parent() {
        make_folder(parent)?;
    }
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(place);
    made.map(drop).map_err(|error| number(&error))
}

/// The claim that rests on all of the above is read back from the kernel.
fn look_at_root() -> Result<(), Errno> {
    let wanted = FsFlags::ST_RDONLY | FsFlags::ST_NOSUID | FsFlags::ST_NODEV;
    if statvfs("/")?.flags().contains(wanted) {
        Ok(())
    } else {
        Err(Errno::EROFS)
    }
}

fn path(text: &CStr) -> &Path {
    Path::new(OsStr::from_bytes(text.to_bytes()))
}

fn number(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::mounts::enter_private_namespace;
    use super::*;

    struct Scene(tempfile::TempDir);

    impl Scene {
        fn new() -> Self {
            let outside = tempfile::tempdir().unwrap();
            fs::write(outside.path().join("secret"), "x").unwrap();
            for place in ["proc", "dev", "tmp", "run"] {
                fs::create_dir_all(outside.path().join("image").join(place)).unwrap();
            }
            Self(outside)
        }

        /// On a thread with a namespace and a root of its own, which no `pivot_root` can remove: the kernel refuses
        /// it where the root is no mount, as it does for an initramfs.
        fn below<T: Send + 'static>(&self, test: impl FnOnce() -> T + Send + 'static) -> T {
            let outside = self.0.path().to_owned();
            let thread = std::thread::spawn(move || {
                enter_private_namespace().unwrap();
                chroot(&outside).unwrap();
                chdir("/").unwrap();
                assert!(sees_secret());
                test()
            });
            thread.join().unwrap()
        }
    }

    fn sees_secret() -> bool {
        let ways = ["/secret", "../secret", "/proc/self/cwd/../secret"];
        ways.iter().any(|path| Path::new(path).exists())
    }

    fn skip_without_root() -> bool {
        let skip = !nix::unistd::geteuid().is_root();
        if skip {
            eprintln!("skipped: mounting needs root");
        }
        skip
    }

    #[test]
    fn a_root_that_stays_is_covered_and_any_other_removed() {
        if skip_without_root() {
            return;
        }
        let scene = Scene::new();
        let covered = scene.below(|| {
            let image = filesystems::second_mount(c"/image", Attributes::NONE).unwrap();
            (change_root(image), sees_secret())
        });
        assert_eq!(covered, (Ok(OldRoot::Covered), false));
        let removed = std::thread::spawn(|| {
            enter_private_namespace().unwrap();
            let folder = filesystems::second_mount(c"/run", Attributes::NONE).unwrap();
            change_root(folder)
        });
        assert_eq!(removed.join().unwrap(), Ok(OldRoot::Removed));
    }

    #[test]
    fn the_whole_root_stands_where_the_old_one_is_covered() {
        if skip_without_root() {
            return;
        }
        let (names, secret, keys) = Scene::new().below(|| {
            let keys = filesystems::key_tmpfs().unwrap();
            let root = OwnRoot {
                folder: c"/image",
                keys: (keys.as_fd(), c"/run/narthex/keys"),
                socket: None,
                tmp_bytes: 4096,
                shm_bytes: 4096,
                written_programs: WrittenPrograms::Deny,
            };
            root.enter().unwrap();
            let entries = fs::read_dir("/..").unwrap();
            let mut names: Vec<_> = entries
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            (
                names,
                sees_secret(),
                Path::new("/run/narthex/keys").is_dir(),
            )
        });
        assert_eq!(names, ["dev", "proc", "run", "tmp"]);
        assert!(!secret && keys);
    }
}
