//! A policy directory with people, and a recipe beside it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use sha2::{Digest, Sha256, Sha384};

use crate::common::{World, json, read};

/// What the recipe names as its kernel. Nothing boots here.
pub(crate) const KERNEL: &[u8] = b"stands for a kernel";

/// The least that is a static program for x86-64: an ELF header and one segment.
pub(crate) fn program(content: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend([2, 0, 62, 0, 1, 0, 0, 0]); // An executable for x86-64, version 1.
    bytes.extend([0; 8]); // Entry.
    bytes.extend(64_u64.to_le_bytes()); // Program headers begin behind this header.
    bytes.extend([0; 8]); // No sections.
    bytes.extend([0; 4]); // Flags.
    bytes.extend([64, 0, 56, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    bytes.extend([1, 0, 0, 0, 5, 0, 0, 0]); // Loadable, readable, executable.
    bytes.extend([0; 48]);
    bytes.extend(content);
    bytes
}

/// The directory in which all of it happens.
pub(crate) struct Workshop {
    pub(crate) world: World,
}

impl Workshop {
    /// With `shop.toml` and what it names; nothing is built yet.
    pub(crate) fn new() -> Self {
        let workshop = Self {
            world: World::new([9; 32]),
        };
        workshop.write("bzImage", KERNEL);
        workshop.write("agent", &program(b"agent"));
        workshop.write("root/app/server", &program(b"server 1"));
        workshop.mode("root/app/server", 0o755);
        workshop.recipe("shop", "1.0.0", "");
        workshop
    }

    /// The same with `shop.eif` and `shop.manifest.json`.
    pub(crate) fn built() -> Self {
        let workshop = Self::new();
        workshop.done("image build shop.toml --out shop.eif");
        workshop
    }

    /// The same with a manifest that alice and bob approved.
    pub(crate) fn approved() -> Self {
        let workshop = Self::built();
        workshop.approve("alice");
        workshop.approve("bob");
        workshop
    }

    pub(crate) fn approve(&self, person: &str) {
        self.done(&format!(
            "image approve shop.manifest.json --as {person} --key {person}"
        ));
    }

    /// Writes `shop.toml`, with more lines for `[workload]`.
    pub(crate) fn recipe(&self, name: &str, version: &str, workload: &str) {
        let digest = |file: &str| hex::encode(Sha256::digest(self.bytes(file)));
        let key = |person: &str| {
            let public = Command::new("ssh-keygen")
                .args(["-y", "-f", person])
                .current_dir(self.world.directory.path())
                .output()
                .unwrap();
            let text = String::from_utf8(public.stdout).unwrap();
            text.split_whitespace()
                .take(2)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let text = format!(
            "schema = 1\n[image]\nname = \"{name}\"\nversion = \"{version}\"\narchitecture = \"x86_64\"\n\
             [kernel]\nfile = \"bzImage\"\nsha256 = \"{}\"\n[agent]\nprogram = \"agent\"\nsha256 = \"{}\"\n\
             [workload]\nroot = \"root\"\nfiles = [\"/app/**\"]\n{workload}\n\
             [toolchain]\nrustc = \"1.95.0\"\n\
             [settings.trust]\nproject = \"shop\"\nthreshold = 2\nminimum_bundle_version = 1\n\
             log = \"log.example.org/payments+70068afa+ASjDEhzAgSeUN87vVg2Dx6kj4ttrnYEWPRt21Q5Iv81t\"\n\
             [[settings.trust.reviewer]]\nname = \"alice\"\nkeys = [\"{}\"]\n\
             [[settings.trust.reviewer]]\nname = \"bob\"\nkeys = [\"{}\"]\n\
             [settings.policy]\nsource = \"vsock:3:9101\"\n\
             [settings.gate]\nlisten = \"vsock:any:5005\"\nuser = 100\ngroup = 100\n\
             [settings.workload]\ncommand = \"/app/server\"\nuser = 1000\ngroup = 1000\n",
            digest("bzImage"),
            digest("agent"),
            key("alice"),
            key("bob"),
        );
        self.write("shop.toml", text.as_bytes());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.world.path(name)
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn mode(&self, name: &str, mode: u32) {
        fs::set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
    }

    /// Replaces the one occurrence of `from` in a file.
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.text(name);
        assert_eq!(text.matches(from).count(), 1, "{from:?} in {text}");
        self.write(name, text.replace(from, to).as_bytes());
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Names of everything in the directory.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.world.directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn narthex(&self, words: &str) -> Output {
        self.world.narthex(words)
    }

    /// Runs the command, which must do what it is asked. Returns standard output and error.
    #[track_caller]
    pub(crate) fn done(&self, words: &str) -> (String, String) {
        let (status, stdout, stderr) = read(&self.narthex(words));
        assert_eq!(status, 0, "{words}: {stdout}{stderr}");
        (stdout, stderr)
    }

    /// The same with `--json`.
    #[track_caller]
    pub(crate) fn json(&self, words: &str) -> Value {
        let output = self.narthex(&format!("{words} --json"));
        assert_eq!(
            output.status.code(),
            Some(0),
            "{words}: {:?}",
            read(&output)
        );
        json(&output)
    }

    /// Runs the command, which must say no for this reason.
    #[track_caller]
    pub(crate) fn refused(&self, words: &str, status: i32, id: &str) -> Value {
        let output = self.narthex(&format!("{words} --json"));
        let value = json(&output);
        let found = match value.get("error") {
            Some(error) => &error["id"],
            None => &value["reason"],
        };
        assert_eq!(
            (output.status.code(), found.as_str()),
            (Some(status), Some(id)),
            "{words}: {value:#}"
        );
        value
    }

    /// Runs another program in the directory, which must succeed.
    #[track_caller]
    pub(crate) fn run(&self, words: &str) -> Vec<u8> {
        let mut words_in_turn = words.split_whitespace();
        let output = Command::new(words_in_turn.next().unwrap())
            .args(words_in_turn)
            .current_dir(self.world.directory.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{words}: {:?}", read(&output));
        output.stdout
    }
}

/// What a register holds after one extension of zero: computed here, from the definition.
pub(crate) fn register(content: &[u8]) -> String {
    let inner = Sha384::digest(content);
    hex::encode(Sha384::digest([&[0; 48][..], &inner].concat()))
}
