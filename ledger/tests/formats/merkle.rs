//! Trees and proofs: the vectors of Certificate Transparency, `ct-merkle`, `tlog_tiles`, mutations.

use ct_merkle::digest::Output;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use narthex_ledger::{
    Frontier, Hash, HashSource as _, TileBuilder, empty_root, leaf_hash, node_hash,
    prove_consistency, prove_inclusion, root_of, verify_consistency, verify_inclusion,
};
use sha2::Sha256;

use crate::support::{Random, Tree, id};

/// The tree that implementations of RFC 6962 share as their test: eight leaves, its root at each size.
const LEAVES: [&str; 8] = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

#[test]
fn the_shared_vectors_of_rfc_6962_hold() {
    assert_eq!(empty_root().to_string(), ROOTS[0]);
    assert_eq!(leaf_hash(b"").to_string(), ROOTS[1]);
    let mut frontier = Frontier::new();
    assert_eq!(frontier.root().to_string(), ROOTS[0]);
    for (leaf, root) in LEAVES.iter().zip(&ROOTS[1..]) {
        frontier
            .append(leaf_hash(&hex::decode(leaf).unwrap()))
            .unwrap();
        assert_eq!(frontier.root().to_string(), *root);
    }
    assert_eq!(
        node_hash(&leaf_hash(b""), &leaf_hash(&[0])).to_string(),
        ROOTS[2]
    );
}

#[test]
fn the_proofs_of_the_example_in_rfc_6962_have_its_hashes() {
    // Section 2.1.3: the tree of seven leaves with its names.
    let tree = Tree::new(7);
    let leaf = |index: usize| tree.leaves[index];
    let [a, b, c, d, e, f, j] = [
        leaf(0),
        leaf(1),
        leaf(2),
        leaf(3),
        leaf(4),
        leaf(5),
        leaf(6),
    ];
    let (g, h, i) = (node_hash(&a, &b), node_hash(&c, &d), node_hash(&e, &f));
    let k = node_hash(&g, &h);
    let l = node_hash(&i, &j);
    assert_eq!(prove_inclusion(&tree, 0, 7).unwrap(), [b, h, l]);
    assert_eq!(prove_inclusion(&tree, 3, 7).unwrap(), [c, g, l]);
    assert_eq!(prove_inclusion(&tree, 4, 7).unwrap(), [f, j, k]);
    assert_eq!(prove_inclusion(&tree, 6, 7).unwrap(), [i, k]);
    assert_eq!(prove_consistency(&tree, 3, 7).unwrap(), [c, d, g, l]);
    assert_eq!(prove_consistency(&tree, 4, 7).unwrap(), [l]);
    assert_eq!(prove_consistency(&tree, 6, 7).unwrap(), [i, j, k]);
}

fn theirs(tree: &Tree, size: u64) -> MemoryBackedTree<Sha256, Vec<u8>> {
    let mut other = MemoryBackedTree::new();
    for entry in &tree.entries[..usize::try_from(size).unwrap()] {
        other.push(entry.clone());
    }
    other
}

fn bytes(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| hash.0).collect()
}

#[test]
fn ct_merkle_makes_the_same_roots_and_proofs_and_accepts_ours() {
    let tree = Tree::new(70);
    let mut random = Random(1);
    for size in 1..=tree.size() {
        let other = theirs(&tree, size);
        assert_eq!(tree.root(size).0[..], other.root().as_bytes()[..]);
        for index in 0..size {
            let ours = prove_inclusion(&tree, index, size).unwrap();
            let proof = other.prove_inclusion(usize::try_from(index).unwrap());
            assert_eq!(bytes(&ours), proof.as_bytes(), "{index} of {size}");
            let leaf = &tree.leaves[usize::try_from(index).unwrap()];
            verify_inclusion(index, size, leaf, &ours, &tree.root(size)).unwrap();
            let digests: Vec<Output<Sha256>> = ours.iter().map(|hash| hash.0.into()).collect();
            let proof = ct_merkle::InclusionProof::from_digests(&digests);
            let entry = &tree.entries[usize::try_from(index).unwrap()];
            other.root().verify_inclusion(entry, index, &proof).unwrap();
        }
        for old in 1..size {
            let ours = prove_consistency(&tree, old, size).unwrap();
            let proof = other.prove_consistency(usize::try_from(size - old).unwrap());
            assert_eq!(bytes(&ours), proof.as_bytes(), "{old} to {size}");
            verify_consistency(old, &tree.root(old), size, &tree.root(size), &ours).unwrap();
        }
    }
    let large = Tree::new(1500);
    let other = theirs(&large, large.size());
    for _ in 0..100 {
        let index = random.below(large.size());
        let ours = prove_inclusion(&large, index, large.size()).unwrap();
        let proof = other.prove_inclusion(usize::try_from(index).unwrap());
        assert_eq!(bytes(&ours), proof.as_bytes());
    }
}

