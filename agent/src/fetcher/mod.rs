//! A fetcher: one exchange with the policy source or the key service, in a process of its own.
//!
//! The supervisor connects, because a confined process cannot; the fetcher makes the handshake and carries one
//! content each way. It parses frames and Noise messages of whoever answers, and nothing else: what the
//! contents mean is judged by the supervisor, after the fetcher is gone.

use std::time::Duration;

use minicbor::bytes::{ByteArray, ByteVec};
use narthex_channel::tokio::{Connection, Timeouts, TransportError};
use narthex_channel::{ChannelError, Opening, StaticPublic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::child::{
    ConfinedLoop, END_OF_WORK, Inherited, InheritedStream, PROTOCOL_BROKEN, Setup, enter,
};
use crate::ipc::{
    self, ConfinementOrder, FetcherFailure, FetcherSetup, FetcherTask, FromFetcher,
    MAX_FETCHER_MESSAGE_BYTES, ToFetcher,
};
use crate::sandbox::Profile;

/// Descriptors a fetcher needs: three standard streams, two sockets, and the event loop's own.
const MAX_OPEN_FILES: u64 = 64;
/// How long the farewell may take: the answer is here, and whether the peer hears it does not matter.
const FAREWELL_LIMIT: Duration = Duration::from_millis(250);
/// The longest answer to `CONNECT port` that is read: `OK` and a port number.
const MAX_HYBRID_ANSWER_BYTES: usize = 32;

impl Setup for FetcherSetup {
    fn confinement(&self) -> ConfinementOrder {
        self.confinement
    }

    fn max_open_files(&self) -> u64 {
        MAX_OPEN_FILES
    }
}

/// The fetcher's main function. Returns its exit code.
pub fn run(inherited: Inherited) -> u8 {
    let (setup, confined) = match enter::<FetcherSetup>(inherited, Profile::Fetcher) {
        Ok(entered) => entered,
        Err(code) => return code,
    };
    let ConfinedLoop {
        runtime,
        supervisor,
        work,
        confinement,
    } = confined;
    runtime.block_on(async move {
        let (Ok(mut supervisor), Ok(work)) =
            (UnixStream::from_std(supervisor), InheritedStream::new(work))
        else {
            return PROTOCOL_BROKEN;
        };
        let confined = FromFetcher::Confined(confinement.into());
        if tell(&mut supervisor, &confined).await.is_err() {
            return END_OF_WORK;
        }
        let limit = Duration::from_millis(setup.timeout_millis);
        let last = match timeout(limit, exchange(&setup, work, &mut supervisor)).await {
            Ok(Ok(last)) => last,
            Ok(Err(failure)) => FromFetcher::Failed(failure),
            Err(_) => FromFetcher::Failed(FetcherFailure::Timeout),
        };
        let _ = tell(&mut supervisor, &last).await;
        END_OF_WORK
    })
}

async fn exchange(
    setup: &FetcherSetup,
    mut work: InheritedStream,
    supervisor: &mut UnixStream,
) -> Result<FromFetcher, FetcherFailure> {
    if let Some(port) = setup.hybrid_port {
        ask_for_port(&mut work, port).await?;
    }
    let opening = match setup.task {
        FetcherTask::Policy => Opening::Policy,
        FetcherTask::Keys { service_key } => Opening::Keys {
            service: StaticPublic::from_bytes(*service_key),
        },
    };
    // One limit for the whole exchange stands around this; the parts need none of their own.
    let limit = Duration::from_millis(setup.timeout_millis);
    let timeouts = Timeouts {
        handshake: limit,
        idle: limit,
        message: limit,
    };
    let mut connection = Connection::initiate(work, &opening, timeouts)
        .await
        .map_err(handshake_failure)?;
    let handshake_hash = ByteArray::from(*connection.handshake_hash().as_bytes());
    tell(supervisor, &FromFetcher::Connected { handshake_hash }).await?;
    let order = ipc::read_message(supervisor, MAX_FETCHER_MESSAGE_BYTES).await;
    let order = order.map_err(|_| FetcherFailure::Session)?;
    let ToFetcher::Send { content } = ipc::decode(&order).map_err(|_| FetcherFailure::Session)?;
    connection
        .send(&content)
        .await
        .map_err(|_| FetcherFailure::Session)?;
    let answer = connection
        .receive()
        .await
        .map_err(|_| FetcherFailure::Session)?;
    let answer = answer.ok_or(FetcherFailure::Session)?;
    let _ = timeout(FAREWELL_LIMIT, connection.close()).await;
    Ok(FromFetcher::Received {
        content: ByteVec::from(answer.as_bytes().to_vec()),
    })
}

fn handshake_failure(error: TransportError) -> FetcherFailure {
    match error {
        TransportError::Channel(ChannelError::Declined { .. }) => FetcherFailure::Version,
        _ => FetcherFailure::Handshake,
    }
}

/// The convention of Firecracker and vhost-device-vsock: `CONNECT port\n`, answered by `OK port\n`.
async fn ask_for_port(work: &mut InheritedStream, port: u32) -> Result<(), FetcherFailure> {
    let ask = format!("CONNECT {port}\n");
    work.write_all(ask.as_bytes())
        .await
        .map_err(|_| FetcherFailure::Hybrid)?;
    let mut answer = Vec::with_capacity(MAX_HYBRID_ANSWER_BYTES);
    // Byte by byte: whatever follows the line belongs to the session.
    while !answer.ends_with(b"\n") {
        if answer.len() == MAX_HYBRID_ANSWER_BYTES {
            return Err(FetcherFailure::Hybrid);
        }
        answer.push(work.read_u8().await.map_err(|_| FetcherFailure::Hybrid)?);
    }
    if answer.starts_with(b"OK ") {
        Ok(())
    } else {
        Err(FetcherFailure::Hybrid)
    }
}

async fn tell(supervisor: &mut UnixStream, message: &FromFetcher) -> Result<(), FetcherFailure> {
    ipc::write_message(supervisor, message, MAX_FETCHER_MESSAGE_BYTES)
        .await
        .map_err(|_| FetcherFailure::Session)
}
