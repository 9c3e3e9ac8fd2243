//! A small world for the agent's tests: people with keys, a policy, orders and calls made as the operator's
//! tool makes them.

#![allow(dead_code, unreachable_pub)] // Each test program uses a part of it.

pub mod log;
pub mod peers;
pub mod process;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use log::{SharedLog, TestLog};
use narthex_agent::config::Config;
use narthex_agent::log::{LogRule, LoggedPolicy};
use narthex_agent::supervisor::identity::Identity;
use narthex_channel::diagnostics::CallRequest;
use narthex_channel::policy::PolicyAnswer;
use narthex_channel::{ArmoredSignature, HandshakeHash, ModuleId};
use narthex_policy::{
    Action, BootId, Call, Digest384, Measurements, Namespace, Parameters, Pcr, Policy, SessionHash,
    SignedFile, SigningKey, UnixMillis,
};

/// One hour in milliseconds.
pub const HOUR: u64 = 3_600_000;

/// PCR0, PCR1 and PCR2 of the mock's example enclave.
pub fn measurements() -> [String; 3] {
    let config = narthex_nsm::mock::MockConfig::example();
    [config.pcr0, config.pcr1, config.pcr2].map(hex::encode)
}

/// The module id of the mock's example enclave.
pub fn module_id() -> String {
    narthex_nsm::mock::MockConfig::example()
        .identity
        .module_id()
}

/// The mock's example enclave in the boot `boot_id`.
pub fn identity(boot_id: BootId) -> Identity {
    let [pcr0, pcr1, pcr2] = measurements().map(|hex| Pcr::from_hex(&hex).expect("hex"));
    Identity {
        module_id: ModuleId::new(&module_id()).expect("module id"),
        boot_id: narthex_channel::diagnostics::BootId(boot_id.0),
        measurements: Measurements {
            pcr0,
            pcr1,
            pcr2,
            pcr8: None,
        },
    }
}

/// The system's time; the mock NSM runs on it.
pub fn system_now() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    UnixMillis(u64::try_from(since.as_millis()).expect("small"))
}

/// The people. Alice, Bob and Carol review; Olga operates; Mallory is nobody.
pub struct World {
    people: Vec<(&'static str, SigningKey)>,
    /// When everything was issued.
    pub issued: UnixMillis,
    /// Static key of the key service, for the bundles.
    pub static_key: [u8; 32],
    /// Commitments in the bundles: name, version, digest in hexadecimal.
    pub commitments: Vec<(String, u32, String)>,
    /// When bundles expire.
    pub bundle_expires: UnixMillis,
    /// The log. Without one the configuration says `insecure_without_ledger`.
    pub log: Option<SharedLog>,
}

impl World {
    /// New people, an hour ago, and a log with two witnesses who both sign.
    pub fn new() -> Self {
        Self::with_log(TestLog::new(2, 2))
    }

    /// The same without a log.
    pub fn without_ledger() -> Self {
        Self {
            log: None,
            ..Self::new()
        }
    }

    /// The same with this log.
    pub fn with_log(log: TestLog) -> Self {
        let names = ["alice", "bob", "carol", "olga", "oscar", "mallory"];
        let key = || SigningKey::generate_ed25519().expect("randomness");
        let issued = UnixMillis((system_now().0 - HOUR) / 1000 * 1000);
        Self {
            people: names.into_iter().map(|name| (name, key())).collect(),
            issued,
            static_key: [9; 32],
            commitments: Vec::new(),
            bundle_expires: UnixMillis(issued.0 + 1000 * HOUR),
            log: Some(Arc::new(Mutex::new(log))),
        }
    }

    /// The log.
    pub fn log(&self) -> MutexGuard<'_, TestLog> {
        let log = self.log.as_ref().expect("a log");
        log.lock().expect("not poisoned")
    }

    fn key(&self, name: &str) -> &SigningKey {
        &self
            .people
            .iter()
            .find(|(person, _)| *person == name)
            .expect("known person")
            .1
    }

