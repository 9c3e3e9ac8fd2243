//! Images, built with the real command from a recipe that is written here.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;
use toml::Table;

use super::tools::Tools;
use crate::lab::Lab;
use crate::lab::enclave::Image;
use crate::lab::people::People;

/// Where the specimen is in the workload's root.
pub const SPECIMEN_PATH: &str = "/app/specimen";

/// What goes into an image.
#[derive(Clone, Debug)]
pub struct ImagePlan {
    /// Its name, and its release's.
    pub name: String,
    /// What becomes `/init`.
    pub init: PathBuf,
    /// The kernel.
    pub kernel: PathBuf,
    /// The kernel's command line; `None`: the recipe's own.
    pub command_line: Option<String>,
    /// Files of the workload's root: path in it, content, mode.
    pub files: Vec<(String, Content, u32)>,
    /// The agent's configuration.
    pub settings: String,
    /// What else `[image]` says.
    pub more: Table,
}

/// The content of a file.
#[derive(Clone, Debug)]
pub enum Content {
    /// As in this file.
    Of(PathBuf),
    /// This text.
    Text(String),
}

/// An image that was built.
#[derive(Clone, Debug)]
pub struct BuiltImage {
    /// Its name, and its release's.
    pub name: String,
    /// The image.
    pub file: PathBuf,
    /// Its manifest.
    pub manifest: PathBuf,
    /// PCR0, PCR1 and PCR2.
    pub measurements: Image,
    /// What the builder says an enclave with it needs.
    pub memory_mib: u64,
}

impl ImagePlan {
    /// The agent as it ships, and the specimen as its workload.
    #[must_use]
    pub fn of(tools: &Tools, name: &str, settings: &str) -> Self {
        let specimen = Content::Of(tools.specimen().to_owned());
        Self {
            name: name.to_owned(),
            init: tools.agent().to_owned(),
            kernel: tools.kernel(),
            command_line: None,
            files: vec![(SPECIMEN_PATH.to_owned(), specimen, 0o755)],
            settings: settings.to_owned(),
            more: Table::new(),
        }
    }

    /// Writes the recipe and what it names to `folder/NAME.image`, and returns the recipe.
    #[must_use]
    pub fn write(&self, folder: &Path) -> PathBuf {
        let folder = folder.join(format!("{}.image", self.name));
        let root = folder.join("root");
        for (path, content, mode) in &self.files {
            let target = root.join(path.trim_start_matches('/'));
            let parent = target.parent().expect("a folder");
            fs::create_dir_all(parent).expect("a folder of the workload's root");
            match content {
                Content::Of(file) => drop(fs::copy(file, &target).expect("a file of the workload")),
                Content::Text(text) => fs::write(&target, text).expect("a file of the workload"),
            }
            fs::set_permissions(&target, fs::Permissions::from_mode(*mode)).expect("its mode");
        }
        let init = folder.join("agent");
        fs::copy(&self.init, &init).expect("the agent");
        let kernel = folder.join("kernel");
        fs::copy(&self.kernel, &kernel).expect("the kernel");
        let recipe = folder.join("recipe.toml");
        fs::write(&recipe, self.recipe(&kernel, &init)).expect("a recipe");
        recipe
    }

    fn recipe(&self, kernel: &Path, init: &Path) -> String {
        let text = |text: &str| toml::Value::String(text.to_owned());
        let mut image = self.more.clone();
        image.insert("name".to_owned(), text(&self.name));
        image.insert("version".to_owned(), text("1.0.0"));
        image.insert("architecture".to_owned(), text("x86_64"));
        if let Some(line) = &self.command_line {
            image.insert("command_line".to_owned(), text(line));
        }
        let files: Vec<_> = self.files.iter().map(|(path, ..)| text(path)).collect();
        let table = |pairs: Vec<(&str, toml::Value)>| {
            let pairs = pairs.into_iter();
            toml::Value::Table(
                pairs
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect(),
            )
        };
        let settings: Table = self.settings.parse().expect("the agent's configuration");
        let recipe = table(vec![
            ("schema", toml::Value::Integer(1)),
            ("image", toml::Value::Table(image)),
            (
                "kernel",
                table(vec![
                    ("file", text("kernel")),
                    ("sha256", text(&sha256(kernel))),
                ]),
            ),
            (
                "agent",
                table(vec![
                    ("program", text("agent")),
                    ("sha256", text(&sha256(init))),
                ]),
            ),
            (
                "workload",
                table(vec![
                    ("root", text("root")),
                    ("files", toml::Value::Array(files)),
                ]),
            ),
            ("settings", toml::Value::Table(settings)),
        ]);
        toml::to_string(&recipe).expect("a recipe")
    }
}

