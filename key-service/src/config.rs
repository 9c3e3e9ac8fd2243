//! The service's configuration: one TOML file, every field documented here, unknown fields refused.
//!
//! Nothing is taken from the environment. The file is read once, at start; a change needs a restart.
//! There is no field that names an attestation root: what AWS's root has not signed is refused, whoever
//! runs the service. (Builds with the feature `dev-root`, which are not shipped, have one.)

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use crate::log::LedgerConfig;

/// No sensible configuration is larger.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// The whole file. Relative paths are relative to the folder of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// DER file of a development root to trust besides AWS's. Exists only in builds with the feature `dev-root`.
    #[cfg(feature = "dev-root")]
    pub insecure_development_root: Option<PathBuf>,
    /// Where things are kept.
    pub storage: StorageConfig,
    /// Where the service listens.
    pub listen: ListenConfig,
    /// Bounds.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// The transparency log: witnesses and times.
    #[serde(default)]
    pub ledger: LedgerConfig,
    /// The log on stderr.
    #[serde(default)]
    pub log: LogConfig,
}

/// `[storage]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// The SQLite database. Untrusted for secrecy and, row by row, for integrity: whoever can write it can
    /// delete it or put an older whole copy back, but cannot read a key or change a row unnoticed.
    pub database: PathBuf,
    /// The root key file, mode 0600. Whoever reads it and the database has all keys.
    pub root_key: PathBuf,
    /// The X25519 static key of the channel, mode 0600. Whoever has it can pose as the service.
    pub static_key: PathBuf,
    /// The Ed25519 key that signs the checkpoints of the log, mode 0600. Whoever has it can sign another log; witnesses
    /// would not.
    pub log_key: PathBuf,
    /// Largest size of the database in MiB, 1 to 1048576. Default 4096. From three quarters of it on, refusals
    /// are only counted, so that strangers cannot use up the rest. When it is reached, everything that needs a
    /// record is refused with `storage.full`, which is everything.
    #[serde(default = "default_max_mebibytes")]
    pub max_mebibytes: u32,
}

/// `[listen]`. Addresses are `vsock:CID:PORT`, `tcp:IP:PORT`, `unix:PATH` (absolute).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenConfig {
    /// Where agents ask for keys; at least one.
    pub keys: Vec<String>,
    /// Where people administer keys. Absent: nobody can.
    pub administration: Option<String>,
    /// Where agents and others fetch the policy. Default: nowhere.
    #[serde(default)]
    pub policy: Vec<String>,
    /// Where orders and session statements are submitted to the log. Absent: nowhere, so that no order can be used.
    pub submissions: Option<String>,
    /// Where the log is read over HTTP, by those the bundle names: `tcp:IP:PORT`, `unix:PATH`. Default: nowhere.
    #[serde(default)]
    pub log: Vec<String>,
    /// Health, readiness and metrics over HTTP, without authentication: IP and port, loopback as a rule.
    /// Absent: not served.
    pub http: Option<SocketAddr>,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Connections open at once on each listener, 1 to 65536. Default 1024. More wait in the system's queue.
    /// Whatever this says, administration takes at most 16, policy 128, health 32.
    pub connections_per_listener: u32,
    /// Seconds from accepting a connection to the end of its session, 1 to 600. Default 30.
    pub session_seconds: u32,
    /// Seconds that sessions in progress get after a stop signal, 0 to 600. Default 10.
    pub shutdown_seconds: u32,
    /// Jobs made durable with one write, under one checkpoint, 1 to 4096. Default 256.
    pub group_decisions: u32,
    /// Attributable refusals recorded one by one, per enclave or person and minute, 1 to 3600. Default
    /// 6. The rest are counted in the periodic summary.
    pub recorded_refusals_per_minute: u32,
    /// Seconds between summaries of what was refused and not recorded one by one, 1 to 86400. Default
    /// 300. No summary is written when there is nothing to say.
    pub summary_seconds: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections_per_listener: 1024,
            session_seconds: 30,
            shutdown_seconds: 10,
            group_decisions: 256,
            recorded_refusals_per_minute: 6,
            summary_seconds: 300,
        }
    }
}

/// `[log]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `json` (default) or `text`.
    pub format: LogFormat,
    /// `error`, `warn`, `info` (default) or `debug`. No level logs secrets.
    pub level: LogLevel,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    #[default]
    Json,
    /// Words.
    Text,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Only failures.
    Error,
    /// And what needs attention.
    Warn,
    /// And decisions, starts and stops.
    #[default]
    Info,
    /// And sessions.
    Debug,
}

