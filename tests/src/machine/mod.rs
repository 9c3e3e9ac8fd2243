//! Virtual machines: the very image that would run on EC2, on QEMU's `nitro-enclave` machine, with Linux's own
//! driver of the NSM and real vsock sockets inside.
//!
//! Around a [`Machine`] stand its signer, which makes AWS-shaped documents of what QEMU's NSM states; its vsock
//! device, whose Unix sockets are the parent's ports; and a [`parent::Parent`]. They all end with it.
//!
//! Nothing here sleeps for something to be done: it waits for a line on the console, a boot status, or an answer.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::unwrap_used
)]

pub mod deployment;
pub mod handout;
pub mod image;
pub mod monitor;
pub mod parent;
pub mod place;
pub mod tools;
pub mod workload;

use std::fs;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use narthex_agent::init::code::BootCode;
use narthex_agent::init::status::{BootStatus, Stage};
use narthex_channel::Address;
use nix::sys::signal::Signal;

use self::parent::{Heart, KEYS_PORT, POLICY_PORT, Parent};
use self::place::Places;
use self::tools::Tools;
use self::workload::Specimen;
use crate::lab::agent::Reachable;
use crate::lab::enclave::ROLE_ARN;
use crate::lab::process::{Process, await_true};
use crate::relay::Relay;

/// Where operators connect.
pub const GATE_PORT: u32 = 5005;
/// The memory of a machine whose plan does not say.
const MEMORY_MIB: u64 = 256;

/// How a machine is started, and what its parent does.
#[derive(Clone, Debug)]
pub struct BootPlan {
    /// The image.
    pub image: PathBuf,
    /// The parent's role, which PCR3 measures.
    pub role_arn: String,
    /// Its memory.
    pub memory_mib: u64,
    /// More words on the kernel's command line. QEMU adds them without measuring them, as no hypervisor of AWS does.
    pub append: String,
    /// More options of the machine.
    pub machine: String,
    /// What the machine's own clock shows at the start (`-rtc base=`).
    pub clock: Option<String>,
    /// How its parent answers the heartbeat.
    pub heart: Heart,
    /// Where the signer listens; `None`: documents are not signed.
    pub signer: Option<PathBuf>,
    /// Who answers where the agent gets its keys.
    pub keys: Way,
    /// Who answers where it gets its policy.
    pub policy: Way,
}

/// What is behind a port of the parent.
#[derive(Clone, Debug)]
pub enum Way {
    /// `narthex relay` to this address.
    Relayed(Address),
    /// Our own relay to this address, which records, and misbehaves when told to.
    Recorded(Address),
    /// Nobody.
    Closed,
}

/// A running virtual machine with everything around it. It ends when dropped.
pub struct Machine {
    // Dropped in this order: the machine before what it talks to, and its place last.
    /// QEMU; what it says is the console.
    pub qemu: Process,
    vsock: Process,
    relays: Vec<Process>,
    /// Heartbeat and boot status.
    pub parent: Parent,
    keys: Option<Relay>,
    policy: Option<Relay>,
    gate: Address,
    socket: PathBuf,
    module_id: String,
    _places: Places,
}

impl Machine {
    /// Waits for room, and starts a machine in `folder`.
    #[must_use]
    pub fn boot(tools: &Tools, relay: &Path, folder: &Path, name: &str, plan: &BootPlan) -> Self {
        Self::boot_in(Places::wait(1), tools, relay, folder, name, plan)
    }

    /// Starts a machine where there is room; `relay` is the command `narthex`.
    #[must_use]
    pub fn boot_in(
        places: Places,
        tools: &Tools,
        relay: &Path,
        folder: &Path,
        name: &str,
        plan: &BootPlan,
    ) -> Self {
        let socket = folder.join(format!("{name}.vsock"));
        let device = folder.join(format!("{name}.device"));
        // There already when a machine of this name is started again.
        for old in [&socket, &device] {
            let _ = fs::remove_file(old);
        }
        let arguments = format!(
            "guest-cid=16,socket={},uds-path={},tx-buffer-size=32768",
            device.display(),
            socket.display()
        );
        let vsock = start(
            folder,
            &format!("{name}-vsock"),
            &tools.vsock_device(),
            &["--vm", &arguments],
        );
        await_true("the vsock device", || device.exists());
        let parent = Parent::start(&socket, plan.heart).expect("the parent's ports");
        let mut relays = Vec::new();
        let mut way = |port, way: &Way| match way {
            Way::Closed => None,
            Way::Recorded(to) => {
                let path = Address::hybrid_listening_path(&socket, port);
                Some(Relay::start(&path, to.clone()).expect("a relay"))
            }
            Way::Relayed(to) => {
                let from = port_of(&socket, port);
                let name = format!("{name}-relay-{port}");
                relays.push(start_relay(folder, &name, relay, &from, to));
                None
            }
        };
        let (keys, policy) = (way(KEYS_PORT, &plan.keys), way(POLICY_PORT, &plan.policy));
        let module_id = module_id(folder, name);
        let qemu = start(
            folder,
            &format!("{name}-qemu"),
            &tools.qemu(),
            &qemu_arguments(tools, &socket, &module_id, plan),
        );
        Self {
            qemu,
            vsock,
            relays,
            parent,
            keys,
            policy,
            gate: port_of(&socket, GATE_PORT),
            socket,
            module_id,
            _places: places,
        }
    }

