//! Small logs, and files to meddle with.

use std::path::PathBuf;

use narthex_ledger::{
    CurrentEntry, Digest384, Entry, LogError, LogReader, LogStore, Resource, TILE_WIDTH, Tile,
    Trust, encode_entries, mock::MockLog, parse_entries, tile_at,
};

pub(crate) const ORIGIN: &str = "example.com/log";
/// Two full bundles and an unfinished one.
pub(crate) const SIZE: u64 = 600;

/// A log in a folder that goes away with this.
pub(crate) struct Fixture {
    pub(crate) log: MockLog,
    pub(crate) trust: Trust,
    _directory: tempfile::TempDir,
}

pub(crate) fn entry(number: u64) -> Entry {
    Entry::Current(CurrentEntry {
        time: 1_767_225_600_000 + number,
        bundle: Digest384::of(b"bundle"),
        version: number,
    })
}

pub(crate) fn leaf(number: u64) -> Vec<u8> {
    entry(number).to_leaf().unwrap()
}

impl Fixture {
    pub(crate) fn new(size: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut log = MockLog::create(directory.path().join("log"), ORIGIN, 2).unwrap();
        for number in 0..size {
            assert_eq!(log.append(&entry(number)).unwrap(), number);
        }
        log.publish(1_000).unwrap();
        let trust = log.trust(2).unwrap();
        Self {
            log,
            trust,
            _directory: directory,
        }
    }

    pub(crate) fn grow(&mut self, to: u64) {
        for number in self.log.checkpoint().size..to {
            self.log.append(&entry(number)).unwrap();
        }
        self.log.publish(2_000).unwrap();
    }

    pub(crate) fn path(&self, resource: &Resource) -> PathBuf {
        self.log.folder().path().join(resource.path())
    }

    pub(crate) fn read(&self, resource: &Resource) -> Vec<u8> {
        std::fs::read(self.path(resource)).unwrap()
    }

    pub(crate) fn write(&self, resource: &Resource, bytes: &[u8]) {
        std::fs::write(self.path(resource), bytes).unwrap();
    }

    /// Rewrites one bundle of entries.
    pub(crate) fn meddle(&self, index: u64, change: impl FnOnce(&mut Vec<Vec<u8>>)) {
        let resource = self.bundle(index);
        let Resource::Entries { width, .. } = resource else {
            panic!("another kind")
        };
        let bytes = self.read(&resource);
        let mut entries: Vec<_> = parse_entries(&bytes, width)
            .unwrap()
            .into_iter()
            .map(<[u8]>::to_vec)
            .collect();
        change(&mut entries);
        self.write(&resource, &encode_entries(&entries).unwrap());
    }

    pub(crate) fn bundle(&self, index: u64) -> Resource {
        let width = self.tile(0, index).width;
        Resource::Entries { index, width }
    }

    pub(crate) fn tile(&self, level: u8, index: u64) -> Tile {
        tile_at(level, index, self.log.checkpoint().size).unwrap()
    }

    /// What a reader of the whole log says.
    pub(crate) fn verdict(&self) -> &'static str {
        let verdict = verify(self.log.folder(), &self.trust, 2);
        verdict.map_or_else(|error| error.id(), |()| "verified")
    }
}

pub(crate) fn verify<S: LogStore>(
    store: &S,
    trust: &Trust,
    threads: usize,
) -> Result<(), LogError> {
    let reader = LogReader::open(store, trust)?;
    let verified = reader.verify_all(threads, |_, leaf| Entry::from_leaf(leaf).map(drop))?;
    assert_eq!(verified.size, reader.size());
    Ok(())
}

pub(crate) fn id<T>(result: Result<T, LogError>) -> &'static str {
    result.map_or_else(|error| error.id(), |_| "accepted")
}

pub(crate) const fn full(index: u64) -> Resource {
    Resource::Entries {
        index,
        width: TILE_WIDTH,
    }
}
