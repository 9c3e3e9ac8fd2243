//! The command's end of a session: one connection, one conversation, words for what goes wrong.

use std::future::Future;
use std::time::Duration;

use narthex_channel::tokio::{Connection, Phase, Stream, Timeouts, TransportError, connect};
use narthex_channel::{Address, ChannelError, HandshakeHash, Message, Opening};

use crate::failure::{Failure, Outcome};

/// Connecting takes this long at most: nobody waits longer without asking why.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// An established session.
pub(crate) struct Conversation {
    connection: Connection<Stream>,
    address: Address,
}

impl Conversation {
    /// Connects and does the handshake.
    ///
    /// # Errors
    /// See [`failure`].
    pub(crate) async fn open(
        address: &Address,
        opening: &Opening,
        silence: Duration,
    ) -> Outcome<Self> {
        let timeouts = Timeouts {
            handshake: Timeouts::DEFAULT.handshake.min(silence),
            idle: silence,
            ..Timeouts::DEFAULT
        };
        let connection = async {
            let stream = connect(address, CONNECT_TIMEOUT.min(silence)).await?;
            Connection::initiate(stream, opening, timeouts).await
        };
        let connection = connection.await.map_err(|error| match error {
            TransportError::Channel(ChannelError::Truncated) => {
                closed_in_handshake(address, opening)
            }
            other => failure(address, other),
        })?;
        Ok(Self {
            connection,
            address: address.clone(),
        })
    }

    /// The handshake hash of the session.
    pub(crate) fn handshake_hash(&self) -> HandshakeHash {
        self.connection.handshake_hash()
    }

    /// Sends one message.
    ///
    /// # Errors
    /// See [`failure`].
    pub(crate) async fn send<M: Message>(&mut self, message: &M) -> Outcome<()> {
        self.connection
            .send_message(message)
            .await
            .map_err(|error| failure(&self.address, error))
    }

    /// Receives one message; there must be one.
    ///
    /// # Errors
    /// See [`failure`]; `session.truncated` if the other end closed instead.
    pub(crate) async fn receive<M: Message>(&mut self) -> Outcome<M> {
        match self.connection.receive_message().await {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(failure(&self.address, ChannelError::Truncated.into())),
            Err(error) => Err(failure(&self.address, error)),
        }
    }

    /// Says goodbye. Everything was answered by then, so that it fails is of no interest.
    pub(crate) async fn close(self) {
        let _everything_was_answered = self.connection.close().await;
    }
}

/// Runs one conversation on a runtime of its own, until it ends or the person presses Ctrl-C.
///
/// # Errors
/// What the conversation says; `interrupted`.
pub(crate) fn run_to_completion<T>(conversation: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    runtime()?.block_on(async {
        tokio::select! {
            outcome = conversation => outcome,
            _ = tokio::signal::ctrl_c() => Err(
                Failure::environment("interrupted", "interrupted")
                    .next("what was asked for last may have been done; look before asking again"),
            ),
        }
    })
}

/// A runtime on this thread.
///
/// # Errors
/// `runtime.failed` if the system gives no event queue.
pub(crate) fn runtime() -> Outcome<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::environment("runtime.failed", format!("cannot start: {error}"))
                .next("most often there are no file descriptors left; look at `ulimit -n`")
        })
}

/// Whoever does not hold the key cannot read the first message, and can only hang up.
fn closed_in_handshake(address: &Address, opening: &Opening) -> Failure {
    let failure = Failure::environment(
        "handshake.closed",
        format!("{address} closed the connection in the handshake"),
    );
    match opening {
        Opening::Administration { .. } | Opening::Keys { .. } => failure.next(
            "most often it does not hold the key that the policy names: compare [key_service] in the \
             bundle with what `narthex-key-service static-key` prints",
        ),
        _ => failure.next("is this the right address for this command?"),
    }
}

/// What went wrong, whose fault it is, and what to do.
pub(crate) fn failure(address: &Address, error: TransportError) -> Failure {
    let what = format!("{address}: {error}");
    match error {
        TransportError::Channel(ChannelError::HandshakeAuthentication) => {
            Failure::refused(error.id(), what).next(
                "whoever answers there does not hold the key that the policy names; if the service \
                 has a new one, get the bundle that says so",
            )
        }
        TransportError::Channel(ChannelError::Truncated) => Failure::environment(error.id(), what)
            .next("the other end closed early; its own log says why"),
        TransportError::Channel(_) | TransportError::Message(_) => {
            Failure::refused(error.id(), what).next(
                "is this the right address for this command, and the same version at both ends?",
            )
        }
        TransportError::TimedOut(_) => Failure::environment(error.id(), what)
            .next("is it running, and does anything in between (relay, firewall) drop it?"),
        TransportError::HybridRefused | TransportError::HybridReply => {
            Failure::environment(error.id(), what)
                .next("is the enclave running, and does it listen on this port?")
        }
        TransportError::Io { phase, kind } => {
            let failure = Failure::environment(error.id(), what);
            match kind {
                std::io::ErrorKind::NotFound if phase == Phase::Listen => {
                    failure.next("the folder that the socket should be made in is not there")
                }
                std::io::ErrorKind::TimedOut => failure
                    .next("is it running, and does anything in between (relay, firewall) drop it?"),
                std::io::ErrorKind::ConnectionRefused => {
                    failure.next("nothing listens there; is it running?")
                }
                std::io::ErrorKind::NotFound => {
                    failure.next("there is no such socket; is it running?")
                }
                std::io::ErrorKind::PermissionDenied => {
                    failure.next("the socket belongs to another user; see its mode with `ls -l`")
                }
                _ => failure,
            }
        }
        _ => Failure::environment(error.id(), what),
    }
}
