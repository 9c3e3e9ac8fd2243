//! `User` of an image's configuration: `user`, `uid`, `user:group`, `uid:gid` and the mixtures, resolved
//! through the image's own `/etc/passwd` and `/etc/group`.

use crate::refusal::{Refusal, Rule};
use crate::tree::{Kind, PathRule, Tree, TreePath};

/// As the OCI specification says: without a group it is the user's own in `/etc/passwd`, else 0.
pub(super) fn resolve(text: &str, tree: &Tree) -> Result<(u32, u32), Refusal> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let passwd = lines(tree, "/etc/passwd");
    // name:password:uid:gid:…
    let by_name = find(&passwd, 0, user);
    let by_number = || find(&passwd, 2, user);
    let number = match &by_name {
        Some(fields) => fields.get(2).and_then(|field| field.parse().ok()),
        None => user.parse().ok(),
    };
    let user_number: u32 = number.ok_or_else(|| unknown(user, "user", "/etc/passwd"))?;
    let group_number = match group {
        // name:password:gid:…
        Some(group) => match find(&lines(tree, "/etc/group"), 0, group) {
            Some(fields) => fields.get(2).and_then(|field| field.parse().ok()),
            None => group.parse().ok(),
        }
        .ok_or_else(|| unknown(group, "group", "/etc/group"))?,
        None => by_name
            .or_else(by_number)
            .and_then(|fields| fields.get(3).and_then(|field| field.parse().ok()))
            .unwrap_or(0),
    };
    Ok((user_number, group_number))
}

fn find(lines: &[Vec<String>], field: usize, value: &str) -> Option<Vec<String>> {
    lines
        .iter()
        .find(|fields| fields.get(field).is_some_and(|found| found == value))
        .cloned()
}

fn lines(tree: &Tree, path: &str) -> Vec<Vec<String>> {
    let Ok(path) = TreePath::parse(path, PathRule::Absolute) else {
        return Vec::new();
    };
    match tree.resolve(&path).map(|(_, entry)| &entry.kind) {
        Some(Kind::File(content)) => String::from_utf8_lossy(content)
            .lines()
            .map(|line| line.split(':').map(str::to_owned).collect())
            .collect(),
        _ => Vec::new(),
    }
}

fn unknown(name: &str, what: &str, file: &str) -> Refusal {
    let detail = format!(
        "is the image's {what}, and its {file} does not know it; say settings.workload.{what} in the recipe"
    );
    Refusal::new(Rule::OciUser, name.escape_debug().to_string(), detail)
}
