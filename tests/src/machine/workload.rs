//! The specimen as a workload, told what to try from outside.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;

use crate::connection::connect_hybrid;
use crate::lab::process::{PATIENCE, await_some};

/// Where it is told.
pub const WORKLOAD_PORT: u32 = 7003;

/// What became of an attempt: what was found, or what the kernel said.
pub type Tried = Result<String, String>;

/// A way to the specimen in a machine.
#[derive(Clone, Debug)]
pub struct Specimen {
    socket: PathBuf,
}

impl Specimen {
    /// The workload of the machine whose device listens at `socket`.
    #[must_use]
    pub fn behind(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
        }
    }

    /// Tells it to do something, as soon as it listens.
    pub fn try_to(&self, words: &str) -> Tried {
        await_some("the workload", || self.try_once(words).ok())
    }

    /// The same, where it must succeed.
    #[must_use]
    pub fn does(&self, words: &str) -> String {
        self.try_to(words)
            .unwrap_or_else(|error| panic!("{words}: {error}"))
    }

    /// Tells it to do something that it does not outlive: there is no answer.
    pub fn goes_down(&self, words: &str) {
        await_some("the workload", || {
            let mut stream = self.connect().ok()?;
            writeln!(stream, "{words}").ok()?;
            let mut answer = String::new();
            match stream.read_to_string(&mut answer) {
                Ok(_) if !answer.is_empty() => panic!("{words}: {answer}"),
                _ => Some(()),
            }
        });
    }

    /// Tells it to do something in the background of which nothing is heard any more.
    #[must_use]
    pub fn begins(&self, words: &str) -> UnixStream {
        await_some("the workload", || {
            let mut stream = self.connect().ok()?;
            writeln!(stream, "{words}").ok().map(|()| stream)
        })
    }

    /// One attempt to be heard.
    ///
    /// # Errors
    ///
    /// What the connection said; that it ended without an answer is an error too.
    pub fn try_once(&self, words: &str) -> io::Result<Tried> {
        let mut stream = self.connect()?;
        writeln!(stream, "{words}")?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer)?;
        let answer = answer
            .strip_suffix('\n')
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        match answer.split_once(' ') {
            Some(("ok", text)) => Ok(Ok(text.to_owned())),
            Some(("error", text)) => Ok(Err(text.to_owned())),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    fn connect(&self) -> io::Result<UnixStream> {
        connect_hybrid(&self.socket, WORKLOAD_PORT)
    }
}

/// Sends bytes to a specimen that was told to echo, over any connection to it, and returns what comes back.
///
/// # Errors
///
/// What the connection says.
pub fn echoed(mut stream: UnixStream, bytes: &[u8]) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"echo\n")?;
    let mut far = stream.try_clone()?;
    let sent = bytes.to_vec();
    // Both directions at once: no buffer between here and there holds everything.
    let sender = thread::spawn(move || far.write_all(&sent));
    let mut back = vec![0; bytes.len()];
    stream.read_exact(&mut back)?;
    sender
        .join()
        .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))?;
    Ok(back)
}