    /// A person's public key, in OpenSSH's form.
    pub fn public_key(&self, name: &str) -> String {
        self.key(name).public_key().to_openssh()
    }

    /// A person's signature.
    pub fn sign(&self, name: &str, namespace: Namespace, bytes: &[u8]) -> String {
        self.key(name).sign(namespace, bytes).expect("sign")
    }

    fn signed(&self, text: String, namespace: Namespace, signers: &[&str]) -> SignedFile {
        let bytes = text.into_bytes();
        let signatures = signers
            .iter()
            .map(|name| self.sign(name, namespace, &bytes))
            .collect();
        SignedFile { bytes, signatures }
    }

    /// A bundle after `previous`, signed by `signers`.
    pub fn bundle_signed_by(
        &self,
        previous: Option<(&SignedFile, u64)>,
        signers: &[&str],
    ) -> SignedFile {
        let (version, previous) = match previous {
            None => (1, String::new()),
            Some((file, version)) => (
                version + 1,
                format!("previous = \"{}\"\n", Digest384::of(&file.bytes)),
            ),
        };
        let mut text = format!(
            "schema = \"narthex/bundle/v1\"\nproject = \"agent-tests\"\nversion = {version}\n\
             {previous}issued = {}\nexpires = {}\n\n",
            self.issued, self.bundle_expires
        );
        for name in ["alice", "bob", "carol", "olga", "oscar"] {
            let roles = match name {
                "olga" => "roles = [\"reader\", \"maintainer\"]\n",
                "oscar" => "roles = [\"reader\"]\n",
                _ => "",
            };
            text += &format!(
                "[[person]]\nname = \"{name}\"\nkeys = [\"{}\"]\n{roles}\n",
                self.public_key(name)
            );
        }
        let read: Vec<String> = Action::ALL
            .iter()
            .filter(|action| !action.is_write())
            .map(|action| format!("\"{action}\""))
            .collect();
        let commitments: String = self
            .commitments
            .iter()
            .map(|(name, version, digest)| {
                format!(
                    "[[key]]\nname = \"{name}\"\nreleases = [\"app\"]\ninsecure_any_account = true\n\
                     commitments = [{{ version = {version}, sha384 = \"{digest}\" }}]\n\n"
                )
            })
            .collect();
        text += &format!(
            "[review]\nreviewers = [\"alice\", \"bob\", \"carol\"]\nthreshold = 2\n\n\
             [[role]]\nname = \"reader\"\nactions = [{}]\n\n\
             [[role]]\nname = \"maintainer\"\n\
             actions = [\"restart-workload\", \"reload-keys\", \"shutdown\"]\n\n\
             [[approval]]\nactions = [\"restart-workload\", \"reload-keys\", \"shutdown\"]\n\
             approvers = [\"alice\", \"bob\"]\nthreshold = 1\ndelay = \"5m\"\n\n\
             [[release_authority]]\nnames = [\"app\"]\nsigners = [\"alice\", \"bob\", \"carol\"]\n\
             threshold = 2\n\n\
             [stop]\nsigners = [\"alice\", \"bob\", \"carol\"]\nthreshold = 1\n\n\
             {commitments}[key_service]\nstatic_key = \"{}\"\n\n{}",
            read.join(", "),
            hex::encode(self.static_key),
            self.log
                .as_ref()
                .map_or_else(String::new, |_| self.log().table()),
        );
        self.signed(text, Namespace::Policy, signers)
    }

    /// A bundle that two reviewers signed.
    pub fn bundle(&self, previous: Option<(&SignedFile, u64)>) -> SignedFile {
        self.bundle_signed_by(previous, &["alice", "bob"])
    }

