//! A small world for tests: people with keys, a policy, enclaves with mock documents, a service.
//!
//! Everything is made here, by builders, with real cryptography; nothing is a stored blob.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test program uses its part of the world"
)]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicU64, atomic::Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use narthex_channel::{
    Address, ArmoredSignature, Digest384, HandshakeHash, KeyName, Message, ModuleId, Opening,
    RecipientKey, SecretBytes, StaticPublic,
    administration::{AdministrationAnswer, AdministrationRequest},
    diagnostics::{
        AgentVersion, BootId, BundleInForce, Decisions, LogCheck, ReleaseState, SessionStatement,
    },
    keys::{KeyAnswer, KeyOutcome, KeyRequest, KeyRequestEnvelope, KeyWanted, SealSuite},
    policy::{PolicyDelivery, Signed},
    tokio::{Connection, Stream, Timeouts, connect},
};
use narthex_key_service::{
    clock::{Clock, UnixMillis},
    config::Config,
    init,
    log::LogStop,
    log_key,
    server::Server,
    static_key,
    storage::Recorded,
};
use narthex_ledger::{
    Checkpoint, Frontier, Hash, PersonId, Proof, ReleaseEntry, ReleaseFacts, ReleasedKey,
    SessionHash, Trust, VerifierKey, leaf_hash, verify_inclusion,
};
use narthex_nsm::mock::mint::{
    DevelopmentAuthority, DocumentRecipe, Identity, PayloadRecipe, measurement_of,
};
use narthex_nsm::{
    AttestationRequest, Nsm,
    mock::{MockConfig, MockNsm},
};
use narthex_policy::{
    AdministrationOrder, KeyOperation, Namespace, OrderHead, Pcr, PersonName, ProjectName,
    SigningKey,
};
use serde_json::Value;
use tempfile::TempDir;

pub const PROJECT: &str = "example";
/// The name of its log.
pub const ORIGIN: &str = "example.com/narthex/log";
pub const REVIEWERS: [&str; 3] = ["alice", "bob", "carol"];
pub const KEEPER: &str = "dora";
/// May do nothing with keys; may look at enclaves, and restart a workload.
pub const BYSTANDER: &str = "emil";

const HOUR: u64 = 3_600_000;
pub const DAY: u64 = 24 * HOUR;

/// A clock that tests move.
pub struct TestClock(AtomicU64);

impl TestClock {
    pub fn at_now() -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(now_millis())))
    }

    pub fn advance(&self, millis: u64) {
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
}

pub fn now_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

pub fn time_text(millis: u64) -> String {
    narthex_policy::UnixMillis(millis).to_string()
}

/// One `[[key]]` of a bundle.
#[derive(Clone)]
pub struct KeyRule {
    pub name: String,
    pub rest: String,
}

impl KeyRule {
    /// For the release `shop` on the example role.
    pub fn usual(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rest: format!(
                "releases = [\"shop\"]\nrole_arns = [\"{}\"]\n",
                PayloadRecipe::EXAMPLE_ROLE_ARN
            ),
        }
    }

    pub fn with(name: &str, rest: &str) -> Self {
        Self {
            name: name.to_owned(),
            rest: rest.to_owned(),
        }
    }
}

pub struct BundleText {
    pub version: u64,
    pub previous: Option<String>,
    pub previous_accepted_until: Option<u64>,
    pub issued: u64,
    pub expires: u64,
    pub keys: Vec<KeyRule>,
    /// The rest of `[ledger]`, after the log's key and the salt.
    pub ledger: String,
}

/// Nobody but the service says what the log holds.
pub const WITHOUT_WITNESSES: &str = "quorum = 0\ninsecure_without_witnesses = true\n";

impl BundleText {
    pub fn first(keys: Vec<KeyRule>) -> Self {
        let now = now_millis();
        Self {
            version: 1,
            previous: None,
            previous_accepted_until: None,
            issued: now - HOUR,
            expires: now + 30 * DAY,
            keys,
            ledger: WITHOUT_WITNESSES.to_owned(),
        }
    }

