//! A project with people, keys and a log that is made entry by entry, as the key service makes it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use narthex_channel::diagnostics::{
    AgentVersion, BootId as AgentBootId, BundleInForce, Decisions, LogCheck, ReleaseState,
    SessionStatement,
};
use narthex_channel::keys::{KeyRequest, KeyRequestEnvelope, KeyWanted, SealSuite};
use narthex_channel::{HandshakeHash, Message, ModuleId, RecipientPublicKey};
use narthex_ledger::mock::MockLog;
use narthex_ledger::{
    AdministrationEntry, BootId, CurrentEntry, Decision, Digest384, Entry, Evidence,
    EvidenceDigest, KeyChange, KeyKind, KeyState, OrderEntry, OrderScope, PersonId, PolicyEntry,
    PolicyFile, PolicyFileKind, ReleaseEntry, ReleasedKey, RootKeyId, Salt, SaltedEvidence,
    SessionHash, SigningKey as LogKey, StatementEntry,
};
use narthex_nsm::mock::mint::{DevelopmentAuthority, DocumentRecipe, Identity, measurement_of};
use narthex_policy::{
    Action, AdministrationOrder, InitialBundle, InitialLedger, KeyName, KeyOperation, LedgerSalt,
    Measurements, NamedKeys, Namespace, Order, OrderHead, Parameters, Pcr, PersonName, ProjectName,
    Provenance, ReadOrder, Release, ReleaseName, ReleaseStatus, ReleaseVersion, SignedFile,
    SigningKey, StaticKey, Stop, StoppedRelease, Targets, UnixMillis, VerifierKey, WriteOrder,
    draft_successor,
};
use serde_json::Value;

/// When the log begins: 2026-01-01.
pub(crate) const BEGIN: u64 = 1_767_225_600_000;
const DAY: u64 = 86_400_000;
const SALT: [u8; 32] = [5; 32];
/// Document age that the key rule allows.
pub(crate) const MAX_AGE: u64 = 300_000;

pub(crate) fn accepted() -> Decision {
    Decision::Accepted
}

pub(crate) fn refused(reason: &str) -> Decision {
    Decision::Refused {
        reason: reason.to_owned(),
    }
}

pub(crate) fn person(name: &str) -> PersonId {
    PersonId::of(&SALT, name)
}

pub(crate) fn commitment(version: u32) -> Digest384 {
    Digest384::of(&version.to_be_bytes())
}

pub(crate) fn change(version: u32, state: KeyState) -> KeyChange {
    KeyChange {
        name: "database".to_owned(),
        version,
        state,
        commitment: commitment(version),
    }
}

pub(crate) fn measurements(image: &str) -> Measurements {
    let register = |index: u8| Pcr(measurement_of(format!("{image} {index}").as_bytes()));
    Measurements {
        pcr0: register(0),
        pcr1: register(1),
        pcr2: register(2),
        pcr8: None,
    }
}

/// What an enclave asks with; what is different from an honest one is changed before it is used.
pub(crate) struct Asking {
    pub(crate) image: String,
    pub(crate) session: [u8; 32],
    pub(crate) version: Option<u32>,
    pub(crate) decision: Decision,
    /// How old the document is.
    pub(crate) age: u64,
    pub(crate) edit: Box<dyn Fn(&mut DocumentRecipe)>,
    pub(crate) edit_entry: Box<dyn Fn(&mut ReleaseEntry)>,
    pub(crate) edit_statement: Box<dyn Fn(&mut SessionStatement)>,
}

impl Asking {
    pub(crate) fn new(session: u8) -> Self {
        Self {
            image: "shop 1".to_owned(),
            session: [session; 32],
            version: None,
            decision: accepted(),
            age: 1000,
            edit: Box::new(|_| {}),
            edit_entry: Box::new(|_| {}),
            edit_statement: Box::new(|_| {}),
        }
    }
}

