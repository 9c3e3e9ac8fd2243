//! The workload's standard output and error: discarded, and counted in
//! bytes.
//!
//! The kernel moves the bytes from the pipe to `/dev/null` (splice(2)), so they are never in the
//! agent's memory: what is not there cannot leak. Only `--local` with `show_output` reads them.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::pipe2;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

/// Most bytes moved at once; a pipe holds 64 KiB.
const CHUNK_BYTES: usize = 64 * 1024;
/// Pause after each move, so that a workload that writes without end waits for its pipe instead of
/// keeping the agent busy: at most about 64 MB/s.
const PAUSE: Duration = Duration::from_millis(1);

/// What becomes of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OutputFate {
    /// It goes to `/dev/null`, and never through the agent's memory.
    Discard,
    /// It is copied to the agent's standard error. Only with `--local`.
    ShowInsecurely,
}

/// A pipe whose other end is given to the workload.
pub(super) struct OutputPipe {
    reader: OwnedFd,
}

impl OutputPipe {
    /// A pipe, and the end to write to.
    pub(super) fn new() -> io::Result<(Self, OwnedFd)> {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
        // A pipe is its maker's alone. Many programs open `/dev/stdout` by its name, which a user of their own then
        // could not. To write only: who could read would take bytes from the count.
        fchmod(&writer, Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IWOTH)?;
        fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?; // This end only.
        Ok((Self { reader }, writer))
    }

    /// Empties the pipe until its last writer has gone, adding to `bytes`.
    pub(super) fn drain(self, fate: OutputFate, bytes: Rc<Cell<u64>>) -> JoinHandle<()> {
        tokio::task::spawn_local(async move {
            // On failure the read end closes, and the workload's writes fail with EPIPE: nothing
            // leaks.
            let _ = drain(self.reader, fate, &bytes).await;
        })
    }
}

async fn drain(reader: OwnedFd, fate: OutputFate, bytes: &Cell<u64>) -> io::Result<()> {
    let reader = register(reader)?;
    let null = OpenOptions::new().write(true).open("/dev/null")?;
    loop {
        let mut ready = reader.readable().await?;
        let moved = ready.try_io(|reader| match fate {
            OutputFate::Discard => discard(reader.get_ref(), &null),
            OutputFate::ShowInsecurely => show(reader.get_ref()),
        });
        match moved {
            Ok(Ok(0)) => return Ok(()),
            Ok(Ok(count)) => {
                let count = u64::try_from(count).unwrap_or(u64::MAX);
                bytes.set(bytes.get().saturating_add(count));
                tokio::time::sleep(PAUSE).await;
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => {} // It would have blocked.
        }
    }
}

#[allow(unsafe_code)] // `AsyncFd` asks its caller to promise what `OwnedFd` already does.
fn register(reader: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open and stays the same for as long as it lives.
    Ok(unsafe { AsyncFd::register(reader) }?)
}

fn discard(reader: &OwnedFd, null: &File) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
    splice(reader.as_fd(), None, null.as_fd(), None, CHUNK_BYTES, flags).map_err(
        |error| match error {
            Errno::EAGAIN => io::ErrorKind::WouldBlock.into(),
            other => other.into(),
        },
    )
}

fn show(reader: &OwnedFd) -> io::Result<usize> {
    let mut buffer = zeroize::Zeroizing::new([0_u8; 8192]);
    let count = File::from(reader.try_clone()?).read(buffer.as_mut_slice())?;
    if let Some(bytes) = buffer.get(..count) {
        let _ = io::stderr().lock().write_all(bytes);
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn count(fate: OutputFate, writes: &[&[u8]]) -> u64 {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let bytes = Rc::new(Cell::new(0));
        let (pipe, writer) = OutputPipe::new().unwrap();
        let writes: Vec<Vec<u8>> = writes.iter().map(|bytes| bytes.to_vec()).collect();
        let writing = std::thread::spawn(move || {
            let mut writer = File::from(writer);
            for bytes in writes {
                writer.write_all(&bytes).unwrap();
            }
        });
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async {
            pipe.drain(fate, Rc::clone(&bytes)).await.unwrap();
        });
        writing.join().unwrap();
        bytes.get()
    }

    #[test]
    fn discarded_output_is_counted() {
        assert_eq!(count(OutputFate::Discard, &[]), 0);
        assert_eq!(count(OutputFate::Discard, &[b"secret", b" and more"]), 15);
        assert_eq!(count(OutputFate::Discard, &[&[7; 1_000_000]]), 1_000_000);
    }

    #[test]
    fn shown_output_is_counted_too() {
        assert_eq!(count(OutputFate::ShowInsecurely, &[b"shown\n"]), 6);
    }
}
