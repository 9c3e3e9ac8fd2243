//! `filesystems`: space and files, by kind. Never a path: places are the workload's to choose.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use narthex_channel::diagnostics::{Field, FieldName, State, Value};
use nix::sys::statvfs::{FsFlags, Statvfs, statvfs};

use super::read_text;
use super::rounding::{share, two_bits};

/// Most filesystems that are shown; `count` says how many there are.
const MAX_FILESYSTEMS: usize = 32;

pub(super) fn read() -> Vec<Field> {
    let found = parse(&read_text("/proc/self/mountinfo").unwrap_or_default());
    let count = u64::try_from(found.len()).unwrap_or(u64::MAX);
    let mut fields = vec![Field::single(
        FieldName::FilesystemCount,
        Value::Count(count),
    )];
    for (index, filesystem) in (0_u16..).zip(found.iter().take(MAX_FILESYSTEMS)) {
        // Gone since, or not for us to ask.
        let Ok(space) = statvfs(&filesystem.place) else {
            continue;
        };
        fields.extend(describe(index, filesystem.kind, &Space::from(&space)));
    }
    fields
}

pub(super) struct Filesystem {
    place: PathBuf,
    kind: State,
}

/// Each filesystem once, in the order of mounting. Only kinds that are on this machine: asking a
/// network filesystem for its space can take for ever, and a kernel interface has none.
pub(super) fn parse(mountinfo: &str) -> Vec<Filesystem> {
    let mut devices = BTreeSet::new();
    mountinfo
        .lines()
        .filter_map(|line| {
            let (front, back) = line.split_once(" - ")?;
            let mut fields = front.split(' ').skip(2);
            let device = fields.next()?;
            let place = unescape(fields.nth(1)?);
            let kind = kind(back.split(' ').next()?, &place)?;
            devices.insert(device).then_some(Filesystem { place, kind })
        })
        .collect()
}

fn kind(name: &str, place: &Path) -> Option<State> {
    let known = match name {
        "tmpfs" | "ramfs" => State::MemoryFilesystem,
        "rootfs" => State::RootFilesystem,
        "overlay" => State::OverlayFilesystem,
        "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "f2fs" | "vfat" | "squashfs" | "erofs" => {
            State::BlockFilesystem
        }
        "zfs" | "bcachefs" | "exfat" | "ntfs3" | "iso9660" => State::OtherFilesystem,
        _ => return None,
    };
    Some(if place == Path::new("/") {
        State::RootFilesystem
    } else {
        known
    })
}

/// Octal escapes of mountinfo (space, tab, line end, backslash).
pub(super) fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after
            .get(..3)
            .filter(|_| first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

struct Space {
    total: u64,
    free: u64,
    available: u64,
    files: u64,
    files_free: u64,
    read_only: bool,
}

impl From<&Statvfs> for Space {
    fn from(space: &Statvfs) -> Self {
        let block = space.fragment_size();
        let bytes = |blocks: u64| blocks.saturating_mul(block);
        Self {
            total: bytes(space.blocks()),
            free: bytes(space.blocks_free()),
            available: bytes(space.blocks_available()),
            files: space.files(),
            files_free: space.files_free(),
            read_only: space.flags().contains(FsFlags::ST_RDONLY),
        }
    }
}

fn describe(index: u16, kind: State, space: &Space) -> [Field; 7] {
    let Space {
        total,
        free,
        available,
        files,
        files_free,
        read_only,
    } = *space;
    let used = share(total.saturating_sub(free), total);
    [
        (FieldName::FilesystemKind, Value::State(kind)),
        (FieldName::FilesystemTotal, Value::Bytes(total)),
        (FieldName::FilesystemUsed, Value::Bytes(used)),
        (
            FieldName::FilesystemAvailable,
            Value::Bytes(share(available, total)),
        ),
        (FieldName::FilesystemFilesTotal, Value::Count(files)),
        (
            FieldName::FilesystemFilesUsed,
            Value::Count(two_bits(files.saturating_sub(files_free))),
        ),
        (FieldName::FilesystemReadOnly, Value::Flag(read_only)),
    ]
    .map(|(name, value)| Field::indexed(name, index, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &str = "\
21 1 254:0 / / rw,relatime - ext4 /dev/vda rw
22 21 0:5 / /proc rw - proc proc rw
23 21 0:6 / /run rw,nosuid - tmpfs tmpfs rw,size=1k
24 21 0:6 /sub /mnt\\040space rw shared:5 - tmpfs tmpfs rw
25 21 0:7 / /secret-name rw - nfs4 host:/x rw
26 21 0:8 / /a\\134b rw - overlay overlay rw
";

    #[test]
    fn each_local_filesystem_once_and_no_others() {
        let found = parse(MOUNTINFO);
        let kinds: Vec<_> = found.iter().map(|filesystem| filesystem.kind).collect();
        let wanted = [
            State::RootFilesystem,
            State::MemoryFilesystem,
            State::OverlayFilesystem,
        ];
        assert_eq!(kinds, wanted);
        assert_eq!(found[2].place, Path::new("/a\\b"));
    }

    #[test]
    fn strange_lines_are_passed_over() {
        let text = "\n - \n1 2 3 - tmpfs\n1 2 3 4 5 - \nx\n1 2 3 4 / - tmpfs";
        assert_eq!(parse(text).len(), 1);
        assert_eq!(unescape("\\"), Path::new("\\"));
        assert_eq!(unescape("\\04"), Path::new("\\04"));
        assert_eq!(unescape("\\999\\777"), Path::new("\\999\\777"));
        assert_eq!(unescape("\\\u{e4}\u{e4}"), Path::new("\\\u{e4}\u{e4}"));
    }

    #[test]
    fn use_is_shown_in_64ths() {
        let space = Space {
            total: 64 << 30,
            free: (60 << 30) + 1,
            available: 0,
            files: 1000,
            files_free: 1,
            read_only: true,
        };
        let values = describe(3, State::MemoryFilesystem, &space).map(|field| field.value);
        assert_eq!(values[2], Value::Bytes(3 << 30));
        assert_eq!(values[5], Value::Count(768));
        assert_eq!(values[6], Value::Flag(true));
    }
}
