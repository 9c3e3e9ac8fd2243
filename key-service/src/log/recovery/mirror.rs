//! Where the entries come from: a folder that `narthex log mirror` keeps, or a server of one.

use narthex_ledger::{
    Folder, LogStore,
    tokio::{ClientLimits, HttpLog},
};

use super::RecoveryError;

/// Opens a mirror by its address: `http://…`, `unix:PATH`, or a folder.
///
/// # Errors
///
/// [`RecoveryError::Address`], [`RecoveryError::Mirror`].
pub(super) fn open(address: &str) -> Result<Box<dyn LogStore>, RecoveryError> {
    let is_server = ["http://", "https://", "unix:"]
        .iter()
        .any(|scheme| address.starts_with(scheme));
    if !is_server {
        return Ok(Box::new(Folder::open(address)?));
    }
    let parsed = address
        .parse()
        .map_err(|error| RecoveryError::Address(format!("{address}: {error}")))?;
    Ok(Box::new(HttpLog::new(
        parsed,
        None,
        ClientLimits::default(),
    )?))
}