impl Lab {
    /// Builds an image with `narthex image build`.
    #[must_use]
    pub fn image(&self, plan: &ImagePlan) -> BuiltImage {
        let recipe = plan.write(self.folder()).display().to_string();
        let (file, manifest) = (
            self.path(&format!("{}.eif", plan.name)),
            self.path(&format!("{}.manifest.json", plan.name)),
        );
        let (out, statement) = (file.display().to_string(), manifest.display().to_string());
        self.narthex(&[
            "image",
            "build",
            &recipe,
            "--out",
            &out,
            "--manifest",
            &statement,
        ])
        .done();
        let statement: Value =
            serde_json::from_slice(&fs::read(&manifest).expect("the manifest")).expect("JSON");
        let memory = &statement["predicate"]["memory_mib"];
        BuiltImage {
            name: plan.name.clone(),
            measurements: self.measure(&file).0,
            memory_mib: memory.as_u64().expect("the memory that it needs"),
            file,
            manifest,
        }
    }

    /// PCR0, PCR1 and PCR2, and PCR8 of a signed image, by `narthex measure`.
    #[must_use]
    pub fn measure(&self, file: &Path) -> (Image, Option<[u8; 48]>) {
        let said = self.narthex(&["measure", &file.display().to_string()]);
        let value: Value = serde_json::from_str(&said.done()).expect("JSON");
        let pcr = |number: u32| {
            let text = value["Measurements"][format!("PCR{number}")].as_str()?;
            let bytes = hex::decode(text).expect("hex");
            Some(<[u8; 48]>::try_from(bytes).expect("48 bytes"))
        };
        let pcrs = [0, 1, 2].map(|number| pcr(number).expect("a measurement"));
        (Image { pcrs }, pcr(8))
    }
}

/// The agent's configuration for [`ImagePlan::settings`].
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// The verifier key of the log; `None`: it asks none, which no enclave does.
    pub log: Option<String>,
    /// The keys it wants.
    pub keys: Vec<String>,
    /// Lowest bundle version it takes.
    pub minimum_bundle_version: u64,
    /// Its reviewers.
    pub reviewers: Vec<&'static str>,
    /// Lines of `[workload]` besides the user; `None`: no workload.
    pub workload: Option<String>,
    /// Lines of `[gate]` besides address and user.
    pub gate: String,
    /// Sections at the end.
    pub more: String,
}

impl AgentSettings {
    /// What an honest image of a lab says.
    #[must_use]
    pub fn of(lab: &Lab) -> Self {
        Self {
            log: Some(lab.log_key.clone()),
            keys: vec![crate::lab::KEY.to_owned()],
            minimum_bundle_version: 2,
            reviewers: vec!["alice", "bob", "carol"],
            workload: Some(format!(
                "command = \"{SPECIMEN_PATH}\"\narguments = [\"serve\"]\nrestart = \"always\"\n\
                 restart_delay_millis = 100\nrestart_delay_max_millis = 200\n"
            )),
            gate: "sessions_per_minute = 6000\ncalls_per_minute = 6000\nconnections = 64\n"
                .to_owned(),
            more: "[local_socket]\n\
                   [[counter]]\nname = \"served\"\nmin = 0\nmax = 1000\nstep = 10\n"
                .to_owned(),
        }
    }

    /// The file.
    #[must_use]
    pub fn text(&self, people: &People) -> String {
        let Self {
            log,
            keys,
            minimum_bundle_version,
            reviewers,
            workload,
            gate,
            more,
        } = self;
        let log = log.as_ref().map_or_else(
            || "insecure_without_ledger = true\n".to_owned(),
            |key| format!("log = \"{key}\"\n"),
        );
        let mut text = format!(
            "[trust]\nproject = \"lab\"\nthreshold = 2\n{log}\
             minimum_bundle_version = {minimum_bundle_version}\n"
        );
        for name in reviewers {
            let key = people.public_key(name);
            text += &format!("[[trust.reviewer]]\nname = \"{name}\"\nkeys = [\"{key}\"]\n");
        }
        text += "[policy]\nsource = \"vsock:3:9101\"\npoll_seconds = 1\n\
                 [fetcher]\nretry_max_seconds = 1\ntimeout_seconds = 5\n\
                 [keys]\nservice = \"vsock:3:9100\"\n";
        for key in keys {
            text += &format!("[[keys.key]]\nname = \"{key}\"\n");
        }
        text +=
            &format!("[gate]\nlisten = \"vsock:any:5005\"\nuser = 64002\ngroup = 64002\n{gate}\n");
        if let Some(workload) = workload {
            text += &format!("[workload]\nuser = 64001\ngroup = 64001\n{workload}\n");
        }
        text + more
    }
}

/// With the command that everybody has: no other of these tests needs this digest.
fn sha256(file: &Path) -> String {
    let output = std::process::Command::new("sha256sum")
        .arg(file)
        .output()
        .expect("sha256sum");
    let text = String::from_utf8(output.stdout).expect("text");
    text.split(' ').next().expect("a digest").to_owned()
}