    pub fn after(previous: &[u8], version: u64, keys: Vec<KeyRule>) -> Self {
        Self {
            version,
            previous: Some(Digest384::of(previous).to_hex()),
            ..Self::first(keys)
        }
    }
}

pub struct World {
    pub folder: TempDir,
    pub people: BTreeMap<&'static str, SigningKey>,
    pub authority: DevelopmentAuthority,
    pub service_key: StaticPublic,
    pub log_key: VerifierKey,
    /// The bytes of every bundle, oldest first.
    pub bundles: Vec<Vec<u8>>,
    /// Root of the log by its size, in every checkpoint that an answer showed.
    pub seen: Mutex<BTreeMap<u64, Hash>>,
    serial: AtomicU64,
}

impl World {
    /// An initialised service with these key rules, a release `shop` 1.0 that everybody who matters signed,
    /// and nothing running.
    pub fn new(keys: Vec<KeyRule>) -> Self {
        Self::with_bundle(BundleText::first(keys), "")
    }

    pub fn with_bundle(first: BundleText, config_additions: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = DevelopmentAuthority::insecure_from_seed(b"key-service tests");
        std::fs::write(folder.path().join("root.der"), authority.root_certificate()).unwrap();
        let service_key = static_key::load_or_create(&folder.path().join("static.key")).unwrap();
        let log_key = log_key::load_or_create(&folder.path().join("log.key"), ORIGIN).unwrap();
        let people = REVIEWERS
            .into_iter()
            .chain([KEEPER, BYSTANDER])
            .map(|name| (name, SigningKey::generate_ed25519().unwrap()))
            .collect();
        let mut world = Self {
            folder,
            people,
            authority,
            service_key,
            log_key,
            bundles: Vec::new(),
            seen: Mutex::default(),
            serial: AtomicU64::new(0),
        };
        world.write_config(config_additions);
        let genesis = world.bundle_text(&first);
        world.bundles.push(genesis.clone().into_bytes());
        let (bundle, signatures) = world.write_signed("0001.toml", &genesis, &["alice", "bob"]);
        init::init(
            &world.config().storage,
            &bundle,
            &signatures,
            UnixMillis(now_millis()),
        )
        .unwrap();
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write_config(&self, additions: &str) {
        let folder = self.folder.path().display();
        #[cfg(feature = "dev-root")]
        let root = "insecure_development_root = \"root.der\"\n";
        #[cfg(not(feature = "dev-root"))]
        let root = "";
        let text = format!(
            "{root}\
             [storage]\ndatabase = \"keys.sqlite\"\nroot_key = \"root.key\"\nstatic_key = \"static.key\"\n\
             log_key = \"log.key\"\n\
             [listen]\nkeys = [\"unix:{folder}/keys.sock\"]\n\
             administration = \"unix:{folder}/administration.sock\"\n\
             policy = [\"unix:{folder}/policy.sock\"]\nhttp = \"127.0.0.1:0\"\n\
             submissions = \"unix:{folder}/submissions.sock\"\nlog = [\"unix:{folder}/log.sock\"]\n\
             [log]\nformat = \"text\"\nlevel = \"warn\"\n{additions}"
        );
        std::fs::write(self.path("service.toml"), text).unwrap();
    }

    pub fn config(&self) -> Config {
        Config::load(&self.path("service.toml")).unwrap()
    }

    pub async fn start(&self) -> Running {
        let server = Server::start(&self.config()).await.unwrap();
        Running::new(server)
    }

    pub async fn start_at(&self, clock: Arc<dyn Clock>) -> Running {
        let server = Server::start_with(&self.config(), clock).await.unwrap();
        Running::new(server)
    }

    pub fn address(&self, socket: &str) -> Address {
        Address::Unix(self.path(socket))
    }

    // --- Policy files.

    pub fn bundle_text(&self, bundle: &BundleText) -> String {
        let BundleText {
            version,
            previous,
            previous_accepted_until,
            issued,
            expires,
            keys,
            ledger,
        } = bundle;
        let mut text = format!(
            "schema = \"narthex/bundle/v1\"\nproject = \"{PROJECT}\"\nversion = {version}\n\
             issued = {}\nexpires = {}\n",
            time_text(*issued),
            time_text(*expires)
        );
        if let Some(previous) = previous {
            text += &format!("previous = \"{previous}\"\n");
        }
        if let Some(until) = previous_accepted_until {
            text += &format!("previous_accepted_until = {}\n", time_text(*until));
        }
        for (name, key) in &self.people {
            let roles = match *name {
                KEEPER => "roles = [\"key-keeper\"]\n",
                BYSTANDER => "roles = [\"watch\"]\n",
                _ => "",
            };
            text += &format!(
                "\n[[person]]\nname = \"{name}\"\nkeys = [\"{}\"]\n{roles}",
                key.public_key().to_openssh()
            );
        }
        text += "\n[review]\nreviewers = [\"alice\", \"bob\", \"carol\"]\nthreshold = 2\n\
             \n[[role]]\nname = \"key-keeper\"\noperations = [\"keys-list\", \"keys-create\", \"keys-import\", \
             \"keys-rotate\", \"keys-disable\", \"keys-enable\", \"keys-retire\", \"keys-backup\", \
             \"keys-restore\", \"root-key-rotate\", \"decisions-list\"]\n\
             \n[[role]]\nname = \"watch\"\nactions = [\"health\", \"uptime\", \"restart-workload\"]\n\
             \n[[approval]]\nactions = [\"restart-workload\"]\napprovers = [\"alice\", \"bob\", \"carol\"]\n\
             threshold = 1\ndelay = \"0s\"\n\
             \n[[approval]]\noperations = [\"keys-import\", \"keys-enable\", \"keys-retire\", \"keys-backup\", \
             \"keys-restore\", \"root-key-rotate\"]\napprovers = [\"alice\", \"bob\", \"carol\"]\nthreshold = 1\n\
             delay = \"0s\"\n\
             \n[[release_authority]]\nnames = [\"*\"]\nsigners = [\"alice\", \"bob\", \"carol\"]\nthreshold = 2\n\
             \n[stop]\nsigners = [\"alice\", \"bob\", \"carol\"]\nthreshold = 1\n";
        text += &format!(
            "\n[key_service]\nstatic_key = \"{}\"\n",
            hex::encode(self.service_key.as_bytes())
        );
        text += &format!(
            "\n[ledger]\nlog = \"{}\"\nsalt = \"{}\"\n{ledger}",
            self.log_key,
            "5a".repeat(32)
        );
        for KeyRule { name, rest } in keys {
            text += &format!("\n[[key]]\nname = \"{name}\"\n{rest}");
        }
        text
    }

    pub fn release_text(&self, name: &str, version: &str, status: &str) -> String {
        self.release_text_until(name, version, status, now_millis() + 20 * DAY)
    }

    pub fn release_text_until(
        &self,
        name: &str,
        version: &str,
        status: &str,
        expires: u64,
    ) -> String {
        let pcr = |index| hex::encode(PayloadRecipe::example_measurement(index));
        format!(
            "schema = \"narthex/release/v1\"\nproject = \"{PROJECT}\"\nserial = {}\nissued = {}\nexpires = {}\n\
             name = \"{name}\"\nversion = \"{version}\"\nstatus = \"{status}\"\n\
             insecure_measurements_by_hand = true\n\
             pcr0 = \"{}\"\npcr1 = \"{}\"\npcr2 = \"{}\"\n",
            self.serial.fetch_add(1, Ordering::SeqCst) + 1,
            time_text(now_millis() - HOUR),
            time_text(expires),
            pcr(0),
            pcr(1),
            pcr(2)
        )
    }

    pub fn stop_text(&self, what: &str) -> String {
        format!(
            "schema = \"narthex/stop/v1\"\nproject = \"{PROJECT}\"\nserial = {}\nissued = {}\n{what}",
            self.serial.fetch_add(1, Ordering::SeqCst) + 1,
            time_text(now_millis() - 1000)
        )
    }

    pub fn sign(&self, who: &str, namespace: Namespace, bytes: &[u8]) -> String {
        self.people[who].sign(namespace, bytes).unwrap()
    }

    pub fn signed(&self, namespace: Namespace, text: &str, who: &[&str]) -> Signed {
        Signed {
            bytes: text.as_bytes().to_vec(),
            signatures: who
                .iter()
                .map(|who| {
                    ArmoredSignature::new(&self.sign(who, namespace, text.as_bytes())).unwrap()
                })
                .collect(),
        }
    }

    fn write_signed(&self, name: &str, text: &str, who: &[&str]) -> (PathBuf, Vec<PathBuf>) {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        let signatures = who
            .iter()
            .map(|who| {
                let path = self.path(&format!("{name}.{who}.sig"));
                let signature = self.sign(who, Namespace::Policy, text.as_bytes());
                std::fs::write(&path, signature).unwrap();
                path
            })
            .collect();
        (path, signatures)
    }

    pub fn newest_bundle(&self) -> &[u8] {
        self.bundles.last().unwrap()
    }

    // --- Administration.

    pub fn order(&self, operation: KeyOperation) -> AdministrationOrder {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).unwrap();
        let now = now_millis();
        AdministrationOrder {
            head: OrderHead {
                project: ProjectName::new(PROJECT).unwrap(),
                nonce,
                requester: PersonName::new(KEEPER).unwrap(),
                issued: narthex_policy::UnixMillis(now - 1000),
                not_before: narthex_policy::UnixMillis(now - 1000),
                expires: narthex_policy::UnixMillis(now + HOUR),
            },
            genesis: narthex_policy::Digest384::of(&self.bundles[0]),
            operation,
        }
    }

