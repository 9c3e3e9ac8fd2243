//! Moves bytes between two streams until both have said all they have to say.
//!
//! A direction ends when its reader reports the end; then the other side's writing half is shut
//! down, so that a peer which half-closes is still answered (aws-nitro-enclaves-samples PR 22 lost
//! data by shutting both halves). The pair ends when both directions have ended, when nothing has
//! moved for the idle time, or when either side fails.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// One buffer per direction. Two per connection bound what a connection can hold in memory.
const BUFFER_BYTES: usize = 16 * 1024;

/// Why a pair of streams ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Both directions reported their end.
    Closed,
    /// Nothing moved in either direction for the idle time.
    Idle,
    /// Reading or writing failed on either side.
    Failed,
}

/// Bytes moved in each direction. Cells, because both directions run in one task.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    /// From the side that connected to us.
    pub(crate) forward_bytes: Cell<u64>,
    /// Back to it.
    pub(crate) backward_bytes: Cell<u64>,
}

/// Pumps until the pair ends. `near` is the side that connected to us, `far` the one we connected to.
pub(crate) async fn pump<Near, Far>(near: Near, far: Far, idle: Duration, moved: &Moved) -> Ending
where
    Near: AsyncRead + AsyncWrite + Unpin,
    Far: AsyncRead + AsyncWrite + Unpin,
{
    let (near_reader, near_writer) = tokio::io::split(near);
    let (far_reader, far_writer) = tokio::io::split(far);
    let last_move = Cell::new(Instant::now());
    let both = async {
        tokio::try_join!(
            one_direction(near_reader, far_writer, &moved.forward_bytes, &last_move),
            one_direction(far_reader, near_writer, &moved.backward_bytes, &last_move),
        )
    };
    tokio::select! {
        ended = both => match ended {
            Ok(_) => Ending::Closed,
            Err(_) => Ending::Failed,
        },
        () = idle_for(idle, &last_move) => Ending::Idle,
    }
}

async fn one_direction(
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin,
    moved_bytes: &Cell<u64>,
    last_move: &Cell<Instant>,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let count = reader.read(&mut buffer).await?;
        last_move.set(Instant::now());
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        // Written piece by piece, so that a slow reader that still reads is not called idle.
        let mut rest = bytes;
        while !rest.is_empty() {
            let written = writer.write(rest).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            last_move.set(Instant::now());
            moved_bytes.set(
                moved_bytes
                    .get()
                    .saturating_add(u64::try_from(written).unwrap_or(0)),
            );
            rest = rest.get(written..).unwrap_or_default();
        }
    }
    match writer.shutdown().await {
        // The peer has closed entirely: there is nobody left to tell.
        Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
        other => other,
    }
}

/// Completes when nothing has moved for `idle`.
async fn idle_for(idle: Duration, last_move: &Cell<Instant>) {
    loop {
        let deadline = last_move.get() + idle;
        if Instant::now() >= deadline {
            return;
        }
        tokio::time::sleep_until(deadline).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    fn paused() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
    }

    #[test]
    fn half_close_in_either_direction_still_carries_the_answer() {
        for client_closes_first in [true, false] {
            paused().block_on(async {
                let (mut client, near) = tokio::io::duplex(64);
                let (far, mut server) = tokio::io::duplex(64);
                let moved = Moved::default();
                let talk = async {
                    let (first, second) = match client_closes_first {
                        true => (&mut client, &mut server),
                        false => (&mut server, &mut client),
                    };
                    first.write_all(b"question").await.unwrap();
                    first.shutdown().await.unwrap();
                    let mut question = Vec::new();
                    second.read_to_end(&mut question).await.unwrap();
                    assert_eq!(question, b"question");
                    second.write_all(b"answer!").await.unwrap();
                    second.shutdown().await.unwrap();
                    let mut answer = Vec::new();
                    first.read_to_end(&mut answer).await.unwrap();
                    assert_eq!(answer, b"answer!");
                };
                let (ending, ()) = tokio::join!(pump(near, far, IDLE, &moved), talk);
                assert_eq!(ending, Ending::Closed);
                assert_eq!(moved.forward_bytes.get() + moved.backward_bytes.get(), 15);
            });
        }
    }

    #[test]
    fn silence_ends_the_pair_and_talk_postpones_it() {
        paused().block_on(async {
            let (mut client, near) = tokio::io::duplex(64);
            let (far, _server) = tokio::io::duplex(64);
            let moved = Moved::default();
            let begun = Instant::now();
            let talk = async {
                tokio::time::sleep(Duration::from_secs(20)).await;
                client.write_all(b"x").await.unwrap();
            };
            let (ending, ()) = tokio::join!(pump(near, far, IDLE, &moved), talk);
            assert_eq!(ending, Ending::Idle);
            assert_eq!(begun.elapsed(), Duration::from_secs(50));
        });
    }

    #[test]
    fn a_half_closed_pair_is_still_bounded_by_the_idle_time() {
        paused().block_on(async {
            let (mut client, near) = tokio::io::duplex(64);
            let (far, _server) = tokio::io::duplex(64);
            client.shutdown().await.unwrap();
            let moved = Moved::default();
            assert_eq!(pump(near, far, IDLE, &moved).await, Ending::Idle);
        });
    }
}
