//! A machine in which a child of the specimen runs beside the agent, as root: it sees all processes, and kills.

use std::io::{self, Read, Write};

use nix::sys::signal::Signal;

use super::Machine;
use super::deployment::Deployment;
use super::image::{BuiltImage, Content};
use crate::connection::connect_hybrid;
use crate::lab::process::await_some;

/// Where it is told.
const CONTROL_PORT: u32 = 7002;

/// A process in a machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Inmate {
    /// Its id.
    pub id: u32,
    /// What it has in memory, KiB.
    pub resident: u64,
    /// Its name and its arguments.
    pub line: String,
}

impl Deployment {
    /// Builds an image whose process 1 becomes the agent and leaves a child of the specimen behind.
    #[must_use]
    pub fn monitored_image(&self, name: &str) -> BuiltImage {
        self.image_with(name, |plan| {
            let agent = Content::Of(self.tools.agent().to_owned());
            plan.files.push(("/agent".to_owned(), agent, 0o755));
            plan.init = self.tools.specimen().to_owned();
        })
    }
}

impl Machine {
    /// Its processes, without those of the kernel and the monitor itself.
    #[must_use]
    pub fn inmates(&self) -> Vec<Inmate> {
        let text = await_some("the monitor", || {
            let text = self.monitor("list").ok()?;
            (!text.is_empty()).then_some(text)
        });
        let inmates = text.lines().map(|line| {
            let mut words = line.split(' ');
            let number = |word: Option<&str>| {
                let digits = word.and_then(|word| word.rsplit('=').next());
                digits.and_then(|digits| digits.parse().ok())
            };
            let id = words.next().and_then(|word| word.parse().ok());
            Inmate {
                id: id.expect("an id"),
                resident: number(words.next()).expect("a size"),
                line: words.collect::<Vec<_>>().join(" "),
            }
        });
        inmates
            .filter(|inmate| !inmate.line.contains("monitor"))
            .collect()
    }

    /// Sends a signal to a process in it.
    pub fn signal_inmate(&self, inmate: &Inmate, signal: Signal) {
        let words = format!("kill {} {}", inmate.id, signal as i32);
        self.monitor(&words).expect("the monitor");
    }

    fn monitor(&self, words: &str) -> io::Result<String> {
        let mut stream = connect_hybrid(self.socket(), CONTROL_PORT)?;
        writeln!(stream, "{words}")?;
        let mut text = String::new();
        // The machine may end before the connection does.
        match stream.read_to_string(&mut text) {
            Ok(_) => Ok(text),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(text),
            Err(error) => Err(error),
        }
    }
}