/// The project.
pub(crate) struct Project {
    directory: tempfile::TempDir,
    pub(crate) log: MockLog,
    keys: Vec<(String, SigningKey)>,
    authority: DevelopmentAuthority,
    pub(crate) bundle: SignedFile,
    pub(crate) version: u64,
    bundle_digest: narthex_policy::Digest384,
    genesis: narthex_policy::Digest384,
    boot_bundle: narthex_policy::Digest384,
    /// The time of the next entry.
    pub(crate) time: u64,
    /// What release statements say that their measurements rest on.
    pub(crate) provenance: Provenance,
    /// How fast time passes.
    pub(crate) seconds_between_entries: u64,
    salt: u64,
    nonce: u8,
    serial: u64,
    decisions: u64,
}

impl Project {
    /// With the genesis bundle and the first `current` in the log, release `shop 1`, and key `database`: entries 0
    /// to 3.
    pub(crate) fn new() -> Self {
        let mut project = Self::begin("");
        project.genesis();
        project.release_statement("1", ReleaseStatus::Current, "shop 1");
        project.current();
        let create = KeyOperation::Create { key: database() };
        project.administer(create, "dave", &[], vec![change(1, KeyState::Enabled)]);
        project
    }

    /// With nothing in the log; `extra` is added to the bundle.
    pub(crate) fn begin(extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log_key = LogKey::generate("keys.example/log", KeyKind::Log).unwrap();
        let witnesses: Vec<LogKey> = ["customer", "auditor"]
            .map(|name| LogKey::generate(name, KeyKind::Witness).unwrap())
            .into();
        let parse = |key: &LogKey| VerifierKey::parse(&key.verifier_key().to_string()).unwrap();
        let ledger = InitialLedger {
            log: parse(&log_key),
            witnesses: witnesses.iter().map(parse).collect(),
            quorum: 1,
            readers: Vec::new(),
            reader_keys: Vec::new(),
            anyone_may_read: true,
            salt: LedgerSalt(SALT),
            insecure_without_witnesses: false,
        };
        let keys: Vec<(String, SigningKey)> = ["alice", "bob", "carol", "dave"]
            .map(|name| (name.to_owned(), SigningKey::generate_ed25519().unwrap()))
            .into();
        let named = |wanted: &str| NamedKeys {
            name: PersonName::new(wanted).unwrap(),
            keys: vec![key_of(&keys, wanted).public_key().clone()],
        };
        let initial = InitialBundle {
            project: ProjectName::new("shop").unwrap(),
            issued: UnixMillis(BEGIN - 10_000),
            expires: UnixMillis(BEGIN + 90 * DAY),
            reviewers: vec![named("alice"), named("bob")],
            threshold: 2,
            operators: vec![named("alice"), named("carol")],
            key_administrators: vec![named("alice"), named("dave")],
            static_key: Some(StaticKey([9; 32])),
            ledger: Some(ledger),
        };
        let text = format!(
            "{}\n[[key]]\nname = \"database\"\nreleases = [\"shop\"]\nmax_document_age = \"5m\"\n\
             role_arns = [\"{}\"]\n{extra}",
            initial.to_toml().unwrap(),
            narthex_nsm::mock::mint::PayloadRecipe::EXAMPLE_ROLE_ARN,
        );
        let authority = DevelopmentAuthority::insecure_from_seed(b"tests of the audit");
        fs::write(
            directory.path().join("root.der"),
            authority.root_certificate(),
        )
        .unwrap();
        let log = MockLog::with_keys(directory.path().join("log"), log_key, witnesses).unwrap();
        let mut project = Self {
            directory,
            log,
            keys,
            authority,
            bundle: SignedFile {
                bytes: Vec::new(),
                signatures: Vec::new(),
            },
            version: 1,
            bundle_digest: narthex_policy::Digest384([0; 48]),
            genesis: narthex_policy::Digest384([0; 48]),
            boot_bundle: narthex_policy::Digest384([0; 48]),
            time: BEGIN,
            provenance: Provenance::Manifest(narthex_policy::Digest384([7; 48])),
            seconds_between_entries: 3600,
            salt: 0,
            nonce: 0,
            serial: 0,
            decisions: 0,
        };
        project.bundle = project.sign(text, Namespace::Policy, &["alice", "bob"]);
        project.bundle_digest = project.bundle.digest();
        (project.genesis, project.boot_bundle) = (project.bundle_digest, project.bundle_digest);
        project
    }

