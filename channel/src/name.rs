//! The few texts that messages may carry, each a type with a closed alphabet and a length limit.
//!
//! None of them can hold free text: no spaces, no line breaks, no control characters. That keeps
//! terminals, log files and reviewers safe from whoever chose them.

use core::fmt;

use crate::codec::MessageError;

macro_rules! limited_text {
    ($(#[$meta:meta])* $name:ident, $part:literal, max $max:literal, first $first:expr, rest $rest:expr) => {
        $(#[$meta])*
        #[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(String);

        impl $name {
            /// The longest text allowed, in bytes.
            pub const MAX_BYTES: usize = $max;

            /// Checks `text` and keeps it.
            ///
            /// # Errors
            ///
            /// [`MessageError::Empty`], [`MessageError::TooLong`], or [`MessageError::Text`] if a
            /// character is outside the alphabet.
            pub fn new(text: &str) -> Result<Self, MessageError> {
                Self::check(text)?;
                Ok(Self(text.to_owned()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            pub(crate) const PART: &'static str = $part;

            fn check(text: &str) -> Result<(), MessageError> {
                let Some(first) = text.chars().next() else {
                    return Err(MessageError::Empty { part: Self::PART });
                };
                if text.len() > Self::MAX_BYTES {
                    return Err(MessageError::TooLong { part: Self::PART, max: Self::MAX_BYTES });
                }
                let (first_allowed, rest_allowed): (fn(char) -> bool, fn(char) -> bool) =
                    ($first, $rest);
                if !first_allowed(first) || !text.chars().all(rest_allowed) {
                    return Err(MessageError::Text { part: Self::PART });
                }
                Ok(())
            }
        }

        impl core::str::FromStr for $name {
            type Err = MessageError;

            fn from_str(text: &str) -> Result<Self, MessageError> {
                Self::new(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}({:?})", stringify!($name), self.0)
            }
        }
    };
}

fn lower(character: char) -> bool {
    character.is_ascii_lowercase()
}

fn lower_digit_dash(character: char) -> bool {
    character.is_ascii_lowercase() || character.is_ascii_digit() || character == '-'
}

limited_text! {
    /// A name that stands in measured configuration: `[a-z][a-z0-9-]{0,31}`.
    ///
    /// The only text in a diagnostics result. Build it from configuration read at boot, never from
    /// anything the workload said at run time.
    DeclaredName, "declared name", max 32, first lower, rest lower_digit_dash
}

limited_text! {
    /// The name of a key in the policy: `[a-z0-9][a-z0-9._-]{0,63}`.
    ///
    /// It can be used as a file name: it has no slash and does not begin with a dot.
    KeyName, "key name", max 64,
    first |character| character.is_ascii_lowercase() || character.is_ascii_digit(),
    rest |character| lower_digit_dash(character) || character == '.' || character == '_'
}

limited_text! {
    /// The id of the module that signed a document, such as
    /// `i-1234567890abcdef0-enc9876543210abcde`: `[A-Za-z0-9._-]{1,128}`.
    ModuleId, "module id", max 128,
    first |character| character.is_ascii_alphanumeric(),
    rest |character| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-')
}

/// Why something was refused: the stable id of a variant of a closed error enum,
/// `[a-z0-9_.-]{1,64}`, such as `order.expired`.
///
/// On the sending side it can be made from a constant of the program only, so that no text computed
/// from secrets or from the workload leaves in a refusal.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ReasonId(String);

impl ReasonId {
    /// The longest id allowed, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// What [`ReasonId::from_static`] makes of an id that breaks the alphabet or the length.
    pub const INVALID: &'static str = "reason.invalid";

    pub(crate) const PART: &'static str = "reason";

    /// The reason with this id. An id that is not of the form above becomes
    /// [`ReasonId::INVALID`]: a refusal must never fail for want of a reason.
    #[must_use]
    pub fn from_static(id: &'static str) -> Self {
        Self(
            if Self::check(id).is_ok() {
                id
            } else {
                Self::INVALID
            }
            .to_owned(),
        )
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn received(text: &str) -> Result<Self, MessageError> {
        Self::check(text)?;
        Ok(Self(text.to_owned()))
    }

    fn check(text: &str) -> Result<(), MessageError> {
        let allowed =
            |character: char| lower_digit_dash(character) || matches!(character, '.' | '_');
        match text.len() {
            0 => Err(MessageError::Empty { part: Self::PART }),
            1..=Self::MAX_BYTES if text.chars().all(allowed) => Ok(()),
            1..=Self::MAX_BYTES => Err(MessageError::Text { part: Self::PART }),
            _ => Err(MessageError::TooLong {
                part: Self::PART,
                max: Self::MAX_BYTES,
            }),
        }
    }
}

impl fmt::Display for ReasonId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ReasonId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReasonId({:?})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_names_have_a_closed_alphabet() {
        assert!(DeclaredName::new("requests-served").is_ok());
        assert!(DeclaredName::new(&"a".repeat(32)).is_ok());
        let too_long = DeclaredName::new(&"a".repeat(33));
        assert_eq!(
            too_long,
            Err(MessageError::TooLong {
                part: "declared name",
                max: 32
            })
        );
        assert_eq!(
            DeclaredName::new(""),
            Err(MessageError::Empty {
                part: "declared name"
            })
        );
        for text in ["1a", "-a", "A", "a b", "a\n", "a_b", "é", "a/b"] {
            let refused = Err(MessageError::Text {
                part: "declared name",
            });
            assert_eq!(DeclaredName::new(text), refused, "{text:?}");
        }
    }

    #[test]
    fn key_names_are_safe_file_names() {
        assert!(KeyName::new("db-master.v2_x").is_ok());
        for text in ["..", ".a", "a/b", "-a", "_a", "A", "a\0"] {
            assert_eq!(
                KeyName::new(text),
                Err(MessageError::Text { part: "key name" }),
                "{text}"
            );
        }
    }

    #[test]
    fn module_ids_are_as_aws_writes_them() {
        assert!(ModuleId::new("i-1234567890abcdef0-enc9876543210abcde").is_ok());
        assert_eq!(
            ModuleId::new("i 1"),
            Err(MessageError::Text { part: "module id" })
        );
    }

    #[test]
    fn reasons_never_fail_to_exist() {
        assert_eq!(
            ReasonId::from_static("order.expired").as_str(),
            "order.expired"
        );
        assert_eq!(
            ReasonId::from_static("Free text").as_str(),
            ReasonId::INVALID
        );
        assert_eq!(ReasonId::from_static("").as_str(), ReasonId::INVALID);
        assert_eq!(
            ReasonId::received("a b"),
            Err(MessageError::Text { part: "reason" })
        );
    }
}
