//! Names as types: lower-case ASCII, bounded, safe as file names and in logs.

use core::fmt;

use crate::reason::{Reason, Refusal};

/// Longest name, in bytes. The channel's `DeclaredName` and file names leave room for it.
const MAX_NAME_BYTES: usize = 64;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident,)*) => {$(
        $(#[$doc])*
        ///
        /// `[a-z0-9][a-z0-9._-]*`, at most 64 bytes, without two dots in a row.
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(String);

        impl $name {
            /// Takes a well-formed name.
            ///
            /// # Errors
            ///
            /// [`Reason::NameMalformed`] if it has another form.
            pub fn new(text: &str) -> Result<Self, Refusal> {
                if is_name(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(malformed(text))
                }
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    )*};
}

names! {
    /// The project that a policy belongs to; nothing signed for one project holds in another.
    ProjectName,
    /// A person who signs.
    PersonName,
    /// A role: a set of permissions.
    RoleName,
    /// The name of a released image.
    ReleaseName,
    /// The version of a released image.
    ReleaseVersion,
    /// A key that the service keeps for enclaves.
    KeyName,
}

/// A release name, or the beginning of one followed by `*`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct NamePattern(String);

impl NamePattern {
    /// Takes `name`, `begin*` or `*`.
    ///
    /// # Errors
    ///
    /// [`Reason::NameMalformed`] for anything else; `*` counts only at the end.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        let begin = text.strip_suffix('*').unwrap_or(text);
        if text == "*" || is_name(begin) {
            Ok(Self(text.to_owned()))
        } else {
            Err(malformed(text))
        }
    }

    /// Whether `name` is meant.
    pub fn matches(&self, name: &ReleaseName) -> bool {
        match self.0.strip_suffix('*') {
            Some(begin) => name.0.starts_with(begin),
            None => name.0 == self.0,
        }
    }

    /// Whether every name is meant.
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }

    /// Whether every name that `other` means is meant by this pattern too.
    pub fn covers(&self, other: &Self) -> bool {
        match (self.0.strip_suffix('*'), other.0.strip_suffix('*')) {
            (Some(begin), Some(narrower)) => narrower.starts_with(begin),
            (Some(begin), None) => other.0.starts_with(begin),
            (None, None) => self.0 == other.0,
            (None, Some(_)) => false,
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.len() <= MAX_NAME_BYTES
        && text.bytes().next().is_some_and(plain)
        && text
            .bytes()
            .all(|byte| plain(byte) || b"._-".contains(&byte))
        && !text.contains("..")
}

fn malformed(text: &str) -> Refusal {
    Refusal::new(
        Reason::NameMalformed,
        format!("{text:?} is not a name: lower-case letters, digits, '.', '_' and '-', at most 64"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_bounded() {
        for good in ["alice", "0", "payments-db", "a.b_c-d", &"a".repeat(64)] {
            assert_eq!(PersonName::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-a",
            ".a",
            "a..b",
            "Alice",
            "a b",
            "a/b",
            "ä",
            "a*",
            &"a".repeat(65),
        ] {
            assert_eq!(
                PersonName::new(bad).unwrap_err().reason(),
                Reason::NameMalformed,
                "{bad}"
            );
        }
    }

    #[test]
    fn patterns_match_by_beginning_only() {
        let name = ReleaseName::new("payments-api").unwrap();
        for (pattern, expected) in [
            ("payments-*", true),
            ("payments-api", true),
            ("*", true),
            ("payments", false),
            ("a*", false),
        ] {
            assert_eq!(
                NamePattern::new(pattern).unwrap().matches(&name),
                expected,
                "{pattern}"
            );
        }
        for bad in ["", "**", "*a", "a*b", "A*"] {
            assert_eq!(
                NamePattern::new(bad).unwrap_err().reason(),
                Reason::NameMalformed,
                "{bad}"
            );
        }
    }

    #[test]
    fn covering_is_by_beginning() {
        let covers = |wide: &str, narrow: &str| {
            NamePattern::new(wide)
                .unwrap()
                .covers(&NamePattern::new(narrow).unwrap())
        };
        assert!(covers("*", "a*") && covers("a*", "ab*") && covers("a*", "ab") && covers("a", "a"));
        assert!(!covers("ab*", "a*") && !covers("a", "a*") && !covers("a", "b"));
    }
}
