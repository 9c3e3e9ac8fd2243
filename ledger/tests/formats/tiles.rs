//! Tiles, bundles of entries, paths, and reading a tree from a store that may lie.

use narthex_ledger::{
    EvidenceDigest, Hash, HashSource as _, InEpoch, LogStore as _, MAX_LEVEL, MAX_PATH, Resource,
    TILE_WIDTH, Tile, TileBuilder, TileReader, bundles_of, empty_root, encode_entries,
    parse_entries, prove_consistency, prove_inclusion, tile_at, tile_hashes, tiles_of,
    verify_consistency, verify_inclusion,
};

use crate::support::{MemoryStore, Random, Tree, id};

fn tile(level: u8, index: u64, width: u16) -> Tile {
    Tile {
        level,
        index,
        width,
    }
}

#[test]
fn paths_are_those_of_the_format_and_have_one_spelling() {
    let evidence = EvidenceDigest([0xab; 48]);
    let cases = [
        (Resource::Checkpoint, "checkpoint".to_owned()),
        (Resource::Tile(tile(0, 67, 256)), "tile/0/067".into()),
        (Resource::Tile(tile(0, 1067, 256)), "tile/0/x001/067".into()),
        (
            Resource::Tile(tile(0, 1_234_067, 256)),
            "tile/0/x001/x234/067".into(),
        ),
        (Resource::Tile(tile(1, 0, 5)), "tile/1/000.p/5".into()),
        (Resource::Tile(tile(7, 0, 255)), "tile/7/000.p/255".into()),
        (
            Resource::Entries {
                index: 0,
                width: 256,
            },
            "tile/entries/000".into(),
        ),
        (
            Resource::Entries {
                index: 1000,
                width: 1,
            },
            "tile/entries/x001/000.p/1".into(),
        ),
        (
            Resource::Evidence(evidence),
            format!("evidence/{}", "ab".repeat(48)),
        ),
        (
            Resource::Epoch(0, Box::new(Resource::Checkpoint)),
            "epoch/0/checkpoint".into(),
        ),
        (
            Resource::Epoch(u32::MAX, Box::new(Resource::Tile(tile(0, 3, 9)))),
            "epoch/4294967295/tile/0/003.p/9".into(),
        ),
    ];
    for (resource, path) in cases {
        assert_eq!(resource.path(), path);
        assert_eq!(Resource::parse(&path), Some(resource));
    }
    let digest = "ab".repeat(48);
    for path in [
        "",
        "/checkpoint",
        "checkpoint/",
        "Checkpoint",
        "./checkpoint",
        "tile/0/../../checkpoint",
        "tile/0/..",
        "tile/0/%2e%2e",
        "tile/0/67",
        "tile/0/0067",
        "tile/0/x000/067",
        "tile/0/001/067",
        "tile/0/x001",
        "tile/0/x001/",
        "tile/0/x01/067",
        "tile/0/xx01/067",
        "tile/0/+67",
        "tile/0/ 67",
        "tile/00/067",
        "tile/+1/067",
        "tile/8/000",
        "tile/63/000",
        "tile/-1/000",
        "tile/0/000.p/0",
        "tile/0/000.p/00",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/257",
        "tile/0/000.p/",
        "tile/0/000.p/5/",
        "tile/0/000.p/5.p/5",
        "tile/0/000.p",
        "tile/0/x001.p/5/067",
        "tile/0/000/5",
        "tile/0",
        "tile/0/",
        "tile//000",
        "tile/data/000",
        "tile/entries/",
        "tile/entries",
        "tile/entries/00",
        "tile/entries/x000/000",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        "tile/7/001",
        "tile/7/128",
        "evidence/",
        "evidence/ab",
        "epoch/",
        "epoch/0",
        "epoch/0/",
        "epoch/00/checkpoint",
        "epoch/-1/checkpoint",
        "epoch/4294967296/checkpoint",
        "epoch/0/epoch/0/checkpoint",
        "tile/0/000\0",
        "tile/0/000\n",
        "tile/0/٠٠٠",
        "tile/0/000?",
        &format!("evidence/{}", digest.to_uppercase()),
        &format!("evidence/{digest}0"),
        &format!("evidence/{digest}/"),
        &"epoch/0/".repeat(1000),
        &"x001/".repeat(MAX_PATH),
    ] {
        assert_eq!(Resource::parse(path), None, "{path:?}");
    }
}

