//! Closed lists: enums whose variants have a stable code on the wire and a stable name in text.

/// Defines an enum with `code`, `from_code`, `name`, `from_name` and `ALL`.
macro_rules! closed {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $( $(#[$variant_meta:meta])* $variant:ident = $code:literal, $text:literal; )+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )+
        }

        impl $name {
            /// Every member, in the order of declaration.
            pub const ALL: &[Self] = &[$( Self::$variant, )+];

            /// The code that stands for it on the wire; it never changes its meaning.
            #[must_use]
            pub const fn code(self) -> u16 {
                match self {
                    $( Self::$variant => $code, )+
                }
            }

            /// The member with this code.
            #[must_use]
            pub const fn from_code(code: u16) -> Option<Self> {
                match code {
                    $( $code => Some(Self::$variant), )+
                    _ => None,
                }
            }

            /// The name that people and scripts read; it never changes its meaning.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $text, )+
                }
            }

            /// The member with this name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $( $text => Some(Self::$variant), )+
                    _ => None,
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                formatter.write_str(self.name())
            }
        }
    };
}

pub(crate) use closed;

#[cfg(test)]
pub(crate) mod tests {
    /// Asserts that codes and names lead back to the member they came from. (A code or name used
    /// twice is already an unreachable pattern, which the compiler reports.)
    macro_rules! assert_closed {
        ($name:ty) => {
            for member in <$name>::ALL {
                assert_eq!(<$name>::from_code(member.code()), Some(*member));
                assert_eq!(<$name>::from_name(member.name()), Some(*member));
            }
        };
    }
    pub(crate) use assert_closed;
}
