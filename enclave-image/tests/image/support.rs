//! Makes inputs: programs, archives, OCI images, recipes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use narthex_image::build::{Built, Inputs, WorkloadInput, assemble};
use narthex_image::recipe::Recipe;
use narthex_image::tree::Limits;
use narthex_image::{Refusals, Sha256Digest};
use tar::EntryType;

pub(crate) const KERNEL: &[u8] = b"a kernel";
/// `e_machine` of x86-64 and AArch64.
pub(crate) const X86_64: u16 = 62;
pub(crate) const AARCH64: u16 = 183;

/// A program that needs what `segments` say: type and content.
pub(crate) fn elf(machine: u16, segments: &[(u32, &[u8])]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    for half in [2, machine] {
        file.extend(half.to_le_bytes());
    }
    file.extend(1u32.to_le_bytes()); // Version.
    for word in [0u64, 64, 0] {
        file.extend(word.to_le_bytes()); // Entry point, program headers, section headers.
    }
    file.extend(0u32.to_le_bytes()); // Flags.
    for half in [64, 56, 1 + u16::try_from(segments.len()).unwrap(), 0, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    let mut content = 64 + 56 * (1 + segments.len());
    let load: (u32, &[u8]) = (1, &[]);
    for (kind, bytes) in [load].iter().chain(segments) {
        file.extend(kind.to_le_bytes());
        file.extend(0u32.to_le_bytes());
        for word in [content, 0, 0, bytes.len(), bytes.len(), 1] {
            file.extend((word as u64).to_le_bytes());
        }
        content += bytes.len();
    }
    for (_, bytes) in segments {
        file.extend(*bytes);
    }
    file
}

/// A static program.
pub(crate) fn program() -> Vec<u8> {
    elf(X86_64, &[])
}

/// One entry of an archive.
#[derive(Clone)]
pub(crate) struct Item {
    path: String,
    kind: EntryType,
    mode: u32,
    owner: (u64, u64),
    content: Vec<u8>,
    link: String,
    records: Vec<(&'static str, Vec<u8>)>,
}

impl Item {
    fn new(path: &str, kind: EntryType, mode: u32) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            mode,
            owner: (0, 0),
            content: Vec::new(),
            link: String::new(),
            records: Vec::new(),
        }
    }

    pub(crate) fn file(path: &str, content: impl Into<Vec<u8>>) -> Self {
        Self {
            content: content.into(),
            ..Self::new(path, EntryType::Regular, 0o644)
        }
    }

    pub(crate) fn program(path: &str) -> Self {
        Self::file(path, program()).mode(0o755)
    }

    pub(crate) fn directory(path: &str) -> Self {
        Self::new(path, EntryType::Directory, 0o755)
    }

    pub(crate) fn link(path: &str, target: &str) -> Self {
        Self {
            link: target.to_owned(),
            ..Self::new(path, EntryType::Symlink, 0o777)
        }
    }

    pub(crate) fn hard_link(path: &str, target: &str) -> Self {
        Self {
            link: target.to_owned(),
            ..Self::new(path, EntryType::Link, 0o644)
        }
    }

    pub(crate) fn kind(path: &str, kind: EntryType) -> Self {
        Self::new(path, kind, 0o600)
    }

    pub(crate) fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    pub(crate) fn owner(mut self, user: u64, group: u64) -> Self {
        self.owner = (user, group);
        self
    }

    pub(crate) fn content(mut self, content: &[u8]) -> Self {
        self.content = content.to_vec();
        self
    }

    pub(crate) fn record(mut self, key: &'static str, value: &[u8]) -> Self {
        self.records.push((key, value.to_vec()));
        self
    }
}