    pub(crate) fn sign(&self, text: String, namespace: Namespace, who: &[&str]) -> SignedFile {
        let signatures = who.iter().map(|name| {
            let key = key_of(&self.keys, name);
            key.sign(namespace, text.as_bytes()).unwrap()
        });
        SignedFile {
            signatures: signatures.collect(),
            bytes: text.into_bytes(),
        }
    }

    pub(crate) fn keep(&mut self, evidence: Evidence) -> EvidenceDigest {
        self.salt += 1;
        let mut salt = Salt([0; 32]);
        salt.0[..8].copy_from_slice(&self.salt.to_be_bytes());
        self.log.keep(&SaltedEvidence { salt, evidence }).unwrap()
    }

    /// Lets time pass.
    fn tick(&mut self) -> u64 {
        self.time += self.seconds_between_entries * 1000;
        self.time
    }

    pub(crate) fn append(&mut self, entry: Entry) -> u64 {
        self.log.append(&entry).unwrap()
    }

    fn genesis(&mut self) -> u64 {
        let file = self.bundle.clone();
        self.deliver(PolicyFileKind::Bundle, &file, "1", &["alice", "bob"])
    }

    pub(crate) fn deliver(
        &mut self,
        kind: PolicyFileKind,
        file: &SignedFile,
        version: &str,
        signers: &[&str],
    ) -> u64 {
        self.decided(kind, file, version, signers, accepted())
    }

    /// The first bundle, with this decision.
    pub(crate) fn deliver_genesis(&mut self, decision: Decision) -> u64 {
        let file = self.bundle.clone();
        let signers = ["alice", "bob"];
        self.decided(PolicyFileKind::Bundle, &file, "1", &signers, decision)
    }

    fn decided(
        &mut self,
        kind: PolicyFileKind,
        file: &SignedFile,
        version: &str,
        signers: &[&str],
        decision: Decision,
    ) -> u64 {
        let evidence = self.keep(Evidence::policy_file(&file.bytes, &file.signatures).unwrap());
        let time = self.tick();
        self.append(Entry::Policy(PolicyEntry {
            time,
            decision,
            files: vec![PolicyFile {
                kind,
                sha384: Digest384::of(&file.bytes),
                version: version.to_owned(),
                evidence,
                signers: signers.iter().map(|name| person(name)).collect(),
            }],
        }))
    }

    pub(crate) fn release_statement(
        &mut self,
        version: &str,
        status: ReleaseStatus,
        image: &str,
    ) -> u64 {
        self.serial += 1;
        let release = Release {
            project: ProjectName::new("shop").unwrap(),
            serial: self.serial,
            issued: UnixMillis(self.time),
            expires: UnixMillis(self.time + 60 * DAY),
            name: ReleaseName::new("shop").unwrap(),
            version: ReleaseVersion::new(version).unwrap(),
            measurements: measurements(image),
            provenance: self.provenance,
            status,
            digest: narthex_policy::Digest384([0; 48]),
        };
        let file = self.sign(release.to_toml(), Namespace::Release, &["alice", "bob"]);
        let version = format!("shop {version}");
        self.deliver(PolicyFileKind::Release, &file, &version, &["alice", "bob"])
    }

    pub(crate) fn stop_statement(&mut self, version: &str) -> u64 {
        let stop = Stop {
            project: ProjectName::new("shop").unwrap(),
            serial: 1,
            issued: UnixMillis(self.time),
            releases: vec![StoppedRelease {
                name: ReleaseName::new("shop").unwrap(),
                version: Some(ReleaseVersion::new(version).unwrap()),
            }],
            people: Vec::new(),
            keys: Vec::new(),
            ssh_keys: Vec::new(),
            digest: narthex_policy::Digest384([0; 48]),
        };
        let file = self.sign(stop.to_toml(), Namespace::Stop, &["alice"]);
        self.deliver(PolicyFileKind::Stop, &file, "1", &["alice"])
    }

