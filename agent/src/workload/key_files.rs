//! Keys as files: one per key, mode 0400, the workload's user, in a directory that only it can
//! enter.
//!
//! With privilege the directory is the root of a detached tmpfs (see
//! [`mounts`](crate::platform::mounts)), made anew for every start; without, a directory below the
//! agent's runtime directory, and the measure `private-key-files` is reported as not enforced.
//!
//! A reload replaces each file by renaming a complete new one over it: a reader sees the old key or
//! the new one, never a part. The old file's bytes are wiped when the workload has ended, not
//! before, because a reader that has it open would otherwise take zeros for a key.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::Path;

use narthex_channel::limits::MAX_KEY_BYTES;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{Gid, Uid, UnlinkatFlags, fchown, unlinkat};
use zeroize::Zeroizing;

/// Replaced files whose bytes wait for the workload's end. More are closed unwiped, oldest first;
/// their pages then go back to the kernel like those of any deleted file.
const MAX_RETIRED: usize = 128;
const KEY_MODE: Mode = Mode::S_IRUSR; // 0400: its owner may read it, and nobody else anything.

/// A key to be handed over. The bytes are wiped when it is dropped.
#[derive(Clone)]
pub struct KeyFile {
    /// Plain file name.
    pub file: String,
    /// The key.
    pub bytes: Zeroizing<Vec<u8>>,
}

/// Who may read the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The workload's user.
    pub user: Uid,
    /// The workload's group.
    pub group: Gid,
}

/// A directory of key files, wiped and emptied when dropped.
pub struct KeyDirectory {
    directory: OwnedFd,
    owner: Option<Owner>,
    present: Vec<(String, File)>,
    retired: Vec<File>,
}

impl KeyDirectory {
    /// Uses a detached tmpfs. Its root becomes 0710, root's and the workload's group's.
    ///
    /// # Errors
    ///
    /// The kernel's.
    pub fn in_tmpfs(tmpfs: BorrowedFd<'_>, owner: Owner) -> io::Result<Self> {
        let directory = open_directory(tmpfs, Path::new("."))?;
        fchown(&directory, Some(Uid::from_raw(0)), Some(owner.group))?;
        // Readable for the group, so that `ls` works; names of keys are in the configuration
        // anyway.
        fchmod(&directory, Mode::S_IRWXU | Mode::S_IRGRP | Mode::S_IXGRP)?;
        Ok(Self::empty(directory, Some(owner)))
    }

    /// Uses an ordinary directory, made with mode 0700 if it is missing. What an earlier run left
    /// in it is wiped. With an owner, the directory becomes the owner's.
    ///
    /// # Errors
    ///
    /// The kernel's; `PermissionDenied` when the directory belongs to somebody else or others can
    /// write to it.
    pub fn in_directory(place: &Path, owner: Option<Owner>) -> io::Result<Self> {
        match DirBuilder::new().mode(0o700).create(place) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let directory = open_directory(AT_FDCWD, place)?;
        let metadata = File::from(directory.try_clone()?).metadata()?;
        let ours = metadata.uid() == nix::unistd::geteuid().as_raw()
            || owner.is_some_and(|owner| metadata.uid() == owner.user.as_raw());
        if !ours || metadata.mode() & 0o022 != 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        fchmod(&directory, Mode::S_IRWXU)?;
        if let Some(Owner { user, group }) = owner {
            fchown(&directory, Some(user), Some(group))?;
        }
        let mut found = Self::empty(directory, owner);
        for entry in fs::read_dir(place)? {
            let entry = entry?;
            if let (Some(name), true) = (entry.file_name().to_str(), entry.file_type()?.is_file()) {
                let file = found.open_for_wiping(name)?;
                found.present.push((name.to_owned(), file));
            }
        }
        found.clear()?;
        Ok(found)
    }

    fn empty(directory: OwnedFd, owner: Option<Owner>) -> Self {
        Self {
            directory,
            owner,
            present: Vec::new(),
            retired: Vec::new(),
        }
    }

