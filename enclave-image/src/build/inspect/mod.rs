//! What may not be in a workload's root file system.
//!
//! These checks find what is there by accident or convenience. They recognise programs by name and by
//! marks in their content, so somebody who wants to hide one can; whoever signs the manifest signs the
//! list of all files.

use std::collections::BTreeSet;

use super::elf;
use super::settings::Settings;
use crate::manifest::Insecure;
use crate::recipe::Recipe;
use crate::refusal::{Refusal, Refusals, Rule};
use crate::tree::{Entry, Kind, PathRule, Tree, TreePath};

mod keys;
mod programs;

/// So many are enough to see what is wrong with an image.
const MAX_REFUSALS: usize = 100;

/// Checks everything, and says what was let in that weakens the image.
pub(super) fn inspect(
    recipe: &Recipe,
    tree: &Tree,
    settings: &Settings,
) -> Result<Vec<Insecure>, Refusals> {
    let mut found = Vec::new();
    check_user(settings, &mut found);
    let programs = programs::find(tree);
    for (path, entry) in tree.iter() {
        if found.len() >= MAX_REFUSALS {
            break;
        }
        check_attributes(path, entry, &mut found);
        if let Kind::File(content) = &entry.kind
            && let Some(what) = keys::find(path, content)
        {
            let detail =
                format!("is or holds {what}; leave it out, keys come from the key service");
            found.push(Refusal::new(Rule::ImagePrivateKey, path.absolute(), detail));
        }
    }
    let insecure = check_programs(recipe, &programs, &mut found);
    check_command(recipe, tree, settings, &mut found);
    found.truncate(MAX_REFUSALS);
    Refusals::none_in(found)?;
    Ok(insecure)
}

fn check_user(settings: &Settings, found: &mut Vec<Refusal>) {
    for (field, value) in [("user", settings.user), ("group", settings.group)] {
        if value == 0 {
            let field = format!("settings.workload.{field}");
            let detail = "is 0, by the recipe or by the image; say another number in the recipe";
            found.push(Refusal::new(Rule::ImageRootUser, field, detail));
        }
    }
}

fn check_attributes(path: &TreePath, entry: &Entry, found: &mut Vec<Refusal>) {
    let Entry {
        attributes,
        kind,
        has_capability,
    } = entry;
    let is_file = matches!(kind, Kind::File(_));
    let mut refuse = |rule: Rule, detail: &str| {
        found.push(Refusal::new(rule, path.absolute(), detail));
    };
    if is_file && attributes.mode & 0o4000 != 0 {
        refuse(
            Rule::ImageSetUserId,
            "runs as its owner (set-user-id); take the bit off, or leave it out",
        );
    }
    // Of a directory it only says which group new files get.
    if is_file && attributes.mode & 0o2000 != 0 {
        refuse(
            Rule::ImageSetGroupId,
            "runs as its group (set-group-id); take the bit off, or leave it out",
        );
    }
    if *has_capability {
        refuse(
            Rule::ImageCapability,
            "has capabilities; take them off with `setcap -r`, or leave it out",
        );
    }
    if !matches!(kind, Kind::Link(_)) && attributes.mode & 0o002 != 0 {
        refuse(
            Rule::ImageWorldWritable,
            "may be written by everybody; take the bit off, or leave it out",
        );
    }
}

fn check_programs(
    recipe: &Recipe,
    programs: &programs::Found,
    found: &mut Vec<Refusal>,
) -> Vec<Insecure> {
    let programs::Found { shells, runtimes } = programs;
    let mut insecure = Vec::new();
    match (recipe.workload.insecure_shell, shells.first()) {
        (true, Some(_)) => insecure.push(Insecure::Shell),
        (true, None) => found.push(Refusal::new(
            Rule::ImageNoShell,
            "workload.insecure_shell",
            "is true, and there is no shell; take it out of the recipe",
        )),
        (false, _) => found.extend(shells.iter().map(|path| {
            let detail = "is a shell; leave it out, or say `insecure_shell = true`, which shows in the manifest";
            Refusal::new(Rule::ImageShell, path.absolute(), detail)
        })),
    }
    let declared: BTreeSet<_> = recipe.workload.runtimes.iter().collect();
    for (runtime, path) in runtimes {
        if !declared.contains(runtime) {
            let name = runtime.name();
            let detail = format!(
                "belongs to a language runtime; declare it with `runtimes = [\"{name}\"]`, or leave it out"
            );
            found.push(Refusal::new(Rule::ImageRuntime, path.absolute(), detail));
        }
    }
    for runtime in declared {
        if !runtimes.contains_key(runtime) {
            let detail = format!(
                "declares {}, which is not there; take it out of the recipe",
                runtime.name()
            );
            found.push(Refusal::new(
                Rule::ImageNoRuntime,
                "workload.runtimes",
                detail,
            ));
        }
    }
    insecure
}