    pub fn request(
        &self,
        order: &AdministrationOrder,
        signer: &str,
        approvers: &[&str],
        payload: Option<&[u8]>,
    ) -> Vec<u8> {
        let order = order.to_toml().into_bytes();
        let armored = |text: String| ArmoredSignature::new(&text).unwrap();
        let request = AdministrationRequest {
            signature: armored(self.sign(signer, Namespace::Order, &order)),
            approvals: approvers
                .iter()
                .map(|who| armored(self.sign(who, Namespace::Approve, &order)))
                .collect(),
            payload: payload.map(SecretBytes::copied_from),
            order,
        };
        request.to_bytes().unwrap().to_vec()
    }

    /// Sends one content over a session of administration.
    pub async fn send(&self, content: &[u8]) -> Result<Value, String> {
        self.try_send(content).await.unwrap()
    }

    /// The outer error is the connection's.
    pub async fn try_send(&self, content: &[u8]) -> Result<Result<Value, String>, String> {
        let opening = Opening::Administration {
            service: self.service_key,
        };
        let mut connection = self.open("administration.sock", &opening).await?;
        connection
            .send(content)
            .await
            .map_err(|error| error.to_string())?;
        let answer: AdministrationAnswer = connection
            .receive_message()
            .await
            .map_err(|error| error.to_string())?
            .ok_or("closed")?;
        let _closed = connection.close().await;
        if let AdministrationAnswer::Refused {
            reason,
            log_proof: Some(proof),
        } = &answer
        {
            // Shown only for what is an entry, and then it is this one.
            let index = Proof::parse(std::str::from_utf8(proof).unwrap())
                .unwrap()
                .index;
            let mut all = entries(self).into_iter();
            let recorded = all.rfind(|each| each.index == index).unwrap();
            assert_eq!(recorded.entry.reason(), Some(reason.as_str()));
            self.proved(&recorded.hash, proof);
        }
        Ok(match answer {
            AdministrationAnswer::Done { body, log_proof } => {
                let body: Value = serde_json::from_slice(&body).unwrap();
                if let Some(hash) = body["entry"]["hash"].as_str() {
                    let hash = Hash(hex::decode(hash).unwrap().try_into().unwrap());
                    self.proved(&hash, &log_proof.expect("an answer without a proof"));
                }
                Ok(body)
            }
            AdministrationAnswer::Refused { reason, .. } => Err(reason.as_str().to_owned()),
        })
    }

