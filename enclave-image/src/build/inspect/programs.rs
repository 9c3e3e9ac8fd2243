//! Shells and language runtimes, by name and by marks in their content.

use std::collections::BTreeMap;

use super::super::elf;
use super::super::settings::is_program;
use super::keys::find_bytes;
use crate::recipe::Runtime;
use crate::tree::{Entry, Kind, Tree, TreePath};

/// Names, to which a version may be added: Debian has a `zsh5` beside `zsh`.
const SHELLS: [&str; 18] = [
    "ash", "bash", "busybox", "csh", "dash", "elvish", "fish", "ksh", "lksh", "loksh", "mksh",
    "oksh", "pwsh", "rbash", "sh", "tcsh", "toybox", "zsh",
];
/// What the two most common ones say of themselves: a copy or a hard link under another name is found by it.
const SHELL_MARKS: [&[u8]; 2] = [
    b"BusyBox is copyrighted by many authors",
    b"GNU bash, version %s",
];

/// The same of runtimes, as in `python3.12`, and beginnings of libraries.
const RUNTIMES: [(Runtime, &[&str], &[&str]); 6] = [
    (Runtime::Java, &["java"], &["libjvm.so"]),
    (
        Runtime::Node,
        &["node", "nodejs", "bun", "deno"],
        &["libnode.so"],
    ),
    (Runtime::Perl, &["perl"], &["libperl.so"]),
    (Runtime::Php, &["php", "php-cgi", "php-fpm"], &["libphp"]),
    (
        Runtime::Python,
        &["python", "pypy"],
        &["libpython", "libpypy"],
    ),
    (Runtime::Ruby, &["ruby"], &["libruby"]),
];

/// What was found.
pub(super) struct Found {
    pub(super) shells: Vec<TreePath>,
    /// Each with the first path that shows it.
    pub(super) runtimes: BTreeMap<Runtime, TreePath>,
}

pub(super) fn find(tree: &Tree) -> Found {
    let mut found = Found {
        shells: Vec::new(),
        runtimes: BTreeMap::new(),
    };
    for (path, entry) in tree.iter() {
        // What a link is called counts, if it leads to a file: `sh` may be a link to anything.
        let Some((_, target)) = tree.resolve(path) else {
            continue;
        };
        let is_elf = matches!(&target.kind, Kind::File(content) if elf::is_elf(content));
        let runs = is_program(target) || is_elf;
        let name = path.name();
        let is_shell = SHELLS.iter().any(|shell| is_version_of(name, shell));
        if runs && (is_shell || has_mark(entry)) {
            found.shells.push(path.clone());
        }
        let runtime = RUNTIMES.iter().find(|(_, programs, libraries)| {
            (runs && programs.iter().any(|program| is_version_of(name, program)))
                || (is_elf && libraries.iter().any(|library| name.starts_with(library)))
        });
        if let Some((runtime, _, _)) = runtime {
            found
                .runtimes
                .entry(*runtime)
                .or_insert_with(|| path.clone());
        }
    }
    found
}

fn has_mark(entry: &Entry) -> bool {
    matches!(&entry.kind, Kind::File(content)
        if elf::is_elf(content) && SHELL_MARKS.iter().any(|mark| find_bytes(content, mark).is_some()))
}

fn is_version_of(name: &str, program: &str) -> bool {
    name.strip_prefix(program).is_some_and(|version| {
        version
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-')
    })
}
