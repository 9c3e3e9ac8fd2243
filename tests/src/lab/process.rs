//! Programs as processes: started, watched, ended by their own id, and never left behind.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long anything may take that should take no time, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
pub const LOOK: Duration = Duration::from_millis(20);

/// A running program, with everything it says in a file. Killed when dropped.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `program` with `arguments` in `folder`; what it says goes to `folder/NAME.log`.
    #[must_use]
    pub fn start<A: AsRef<OsStr>>(
        folder: &Path,
        name: &str,
        program: &Path,
        arguments: &[A],
    ) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .expect("a log file");
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("XDG_STATE_HOME", folder.join("state"))
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle of the log"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        Self {
            name: name.to_owned(),
            child,
            log,
        }
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it said so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.log_bytes()).into_owned()
    }

    /// Everything it said so far, as bytes.
    #[must_use]
    pub fn log_bytes(&self) -> Vec<u8> {
        fs::read(&self.log).expect("the log")
    }

    /// Waits until it has said `text`.
    pub fn await_text(&mut self, text: &str) {
        self.await_texts(text, 1);
    }

    /// Waits until it has said `text` this many times.
    pub fn await_texts(&mut self, text: &str, times: usize) {
        let end = Instant::now() + PATIENCE;
        loop {
            let log = self.log();
            if log.matches(text).count() >= times {
                return;
            }
            let ended = self.child.try_wait().expect("the state of a child");
            // Once more after its end: it may have spoken last.
            let spoke = self.log().matches(text).count() >= times;
            assert!(
                spoke || ended.is_none(),
                "{} ended with {ended:?} before it said {text:?}:\n{log}",
                self.name
            );
            assert!(
                Instant::now() < end,
                "{} never said {text:?}:\n{log}",
                self.name
            );
            sleep(LOOK);
        }
    }

    /// Sends a signal to this process.
    pub fn signal(&self, signal: Signal) {
        kill(pid(self.child.id()), signal).expect("a signal to a child that was not waited for");
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of a child") {
                return status;
            }
            assert!(
                Instant::now() < end,
                "{} does not end:\n{}",
                self.name,
                self.log()
            );
            sleep(LOOK);
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        let state = self.child.try_wait();
        state.expect("the state of a child").is_some()
    }

    /// Waits for its end, and returns the exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        self.end().code()
    }

    /// Asks it to end, and returns how long that took with the exit code.
    pub fn terminate(&mut self) -> (Duration, Option<i32>) {
        let begun = Instant::now();
        self.signal(Signal::SIGTERM);
        let code = self.exit_code();
        (begun.elapsed(), code)
    }

    /// Kills it, as a power failure would.
    pub fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        self.end();
    }

    /// Every process below it, children first.
    #[must_use]
    pub fn descendants(&self) -> Vec<Descendant> {
        descendants(self.child.id())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // In good order first, so that an agent ends its workload by itself.
        if let Ok(None) = self.child.try_wait() {
            let _ = kill(pid(self.child.id()), Signal::SIGTERM);
            let end = Instant::now() + Duration::from_secs(5);
            while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
                sleep(LOOK);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- {} said:\n{}", self.name, tail(&self.log()));
        }
    }
}

/// A process below another.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Descendant {
    /// Its id.
    pub id: u32,
    /// When it started, in the kernel's ticks: with the id it names a process for good.
    pub started: u64,
    /// Its command line, with spaces.
    pub line: String,
}

impl Descendant {
    /// Whether this very process still runs.
    #[must_use]
    pub fn lives(&self) -> bool {
        stat(self.id).is_some_and(|stat| stat.started == self.started && stat.state != 'Z')
    }

    /// Kills it.
    pub fn kill(&self) {
        kill(pid(self.id), Signal::SIGKILL).expect("a signal to a process of ours");
    }
}

fn descendants(root: u32) -> Vec<Descendant> {
    let mut all = Vec::new();
    let ids = fs::read_dir("/proc").expect("/proc").flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let stats: Vec<(u32, Stat)> = ids.filter_map(|id| Some((id, stat(id)?))).collect();
    let mut parents = vec![root];
    while let Some(parent) = parents.pop() {
        for (id, stat) in stats.iter().filter(|(_, stat)| stat.parent == parent) {
            parents.push(*id);
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            all.push(Descendant {
                id: *id,
                started: stat.started,
                line: String::from_utf8_lossy(&line).replace('\0', " "),
            });
        }
    }
    all
}

struct Stat {
    state: char,
    parent: u32,
    started: u64,
}

/// `/proc/ID/stat`: after the name in brackets come state, parent, and the start as the 20th.
fn stat(id: u32) -> Option<Stat> {
    let bytes = fs::read(format!("/proc/{id}/stat")).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
        started: fields.nth(17)?.parse().ok()?,
    })
}

/// What a command that ends by itself said.
#[derive(Debug)]
pub struct Said {
    /// What was run, for messages.
    pub line: String,
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Said {
    /// Runs `program` to its end in `folder`.
    #[must_use]
    pub fn by<A: AsRef<OsStr>>(folder: &Path, program: &Path, arguments: &[A]) -> Self {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", folder)
            .env("XDG_STATE_HOME", folder.join("state"))
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        let words: Vec<_> = arguments
            .iter()
            .map(|word| word.as_ref().to_string_lossy())
            .collect();
        Self {
            line: words.join(" "),
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// It must have done what was asked; returns standard output.
    pub fn done(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.out
    }

    /// It must have refused for this reason.
    pub fn refused(&self, id: &str) {
        assert_eq!(self.code, Some(1), "expected {id}: {self:#?}");
        self.names(id);
    }

    /// It must have called this misuse.
    pub fn misuse(&self, text: &str) {
        assert_eq!(self.code, Some(2), "expected {text}: {self:#?}");
        assert!(self.err.contains(text), "expected {text}: {self:#?}");
    }

    /// It must have found its surroundings wanting.
    pub fn environment(&self, text: &str) {
        assert_eq!(self.code, Some(3), "expected {text}: {self:#?}");
        assert!(self.err.contains(text), "expected {text}: {self:#?}");
    }

    /// It must have named this id.
    pub fn names(&self, id: &str) {
        let said = [&self.err, &self.out].map(|text| mentions(text, id));
        assert!(said.contains(&true), "expected {id}: {self:#?}");
    }
}

/// Whether `text` names `id`, and not merely a longer id that begins or ends with it.
#[must_use]
pub fn mentions(text: &str, id: &str) -> bool {
    let part = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    text.match_indices(id).any(|(at, _)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let after = text
            .get(at + id.len()..)
            .and_then(|text| text.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

/// Looks again and again until `look` finds something; panics after [`PATIENCE`].
pub fn await_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not after {PATIENCE:?}");
        sleep(LOOK);
    }
}

/// The same for a condition.
pub fn await_true(what: &str, mut look: impl FnMut() -> bool) {
    await_some(what, || look().then_some(()));
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).expect("a process id"))
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(25);
    lines.get(from..).unwrap_or_default().join("\n")
}
