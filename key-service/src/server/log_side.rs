//! The log's part of the running program: showing it to the witnesses, and to readers.

use std::{collections::BTreeMap, sync::Arc};

use narthex_channel::Address;
use narthex_ledger::tokio::{HttpAddress, HttpListener, ListenAddress, LogServer, ServeLimits};
use tokio::sync::watch;

use super::StartError;
use crate::{
    config::Config,
    log::{Cosigner, PolicyGate},
    service::Service,
};

/// What was started and does not run yet.
pub(super) struct LogSide {
    pub(super) cosigner: Cosigner,
    pub(super) listeners: Vec<HttpListener>,
}

impl LogSide {
    /// Listens for readers, and shows the log as it is to every witness before anything is added to it.
    ///
    /// # Errors
    ///
    /// [`StartError::Log`] when a witness saw more, or something else.
    pub(super) async fn start(config: &Config, service: &Arc<Service>) -> Result<Self, StartError> {
        let witnesses = witnesses(config)?;
        let mut listeners = Vec::with_capacity(config.listen.log.len());
        for text in &config.listen.log {
            let address: ListenAddress = text
                .parse()
                .map_err(|error| StartError::LogAddress(text.clone(), error))?;
            let listener = HttpListener::bind(&address)
                .await
                .map_err(|error| StartError::ListenLog(text.clone(), error))?;
            if let Ok(address) = listener.local_address() {
                tracing::info!(purpose = "log", %address, "listening");
            }
            listeners.push(listener);
        }
        warn_about_strangers(config, service);
        let mut cosigner =
            Cosigner::new(Arc::clone(service), &witnesses).map_err(StartError::Trust)?;
        if !cosigner.confirm().await.map_err(StartError::Log)? {
            tracing::warn!(
                missing = service.missing_witnesses().join("; "),
                "the witnesses have not confirmed that this log is whole; until they do, nothing is added to it"
            );
        }
        Ok(Self {
            cosigner,
            listeners,
        })
    }

    pub(super) fn addresses(&self) -> Vec<Address> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_address().ok())
            .filter_map(|address| address.to_string().parse().ok())
            .collect()
    }
}

/// A name that is written otherwise than in the bundle would go unnoticed until the quorum is missing.
fn warn_about_strangers(config: &Config, service: &Service) {
    let lineage = service.lineage.get();
    let known = lineage.ledger().map_or(&[][..], |ledger| &ledger.witnesses);
    for name in config.ledger.witnesses.keys() {
        if !known.iter().any(|witness| witness.name() == name) {
            tracing::warn!(
                witness = name,
                "[ledger.witnesses] has an address of a witness that the bundle in force does not name"
            );
        }
    }
}

fn witnesses(config: &Config) -> Result<BTreeMap<String, HttpAddress>, StartError> {
    let parse = |(name, text): (&String, &String)| match text.parse() {
        Ok(address) => Ok((name.clone(), address)),
        Err(error) => Err(StartError::LogAddress(text.clone(), error)),
    };
    config.ledger.witnesses.iter().map(parse).collect()
}

/// Serves the log to those whom the bundle in force names.
pub(super) async fn serve_readers(
    service: Arc<Service>,
    listeners: Vec<HttpListener>,
    mut stopped: watch::Receiver<()>,
) {
    if listeners.is_empty() {
        return;
    }
    let store = Arc::new(service.log.read_side(service.store.clone()));
    let gate = Arc::new(PolicyGate(service));
    // The sender is dropped to stop: then `changed` ends with an error.
    let stop = async move { while stopped.changed().await.is_ok() {} };
    LogServer::new(store, gate, ServeLimits::default())
        .serve(listeners, stop)
        .await;
}
