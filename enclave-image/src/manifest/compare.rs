//! What differs between two manifests, causes before their consequences.

use core::fmt;
use std::collections::BTreeMap;

use super::{Manifest, ManifestContent, ManifestFile, ManifestMeasurements};

/// Which part of a manifest differs.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Part {
    /// Name or version of the release.
    Release,
    /// The recipe's bytes.
    Recipe,
    /// Something that made the inputs.
    Toolchain,
    /// The processor.
    Architecture,
    /// The kernel's command line.
    CommandLine,
    /// How the ramdisks are packed.
    Compression,
    /// A file that goes in as a whole.
    Input,
    /// A file of the workload.
    File,
    /// A language runtime.
    Runtime,
    /// Something that weakens the image.
    Insecure,
    /// The memory that the enclave needs.
    Memory,
    /// A register. A consequence of what is above.
    Measurement,
    /// The image's file. A consequence of what is above.
    Image,
}

impl Part {
    /// The word for people and for `--json`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Recipe => "recipe",
            Self::Toolchain => "toolchain",
            Self::Architecture => "architecture",
            Self::CommandLine => "command-line",
            Self::Compression => "compression",
            Self::Input => "input",
            Self::File => "file",
            Self::Runtime => "runtime",
            Self::Insecure => "insecure",
            Self::Memory => "memory",
            Self::Measurement => "measurement",
            Self::Image => "image",
        }
    }

    /// Whether this follows from other differences rather than explaining anything.
    #[must_use]
    pub const fn is_consequence(self) -> bool {
        matches!(self, Self::Measurement | Self::Image | Self::Memory)
    }
}

/// One difference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// Which part differs.
    pub part: Part,
    /// Which of several: a path, an input's name; else the part's own name.
    pub subject: String,
    /// What the first manifest has; `None` if it has nothing there.
    pub first: Option<String>,
    /// What the second manifest has.
    pub second: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            part,
            subject,
            first,
            second,
        } = self;
        formatter.write_str(part.name())?;
        if subject != part.name() {
            write!(formatter, " {subject}")?;
        }
        match (first, second) {
            (Some(first), Some(second)) => write!(formatter, ": {first} became {second}"),
            (Some(first), None) => write!(formatter, ": only in the first: {first}"),
            (None, Some(second)) => write!(formatter, ": only in the second: {second}"),
            (None, None) => Ok(()),
        }
    }
}

/// Everything in which `first` and `second` differ, causes first; empty exactly when they are equal.
#[must_use]
pub fn compare(first: &Manifest, second: &Manifest) -> Vec<Difference> {
    let Manifest {
        image_sha256,
        image_sha384,
        name,
        version,
        architecture,
        measurements,
        recipe_sha256,
        command_line,
        compression,
        memory_mib,
        runtimes,
        insecure,
        toolchain,
        inputs,
        files,
    } = first;
    let mut found = Found(Vec::new());
    found.value(Part::Release, "name", name, &second.name);
    found.value(Part::Release, "version", version, &second.version);
    found.value(Part::Recipe, "recipe", recipe_sha256, &second.recipe_sha256);
    found.map(Part::Toolchain, toolchain, &second.toolchain, Clone::clone);
    found.value(
        Part::Architecture,
        "architecture",
        &architecture.name(),
        &second.architecture.name(),
    );
    found.value(
        Part::CommandLine,
        "command-line",
        command_line,
        &second.command_line,
    );
    found.value(
        Part::Compression,
        "compression",
        &compression.name(),
        &second.compression.name(),
    );
    found.map(Part::Input, inputs, &second.inputs, |input| {
        format!("{} bytes, sha256 {}", input.size, input.sha256)
    });
    found.map(
        Part::File,
        &by_text(files.iter().map(|(path, file)| (path.absolute(), file))),
        &by_text(
            second
                .files
                .iter()
                .map(|(path, file)| (path.absolute(), file)),
        ),
        |file| describe(file),
    );
    let names = |runtimes: &[crate::recipe::Runtime]| {
        by_text(runtimes.iter().map(|item| (item.name().into(), ())))
    };
    found.map(
        Part::Runtime,
        &names(runtimes),
        &names(&second.runtimes),
        |()| "present".into(),
    );
    let names = |insecure: &[super::Insecure]| {
        by_text(insecure.iter().map(|item| (item.name().into(), ())))
    };
    found.map(
        Part::Insecure,
        &names(insecure),
        &names(&second.insecure),
        |()| "let in".into(),
    );
    let mib = |mib: u64| format!("{mib} MiB");
    found.value(
        Part::Memory,
        "memory",
        &mib(*memory_mib),
        &mib(second.memory_mib),
    );
    let ManifestMeasurements { pcr0, pcr1, pcr2 } = measurements;
    found.value(Part::Measurement, "pcr0", pcr0, &second.measurements.pcr0);
    found.value(Part::Measurement, "pcr1", pcr1, &second.measurements.pcr1);
    found.value(Part::Measurement, "pcr2", pcr2, &second.measurements.pcr2);
    found.value(Part::Image, "sha256", image_sha256, &second.image_sha256);
    found.value(Part::Image, "sha384", image_sha384, &second.image_sha384);
    found.0
}

fn by_text<V>(values: impl Iterator<Item = (String, V)>) -> BTreeMap<String, V> {
    values.collect()
}

fn describe(file: &ManifestFile) -> String {
    let ManifestFile {
        mode,
        user,
        group,
        content,
    } = file;
    let content = match content {
        ManifestContent::Directory => "directory".to_owned(),
        ManifestContent::File { size, sha256 } => format!("{size} bytes, sha256 {sha256}"),
        ManifestContent::Link { target } => format!("link to {target}"),
    };
    format!("{content}, mode {mode:04o}, owner {user}:{group}")
}

struct Found(Vec<Difference>);

impl Found {
    fn value<T: PartialEq + fmt::Display>(
        &mut self,
        part: Part,
        subject: &str,
        first: &T,
        second: &T,
    ) {
        if first != second {
            self.0.push(Difference {
                part,
                subject: subject.to_owned(),
                first: Some(first.to_string()),
                second: Some(second.to_string()),
            });
        }
    }

    fn map<V: PartialEq>(
        &mut self,
        part: Part,
        first: &BTreeMap<String, V>,
        second: &BTreeMap<String, V>,
        show: impl Fn(&V) -> String,
    ) {
        let only_second = second.iter().filter(|(key, _)| !first.contains_key(*key));
        let pairs = first
            .iter()
            .map(|(key, value)| (key, Some(value), second.get(key)))
            .chain(only_second.map(|(key, value)| (key, None, Some(value))));
        for (key, before, after) in pairs {
            if before != after {
                self.0.push(Difference {
                    part,
                    subject: key.clone(),
                    first: before.map(&show),
                    second: after.map(&show),
                });
            }
        }
    }
}