/// The workload must be able to start: finding out inside an enclave is hard, for nobody sees its output.
fn check_command(recipe: &Recipe, tree: &Tree, settings: &Settings, found: &mut Vec<Refusal>) {
    let mut refuse = |detail: &str| {
        let subject = settings.command.escape_debug().to_string();
        found.push(Refusal::new(Rule::ImageCommand, subject, detail));
    };
    let at = |path: &str| {
        let path = TreePath::parse(path, PathRule::Absolute).ok()?;
        tree.resolve(&path)
    };
    let may_start = |path: &str| {
        at(path).is_some_and(|(path, entry)| {
            matches!(entry.kind, Kind::File(_))
                && may(settings, entry, EXECUTE)
                && may_reach(settings, tree, &path)
        })
    };
    let directory = &settings.working_directory;
    if directory != "/" {
        match at(directory.trim_end_matches('/')) {
            Some((path, entry)) if matches!(entry.kind, Kind::Directory) => {
                if !(may(settings, entry, EXECUTE) && may_reach(settings, tree, &path)) {
                    refuse("is run in a working directory that its user may not enter");
                }
            }
            _ => refuse("is run in a working directory that is not in the image"),
        }
    }
    let Some((path, entry)) = at(&settings.command) else {
        return refuse("is the workload's program, and is not in the image");
    };
    let Kind::File(content) = &entry.kind else {
        return refuse("is the workload's program, and is no file");
    };
    if !may(settings, entry, EXECUTE) {
        return refuse("is the workload's program, and its user may not execute it");
    }
    if !may_reach(settings, tree, &path) {
        return refuse(
            "is the workload's program, and lies in a directory that its user may not enter",
        );
    }
    if elf::is_elf(content) {
        let Some(program) = elf::program(content) else {
            return refuse("is the workload's program, and is no sound 64-bit ELF program");
        };
        if program.machine != Some(recipe.image.architecture) {
            return refuse("is the workload's program, and is for another architecture");
        }
        if let Some(loader) = program.interpreter
            && !may_start(&loader)
        {
            let loader = loader.escape_debug();
            refuse(&format!(
                "needs the dynamic loader {loader}, which is not in the image, or not for its user"
            ));
        }
    } else if let Some(line) = content.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let interpreter = line.split_whitespace().next().unwrap_or_default();
        if !may_start(interpreter) {
            let interpreter = interpreter.escape_debug();
            refuse(&format!(
                "is a script for {interpreter}, which is not in the image, or not for its user"
            ));
        }
        if !may(settings, entry, READ) {
            refuse("is a script, and its user may not read it");
        }
    } else {
        refuse("is the workload's program, and is neither an ELF program nor a script");
    }
}

/// Bits of a mode for others; those for group and owner are three and six to the left.
const READ: u16 = 0o4;
const EXECUTE: u16 = 0o1;

/// Whether the workload, which has one user, one group and no capabilities, may do this with an entry. Of a
/// directory [`EXECUTE`] says whether it may be entered.
fn may(settings: &Settings, entry: &Entry, wanted: u16) -> bool {
    let attributes = entry.attributes;
    let shift = if attributes.user == settings.user {
        6
    } else if attributes.group == settings.group {
        3
    } else {
        0
    };
    (attributes.mode >> shift) & wanted == wanted
}

/// Whether the workload may enter every directory above `path`.
fn may_reach(settings: &Settings, tree: &Tree, path: &TreePath) -> bool {
    path.parents().all(|directory| {
        tree.get(&directory)
            .is_some_and(|entry| may(settings, entry, EXECUTE))
    })
}
