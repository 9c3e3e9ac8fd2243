//! What an action returns: fields with values of closed types.

use super::{Action, FieldName, State};
use crate::closed::closed;
use crate::codec::{MessageError, Reader, Writer};
use crate::digest::Digest384;
use crate::limits::MAX_FIELDS;
use crate::name::{DeclaredName, KeyName};
use crate::time::UnixMillis;

/// The result of one action.
///
/// ```text
/// [action: uint, log_check: uint, [* field]]
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ResultBody {
    /// The action that was done.
    pub action: Action,
    /// Whether the log was checked before.
    pub log_check: LogCheck,
    /// What it found, in the order in which to show it. A field may stand once for each selector.
    pub fields: Vec<Field>,
}

/// One value and what it is about.
///
/// ```text
/// [name: uint, selector: null / uint / [0, declared: tstr] / [1, key: tstr],
///  kind: uint, value]
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Field {
    /// What the value is about.
    pub name: FieldName,
    /// Which one, where there are several.
    pub selector: Selector,
    /// The value.
    pub value: Value,
}

impl Field {
    /// A field of which there is one.
    #[must_use]
    pub const fn single(name: FieldName, value: Value) -> Self {
        Self {
            name,
            selector: Selector::Single,
            value,
        }
    }

    /// A field of which there are several, by number.
    #[must_use]
    pub const fn indexed(name: FieldName, index: u16, value: Value) -> Self {
        Self {
            name,
            selector: Selector::Index(index),
            value,
        }
    }
}

/// Which one a field is about, where there are several.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Selector {
    /// There is one.
    Single,
    /// A number, such as that of a PCR.
    Index(u16),
    /// A name from measured configuration.
    Declared(DeclaredName),
    /// A key's name from policy and measured configuration.
    Key(KeyName),
}

/// A value. There is no variant for text or bytes, and there must never be one: this enum is the
/// reason why diagnostics cannot leak content.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A number of things.
    Count(u64),
    /// A number of bytes.
    Bytes(u64),
    /// Milliseconds.
    Duration(u64),
    /// Parts per million; 1,000,000 is one.
    Ratio(u32),
    /// Yes or no.
    Flag(bool),
    /// One of a closed list.
    State(State),
    /// A SHA-384 digest.
    Digest(Digest384),
    /// A time.
    Time(UnixMillis),
}

closed! {
    /// Whether the log is checked before anything is done.
    pub enum LogCheck {
        /// The log is checked: an order that is not in it is refused.
        Required = 0, "required";
        /// The configuration says `insecure_without_ledger = true`: the three checks that need
        /// the log are skipped (bundles, orders, keys).
        InsecureWithoutLedger = 1, "insecure-without-ledger";
    }
}

impl ResultBody {
    pub(super) fn write(&self, writer: &mut Writer) -> Result<(), MessageError> {
        let Self {
            action,
            log_check,
            fields,
        } = self;
        writer.array(3);
        writer.number(action.code());
        writer.number(log_check.code());
        writer.list("fields", fields.len(), MAX_FIELDS)?;
        for field in fields {
            field.write(writer);
        }
        refuse_duplicates(fields)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.array("result", 3)?;
        let action = reader.code("action", Action::from_code)?;
        let log_check = reader.code("log check", LogCheck::from_code)?;
        let fields = reader.list("fields", MAX_FIELDS)?;
        let fields = (0..fields)
            .map(|_| Field::read(reader))
            .collect::<Result<Vec<_>, _>>()?;
        refuse_duplicates(&fields)?;
        Ok(Self {
            action,
            log_check,
            fields,
        })
    }

    /// The first value of the field with this name, whatever its selector.
    #[must_use]
    pub fn value(&self, name: FieldName) -> Option<Value> {
        self.fields
            .iter()
            .find(|field| field.name == name)
            .map(|field| field.value)
    }
}

fn refuse_duplicates(fields: &[Field]) -> Result<(), MessageError> {
    let mut seen = std::collections::HashSet::with_capacity(fields.len());
    if fields
        .iter()
        .all(|field| seen.insert((field.name, &field.selector)))
    {
        Ok(())
    } else {
        Err(MessageError::Duplicate { part: "fields" })
    }
}

impl Field {
    fn write(&self, writer: &mut Writer) {
        let Self {
            name,
            selector,
            value,
        } = self;
        writer.array(4);
        writer.number(name.code());
        match selector {
            Selector::Single => writer.null(),
            Selector::Index(index) => writer.number(*index),
            Selector::Declared(declared) => write_named(writer, 0, declared.as_str()),
            Selector::Key(key) => write_named(writer, 1, key.as_str()),
        }
        match value {
            Value::Count(count) => write_number(writer, 0, *count),
            Value::Bytes(bytes) => write_number(writer, 1, *bytes),
            Value::Duration(millis) => write_number(writer, 2, *millis),
            Value::Ratio(parts_per_million) => {
                write_number(writer, 3, u64::from(*parts_per_million));
            }
            Value::Flag(flag) => {
                writer.number(4_u8);
                writer.flag(*flag);
            }
            Value::State(state) => write_number(writer, 5, u64::from(state.code())),
            Value::Digest(digest) => {
                writer.number(6_u8);
                writer.fixed(digest.as_ref());
            }
            Value::Time(time) => write_number(writer, 7, time.0),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.array("field", 4)?;
        let name = reader.code("field name", FieldName::from_code)?;
        let selector = Selector::read(reader)?;
        let value = match reader.u64("value")? {
            0 => Value::Count(reader.u64("value")?),
            1 => Value::Bytes(reader.u64("value")?),
            2 => Value::Duration(reader.u64("value")?),
            3 => Value::Ratio(reader.u32("value")?),
            4 => Value::Flag(reader.flag("value")?),
            5 => Value::State(reader.code("state", State::from_code)?),
            6 => Value::Digest(reader.digest("value")?),
            7 => Value::Time(UnixMillis(reader.u64("value")?)),
            code => {
                return Err(MessageError::UnknownCode {
                    part: "value",
                    code,
                });
            }
        };
        Ok(Self {
            name,
            selector,
            value,
        })
    }
}

impl Selector {
    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        if reader.next_is_array() {
            reader.array("selector", 2)?;
            return match reader.u64("selector")? {
                0 => Ok(Self::Declared(DeclaredName::new(
                    reader.text(DeclaredName::PART)?,
                )?)),
                1 => Ok(Self::Key(KeyName::new(reader.text(KeyName::PART)?)?)),
                code => Err(MessageError::UnknownCode {
                    part: "selector",
                    code,
                }),
            };
        }
        let index = reader.optional("selector", |reader| reader.u16("selector"))?;
        Ok(index.map_or(Self::Single, Self::Index))
    }
}

fn write_named(writer: &mut Writer, kind: u8, name: &str) {
    writer.array(2);
    writer.number(kind);
    writer.text(name);
}

fn write_number(writer: &mut Writer, kind: u8, number: u64) {
    writer.number(kind);
    writer.number(number);
}