    // --- The log, as its readers see it.

    pub fn trust(&self) -> Trust {
        Trust::new(self.log_key.clone(), Vec::new(), 0).unwrap()
    }

    /// Demands that a proof leads from an entry with this hash to a checkpoint of a log that nobody has seen another
    /// version of.
    pub fn proved(&self, leaf: &Hash, proof: &[u8]) -> Proof {
        let proof = Proof::parse(std::str::from_utf8(proof).unwrap()).unwrap();
        let trusted = self.trust().check(&proof.checkpoint).unwrap();
        let Checkpoint { size, root, .. } = trusted.checkpoint();
        verify_inclusion(proof.index, *size, leaf, &proof.hashes, root).unwrap();
        let before = self.seen.lock().unwrap().insert(*size, *root);
        assert!(
            before.is_none_or(|before| before == *root),
            "the log forked"
        );
        proof
    }

    /// As an agent does it: rebuilds the entry from what it sent and got, and demands that it is logged.
    fn release_is_logged(
        &self,
        enclave: &Enclave,
        session: &HandshakeHash,
        envelope: &KeyRequestEnvelope,
        proof: &[u8],
        keys: &[Opened],
    ) {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| ReleasedKey {
                name: key.name.clone(),
                version: key.version,
                commitment: narthex_ledger::Digest384::from_hex(&key.commitment).unwrap(),
            })
            .collect();
        let facts = ReleaseFacts {
            enclave: &enclave.identity.module_id(),
            session: SessionHash(*session.as_bytes()),
            document: &envelope.document,
            request: &envelope.request,
            keys: &keys,
        };
        let read = Proof::parse(std::str::from_utf8(proof).unwrap()).unwrap();
        let leaf = ReleaseEntry::accepted_leaf(&facts, read.extra.as_deref().unwrap()).unwrap();
        self.proved(&leaf_hash(&leaf), proof);
    }

    /// Demands that the log that is here now continues every checkpoint that an answer showed.
    pub fn continues_what_was_seen(&self) {
        let entries = entries(self);
        let mut frontier = Frontier::new();
        let seen = self.seen.lock().unwrap();
        for recorded in &entries {
            frontier.append(recorded.hash).unwrap();
            if let Some(root) = seen.get(&frontier.size()) {
                assert_eq!(frontier.root(), *root, "at {}", frontier.size());
            }
        }
        let largest = seen.last_key_value().map_or(0, |(size, _)| *size);
        assert!(frontier.size() >= largest, "entries are gone");
    }

    pub async fn administer(&self, operation: KeyOperation) -> Result<Value, String> {
        let content = self.request(&self.order(operation), KEEPER, &["alice"], None);
        self.send(&content).await
    }

    pub async fn administer_with(
        &self,
        operation: KeyOperation,
        payload: &[u8],
    ) -> Result<Value, String> {
        let content = self.request(&self.order(operation), KEEPER, &["alice"], Some(payload));
        self.send(&content).await
    }

    pub async fn deliver(&self, files: &PolicyDelivery) -> Result<Value, String> {
        self.send(&files.to_bytes().unwrap()).await
    }

    /// Makes the next bundle with these key rules, delivers it, and remembers it.
    pub async fn succeed(&mut self, keys: Vec<KeyRule>) -> Value {
        let version = self.bundles.len() as u64 + 1;
        let bundle = BundleText::after(self.newest_bundle(), version, keys);
        self.succeed_with(&bundle).await
    }

    /// Makes the next bundle, delivers it, and remembers it.
    pub async fn succeed_with(&mut self, bundle: &BundleText) -> Value {
        let text = self.bundle_text(bundle);
        let answer = self.deliver_bundle(&text).await;
        self.bundles.push(text.into_bytes());
        answer
    }

    /// Delivers the next bundle.
    pub async fn deliver_bundle(&self, text: &str) -> Value {
        let files = PolicyDelivery {
            bundles: vec![self.signed(Namespace::Policy, text, &["alice", "carol"])],
            ..PolicyDelivery::default()
        };
        self.deliver(&files).await.unwrap()
    }

    pub async fn release(&self, name: &str, version: &str, status: &str) -> Result<Value, String> {
        let text = self.release_text(name, version, status);
        self.deliver(&PolicyDelivery {
            releases: vec![self.signed(Namespace::Release, &text, &["alice", "bob"])],
            ..PolicyDelivery::default()
        })
        .await
    }

    pub async fn stop(&self, what: &str) -> Result<Value, String> {
        let text = self.stop_text(what);
        self.deliver(&PolicyDelivery {
            stops: vec![self.signed(Namespace::Stop, &text, &["carol"])],
            ..PolicyDelivery::default()
        })
        .await
    }

    // --- Enclaves.

    pub async fn open(
        &self,
        socket: &str,
        opening: &Opening,
    ) -> Result<Connection<Stream>, String> {
        let stream = connect(&self.address(socket), Duration::from_secs(30))
            .await
            .map_err(|error| error.to_string())?;
        let timeouts = Timeouts {
            handshake: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            message: Duration::from_secs(60),
        };
        Connection::initiate(stream, opening, timeouts)
            .await
            .map_err(|error| error.to_string())
    }

    /// The usual enclave: `shop` 1.0 on the example role, booted with the newest bundle.
    pub fn enclave(&self) -> Enclave {
        Enclave::booted(self, self.newest_bundle())
    }

    /// Asks for keys and opens them.
    pub async fn ask(&self, enclave: &Enclave, keys: &[&str]) -> Result<Vec<Opened>, String> {
        let wanted: Vec<_> = keys.iter().map(|name| (*name, None)).collect();
        self.ask_versions(enclave, &wanted).await
    }

    pub async fn ask_versions(
        &self,
        enclave: &Enclave,
        keys: &[(&str, Option<u32>)],
    ) -> Result<Vec<Opened>, String> {
        self.try_ask(enclave, keys).await.unwrap()
    }

    /// The outer error is the connection's.
    pub async fn try_ask(
        &self,
        enclave: &Enclave,
        keys: &[(&str, Option<u32>)],
    ) -> Result<Result<Vec<Opened>, String>, String> {
        let (_session, answer) = self.try_ask_in_session(enclave, keys).await?;
        Ok(answer)
    }

    /// The whole answer to one request for keys, with its proof.
    pub async fn ask_for_answer(&self, enclave: &Enclave, keys: &[&str]) -> KeyAnswer {
        let opening = Opening::Keys {
            service: self.service_key,
        };
        let wanted: Vec<_> = keys.iter().map(|name| (*name, None)).collect();
        let mut connection = self.open("keys.sock", &opening).await.unwrap();
        let recipient = RecipientKey::generate().unwrap();
        let envelope = enclave.envelope(&connection.handshake_hash(), &recipient, &wanted);
        connection.send_message(&envelope).await.unwrap();
        connection.receive_message().await.unwrap().unwrap()
    }

    /// Says the session's handshake hash, too.
    pub async fn try_ask_in_session(
        &self,
        enclave: &Enclave,
        keys: &[(&str, Option<u32>)],
    ) -> Result<(String, Result<Vec<Opened>, String>), String> {
        let (session, opened, _proof) = self.try_ask_for_proof(enclave, keys).await?;
        Ok((session, opened))
    }

    /// Returns the proof, too. That of a release was checked already.
    pub async fn try_ask_for_proof(
        &self,
        enclave: &Enclave,
        keys: &[(&str, Option<u32>)],
    ) -> Result<(String, Result<Vec<Opened>, String>, Option<Vec<u8>>), String> {
        let opening = Opening::Keys {
            service: self.service_key,
        };
        let mut connection = self.open("keys.sock", &opening).await?;
        let session = connection.handshake_hash();
        let recipient = RecipientKey::generate().unwrap();
        let envelope = enclave.envelope(&session, &recipient, keys);
        connection
            .send_message(&envelope)
            .await
            .map_err(|error| error.to_string())?;
        let answer: KeyAnswer = connection
            .receive_message()
            .await
            .map_err(|error| error.to_string())?
            .ok_or("closed")?;
        let _closed = connection.close().await;
        let session_text = hex::encode(session.as_bytes());
        let proof = answer.log_proof.clone();
        let opened = open_answer(&session, &recipient, answer);
        if let Ok(keys) = &opened {
            let proof = proof.as_deref().expect("keys without a proof");
            self.release_is_logged(enclave, &session, &envelope, proof, keys);
        }
        Ok((session_text, opened, proof))
    }
}