fn default_max_mebibytes() -> u32 {
    4096
}

/// Why a configuration is not usable.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    Io(PathBuf, std::io::Error),
    /// The file is larger than any configuration.
    TooLarge(PathBuf),
    /// Not TOML, or an unknown, missing or mistyped field.
    Malformed(PathBuf, String),
    /// A number outside its bounds.
    OutOfBounds {
        /// Which one.
        field: &'static str,
        /// Its bounds.
        bounds: (u32, u32),
        /// What stands there.
        found: u32,
    },
    /// `[listen] keys` is empty.
    NoKeyListener,
    /// Two settings name the same file.
    SharedPath(PathBuf),
}

impl ConfigError {
    /// Stable identifier.
    #[must_use]
    pub fn id(&self) -> &'static str {
        match self {
            Self::Io(..) => "config.io",
            Self::TooLarge(_) => "config.too_large",
            Self::Malformed(..) => "config.malformed",
            Self::OutOfBounds { .. } => "config.out_of_bounds",
            Self::NoKeyListener => "config.no_key_listener",
            Self::SharedPath(_) => "config.shared_path",
        }
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{} cannot be read: {error}", path.display()),
            Self::TooLarge(path) => write!(f, "{} is too large", path.display()),
            Self::Malformed(path, message) => write!(f, "{}: {message}", path.display()),
            Self::OutOfBounds {
                field,
                bounds: (least, most),
                found,
            } => write!(f, "{field} is {found}; it can be {least} to {most}"),
            Self::NoKeyListener => f.write_str("[listen] keys names no address"),
            Self::SharedPath(path) => {
                write!(f, "two settings of [storage] name {}", path.display())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads and checks a configuration file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let metadata =
            fs::metadata(path).map_err(|error| ConfigError::Io(path.to_owned(), error))?;
        if metadata.len() > MAX_FILE_BYTES {
            return Err(ConfigError::TooLarge(path.to_owned()));
        }
        let text =
            fs::read_to_string(path).map_err(|error| ConfigError::Io(path.to_owned(), error))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, folder).map_err(|error| match error {
            ConfigError::Malformed(_, message) => ConfigError::Malformed(path.to_owned(), message),
            other => other,
        })
    }

    /// Checks the text of a configuration; relative paths are taken from `folder`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`].
    pub fn parse(text: &str, folder: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = toml::from_str(text).map_err(|error: toml::de::Error| {
            // The first line names the place; the others would draw it.
            let drawn = error.to_string();
            let place = drawn.lines().next().unwrap_or_default();
            ConfigError::Malformed(PathBuf::new(), format!("{place}: {}", error.message()))
        })?;
        config.resolve(folder);
        config.check()?;
        Ok(config)
    }

    fn resolve(&mut self, folder: &Path) {
        let StorageConfig {
            database,
            root_key,
            static_key,
            log_key,
            max_mebibytes: _,
        } = &mut self.storage;
        for path in [database, root_key, static_key, log_key] {
            *path = folder.join(&path);
        }
        #[cfg(feature = "dev-root")]
        if let Some(path) = &mut self.insecure_development_root {
            *path = folder.join(&path);
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.listen.keys.is_empty() {
            return Err(ConfigError::NoKeyListener);
        }
        let StorageConfig {
            database,
            root_key,
            static_key,
            log_key,
            max_mebibytes,
        } = &self.storage;
        let mut paths = std::collections::BTreeSet::new();
        for path in [database, root_key, static_key, log_key] {
            if !paths.insert(path) {
                return Err(ConfigError::SharedPath(path.clone()));
            }
        }
        let LimitsConfig {
            connections_per_listener,
            session_seconds,
            shutdown_seconds,
            group_decisions,
            recorded_refusals_per_minute,
            summary_seconds,
        } = self.limits;
        bounded("storage.max_mebibytes", *max_mebibytes, 1, 1 << 20)?;
        bounded(
            "limits.connections_per_listener",
            connections_per_listener,
            1,
            65_536,
        )?;
        bounded("limits.session_seconds", session_seconds, 1, 600)?;
        bounded("limits.shutdown_seconds", shutdown_seconds, 0, 600)?;
        bounded("limits.group_decisions", group_decisions, 1, 4096)?;
        bounded(
            "limits.recorded_refusals_per_minute",
            recorded_refusals_per_minute,
            1,
            3600,
        )?;
        bounded("limits.summary_seconds", summary_seconds, 1, 86_400)?;
        self.ledger.check()
    }
}

