//! `/dev/nsm` for whoever connects, in the protocol of `narthex mock-nsm`: length, request, length, answer.

use std::convert::Infallible;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::thread;

use narthex_nsm::device::NsmDevice;
use narthex_nsm::wire::{decode_request, encode_response};
use narthex_nsm::{ErrorCode, MAX_REQUEST_BYTES, Nsm, NsmError, Response};
use vsock::VsockStream;

use crate::{CONTROL_PORT, NSM_PORT, line};

/// Serves until somebody connects to the control port.
pub(crate) fn serve() -> io::Result<Infallible> {
    let nsm = Arc::new(NsmDevice::open().map_err(io::Error::other)?);
    let (requests, control) = (line::listen(NSM_PORT)?, line::listen(CONTROL_PORT)?);
    thread::spawn(move || line::serve(&requests, move |stream| exchange(stream, &nsm)));
    println!("narthex-specimen: hands out the NSM");
    control.accept()?;
    Err(io::Error::other("told to"))
}

fn exchange(mut stream: VsockStream, nsm: &NsmDevice) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > MAX_REQUEST_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut request = vec![0; length];
        stream.read_exact(&mut request)?;
        let response = match decode_request(&request).map(|request| nsm.exchange(&request)) {
            Ok(Ok(response)) => response,
            Ok(Err(NsmError::Code(code))) => Response::Error(code),
            Ok(Err(_)) => Response::Error(ErrorCode::InternalError),
            Err(_) => Response::Error(ErrorCode::InvalidOperation),
        };
        let response = encode_response(&response);
        let length = u32::try_from(response.len()).map_err(io::Error::other)?;
        stream.write_all(&[length.to_be_bytes().as_slice(), &response].concat())?;
    }
}
