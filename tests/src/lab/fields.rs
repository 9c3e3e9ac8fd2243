//! What an answer says in one of its fields.

use narthex_channel::diagnostics::{FieldName, ResultBody, State, Value};

/// The state in this field; `None` when there is none.
#[must_use]
pub fn state(body: &ResultBody, name: FieldName) -> Option<State> {
    match body.value(name) {
        Some(Value::State(state)) => Some(state),
        _ => None,
    }
}

/// The count in this field; `None` when there is none.
#[must_use]
pub fn count(body: &ResultBody, name: FieldName) -> Option<u64> {
    match body.value(name) {
        Some(Value::Count(count)) => Some(count),
        _ => None,
    }
}

/// The count in this field, which must be there.
#[must_use]
pub fn stated_count(body: &ResultBody, name: FieldName) -> u64 {
    count(body, name).unwrap_or_else(|| panic!("no count in {name:?}: {body:#?}"))
}