/// A tar archive, byte by byte: the library that reads it refuses to write what must be refused.
pub(crate) fn tar(items: &[Item]) -> Vec<u8> {
    let mut archive = Vec::new();
    for item in items {
        if !item.records.is_empty() {
            let mut records = Vec::new();
            for (key, value) in &item.records {
                let mut length = key.len() + value.len() + 3;
                length += length.to_string().len();
                length = key.len() + value.len() + 3 + length.to_string().len();
                records.extend(format!("{length} {key}=").into_bytes());
                records.extend(value);
                records.push(b'\n');
            }
            append(
                &mut archive,
                "PaxHeaders",
                EntryType::XHeader,
                0o644,
                (0, 0),
                "",
                &records,
            );
        }
        append(
            &mut archive,
            &item.path,
            item.kind,
            item.mode,
            item.owner,
            &item.link,
            &item.content,
        );
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

fn append(
    archive: &mut Vec<u8>,
    path: &str,
    kind: EntryType,
    mode: u32,
    owner: (u64, u64),
    link: &str,
    content: &[u8],
) {
    if path.len() > 100 {
        append(
            archive,
            "././@LongLink",
            EntryType::GNULongName,
            0,
            (0, 0),
            "",
            path.as_bytes(),
        );
    }
    let mut header = tar::Header::new_gnu();
    let fields = header.as_old_mut();
    let name = &path.as_bytes()[..path.len().min(100)];
    fields.name[..name.len()].copy_from_slice(name);
    fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner.0);
    header.set_gid(owner.1);
    header.set_mtime(1_234_567_890);
    header.set_size(content.len() as u64);
    if kind == EntryType::GNUSparse {
        header.as_gnu_mut().unwrap().realsize = *b"00000000000\0";
    }
    header.set_cksum();
    archive.extend(header.as_bytes());
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(512), 0);
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// The smallest root that is accepted.
pub(crate) fn base() -> Vec<Item> {
    vec![
        Item::directory("./"),
        Item::directory("./app/"),
        Item::program("app/server"),
    ]
}

/// The smallest root and something more.
pub(crate) fn with(items: impl IntoIterator<Item = Item>) -> Vec<Item> {
    base().into_iter().chain(items).collect()
}

/// What a recipe says, to be changed in one place.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) image: String,
    pub(crate) kernel: String,
    pub(crate) agent: Vec<u8>,
    /// `[workload]` without its source.
    pub(crate) workload: String,
    /// `[settings.workload]`.
    pub(crate) settings: String,
    pub(crate) limits: Limits,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            image: "name = \"shop\"\nversion = \"1.2.3\"\narchitecture = \"x86_64\"\n".into(),
            kernel: String::new(),
            agent: program(),
            workload: String::new(),
            settings:
                "command = \"/app/server\"\nuser = 1000\ngroup = 1000\nmemory_max_bytes = 1048576\n"
                    .into(),
            limits: Limits::DEFAULT,
        }
    }
}

impl Draft {
    pub(crate) fn workload(workload: &str) -> Self {
        Self {
            workload: workload.into(),
            ..Self::default()
        }
    }

    pub(crate) fn settings(settings: &str) -> Self {
        Self {
            settings: settings.into(),
            ..Self::default()
        }
    }

    /// The recipe's text; `source` is the first line of `[workload]`.
    pub(crate) fn text(&self, source: &str) -> String {
        let mut text = String::from("schema = 1\n[image]\n");
        text.push_str(&self.image);
        let digest = Sha256Digest::of(KERNEL);
        write!(
            text,
            "[kernel]\nfile = \"bzImage\"\nsha256 = \"{digest}\"\n{}",
            self.kernel
        )
        .unwrap();
        let digest = Sha256Digest::of(&self.agent);
        write!(
            text,
            "[agent]\nprogram = \"agent\"\nsha256 = \"{digest}\"\n"
        )
        .unwrap();
        write!(text, "[workload]\n{source}\n{}", self.workload).unwrap();
        write!(
            text,
            "[toolchain]\nrustc = \"1.95.0\"\n[settings]\nproject = \"shop\"\n"
        )
        .unwrap();
        write!(text, "[settings.workload]\n{}", self.settings).unwrap();
        text
    }

    fn pinned(&self, kind: &str, bytes: &[u8]) -> Recipe {
        let digest = Sha256Digest::of(bytes);
        let source = format!("{kind} = \"root.tar\"\nsha256 = \"{digest}\"");
        Recipe::parse(&self.text(&source)).unwrap()
    }

    fn assemble(&self, recipe: &Recipe, workload: WorkloadInput) -> Result<Built, Refusals> {
        let inputs = Inputs {
            kernel: KERNEL.to_vec(),
            modules: Vec::new(),
            agent: self.agent.clone(),
            workload,
        };
        assemble(recipe, inputs, &|_| Ok(()), &self.limits)
    }

