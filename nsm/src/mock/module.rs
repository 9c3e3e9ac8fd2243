//! The mock itself: seven requests over one state.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::config::{MockConfig, PayloadForm};
use super::fault::{Fault, Faults, Misbehaviour, RequestKind};
use super::issuer::Issuer;
use super::mint::{ContainerForm, DevelopmentAuthority, PayloadRecipe};
use super::registers::Registers;
use super::seal::seal;
use super::server::Service;
use crate::error::{ErrorCode, NsmError, TransportError};
use crate::nsm::{
    AttestationRequest, Description, DigestAlgorithm, MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, Nsm,
    PCR_COUNT, PcrState, Request, Response,
};
use crate::time::UnixMillis;
use crate::wire::{WireError, decode_request, encode_request, encode_response};

/// What GetRandom gives in practice.
const RANDOM_BYTES: usize = 256;

/// A Nitro Security Module in memory. Cheap to ask, safe to share between threads.
#[derive(Debug)]
pub struct MockNsm {
    authority: DevelopmentAuthority,
    config: MockConfig,
    /// Guards registers, chain and faults for the length of one request, without its delay.
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    registers: Registers,
    issuer: Issuer,
    faults: Faults,
}

/// What comes back from the mock: usually an answer.
enum Outcome {
    Answered(Response),
    /// This answer, but cut in half on its way.
    CutInHalf(Response),
}

impl MockNsm {
    /// A freshly started enclave's NSM.
    #[must_use]
    pub fn new(authority: DevelopmentAuthority, config: MockConfig) -> Self {
        let registers = Registers::at_boot(&config);
        let state = State {
            registers,
            issuer: Issuer::default(),
            faults: Faults::default(),
        };
        Self {
            authority,
            config,
            state: Mutex::new(state),
        }
    }

    /// The authority whose root a verifier must be given to accept this mock.
    #[must_use]
    pub fn authority(&self) -> &DevelopmentAuthority {
        &self.authority
    }

    /// The enclave that this mock speaks for.
    #[must_use]
    pub fn config(&self) -> &MockConfig {
        &self.config
    }

    /// Adds a fault to those that are waiting.
    pub fn inject(&self, fault: Fault) {
        self.lock_state().faults.add(fault);
    }

    /// Behaves again.
    pub fn clear_faults(&self) {
        self.lock_state().faults.clear();
    }

    /// Starts the enclave anew: registers as at boot, and a new leaf with the next document.
    pub fn restart(&self) {
        let mut state = self.lock_state();
        state.registers = Registers::at_boot(&self.config);
        state.issuer = Issuer::default();
    }

    /// One request to one answer, as bytes. This is what the socket serves; the bytes may be
    /// anybody's, and whatever they are, there is an answer and no panic.
    ///
    /// Bytes that are no request are answered as the device answers them: too many with
    /// `InputTooLarge`, unreadable or unknown ones with `InvalidOperation`, wrong fields with
    /// `InvalidArgument`.
    #[must_use]
    pub fn exchange_bytes(&self, request: &[u8]) -> Vec<u8> {
        let outcome = match decode_request(request) {
            Ok(request) => self.answer(&request),
            Err(error) => Outcome::Answered(Response::Error(wire_error_code(error))),
        };
        match outcome {
            Outcome::Answered(response) => encode_within_limit(&response),
            Outcome::CutInHalf(response) => {
                let mut bytes = encode_within_limit(&response);
                bytes.truncate(bytes.len() / 2);
                bytes
            }
        }
    }

    fn answer(&self, request: &Request) -> Outcome {
        let misbehaviour = self.lock_state().faults.meet(RequestKind::of(request));
        if !misbehaviour.delay.is_zero() {
            thread::sleep(misbehaviour.delay);
        }
        let response = match misbehaviour.answer {
            Some(code) => Response::Error(code),
            None => self
                .carry_out(request, &misbehaviour)
                .unwrap_or_else(Response::Error),
        };
        if misbehaviour.malformed {
            Outcome::CutInHalf(response)
        } else {
            Outcome::Answered(response)
        }
    }