impl LimitsConfig {
    /// `session_seconds` as a duration.
    #[must_use]
    pub fn session(&self) -> Duration {
        Duration::from_secs(self.session_seconds.into())
    }

    /// `shutdown_seconds` as a duration.
    #[must_use]
    pub fn shutdown(&self) -> Duration {
        Duration::from_secs(self.shutdown_seconds.into())
    }

    /// `summary_seconds` as a duration.
    #[must_use]
    pub fn summary(&self) -> Duration {
        Duration::from_secs(self.summary_seconds.into())
    }
}

pub(crate) fn bounded(
    field: &'static str,
    found: u32,
    least: u32,
    most: u32,
) -> Result<(), ConfigError> {
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(ConfigError::OutOfBounds {
            field,
            bounds: (least, most),
            found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALLEST: &str = r#"
        [storage]
        database = "keys.sqlite"
        root_key = "root.key"
        static_key = "/elsewhere/static.key"
        log_key = "log.key"
        [listen]
        keys = ["tcp:127.0.0.1:7000"]
    "#;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse(text, Path::new("/etc/narthex"))
    }

    fn refused(text: &str) -> &'static str {
        parse(text).unwrap_err().id()
    }

    #[test]
    fn the_smallest_file_works_and_paths_are_resolved() {
        let config = parse(SMALLEST).unwrap();
        assert_eq!(
            config.storage.database,
            Path::new("/etc/narthex/keys.sqlite")
        );
        assert_eq!(
            config.storage.static_key,
            Path::new("/elsewhere/static.key")
        );
        assert_eq!(config.limits.connections_per_listener, 1024);
        assert!(config.listen.administration.is_none());
    }

    #[test]
    fn the_documented_example_is_a_configuration() {
        parse(include_str!("../docs/key-service.example.toml")).unwrap();
    }

    #[test]
    fn unknown_fields_are_refused_everywhere() {
        for section in ["[storage]", "[listen]"] {
            let text = SMALLEST.replace(section, &format!("{section}\nsurprise = 1"));
            assert_eq!(refused(&text), "config.malformed", "{section}");
        }
        for addition in [
            "[limits]\nsurprise = 1",
            "[ledger]\nsurprise = 1",
            "[log]\nsurprise = 1",
            "[surprise]",
        ] {
            assert_eq!(
                refused(&format!("{SMALLEST}\n{addition}")),
                "config.malformed"
            );
        }
        assert_eq!(
            refused(&format!("surprise = 1\n{SMALLEST}")),
            "config.malformed"
        );
    }

    #[cfg(not(feature = "dev-root"))]
    #[test]
    fn no_setting_names_an_attestation_root() {
        for name in [
            "insecure_development_root",
            "root",
            "attestation_root",
            "trust_anchor",
        ] {
            assert_eq!(
                refused(&format!("{name} = \"root.der\"\n{SMALLEST}")),
                "config.malformed"
            );
        }
    }

    #[test]
    fn numbers_have_bounds() {
        for (field, wrong) in [
            ("connections_per_listener", [0, 65_537]),
            ("session_seconds", [0, 601]),
            ("group_decisions", [0, 4097]),
            ("recorded_refusals_per_minute", [0, 3601]),
            ("summary_seconds", [0, 86_401]),
        ] {
            for value in wrong {
                let text = format!("{SMALLEST}\n[limits]\n{field} = {value}");
                assert_eq!(refused(&text), "config.out_of_bounds", "{field} {value}");
            }
        }
        for (field, wrong) in [
            ("witness_timeout_seconds", [0, 61]),
            ("quorum_timeout_seconds", [0, 601]),
            ("current_seconds", [59, 43_201]),
            ("evidence_days", [0, 36_501]),
        ] {
            for value in wrong {
                let text = format!("{SMALLEST}\n[ledger]\n{field} = {value}");
                assert_eq!(refused(&text), "config.out_of_bounds", "{field} {value}");
            }
        }
    }

    #[test]
    fn files_are_not_shared_and_somebody_can_ask_for_keys() {
        for file in ["root.key", "log.key"] {
            let shared = SMALLEST.replace(file, "keys.sqlite");
            assert_eq!(refused(&shared), "config.shared_path", "{file}");
        }
        assert_eq!(
            refused(&SMALLEST.replace(r#"["tcp:127.0.0.1:7000"]"#, "[]")),
            "config.no_key_listener"
        );
    }
}
