//! A small transparency log in memory, with real keys: what the key service's log is to an agent.

use std::sync::{Arc, Mutex};

use narthex_channel::HandshakeHash;
use narthex_channel::keys::{KeyAnswer, KeyOutcome, KeyRequestEnvelope, SealedKey};
use narthex_ledger::{
    BootId, Checkpoint, CurrentEntry, Digest384, Entry, Hash, HashSource, KeyKind, LogError,
    OrderEntry, OrderExtra, OrderFacts, OrderScope, PersonId, Proof, ReleaseEntry, ReleaseExtra,
    ReleaseFacts, ReleasedKey, Salt, SessionHash, SignedNote, SigningKey, cosign, empty_root,
    leaf_hash, node_hash, prove_inclusion, sign_checkpoint,
};
use narthex_policy::{Order, SignedFile};

/// The salt of pseudonyms, as bundles have it.
pub const SALT: [u8; 32] = [0x5a; 32];
/// The salt of evidence; a real log draws one for each.
const EVIDENCE_SALT: Salt = Salt([0xe5; 32]);
/// The log's origin.
pub const ORIGIN: &str = "agent-tests.example/log";

/// A log that others may hold as well: the key service of a test runs on a thread of its own.
pub type SharedLog = Arc<Mutex<TestLog>>;

/// A log and its witnesses.
pub struct TestLog {
    key: SigningKey,
    witnesses: Vec<SigningKey>,
    /// How many witnesses the bundles ask for.
    pub quorum: usize,
    /// How many cosign.
    pub cosigning: usize,
    /// The logs before this one, as a bundle lists them.
    pub previous: String,
    /// Whether bundles let keys out on the log's own signature.
    pub release_waits_for_quorum: bool,
    leaves: Vec<Vec<u8>>,
}

impl TestLog {
    /// A log with `witnesses` witnesses, of which `quorum` must sign and all do.
    pub fn new(witnesses: usize, quorum: usize) -> Self {
        let key = |name: &str, kind| SigningKey::generate(name, kind).expect("randomness");
        Self {
            key: key(ORIGIN, KeyKind::Log),
            witnesses: (0..witnesses)
                .map(|number| key(&format!("witness-{number}.example"), KeyKind::Witness))
                .collect(),
            quorum,
            cosigning: witnesses,
            previous: String::new(),
            release_waits_for_quorum: true,
            // Entry 0 is a bundle's; what it says is of no interest here.
            leaves: vec![b"genesis".to_vec()],
        }
    }

    /// Another log that calls itself the same, with the same witnesses: a fork by somebody without the key.
    pub fn forged(&self) -> Self {
        let mut forged = Self::new(0, self.quorum);
        forged.witnesses = self
            .witnesses
            .iter()
            .map(|key| SigningKey::parse(&key.to_text()).expect("key"))
            .collect();
        forged.cosigning = self.cosigning;
        forged.leaves.clone_from(&self.leaves);
        forged
    }

    /// A log that follows this one, under another name.
    pub fn next_epoch(&self) -> Self {
        let mut next = Self::new(2, self.quorum);
        let name = format!("{ORIGIN}/next");
        next.key = SigningKey::generate(&name, KeyKind::Log).expect("randomness");
        for (number, witness) in next.witnesses.iter_mut().enumerate() {
            let name = format!("another-{number}.example");
            *witness = SigningKey::generate(&name, KeyKind::Witness).expect("randomness");
        }
        next.previous = format!(
            "[[ledger.previous]]\nlog = \"{}\"\nsize = {}\nroot = \"{}\"\n",
            self.verifier_key(),
            self.size(),
            root(&self.leaves).to_base64()
        );
        next
    }

    /// The log's verifier key.
    pub fn verifier_key(&self) -> String {
        self.key.verifier_key().to_string()
    }

    /// The `[ledger]` table of a bundle.
    pub fn table(&self) -> String {
        let witnesses: Vec<String> = self
            .witnesses
            .iter()
            .map(|key| format!("\"{}\"", key.verifier_key()))
            .collect();
        let without = match self.quorum {
            0 => "insecure_without_witnesses = true\n",
            _ => "",
        };
        format!(
            "[ledger]\nlog = \"{}\"\nwitnesses = [{}]\nquorum = {}\nsalt = \"{}\"\n\
             release_waits_for_quorum = {}\n{without}\n{}",
            self.verifier_key(),
            witnesses.join(", "),
            self.quorum,
            hex::encode(SALT),
            self.release_waits_for_quorum,
            self.previous
        )
    }

    /// Appends an entry and returns its index.
    pub fn append(&mut self, leaf: Vec<u8>) -> u64 {
        self.leaves.push(leaf);
        self.size() - 1
    }

    /// How many entries there are.
    pub fn size(&self) -> u64 {
        u64::try_from(self.leaves.len()).expect("few")
    }

    /// The newest checkpoint, cosigned at each of `millis`, one witness after the other.
    pub fn checkpoint_at(&self, millis: &[u64]) -> SignedNote {
        let checkpoint = Checkpoint {
            origin: self.key.name().to_owned(),
            size: self.size(),
            root: root(&self.leaves),
        };
        let mut note = sign_checkpoint(&checkpoint, &self.key).expect("sign");
        for (witness, millis) in self.witnesses.iter().zip(millis) {
            let signature = cosign(&note, witness, millis / 1000).expect("cosign");
            note.add(signature).expect("room");
        }
        note
    }

    /// The newest checkpoint, cosigned by all who do at `millis`.
    pub fn checkpoint(&self, millis: u64) -> SignedNote {
        self.checkpoint_at(&vec![millis; self.cosigning])
    }

