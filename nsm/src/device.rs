//! `/dev/nsm`, through AWS's own crate.
//!
//! The only place where `serde_cbor` runs: it is unmaintained (RUSTSEC-2021-0127), and here it reads
//! the hypervisor's answers and nothing else.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd as _;

use aws_nitro_enclaves_nsm_api::api;
use aws_nitro_enclaves_nsm_api::driver::nsm_process_request;

use crate::error::{ErrorCode, NsmError, TransportError};
use crate::nsm::{
    AttestationRequest, Description, DigestAlgorithm, Nsm, PcrState, Request, Response,
};

/// Where Linux puts the device (drivers/misc/nsm.c, since 6.8; AWS's module before).
pub const DEVICE_PATH: &str = "/dev/nsm";

/// The enclave's own NSM.
///
/// Failures inside the driver come back as [`ErrorCode::InternalError`], as AWS's crate reports
/// them; only opening the device can fail as [`TransportError::Open`].
#[derive(Debug)]
pub struct NsmDevice {
    file: File,
}

impl NsmDevice {
    /// Opens [`DEVICE_PATH`].
    ///
    /// # Errors
    ///
    /// [`TransportError::Open`] when there is no device or no permission.
    pub fn open() -> Result<Self, NsmError> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(DEVICE_PATH)
            .map(Self::from_file)
            .map_err(|error| TransportError::Open(error.kind()).into())
    }

    /// Takes over an open device: for a process that opens it before it gives up its rights.
    #[must_use]
    pub fn from_file(file: File) -> Self {
        Self { file }
    }
}

impl Nsm for NsmDevice {
    fn exchange(&self, request: &Request) -> Result<Response, NsmError> {
        response_from_aws(nsm_process_request(
            self.file.as_raw_fd(),
            request_to_aws(request),
        ))
    }
}

/// Their request for ours.
pub(crate) fn request_to_aws(request: &Request) -> api::Request {
    match request {
        Request::DescribePcr { index } => api::Request::DescribePCR { index: *index },
        Request::ExtendPcr { index, data } => api::Request::ExtendPCR {
            index: *index,
            data: data.clone(),
        },
        Request::LockPcr { index } => api::Request::LockPCR { index: *index },
        Request::LockPcrs { range } => api::Request::LockPCRs { range: *range },
        Request::DescribeNsm => api::Request::DescribeNSM,
        Request::Attestation(AttestationRequest {
            user_data,
            nonce,
            public_key,
        }) => api::Request::Attestation {
            user_data: user_data.clone().map(Into::into),
            nonce: nonce.clone().map(Into::into),
            public_key: public_key.clone().map(Into::into),
        },
        Request::GetRandom => api::Request::GetRandom,
    }
}

/// Our answer for theirs.
pub(crate) fn response_from_aws(response: api::Response) -> Result<Response, NsmError> {
    Ok(match response {
        api::Response::DescribePCR { lock, data } => {
            Response::DescribePcr(PcrState { locked: lock, data })
        }
        api::Response::ExtendPCR { data } => Response::ExtendPcr { data },
        api::Response::LockPCR => Response::LockPcr,
        api::Response::LockPCRs => Response::LockPcrs,
        api::Response::DescribeNSM {
            version_major,
            version_minor,
            version_patch,
            module_id,
            max_pcrs,
            locked_pcrs,
            digest,
        } => Response::DescribeNsm(Description {
            version_major,
            version_minor,
            version_patch,
            module_id,
            max_pcrs,
            locked_pcrs,
            digest: match digest {
                api::Digest::SHA256 => DigestAlgorithm::Sha256,
                api::Digest::SHA384 => DigestAlgorithm::Sha384,
                api::Digest::SHA512 => DigestAlgorithm::Sha512,
            },
        }),
        api::Response::Attestation { document } => Response::Attestation { document },
        api::Response::GetRandom { random } => Response::GetRandom { random },
        api::Response::Error(code) => Response::Error(error_code_from_aws(&code)),
        // The enum is open: an answer that this version does not know answers no request of ours.
        _ => return Err(NsmError::UnexpectedResponse),
    })
}

fn error_code_from_aws(code: &api::ErrorCode) -> ErrorCode {
    match code {
        api::ErrorCode::Success => ErrorCode::Success,
        api::ErrorCode::InvalidArgument => ErrorCode::InvalidArgument,
        api::ErrorCode::InvalidIndex => ErrorCode::InvalidIndex,
        api::ErrorCode::InvalidResponse => ErrorCode::InvalidResponse,
        api::ErrorCode::ReadOnlyIndex => ErrorCode::ReadOnlyIndex,
        api::ErrorCode::InvalidOperation => ErrorCode::InvalidOperation,
        api::ErrorCode::BufferTooSmall => ErrorCode::BufferTooSmall,
        api::ErrorCode::InputTooLarge => ErrorCode::InputTooLarge,
        api::ErrorCode::InternalError => ErrorCode::InternalError,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_nsm_answers_with_an_error() {
        let device = NsmDevice::from_file(File::open("/dev/null").unwrap());
        assert_eq!(
            device.random(),
            Err(NsmError::Code(ErrorCode::InternalError))
        );
    }

    #[test]
    fn a_request_beyond_the_device_limit_is_refused_as_the_device_does() {
        let device = NsmDevice::from_file(File::open("/dev/null").unwrap());
        let too_large = device.extend_pcr(16, &[0; crate::MAX_REQUEST_BYTES]);
        assert_eq!(too_large, Err(NsmError::Code(ErrorCode::InputTooLarge)));
    }
}