pub fn open_answer(
    session: &HandshakeHash,
    recipient: &RecipientKey,
    answer: KeyAnswer,
) -> Result<Vec<Opened>, String> {
    assert_eq!(answer.log_check, LogCheck::Required);
    match answer.outcome {
        KeyOutcome::Refused { reason } => Err(reason.as_str().to_owned()),
        KeyOutcome::Released(keys) => Ok(keys
            .iter()
            .map(|sealed| {
                let key = recipient.open(session, sealed).unwrap();
                Opened {
                    name: sealed.name.to_string(),
                    version: sealed.version,
                    commitment: sealed.commitment.to_hex(),
                    key: key.as_bytes().to_vec(),
                }
            })
            .collect()),
    }
}

/// A key as an enclave has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub name: String,
    pub version: u32,
    pub commitment: String,
    pub key: Vec<u8>,
}

type EditDocument = Box<dyn Fn(&mut DocumentRecipe) + Send + Sync>;
type EditStatement = Box<dyn Fn(&mut SessionStatement) + Send + Sync>;
type EditRequest = Box<dyn Fn(&mut KeyRequest) + Send + Sync>;
type EditEnvelope = Box<dyn Fn(&mut KeyRequestEnvelope) + Send + Sync>;

/// An enclave that asks for keys; every part of what it says can be made wrong.
pub struct Enclave {
    pub authority: DevelopmentAuthority,
    pub identity: Identity,
    pub boot_bundle: Vec<u8>,
    pub bundle_in_force: (Digest384, u64),
    /// Its clock, in milliseconds ahead of the real one.
    pub ahead: i64,
    pub edit_document: EditDocument,
    pub edit_statement: EditStatement,
    pub edit_request: EditRequest,
    pub edit_envelope: EditEnvelope,
    /// A whole security module instead of a recipe: its chain is made once, as in a real enclave.
    pub nsm: Option<MockNsm>,
}

