//! The mirror: what it copies, what it refuses, and how it goes on after it was killed.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
#![allow(clippy::unreachable)] // Tests say by panicking.

mod http_support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_support::listen;
use narthex_ledger::mock::MockLog;
use narthex_ledger::tokio::{
    ClientLimits, EarlierEpoch, Everyone, HttpAddress, HttpLog, Mirror, MirrorReport, serve_log,
};
use narthex_ledger::{
    BootId, Digest384, Entry, Evidence, EvidenceDigest, EvidenceKind, Folder, KeyKind, LogError,
    LogReader, LogReason, LogStore, PurgeEntry, Resource, Salt, SaltedEvidence, SessionHash,
    SigningKey, StatementEntry, StoreError, Trust,
};
use tempfile::TempDir;

/// In memory where there is such a thing: thousands of small files are synced here.
fn room() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// A log with evidence for each entry.
struct Source {
    _folder: TempDir,
    log: MockLog,
    time: u64,
    digests: Vec<EvidenceDigest>,
}

impl Source {
    fn new() -> Self {
        let folder = room();
        let log = MockLog::create(folder.path().join("log"), "example.com/log", 2).unwrap();
        Self {
            _folder: folder,
            log,
            time: 1000,
            digests: Vec::new(),
        }
    }

    fn of(size: u64) -> Self {
        let mut source = Self::new();
        source.grow(size, "a");
        source
    }

    /// The same log, key and witnesses, up to `size` and then otherwise.
    fn fork(&self, size: u64, more: u64) -> Self {
        let folder = room();
        let again = |key: &SigningKey| SigningKey::parse(&key.to_text()).unwrap();
        let witnesses = self.log.witnesses().iter().map(again).collect();
        let path = folder.path().join("log");
        let log = MockLog::with_keys(path, again(self.log.key()), witnesses).unwrap();
        let mut fork = Self {
            _folder: folder,
            log,
            time: 1000,
            digests: Vec::new(),
        };
        fork.grow(size, "a");
        fork.grow(more, "b");
        fork
    }

    fn grow(&mut self, count: u64, history: &str) {
        for _ in 0..count {
            self.append_statement(history);
        }
        self.publish();
    }

    fn append_statement(&mut self, history: &str) {
        self.time += 1;
        let statement = format!("{history} {}", self.time);
        let evidence = Evidence::statement(&[1; 32], b"document", statement.as_bytes()).unwrap();
        let salt = Salt(*Digest384::of(statement.as_bytes()).0.first_chunk().unwrap());
        let evidence = SaltedEvidence { salt, evidence };
        let digest = self.log.keep(&evidence).unwrap();
        let entry = Entry::Statement(StatementEntry {
            time: self.time,
            enclave: "i-0123456789abcdef0-enc0123456789abcdef".to_owned(),
            boot: BootId([3; 16]),
            session: SessionHash([1; 32]),
            evidence: digest,
            accepted: 1,
            refused: 0,
            chain_head: Digest384::of(b"chain"),
            bundle: Digest384::of(b"bundle"),
            submitter: None,
        });
        self.log.append(&entry).unwrap();
        self.digests.push(digest);
    }

    /// Deletes the first `count` pieces of evidence, and says so.
    fn purge(&mut self, count: u64, kinds: Vec<EvidenceKind>, before: u64) {
        for digest in &self.digests[..usize::try_from(count).unwrap()] {
            self.log
                .folder()
                .remove(&Resource::Evidence(*digest))
                .unwrap();
        }
        self.time += 1;
        let entry = Entry::Purge(PurgeEntry {
            time: self.time,
            before,
            kinds,
            count,
        });
        self.log.append(&entry).unwrap();
        self.publish();
    }

    fn publish(&mut self) {
        self.log.publish(1_700_000_000 + self.time).unwrap();
    }

    fn trust(&self) -> Trust {
        self.log.trust(2).unwrap()
    }