    /// The next bundle, signed by these.
    pub(crate) fn next_bundle(&mut self, expires: u64, who: &[&str]) -> u64 {
        let text = draft_successor(
            &self.bundle.bytes,
            UnixMillis(self.time),
            UnixMillis(expires),
            Some(UnixMillis(
                (self.time + (expires - self.time) / 2).min(self.time + 7 * DAY),
            )),
        )
        .unwrap();
        self.version += 1;
        let file = self.sign(text, Namespace::Policy, who);
        self.bundle_digest = file.digest();
        self.bundle = file.clone();
        self.deliver(
            PolicyFileKind::Bundle,
            &file,
            &self.version.to_string(),
            who,
        )
    }

    /// The text of the next bundle.
    pub(crate) fn successor_text(&self, expires: u64) -> String {
        draft_successor(
            &self.bundle.bytes,
            UnixMillis(self.time),
            UnixMillis(expires),
            None,
        )
        .unwrap()
    }

    /// A policy directory with the first bundle.
    pub(crate) fn write_policy_directory(&self) {
        self.write_bundle(1, &self.bundle);
    }

    /// Puts a bundle into the policy directory.
    pub(crate) fn write_bundle(&self, version: u64, file: &SignedFile) {
        let folder = self.path("policy/bundles");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{version:04}.toml")), &file.bytes).unwrap();
        for (name, signature) in ["alice", "bob"].iter().zip(&file.signatures) {
            fs::write(
                folder.join(format!("{version:04}.toml.{name}.sig")),
                signature,
            )
            .unwrap();
        }
    }

    /// Ends the log, and goes on in a new one with a bundle that says so. Gives back the old log's size.
    pub(crate) fn new_epoch(&mut self) -> u64 {
        self.log.publish(self.time / 1000 + 1).unwrap();
        let old = self.log.checkpoint();
        let old_key = self.log.key().verifier_key().to_string();
        let key = LogKey::generate("keys.example/log-2", KeyKind::Log).unwrap();
        let text = self.successor_text(self.time + 80 * DAY).replace(
            &format!("log = \"{old_key}\""),
            &format!("log = \"{}\"", key.verifier_key()),
        );
        let text = format!(
            "{text}\n[[ledger.previous]]\nlog = \"{old_key}\"\nsize = {}\nroot = \"{}\"\n",
            old.size,
            old.root.to_base64()
        );
        let file = self.sign(text, Namespace::Policy, &["alice", "bob"]);
        self.log.begin_epoch(key).unwrap();
        self.version += 1;
        (self.bundle_digest, self.bundle) = (file.digest(), file.clone());
        let evidence = self.keep(Evidence::policy_file(&file.bytes, &file.signatures).unwrap());
        let time = self.tick();
        self.append(Entry::Epoch(narthex_ledger::EpochEntry {
            time,
            old_origin: old.origin,
            old_size: old.size,
            old_root: old.root,
            bundle: Digest384::of(&file.bytes),
            version: self.version,
            evidence,
            signers: vec![person("alice"), person("bob")],
        }));
        old.size
    }

    pub(crate) fn current(&mut self) -> u64 {
        let entry = CurrentEntry {
            time: self.tick(),
            bundle: Digest384(self.bundle_digest.0),
            version: self.version,
        };
        self.append(Entry::Current(entry))
    }

    fn head(&mut self, requester: &str) -> OrderHead {
        self.nonce += 1;
        let at = UnixMillis(self.time / 1000 * 1000);
        OrderHead {
            project: ProjectName::new("shop").unwrap(),
            nonce: [self.nonce; 16],
            requester: PersonName::new(requester).unwrap(),
            issued: at,
            not_before: at,
            expires: at.saturating_add(Duration::from_secs(6 * 3600)),
        }
    }

