//! One unsigned document to one signed one.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::unsigned::{MAX_UNSIGNED_BYTES, UnsignedDocument, UnsignedDocumentError};
use crate::error::ErrorCode;
use crate::mock::clock::Clock;
use crate::mock::fault::{Fault, Faults, Misbehaviour, RequestKind};
use crate::mock::issuer::Issuer;
use crate::mock::mint::{DevelopmentAuthority, Identity, PayloadRecipe};
use crate::mock::seal::seal;
use crate::mock::server::Service;
use crate::time::UnixMillis;

/// Signs the documents of one machine after another under a development root.
pub struct MachineSigner {
    authority: DevelopmentAuthority,
    clock: Box<dyn Clock>,
    /// Hears of every document that was not signed, while the machine hears only that it failed.
    on_refusal: Box<dyn Fn(&SignError) + Send + Sync>,
    /// Guards chain and faults for the length of one document, without its delay.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The machine that the issuer's chain speaks for: another one gets another chain.
    identity: Option<Identity>,
    issuer: Issuer,
    faults: Faults,
    last_millis: u64,
}

/// Why there is no signed document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignError {
    /// It is no unsigned document of a machine.
    Unreadable(UnsignedDocumentError),
    /// A test asked for this error.
    Injected(ErrorCode),
}

impl MachineSigner {
    /// A signer that takes the time of its documents from `clock`.
    ///
    /// Not from the machine: QEMU knows whole seconds only, and documents made within one second
    /// would all have the same time, where AWS's differ.
    #[must_use]
    pub fn new(authority: DevelopmentAuthority, clock: impl Clock + 'static) -> Self {
        Self {
            authority,
            clock: Box::new(clock),
            on_refusal: Box::new(|_| {}),
            state: Mutex::default(),
        }
    }

    /// Tells `hear` why a document that came over the socket was not signed.
    #[must_use]
    pub fn on_refusal(mut self, hear: impl Fn(&SignError) + Send + Sync + 'static) -> Self {
        self.on_refusal = Box::new(hear);
        self
    }

    /// The authority whose root a verifier must be given to accept these documents.
    #[must_use]
    pub fn authority(&self) -> &DevelopmentAuthority {
        &self.authority
    }

    /// Adds a fault to those that are waiting. Only those for attestation ever happen here.
    pub fn inject(&self, fault: Fault) {
        self.lock_state().faults.add(fault);
    }

    /// The document that AWS's hypervisor would have made: same registers, module id, public key,
    /// user data and nonce, a chain that ends at the development root, and the time of the signer's
    /// clock in milliseconds, which never goes back from one document to the next (a fault of the
    /// clock excepted). With 32 registers and full fields it has about 8,500 bytes, which fit into
    /// the NSM's answer.
    ///
    /// # Errors
    ///
    /// See [`SignError`].
    pub fn sign(&self, unsigned: &[u8]) -> Result<Vec<u8>, SignError> {
        let misbehaviour = self.lock_state().faults.meet(RequestKind::Attestation);
        if !misbehaviour.delay.is_zero() {
            thread::sleep(misbehaviour.delay);
        }
        if let Some(code) = misbehaviour.answer {
            return Err(SignError::Injected(code));
        }
        let unsigned = UnsignedDocument::parse(unsigned).map_err(SignError::Unreadable)?;
        let mut document = self.mint(unsigned, &misbehaviour);
        if misbehaviour.malformed {
            document.truncate(document.len() / 2);
        }
        Ok(document)
    }

    fn mint(&self, unsigned: UnsignedDocument, misbehaviour: &Misbehaviour) -> Vec<u8> {
        // Destructured, so that a new field does not compile until it is carried over.
        let UnsignedDocument {
            identity,
            timestamp: _,
            pcrs,
            public_key,
            user_data,
            nonce,
        } = unsigned;
        let mut state = self.lock_state();
        state.last_millis = state.last_millis.max(self.clock.now().0);
        let now = UnixMillis(
            state
                .last_millis
                .saturating_add_signed(misbehaviour.clock_shift_millis),
        );
        if state.identity.as_ref() != Some(&identity) {
            state.issuer = Issuer::default();
            state.identity = Some(identity.clone());
        }
        let mut payload = PayloadRecipe::new(&identity, now);
        payload.pcrs.clear();
        for (index, value) in &pcrs {
            payload.set_pcr(u64::from(*index), value);
        }
        payload.public_key = public_key;
        payload.user_data = user_data;
        payload.nonce = nonce;
        let chain = state.issuer.chain(&self.authority, &identity, now);
        seal(&payload, chain, misbehaviour)
    }

    /// A thread that panicked while it held the lock left nothing half done: each change of the
    /// state is one assignment.
    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An empty answer is a refusal; QEMU makes `InternalError` of it.
impl Service for MachineSigner {
    fn max_request_bytes(&self) -> usize {
        MAX_UNSIGNED_BYTES
    }

    fn answer(&self, request: &[u8]) -> Vec<u8> {
        self.sign(request).unwrap_or_else(|error| {
            (self.on_refusal)(&error);
            Vec::new()
        })
    }

    fn answer_too_large(&self) -> Vec<u8> {
        Vec::new()
    }
}

impl fmt::Debug for MachineSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineSigner").finish_non_exhaustive()
    }
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => error.fmt(f),
            Self::Injected(code) => write!(f, "a test asked for {code:?}"),
        }
    }
}

impl std::error::Error for SignError {}

#[cfg(test)]
mod tests;