    fn evidence_path(&self, index: usize) -> PathBuf {
        self.path()
            .join(Resource::Evidence(self.digests[index]).path())
    }

    fn path(&self) -> &Path {
        self.log.folder().path()
    }
}

struct Copy {
    _folder: TempDir,
    folder: Folder,
}

impl Copy {
    fn new() -> Self {
        let parent = room();
        let folder = Folder::create(parent.path().join("copy")).unwrap();
        Self {
            _folder: parent,
            folder,
        }
    }

    fn run(&self, source: &Source) -> Result<MirrorReport, LogError> {
        Mirror::new(source.log.folder(), &self.folder, &source.trust()).run()
    }

    fn run_from(&self, store: &dyn LogStore, source: &Source) -> Result<MirrorReport, LogError> {
        Mirror::new(store, &self.folder, &source.trust()).run()
    }

    /// Everything that is there, by path.
    fn content(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut all = BTreeMap::new();
        read_all(self.folder.path(), &mut all);
        all.retain(|path, _| !path.ends_with(".mirror.lock"));
        all
    }

    #[track_caller]
    fn is_whole(&self, source: &Source, size: u64) {
        verify(&self.folder, &source.trust(), size);
    }

    /// Refused for this reason, nothing of what was there changed, and the contradiction kept if it is one.
    #[track_caller]
    fn refuses(&self, store: &dyn LogStore, source: &Source, reason: LogReason) {
        let before = self.content();
        let error = self.run_from(store, source).unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        let after = self.content();
        for (path, bytes) in &before {
            assert_eq!(after.get(path), Some(bytes), "{}", path.display());
        }
    }
}

fn read_all(folder: &Path, all: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, all);
        } else {
            all.insert(path.clone(), fs::read(path).unwrap());
        }
    }
}

/// The folder holds a whole log of `size` entries with all evidence that was not purged.
#[track_caller]
fn verify(folder: &Folder, trust: &Trust, size: u64) {
    let reader = LogReader::open(folder, trust).unwrap();
    assert_eq!(reader.size(), size);
    let purges: Mutex<Vec<PurgeEntry>> = Mutex::default();
    let missing: Mutex<Vec<u64>> = Mutex::default();
    reader
        .verify_all(2, |_, leaf| {
            let entry = Entry::from_leaf(leaf).unwrap();
            for digest in entry.evidence() {
                if reader.evidence(&digest)?.is_none() {
                    missing.lock().unwrap().push(entry.time());
                }
            }
            if let Entry::Purge(purge) = entry {
                purges.lock().unwrap().push(purge);
            }
            Ok(())
        })
        .unwrap();
    let purges = purges.into_inner().unwrap();
    for time in missing.into_inner().unwrap() {
        assert!(purges.iter().any(|purge| purge.before > time), "{time}");
    }
}

#[test]
fn it_grows_with_its_log() {
    let mut source = Source::of(3);
    let copy = Copy::new();
    let report = copy.run(&source).unwrap();
    assert_eq!((report.from, report.to, report.evidence), (0, 3, 3));
    copy.is_whole(&source, 3);
    let mut size = 3;
    for step in [0, 1, 252, 1, 300, 0, 512, 5] {
        source.grow(step, "a");
        let report = copy.run(&source).unwrap();
        assert_eq!((report.from, report.to), (size, size + step));
        assert_eq!(report.evidence, step);
        size += step;
        copy.is_whole(&source, size);
    }
    // The folder is what the source is, partial tiles that were filled apart.
    let mut expected = BTreeMap::new();
    read_all(source.path(), &mut expected);
    for (path, bytes) in copy.content() {
        let below = path.strip_prefix(copy.folder.path()).unwrap();
        let original = source.path().join(below);
        assert_eq!(expected.get(&original), Some(&bytes), "{}", below.display());
    }
    let partials = |path: &PathBuf| path.to_string_lossy().contains("/tile/0/000.p/");
    assert!(!copy.content().keys().any(partials));
}