    fn carry_out(
        &self,
        request: &Request,
        misbehaviour: &Misbehaviour,
    ) -> Result<Response, ErrorCode> {
        let mut state = self.lock_state();
        match request {
            Request::DescribePcr { index } => {
                let register = state.registers.describe(*index)?;
                let data = register.value.to_vec();
                Ok(Response::DescribePcr(PcrState {
                    locked: register.locked,
                    data,
                }))
            }
            Request::ExtendPcr { index, data } => {
                let data = state.registers.extend(*index, data)?.to_vec();
                Ok(Response::ExtendPcr { data })
            }
            Request::LockPcr { index } => state.registers.lock(*index).map(|()| Response::LockPcr),
            Request::LockPcrs { range } => state
                .registers
                .lock_range(*range)
                .map(|()| Response::LockPcrs),
            Request::DescribeNsm => Ok(Response::DescribeNsm(self.description(&state.registers))),
            Request::Attestation(request) => Ok(Response::Attestation {
                document: self.document(&mut state, request, misbehaviour),
            }),
            Request::GetRandom => random(),
        }
    }

    fn description(&self, registers: &Registers) -> Description {
        Description {
            version_major: 1,
            version_minor: 0,
            version_patch: 0,
            module_id: self.config.identity.module_id(),
            max_pcrs: PCR_COUNT,
            locked_pcrs: registers.locked().map(|(index, _)| index).collect(),
            digest: DigestAlgorithm::Sha384,
        }
    }

    fn document(
        &self,
        state: &mut State,
        request: &AttestationRequest,
        misbehaviour: &Misbehaviour,
    ) -> Vec<u8> {
        let now = self
            .config
            .clock
            .now()
            .0
            .saturating_add_signed(misbehaviour.clock_shift_millis);
        let now = UnixMillis(now);
        let chain = state
            .issuer
            .chain(&self.authority, &self.config.identity, now);
        let AttestationRequest {
            user_data,
            nonce,
            public_key,
        } = request.clone();
        let mut payload = PayloadRecipe::new(&self.config.identity, now);
        payload.pcrs.clear();
        for (index, value) in state.registers.locked() {
            payload.set_pcr(u64::from(index), value);
        }
        payload.form = match self.config.payload_form {
            PayloadForm::Indefinite => ContainerForm::Indefinite,
            PayloadForm::Definite => ContainerForm::Definite,
        };
        payload.user_data = user_data;
        payload.nonce = nonce;
        payload.public_key = public_key;
        seal(&payload, chain, misbehaviour)
    }

    /// A thread that panicked while it held the lock left nothing half done: each change of the
    /// state is one assignment.
    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service for MockNsm {
    fn max_request_bytes(&self) -> usize {
        MAX_REQUEST_BYTES
    }

    fn answer(&self, request: &[u8]) -> Vec<u8> {
        self.exchange_bytes(request)
    }

    fn answer_too_large(&self) -> Vec<u8> {
        encode_response(&Response::Error(ErrorCode::InputTooLarge))
    }
}

impl Nsm for MockNsm {
    /// In this process nothing needs encoding; limits are those of the encoded request anyway.
    fn exchange(&self, request: &Request) -> Result<Response, NsmError> {
        if encode_request(request).len() > MAX_REQUEST_BYTES {
            return Ok(Response::Error(ErrorCode::InputTooLarge));
        }
        match self.answer(request) {
            Outcome::Answered(response) => Ok(response),
            Outcome::CutInHalf(_) => Err(TransportError::Malformed.into()),
        }
    }
}

fn random() -> Result<Response, ErrorCode> {
    let mut random = vec![0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(|_| ErrorCode::InternalError)?;
    Ok(Response::GetRandom { random })
}

fn wire_error_code(error: WireError) -> ErrorCode {
    match error {
        WireError::TooLarge => ErrorCode::InputTooLarge,
        WireError::Malformed | WireError::UnknownOperation => ErrorCode::InvalidOperation,
        WireError::InvalidField => ErrorCode::InvalidArgument,
    }
}

/// The device's buffer is the limit. The largest document, with 32 registers and a request full of
/// user data, has about 10,000 bytes and fits.
fn encode_within_limit(response: &Response) -> Vec<u8> {
    let bytes = encode_response(response);
    if bytes.len() > MAX_RESPONSE_BYTES {
        return encode_response(&Response::Error(ErrorCode::BufferTooSmall));
    }
    bytes
}

#[cfg(test)]
mod tests;