impl Enclave {
    /// The same with a security module of its own, booted and locked.
    pub fn with_nsm(mut self, enclave_id: &str) -> Self {
        self.identity.enclave_id = enclave_id.to_owned();
        let config = MockConfig {
            identity: self.identity.clone(),
            ..MockConfig::example()
        };
        let nsm = MockNsm::new(self.authority.clone(), config);
        let bundle = Digest384::of(&self.boot_bundle);
        nsm.extend_pcr(16, bundle.as_bytes()).unwrap();
        nsm.lock_pcrs(32).unwrap();
        nsm.attest(AttestationRequest::default()).unwrap();
        self.nsm = Some(nsm);
        self
    }

    pub fn booted(world: &World, bundle: &[u8]) -> Self {
        let version = world
            .bundles
            .iter()
            .position(|known| known == bundle)
            .unwrap_or(0)
            + 1;
        Self {
            authority: world.authority.clone(),
            identity: Identity::example(),
            boot_bundle: bundle.to_vec(),
            bundle_in_force: (Digest384::of(bundle), version as u64),
            ahead: 0,
            edit_document: Box::new(|_| {}),
            edit_statement: Box::new(|_| {}),
            edit_request: Box::new(|_| {}),
            edit_envelope: Box::new(|_| {}),
            nsm: None,
        }
    }