    fn signed(&self, text: &str, requester: &str, approvers: &[&str]) -> (String, Vec<String>) {
        let sign = |name: &str, namespace| {
            key_of(&self.keys, name)
                .sign(namespace, text.as_bytes())
                .unwrap()
        };
        (
            sign(requester, Namespace::Order),
            approvers
                .iter()
                .map(|name| sign(name, Namespace::Approve))
                .collect(),
        )
    }

    pub(crate) fn read_order(&mut self, requester: &str, decision: Decision) -> u64 {
        let order = Order::Read(ReadOrder {
            head: self.head(requester),
            actions: vec![Action::Health, Action::Memory],
            calls: 100,
            targets: Targets {
                module_ids: vec![module_id()],
                ..Targets::default()
            },
        });
        self.submit(&order.to_toml(), requester, &[], &[], decision)
    }

    /// A write order that these people sign as approvers; the entry says that `said` did.
    pub(crate) fn write_order(
        &mut self,
        requester: &str,
        approvers: &[&str],
        said: &[&str],
        decision: Decision,
    ) -> u64 {
        let order = Order::Write(WriteOrder {
            head: self.head(requester),
            action: Action::RestartWorkload,
            parameters: Parameters::None,
            module_id: module_id(),
            boot_id: narthex_policy::BootId([7; 16]),
        });
        self.submit(&order.to_toml(), requester, approvers, said, decision)
    }

    /// Any order, logged as the service would.
    pub(crate) fn submit(
        &mut self,
        text: &str,
        requester: &str,
        approvers: &[&str],
        said: &[&str],
        decision: Decision,
    ) -> u64 {
        let said: Vec<PersonId> = said.iter().map(|name| person(name)).collect();
        self.log_order(text, requester, approvers, decision, |entry| {
            entry.approvers = said;
        })
    }

    /// An order that nobody approved, with an entry that is changed before it is written.
    pub(crate) fn submitted(
        &mut self,
        text: &str,
        requester: &str,
        decision: Decision,
        edit: impl FnOnce(&mut OrderEntry),
    ) -> u64 {
        self.log_order(text, requester, &[], decision, edit)
    }

    fn log_order(
        &mut self,
        text: &str,
        requester: &str,
        approvers: &[&str],
        decision: Decision,
        edit: impl FnOnce(&mut OrderEntry),
    ) -> u64 {
        let (signature, approvals) = self.signed(text, requester, approvers);
        let evidence =
            self.keep(Evidence::order(text.as_bytes(), signature.as_bytes(), &approvals).unwrap());
        let scope = match Order::parse_unverified(text.as_bytes()).unwrap() {
            Order::Read(read) => OrderScope::Read {
                actions: read.actions.iter().map(ToString::to_string).collect(),
            },
            Order::Write(write) => OrderScope::Write {
                action: write.action.to_string(),
                enclave: write.module_id,
                boot: BootId(write.boot_id.0),
            },
        };
        let time = self.tick();
        let mut entry = OrderEntry {
            time,
            decision,
            order: Digest384::of(text.as_bytes()),
            evidence,
            requester: Some(person(requester)),
            approvers: Vec::new(),
            scope: Some(scope),
            bundle: self.version,
        };
        edit(&mut entry);
        self.append(Entry::Order(entry))
    }

    pub(crate) fn administer(
        &mut self,
        operation: KeyOperation,
        requester: &str,
        approvers: &[&str],
        keys: Vec<KeyChange>,
    ) -> u64 {
        self.administered(operation, requester, approvers, keys, accepted(), |_| {})
    }

