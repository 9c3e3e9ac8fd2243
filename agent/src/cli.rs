//! The command line: typed first, acted upon later. Parsing has no side effects.

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::path::PathBuf;

use crate::child::Role;
use crate::init;
use crate::mode::Mode;

/// What `--help` prints.
pub const HELP: &str = "\
narthex-agent: starts a workload in an enclave, gets its keys, and answers allow-listed diagnostics

Usage:
  narthex-agent --local CONFIG                 run as an ordinary process, with the configuration file CONFIG
  narthex-agent --check-config CONFIG          check the configuration file of an enclave and do nothing else
  narthex-agent --check-config --local CONFIG  the same for --local, which allows more
  narthex-agent --version
  narthex-agent --help

Exit codes: 0 done; 1 refused (policy, measurements or keys said no); 2 misuse (arguments,
configuration); 3 environment (file, network, device, sandbox).

Started as /init, as process 1 of an enclave, it takes its configuration from /narthex/agent.toml and looks at no
argument.
";

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run as an ordinary process.
    Local(PathBuf),
    /// Check a configuration, as it would be read in this mode.
    CheckConfig(Mode, PathBuf),
    /// Be the supervisor of an enclave, whose process 1 starts it. Of no use to a person: without an enclave's
    /// configuration and devices it ends at once.
    EnclaveSupervisor,
    /// Print the version.
    Version,
    /// Print the help.
    Help,
    /// Be a confined process of a running agent. Of no use to a person, and of no danger: such a
    /// process takes its orders from an inherited socket, and has nothing but that.
    Confined {
        /// Which one.
        role: Role,
        /// The inherited socket to the supervisor.
        supervisor: RawFd,
        /// The inherited listener or connection.
        work: RawFd,
    },
}

/// The arguments make no sense; the text says which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misuse(pub String);

impl Command {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    ///
    /// [`Misuse`].
    pub fn parse<I: IntoIterator<Item = OsString>>(arguments: I) -> Result<Self, Misuse> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let words: Vec<Option<&str>> = arguments.iter().map(|argument| argument.to_str()).collect();
        match (words.as_slice(), arguments.as_slice()) {
            ([Some("--local"), _], [_, config]) => Ok(Self::Local(PathBuf::from(config))),
            ([Some("--check-config"), Some("--local")], _) => Err(missing()),
            ([Some("--check-config"), _], [_, config]) => {
                Ok(Self::CheckConfig(Mode::Enclave, PathBuf::from(config)))
            }
            ([Some("--check-config"), Some("--local"), _], [_, _, config]) => {
                Ok(Self::CheckConfig(Mode::Local, PathBuf::from(config)))
            }
            ([Some(init::supervisor::SUBCOMMAND)], _) => Ok(Self::EnclaveSupervisor),
            ([Some("--version" | "-V")], _) => Ok(Self::Version),
            ([Some("--help" | "-h")], _) => Ok(Self::Help),
            ([Some("--confined"), Some(role), Some(supervisor), Some(work)], _) => {
                Self::parse_confined(role, supervisor, work)
            }
            ([], _) => Err(Misuse(String::from("nothing to do"))),
            ([Some("--local" | "--check-config")], _) => Err(missing()),
            _ => Err(Misuse(String::from("these arguments are not understood"))),
        }
    }

    fn parse_confined(role: &str, supervisor: &str, work: &str) -> Result<Self, Misuse> {
        let misuse = || Misuse(String::from("--confined is for the agent itself"));
        Ok(Self::Confined {
            role: Role::from_word(role).ok_or_else(misuse)?,
            supervisor: supervisor.parse().map_err(|_| misuse())?,
            work: work.parse().map_err(|_| misuse())?,
        })
    }
}

fn missing() -> Misuse {
    Misuse(String::from("the configuration file is missing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, Misuse> {
        Command::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn every_command_is_understood() {
        let confined = Command::Confined {
            role: Role::Gate,
            supervisor: 20,
            work: 21,
        };
        let cases = [
            ("--local c.toml", Command::Local(PathBuf::from("c.toml"))),
            (
                "--check-config c.toml",
                Command::CheckConfig(Mode::Enclave, PathBuf::from("c.toml")),
            ),
            (
                "--check-config --local c.toml",
                Command::CheckConfig(Mode::Local, PathBuf::from("c.toml")),
            ),
            ("enclave-supervisor", Command::EnclaveSupervisor),
            ("--version", Command::Version),
            ("--help", Command::Help),
            ("--confined gate 20 21", confined),
        ];
        for (line, command) in cases {
            assert_eq!(parse(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn everything_else_is_misuse() {
        for line in [
            "",
            "--local",
            "--local a b",
            "--check-config",
            "--check-config --local",
            "--check-config a b",
            "run",
            "--confined gate 20",
            "--confined x 1 2",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