#[test]
fn paths_of_tiles_are_those_of_tlog_tiles() {
    let mut random = Random(11);
    for _ in 0..2000 {
        let level = u8::try_from(random.below(8)).unwrap();
        let most = (u64::MAX >> 1) >> (8 * (level + 1)).min(63);
        let index = (random.bits() >> random.below(64)).min(most);
        let width = u16::try_from(1 + random.below(256)).unwrap();
        let (ours, theirs) = (
            tile(level, index, width),
            tlog_tiles::Tile::new(8, level, index, width.into(), false),
        );
        // Theirs has the height in front, as the checksum database of Go has it.
        let path = theirs.path().replacen("tile/8/", "tile/", 1);
        assert_eq!(ours.path(), path);
        assert_eq!(
            Resource::parse(&path),
            (index <= most).then_some(Resource::Tile(ours))
        );
    }
}

#[test]
fn random_bytes_are_no_path_unless_they_are_its_only_spelling() {
    let mut random = Random(12);
    let pieces = [
        "tile",
        "entries",
        "/",
        "0",
        "1",
        "00",
        "000",
        "x",
        ".p",
        "255",
        "256",
        "epoch",
        "checkpoint",
        "..",
        "evidence",
        "7",
    ];
    for _ in 0..100_000 {
        let path: String = (0..random.below(10))
            .map(|_| pieces[usize::try_from(random.below(pieces.len() as u64)).unwrap()])
            .collect();
        if let Some(resource) = Resource::parse(&path) {
            assert_eq!(resource.path(), path);
            assert!(!path.contains("..") && !path.starts_with('/'));
        }
    }
}

#[test]
fn the_tiles_that_change_are_those_of_tlog_tiles() {
    let theirs = |old, new| -> Vec<Tile> {
        tlog_tiles::Tile::new_tiles(8, old, new)
            .iter()
            .map(|it| {
                tile(
                    it.level(),
                    it.level_index(),
                    u16::try_from(it.width()).unwrap(),
                )
            })
            .collect()
    };
    let mut random = Random(13);
    for round in 0..600 {
        let (old, more) = if round < 300 {
            (random.below(600), random.below(600))
        } else {
            (random.below(70_000_000), random.below(3000))
        };
        let ours: Vec<Tile> = tiles_of(old, old + more).collect();
        assert_eq!(ours, theirs(old, old + more), "{old} + {more}");
        assert!(
            ours.iter()
                .all(|it| tile_at(it.level, it.index, old + more) == Some(*it))
        );
    }
    // The example of the format.
    let all: Vec<Tile> = tiles_of(0, 70_000).collect();
    assert_eq!(all.len(), 273 + 1 + 1 + 1 + 1);
    for known in [
        tile(0, 273, 112),
        tile(1, 0, 256),
        tile(1, 1, 17),
        tile(2, 0, 1),
    ] {
        assert!(all.contains(&known));
    }
    assert_eq!(
        tiles_of(0, 256).collect::<Vec<_>>(),
        [tile(0, 0, 256), tile(1, 0, 1)]
    );
    assert_eq!(tiles_of(5, 5).count(), 0);
    assert_eq!(tiles_of(7, 5).count(), 0);
    assert_eq!(
        bundles_of(255, 513).collect::<Vec<_>>(),
        [(0, 256), (1, 256), (2, 1)]
    );
    // What a stranger claims costs nothing until somebody walks through it.
    assert!(tiles_of(0, u64::MAX).next().is_some());
    assert!(tiles_of(u64::MAX - 1, u64::MAX).count() <= 1);
    assert_eq!(tile_at(0, u64::MAX, u64::MAX), None);
    assert_eq!(tile_at(MAX_LEVEL + 1, 0, u64::MAX), None);
}

#[test]
fn a_builder_gives_out_what_changed_and_nothing_else() {
    let tree = Tree::new(1200);
    let mut builder = TileBuilder::new();
    let mut store = MemoryStore::default();
    let mut random = Random(14);
    let mut size = 0;
    while size < tree.size() {
        let next = (size + random.below(300)).min(tree.size());
        for leaf in &tree.leaves[usize::try_from(size).unwrap()..usize::try_from(next).unwrap()] {
            builder.append(*leaf).unwrap();
        }
        let mut expected: Vec<Tile> = tiles_of(size, next).collect();
        let mut changed = Vec::new();
        for (tile, bytes) in builder.take_changed() {
            assert_eq!(bytes.len(), tile.length());
            changed.push(tile);
            store.0.insert(Resource::Tile(tile), bytes);
        }
        expected.sort_unstable();
        changed.sort_unstable();
        assert_eq!(changed, expected);
        assert_eq!(builder.root(), tree.root(next));
        // Each checkpoint along the way can be read, and none needs what came after.
        let reader = TileReader::new(&store, next, &tree.root(next)).unwrap();
        if next > 0 {
            prove_inclusion(&reader, next / 2, next).unwrap();
        }
        size = next;
    }
}