    pub(crate) fn administered(
        &mut self,
        operation: KeyOperation,
        requester: &str,
        approvers: &[&str],
        keys: Vec<KeyChange>,
        decision: Decision,
        edit: impl Fn(&mut AdministrationEntry),
    ) -> u64 {
        let root_key = matches!(operation, KeyOperation::RotateRootKey);
        let order = AdministrationOrder {
            head: self.head(requester),
            genesis: self.genesis,
            operation,
        };
        let text = order.to_toml();
        let (signature, approvals) = self.signed(&text, requester, approvers);
        let evidence = self.keep(
            Evidence::administration(text.as_bytes(), signature.as_bytes(), &approvals).unwrap(),
        );
        let refused = !decision.is_accepted();
        let mut entry = AdministrationEntry {
            time: self.tick(),
            decision,
            operation: Some(order.operation.kind().name().to_owned()),
            order: Digest384::of(text.as_bytes()),
            evidence,
            requester: Some(person(requester)),
            approvers: match refused {
                true => Vec::new(),
                false => approvers.iter().map(|name| person(name)).collect(),
            },
            keys,
            root_key: (root_key && !refused).then_some(RootKeyId([3; 16])),
        };
        edit(&mut entry);
        self.append(Entry::Administration(entry))
    }

    fn session_statement(&mut self) -> SessionStatement {
        self.decisions += 1;
        SessionStatement {
            module_id: ModuleId::new(&module_id()).unwrap(),
            boot_id: AgentBootId([7; 16]),
            agent_version: AgentVersion {
                major: 0,
                minor: 1,
                patch: 0,
            },
            boot_bundle: narthex_channel::Digest384::from_bytes(self.boot_bundle.0),
            bundle_in_force: BundleInForce {
                digest: narthex_channel::Digest384::from_bytes(self.bundle_digest.0),
                version: self.version,
            },
            release: ReleaseState::Current,
            log_check: LogCheck::Required,
            decisions: Decisions {
                accepted: self.decisions,
                refused: 0,
            },
            chain_head: narthex_channel::Digest384::from_bytes(
                Digest384::of(&self.decisions.to_be_bytes()).0,
            ),
            now: narthex_channel::UnixMillis(self.time),
        }
    }

    fn document(&self, at: u64, image: &str, user_data: Vec<u8>) -> DocumentRecipe {
        let mut recipe = DocumentRecipe::for_identity(&self.authority, &Identity::example(), at);
        let measured = measurements(image);
        for (index, pcr) in [(0, measured.pcr0), (1, measured.pcr1), (2, measured.pcr2)] {
            recipe.payload.set_pcr(index, pcr.as_bytes());
        }
        let pcr16 = Pcr::of_boot_bundle(&self.boot_bundle);
        recipe.payload.set_pcr(16, pcr16.as_bytes());
        recipe.payload.user_data = Some(user_data);
        recipe
    }

    pub(crate) fn release(&mut self, asking: Asking) -> u64 {
        let Asking {
            image,
            session,
            version,
            decision,
            age,
            edit,
            edit_entry,
            edit_statement,
        } = asking;
        let time = self.tick();
        let mut statement = self.session_statement();
        edit_statement(&mut statement);
        let request = KeyRequest {
            suite: SealSuite::XWingHkdfSha256Aes256Gcm,
            recipient_key: RecipientPublicKey::from_bytes([1; 1216]),
            keys: vec![KeyWanted {
                name: narthex_channel::KeyName::new("database").unwrap(),
                version,
            }],
            statement: statement.to_bytes().unwrap().to_vec(),
        };
        let request = request.to_bytes().unwrap().to_vec();
        let hash = HandshakeHash::from_bytes(session);
        let user_data = KeyRequestEnvelope::user_data(&hash, &request);
        let mut recipe = self.document(time - age, &image, user_data.as_bytes().to_vec());
        edit(&mut recipe);
        let document = recipe.mint();
        let evidence = self.keep(Evidence::key_request(&session, &document, &request).unwrap());
        let released = decision.is_accepted();
        let mut entry = ReleaseEntry {
            time,
            decision,
            enclave: module_id(),
            session: SessionHash(session),
            evidence,
            boot_bundle: Some(1),
            in_force: self.version,
            release: image.starts_with("shop").then(|| image.clone()),
            keys: Vec::new(),
            asked: Vec::new(),
        };
        match released {
            true => {
                entry.keys = vec![ReleasedKey {
                    name: "database".to_owned(),
                    version: version.unwrap_or(1),
                    commitment: commitment(version.unwrap_or(1)),
                }];
            }
            false => entry.asked = vec!["database".to_owned()],
        }
        edit_entry(&mut entry);
        self.append(Entry::Release(entry))
    }

