//! A whole deployment in a temporary folder: people, policy, key service, enclaves and agents, made with the
//! real commands and run as real processes. Everything ends with the [`Lab`]; when a scenario fails, each
//! process prints the end of what it said.
//!
//! What goes wrong here is a failed test, so it panics.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::unwrap_used
)]

pub mod agent;
pub mod asking;
pub mod enclave;
pub mod fields;
pub mod orders;
pub mod people;
pub mod policy;
pub mod process;
pub mod programs;
pub mod service;
pub mod submissions;
pub mod transparency;
pub mod witness;

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use narthex_channel::Address;
use narthex_nsm::mock::mint::DevelopmentAuthority;

use self::agent::{Agent, AgentPlan};
use self::enclave::{Enclave, Image};
use self::people::People;
use self::policy::key_rule;
use self::process::{Process, Said};
use self::programs::Programs;
use self::service::Root;
use self::witness::{MakeWitness, Witness};
use crate::operator::Paper;

/// The release that runs unless a scenario says otherwise.
pub const RELEASE: &str = "shop";
/// The key that it gets.
pub const KEY: &str = "shop-key";
/// A workload that shows the length of its key and then waits.
pub const WAITING_WORKLOAD: &str = "command = \"/bin/sh\"\nshow_output = true\n\
    arguments = [\"-c\", \"wc -c < $NARTHEX_KEYS/shop-key; exec sleep 600\"]\n\
    [workload.environment]\nPATH = \"/usr/bin:/bin\"\n";

/// A deployment.
pub struct Lab {
    // Dropped in this order: processes before the folder they work in.
    /// The key service, while it runs.
    pub service: Option<Process>,
    /// Everybody.
    pub people: People,
    /// The programs.
    pub programs: Programs,
    /// The service's public key.
    pub service_key: String,
    /// The verifier key of the service's log.
    pub log_key: String,
    /// The witnesses of its log.
    pub witnesses: Vec<Witness>,
    /// The orders of people's shifts, by person and enclave, with the last counter used. Held for single
    /// look-ups.
    orders: Mutex<HashMap<(String, String), (Paper, u64)>>,
    /// The proof of some accepted order.
    proof: Mutex<Option<Vec<u8>>>,
    folder: tempfile::TempDir,
}

/// What a deployment is made of.
pub struct Setup {
    /// The programs of everybody.
    pub programs: Programs,
    /// What the key service trusts.
    pub root: Root,
    /// The witnesses of its log.
    pub witnesses: Vec<MakeWitness>,
    /// How many of them must cosign.
    pub quorum: usize,
    /// Lines of the service's `[ledger]`.
    pub ledger: String,
    /// More options of `narthex policy init`.
    pub policy: Vec<String>,
}

impl Setup {
    /// Programs for developers, and one witness of ours.
    #[must_use]
    pub fn dev() -> Self {
        Self::of(Programs::dev(), Root::Development)
    }

    /// One witness of ours.
    #[must_use]
    pub fn of(programs: Programs, root: Root) -> Self {
        Self {
            programs,
            root,
            witnesses: vec![witness::ours("witness")],
            quorum: 1,
            ledger: "quorum_timeout_seconds = 5".to_owned(),
            policy: vec!["--anyone-may-read-log".to_owned()],
        }
    }
}

impl Lab {
    /// People, a first bundle that Alice and Bob signed, a witness, and a key service that was initialised and does not
    /// run.
    #[must_use]
    pub fn bare() -> Self {
        Self::with(Setup::dev())
    }

    /// The same as described.
    #[must_use]
    pub fn with(setup: Setup) -> Self {
        let Setup {
            programs,
            root,
            witnesses,
            quorum,
            ledger,
            policy,
        } = setup;
        let folder = tempfile::Builder::new()
            .prefix("narthex-lab.")
            .tempdir()
            .expect("a temporary folder");
        // Gate and workload may run as users of their own, and must reach their sockets and keys.
        let open = fs::Permissions::from_mode(0o711);
        fs::set_permissions(folder.path(), open).expect("the folder's mode");
        let people = People::make(&folder.path().join("people"));
        let certificate = DevelopmentAuthority::insecure_fixed();
        fs::write(
            folder.path().join("root.der"),
            certificate.root_certificate(),
        )
        .expect("root.der");
        // Its keys first: the witnesses must know the log's.
        service::configure(folder.path(), root, &[], &ledger);
        let service_key = service::static_key(folder.path(), &programs.key_service());
        let log_key = service::log_key(folder.path(), &programs.key_service());
        let witnesses: Vec<Witness> = witnesses
            .into_iter()
            .map(|make| make(folder.path(), &programs, &log_key))
            .collect();
        let addresses: Vec<_> = witnesses
            .iter()
            .map(|witness| (witness.name.clone(), witness.address.clone()))
            .collect();
        service::configure(folder.path(), root, &addresses, &ledger);
        let lab = Self {
            service: None,
            people,
            programs,
            service_key,
            log_key,
            witnesses,
            orders: Mutex::default(),
            proof: Mutex::default(),
            folder,
        };
        lab.first_bundle(quorum, &policy);
        lab
    }

