//! Values of entries to and from JSON, and taking an object apart until nothing is left.

use std::borrow::Cow;

use super::{
    json::{Json, Object},
    wrong,
};
use crate::{
    BootId, Digest384, EvidenceDigest, Hash, LogError, PersonId, RootKeyId, Salt, SessionHash,
    bytes::{from_hex, to_hex},
};

/// Something a field can hold.
pub(crate) trait Value: Sized {
    fn to_json(&self) -> Json<'_>;
    fn from_json(json: Json<'_>) -> Result<Self, LogError>;
}

/// An object being written.
#[derive(Default)]
pub(crate) struct Writing<'t>(Object<'t>);

impl<'t> Writing<'t> {
    pub(crate) fn put(mut self, name: &'static str, value: &'t impl Value) -> Self {
        self.0.push((Cow::Borrowed(name), value.to_json()));
        self
    }

    pub(crate) fn put_text(mut self, name: &'static str, text: &'t str) -> Self {
        self.0
            .push((Cow::Borrowed(name), Json::Text(Cow::Borrowed(text))));
        self
    }

    /// A field that is left out when there is nothing to say.
    pub(crate) fn put_some<V: Value>(self, name: &'static str, value: Option<&'t V>) -> Self {
        match value {
            Some(value) => self.put(name, value),
            None => self,
        }
    }

    pub(crate) fn into_json(mut self) -> Json<'t> {
        self.0.sort_unstable_by(|(one, _), (next, _)| one.cmp(next));
        Json::Object(self.0)
    }
}

/// An object being read.
pub(crate) struct Reading<'t>(Object<'t>);

impl<'t> Reading<'t> {
    pub(crate) const fn new(object: Object<'t>) -> Self {
        Self(object)
    }

    pub(crate) fn from_json(json: Json<'t>) -> Result<Self, LogError> {
        match json {
            Json::Object(object) => Ok(Self(object)),
            other => Err(wrong(format!("{} where an object belongs", other.name()))),
        }
    }

    /// A field that must be there.
    pub(crate) fn get<V: Value>(&mut self, name: &'static str) -> Result<V, LogError> {
        self.optional(name)?
            .ok_or_else(|| wrong(format!("`{name}` is missing")))
    }

    /// A field that may be left out.
    pub(crate) fn optional<V: Value>(&mut self, name: &'static str) -> Result<Option<V>, LogError> {
        let Some(place) = self.0.iter().position(|(key, _)| key == name) else {
            return Ok(None);
        };
        let (_, json) = self.0.swap_remove(place);
        V::from_json(json)
            .map(Some)
            .map_err(|wrong| wrong.within(name))
    }

    /// Nothing may be left.
    pub(crate) fn finish(self) -> Result<(), LogError> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(wrong(format!("`{name}` does not belong here"))),
        }
    }
}

impl Value for u64 {
    fn to_json(&self) -> Json<'_> {
        Json::Number(*self)
    }

    fn from_json(json: Json<'_>) -> Result<Self, LogError> {
        match json {
            Json::Number(number) => Ok(number),
            other => Err(wrong(format!("{} where a number belongs", other.name()))),
        }
    }
}

impl Value for u32 {
    fn to_json(&self) -> Json<'_> {
        Json::Number(u64::from(*self))
    }

    fn from_json(json: Json<'_>) -> Result<Self, LogError> {
        let number = u64::from_json(json)?;
        Self::try_from(number).map_err(|_| wrong(format!("{number} is above 2^32 - 1")))
    }
}

impl Value for String {
    fn to_json(&self) -> Json<'_> {
        Json::Text(Cow::Borrowed(self))
    }

    fn from_json(json: Json<'_>) -> Result<Self, LogError> {
        match json {
            Json::Text(text) => Ok(text.into_owned()),
            other => Err(wrong(format!("{} where a text belongs", other.name()))),
        }
    }
}

impl<V: Value> Value for Vec<V> {
    fn to_json(&self) -> Json<'_> {
        Json::List(self.iter().map(Value::to_json).collect())
    }

    fn from_json(json: Json<'_>) -> Result<Self, LogError> {
        match json {
            Json::List(items) => items.into_iter().map(V::from_json).collect(),
            other => Err(wrong(format!("{} where a list belongs", other.name()))),
        }
    }
}

/// A list of exactly one.
impl<V: Value> Value for [V; 1] {
    fn to_json(&self) -> Json<'_> {
        Json::List(self.iter().map(Value::to_json).collect())
    }

    fn from_json(json: Json<'_>) -> Result<Self, LogError> {
        <[V; 1]>::try_from(Vec::<V>::from_json(json)?)
            .map_err(|items| wrong(format!("a list of {}; it must be one", items.len())))
    }
}

/// Reads a text by a function that knows its form.
pub(crate) fn parsed<V>(
    json: Json<'_>,
    form: &str,
    parse: impl Fn(&str) -> Option<V>,
) -> Result<V, LogError> {
    match json {
        Json::Text(text) => parse(&text).ok_or_else(|| wrong(format!("{text:?} is not {form}"))),
        other => Err(wrong(format!("{} where {form} belongs", other.name()))),
    }
}

macro_rules! values_of_hex {
    ($($name:ident: $form:literal,)*) => {$(
        impl Value for $name {
            fn to_json(&self) -> Json<'_> {
                Json::Text(Cow::Owned(to_hex(&self.0)))
            }

            fn from_json(json: Json<'_>) -> Result<Self, LogError> {
                parsed(json, $form, Self::from_hex)
            }
        }
    )*};
}

values_of_hex! {
    Digest384: "a SHA-384 in 96 lower-case hex digits",
    SessionHash: "a handshake hash in 64 lower-case hex digits",
    Salt: "a salt of 64 lower-case hex digits",
    BootId: "a boot id of 32 lower-case hex digits",
    RootKeyId: "the id of a root key, 32 lower-case hex digits",
}

impl Value for EvidenceDigest {
    fn to_json(&self) -> Json<'_> {
        Json::Text(Cow::Owned(to_hex(&self.0)))
    }

    fn from_json(json: Json<'_>) -> Result<Self, LogError> {
        parsed(
            json,
            "a digest of evidence in 96 lower-case hex digits",
            |text| from_hex(text).map(Self),
        )
    }
}

impl Value for PersonId {
    fn to_json(&self) -> Json<'_> {
        Json::Text(Cow::Owned(self.to_string()))
    }

    fn from_json(json: Json<'_>) -> Result<Self, LogError> {
        parsed(
            json,
            "a person (p- and 32 lower-case hex digits)",
            Self::from_text,
        )
    }
}

impl Value for Hash {
    fn to_json(&self) -> Json<'_> {
        Json::Text(Cow::Owned(self.to_base64()))
    }

    fn from_json(json: Json<'_>) -> Result<Self, LogError> {
        parsed(json, "a root hash in base64", |text| {
            Self::from_base64(text)
                .ok()
                .filter(|hash| hash.to_base64() == text)
        })
    }
}

/// An enum whose variants are texts.
macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident, $form:literal { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The text in entries.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            /// Back from the text.
            #[must_use]
            pub fn from_text(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                formatter.write_str(self.as_str())
            }
        }

        impl $crate::entry::field::Value for $name {
            fn to_json(&self) -> $crate::entry::json::Json<'_> {
                $crate::entry::json::Json::Text(self.as_str().into())
            }

            fn from_json(json: $crate::entry::json::Json<'_>) -> Result<Self, $crate::LogError> {
                $crate::entry::field::parsed(json, $form, Self::from_text)
            }
        }
    )*};
}
pub(crate) use texts;
