//! Rotating the root key while serving. It may be cut off at any moment:
//!
//! 1. A new key is added to the root key file, which is replaced whole and synced. Cut off here, the file holds a
//!    key that nothing uses; the next rotation takes it.
//! 2. One transaction records the order and puts the new key to use. Cut off here, or later, the database says
//!    which key is in use, rows name the key they are under, and both keys are in the file.
//! 3. Rows are wrapped again in small steps between other work; what is left at a start is done then.
//!
//! The old key stays in the file until somebody says `root-key forget`: older backups need it.

use std::sync::Arc;

use super::{Call, Outcomes, body::Done, flatten};
use crate::{
    reason::Reason,
    refusal::Refusal,
    root_key::{RootKey, RootKeyError, RootKeyId, RootKeys},
    service::Service,
    storage::{KeyReference, Store, StoreError},
};

/// Rows in one step: a few milliseconds at the writer.
const STEP_ROWS: u32 = 64;

impl Service {
    pub(crate) async fn rotate_root_key(self: &Arc<Self>, call: Call) -> Outcomes {
        let order = call.order;
        let (used, previous) = self
            .store
            .write(move |writing| Ok((writing.order_is_used(&order), writing.root_key())))
            .await
            .map_err(|error| Refusal::from(&error))?;
        if used {
            return Err(narthex_policy::Reason::OrderReused.into());
        }
        let path = self.root_key_file.clone();
        let key = tokio::task::spawn_blocking(move || add_key(&path, previous))
            .await
            .map_err(|_| Reason::ServiceInternal)?
            .map_err(|error| {
                tracing::error!(id = error.id(), error = %error, "the root key file could not be changed");
                Reason::StorageRootKeyFile
            })?;
        let id = key.id();
        let operation = call.operation;
        let recorded = self
            .store
            .write(move |writing| {
                writing.activate_root_key(&key)?;
                writing.record(call.record_root_key(id))
            })
            .await;
        let recorded = match recorded {
            Ok(recorded) => recorded,
            Err(error) => return flatten(Err(error)),
        };
        // The key is in use, whatever happens to the rest, which the next start does.
        let Rewrapped { rows, left } = rewrap_all(&self.store)
            .await
            .map_err(|error| Refusal::from(&error))?;
        Ok(Done::new(operation, Some(recorded))
            .with("root_key", id.to_string().into())
            .with("previous_root_key", previous.to_string().into())
            .with("rows", rows.into())
            .with("left", left.into()))
    }
}

/// What a rotation did.
pub(crate) struct Rewrapped {
    /// Rows that are under the new key.
    pub(crate) rows: u32,
    /// Altered rows that stayed as they were.
    pub(crate) left: u32,
}

/// Wraps every row again that is not under the key in use, in small steps.
pub(crate) async fn rewrap_all(store: &Store) -> Result<Rewrapped, StoreError> {
    let mut done = Rewrapped { rows: 0, left: 0 };
    let mut after: Option<KeyReference> = None;
    loop {
        let step = store
            .write(move |writing| writing.rewrap_some(after.as_ref(), STEP_ROWS))
            .await?;
        done.rows += step.rewrapped;
        done.left += step.left;
        match step.last {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    done.rows += store
        .write(|writing| writing.reauthenticate_policy_files())
        .await?;
    Ok(done)
}

/// The newest key of the file if nothing uses it yet, a new one otherwise.
fn add_key(path: &std::path::Path, active: RootKeyId) -> Result<RootKey, RootKeyError> {
    let mut keys = RootKeys::load(path)?;
    if let Some(newest) = keys.iter().last()
        && newest.id() != active
    {
        return Ok(newest.clone());
    }
    let key = RootKey::generate()?;
    keys.add_newest(key.clone())?;
    keys.replace(path)?;
    Ok(key)
}