    /// A running service with the key [`KEY`], bundle 2 that gives it to [`RELEASE`], and that release.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(|_| ())
    }

    /// The same, with a last word about bundle 2.
    #[must_use]
    pub fn start_with(change: impl FnOnce(&mut String)) -> Self {
        Self::bare().furnish(&[], change)
    }

    /// Starts the service of a bare lab and does what [`Lab::start`] says; `options` are those of `policy next`.
    #[must_use]
    pub fn furnish(self, options: &[&str], change: impl FnOnce(&mut String)) -> Self {
        let mut lab = self;
        lab.start_service();
        let commitment = lab.key("create", KEY);
        lab.release(RELEASE, "1.0.0", Image::of(RELEASE));
        lab.succeed(
            options,
            |text| {
                *text += &key_rule(KEY, &[RELEASE], &[(1, &commitment)]);
                change(text);
            },
            &["alice", "carol"],
        );
        lab
    }

    fn first_bundle(&self, quorum: usize, more: &[String]) {
        let person = |name: &str| format!("{name}={}.pub", self.people.file(name));
        let [alice, bob, carol, olga, kim] = ["alice", "bob", "carol", "olga", "kim"].map(person);
        let quorum = quorum.to_string();
        let mut arguments = vec![
            "policy",
            "init",
            "policy",
            "--project",
            "lab",
            "--log",
            &self.log_key,
            "--service-key",
            &self.service_key,
            "--reviewer",
            &alice,
            "--reviewer",
            &bob,
            "--reviewer",
            &carol,
            "--operator",
            &olga,
            "--key-administrator",
            &kim,
        ];
        for witness in &self.witnesses {
            arguments.extend(["--witness", &witness.key]);
        }
        match self.witnesses.is_empty() {
            true => arguments.push("--insecure-without-witnesses"),
            false => arguments.extend(["--quorum", &quorum]),
        }
        arguments.extend(more.iter().map(String::as_str));
        self.narthex(&arguments).done();
        self.sign("policy", "policy/bundles/0001.toml", &["alice", "bob"]);
        let arguments = [
            "init",
            "--config",
            "service.toml",
            "--genesis",
            "policy/bundles/0001.toml",
            "--signature",
            "policy/bundles/0001.toml.alice.sig",
            "--signature",
            "policy/bundles/0001.toml.bob.sig",
        ];
        Said::by(self.folder(), &self.programs.key_service(), &arguments).done();
    }

    /// The folder of everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A path in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The address of a Unix socket in it.
    #[must_use]
    pub fn address(&self, name: &str) -> Address {
        Address::Unix(self.path(name))
    }

    /// Where keys are administered, for the command.
    #[must_use]
    pub fn administration(&self) -> String {
        self.address("administration.sock").to_string()
    }

    /// Starts the key service, again if need be.
    pub fn start_service(&mut self) {
        self.service = Some(service::run(self.folder(), &self.programs.key_service()));
    }

    /// Ends the key service.
    pub fn stop_service(&mut self) {
        self.service = None;
    }

    /// Runs `narthex`.
    #[must_use]
    pub fn narthex(&self, arguments: &[&str]) -> Said {
        Said::by(self.folder(), &self.programs.narthex(), arguments)
    }

    /// Runs `narthex keys` as Kim.
    #[must_use]
    pub fn keys(&self, arguments: &[&str]) -> Said {
        let (service, key) = (self.administration(), self.people.file("kim"));
        let common = [
            "--policy",
            "policy",
            "--service",
            &service,
            "--as",
            "kim",
            "--key",
            &key,
        ];
        self.narthex(&[&["keys"], arguments, &common].concat())
    }

    /// Runs `narthex diag` against `gate`, expecting `enclave` and `release`, on the development root.
    #[must_use]
    pub fn diag(
        &self,
        gate: &Address,
        enclave: &Enclave,
        release: &str,
        arguments: &[&str],
    ) -> Said {
        self.diag_of(gate, &enclave.module_id(), release, arguments)
    }

    /// The same for an enclave of which only the module id is known.
    #[must_use]
    pub fn diag_of(
        &self,
        gate: &Address,
        module_id: &str,
        release: &str,
        arguments: &[&str],
    ) -> Said {
        let gate = gate.to_string();
        let common = [
            "--policy",
            "policy",
            "--release",
            release,
            "--enclave",
            module_id,
            "--insecure-development-root",
            "root.der",
        ];
        self.narthex(&[&["diag", &gate], arguments, &common].concat())
    }

    /// An enclave that runs [`RELEASE`].
    #[must_use]
    pub fn enclave(&self, name: &str) -> Enclave {
        Enclave::start(self.folder(), name, Image::of(RELEASE))
    }

    /// What an honest agent in `enclave` is configured to do: fetch [`KEY`] and run a workload.
    #[must_use]
    pub fn plan(&self, enclave: &Enclave) -> AgentPlan {
        AgentPlan {
            nsm: enclave.socket().to_owned(),
            policy: self.address("policy.sock"),
            service: self.address("keys.sock"),
            log: Some(self.log_key.clone()),
            keys: vec![KEY.to_owned()],
            minimum_bundle_version: 2,
            workload: Some(WAITING_WORKLOAD.to_owned()),
            gate: "sessions_per_minute = 6000\ncalls_per_minute = 6000".to_owned(),
            more: String::new(),
        }
    }

    /// Starts an agent.
    #[must_use]
    pub fn agent(&self, name: &str, plan: &AgentPlan) -> Agent {
        Agent::start(
            self.folder(),
            name,
            &self.programs.agent(),
            &self.people,
            plan,
        )
    }

    /// Starts an honest agent in `enclave` and waits until it has its key and listens.
    #[must_use]
    pub fn ready_agent(&self, name: &str, enclave: &Enclave) -> Agent {
        self.agent(name, &self.plan(enclave))
            .listening()
            .with_keys()
    }
}

/// A Unix socket's address in text.
#[must_use]
pub fn unix_address(path: &Path) -> String {
    Address::Unix(path.to_owned()).to_string()
}