#[test]
fn a_reader_makes_the_proofs_that_the_whole_tree_makes() {
    let tree = Tree::new(66_000);
    let store = tree.store();
    let reader = TileReader::new(&store, 66_000, &tree.root(66_000)).unwrap();
    let mut random = Random(15);
    for _ in 0..20 {
        let index = random.below(66_000);
        let proof = prove_inclusion(&reader, index, 66_000).unwrap();
        let leaf = tree.leaves[usize::try_from(index).unwrap()];
        verify_inclusion(index, 66_000, &leaf, &proof, &tree.root(66_000)).unwrap();
        let old = random.below(66_001);
        let proof = prove_consistency(&reader, old, 66_000).unwrap();
        verify_consistency(old, &tree.root(old), 66_000, &tree.root(66_000), &proof).unwrap();
        // And for sizes before the signed one.
        let size = index + 1;
        let proof = prove_inclusion(&reader, index / 3, size).unwrap();
        let leaf = tree.leaves[usize::try_from(index / 3).unwrap()];
        verify_inclusion(index / 3, size, &leaf, &proof, &tree.root(size)).unwrap();
    }
    assert_eq!(reader.subtree(16, 0).unwrap(), tree.subtree(16, 0).unwrap());
    for (level, index) in [
        (0, 66_000),
        (16, 1),
        (17, 0),
        (63, 0),
        (64, 0),
        (255, u64::MAX),
    ] {
        assert_eq!(id(reader.subtree(level, index)), "log.missing");
    }
    assert_eq!(id(reader.hashes(0, 258)), "log.missing");
    assert_eq!(id(reader.hashes(3, 0)), "log.missing");
    assert_eq!(id(reader.hashes(255, 0)), "log.missing");
    let leaves = reader.hashes(0, 7).unwrap();
    assert_eq!(leaves[..], tree.leaves[7 * 256..8 * 256]);
}

#[test]
fn a_tile_with_any_byte_changed_is_noticed() {
    let tree = Tree::new(1030);
    let store = tree.store();
    let root = tree.root(1030);
    let read_all = |store: &MemoryStore| -> Result<(), narthex_ledger::LogError> {
        let reader = TileReader::new(store, 1030, &root)?;
        for tile in tiles_of(0, 1030) {
            reader.hashes(tile.level, tile.index)?;
        }
        Ok(())
    };
    read_all(&store).unwrap();
    let mut random = Random(16);
    for tile in tiles_of(0, 1030) {
        let resource = Resource::Tile(tile);
        for _ in 0..40 {
            let mut changed = store.clone();
            let bytes = changed.0.get_mut(&resource).unwrap();
            let place = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            bytes[place] ^= 1 << random.below(8);
            // What is at the edge makes the root; what is not hangs below another tile.
            let expected = if tile.is_full() {
                "log.tile"
            } else {
                "log.root"
            };
            assert_eq!(id(read_all(&changed)), expected, "{resource}");
        }
        let mut changed = store.clone();
        changed.0.get_mut(&resource).unwrap().push(0);
        assert_eq!(id(read_all(&changed)), "log.malformed");
        changed.0.get_mut(&resource).unwrap().truncate(31);
        assert_eq!(id(read_all(&changed)), "log.malformed");
        changed.0.insert(resource.clone(), Vec::new());
        assert_eq!(id(read_all(&changed)), "log.malformed");
        changed.0.remove(&resource);
        assert_eq!(id(read_all(&changed)), "log.missing");
    }
    // Two tiles that belong to the tree, but not here.
    let mut swapped = store.clone();
    let (first, second) = (
        Resource::Tile(tile(0, 0, 256)),
        Resource::Tile(tile(0, 1, 256)),
    );
    let (one, two) = (store.0[&first].clone(), store.0[&second].clone());
    swapped.0.insert(first, two);
    swapped.0.insert(second, one);
    assert_eq!(id(read_all(&swapped)), "log.tile");
    // Another root, another size, an empty tree.
    assert_eq!(
        id(TileReader::new(&store, 1030, &Hash([1; 32])).map(|_| ())),
        "log.root"
    );
    assert!(TileReader::new(&store, 1031, &root).is_err());
    assert!(TileReader::new(&store, u64::MAX, &root).is_err());
    assert!(TileReader::new(&store, (1 << 63) - 1, &root).is_err());
    assert_eq!(
        id(TileReader::new(&store, 0, &root).map(|_| ())),
        "log.root"
    );
    TileReader::new(&store, 0, &empty_root()).unwrap();
}