    /// The proof of the entry at `index` under `checkpoint`, which must be the newest.
    pub fn prove(&self, index: u64, extra: Vec<u8>, checkpoint: SignedNote) -> Proof {
        Proof {
            extra: Some(extra),
            index,
            hashes: prove_inclusion(self, index, self.size()).expect("in range"),
            checkpoint,
        }
    }

    /// Appends `entry` and proves it under a checkpoint cosigned at `millis`.
    pub fn log(&mut self, entry: Entry, extra: Vec<u8>, millis: u64) -> Proof {
        let index = self.append(entry.to_leaf().expect("entry"));
        self.prove(index, extra, self.checkpoint(millis))
    }

    /// Names `bundle` as the one in force.
    pub fn current(&mut self, bundle: &[u8], version: u64, millis: u64) -> Proof {
        let entry = CurrentEntry {
            time: millis,
            bundle: Digest384::of(bundle),
            version,
        };
        let extra = entry.extra().to_bytes().expect("extra");
        self.log(Entry::Current(entry), extra, millis)
    }

    /// Accepts an order.
    pub fn order(
        &mut self,
        order: &[u8],
        signature: &str,
        approvals: &[String],
        millis: u64,
    ) -> Proof {
        let (entry, extra) = order_entry(order, signature, approvals, millis);
        self.log(Entry::Order(entry), extra, millis)
    }

    /// Records that keys were released.
    pub fn release(
        &mut self,
        module_id: &str,
        session: &HandshakeHash,
        envelope: &KeyRequestEnvelope,
        keys: &[SealedKey],
        millis: u64,
    ) -> Proof {
        let (entry, extra) = release_entry(module_id, session, envelope, keys, millis);
        self.log(Entry::Release(entry), extra, millis)
    }

    /// The answer of a service whose log is this.
    pub fn answer(
        &mut self,
        module_id: &str,
        session: &HandshakeHash,
        envelope: &KeyRequestEnvelope,
        answer: KeyAnswer,
        millis: u64,
    ) -> KeyAnswer {
        let KeyOutcome::Released(keys) = &answer.outcome else {
            return answer;
        };
        let proof = self.release(module_id, session, envelope, keys, millis);
        KeyAnswer {
            log_proof: Some(text(&proof)),
            ..answer
        }
    }
}

/// The entry that accepts an order, and what its proof adds.
pub fn order_entry(
    order: &[u8],
    signature: &str,
    approvals: &[String],
    millis: u64,
) -> (OrderEntry, Vec<u8>) {
    let parsed = Order::parse_unverified(order).expect("order");
    let scope = match &parsed {
        Order::Read(read) => OrderScope::Read {
            actions: read.actions.iter().map(ToString::to_string).collect(),
        },
        Order::Write(write) => OrderScope::Write {
            action: write.action.to_string(),
            enclave: write.module_id.clone(),
            boot: BootId(write.boot_id.0),
        },
    };
    let facts = OrderFacts {
        order,
        signature: signature.as_bytes(),
        approvals,
        requester: PersonId::of(&SALT, parsed.head().requester.as_str()),
        scope,
    };
    let extra = OrderExtra {
        approvers: Vec::new(),
        bundle: 1,
        salt: EVIDENCE_SALT,
        time: millis,
    };
    let entry = OrderEntry::accepted(&facts, &extra).expect("order");
    (entry, extra.to_bytes().expect("extra"))
}

/// The entry that releases keys, and what its proof adds.
pub fn release_entry(
    module_id: &str,
    session: &HandshakeHash,
    envelope: &KeyRequestEnvelope,
    keys: &[SealedKey],
    millis: u64,
) -> (ReleaseEntry, Vec<u8>) {
    let keys: Vec<ReleasedKey> = keys
        .iter()
        .map(|key| ReleasedKey {
            name: key.name.as_str().to_owned(),
            version: key.version,
            commitment: Digest384(*key.commitment.as_bytes()),
        })
        .collect();
    let facts = ReleaseFacts {
        enclave: module_id,
        session: SessionHash(*session.as_bytes()),
        document: &envelope.document,
        request: &envelope.request,
        keys: &keys,
    };
    let extra = ReleaseExtra {
        boot_bundle: Some(1),
        in_force: 1,
        release: Some("app 1".to_owned()),
        salt: EVIDENCE_SALT,
        time: millis,
    };
    let entry = ReleaseEntry::accepted(&facts, &extra).expect("release");
    (entry, extra.to_bytes().expect("extra"))
}

/// A proof as it travels.
pub fn text(proof: &Proof) -> Vec<u8> {
    proof.to_string().into_bytes()
}

/// A proof that travelled.
pub fn parse(text: &[u8]) -> Proof {
    Proof::parse(std::str::from_utf8(text).expect("text")).expect("proof")
}

impl HashSource for TestLog {
    type Error = LogError;

    fn subtree(&self, level: u8, index: u64) -> Result<Hash, LogError> {
        let width = 1 << level;
        let from = usize::try_from(index).expect("few") * width;
        Ok(root(&self.leaves[from..from + width]))
    }
}

/// RFC 6962, section 2.1, in its own words.
fn root(leaves: &[Vec<u8>]) -> Hash {
    match leaves {
        [] => empty_root(),
        [leaf] => leaf_hash(leaf),
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            node_hash(&root(left), &root(right))
        }
    }
}

/// The version in a bundle's text.
pub fn version_of(file: &SignedFile) -> u64 {
    let text = std::str::from_utf8(&file.bytes).expect("text");
    text.lines()
        .find_map(|line| line.strip_prefix("version = "))
        .and_then(|number| number.parse().ok())
        .expect("a version")
}