    /// Makes these the files of the directory, and removes all others. Either all new files are
    /// written before the first is renamed, or none appears.
    ///
    /// # Errors
    ///
    /// The kernel's, or `InvalidInput` for a name that is no plain file name and for more bytes than a key can have.
    pub fn publish(&mut self, keys: &[KeyFile]) -> io::Result<()> {
        let mut written = Vec::with_capacity(keys.len());
        for (number, key) in keys.iter().enumerate() {
            let temporary = format!(".new-{number}");
            match self.write_new(&temporary, key) {
                Ok(file) => written.push((temporary, key.file.clone(), file)),
                Err(error) => {
                    written.push((temporary, String::new(), File::open("/dev/null")?));
                    for (temporary, _, file) in written {
                        let _ = wipe(&file);
                        let _ = self.unlink(&temporary);
                    }
                    return Err(error);
                }
            }
        }
        let before = std::mem::take(&mut self.present);
        for (temporary, name, file) in written {
            renameat(
                &self.directory,
                temporary.as_str(),
                &self.directory,
                name.as_str(),
            )?;
            self.present.push((name, file));
        }
        for (name, file) in before {
            if !self.present.iter().any(|(kept, _)| *kept == name) {
                self.unlink(&name)?;
            }
            self.retire(file);
        }
        Ok(())
    }

    /// Wipes and removes every file, the replaced ones included. Only when nothing reads them any
    /// more: after the workload has ended, or when it must no longer have them.
    ///
    /// # Errors
    ///
    /// The kernel's; every file has been tried by then.
    pub fn clear(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        for (name, file) in std::mem::take(&mut self.present) {
            result = result.and(wipe(&file)).and(self.unlink(&name));
        }
        for file in std::mem::take(&mut self.retired) {
            result = result.and(wipe(&file));
        }
        result
    }