/// Hashes in the order that `tlog_tiles` stores them in.
struct Stored(Vec<tlog_tiles::Hash>);

impl tlog_tiles::HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog_tiles::Hash>, tlog_tiles::Error> {
        Ok(indexes
            .iter()
            .map(|index| self.0[usize::try_from(*index).unwrap()])
            .collect())
    }
}

fn hash_of_theirs(hash: &tlog_tiles::Hash) -> Hash {
    Hash(hash.0)
}

#[test]
fn tlog_tiles_makes_the_same_proofs_and_accepts_ours() {
    let tree = Tree::new(600);
    let mut stored = Stored(Vec::new());
    for (index, entry) in tree.entries.iter().enumerate() {
        let more = tlog_tiles::stored_hashes(index as u64, entry, &stored).unwrap();
        stored.0.extend(more);
    }
    let mut random = Random(2);
    for round in 0..300 {
        let size = if round < 40 {
            round + 1
        } else {
            1 + random.below(tree.size())
        };
        let root = tree.root(size);
        assert_eq!(root.0, tlog_tiles::tree_hash(size, &stored).unwrap().0);
        let index = random.below(size);
        let ours = prove_inclusion(&tree, index, size).unwrap();
        let proof = tlog_tiles::prove_record(size, index, &stored).unwrap();
        assert_eq!(ours, proof.iter().map(hash_of_theirs).collect::<Vec<_>>());
        let leaf = tlog_tiles::record_hash(&tree.entries[usize::try_from(index).unwrap()]);
        let given = ours.iter().map(|hash| tlog_tiles::Hash(hash.0)).collect();
        tlog_tiles::check_record(&given, size, tlog_tiles::Hash(root.0), index, leaf).unwrap();

        let old = 1 + random.below(size);
        let ours = prove_consistency(&tree, old, size).unwrap();
        let proof = tlog_tiles::prove_tree(size, old, &stored).unwrap();
        assert_eq!(ours, proof.iter().map(hash_of_theirs).collect::<Vec<_>>());
        let given = ours.iter().map(|hash| tlog_tiles::Hash(hash.0)).collect();
        tlog_tiles::check_tree(
            &given,
            size,
            tlog_tiles::Hash(root.0),
            old,
            tlog_tiles::Hash(tree.root(old).0),
        )
        .unwrap();
    }
}

fn flipped(hashes: &[Hash]) -> impl Iterator<Item = Vec<Hash>> {
    (0..hashes.len() * 256).map(|bit| {
        let mut changed = hashes.to_vec();
        changed[bit / 256].0[bit % 256 / 8] ^= 1 << (bit % 8);
        changed
    })
}

#[test]
fn an_inclusion_proof_with_any_bit_changed_is_refused() {
    let tree = Tree::new(13);
    for size in 1..=tree.size() {
        let root = tree.root(size);
        for index in 0..size {
            let leaf = tree.leaves[usize::try_from(index).unwrap()];
            let proof = prove_inclusion(&tree, index, size).unwrap();
            for changed in flipped(&proof) {
                assert_eq!(
                    id(verify_inclusion(index, size, &leaf, &changed, &root)),
                    "log.inclusion"
                );
            }
            for changed in flipped(&[leaf]).chain(flipped(&[root])) {
                let (leaf, root) = if changed[0] == root {
                    (leaf, root)
                } else {
                    (changed[0], root)
                };
                assert!(verify_inclusion(index, size, &leaf, &proof, &root).is_err());
                assert!(verify_inclusion(index, size, &root, &proof, &leaf).is_err());
            }
            for other in (0..size + 2).filter(|other| *other != index) {
                assert!(verify_inclusion(other, size, &leaf, &proof, &root).is_err());
            }
            let mut longer = proof.clone();
            longer.push(root);
            assert!(verify_inclusion(index, size, &leaf, &longer, &root).is_err());
            longer.insert(0, leaf);
            assert!(verify_inclusion(index, size, &leaf, &longer, &root).is_err());
            if let Some((_, shorter)) = proof.split_last() {
                assert!(verify_inclusion(index, size, &leaf, shorter, &root).is_err());
            }
        }
    }
}

#[test]
fn a_consistency_proof_with_any_bit_changed_is_refused() {
    let tree = Tree::new(13);
    for new in 1..=tree.size() {
        for old in 1..new {
            let (old_root, new_root) = (tree.root(old), tree.root(new));
            let proof = prove_consistency(&tree, old, new).unwrap();
            for changed in flipped(&proof) {
                assert_eq!(
                    id(verify_consistency(old, &old_root, new, &new_root, &changed)),
                    "log.consistency"
                );
            }
            for changed in flipped(&[old_root]) {
                assert!(verify_consistency(old, &changed[0], new, &new_root, &proof).is_err());
            }
            for changed in flipped(&[new_root]) {
                assert!(verify_consistency(old, &old_root, new, &changed[0], &proof).is_err());
            }
            let mut longer = proof.clone();
            longer.push(new_root);
            assert!(verify_consistency(old, &old_root, new, &new_root, &longer).is_err());
            let (_, shorter) = proof.split_last().unwrap();
            assert!(verify_consistency(old, &old_root, new, &new_root, shorter).is_err());
            assert!(verify_consistency(old, &old_root, new, &new_root, &[]).is_err());
            assert!(verify_consistency(new, &new_root, old, &old_root, &proof).is_err());
        }
    }
}

