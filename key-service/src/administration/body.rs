//! The JSON of an answer, as `docs/administration.md` states it.

use serde_json::{Map, Value, json};

use crate::storage::{KeyVersion, Recorded};

/// A call that was carried out.
pub(crate) struct Done {
    /// The operation's name.
    pub(crate) operation: &'static str,
    /// Its entry, if it made one.
    pub(crate) recorded: Option<Recorded>,
    /// What else the body says.
    pub(crate) members: Map<String, Value>,
}

impl Done {
    pub(crate) fn new(operation: &'static str, recorded: Option<Recorded>) -> Self {
        Self {
            operation,
            recorded,
            members: Map::new(),
        }
    }

    pub(crate) fn with(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        let mut body = self.members.clone();
        body.insert("operation".to_owned(), self.operation.into());
        let entry = self.recorded.as_ref().map_or(Value::Null, |recorded| {
            json!({
                "epoch": recorded.epoch,
                "index": recorded.index,
                "hash": recorded.hash.to_string(),
            })
        });
        body.insert("entry".to_owned(), entry);
        Value::Object(body).to_string().into_bytes()
    }
}

/// A key version as every body speaks about it.
pub(crate) fn key_version(key: &KeyVersion) -> Value {
    let KeyVersion {
        reference,
        state,
        origin,
        shares,
        bytes,
        commitment,
        created,
        changed,
        entry: _,
    } = key;
    json!({
        "name": reference.name,
        "version": reference.version,
        "state": state,
        "origin": origin,
        "shares": shares,
        "commitment": commitment.to_string(),
        "created": created.to_rfc3339(),
        "changed": changed.to_rfc3339(),
        "bytes": bytes,
    })
}
