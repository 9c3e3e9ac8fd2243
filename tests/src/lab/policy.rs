//! The policy directory, worked on with the real command.

use std::fs;
use std::path::PathBuf;

use narthex_channel::policy::{PolicyAnswer, Signed};

use super::Lab;
use super::enclave::{Image, ROLE_ARN};
use crate::policy_source::{Answer, PolicySource, signed};

impl Lab {
    /// Signs a file of the policy directory, as `WHAT sign` of the command.
    pub fn sign(&self, what: &str, file: &str, people: &[&str]) {
        for person in people {
            let key = self.people.file(person);
            self.narthex(&[what, "sign", file, "--as", person, "--key", &key])
                .done();
        }
    }

    /// Drafts the next bundle, changes its text, has it signed, and delivers everything. Returns the file.
    pub fn succeed(
        &self,
        options: &[&str],
        change: impl FnOnce(&mut String),
        signers: &[&str],
    ) -> PathBuf {
        let file = self.draft(options, change, signers);
        self.submit();
        file
    }

    /// The same without delivering it.
    pub fn draft(
        &self,
        options: &[&str],
        change: impl FnOnce(&mut String),
        signers: &[&str],
    ) -> PathBuf {
        let arguments = [&["policy", "next", "policy"], options].concat();
        self.narthex(&arguments).done();
        let file = self.newest("policy/bundles");
        let mut text = fs::read_to_string(&file).expect("the drafted bundle");
        change(&mut text);
        fs::write(&file, text).expect("the changed bundle");
        let name = file.display().to_string();
        self.narthex(&["policy", "lint", &name]).done();
        self.sign("policy", &name, signers);
        file
    }

    /// Delivers the policy directory to the service.
    pub fn submit(&self) {
        let service = self.administration();
        self.narthex(&["policy", "submit", "policy", "--service", &service])
            .done();
    }

    /// Writes and signs a release statement.
    pub fn release(&self, name: &str, version: &str, image: Image) {
        let [pcr0, pcr1, pcr2] = image.pcrs.map(hex::encode);
        let arguments = [
            "release",
            "new",
            "policy",
            "--name",
            name,
            "--version",
            version,
            "--insecure-pcr0",
            &pcr0,
            "--insecure-pcr1",
            &pcr1,
            "--insecure-pcr2",
            &pcr2,
        ];
        self.narthex(&arguments).done();
        let file = self.newest("policy/releases").display().to_string();
        self.sign("release", &file, &["bob", "carol"]);
    }

    /// Writes a stop statement with these options, has one person sign it, and delivers it.
    pub fn stop(&self, options: &[&str], signer: &str) {
        let arguments = [&["release", "stop", "policy"], options].concat();
        self.narthex(&arguments).done();
        let file = self.newest("policy/stops").display().to_string();
        self.sign("release", &file, &[signer]);
        self.submit();
    }

    /// Makes a key at the service, or its next version, and returns the commitment.
    pub fn key(&self, operation: &str, name: &str) -> String {
        commitment_of(&self.keys(&[operation, name, "--json"]).done())
    }

    /// Makes a key of a file's bytes at the service, which Alice approves, and returns the commitment.
    pub fn import_key(&self, name: &str, file: &str) -> String {
        let (order, kim) = (format!("import-{name}.order.toml"), self.people.file("kim"));
        let import = [
            "keys", "import", name, "--secret", file, "--policy", "policy",
        ];
        let asks = ["--as", "kim", "--key", &kim, "--write-order", &order];
        self.narthex(&[&import[..], &asks].concat()).done();
        let key = self.people.file("alice");
        self.narthex(&["order", "approve", &order, "--as", "alice", "--key", &key])
            .done();
        let service = self.administration();
        let made = ["--service", &service, "--order", &order, "--json"];
        commitment_of(&self.narthex(&[&import[..], &made].concat()).done())
    }

    /// The last file of a folder by name, without signatures.
    #[must_use]
    pub fn newest(&self, folder: &str) -> PathBuf {
        self.files(folder).pop().expect("a file of the policy")
    }

    /// The files of a folder by name, without signatures; none when there is no folder.
    #[must_use]
    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path(folder))
            .into_iter()
            .flatten()
            .flatten();
        let files = entries.map(|entry| entry.path());
        let mut files: Vec<PathBuf> = files
            .filter(|path| path.extension().is_some_and(|end| end == "toml"))
            .collect();
        files.sort();
        files
    }

    /// What a key service that has the whole policy directory gives out, with the proof of the bundle that is in
    /// force at the service that runs.
    #[must_use]
    pub fn policy_answer(&self) -> PolicyAnswer {
        PolicyAnswer {
            currency: Some(self.currency()),
            ..self.files_of_policy()
        }
    }

    /// The same without a proof of anything.
    #[must_use]
    pub fn files_of_policy(&self) -> PolicyAnswer {
        let all = |folder: &str| {
            let files = self.files(folder);
            files
                .iter()
                .map(|file| signed(file).expect("a signed file"))
                .collect()
        };
        PolicyAnswer {
            bundles: all("policy/bundles"),
            releases: all("policy/releases"),
            stops: all("policy/stops"),
            currency: None,
        }
    }

    /// A bundle with the signatures that it has so far.
    #[must_use]
    pub fn signed_bundle(&self, number: u32) -> Signed {
        let file = self.path(&format!("policy/bundles/{number:04}.toml"));
        signed(&file).expect("a bundle")
    }

    /// Serves an answer under a name, in place of a key service.
    #[must_use]
    pub fn policy_source(&self, name: &str, answer: PolicyAnswer) -> Answer {
        let source = PolicySource::bind(&self.path(name), answer).expect("a policy source");
        let answer = source.answer();
        source.spawn();
        answer
    }
}

/// A `[[key]]` table.
#[must_use]
pub fn key_rule(name: &str, releases: &[&str], commitments: &[(u32, &str)]) -> String {
    let releases: Vec<String> = releases.iter().map(|name| format!("\"{name}\"")).collect();
    let commitments: Vec<String> = commitments
        .iter()
        .map(|(version, digest)| format!("{{ version = {version}, sha384 = \"{digest}\" }}"))
        .collect();
    format!(
        "\n[[key]]\nname = \"{name}\"\nreleases = [{}]\nrole_arns = [\"{ROLE_ARN}\"]\n\
         commitments = [{}]\n",
        releases.join(", "),
        commitments.join(", ")
    )
}

fn commitment_of(answer: &str) -> String {
    let answer: serde_json::Value = serde_json::from_str(answer).expect("JSON");
    let commitment = find(&answer, "commitment");
    commitment.expect("a commitment in the answer").to_owned()
}

/// The first text under `name`, at any depth.
fn find<'v>(value: &'v serde_json::Value, name: &str) -> Option<&'v str> {
    match value {
        serde_json::Value::Object(members) => members
            .get(name)
            .and_then(serde_json::Value::as_str)
            .or_else(|| members.values().find_map(|member| find(member, name))),
        serde_json::Value::Array(items) => items.iter().find_map(|item| find(item, name)),
        _ => None,
    }
}
