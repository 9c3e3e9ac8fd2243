//! The NSM as the supervisor uses it: off the event loop, counted, with the time each document took.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use narthex_nsm::{AttestationRequest, Description, Nsm, NsmError, PcrState};

/// Counts for the `nsm` action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModuleCounts {
    /// Requests made.
    pub requests: u64,
    /// Requests that failed.
    pub failures: u64,
    /// How long the last document took.
    pub document_duration: Duration,
    /// How long the slowest took.
    pub document_slowest: Duration,
    /// Documents made.
    pub documents: u64,
}

/// A shared handle to the NSM. Only the supervisor has one.
#[derive(Clone)]
pub struct Module {
    nsm: Arc<dyn Nsm>,
    /// Guards the counts, for an addition or a copy; never held over a request.
    counts: Arc<Mutex<ModuleCounts>>,
}

impl Module {
    /// Takes over `nsm`.
    pub fn new(nsm: Arc<dyn Nsm>) -> Self {
        Self {
            nsm,
            counts: Arc::default(),
        }
    }

    /// The counts since boot.
    pub fn counts(&self) -> ModuleCounts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a document. Runs on the blocking pool: the driver may take its time.
    ///
    /// # Errors
    ///
    /// [`NsmError`].
    pub async fn attest(&self, request: AttestationRequest) -> Result<Vec<u8>, NsmError> {
        self.blocking(move |module| module.attest_now(request))
            .await
    }

    /// [`Module::attest`], blocking; for boot.
    ///
    /// # Errors
    ///
    /// [`NsmError`].
    pub fn attest_now(&self, request: AttestationRequest) -> Result<Vec<u8>, NsmError> {
        let begun = Instant::now();
        let document = self.counted(|nsm| nsm.attest(request))?;
        let took = begun.elapsed();
        self.count(|counts| {
            counts.documents = counts.documents.saturating_add(1);
            counts.document_duration = took;
            counts.document_slowest = counts.document_slowest.max(took);
        });
        Ok(document)
    }

    /// What the NSM says about itself.
    ///
    /// # Errors
    ///
    /// [`NsmError`].
    pub async fn describe(&self) -> Result<Description, NsmError> {
        self.blocking(|module| module.describe_now()).await
    }

    /// [`Module::describe`], blocking; for boot.
    ///
    /// # Errors
    ///
    /// [`NsmError`].
    pub fn describe_now(&self) -> Result<Description, NsmError> {
        self.counted(|nsm| nsm.describe())
    }

    /// The registers with these numbers.
    ///
    /// # Errors
    ///
    /// [`NsmError`] of the first that fails.
    pub async fn registers(&self, indices: Vec<u16>) -> Result<Vec<(u16, PcrState)>, NsmError> {
        self.blocking(move |module| {
            indices
                .into_iter()
                .map(|index| module.register_now(index).map(|state| (index, state)))
                .collect()
        })
        .await
    }

    /// One register, blocking; for boot.
    ///
    /// # Errors
    ///
    /// [`NsmError`].
    pub fn register_now(&self, index: u16) -> Result<PcrState, NsmError> {
        self.counted(|nsm| nsm.describe_pcr(index))
    }

    /// Extends a register, blocking; for boot.
    ///
    /// # Errors
    ///
    /// [`NsmError`].
    pub fn extend_now(&self, index: u16, data: &[u8]) -> Result<Vec<u8>, NsmError> {
        self.counted(|nsm| nsm.extend_pcr(index, data))
    }

    /// Locks the registers below `range`, blocking; for boot.
    ///
    /// # Errors
    ///
    /// [`NsmError`].
    pub fn lock_below_now(&self, range: u16) -> Result<(), NsmError> {
        self.counted(|nsm| nsm.lock_pcrs(range))
    }

    async fn blocking<T, F>(&self, work: F) -> Result<T, NsmError>
    where
        T: Send + 'static,
        F: FnOnce(&Self) -> Result<T, NsmError> + Send + 'static,
    {
        let module = self.clone();
        match tokio::task::spawn_blocking(move || work(&module)).await {
            Ok(result) => result,
            // Only at shutdown, when the pool no longer runs anything.
            Err(_) => Err(NsmError::Transport(narthex_nsm::TransportError::Closed)),
        }
    }

    fn counted<T>(&self, ask: impl FnOnce(&dyn Nsm) -> Result<T, NsmError>) -> Result<T, NsmError> {
        let result = ask(&*self.nsm);
        self.count(|counts| {
            counts.requests = counts.requests.saturating_add(1);
            if result.is_err() {
                counts.failures = counts.failures.saturating_add(1);
            }
        });
        result
    }

    fn count(&self, change: impl FnOnce(&mut ModuleCounts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