#[test]
fn a_full_tile_serves_where_the_partial_one_is_gone() {
    let tree = Tree::new(512);
    let mut store = tree.store();
    // The store has what belongs to 512 entries; a reader with an older checkpoint comes. Partial
    // tiles of that checkpoint stay until the full one is there: the one above is not full yet.
    let above = store.0[&Resource::Tile(tile(1, 0, 2))][..32].to_vec();
    store.0.insert(Resource::Tile(tile(1, 0, 1)), above);
    let reader = TileReader::new(&store, 300, &tree.root(300)).unwrap();
    let proof = prove_inclusion(&reader, 299, 300).unwrap();
    verify_inclusion(299, 300, &tree.leaves[299], &proof, &tree.root(300)).unwrap();
    assert_eq!(reader.hashes(0, 1).unwrap().len(), 44);
}

#[test]
fn an_epoch_is_read_as_a_log_of_its_own() {
    let tree = Tree::new(300);
    let store = MemoryStore(
        tree.store()
            .0
            .into_iter()
            .map(|(resource, bytes)| (Resource::Epoch(4, Box::new(resource)), bytes))
            .collect(),
    );
    let root = tree.root(300);
    assert_eq!(
        id(TileReader::new(&store, 300, &root).map(|_| ())),
        "log.missing"
    );
    let epoch = InEpoch {
        store: &store,
        epoch: 4,
    };
    prove_inclusion(&TileReader::new(&epoch, 300, &root).unwrap(), 12, 300).unwrap();
    assert_eq!(epoch.get(&Resource::Checkpoint).unwrap(), None);
    let error = store
        .get(&Resource::Evidence(EvidenceDigest([0xee; 48])))
        .unwrap_err();
    assert_eq!(
        narthex_ledger::LogError::from(error).id(),
        "log.unavailable"
    );
}

#[test]
fn bundles_of_entries_come_back_as_they_were() {
    let mut random = Random(17);
    for count in [1, 2, 3, 255, 256_usize] {
        let entries: Vec<Vec<u8>> = (0..count)
            .map(|_| {
                let length = usize::try_from(random.below(200)).unwrap();
                random.bytes(length)
            })
            .collect();
        let bundle = encode_entries(&entries).unwrap();
        let width = u16::try_from(count).unwrap();
        assert_eq!(parse_entries(&bundle, width).unwrap(), entries);
        for other in [0, width - 1, width + 1, u16::MAX] {
            assert_eq!(id(parse_entries(&bundle, other)), "log.malformed");
        }
        let mut longer = bundle.clone();
        longer.push(0);
        assert_eq!(id(parse_entries(&longer, width)), "log.malformed");
        for cut in [1, 2, 3, bundle.len()] {
            let cut = &bundle[..bundle.len() - cut.min(bundle.len())];
            assert!(parse_entries(cut, width).is_err());
        }
    }
    // Exact bytes: lengths are big-endian.
    assert_eq!(
        encode_entries(&[b"ab".to_vec(), Vec::new()]).unwrap(),
        b"\0\x02ab\0\0"
    );
    assert_eq!(
        parse_entries(&encode_entries(&[vec![7; 65_535]]).unwrap(), 1).unwrap(),
        [vec![7; 65_535]]
    );
    assert_eq!(id(encode_entries(&[vec![7; 65_536]])), "log.malformed");
    assert_eq!(id(encode_entries::<Vec<u8>>(&[])), "log.malformed");
    assert_eq!(id(encode_entries(&vec![vec![1]; 257])), "log.malformed");
}

#[test]
fn tiles_have_whole_hashes() {
    assert_eq!(tile_hashes(&[1; 64], 2).unwrap(), [Hash([1; 32]); 2]);
    for (bytes, width) in [(64, 1), (64, 3), (63, 2), (0, 0), (32 * 257, 257)] {
        assert_eq!(id(tile_hashes(&vec![1; bytes], width)), "log.malformed");
    }
    assert_eq!(tile(0, 0, TILE_WIDTH).length(), 8192);
}
