//! A policy with a log, and a log with an entry of most kinds.

use std::path::PathBuf;

use narthex_ledger::mock::MockLog;
use narthex_ledger::{
    AdministrationEntry, BootId, CurrentEntry, Decision, Digest384, Entry, Evidence,
    EvidenceDigest, KeyChange, KeyKind, KeyState, OrderEntry, OrderExtra, OrderFacts, OrderScope,
    PersonId, PolicyEntry, PolicyFile, PolicyFileKind, ReleaseEntry, ReleasedKey, Resource, Salt,
    SaltedEvidence, SessionHash, SigningKey, StatementEntry,
};
use narthex_policy::{InitialLedger, LedgerSalt, Order, PersonName, SignedOrder, VerifierKey};

use crate::common::{MODULE_ID, World, now, read};

pub(crate) const ORIGIN: &str = "keys.example/log";
pub(crate) const SALT: [u8; 32] = [5; 32];
/// Entries of the log as made.
pub(crate) const SIZE: u64 = 8;

/// A world whose bundle names a log in the folder `log`, with two witnesses of which one suffices.
/// carol may read it.
pub(crate) struct Logged {
    pub(crate) world: World,
    pub(crate) log: MockLog,
}

pub(crate) fn person(name: &str) -> PersonId {
    PersonId::of(&SALT, name)
}

pub(crate) fn seconds() -> u64 {
    now().0 / 1000
}

impl Logged {
    pub(crate) fn new() -> Self {
        Self::with_static_key([9; 32])
    }

    pub(crate) fn with_static_key(static_key: [u8; 32]) -> Self {
        let key = SigningKey::generate(ORIGIN, KeyKind::Log).unwrap();
        let witnesses: Vec<SigningKey> = ["w1", "w2"]
            .map(|name| SigningKey::generate(name, KeyKind::Witness).unwrap())
            .into();
        let parse = |key: &SigningKey| VerifierKey::parse(&key.verifier_key().to_string()).unwrap();
        let ledger = InitialLedger {
            log: parse(&key),
            witnesses: witnesses.iter().map(parse).collect(),
            quorum: 1,
            readers: vec![PersonName::new("carol").unwrap()],
            reader_keys: Vec::new(),
            anyone_may_read: false,
            salt: LedgerSalt(SALT),
            insecure_without_witnesses: false,
        };
        let world = World::with_ledger(static_key, Some(ledger));
        let log = MockLog::with_keys(world.path("log"), key, witnesses).unwrap();
        let mut logged = Self { world, log };
        logged.fill();
        logged
    }

    fn keep(&self, evidence: Evidence, salt: u8) -> EvidenceDigest {
        let salt = Salt([salt; 32]);
        self.log.keep(&SaltedEvidence { salt, evidence }).unwrap()
    }

    pub(crate) fn current(&mut self) -> u64 {
        let entry = CurrentEntry {
            time: now().0,
            bundle: Digest384(self.world.bundle.digest().0),
            version: 1,
        };
        self.log.append(&Entry::Current(entry)).unwrap()
    }

    pub(crate) fn publish(&mut self) {
        self.log.publish(seconds()).unwrap();
    }

