//! Readings of the machine and the workload, as the closed value types of the
//! channel.
//!
//! Each file reads one thing and has a pure function from the kernel's text to fields. No text of
//! the kernel's ever becomes part of a field: there is no value type for it. What a workload can
//! influence goes through [`rounding`] and is sampled at most every [`SAMPLE_INTERVAL`], so that a
//! workload that colludes with an operator has few bits to signal with, and few a minute.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use narthex_channel::UnixMillis;
use narthex_channel::diagnostics::{Action, Field};

use crate::local_socket::LocalSocketStatistics;
use crate::workload::WorkloadHandle;

mod connections;
mod cpu;
mod entropy;
mod filesystems;
mod kernel_events;
mod memory;
mod pressure;
mod processes;
pub mod rounding;
mod uptime;
mod workload;

use kernel_events::KernelEvents;

pub(crate) use entropy::{source as random_source, trust as stated_trust};

/// The machine is read at most this often per action, however many operators ask.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(10);
/// Most bytes read of one file. Files of the kernel that grow with what programs do are cut off
/// here, and counts from them are then too low.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Reads the machine and the workload.
pub struct Probes {
    samples: RefCell<BTreeMap<Action, (Instant, Vec<Field>)>>,
    kernel_events: RefCell<KernelEvents>,
    local_socket: Option<Rc<LocalSocketStatistics>>,
}

impl Probes {
    /// Readies the readings. What cannot be read on this machine is absent, or said by a flag.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what the local socket has counted to `workload`.
    pub fn with_local_socket(mut self, statistics: Rc<LocalSocketStatistics>) -> Self {
        self.local_socket = Some(statistics);
        self
    }

    /// The fields of a read action. Empty for actions that are not about the machine or the
    /// workload. `now` is trusted time: it turns "so long ago" into a time.
    pub fn read(&self, action: Action, workload: &WorkloadHandle, now: UnixMillis) -> Vec<Field> {
        match action {
            // Single facts that change with starts and ends only; their rate is that of the
            // restarts.
            Action::Uptime => uptime::read(&workload.snapshot()),
            Action::Workload => {
                workload::fields(&workload.snapshot(), self.local_socket.as_deref(), now)
            }
            _ => self.sampled(action, workload),
        }
    }

    fn sampled(&self, action: Action, workload: &WorkloadHandle) -> Vec<Field> {
        let now = Instant::now();
        if let Some((taken, fields)) = self.samples.borrow().get(&action)
            && now.saturating_duration_since(*taken) < SAMPLE_INTERVAL
        {
            return fields.clone();
        }
        let fields = self.sample(action, workload);
        self.samples
            .borrow_mut()
            .insert(action, (now, fields.clone()));
        fields
    }

    fn sample(&self, action: Action, workload: &WorkloadHandle) -> Vec<Field> {
        match action {
            Action::Memory => memory::read(&workload.snapshot()),
            Action::Cpu => cpu::read(&workload.snapshot()),
            Action::Pressure => pressure::read(),
            Action::Filesystems => filesystems::read(),
            Action::Connections => connections::read(),
            Action::Processes => processes::read(workload.shepherd()),
            Action::KernelEvents => self.kernel_events.borrow_mut().read(),
            Action::Entropy => entropy::read(),
            _ => Vec::new(),
        }
    }
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            samples: RefCell::default(),
            kernel_events: RefCell::new(KernelEvents::open()),
            local_socket: None,
        }
    }
}

/// Up to [`MAX_FILE_BYTES`] of a file of the kernel's. `None` when it is not there or may not be
/// read.
fn read_bytes(path: impl AsRef<Path>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)
        .ok()?
        .take(MAX_FILE_BYTES)
        .read_to_end(&mut bytes)
        .ok()?;
    Some(bytes)
}

/// The three numbers at the front of the kernel's release; what follows them is text and stays out.
pub(crate) fn kernel_version() -> [u64; 3] {
    let release = nix::sys::utsname::uname().ok();
    let release = release
        .as_ref()
        .and_then(|name| name.release().to_str())
        .unwrap_or_default();
    first_numbers(release)
}

fn first_numbers(release: &str) -> [u64; 3] {
    let front = release.split(|character: char| !character.is_ascii_digit() && character != '.');
    let mut numbers = front.take(1).flat_map(|front| front.split('.'));
    std::array::from_fn(|_| {
        numbers
            .next()
            .and_then(|number| number.parse().ok())
            .unwrap_or_default()
    })
}