    /// A release statement about the mock's example enclave.
    pub fn release(&self, serial: u64, status: &str) -> SignedFile {
        let [pcr0, pcr1, pcr2] = measurements();
        let text = format!(
            "schema = \"narthex/release/v1\"\nproject = \"agent-tests\"\nserial = {serial}\n\
             issued = {}\nexpires = {}\n\nname = \"app\"\nversion = \"1\"\nstatus = \"{status}\"\n\
             insecure_measurements_by_hand = true\n\
             pcr0 = \"{pcr0}\"\npcr1 = \"{pcr1}\"\npcr2 = \"{pcr2}\"\n",
            self.issued,
            UnixMillis(self.issued.0 + 100 * HOUR)
        );
        self.signed(text, Namespace::Release, &["alice", "bob"])
    }

    /// A stop statement about a key.
    pub fn stop_key(&self, serial: u64, key: &str) -> SignedFile {
        let text = format!(
            "schema = \"narthex/stop/v1\"\nproject = \"agent-tests\"\nserial = {serial}\n\
             issued = {}\nkeys = [\"{key}\"]\n",
            self.issued
        );
        self.signed(text, Namespace::Stop, &["carol"])
    }

    /// A stop statement about a person.
    pub fn stop_person(&self, serial: u64, person: &str) -> SignedFile {
        let text = format!(
            "schema = \"narthex/stop/v1\"\nproject = \"agent-tests\"\nserial = {serial}\n\
             issued = {}\npeople = [\"{person}\"]\n",
            self.issued
        );
        self.signed(text, Namespace::Stop, &["carol"])
    }

    /// The `[trust]` table of the agent's configuration.
    pub fn trust(&self) -> String {
        let mut text = String::from(
            "[trust]\nproject = \"agent-tests\"\nthreshold = 2\nminimum_bundle_version = 1\n",
        );
        if self.log.is_some() {
            text += &format!("log = \"{}\"\n", self.log().verifier_key());
        }
        text += "\n";
        for name in ["alice", "bob", "carol"] {
            text += &format!(
                "[[trust.reviewer]]\nname = \"{name}\"\nkeys = [\"{}\"]\n\n",
                self.public_key(name)
            );
        }
        text
    }

    /// A configuration without workload or keys, with `more` at its end.
    pub fn config(&self, more: &str) -> Config {
        Config::parse(&self.config_text(more)).expect("configuration")
    }

    /// The text of [`World::config`].
    pub fn config_text(&self, more: &str) -> String {
        format!(
            "{}\n{}[policy]\nsource = \"tcp:127.0.0.1:9\"\n\n\
             [gate]\nlisten = \"tcp:127.0.0.1:0\"\n\n{more}",
            self.ledger_switch(),
            self.trust()
        )
    }

