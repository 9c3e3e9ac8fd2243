//! Members of tar archives that readers take differently: one would see another file, or another owner,
//! than the next one.

use std::io::{Cursor, Read as _};

use tar::{EntryType, PaxExtensions};

/// One member as the library reads it.
pub(super) type Member<'a, 'b> = tar::Entry<'a, Cursor<&'b [u8]>>;

/// PAX records in which archives carry a file's Linux capabilities: of GNU tar and Docker, and of BSD tar.
const CAPABILITY: [&str; 2] = [
    "SCHILY.xattr.security.capability",
    "LIBARCHIVE.xattr.security.capability",
];

/// What the PAX records of a member say besides names, size and owner.
#[derive(Default)]
pub(super) struct Records {
    /// Whether it is a sparse file.
    pub(super) sparse: bool,
    /// Whether it has Linux capabilities.
    pub(super) capability: bool,
}

/// Looks at the members of one archive, in their order.
#[derive(Default)]
pub(super) struct Members {
    /// Where the last one ended.
    end: u64,
}

impl Members {
    /// Reads the records of a member, which may be a global header.
    ///
    /// # Errors
    ///
    /// Why the archive is not read.
    pub(super) fn records(&mut self, member: &mut Member<'_, '_>) -> Result<Records, String> {
        let kind = member.header().entry_type();
        let follows = member.raw_header_position() == self.end;
        self.end = member
            .raw_file_position()
            .saturating_add(member.size())
            .checked_next_multiple_of(512)
            .unwrap_or(u64::MAX);
        match kind {
            EntryType::XGlobalHeader if follows => global(member).map(|()| Records::default()),
            // For some readers what was described is the next member, for others there is none.
            EntryType::XGlobalHeader => {
                Err("a global header stands between a member and what describes it".into())
            }
            _ => {
                check_form(member, kind)?;
                local(member)
            }
        }
    }
}

/// `git archive` puts its commit there as a comment. Anything else would change the members that follow
/// for some readers and not for others.
fn global(member: &mut Member<'_, '_>) -> Result<(), String> {
    let mut content = Vec::new();
    member
        .read_to_end(&mut content)
        .map_err(|error| error.to_string())?;
    for record in PaxExtensions::new(&content) {
        let record = record.map_err(|error| error.to_string())?;
        if record.key() != Ok("comment") {
            return Err("it has a global header that says more than a comment".into());
        }
    }
    Ok(())
}

fn check_form(member: &Member<'_, '_>, kind: EntryType) -> Result<(), String> {
    let path = member.path_bytes();
    let shown = || String::from_utf8_lossy(&path).escape_debug().to_string();
    let is_file = matches!(
        kind,
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse
    );
    // Some readers pass over what a size announces, others take it for the next members.
    if !is_file && member.size() != 0 {
        return Err(format!("`{}` has content and is no file", shown()));
    }
    // Before there was a kind for directories, they were files with such a name.
    if kind != EntryType::Directory && path.ends_with(b"/") {
        return Err(format!("`{}` ends with `/` and is no directory", shown()));
    }
    Ok(())
}

/// Of two records with the same name some readers take the first and others the last, and a record may
/// contradict what stands in front of it: each must say what was taken.
fn local(member: &mut Member<'_, '_>) -> Result<Records, String> {
    let path = member.path_bytes().into_owned();
    let link = member.link_name_bytes().map(|link| link.into_owned());
    let size = Some(member.size());
    let user = member.header().uid().ok();
    let group = member.header().gid().ok();
    let found = member
        .pax_extensions()
        .map_err(|error| error.to_string())?
        .into_iter()
        .flatten();
    let mut records = Records::default();
    for record in found {
        let record = record.map_err(|error| error.to_string())?;
        let key = record.key().map_err(|error| error.to_string())?;
        let number = || record.value().ok().and_then(|value| value.parse().ok());
        let agrees = match key {
            "path" => record.value_bytes() == path,
            "linkpath" => Some(record.value_bytes()) == link.as_deref(),
            "size" => number() == size,
            "uid" => number() == user,
            "gid" => number() == group,
            _ => true,
        };
        if !agrees {
            return Err(format!("it says two things about the `{key}` of a member"));
        }
        records.sparse |= key.starts_with("GNU.sparse.");
        records.capability |= CAPABILITY.contains(&key);
    }
    Ok(records)
}
