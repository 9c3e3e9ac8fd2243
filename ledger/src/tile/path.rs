//! Names of resources as paths below a log's prefix: of URLs and of files alike.

use super::{BITS, MAX_LEVEL, TILE_WIDTH, Tile};
use crate::digest::EvidenceDigest;

/// The longest path that is read.
pub const MAX_PATH: usize = 160;

/// Something that a log serves.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Resource {
    /// The newest signed checkpoint.
    Checkpoint,
    /// A tile of hashes.
    Tile(Tile),
    /// A bundle of entries: those under the tile of level 0 with this index.
    Entries {
        /// Which bundle, from the first.
        index: u64,
        /// How many entries, 1 to 256.
        width: u16,
    },
    /// Salted evidence, which is stored beside the log (our own addition to the layout).
    Evidence(EvidenceDigest),
    /// A resource of a finished epoch, which has a tree of its own (our own addition).
    Epoch(u32, Box<Resource>),
}

impl Resource {
    /// The path, without a leading slash.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::new();
        let mut resource = self;
        while let Self::Epoch(number, inner) = resource {
            path.push_str(&format!("epoch/{number}/"));
            resource = inner;
        }
        let plain = match resource {
            // Taken off above.
            Self::Epoch(..) => String::new(),
            Self::Checkpoint => "checkpoint".to_owned(),
            Self::Tile(Tile {
                level,
                index,
                width,
            }) => format!("tile/{level}/{}", numbered(*index, *width)),
            Self::Entries { index, width } => {
                format!("tile/entries/{}", numbered(*index, *width))
            }
            Self::Evidence(digest) => format!("evidence/{digest}"),
        };
        path.push_str(&plain);
        path
    }

    /// Reads a path without a leading slash. Each resource has one path: no other spelling is
    /// read, so nothing in a path can climb out of a folder.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        if path.len() > MAX_PATH {
            return None;
        }
        if let Some(rest) = path.strip_prefix("epoch/") {
            let (number, inner) = rest.split_once('/')?;
            let number = u32::try_from(small_number(number, 10)?).ok()?;
            return Some(Self::Epoch(number, Box::new(parse_plain(inner)?)));
        }
        parse_plain(path)
    }

    /// Whether the bytes under this name can never change.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        match self {
            Self::Checkpoint => false,
            Self::Tile(_) | Self::Entries { .. } | Self::Evidence(_) | Self::Epoch(..) => true,
        }
    }
}

impl core::fmt::Display for Resource {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(&self.path())
    }
}

fn parse_plain(path: &str) -> Option<Resource> {
    if path == "checkpoint" {
        return Some(Resource::Checkpoint);
    }
    if let Some(digest) = path.strip_prefix("evidence/") {
        return EvidenceDigest::parse(digest).map(Resource::Evidence);
    }
    let (kind, rest) = path.strip_prefix("tile/")?.split_once('/')?;
    if kind == "entries" {
        let (index, width) = parse_numbered(rest, 0)?;
        return Some(Resource::Entries { index, width });
    }
    let level = u8::try_from(small_number(kind, 2)?).ok()?;
    if level > MAX_LEVEL {
        return None;
    }
    let (index, width) = parse_numbered(rest, level)?;
    Some(Resource::Tile(Tile {
        level,
        index,
        width,
    }))
}

/// `x001/x234/067`, and `.p/112` behind it for what is not full.
fn numbered(index: u64, width: u16) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    if width != TILE_WIDTH {
        path.push_str(&format!(".p/{width}"));
    }
    path
}

fn parse_numbered(path: &str, level: u8) -> Option<(u64, u16)> {
    let (digits, width) = match path.split_once(".p/") {
        Some((digits, width)) => (digits, u16::try_from(small_number(width, 3)?).ok()?),
        None => (path, TILE_WIDTH),
    };
    let partial = (1..TILE_WIDTH).contains(&width);
    if !partial && digits.len() != path.len() {
        return None;
    }
    let mut index = 0_u64;
    let mut groups = digits.split('/').peekable();
    while let Some(group) = groups.next() {
        let number = match (group.strip_prefix('x'), groups.peek()) {
            (Some(number), Some(_)) => number,
            (None, None) => group,
            (Some(_), None) | (None, Some(_)) => return None,
        };
        if number.len() != 3 || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        index = index
            .checked_mul(1000)?
            .checked_add(number.parse::<u64>().ok()?)?;
    }
    // No tree has more tiles of this level; and a group too many in front would be a second name.
    let most = (u64::MAX >> 1).checked_shr(u32::from(level + 1) * u32::from(BITS));
    (index <= most.unwrap_or(0) && numbered(index, width) == path).then_some((index, width))
}

/// Decimal digits without superfluous zero, at most `digits` of them.
fn small_number(text: &str, digits: usize) -> Option<u64> {
    (text.len() <= digits)
        .then(|| crate::checkpoint::parse_decimal(text))
        .flatten()
}
