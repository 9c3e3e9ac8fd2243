//! Ramdisks: cpio archives of the kind "newc" that Linux unpacks at boot
//! (`Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! The same entries give the same bytes everywhere: paths in the order of their bytes, inodes numbered
//! from 1, times and devices 0.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;

use flate2::{Compression as Level, GzBuilder};

use crate::recipe::Compression;
use crate::refusal::{Refusal, Rule};
use crate::tree::{Attributes, Kind, Tree};

/// File type bits of `st_mode`.
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;
/// Ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// Writes the entries of `tree` as a newc archive. Its length is a multiple of four, so that a plain
/// archive may follow a plain one.
///
/// # Errors
///
/// `tree.limit` when a size does not fit the format's 32 bits.
pub fn archive(tree: &Tree) -> Result<Vec<u8>, Refusal> {
    let links = count_links(tree);
    let mut numbers: HashMap<*const u8, u32> = HashMap::new();
    let mut written: HashMap<*const u8, u32> = HashMap::new();
    let mut writer = Writer::default();
    let mut next: u32 = 0;
    let mut fresh = || {
        next += 1;
        next
    };
    for (path, entry) in tree.iter() {
        let Attributes { mode, .. } = entry.attributes;
        let mut header = Header {
            inode: 0,
            mode: u32::from(mode),
            attributes: entry.attributes,
            links: 1,
        };
        match &entry.kind {
            Kind::Directory => {
                header.inode = fresh();
                header.mode |= DIRECTORY;
                header.links = 2;
                writer.entry(path.relative(), &header, &[])?;
            }
            Kind::Link(target) => {
                header.inode = fresh();
                header.mode |= LINK;
                writer.entry(path.relative(), &header, target.as_bytes())?;
            }
            Kind::File(content) => {
                let key = Arc::as_ptr(content).cast::<u8>();
                header.mode |= FILE;
                header.links = links.get(&key).copied().unwrap_or(1);
                header.inode = *numbers.entry(key).or_insert_with(&mut fresh);
                let written = written.entry(key).or_insert(0);
                *written += 1;
                // Of hard links the last has the content; readers of the format expect it there.
                let last = *written == header.links;
                writer.entry(path.relative(), &header, if last { content } else { &[] })?;
            }
        }
    }
    let end = Header {
        inode: 0,
        mode: 0,
        attributes: Attributes::root(0),
        links: 1,
    };
    writer.entry(TRAILER, &end, &[])?;
    Ok(writer.bytes)
}

/// How many paths share each content. Content is told apart by where it is in memory, which is the same for
/// hard links and for nothing else; the addresses themselves do not reach the archive.
fn count_links(tree: &Tree) -> HashMap<*const u8, u32> {
    let mut links = HashMap::new();
    for (_, entry) in tree.iter() {
        if let Kind::File(content) = &entry.kind {
            *links.entry(Arc::as_ptr(content).cast::<u8>()).or_insert(0) += 1;
        }
    }
    links
}

struct Header {
    inode: u32,
    mode: u32,
    attributes: Attributes,
    links: u32,
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn entry(&mut self, path: &str, header: &Header, content: &[u8]) -> Result<(), Refusal> {
        let size = |size: usize| {
            u32::try_from(size).map_err(|_| {
                Refusal::new(
                    Rule::TreeLimit,
                    format!("/{path}"),
                    "is larger than the 4 GiB that a ramdisk can hold",
                )
            })
        };
        let Attributes { user, group, .. } = header.attributes;
        let fields = [
            header.inode,
            header.mode,
            user,
            group,
            header.links,
            0, // Time of modification.
            size(content.len())?,
            0, // Device, major and minor, that the file was on,
            0,
            0, // and that it is.
            0,
            size(path.len() + 1)?,
            0, // Checksum: none in this kind.
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Packs an archive.
///
/// # Errors
///
/// None that can happen in memory; `image.format` rather than a panic if one does.
pub fn pack(archive: Vec<u8>, compression: Compression) -> Result<Vec<u8>, Refusal> {
    match compression {
        Compression::None => Ok(archive),
        Compression::Gzip => {
            // `GzBuilder` writes time 0, no name and "unknown" as operating system.
            let mut encoder = GzBuilder::new().write(Vec::new(), Level::best());
            encoder
                .write_all(&archive)
                .and_then(|()| encoder.finish())
                .map_err(|error| Refusal::new(Rule::ImageFormat, "ramdisk", error.to_string()))
        }
    }
}