    pub(crate) fn statement(&mut self, session: u8, edit: impl Fn(&mut SessionStatement)) -> u64 {
        self.stated(session, edit, |_| {})
    }

    /// The same, with an entry that is changed before it is written.
    pub(crate) fn stated(
        &mut self,
        session: u8,
        edit: impl Fn(&mut SessionStatement),
        edit_entry: impl Fn(&mut StatementEntry),
    ) -> u64 {
        let time = self.tick();
        let mut said = self.session_statement();
        edit(&mut said);
        let session = [session; 32];
        let bytes = said.to_bytes().unwrap().to_vec();
        let user_data = narthex_channel::binding_digest(
            narthex_channel::Label::DiagnosticsSession,
            &HandshakeHash::from_bytes(session),
            &bytes,
        );
        let recipe = self.document(time - 1000, "shop 1", user_data.as_bytes().to_vec());
        let evidence = self.keep(Evidence::statement(&session, &recipe.mint(), &bytes).unwrap());
        let mut entry = StatementEntry {
            time,
            enclave: module_id(),
            boot: BootId([7; 16]),
            session: SessionHash(session),
            evidence,
            accepted: said.decisions.accepted,
            refused: said.decisions.refused,
            chain_head: Digest384(*said.chain_head.as_bytes()),
            bundle: Digest384(*said.bundle_in_force.digest.as_bytes()),
            submitter: None,
        };
        edit_entry(&mut entry);
        self.append(Entry::Statement(entry))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// SHA-384 of the first bundle.
    pub(crate) fn genesis_hex(&self) -> String {
        self.genesis.to_string()
    }

    /// The text of a release statement that follows.
    pub(crate) fn statement_text(&mut self, version: &str, image: &str) -> String {
        Release {
            project: ProjectName::new("shop").unwrap(),
            serial: self.serial + 1,
            issued: UnixMillis(self.time),
            expires: UnixMillis(self.time + 60 * DAY),
            name: ReleaseName::new("shop").unwrap(),
            version: ReleaseVersion::new(version).unwrap(),
            measurements: measurements(image),
            provenance: self.provenance,
            status: ReleaseStatus::Current,
            digest: narthex_policy::Digest384([0; 48]),
        }
        .to_toml()
    }

    /// The text of a read order.
    pub(crate) fn order_text(&mut self, requester: &str) -> String {
        Order::Read(ReadOrder {
            head: self.head(requester),
            actions: vec![Action::Health],
            calls: 100,
            targets: Targets {
                module_ids: vec![module_id()],
                ..Targets::default()
            },
        })
        .to_toml()
    }

    /// Where the evidence of an entry is; each entry of these tests has one, in the order of the entries that have.
    fn evidence_of(&mut self, index: u64) -> PathBuf {
        self.log.publish(self.time / 1000 + 1).unwrap();
        let trust = self.log.trust(0).unwrap();
        let reader = narthex_ledger::LogReader::open_log_only(self.log.folder(), &trust).unwrap();
        let entry = Entry::from_leaf(&reader.entry(index).unwrap()).unwrap();
        let resource = narthex_ledger::Resource::Evidence(entry.evidence()[0]);
        self.log.folder().path().join(resource.path())
    }

    /// Takes the evidence of an entry away.
    pub(crate) fn forget(&mut self, index: u64) {
        fs::remove_file(self.evidence_of(index)).unwrap();
    }

    /// Changes one bit of the evidence of an entry.
    pub(crate) fn alter(&mut self, index: u64) {
        let path = self.evidence_of(index);
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&path, bytes).unwrap();
    }

    /// Publishes, and runs `narthex audit log --root root.der --genesis … WORDS`.
    pub(crate) fn audit(&mut self, words: &str) -> std::process::Output {
        self.log.publish(self.time / 1000 + 1).unwrap();
        self.audit_as_published(words)
    }