#[test]
fn a_fresher_checkpoint_of_the_same_size_replaces_the_older() {
    let mut source = Source::of(3);
    let copy = Copy::new();
    copy.run(&source).unwrap();
    let trust = source.trust();
    let fresh_at = |copy: &Copy| {
        let reader = LogReader::open(&copy.folder, &trust).unwrap();
        reader.head().fresh_at().unwrap()
    };
    let first = fresh_at(&copy);
    source.log.publish(first + 500).unwrap();
    copy.run(&source).unwrap();
    assert_eq!(fresh_at(&copy), first + 500);
    // But not the other way round.
    source.log.publish(first + 100).unwrap();
    copy.run(&source).unwrap();
    assert_eq!(fresh_at(&copy), first + 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_copies_through_a_server() {
    let source = Source::of(600);
    let (listener, address) = listen().await;
    let store = Arc::new(Folder::open(source.path()).unwrap());
    let serving = tokio::spawn(serve_log(
        vec![listener],
        store,
        Arc::new(Everyone),
        std::future::pending(),
    ));
    tokio::task::spawn_blocking(move || {
        let log = HttpLog::new(HttpAddress::tcp(address), None, ClientLimits::default()).unwrap();
        let copy = Copy::new();
        let progress = AtomicUsize::new(0);
        let trust = source.trust();
        let report = Mirror::new(&log, &copy.folder, &trust)
            .with_progress(|at| {
                assert!(at.entries <= at.of && at.of == 600);
                progress.fetch_add(1, Ordering::Relaxed);
            })
            .run()
            .unwrap();
        assert_eq!((report.to, report.evidence), (600, 600));
        assert_eq!(progress.into_inner(), 3);
        copy.is_whole(&source, 600);
    })
    .await
    .unwrap();
    serving.abort();
}

#[test]
fn a_log_that_went_back_or_forked_is_refused_and_the_copy_stays() {
    let source = Source::of(300);
    let copy = Copy::new();
    copy.run(&source).unwrap();
    let conflict = copy.folder.path().join("conflicting-checkpoint");
    for (other, reason) in [
        (source.fork(299, 0), LogReason::Behind),
        (source.fork(1, 0), LogReason::Behind),
        (source.fork(100, 1), LogReason::Behind),
        (source.fork(299, 1), LogReason::Forked),
        (source.fork(0, 300), LogReason::Forked),
        (source.fork(299, 2), LogReason::Consistency),
        (source.fork(0, 700), LogReason::Consistency),
    ] {
        copy.refuses(other.log.folder(), &source, reason);
        let note = LogReader::newest(other.log.folder()).unwrap();
        assert_eq!(fs::read_to_string(&conflict).unwrap(), note.to_string());
        fs::remove_file(&conflict).unwrap();
    }
    // The first contradiction is kept, not the last.
    let (first, second) = (source.fork(299, 1), source.fork(298, 2));
    copy.refuses(first.log.folder(), &source, LogReason::Forked);
    let kept = fs::read(&conflict).unwrap();
    copy.refuses(second.log.folder(), &source, LogReason::Forked);
    assert_eq!(fs::read(&conflict).unwrap(), kept);
    copy.is_whole(&source, 300);
}

#[test]
fn checkpoints_that_are_not_signed_and_cosigned_as_asked_are_refused() {
    let mut source = Source::of(300);
    let copy = Copy::new();
    copy.run(&source).unwrap();
    source.append_statement("a");
    let time = 1_800_000_000;
    source.log.publish_cosigned(&[Some(time), None]).unwrap();
    copy.refuses(source.log.folder(), &source, LogReason::Quorum);

    let path = source.path().join("checkpoint");
    let note = fs::read_to_string(&path).unwrap();
    for (altered, reason) in [
        (note.replacen("\n301\n", "\n302\n", 1), LogReason::Signature),
        (
            note.replacen("example.com/log\n", "example.com/lob\n", 1),
            LogReason::Origin,
        ),
        (note.chars().take(40).collect(), LogReason::Malformed),
        (String::new(), LogReason::Malformed),
        ("\u{2014}".repeat(40_000), LogReason::Malformed),
    ] {
        fs::write(&path, &altered).unwrap();
        copy.refuses(source.log.folder(), &source, reason);
    }
    fs::remove_file(&path).unwrap();
    copy.refuses(source.log.folder(), &source, LogReason::Missing);
    // Another log altogether.
    let other = Source::of(400);
    copy.refuses(other.log.folder(), &source, LogReason::Signature);
    let mut elsewhere = Source::new();
    elsewhere.log = MockLog::create(elsewhere.path().join("x"), "other.example", 2).unwrap();
    elsewhere.grow(3, "a");
    copy.refuses(elsewhere.log.folder(), &source, LogReason::Origin);
    // A folder with the copy of another log.
    let error = copy.run(&elsewhere).unwrap_err();
    assert_eq!(error.reason(), LogReason::Origin);
    assert!(error.detail().contains("copy of another log"), "{error}");
}

/// A store that changes what it gives out.
struct Altering<'s, F> {
    store: &'s Folder,
    alter: F,
}

impl<F> LogStore for Altering<'_, F>
where
    F: Fn(&str, Option<Vec<u8>>) -> Result<Option<Vec<u8>>, StoreError> + Send + Sync,
{
    fn get(&self, resource: &Resource) -> Result<Option<Vec<u8>>, StoreError> {
        (self.alter)(&resource.path(), self.store.get(resource)?)
    }
}

#[test]
fn what_does_not_belong_to_the_tree_is_refused() {
    let mut source = Source::of(10);
    let copies: Vec<_> = (0..14)
        .map(|_| {
            let copy = Copy::new();
            copy.run(&source).unwrap();
            copy
        })
        .collect();
    source.grow(890, "a");
    let trust = source.trust();
    let mut unused = copies.iter();
    for (under, reason) in [
        ("tile/0/001", LogReason::Tile),
        ("tile/0/002", LogReason::Tile),
        ("tile/0/003.p/132", LogReason::Root),
        ("tile/1/000.p/3", LogReason::Root),
        ("tile/entries/001", LogReason::Entries),
        ("tile/entries/003.p/132", LogReason::Entries),
        ("evidence/", LogReason::Evidence),
    ] {
        for gone in [false, true] {
            let store = Altering {
                store: source.log.folder(),
                alter: |path: &str, bytes: Option<Vec<u8>>| {
                    if gone && path.starts_with(under) {
                        return Ok(None);
                    }
                    Ok(bytes.map(|mut bytes| {
                        if path.starts_with(under) {
                            let last = bytes.len() - 1;
                            bytes[last] ^= 1;
                        }
                        bytes
                    }))
                },
            };
            let reason = match (gone, reason) {
                (true, LogReason::Evidence) => LogReason::Evidence,
                (true, _) => LogReason::Missing,
                (false, reason) => reason,
            };
            let copy = unused.next().unwrap();
            let before = fs::read(copy.folder.path().join("checkpoint")).unwrap();
            let mut mirror = Mirror::new(&store, &copy.folder, &trust);
            if reason != LogReason::Evidence {
                mirror = mirror.without_evidence();
            }
            let error = mirror.run().unwrap_err();
            assert_eq!(error.reason(), reason, "{under}: {error}");
            let after = fs::read(copy.folder.path().join("checkpoint")).unwrap();
            assert_eq!(before, after);
        }
    }
    // None of that stands in the way of the true ones.
    let copy = &copies[0];
    assert_eq!(copy.run(&source).unwrap().to, 900);
    copy.is_whole(&source, 900);
}

#[test]
fn a_bundle_that_is_cut_or_goes_on_is_refused() {
    let source = Source::of(300);
    for longer in [false, true] {
        let store = Altering {
            store: source.log.folder(),
            alter: |path: &str, bytes: Option<Vec<u8>>| {
                Ok(bytes.map(|mut bytes| {
                    if path.starts_with("tile/entries/000") {
                        if longer {
                            bytes.push(0);
                        } else {
                            bytes.pop();
                        }
                    }
                    bytes
                }))
            },
        };
        let error = Copy::new().run_from(&store, &source).unwrap_err();
        assert_eq!(error.reason(), LogReason::Malformed, "{error}");
    }
}

#[test]
fn evidence_that_was_purged_may_be_gone_and_nothing_else() {
    let kinds = || vec![EvidenceKind::Statement];
    // Explained.
    let mut source = Source::of(300);
    source.purge(100, kinds(), 1101);
    source.grow(10, "a");
    let copy = Copy::new();
    let report = copy.run(&source).unwrap();
    assert_eq!((report.to, report.evidence, report.purged), (311, 210, 100));
    copy.is_whole(&source, 311);

    // Not explained: of another kind, later than the purge says, or by nothing at all.
    for (kinds, before) in [
        (vec![EvidenceKind::Order], 5000),
        (kinds(), 1100),
        (kinds(), 0),
    ] {
        let mut source = Source::of(300);
        source.purge(100, kinds, before);
        let copy = Copy::new();
        let error = copy.run(&source).unwrap_err();
        assert_eq!(error.reason(), LogReason::Evidence, "{error}");
        assert!(error.detail().contains("no entry says"), "{error}");
        assert!(!copy.folder.path().join("checkpoint").exists());
    }

    // A purge explains what came before it, not after.
    let mut source = Source::of(10);
    source.purge(0, kinds(), 9999);
    source.grow(1, "a");
    let copy = Copy::new();
    copy.run(&source).unwrap();
    source.grow(1, "a");
    fs::remove_file(source.evidence_path(11)).unwrap();
    let error = copy.run(&source).unwrap_err();
    assert_eq!(error.reason(), LogReason::Evidence, "{error}");
    assert!(error.detail().contains("of entry 12"), "{error}");
    // Whoever wants the log nevertheless has it, and is told once.
    let trust = source.trust();
    let report = Mirror::new(source.log.folder(), &copy.folder, &trust)
        .accepting_missing_evidence()
        .run()
        .unwrap();
    assert_eq!(report.to, 13);
    let missing: Vec<_> = report.missing.iter().map(|piece| piece.index).collect();
    assert_eq!(missing, [12]);
    assert_eq!(copy.run(&source).unwrap().missing, []);
}

#[test]
fn a_purge_that_happens_during_a_run_explains_too() {
    let source = Mutex::new(Source::of(300));
    let (folder, trust) = {
        let source = source.lock().unwrap();
        (Folder::open(source.path()).unwrap(), source.trust())
    };
    let asked = AtomicUsize::new(0);
    let store = Altering {
        store: &folder,
        alter: |path: &str, bytes: Option<Vec<u8>>| {
            if path.starts_with("evidence/") && asked.fetch_add(1, Ordering::SeqCst) == 20 {
                let mut source = source.lock().unwrap();
                source.purge(200, vec![EvidenceKind::Statement], 1201);
            }
            Ok(bytes)
        },
    };
    let copy = Copy::new();
    let report = Mirror::new(&store, &copy.folder, &trust).run().unwrap();
    assert_eq!(report.to, 301);
    copy.is_whole(&source.lock().unwrap(), 301);
}

#[test]
fn evidence_is_left_out_on_request_and_where_entries_are_not_ours() {
    let source = Source::of(300);
    let (copy, trust) = (Copy::new(), source.trust());
    let report = Mirror::new(source.log.folder(), &copy.folder, &trust)
        .without_evidence()
        .run()
        .unwrap();
    assert_eq!((report.to, report.evidence), (300, 0));
    assert!(!copy.folder.path().join("evidence").exists());

    let mut strange = Source::new();
    for index in 0..300_u32 {
        strange.log.append_leaf(&index.to_be_bytes()).unwrap();
    }
    strange.publish();
    let copy = Copy::new();
    let report = copy.run(&strange).unwrap();
    assert_eq!((report.to, report.unreadable), (300, 300));
    let reader = LogReader::open(&copy.folder, &strange.trust()).unwrap();
    reader.verify_all(2, |_, _| Ok(())).unwrap();
}

#[test]
fn a_run_that_breaks_off_is_made_up_for_by_the_next() {
    let mut source = Source::of(300);
    let copy = Copy::new();
    copy.run(&source).unwrap();
    source.grow(900, "a");
    let fetched = AtomicUsize::new(0);
    let mut runs = 0;
    loop {
        runs += 1;
        let left = AtomicUsize::new(150);
        let store = Altering {
            store: source.log.folder(),
            alter: |path: &str, bytes: Option<Vec<u8>>| {
                let one_less = |left: usize| left.checked_sub(1);
                if left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
                    .is_err()
                {
                    return Err(StoreError::unavailable("the line went dead"));
                }
                if path.starts_with("evidence/") {
                    fetched.fetch_add(1, Ordering::SeqCst);
                }
                Ok(bytes)
            },
        };
        match copy.run_from(&store, &source) {
            Ok(_) => break,
            Err(error) => {
                assert_eq!(error.reason(), LogReason::Unavailable, "{error}");
                copy.is_whole(&source, 300);
            }
        }
        assert!(runs < 50, "no progress");
    }
    assert!(runs > 4, "{runs}");
    copy.is_whole(&source, 1200);
    // Nothing that arrived was fetched again.
    assert_eq!(fetched.into_inner(), 900);
}

#[test]
fn what_is_damaged_beyond_the_checkpoint_is_replaced() {
    let mut source = Source::of(300);
    let copy = Copy::new();
    copy.run(&source).unwrap();
    source.grow(600, "a");
    let top = copy.folder.path();
    let place = |path: &str, bytes: &[u8]| {
        let path = top.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let whole = fs::read(source.path().join("tile/entries/001")).unwrap();
    let mut altered = whole.clone();
    altered[100] ^= 1;
    place("tile/entries/001", &altered);
    place("tile/entries/002", &whole);
    place("tile/entries/003.p/132", b"");
    place("tile/0/001", &[0; 8192]);
    place("tile/0/002", &[0; 10_000]);
    let piece = Resource::Evidence(source.digests[500]).path();
    place(&piece, b"garbage");
    copy.run(&source).unwrap();
    copy.is_whole(&source, 900);
}

#[test]
fn two_mirrors_in_one_folder_are_one_too_many() {
    let source = Source::of(10);
    let copy = Copy::new();
    let inner = Mutex::new(None);
    let store = Altering {
        store: source.log.folder(),
        alter: |_: &str, bytes: Option<Vec<u8>>| {
            inner
                .lock()
                .unwrap()
                .get_or_insert_with(|| copy.run(&source));
            Ok(bytes)
        },
    };
    copy.run_from(&store, &source).unwrap();
    let error = inner.into_inner().unwrap().unwrap().unwrap_err();
    assert_eq!(error.reason(), LogReason::Unavailable);
    assert!(error.detail().contains("another mirror"), "{error}");
}

/// Ends the source's epoch and begins the next; how the policy would name the one that ended.
fn begin_epoch(source: &mut Source) -> EarlierEpoch {
    let ended = source.log.checkpoint();
    let log = source.log.key().verifier_key();
    let key = SigningKey::generate("example.com/log-2", KeyKind::Log).unwrap();
    source.log.begin_epoch(key).unwrap();
    EarlierEpoch {
        log,
        size: ended.size,
        root: ended.root,
    }
}

fn run_over(
    source: &Source,
    copy: &Copy,
    earlier: &[EarlierEpoch],
) -> Result<MirrorReport, LogError> {
    Mirror::new(source.log.folder(), &copy.folder, &source.trust())
        .with_earlier_epochs(earlier.to_vec())
        .run()
}

#[track_caller]
fn epoch_is_whole(copy: &Copy, number: u32, earlier: &EarlierEpoch, size: u64) {
    let store = narthex_ledger::InEpoch {
        store: &copy.folder,
        epoch: number,
    };
    let trust = Trust::new(earlier.log.clone(), Vec::new(), 0).unwrap();
    let reader = LogReader::open(&store, &trust).unwrap();
    assert_eq!(reader.size(), size);
    reader.verify_all(2, |_, _| Ok(())).unwrap();
}

#[test]
fn it_follows_a_log_into_its_next_epoch() {
    let mut source = Source::of(300);
    // One has seen all of the first epoch, one a part, one nothing.
    let (whole, part, nothing) = (Copy::new(), Copy::new(), Copy::new());
    part.run(&source).unwrap();
    source.grow(300, "a");
    whole.run(&source).unwrap();
    let earlier = [begin_epoch(&mut source)];
    source.grow(20, "a");
    // Without the policy that begins the epoch it is another log.
    let old_trust = Trust::new(earlier[0].log.clone(), Vec::new(), 0).unwrap();
    let error = Mirror::new(source.log.folder(), &whole.folder, &old_trust).run();
    let error = error.unwrap_err();
    assert_eq!(error.reason(), LogReason::Origin);
    assert!(error.detail().contains("new epoch"), "{error}");
    for (copy, evidence) in [(&whole, 20), (&part, 320), (&nothing, 620)] {
        let report = run_over(&source, copy, &earlier).unwrap();
        assert_eq!((report.from, report.to), (0, 20));
        assert_eq!(report.evidence, evidence);
        assert_eq!((report.lost_by_source, report.missing_epochs), (0, vec![]));
        copy.is_whole(&source, 20);
        epoch_is_whole(copy, 0, &earlier[0], 600);
        source.digests.iter().for_each(|digest| {
            assert!(
                copy.folder
                    .get(&Resource::Evidence(*digest))
                    .unwrap()
                    .is_some()
            );
        });
        let again = run_over(&source, copy, &earlier).unwrap();
        assert_eq!((again.from, again.to, again.evidence), (20, 20, 0));
    }
}

#[test]
fn what_the_log_forgot_at_the_end_of_an_epoch_is_kept_and_counted() {
    let source = Source::of(600);
    let copy = Copy::new();
    copy.run(&source).unwrap();
    // The service was restored to an older state and began anew from there.
    let mut restored = source.fork(550, 0);
    let earlier = [begin_epoch(&mut restored)];
    restored.grow(5, "c");
    let report = run_over(&restored, &copy, &earlier).unwrap();
    assert_eq!((report.to, report.lost_by_source), (5, 50));
    epoch_is_whole(&copy, 0, &earlier[0], 600);

    // A policy that names another history is refused.
    let copy = Copy::new();
    copy.run(&source).unwrap();
    let before = fs::read(copy.folder.path().join("checkpoint")).unwrap();
    let mut forked = source.fork(540, 10);
    let earlier = [begin_epoch(&mut forked)];
    forked.grow(5, "c");
    let error = run_over(&forked, &copy, &earlier).unwrap_err();
    assert_eq!(error.reason(), LogReason::Forked, "{error}");
    // Nothing is lost: it lies where earlier epochs do.
    let kept = copy.folder.path().join("epoch/0/checkpoint");
    assert_eq!(fs::read(kept).unwrap(), before);
}

#[test]
fn a_mirror_of_a_mirror_has_what_the_log_forgot() {
    let source = Source::of(600);
    let copy = Copy::new();
    copy.run(&source).unwrap();
    let mut restored = source.fork(550, 0);
    let earlier = [begin_epoch(&mut restored)];
    restored.grow(5, "c");
    run_over(&restored, &copy, &earlier).unwrap();
    let second = Copy::new();
    let report = Mirror::new(&copy.folder, &second.folder, &restored.trust())
        .with_earlier_epochs(earlier.to_vec())
        .run()
        .unwrap();
    assert_eq!((report.to, report.evidence), (5, 605));
    epoch_is_whole(&second, 0, &earlier[0], 600);
}

#[test]
fn an_epoch_that_nobody_has_any_more_is_named() {
    let mut source = Source::of(30);
    let earlier = [begin_epoch(&mut source)];
    source.grow(5, "a");
    fs::remove_dir_all(source.path().join("epoch")).unwrap();
    let copy = Copy::new();
    let report = run_over(&source, &copy, &earlier).unwrap();
    assert_eq!((report.to, report.missing_epochs), (5, vec![0]));
    copy.is_whole(&source, 5);
}

#[test]
fn an_epoch_that_does_not_end_as_the_policy_says_is_refused() {
    let mut source = Source::of(30);
    let earlier = begin_epoch(&mut source);
    source.grow(5, "a");
    let other_root = EarlierEpoch {
        root: narthex_ledger::Hash([7; 32]),
        ..earlier.clone()
    };
    let longer = EarlierEpoch {
        size: 31,
        ..earlier.clone()
    };
    let shorter = EarlierEpoch {
        size: 29,
        ..earlier
    };
    for (earlier, reason) in [
        (other_root, LogReason::Forked),
        (longer, LogReason::Behind),
        (shorter, LogReason::Forked),
    ] {
        let error = run_over(&source, &Copy::new(), &[earlier]).unwrap_err();
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.detail().contains("epoch 0"), "{error}");
    }
}

#[test]
fn killed_while_an_epoch_moves_away_it_goes_on_there() {
    let mut source = Source::of(300);
    let copy = Copy::new();
    copy.run(&source).unwrap();
    let earlier = [begin_epoch(&mut source)];
    source.grow(5, "a");
    let top = copy.folder.path();
    fs::create_dir_all(top.join("epoch/0")).unwrap();
    fs::rename(top.join("tile"), top.join("epoch/0/tile")).unwrap();
    let report = run_over(&source, &copy, &earlier).unwrap();
    assert_eq!(report.to, 5);
    epoch_is_whole(&copy, 0, &earlier[0], 300);
    copy.is_whole(&source, 5);
}

const SOURCE: &str = "MIRROR_KILL_SOURCE";
const TARGET: &str = "MIRROR_KILL_TARGET";
const POLICY: &str = "MIRROR_KILL_POLICY";

/// Not a test: the process that is killed. Does nothing unless it is told its folders.
#[test]
fn child() {
    let (Some(source), Some(target)) = (std::env::var_os(SOURCE), std::env::var_os(TARGET)) else {
        return;
    };
    let trust = Trust::parse_policy(&std::env::var(POLICY).unwrap()).unwrap();
    let source = Folder::open(source).unwrap();
    let folder = Folder::create(target).unwrap();
    println!("\ncopying");
    Mirror::new(&source, &folder, &trust).run().unwrap();
    println!("\ndone");
}

#[test]
fn killed_at_any_moment_the_copy_is_whole_at_its_checkpoint() {
    let mut source = Source::of(1);
    let parent = room();
    let target = parent.path().join("copy");
    let folder = Folder::create(&target).unwrap();
    let (mut size, mut interrupted) = (1, 0);
    for round in 0..40_u64 {
        let step = 1 + (round * 37) % 300;
        source.grow(step, "a");
        size += step;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(SOURCE, source.path())
            .env(TARGET, &target)
            .env(POLICY, source.trust().to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis((round * 7) % 45));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let Some(note) = folder.get(&Resource::Checkpoint).unwrap() else {
            interrupted += 1;
            continue;
        };
        let note = String::from_utf8(note).unwrap();
        let held: u64 = note.lines().nth(1).unwrap().parse().unwrap();
        if held != size {
            interrupted += 1;
            assert!(!status.success());
        }
        verify(&folder, &source.trust(), held);
    }
    assert!(interrupted > 5, "{interrupted}");
    let trust = source.trust();
    Mirror::new(source.log.folder(), &folder, &trust)
        .run()
        .unwrap();
    verify(&folder, &trust, size);
}
