//! Patterns of paths, as in `files` and `exclude`.

use glob::{MatchOptions, Pattern};

use crate::tree::{PathRule, TreePath};

/// Wildcards stay within a component (`**` is a component of its own), and leading dots are nothing
/// special: a pattern means the same wherever it is read.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// A list of patterns: absolute paths in the image in which `*`, `?` and `[…]` match within a component
/// and `**` matches any number of components.
#[derive(Clone, Debug, Default)]
pub struct Patterns(Vec<Entry>);

#[derive(Clone, Debug)]
struct Entry {
    text: String,
    pattern: Pattern,
}

impl Patterns {
    /// Reads patterns.
    ///
    /// # Errors
    ///
    /// The pattern that is wrong, and why.
    pub fn parse(texts: &[String]) -> Result<Self, (String, String)> {
        texts
            .iter()
            .map(|text| Self::entry(text).map_err(|reason| (text.clone(), reason)))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn entry(text: &str) -> Result<Entry, String> {
        if !text.starts_with('/') {
            return Err("a pattern begins with `/`, the root of the image".into());
        }
        // The same rules as for paths; wildcards are ordinary characters there.
        TreePath::parse(text, PathRule::Absolute).map_err(|refusal| refusal.detail().to_owned())?;
        let pattern =
            Pattern::new(text).map_err(|error| format!("is no pattern: {}", error.msg))?;
        Ok(Entry {
            text: text.to_owned(),
            pattern,
        })
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The patterns as they were written.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|entry| entry.text.as_str())
    }

    /// The indices of the patterns that match `path`.
    pub(crate) fn matching(&self, path: &TreePath) -> impl Iterator<Item = usize> {
        let path = path.absolute();
        self.0
            .iter()
            .enumerate()
            .filter(move |(_, entry)| entry.pattern.matches_with(&path, OPTIONS))
            .map(|(index, _)| index)
    }

    /// The patterns that are plain paths, without a wildcard.
    pub(crate) fn plain(&self) -> impl Iterator<Item = &str> {
        self.texts().filter(|text| !text.contains(['*', '?', '[']))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        let patterns = Patterns::parse(&[pattern.to_owned()]).unwrap();
        let path = TreePath::parse(path, PathRule::Absolute).unwrap();
        patterns.matching(&path).next().is_some()
    }

    #[test]
    fn wildcards_stay_within_a_component() {
        assert!(matches("/app/server", "/app/server"));
        assert!(matches("/app/*", "/app/server"));
        assert!(matches("/app/*", "/app/.hidden"));
        assert!(!matches("/app/*", "/app/lib/a"));
        assert!(matches("/app/**", "/app/lib/a"));
        assert!(matches("/usr/**/*.so", "/usr/lib/x/libc.so"));
        assert!(!matches("/usr/**/*.so", "/usr/lib/x/libc.so.6"));
        assert!(!matches("/App/*", "/app/server"));
        assert!(matches("/a[bc]", "/ab") && !matches("/a[bc]", "/ad"));
    }

    #[test]
    fn bad_patterns_are_refused() {
        for bad in [
            "",
            "app/x",
            "/app/../x",
            "/app//x",
            "/a**",
            "/a\nb",
            "/[",
            "/",
        ] {
            assert!(Patterns::parse(&[bad.to_owned()]).is_err(), "{bad:?}");
        }
    }
}