    pub fn envelope(
        &self,
        session: &HandshakeHash,
        recipient: &RecipientKey,
        keys: &[(&str, Option<u32>)],
    ) -> KeyRequestEnvelope {
        let now = now_millis().checked_add_signed(self.ahead).unwrap();
        let mut statement = self.statement(now);
        (self.edit_statement)(&mut statement);
        let mut request = KeyRequest {
            suite: SealSuite::XWingHkdfSha256Aes256Gcm,
            recipient_key: recipient.public().clone(),
            keys: keys
                .iter()
                .map(|(name, version)| KeyWanted {
                    name: KeyName::new(name).unwrap(),
                    version: *version,
                })
                .collect(),
            statement: statement.to_bytes().unwrap().to_vec(),
        };
        (self.edit_request)(&mut request);
        let request = request.to_bytes().unwrap().to_vec();
        let user_data = KeyRequestEnvelope::user_data(session, &request)
            .as_bytes()
            .to_vec();
        if let Some(nsm) = &self.nsm {
            let attestation = AttestationRequest {
                user_data: Some(user_data),
                ..AttestationRequest::default()
            };
            let document = nsm.attest(attestation).unwrap();
            return KeyRequestEnvelope { document, request };
        }
        let mut recipe = DocumentRecipe::for_identity(&self.authority, &self.identity, now);
        recipe.payload.user_data = Some(user_data);
        let bundle = narthex_policy::Digest384::of(&self.boot_bundle);
        recipe
            .payload
            .set_pcr(16, Pcr::of_boot_bundle(&bundle).as_bytes());
        (self.edit_document)(&mut recipe);
        let mut envelope = KeyRequestEnvelope {
            document: recipe.mint(),
            request,
        };
        (self.edit_envelope)(&mut envelope);
        envelope
    }

