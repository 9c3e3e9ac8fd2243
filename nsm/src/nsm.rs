//! The contract of a Nitro Security Module, and the messages that go through it.

use std::collections::BTreeSet;
use std::fmt;

use crate::error::{ErrorCode, NsmError};

/// Largest request that an NSM takes, encoded (linux, drivers/misc/nsm.c).
pub const MAX_REQUEST_BYTES: usize = 0x1000;
/// Largest answer that an NSM gives, encoded (linux, drivers/misc/nsm.c).
pub const MAX_RESPONSE_BYTES: usize = 0x3000;
/// Registers of an NSM.
pub const PCR_COUNT: u16 = 32;
/// Bytes of one register: SHA-384.
pub const PCR_BYTES: usize = 48;

/// A Nitro Security Module: the hypervisor's answers to one enclave.
///
/// # Contract
///
/// - **Integrity**: the hypervisor signs documents; nothing else that comes back is authenticated.
///   Inside an enclave the device is the trust anchor. Over a socket the peer could answer
///   anything, so a socket is for development only.
/// - **Access**: whoever can reach the device can ask for documents with any content and extend any
///   open register. A program that relies on its documents must be the only one that reaches it.
/// - **Registers**: 0 to 15 are locked from boot; changing one gives
///   [`ErrorCode::ReadOnlyIndex`]. 16 to 31 start as 48 zero bytes; extending one makes it
///   `SHA384(old || data)`, and [`Nsm::lock_pcr`] makes it final. Nothing unlocks a register. From
///   32 on there is none: [`ErrorCode::InvalidIndex`].
/// - **Documents** contain the registers 0 to 15 and every other *locked* one.
/// - **Concurrency**: any number of threads may ask at once; each request is atomic, and requests
///   are answered in no particular order.
/// - **Durability**: none. Registers begin anew with the enclave.
/// - **Time**: a request can block for seconds; the Linux driver gives up after 120 s.
///
/// Implementations provide [`Nsm::exchange`]; the typed calls are built on it.
pub trait Nsm: Send + Sync {
    /// One request, one answer. An error code from the NSM is an answer: [`Response::Error`].
    ///
    /// # Errors
    ///
    /// [`NsmError::Transport`] when there was no readable answer.
    fn exchange(&self, request: &Request) -> Result<Response, NsmError>;

    /// What this NSM is.
    ///
    /// # Errors
    ///
    /// See [`NsmError`].
    fn describe(&self) -> Result<Description, NsmError> {
        match self.checked(&Request::DescribeNsm)? {
            Response::DescribeNsm(description) => Ok(description),
            _ => Err(NsmError::UnexpectedResponse),
        }
    }

    /// Value and lock of one register.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidIndex`] from 32 on; see [`NsmError`].
    fn describe_pcr(&self, index: u16) -> Result<PcrState, NsmError> {
        match self.checked(&Request::DescribePcr { index })? {
            Response::DescribePcr(state) => Ok(state),
            _ => Err(NsmError::UnexpectedResponse),
        }
    }

    /// Extends a register with `data` and returns its new value: `SHA384(old || data)`.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidIndex`] from 32 on, [`ErrorCode::ReadOnlyIndex`] when it is locked,
    /// [`ErrorCode::InputTooLarge`] when the request is; see [`NsmError`].
    fn extend_pcr(&self, index: u16, data: &[u8]) -> Result<Vec<u8>, NsmError> {
        match self.checked(&Request::ExtendPcr {
            index,
            data: data.to_vec(),
        })? {
            Response::ExtendPcr { data } => Ok(data),
            _ => Err(NsmError::UnexpectedResponse),
        }
    }

    /// Locks one register.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidIndex`] from 32 on, [`ErrorCode::ReadOnlyIndex`] when it is locked
    /// already; see [`NsmError`].
    fn lock_pcr(&self, index: u16) -> Result<(), NsmError> {
        match self.checked(&Request::LockPcr { index })? {
            Response::LockPcr => Ok(()),
            _ => Err(NsmError::UnexpectedResponse),
        }
    }

    /// Locks the registers `0..range`; those that are locked already stay so.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InvalidIndex`] when `range` is above 32; see [`NsmError`].
    fn lock_pcrs(&self, range: u16) -> Result<(), NsmError> {
        match self.checked(&Request::LockPcrs { range })? {
            Response::LockPcrs => Ok(()),
            _ => Err(NsmError::UnexpectedResponse),
        }
    }

    /// A signed attestation document.
    ///
    /// # Errors
    ///
    /// [`ErrorCode::InputTooLarge`] when the request is too large; see [`NsmError`].
    fn attest(&self, request: AttestationRequest) -> Result<Vec<u8>, NsmError> {
        match self.checked(&Request::Attestation(request))? {
            Response::Attestation { document } => Ok(document),
            _ => Err(NsmError::UnexpectedResponse),
        }
    }