    /// Builds with `items` as root.
    pub(crate) fn build(&self, items: &[Item]) -> Result<Built, Refusals> {
        self.build_archive(tar(items))
    }

    pub(crate) fn build_archive(&self, bytes: Vec<u8>) -> Result<Built, Refusals> {
        self.assemble(
            &self.pinned("archive", &bytes),
            WorkloadInput::Archive(bytes),
        )
    }

    pub(crate) fn build_oci(&self, bytes: Vec<u8>) -> Result<Built, Refusals> {
        self.assemble(&self.pinned("oci", &bytes), WorkloadInput::Oci(bytes))
    }
}

/// The ids of everything that was refused.
#[track_caller]
pub(crate) fn ids(result: Result<Built, Refusals>) -> Vec<&'static str> {
    match result {
        Ok(_) => panic!("nothing was refused"),
        Err(refusals) => refusals.iter().map(narthex_image::Refusal::id).collect(),
    }
}

/// Asserts that this root is refused for this reason alone.
#[track_caller]
pub(crate) fn refused(items: &[Item], id: &str) {
    assert_eq!(ids(Draft::default().build(items)), [id]);
}

/// An OCI image in the making: an image layout of one image.
#[derive(Clone)]
pub(crate) struct Oci {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) layers: Vec<Vec<u8>>,
    pub(crate) layer_type: String,
    pub(crate) architecture: String,
    /// The `config` object.
    pub(crate) run: serde_json::Value,
}

impl Oci {
    pub(crate) fn new(layers: &[&[Item]]) -> Self {
        Self {
            files: BTreeMap::new(),
            layers: layers.iter().map(|items| tar(items)).collect(),
            layer_type: "application/vnd.oci.image.layer.v1.tar+gzip".into(),
            architecture: "amd64".into(),
            run: serde_json::json!({ "Entrypoint": ["/app/server"], "User": "1000:1000" }),
        }
    }

    pub(crate) fn run(mut self, run: serde_json::Value) -> Self {
        self.run = run;
        self
    }

    pub(crate) fn configuration(&self) -> Vec<u8> {
        let diff_ids: Vec<_> = self
            .layers
            .iter()
            .map(|layer| format!("sha256:{}", Sha256Digest::of(layer)))
            .collect();
        let configuration = serde_json::json!({
            "architecture": self.architecture,
            "os": "linux",
            "config": self.run,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        serde_json::to_vec(&configuration).unwrap()
    }

    /// Adds a blob, and returns its descriptor.
    pub(crate) fn blob(&mut self, media_type: &str, content: Vec<u8>) -> serde_json::Value {
        let digest = Sha256Digest::of(&content);
        let descriptor = serde_json::json!({
            "mediaType": media_type,
            "digest": format!("sha256:{digest}"),
            "size": content.len(),
        });
        self.files.insert(format!("blobs/sha256/{digest}"), content);
        descriptor
    }

    /// Adds configuration, layers and manifest, and returns the manifest's descriptor.
    pub(crate) fn manifest(&mut self) -> serde_json::Value {
        let configuration = self.configuration();
        let config = self.blob("application/vnd.oci.image.config.v1+json", configuration);
        let layer_type = self.layer_type.clone();
        let layers: Vec<_> = self
            .layers
            .clone()
            .iter()
            .map(|layer| self.blob(&layer_type, gzip(layer)))
            .collect();
        let manifest =
            serde_json::json!({ "schemaVersion": 2, "config": config, "layers": layers });
        self.blob(
            "application/vnd.oci.image.manifest.v1+json",
            serde_json::to_vec(&manifest).unwrap(),
        )
    }

    /// Adds the index over `manifests`.
    pub(crate) fn index(&mut self, manifests: &[serde_json::Value]) {
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": manifests });
        self.files
            .insert("index.json".into(), serde_json::to_vec(&index).unwrap());
    }

    /// The whole image as an archive.
    pub(crate) fn layout(mut self) -> Vec<u8> {
        let manifest = self.manifest();
        self.index(&[manifest]);
        self.archive()
    }

    /// What was added so far as an archive.
    pub(crate) fn archive(&self) -> Vec<u8> {
        let items: Vec<_> = self
            .files
            .iter()
            .map(|(name, content)| Item::file(name, content.clone()))
            .collect();
        tar(&items)
    }
}