    /// A document of this enclave with these user data.
    pub fn document(&self, user_data: &[u8], now: u64) -> Vec<u8> {
        let mut recipe = DocumentRecipe::for_identity(&self.authority, &self.identity, now);
        recipe.payload.user_data = Some(user_data.to_vec());
        let bundle = narthex_policy::Digest384::of(&self.boot_bundle);
        let pcr16 = Pcr::of_boot_bundle(&bundle);
        recipe.payload.set_pcr(16, pcr16.as_bytes());
        (self.edit_document)(&mut recipe);
        recipe.mint()
    }

    pub fn statement(&self, now: u64) -> SessionStatement {
        let (digest, version) = self.bundle_in_force;
        SessionStatement {
            module_id: ModuleId::new(&self.identity.module_id()).unwrap(),
            boot_id: BootId([7; 16]),
            agent_version: AgentVersion {
                major: 0,
                minor: 1,
                patch: 0,
            },
            boot_bundle: Digest384::of(&self.boot_bundle),
            bundle_in_force: BundleInForce { digest, version },
            release: ReleaseState::Current,
            log_check: LogCheck::Required,
            decisions: Decisions::default(),
            chain_head: Digest384::ZERO,
            now: narthex_channel::UnixMillis(now),
        }
    }
}

/// PCR3 of another account's role.
pub fn stranger_pcr3() -> [u8; 48] {
    measurement_of(b"arn:aws:iam::999999999999:role/stranger")
}

/// A service in this process.
pub struct Running {
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<Result<(), LogStop>>,
    pub http: Option<Address>,
}

impl Running {
    pub fn new(server: Server) -> Self {
        let http = server.addresses("http").into_iter().next();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        Self { stop, task, http }
    }

    pub async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap().unwrap();
    }

    /// Waits until it ends by itself.
    pub async fn ended(self) -> Result<(), LogStop> {
        self.task.await.unwrap()
    }

    pub async fn get(&self, path: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let address = self.http.as_ref().unwrap();
        let mut stream = connect(address, Duration::from_secs(5)).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }
}

pub fn key(name: &str) -> narthex_policy::KeyName {
    narthex_policy::KeyName::new(name).unwrap()
}

pub fn create(name: &str) -> KeyOperation {
    KeyOperation::Create { key: key(name) }
}

/// Every entry of the log, checked.
pub fn entries(world: &World) -> Vec<Recorded> {
    let mut all = Vec::new();
    narthex_key_service::commands::entries(&world.config().storage, |recorded| {
        all.push(recorded.clone());
    })
    .unwrap();
    all
}

/// What the entries say, as JSON.
pub fn leaves(world: &World) -> Vec<Value> {
    entries(world)
        .iter()
        .map(|recorded| recorded.to_json()["entry"].clone())
        .collect()
}

pub fn newest_refusal(world: &World) -> Option<Value> {
    leaves(world)
        .into_iter()
        .rev()
        .find(|entry| entry["outcome"] == "refused")
}

/// The pseudonym of somebody in the log.
pub fn person(name: &str) -> String {
    PersonId::of(&[0x5a; 32], name).to_string()
}

pub fn sqlite(world: &World, sql: &str) {
    let connection = rusqlite::Connection::open(world.path("keys.sqlite")).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection.execute_batch(sql).unwrap();
}

pub fn exists(path: &Path) -> bool {
    path.exists()
}