    fn write_new(&self, temporary: &str, key: &KeyFile) -> io::Result<File> {
        let KeyFile { file: name, bytes } = key;
        let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
        if !plain || bytes.len() > MAX_KEY_BYTES {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let _ = self.unlink(temporary); // Left by an agent that was killed between two steps.
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mut file = File::from(openat(&self.directory, temporary, flags, KEY_MODE)?);
        file.write_all(bytes)?;
        fchmod(&file, KEY_MODE)?; // Whatever the umask is.
        if let Some(Owner { user, group }) = self.owner {
            fchown(&file, Some(user), Some(group))?;
        }
        Ok(file)
    }

    fn open_for_wiping(&self, name: &str) -> io::Result<File> {
        let read_write = Mode::S_IRUSR | Mode::S_IWUSR;
        // An ordinary user cannot open its own 0400 file for writing otherwise.
        nix::sys::stat::fchmodat(
            &self.directory,
            name,
            read_write,
            nix::sys::stat::FchmodatFlags::FollowSymlink,
        )?;
        let flags = OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(File::from(openat(
            &self.directory,
            name,
            flags,
            Mode::empty(),
        )?))
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        unlinkat(&self.directory, name, UnlinkatFlags::NoRemoveDir)?;
        Ok(())
    }

    fn retire(&mut self, file: File) {
        if self.retired.len() >= MAX_RETIRED {
            self.retired.remove(0);
        }
        self.retired.push(file);
    }
}

impl Drop for KeyDirectory {
    fn drop(&mut self) {
        let _ = self.clear();
    }
}

/// Overwrites the key with zeros. No more than a key can have: the files are the workload's own, which can make them as
/// long as it likes, and go on doing so while the agent writes.
fn wipe(file: &File) -> io::Result<()> {
    let zeros = [0_u8; MAX_KEY_BYTES];
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    file.write_all_at(zeros.get(..length).unwrap_or(&zeros), 0)
}

fn open_directory(base: impl AsFd, place: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(base, place, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    struct Scene {
        _parent: tempfile::TempDir,
        place: PathBuf,
        keys: KeyDirectory,
    }

    fn scene() -> Scene {
        let parent = tempfile::tempdir().unwrap();
        let place = parent.path().join("keys");
        let keys = KeyDirectory::in_directory(&place, None).unwrap();
        Scene {
            _parent: parent,
            place,
            keys,
        }
    }

    fn key(file: &str, bytes: &[u8]) -> KeyFile {
        KeyFile {
            file: file.to_owned(),
            bytes: Zeroizing::new(bytes.to_vec()),
        }
    }

    fn names(place: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_0400_in_a_directory_0700() {
        let mut scene = scene();
        scene
            .keys
            .publish(&[key("a", b"one"), key("b", b"two")])
            .unwrap();
        assert_eq!(names(&scene.place), ["a", "b"]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&scene.place), 0o700);
        assert_eq!(mode(&scene.place.join("a")), 0o400);
        assert_eq!(fs::read(scene.place.join("b")).unwrap(), b"two");
    }

    #[test]
    fn a_reload_replaces_by_rename_and_leaves_the_open_file_whole() {
        let mut scene = scene();
        scene
            .keys
            .publish(&[key("a", b"old"), key("gone", b"x")])
            .unwrap();
        let open = File::open(scene.place.join("a")).unwrap();
        scene.keys.publish(&[key("a", b"new")]).unwrap();
        assert_eq!(names(&scene.place), ["a"]);
        assert_eq!(fs::read(scene.place.join("a")).unwrap(), b"new");
        let mut still = [0; 3];
        open.read_exact_at(&mut still, 0).unwrap();
        assert_eq!(&still, b"old");
        // At the end both are wiped, through any descriptor that is left.
        scene.keys.clear().unwrap();
        open.read_exact_at(&mut still, 0).unwrap();
        assert_eq!(still, [0; 3]);
    }

    #[test]
    fn clearing_wipes_before_it_removes() {
        let mut scene = scene();
        scene
            .keys
            .publish(&[key("a", &[7; MAX_KEY_BYTES])])
            .unwrap();
        let open = File::open(scene.place.join("a")).unwrap();
        scene.keys.clear().unwrap();
        assert!(names(&scene.place).is_empty());
        let mut bytes = vec![1; MAX_KEY_BYTES];
        open.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes, vec![0; MAX_KEY_BYTES]);
    }

    #[test]
    fn a_file_that_its_reader_made_longer_holds_nobody_up() {
        let mut scene = scene();
        scene.keys.publish(&[key("a", b"secret")]).unwrap();
        let path = scene.place.join("a");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let open = File::options().read(true).write(true).open(&path).unwrap();
        let end = 2 * MAX_KEY_BYTES as u64;
        open.write_all_at(b"x", end).unwrap();
        scene.keys.clear().unwrap();
        let (mut bytes, mut last) = ([1; 6], [0]);
        open.read_exact_at(&mut bytes, 0).unwrap();
        open.read_exact_at(&mut last, end).unwrap();
        assert_eq!(
            (bytes, &last),
            ([0; 6], b"x"),
            "what is the agent's, and no more"
        );
    }

    #[test]
    fn more_than_a_key_is_refused() {
        let mut scene = scene();
        let long = key("a", &[7; MAX_KEY_BYTES + 1]);
        let refused = scene.keys.publish(&[long]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
        assert!(names(&scene.place).is_empty());
    }

    #[test]
    fn what_an_earlier_run_left_is_wiped() {
        let scene = scene();
        let left = scene.place.join("left");
        fs::write(&left, b"secret").unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o400)).unwrap();
        let open = File::open(&left).unwrap();
        let again = KeyDirectory::in_directory(&scene.place, None).unwrap();
        assert!(names(&scene.place).is_empty());
        let mut bytes = [1; 6];
        open.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(bytes, [0; 6]);
        drop(again);
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused_and_nothing_changes() {
        for name in ["", ".", "..", "../a", "a/b", ".new-0", "a\0b"] {
            let mut scene = scene();
            scene.keys.publish(&[key("kept", b"kept")]).unwrap();
            let refused = scene
                .keys
                .publish(&[key("fine", b"x"), key(name, b"y")])
                .unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{name:?}");
            assert_eq!(names(&scene.place), ["kept"], "{name:?}");
        }
    }

    #[test]
    fn a_directory_that_others_can_write_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let place = parent.path().join("keys");
        fs::create_dir(&place).unwrap();
        fs::set_permissions(&place, fs::Permissions::from_mode(0o777)).unwrap();
        let Err(refused) = KeyDirectory::in_directory(&place, None) else {
            panic!("accepted")
        };
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_link_in_the_directorys_place_is_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let place = parent.path().join("keys");
        std::os::unix::fs::symlink("/tmp", &place).unwrap();
        assert!(KeyDirectory::in_directory(&place, None).is_err());
    }
}
