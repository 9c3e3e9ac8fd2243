//! A policy directory with people, for tests that talk to an agent or a service made here.

// Each test file uses some of it; all of it is a test.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use narthex_nsm::mock::mint::{DevelopmentAuthority, measurement_of};
use narthex_policy::{
    Digest384, InitialBundle, InitialLedger, Measurements, NamedKeys, Namespace, Pcr, PersonName,
    Policy, ProjectName, Provenance, Release, ReleaseName, ReleaseStatus, ReleaseVersion,
    SignedFile, SigningKey, StaticKey, UnixMillis,
};

/// The enclave that the mock is by default.
pub(crate) const MODULE_ID: &str = "i-0123456789abcdef0-enc0198c0ffee00d1ce";
/// Its parent instance.
pub(crate) const INSTANCE_ID: &str = "i-0123456789abcdef0";

/// People, their keys, a policy in force and a release, in a directory that goes away.
pub(crate) struct World {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) authority: DevelopmentAuthority,
    pub(crate) bundle: SignedFile,
    pub(crate) release: SignedFile,
}

impl World {
    /// alice and bob review, carol operates, dave administers keys; release `shop` 1.
    pub(crate) fn new(static_key: [u8; 32]) -> Self {
        Self::with_ledger(static_key, None)
    }

    /// The same with a log.
    pub(crate) fn with_ledger(static_key: [u8; 32], ledger: Option<InitialLedger>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = |name: &str| {
            let key = SigningKey::generate_ed25519().unwrap();
            let path = directory.path().join(name);
            fs::write(&path, key.to_openssh().unwrap().as_bytes()).unwrap();
            fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .unwrap();
            key
        };
        let keys = ["alice", "bob", "carol", "dave"].map(|name| (name, key(name)));
        let named = |wanted: &str| {
            let (name, key) = keys.iter().find(|(name, _)| *name == wanted).unwrap();
            let name = PersonName::new(name).unwrap();
            NamedKeys {
                name,
                keys: vec![key.public_key().clone()],
            }
        };
        let issued = UnixMillis(now().0 - 10_000);
        let expires = issued.saturating_add(Duration::from_secs(86_400));
        let project = ProjectName::new("shop").unwrap();
        let bundle = InitialBundle {
            project: project.clone(),
            issued,
            expires,
            reviewers: vec![named("alice"), named("bob")],
            threshold: 2,
            operators: vec![named("carol")],
            key_administrators: vec![named("dave")],
            static_key: Some(StaticKey(static_key)),
            ledger,
        };
        let release = Release {
            project,
            serial: 1,
            issued,
            expires,
            name: ReleaseName::new("shop").unwrap(),
            version: ReleaseVersion::new("1").unwrap(),
            measurements: measurements(),
            provenance: Provenance::InsecureByHand,
            status: ReleaseStatus::Current,
            digest: Digest384([0; 48]),
        };
        let reviewers = [&keys[0], &keys[1]];
        let signed = |folder: &str, file: &str, text: String, namespace| {
            let path = directory.path().join("policy").join(folder);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join(file), &text).unwrap();
            let signatures = reviewers.map(|(name, key)| {
                let signature = key.sign(namespace, text.as_bytes()).unwrap();
                fs::write(path.join(format!("{file}.{name}.sig")), &signature).unwrap();
                signature
            });
            SignedFile {
                bytes: text.into_bytes(),
                signatures: signatures.to_vec(),
            }
        };
        let bundle = signed(
            "bundles",
            "0001.toml",
            bundle.to_toml().unwrap(),
            Namespace::Policy,
        );
        let release = signed(
            "releases",
            "0001-shop.toml",
            release.to_toml(),
            Namespace::Release,
        );
        let authority = DevelopmentAuthority::insecure_from_seed(b"tests of the command");
        fs::write(
            directory.path().join("root.der"),
            authority.root_certificate(),
        )
        .unwrap();
        Self {
            directory,
            authority,
            bundle,
            release,
        }
    }

    /// What an agent or a service makes of these files.
    pub(crate) fn policy(&self) -> Policy {
        let mut policy = Policy::from_genesis(&self.bundle, &self.bundle.digest(), now()).unwrap();
        policy.add_release(&self.release, now()).unwrap();
        policy
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the command in the directory, with `words` split at white space.
    pub(crate) fn narthex(&self, words: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_narthex"))
            .args(words.split_whitespace())
            .current_dir(self.directory.path())
            .env("HOME", self.directory.path())
            .env_remove("XDG_STATE_HOME")
            .output()
            .unwrap()
    }
}

/// What the release measures to.
pub(crate) fn measurements() -> Measurements {
    let [pcr0, pcr1, pcr2] = [b"0", b"1", b"2"].map(|data| Pcr(measurement_of(data)));
    Measurements {
        pcr0,
        pcr1,
        pcr2,
        pcr8: None,
    }
}

pub(crate) fn now() -> UnixMillis {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    UnixMillis(u64::try_from(elapsed.as_millis()).unwrap())
}

/// Exit status, standard output and standard error.
pub(crate) fn read(output: &Output) -> (i32, String, String) {
    (
        output.status.code().unwrap(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// The JSON on standard output.
pub(crate) fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {:?}", read(output)))
}

pub(crate) fn exists(path: &Path) -> bool {
    path.exists()
}