/// The same as text; bytes that are not UTF-8 become replacement characters.
fn read_text(path: impl AsRef<Path>) -> Option<String> {
    read_bytes(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// A file that holds one number.
fn read_number(path: impl AsRef<Path>) -> Option<u64> {
    read_text(path)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use narthex_channel::diagnostics::{FieldName, Value};

    use super::*;
    use crate::workload::spawn;

    #[test]
    fn only_numbers_of_the_kernel_release_are_taken() {
        assert_eq!(first_numbers("6.12.95+deb12-cloud"), [6, 12, 95]);
        assert_eq!(first_numbers("6.12-rc1-secret"), [6, 12, 0]);
        assert_eq!(first_numbers("secret"), [0, 0, 0]);
        assert_eq!(first_numbers("6.1.2.3"), [6, 1, 2]);
    }

    const READ: [Action; 11] = [
        Action::Uptime,
        Action::Memory,
        Action::Cpu,
        Action::Pressure,
        Action::Filesystems,
        Action::Connections,
        Action::Processes,
        Action::Workload,
        Action::KernelEvents,
        Action::Entropy,
        Action::Counters,
    ];

    fn with_probes(body: impl FnOnce(&Probes, &WorkloadHandle)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async { body(&Probes::default(), &spawn(None)) });
    }

    #[test]
    fn every_field_belongs_to_the_action_and_stands_once() {
        with_probes(|probes, workload| {
            for action in READ {
                let fields = probes.read(action, workload, UnixMillis(0));
                let mut seen = std::collections::HashSet::new();
                for field in &fields {
                    let prefix = format!("{}.", action.name());
                    assert!(
                        field.name.name().starts_with(&prefix),
                        "{action}: {}",
                        field.name
                    );
                    assert!(
                        seen.insert((field.name, field.selector.clone())),
                        "{}",
                        field.name
                    );
                }
                let ours = action != Action::Counters;
                assert_eq!(!fields.is_empty(), ours, "{action}");
            }
        });
    }

    #[test]
    fn samples_are_kept_for_a_while() {
        with_probes(|probes, workload| {
            let first = probes.read(Action::Cpu, workload, UnixMillis(0));
            // Without the cache this would change a reading.
            let wait = Instant::now();
            while wait.elapsed() < Duration::from_millis(1200) {
                std::hint::spin_loop();
            }
            assert_eq!(probes.read(Action::Cpu, workload, UnixMillis(0)), first);
        });
    }

    /// The parsers take whatever a hostile process can make of the kernel's text.
    #[test]
    fn no_text_makes_a_parser_panic() {
        let seeds = [
            "MemTotal: 100 kB\nCached: 18446744073709551615 kB\nBuffers: 1 kB\n",
            "cpu  1 2 3 4 5 6 7 8\ncpu0 1\n0.57 1.00 16.25 1/200 4242\n",
            "some avg10=24.60 avg60=0.00 avg300=100.00 total=302379730\nfull avg10=0.00\n",
            "23 21 0:6 / /r\\040n rw shared:5 - tmpfs tmpfs rw,size=1k\n",
            "h\n 0: 00000000:07E8 00000000:0000 0A 0:0\n00000000a83d2bd1: 00000003 @x\n",
            "3,2,5,-;Out of memory: Killed process 77 (x)\n SUBSYSTEM=y\n",
            "42 (a) b) S 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21\n",
            "random.trust_cpu=on random.trust_bootloader=0\n1 2 3\n",
        ];
        let mut state = 0x9e37_79b9_7f4a_7c15_u64; // xorshift: the same texts in every run.
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for round in 0..20_000 {
            let mut bytes = seeds[round % seeds.len()].as_bytes().to_vec();
            for _ in 0..=random() % 4 {
                let place = usize::try_from(random()).unwrap() % bytes.len();
                match random() % 4 {
                    0 => bytes[place] = random().to_le_bytes()[0],
                    1 => bytes.truncate(place.max(1)),
                    2 => bytes.insert(place, b"\n )(:=,;\\-9\xff"[(random() % 12) as usize]),
                    _ => bytes.extend_from_within(place..),
                }
            }
            read_everything(&bytes);
        }
    }

    fn read_everything(bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        memory::machine(&text);
        cpu::machine(&text);
        cpu::load(&text);
        pressure::fields(Some(&text), Some(&text), Some(&text));
        filesystems::parse(&text);
        connections::TcpCounts::default().add(bytes);
        connections::unix_entries(bytes);
        entropy::trust(&text, "random.trust_cpu");
        entropy::source(Some(&text));
        processes::open_files(&text);
        KernelEvents::default().add(bytes);
        crate::platform::process_stat::ProcessStat::parse(bytes);
    }

    #[test]
    fn this_machine_has_memory_and_a_processor() {
        with_probes(|probes, workload| {
            let has = |action, name| {
                probes
                    .read(action, workload, UnixMillis(0))
                    .into_iter()
                    .any(|field| {
                        field.name == name
                            && matches!(field.value, Value::Count(1..) | Value::Bytes(1..))
                    })
            };
            assert!(has(Action::Memory, FieldName::MemoryTotal));
            assert!(has(Action::Memory, FieldName::MemoryAvailable));
            assert!(has(Action::Cpu, FieldName::CpuCount));
            assert!(has(Action::Processes, FieldName::ProcessesTotal));
            assert!(has(Action::Filesystems, FieldName::FilesystemCount));
        });
    }
}