    /// Waits until the agent says that it serves.
    #[must_use]
    pub fn serving(mut self) -> Self {
        self.await_stage(Stage::Serving);
        self
    }

    /// Waits for a boot status without a code.
    pub fn await_stage(&mut self, stage: Stage) {
        self.await_status(BootStatus {
            stage,
            code: BootCode::None,
        });
    }

    /// Waits for a boot status.
    pub fn await_status(&mut self, status: BootStatus) {
        await_true(&format!("{status:?}"), || {
            // In this order: it may speak and end.
            let ended = self.has_ended();
            let there = self.parent.statuses().contains(&status);
            assert!(
                there || !ended,
                "it ended before {status:?}:\n{}",
                self.console()
            );
            there
        });
    }

    /// Everything on the console so far.
    #[must_use]
    pub fn console(&self) -> String {
        self.qemu.log()
    }

    /// Types at the console, as a parent could that has one.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    pub fn type_at_console(&self, bytes: &[u8]) -> io::Result<()> {
        let mut console = UnixStream::connect(self.socket.with_extension("console"))?;
        console.write_all(bytes)
    }

    /// Waits for the end of the machine, which it has to find by itself.
    pub fn end(&mut self) {
        assert_eq!(self.qemu.exit_code(), Some(0), "{}", self.console());
    }

    /// Whether QEMU has ended.
    pub fn has_ended(&mut self) -> bool {
        self.qemu.has_ended()
    }

    /// Its module id.
    #[must_use]
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// The Unix socket of its vsock device.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// A port at which it listens.
    #[must_use]
    pub fn port(&self, port: u32) -> Address {
        port_of(&self.socket, port)
    }

    /// Its workload, if it is the specimen.
    #[must_use]
    pub fn specimen(&self) -> Specimen {
        Specimen::behind(&self.socket)
    }

    /// The relay of ours on the way to the key service.
    #[must_use]
    pub fn keys(&self) -> &Relay {
        self.keys.as_ref().expect("a recorded way to the keys")
    }

    /// The relay of ours on the way to the policy.
    #[must_use]
    pub fn policy(&self) -> &Relay {
        self.policy.as_ref().expect("a recorded way to the policy")
    }

    /// Every byte that came out of it through its console and the ways that are recorded.
    #[must_use]
    pub fn recorded(&self) -> Vec<u8> {
        let mut all = self.qemu.log_bytes();
        all.extend(self.vsock.log_bytes());
        all.extend(self.parent.recorded());
        for relay in [&self.keys, &self.policy].into_iter().flatten() {
            all.extend(relay.recorded());
        }
        all
    }

    /// What `narthex relay` said, for messages.
    #[must_use]
    pub fn relays(&self) -> String {
        self.relays.iter().map(Process::log).collect()
    }

    /// Pulls the plug.
    pub fn kill(&mut self) {
        self.qemu.signal(Signal::SIGKILL);
        self.qemu.end();
    }
}

impl Reachable for Machine {
    fn gate(&self) -> &Address {
        &self.gate
    }
}