    /// The line of the configuration that this world needs about the log.
    pub fn ledger_switch(&self) -> &'static str {
        if self.log.is_some() {
            ""
        } else {
            "insecure_without_ledger = true\n"
        }
    }

    /// The log's proof that `bundle` is in force, cosigned when everything was issued.
    pub fn currency(&self, bundle: &SignedFile) -> Option<Vec<u8>> {
        self.currency_at(bundle, self.issued.0)
    }

    /// The same, cosigned at `millis`.
    pub fn currency_at(&self, bundle: &SignedFile, millis: u64) -> Option<Vec<u8>> {
        self.log.as_ref()?;
        let version = log::version_of(bundle);
        let proof = self.log().current(&bundle.bytes, version, millis);
        Some(log::text(&proof))
    }

    /// What the policy source of this world answers: `bundles`, the last of which is in force.
    pub fn answer(&self, bundles: &[&SignedFile], releases: &[&SignedFile]) -> PolicyAnswer {
        let wired = |files: &[&SignedFile]| files.iter().map(|file| peers::wire(file)).collect();
        PolicyAnswer {
            bundles: wired(bundles),
            releases: wired(releases),
            stops: Vec::new(),
            currency: bundles.last().and_then(|bundle| self.currency(bundle)),
        }
    }

    /// `bundle` as an agent takes it at boot.
    pub fn booted(&self, bundle: &SignedFile, now: UnixMillis) -> LoggedPolicy {
        let config = self.config("");
        let chain = std::slice::from_ref(bundle);
        let policy = Policy::from_anchor(&config.trust, chain, now).expect("policy");
        let rule = LogRule::new(config.insecure_without_ledger);
        let now = narthex_channel::UnixMillis(now.0);
        LoggedPolicy::judge(rule, policy, self.currency(bundle).as_deref(), &[], now)
            .expect("current")
    }

    /// A read order for all read actions, by `requester`.
    pub fn read_order(&self, requester: &str) -> String {
        let actions: Vec<String> = Action::ALL
            .iter()
            .filter(|action| !action.is_write())
            .map(|action| format!("\"{action}\""))
            .collect();
        format!(
            "schema = \"narthex/read-order/v1\"\nproject = \"agent-tests\"\nnonce = \"{}\"\n\
             requester = \"{requester}\"\nissued = {}\nexpires = {}\n\n\
             actions = [{}]\ncalls = 1000\nmodule_ids = [\"{}\"]\n",
            hex::encode([1; 16]),
            self.issued,
            UnixMillis(self.issued.0 + 10 * HOUR),
            actions.join(", "),
            module_id()
        )
    }

    /// A write order by Olga for this boot.
    pub fn write_order(&self, action: &str, boot_id: &BootId) -> String {
        format!(
            "schema = \"narthex/write-order/v1\"\nproject = \"agent-tests\"\nnonce = \"{}\"\n\
             requester = \"olga\"\nissued = {}\nexpires = {}\n\n\
             action = \"{action}\"\nmodule_id = \"{}\"\nboot_id = \"{boot_id}\"\n",
            hex::encode([2; 16]),
            self.issued,
            UnixMillis(self.issued.0 + 10 * HOUR),
            module_id()
        )
    }

    /// A call under `order`, as the tool makes it; every part of it may be changed before it is sent.
    pub fn call(
        &self,
        order: &str,
        caller: &str,
        session: HandshakeHash,
        what: What,
    ) -> CallRequest {
        let What {
            action,
            parameters,
            counter,
            approvers,
        } = what;
        let order = order.as_bytes().to_vec();
        let call = Call {
            order: Digest384::of(&order),
            counter,
            session: SessionHash(*session.as_bytes()),
            action,
            parameters,
        };
        let call = call.encode();
        let signature = |text: &String| ArmoredSignature::new(text).expect("armoured");
        let order_signature = self.sign(caller, Namespace::Order, &order);
        let approvals: Vec<String> = approvers
            .iter()
            .map(|name| self.sign(name, Namespace::Approve, &order))
            .collect();
        // As `narthex order submit` does before: the log accepts the order when it was issued.
        let log_proof = self.log.as_ref().map(|_| {
            let millis = self.issued.0;
            let mut log = self.log();
            log::text(&log.order(&order, &order_signature, &approvals, millis))
        });
        CallRequest {
            order_signature: signature(&order_signature),
            approvals: approvals.iter().map(signature).collect(),
            call_signature: signature(&self.sign(caller, Namespace::Call, &call)),
            order,
            call,
            log_proof,
        }
    }
}

/// What a call asks for.
#[derive(Clone, Copy)]
pub struct What {
    /// The action.
    pub action: Action,
    /// Its parameters.
    pub parameters: Parameters,
    /// The counter.
    pub counter: u64,
    /// Who approved the order.
    pub approvers: &'static [&'static str],
}

impl What {
    /// A read action.
    pub fn read(action: Action, counter: u64) -> Self {
        Self {
            action,
            parameters: Parameters::None,
            counter,
            approvers: &[],
        }
    }

    /// A write action that Alice approved.
    pub fn write(action: Action) -> Self {
        Self {
            action,
            parameters: Parameters::None,
            counter: 0,
            approvers: &["alice"],
        }
    }
}