    /// The same without publishing what was appended since.
    pub(crate) fn audit_as_published(&self, words: &str) -> std::process::Output {
        self.run(&self.genesis_hex(), words)
    }

    /// Publishes, and audits; the last line on standard error is `peak-kib N`.
    pub(crate) fn audit_measured(&mut self) -> std::process::Output {
        self.log.publish(self.time / 1000 + 1).unwrap();
        let genesis = self.genesis_hex();
        Command::new("/usr/bin/time")
            .args(["-f", "peak-kib %M", env!("CARGO_BIN_EXE_narthex")])
            .args(["audit", "log", "--root", "root.der", "--genesis", &genesis])
            .current_dir(self.directory.path())
            .env("HOME", self.directory.path())
            .env_remove("XDG_STATE_HOME")
            .output()
            .unwrap()
    }

    /// Publishes, and audits with another first bundle.
    pub(crate) fn audit_with_genesis(&mut self, genesis: &str) -> std::process::Output {
        self.log.publish(self.time / 1000 + 1).unwrap();
        self.run(genesis, "--json")
    }

    fn run(&self, genesis: &str, words: &str) -> std::process::Output {
        self.run_at("log", genesis, words)
    }

    /// Serves the log through a Unix socket until it is killed.
    pub(crate) fn serve(&self, socket: &std::path::Path) -> std::process::Child {
        let child = Command::new(env!("CARGO_BIN_EXE_narthex"))
            .args(["log", "serve", "log", "--anyone", "--listen"])
            .arg(format!("unix:{}", socket.display()))
            .current_dir(self.directory.path())
            .env("HOME", self.directory.path())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        while !socket.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        child
    }

    /// Audits the log at another address.
    pub(crate) fn audit_at(&self, address: &str, words: &str) -> std::process::Output {
        self.run_at(address, &self.genesis_hex(), words)
    }

    fn run_at(&self, address: &str, genesis: &str, words: &str) -> std::process::Output {
        Command::new(env!("CARGO_BIN_EXE_narthex"))
            .args(["audit", address, "--root", "root.der", "--genesis", genesis])
            .args(words.split_whitespace())
            .current_dir(self.directory.path())
            .env("HOME", self.directory.path())
            .env_remove("XDG_STATE_HOME")
            .output()
            .unwrap()
    }

    /// The same with `--json`: exit code and report.
    pub(crate) fn report(&mut self) -> (i32, Value) {
        let output = self.audit("--json");
        let report = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        (output.status.code().unwrap(), report)
    }

    /// The exceptions: check and entry of each.
    pub(crate) fn exceptions(&mut self) -> Vec<(String, Option<u64>, String)> {
        let (code, report) = self.report();
        let found = exceptions(&report);
        assert_eq!(code, i32::from(!found.is_empty()), "{report:#}");
        found
    }

    /// Exactly one check fails, at exactly this entry, for this reason.
    #[track_caller]
    pub(crate) fn assert_only(&mut self, check: &str, entry: u64, reason: &str) {
        let expected = (check.to_owned(), Some(entry), reason.to_owned());
        assert_eq!(self.exceptions(), [expected]);
    }
}

pub(crate) fn exceptions(report: &Value) -> Vec<(String, Option<u64>, String)> {
    let mut found = Vec::new();
    for claim in report["claims"].as_array().unwrap() {
        for check in claim["checks"].as_array().unwrap() {
            for exception in check["listed"].as_array().unwrap() {
                found.push((
                    exception["check"].as_str().unwrap().to_owned(),
                    exception["entry"].as_u64(),
                    exception["reason"].as_str().unwrap().to_owned(),
                ));
            }
        }
    }
    found
}

pub(crate) fn database() -> KeyName {
    KeyName::new("database").unwrap()
}

pub(crate) fn module_id() -> String {
    Identity::example().module_id()
}

fn key_of<'k>(keys: &'k [(String, SigningKey)], wanted: &str) -> &'k SigningKey {
    let found = keys.iter().find(|(name, _)| name == wanted);
    &found
        .unwrap_or_else(|| panic!("nobody is called {wanted}"))
        .1
}