    /// Random bytes: 256 of them in practice.
    ///
    /// # Errors
    ///
    /// See [`NsmError`].
    fn random(&self) -> Result<Vec<u8>, NsmError> {
        match self.checked(&Request::GetRandom)? {
            Response::GetRandom { random } => Ok(random),
            _ => Err(NsmError::UnexpectedResponse),
        }
    }

    /// [`Nsm::exchange`] with the NSM's own refusal turned into an error.
    ///
    /// # Errors
    ///
    /// See [`NsmError`].
    fn checked(&self, request: &Request) -> Result<Response, NsmError> {
        match self.exchange(request)? {
            Response::Error(code) => Err(NsmError::Code(code)),
            response => Ok(response),
        }
    }
}

impl<N: Nsm + ?Sized> Nsm for std::sync::Arc<N> {
    fn exchange(&self, request: &Request) -> Result<Response, NsmError> {
        (**self).exchange(request)
    }
}

impl<N: Nsm + ?Sized> Nsm for Box<N> {
    fn exchange(&self, request: &Request) -> Result<Response, NsmError> {
        (**self).exchange(request)
    }
}

/// What an attestation document is to carry. Absent fields become `null` in it.
///
/// The specification allows 1024 bytes for each field, and verifiers refuse more. The NSM itself
/// does not check: it signs whatever fits into a request of [`MAX_REQUEST_BYTES`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttestationRequest {
    /// Up to 1024 bytes of the caller's choice.
    pub user_data: Option<Vec<u8>>,
    /// Up to 1024 bytes of the caller's choice.
    pub nonce: Option<Vec<u8>>,
    /// Up to 1024 bytes of the caller's choice; meant for a public key.
    pub public_key: Option<Vec<u8>>,
}

/// The seven requests of an NSM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Value and lock of the register `index`.
    DescribePcr {
        /// 0 to 31.
        index: u16,
    },
    /// Extends the register `index`.
    ExtendPcr {
        /// 16 to 31.
        index: u16,
        /// What to extend it with.
        data: Vec<u8>,
    },
    /// Locks the register `index`.
    LockPcr {
        /// 16 to 31.
        index: u16,
    },
    /// Locks the registers `0..range`.
    LockPcrs {
        /// 0 to 32.
        range: u16,
    },
    /// What this NSM is.
    DescribeNsm,
    /// A signed document.
    Attestation(AttestationRequest),
    /// Random bytes.
    GetRandom,
}

/// The answers of an NSM. Their debug text shows sizes in place of bytes: random bytes become keys.
#[derive(Clone, PartialEq, Eq)]
pub enum Response {
    /// To [`Request::DescribePcr`].
    DescribePcr(PcrState),
    /// To [`Request::ExtendPcr`].
    ExtendPcr {
        /// The new value of the register.
        data: Vec<u8>,
    },
    /// To [`Request::LockPcr`].
    LockPcr,
    /// To [`Request::LockPcrs`].
    LockPcrs,
    /// To [`Request::DescribeNsm`].
    DescribeNsm(Description),
    /// To [`Request::Attestation`].
    Attestation {
        /// The document: COSE_Sign1.
        document: Vec<u8>,
    },
    /// To [`Request::GetRandom`].
    GetRandom {
        /// Random bytes.
        random: Vec<u8>,
    },
    /// The NSM refused or failed.
    Error(ErrorCode),
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DescribePcr(state) => f.debug_tuple("DescribePcr").field(state).finish(),
            Self::ExtendPcr { data } => write!(f, "ExtendPcr({} bytes)", data.len()),
            Self::LockPcr => write!(f, "LockPcr"),
            Self::LockPcrs => write!(f, "LockPcrs"),
            Self::DescribeNsm(description) => {
                f.debug_tuple("DescribeNsm").field(description).finish()
            }
            Self::Attestation { document } => write!(f, "Attestation({} bytes)", document.len()),
            Self::GetRandom { random } => write!(f, "GetRandom({} bytes)", random.len()),
            Self::Error(code) => f.debug_tuple("Error").field(code).finish(),
        }
    }
}

/// Value and lock of one register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcrState {
    /// Whether it can no longer change.
    pub locked: bool,
    /// Its value, [`PCR_BYTES`] long.
    pub data: Vec<u8>,
}

/// What an NSM says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Rises with breaking changes.
    pub version_major: u16,
    /// Rises with additions.
    pub version_minor: u16,
    /// Rises with repairs.
    pub version_patch: u16,
    /// Identifies this NSM, and so this enclave: `<instance id>-enc<16 hexadecimal digits>`.
    pub module_id: String,
    /// Number of registers: [`PCR_COUNT`].
    pub max_pcrs: u16,
    /// The registers that can no longer change.
    pub locked_pcrs: BTreeSet<u16>,
    /// The digest that registers are extended with.
    pub digest: DigestAlgorithm,
}

/// Digest of the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384: what every NSM uses so far.
    Sha384,
    /// SHA-512.
    Sha512,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_text_holds_no_random_bytes() {
        let response = Response::GetRandom {
            random: vec![0xab; 256],
        };
        assert_eq!(format!("{response:?}"), "GetRandom(256 bytes)");
    }
}