#[test]
fn the_edges_of_consistency_are_as_they_should_be() {
    let tree = Tree::new(5);
    let (empty, five) = (empty_root(), tree.root(5));
    // From nothing to anything there is nothing to prove, and nothing may be sent.
    verify_consistency(0, &empty, 5, &five, &[]).unwrap();
    verify_consistency(0, &empty, 0, &empty, &[]).unwrap();
    assert_eq!(
        id(verify_consistency(0, &empty, 5, &five, &[five])),
        "log.consistency"
    );
    // A tree without entries has one root.
    assert!(verify_consistency(0, &five, 5, &five, &[]).is_err());
    assert!(verify_consistency(0, &empty, 0, &five, &[]).is_err());
    assert!(verify_consistency(0, &five, 0, &five, &[]).is_err());
    // Equal sizes: equal roots, and no hashes.
    verify_consistency(5, &five, 5, &five, &[]).unwrap();
    assert!(verify_consistency(5, &five, 5, &five, &[five]).is_err());
    assert!(verify_consistency(5, &five, 5, &tree.root(4), &[]).is_err());
    assert!(verify_consistency(5, &five, 4, &tree.root(4), &[]).is_err());
    for proof in [
        prove_consistency(&tree, 0, 5),
        prove_consistency(&tree, 5, 5),
        prove_consistency(&tree, 0, 0),
    ] {
        assert_eq!(proof.unwrap(), []);
    }
    assert_eq!(id(prove_consistency(&tree, 5, 4)), "log.consistency");
    // Inclusion needs an entry.
    assert_eq!(id(prove_inclusion(&tree, 5, 5)), "log.inclusion");
    assert_eq!(id(prove_inclusion(&tree, 0, 0)), "log.inclusion");
    assert_eq!(
        id(verify_inclusion(0, 0, &empty, &[], &empty)),
        "log.inclusion"
    );
    let one = Tree::new(1);
    verify_inclusion(0, 1, &one.leaves[0], &[], &one.root(1)).unwrap();
}

#[test]
fn sizes_at_the_end_of_the_range_end_in_a_refusal_not_in_a_panic() {
    let (hash, root) = (Hash([7; 32]), Hash([8; 32]));
    let mut random = Random(3);
    let edges = [
        0,
        1,
        2,
        1 << 62,
        (1 << 63) - 1,
        1 << 63,
        u64::MAX - 1,
        u64::MAX,
    ];
    for first in edges {
        for second in edges {
            for length in [0, 1, 62, 63, 64, 65, 200] {
                let proof = vec![hash; length];
                assert!(verify_inclusion(first, second, &hash, &proof, &root).is_err());
                if first != second {
                    assert!(verify_consistency(first, &hash, second, &root, &proof).is_err());
                }
            }
        }
    }
    for _ in 0..20_000 {
        let (first, second) = (
            random.bits() >> random.below(64),
            random.bits() >> random.below(64),
        );
        let proof = vec![hash; usize::try_from(random.below(70)).unwrap()];
        assert!(verify_inclusion(first, second, &hash, &proof, &root).is_err());
        if first != second {
            assert!(verify_consistency(first, &hash, second, &root, &proof).is_err());
        }
    }
}

#[test]
fn a_tree_is_taken_up_again_where_it_was_left() {
    let tree = Tree::new(700);
    for size in [0, 1, 2, 3, 255, 256, 257, 511, 512, 700] {
        let frontier = Frontier::from_source(&tree, size).unwrap();
        assert_eq!(frontier.root(), tree.root(size));
        assert_eq!(
            Frontier::from_parts(size, frontier.subtrees().to_vec()).unwrap(),
            frontier
        );
        let mut more = frontier.subtrees().to_vec();
        more.push(Hash([0; 32]));
        assert_eq!(id(Frontier::from_parts(size, more)), "log.malformed");

        let mut builder = TileBuilder::from_source(&tree, size).unwrap();
        assert!(builder.take_changed().is_empty());
        for leaf in &tree.leaves[usize::try_from(size).unwrap()..] {
            builder.append(*leaf).unwrap();
        }
        assert_eq!(builder.root(), tree.root(700));
        assert_eq!(builder.size(), 700);
    }
    assert_eq!(root_of(&tree.leaves[..256]), tree.subtree(8, 0).unwrap());
    assert!(Frontier::from_source(&tree, 701).is_err());
}
