//! The folder itself: whole files, durable in the right order, and nothing outside of it.

use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use narthex_ledger::{Folder, LogStore, MAX_NOTE, Resource, StoreErrorKind, Tile};

use super::support::full;

const TILE: Resource = Resource::Tile(Tile {
    level: 0,
    index: 1_234_067,
    width: 2,
});

fn folder() -> (tempfile::TempDir, Folder) {
    let directory = tempfile::tempdir().unwrap();
    let folder = Folder::create(directory.path().join("a/b")).unwrap();
    (directory, folder)
}

#[test]
fn what_is_put_is_found_at_its_path() {
    let (_directory, folder) = folder();
    assert_eq!(folder.get(&TILE).unwrap(), None);
    folder.put(&TILE, &[7; 64]).unwrap();
    folder.put(&TILE, &[8; 64]).unwrap();
    assert_eq!(folder.get(&TILE).unwrap(), Some(vec![8; 64]));
    let path = folder.path().join("tile/0/x001/x234/067.p/2");
    assert_eq!(std::fs::read(path).unwrap(), [8; 64]);
    for resource in [
        Resource::Checkpoint,
        full(3),
        Resource::Epoch(0, Box::new(Resource::Checkpoint)),
        Resource::Epoch(4, Box::new(full(1000))),
    ] {
        folder.put(&resource, b"text").unwrap();
        assert_eq!(folder.get(&resource).unwrap(), Some(b"text".to_vec()));
    }
    folder.sync().unwrap();
    // Another reader of the same folder.
    let again = Folder::open(folder.path()).unwrap();
    assert_eq!(again.get(&full(3)).unwrap(), Some(b"text".to_vec()));
    folder.remove(&full(3)).unwrap();
    assert_eq!(again.get(&full(3)).unwrap(), None);
    folder.remove(&full(4)).unwrap();
    folder.sync().unwrap();
}

#[test]
fn nothing_is_left_behind() {
    let (_directory, folder) = folder();
    for _ in 0..10 {
        folder.put(&Resource::Checkpoint, b"x").unwrap();
    }
    let names: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|found| found.unwrap().file_name())
        .collect();
    assert_eq!(names, ["checkpoint"]);
}

#[test]
fn a_place_that_is_taken_is_left_alone() {
    let (_directory, folder) = folder();
    std::fs::create_dir(folder.path().join("checkpoint")).unwrap();
    assert!(folder.put(&Resource::Checkpoint, b"x").is_err());
    assert!(folder.get(&Resource::Checkpoint).is_err());
    std::fs::write(folder.path().join("tile"), b"").unwrap();
    assert!(folder.put(&TILE, &[0; 64]).is_err());
    assert!(folder.get(&TILE).is_err());
}

#[test]
fn only_folders_are_opened() {
    let (directory, folder) = folder();
    assert!(Folder::open(directory.path().join("missing")).is_err());
    folder.put(&Resource::Checkpoint, b"x").unwrap();
    assert!(Folder::open(folder.path().join("checkpoint")).is_err());
}

#[test]
fn links_are_not_followed() {
    let (directory, folder) = folder();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, b"secret").unwrap();
    symlink(&secret, folder.path().join("checkpoint")).unwrap();
    let error = folder.get(&Resource::Checkpoint).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Malformed);
    // Writing replaces the link, not what it leads to.
    folder.put(&Resource::Checkpoint, b"new").unwrap();
    assert_eq!(std::fs::read(&secret).unwrap(), b"secret");
    assert_eq!(
        folder.get(&Resource::Checkpoint).unwrap(),
        Some(b"new".to_vec())
    );

    let elsewhere = directory.path().join("elsewhere");
    std::fs::create_dir_all(elsewhere.join("entries")).unwrap();
    std::fs::write(elsewhere.join("entries/000"), b"secret").unwrap();
    symlink(&elsewhere, folder.path().join("tile")).unwrap();
    assert!(folder.get(&full(0)).is_err());
    assert!(folder.put(&full(1), b"new").is_err());
    assert!(!elsewhere.join("entries/001").exists());
    // A link that leads nowhere.
    symlink("nowhere", folder.path().join("evidence")).unwrap();
    let evidence = Resource::Evidence(narthex_ledger::EvidenceDigest([0; 48]));
    assert!(folder.get(&evidence).is_err());
}

/// A pipe would keep the reader waiting for ever.
#[test]
fn pipes_and_devices_are_not_read() {
    let (_directory, folder) = folder();
    let path = folder.path().join("checkpoint");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let error = folder.get(&Resource::Checkpoint).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Malformed);
}

#[test]
fn sizes_are_bounded() {
    let (_directory, folder) = folder();
    let path = folder.path().join("checkpoint");
    std::fs::write(&path, vec![b'x'; MAX_NOTE]).unwrap();
    assert_eq!(
        folder.get(&Resource::Checkpoint).unwrap().unwrap().len(),
        MAX_NOTE
    );
    std::fs::write(&path, vec![b'x'; MAX_NOTE + 1]).unwrap();
    assert!(folder.get(&Resource::Checkpoint).is_err());
    // Terabytes that take no room.
    std::fs::File::options()
        .write(true)
        .open(&path)
        .and_then(|file| file.set_len(1 << 40))
        .unwrap();
    assert!(folder.get(&Resource::Checkpoint).is_err());
    let error = folder.put(&TILE, &[0; 65]).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Malformed);
    assert_eq!(folder.get(&TILE).unwrap(), None);
}

/// A reader meets the old checkpoint or the new one, never a part of either and never none.
#[test]
fn replacing_is_atomic() {
    let (_directory, folder) = folder();
    let texts = [vec![b'a'; 60_000], vec![b'b'; 50_000]];
    folder.put(&Resource::Checkpoint, &texts[0]).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..200 {
                folder
                    .put(&Resource::Checkpoint, &texts[round % 2])
                    .unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
        while !stop.load(Ordering::Relaxed) {
            let read = folder.get(&Resource::Checkpoint).unwrap().unwrap();
            assert!(texts.contains(&read));
        }
    });
}

#[test]
fn several_write_at_once() {
    let (_directory, folder) = folder();
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let folder = &folder;
            scope.spawn(move || {
                for index in 0..50 {
                    folder
                        .put(&full(index * 1000 + thread % 2), b"same")
                        .unwrap();
                }
                folder.sync().unwrap();
            });
        }
    });
    assert_eq!(folder.get(&full(49_001)).unwrap(), Some(b"same".to_vec()));
}