    fn fill(&mut self) {
        let time = now().0;
        let bundle = &self.world.bundle;
        let file = PolicyFile {
            kind: PolicyFileKind::Bundle,
            sha384: Digest384(bundle.digest().0),
            version: "1".to_owned(),
            evidence: self.keep(
                Evidence::policy_file(&bundle.bytes, &bundle.signatures).unwrap(),
                1,
            ),
            signers: vec![person("alice"), person("bob")],
        };
        let policy = PolicyEntry {
            time,
            decision: Decision::Accepted,
            files: vec![file],
        };
        assert_eq!(self.log.append(&Entry::Policy(policy)).unwrap(), 0);
        self.current();
        let none: [&[u8]; 0] = [];
        let order = |decision, action: &str, evidence| OrderEntry {
            time: time + 1,
            decision,
            order: Digest384::of(action.as_bytes()),
            evidence,
            requester: Some(person("carol")),
            approvers: Vec::new(),
            scope: Some(OrderScope::Read {
                actions: vec![action.to_owned()],
            }),
            bundle: 1,
        };
        let good = self.keep(
            Evidence::order(b"the order", b"signature", &none).unwrap(),
            2,
        );
        let bad = self.keep(Evidence::order(b"another", b"signature", &none).unwrap(), 3);
        let refused = Decision::Refused {
            reason: "order.role".to_owned(),
        };
        self.log
            .append(&Entry::Order(order(Decision::Accepted, "health", good)))
            .unwrap();
        let release = ReleaseEntry {
            time: time + 2,
            decision: Decision::Accepted,
            enclave: MODULE_ID.to_owned(),
            session: SessionHash([7; 32]),
            evidence: self.keep(
                Evidence::key_request(&[7; 32], b"document", b"request").unwrap(),
                4,
            ),
            boot_bundle: Some(1),
            in_force: 1,
            release: Some("shop 1".to_owned()),
            keys: vec![ReleasedKey {
                name: "database".to_owned(),
                version: 1,
                commitment: Digest384::of(b"key"),
            }],
            asked: Vec::new(),
        };
        self.log.append(&Entry::Release(release)).unwrap();
        self.log
            .append(&Entry::Order(order(refused, "restart-workload", bad)))
            .unwrap();
        let administration = AdministrationEntry {
            time: time + 3,
            decision: Decision::Accepted,
            operation: Some("keys-create".to_owned()),
            order: Digest384::of(b"create"),
            evidence: self.keep(
                Evidence::administration(b"create", b"signature", &none).unwrap(),
                5,
            ),
            requester: Some(person("dave")),
            approvers: Vec::new(),
            keys: vec![KeyChange {
                name: "database".to_owned(),
                version: 1,
                state: KeyState::Enabled,
                commitment: Digest384::of(b"key"),
            }],
            root_key: None,
        };
        self.log
            .append(&Entry::Administration(administration))
            .unwrap();
        let statement = StatementEntry {
            time: time + 4,
            enclave: MODULE_ID.to_owned(),
            boot: BootId([1; 16]),
            session: SessionHash([8; 32]),
            evidence: self.keep(
                Evidence::statement(&[8; 32], b"document", b"statement").unwrap(),
                6,
            ),
            accepted: 3,
            refused: 1,
            chain_head: Digest384::of(b"chain"),
            bundle: Digest384(self.world.bundle.digest().0),
            submitter: None,
        };
        self.log.append(&Entry::Statement(statement)).unwrap();
        assert_eq!(self.current() + 1, SIZE);
        self.publish();
    }

    /// Logs an order as accepted, and proves it. A `faulty` log writes down another signature.
    pub(crate) fn log_order(
        &mut self,
        signed: &SignedOrder,
        approvers: Vec<PersonId>,
        faulty: bool,
    ) -> Vec<u8> {
        let order = Order::parse_unverified(&signed.bytes).unwrap();
        let scope = match &order {
            Order::Read(read) => OrderScope::Read {
                actions: read
                    .actions
                    .iter()
                    .map(|action| action.name().to_owned())
                    .collect(),
            },
            Order::Write(write) => OrderScope::Write {
                action: write.action.name().to_owned(),
                enclave: write.module_id.clone(),
                boot: BootId(write.boot_id.0),
            },
        };
        let signature = match faulty {
            false => signed.signature.as_bytes(),
            true => b"another signature",
        };
        let facts = OrderFacts {
            order: &signed.bytes,
            signature,
            approvals: &signed.approvals,
            requester: person("carol"),
            scope,
        };
        let extra = OrderExtra {
            approvers,
            bundle: 1,
            salt: Salt([6; 32]),
            time: now().0,
        };
        let entry = OrderEntry::accepted(&facts, &extra).unwrap();
        self.keep(
            Evidence::order(&signed.bytes, signature, &signed.approvals).unwrap(),
            6,
        );
        let index = self.log.append(&Entry::Order(entry)).unwrap();
        self.publish();
        let extra = extra.to_bytes().unwrap();
        let proof = self.log.prove(index, Some(extra)).unwrap();
        proof.to_string().into_bytes()
    }

    /// Where a resource of the log is.
    pub(crate) fn file(&self, resource: &Resource) -> PathBuf {
        self.log.folder().path().join(resource.path())
    }

    /// Runs the command, and gives exit status, standard output and standard error.
    pub(crate) fn narthex(&self, words: &str) -> (i32, String, String) {
        read(&self.world.narthex(words))
    }

    /// The reason with which `log verify` refuses.
    pub(crate) fn verdict(&self) -> String {
        let (status, stdout, stderr) = self.narthex("log verify log --policy policy");
        match status {
            0 => "verified".to_owned(),
            _ => {
                assert_eq!((status, stdout.as_str()), (1, ""), "{stderr}");
                id_in(&stderr)
            }
        }
    }
}

/// The id in square brackets.
pub(crate) fn id_in(stderr: &str) -> String {
    let line = stderr
        .lines()
        .find(|line| line.ends_with(']'))
        .unwrap_or_else(|| panic!("no id in {stderr}"));
    let (_, id) = line.trim_end_matches(']').rsplit_once('[').unwrap();
    id.to_owned()
}
