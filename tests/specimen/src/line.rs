//! Lines over vsock: a command comes, an answer goes.

use std::io::{self, Read};
use std::thread;

use vsock::{VMADDR_CID_ANY, VsockAddr, VsockListener, VsockStream};

/// The longest command.
const MAX_LINE: usize = 64 * 1024;

/// Listens on a port for anybody.
pub(crate) fn listen(port: u32) -> io::Result<VsockListener> {
    VsockListener::bind(&VsockAddr::new(VMADDR_CID_ANY, port))
}

/// Serves every connection on a thread of its own, for good.
pub(crate) fn serve(
    listener: &VsockListener,
    serve: impl Fn(VsockStream) -> io::Result<()> + Clone + Send + 'static,
) -> io::Error {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return error,
        };
        let serve = serve.clone();
        let thread = thread::Builder::new().spawn(move || {
            // A peer that goes away is no reason to end.
            let _ = serve(stream);
        });
        // Where no thread can be had, the connection is closed, and its peer sees that.
        drop(thread);
    }
}

/// One line, byte by byte: what follows it may be something else. `None` at the end.
pub(crate) fn read(stream: &mut impl Read) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) if byte == *b"\n" => break,
            Ok(_) if line.len() < MAX_LINE => line.extend_from_slice(&byte),
            Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    String::from_utf8(line)
        .map(Some)
        .map_err(|_| io::ErrorKind::InvalidData.into())
}