fn qemu_arguments(tools: &Tools, socket: &Path, module_id: &str, plan: &BootPlan) -> Vec<String> {
    let device = socket.with_extension("device");
    let console = socket.with_extension("console");
    let name = socket.file_stem().expect("a name").to_string_lossy();
    let log = socket.with_file_name(format!("{name}-qemu.log"));
    let (instance, _) = module_id.split_once("-enc").expect("an id of AWS's shape");
    let mut machine = format!(
        "nitro-enclave,vsock=vsock,id={module_id},parent-role={},parent-id={instance}",
        plan.role_arn
    );
    if let Some(signer) = &plan.signer {
        machine += &format!(",signer={}", signer.display());
    }
    if !plan.machine.is_empty() {
        machine += &format!(",{}", plan.machine);
    }
    let mut words: Vec<String> = [
        "-M",
        &machine,
        // Software emulation: whether a KVM that is there works is not to be known before.
        "-accel",
        "tcg",
        "-cpu",
        "max",
        "-smp",
        "2",
        "-m",
        &format!("{}M", plan.memory_mib),
        "-kernel",
        &plan.image.display().to_string(),
        "-nodefaults",
        "-no-user-config",
        "-nographic",
        "-chardev",
        // Somebody may type at it; what comes out of it goes where everything goes that QEMU says.
        &format!(
            "socket,id=console,path={},server=on,wait=off,logfile={},logappend=on",
            console.display(),
            log.display()
        ),
        "-serial",
        "chardev:console",
        "-no-reboot",
        // With it QEMU looks into every queue at a driver's start as well, at whatever moment that is. Linux has then perhaps
        // put in the first half of a request to the NSM, and the NSM that finds no second half never answers again.
        "-global",
        "virtio-mmio.ioeventfd=off",
        "-L",
        &tools.firmware().display().to_string(),
        "-chardev",
        &format!("socket,id=vsock,path={}", device.display()),
    ]
    .map(str::to_owned)
    .into();
    // Under load, Linux cannot measure the frequency of an emulated processor, finds that it goes wrong, and distrusts
    // its clock for good. And QEMU's machine has no keyboard controller, by which the image restarts on Nitro.
    let append = format!(
        "tsc_early_khz={} tsc=reliable reboot=t {}",
        tools.tsc_khz(),
        plan.append
    );
    words.extend(["-append".to_owned(), append.trim().to_owned()]);
    if let Some(clock) = &plan.clock {
        words.extend(["-rtc".to_owned(), format!("base={clock}")]);
    }
    words
}

/// Starts a program that ends with this process, however this process ends.
fn start(folder: &Path, name: &str, program: &Path, arguments: &[impl AsRef<str>]) -> Process {
    let program = program.display().to_string();
    let mut words = vec!["--pdeathsig", "KILL", "--", &program];
    words.extend(arguments.iter().map(AsRef::as_ref));
    Process::start(folder, name, Path::new("/usr/bin/setpriv"), &words)
}

/// Starts `narthex relay` and waits until it listens; `narthex` is the command.
#[must_use]
pub fn start_relay(
    folder: &Path,
    name: &str,
    narthex: &Path,
    from: &Address,
    to: &Address,
) -> Process {
    let words = ["relay", &from.to_string(), &to.to_string()];
    let mut process = start(folder, name, narthex, &words);
    process.await_text("relay from");
    process
}

fn port_of(socket: &Path, port: u32) -> Address {
    Address::Hybrid {
        path: socket.to_owned(),
        port,
    }
}

/// An id of AWS's shape that no other machine of these tests has.
fn module_id(folder: &Path, name: &str) -> String {
    let text = format!("{} {name}", folder.display());
    let digest = hex::encode(narthex_nsm::mock::mint::measurement_of(text.as_bytes()));
    format!("i-{}-enc{}", &digest[..17], &digest[17..33])
}

/// Runs something for each case, two at a time; the first failure is a failure of all.
pub fn each<T: Send>(cases: impl IntoIterator<Item = T, IntoIter: Send>, run: impl Fn(T) + Sync) {
    let cases = Mutex::new(cases.into_iter());
    let next = || cases.lock().ok()?.next();
    let all = || {
        while let Some(case) = next() {
            run(case);
        }
    };
    thread::scope(|scope| {
        let other = scope.spawn(all);
        all();
        if let Err(panic) = other.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

impl BootPlan {
    /// An honest parent of an enclave with this image, which knows nobody.
    #[must_use]
    pub fn of(image: &Path) -> Self {
        Self {
            image: image.to_owned(),
            role_arn: ROLE_ARN.to_owned(),
            memory_mib: MEMORY_MIB,
            append: String::new(),
            machine: String::new(),
            clock: None,
            heart: Heart::Beats,
            signer: None,
            keys: Way::Closed,
            policy: Way::Closed,
        }
    }
}
