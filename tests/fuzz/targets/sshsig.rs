//! SSH signatures. An even first byte: the rest is a signature's blob. An odd one: the rest are edits
//! (offset, value) to a genuine signature; whatever they do, no other message may be signed by it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use narthex_fuzz::{armour, dearmour};
use narthex_policy::{
    InitialBundle, NamedKeys, Namespace, PersonName, Policy, ProjectName, SignedFile, SigningKey,
    UnixMillis,
};

const MESSAGE: &[u8] = b"what was signed";

struct Bench {
    policy: Policy,
    genuine: Vec<u8>,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let now = UnixMillis::parse("2026-01-01T00:00:00Z").expect("a time");
    let keys: Vec<_> = (0..2)
        .map(|_| SigningKey::generate_ed25519().expect("random bytes"))
        .collect();
    let people = ["alice", "bob"]
        .into_iter()
        .zip(&keys)
        .map(|(name, key)| NamedKeys {
            name: PersonName::new(name).expect("a name"),
            keys: vec![key.public_key().clone()],
        });
    let bundle = InitialBundle {
        project: ProjectName::new("fuzz").expect("a name"),
        issued: now,
        expires: UnixMillis(now.0 + 86_400_000),
        reviewers: people.collect(),
        threshold: 2,
        operators: Vec::new(),
        key_administrators: Vec::new(),
        static_key: None,
        ledger: None,
    };
    let bytes = bundle.to_toml().expect("a bundle").into_bytes();
    let signatures = keys
        .iter()
        .map(|key| key.sign(Namespace::Policy, &bytes).expect("a signature"))
        .collect();
    let genesis = SignedFile { bytes, signatures };
    let policy = Policy::from_genesis(&genesis, &genesis.digest(), now).expect("a policy");
    let genuine = dearmour(
        &keys[0]
            .sign(Namespace::Order, MESSAGE)
            .expect("a signature"),
    );
    Bench { policy, genuine }
});

fuzz_target!(|data: &[u8]| {
    let Some((&first, rest)) = data.split_first() else {
        return;
    };
    let Bench { policy, genuine } = &*BENCH;
    let mut blob = genuine.clone();
    if first % 2 == 0 {
        blob = rest.to_vec();
    } else {
        for edit in rest.chunks_exact(2) {
            let at = usize::from(edit[0]) % blob.len();
            blob[at] ^= edit[1];
        }
    }
    let armoured = armour(&blob);
    assert!(
        policy
            .identify(b"another message", &armoured, Namespace::Order)
            .is_err()
    );
    assert!(
        policy
            .identify(MESSAGE, &armoured, Namespace::Policy)
            .is_err()
    );
    let _ = policy.identify(MESSAGE, &armoured, Namespace::Order);
    // The armour is foreign text as well.
    if let Ok(text) = std::str::from_utf8(rest) {
        assert!(
            policy
                .identify(b"another message", text, Namespace::Order)
                .is_err()
        );
    }
});
