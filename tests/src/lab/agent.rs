//! Agents as processes, and how they are configured.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use narthex_agent::sandbox::{FULL_LANDLOCK_ABI, kernel_landlock_abi};
use narthex_channel::Address;

use super::people::People;
use super::process::{Process, await_some};
use super::unix_address;
use crate::operator::Operator;

/// What an agent's configuration says, as far as scenarios differ.
#[derive(Clone, Debug)]
pub struct AgentPlan {
    /// Socket of its NSM.
    pub nsm: PathBuf,
    /// Policy source.
    pub policy: Address,
    /// Key service.
    pub service: Address,
    /// The verifier key of the log that it trusts; `None`: `insecure_without_ledger`.
    pub log: Option<String>,
    /// The keys it wants.
    pub keys: Vec<String>,
    /// Lowest bundle version it takes.
    pub minimum_bundle_version: u64,
    /// Lines of `[workload]` besides the user; `None`: no workload.
    pub workload: Option<String>,
    /// Lines of `[gate]` besides address and user.
    pub gate: String,
    /// Sections at the end.
    pub more: String,
}

/// Whoever has a gate: an agent on this machine, or one in a virtual machine.
pub trait Reachable {
    /// Where operators connect.
    fn gate(&self) -> &Address;

    /// An operator's session, tried until there is one: a gate may just be starting again.
    fn session(&self) -> Operator {
        await_some("a session", || Operator::connect(self.gate()).ok())
    }
}

impl Reachable for Agent {
    fn gate(&self) -> &Address {
        &self.gate
    }
}

/// A running agent.
pub struct Agent {
    /// The process.
    pub process: Process,
    gate: Address,
    runtime: PathBuf,
}

impl Agent {
    /// Writes `folder/NAME.toml` and starts an agent with it.
    #[must_use]
    pub fn start(
        folder: &Path,
        name: &str,
        program: &Path,
        people: &People,
        plan: &AgentPlan,
    ) -> Self {
        let runtime = folder.join(format!("{name}.run"));
        // There already when an agent of this name is started again.
        let _ = DirBuilder::new().mode(0o711).create(&runtime);
        let gate = folder.join(format!("{name}.gate"));
        let config = configuration(&runtime, &gate, people, plan);
        let file = format!("{name}.toml");
        fs::write(folder.join(&file), config).expect("an agent's configuration");
        let process = Process::start(folder, name, program, &["--local", &file]);
        Self {
            process,
            gate: Address::Unix(gate),
            runtime,
        }
    }

    /// Waits until its gate listens.
    #[must_use]
    pub fn listening(mut self) -> Self {
        self.process.await_text("the gate is confined and listens");
        self
    }

    /// Waits until its keys are there.
    #[must_use]
    pub fn with_keys(mut self) -> Self {
        self.process.await_text("keys were received");
        self
    }

    /// Where operators connect.
    #[must_use]
    pub fn gate(&self) -> &Address {
        &self.gate
    }

    /// Its runtime directory.
    #[must_use]
    pub fn runtime(&self) -> &Path {
        &self.runtime
    }

    /// An operator's session, tried until there is one: a gate may just be starting again.
    #[must_use]
    pub fn session(&self) -> Operator {
        Reachable::session(self)
    }
}

/// The whole configuration.
#[must_use]
pub fn configuration(runtime: &Path, gate: &Path, people: &People, plan: &AgentPlan) -> String {
    let AgentPlan {
        nsm,
        policy,
        service,
        log,
        keys,
        minimum_bundle_version,
        workload,
        gate: gate_lines,
        more,
    } = plan;
    // Users of their own need root; without it there must be none.
    let root = nix::unistd::geteuid().is_root();
    let user = |id: u32| {
        if root {
            format!("user = {id}\ngroup = {id}\n")
        } else {
            String::new()
        }
    };
    let (without, log) = match log {
        Some(key) => ("", format!("log = \"{key}\"\n")),
        None => ("insecure_without_ledger = true\n", String::new()),
    };
    let mut text = format!(
        "{without}runtime_directory = \"{}\"\n\
         [trust]\nproject = \"lab\"\nthreshold = 2\n{log}\
         minimum_bundle_version = {minimum_bundle_version}\n",
        runtime.display()
    );
    for name in ["alice", "bob", "carol"] {
        let key = people.public_key(name);
        text += &format!("[[trust.reviewer]]\nname = \"{name}\"\nkeys = [\"{key}\"]\n");
    }
    text += &format!(
        "[nsm]\nsocket = \"{}\"\n[policy]\nsource = \"{policy}\"\npoll_seconds = 1\n\
         [fetcher]\nretry_max_seconds = 1\ntimeout_seconds = 3\n[keys]\nservice = \"{service}\"\n",
        nsm.display()
    );
    for key in keys {
        text += &format!("[[keys.key]]\nname = \"{key}\"\n");
    }
    let listen = unix_address(gate);
    // A kernel whose Landlock lacks something needs the visible setting that says so.
    let older = match kernel_landlock_abi() >= FULL_LANDLOCK_ABI {
        true => "",
        false => "insecure_older_landlock = true\n",
    };
    text += &format!(
        "[gate]\nlisten = \"{listen}\"\n{}{older}{gate_lines}\n",
        user(64_002)
    );
    if let Some(workload) = workload {
        text += &format!("[workload]\n{}{workload}\n", user(64_001));
    }
    text + more
}
