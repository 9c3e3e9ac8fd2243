//! One exchange with an untrusted peer, through a fetcher made for it.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use minicbor::bytes::{ByteArray, ByteVec};
use narthex_channel::{Address, HandshakeHash, StaticPublic};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::connect::{Connected, connect};
use crate::child::{ConfinedChild, Role, spawn};
use crate::ipc::{
    self, ConfinementOrder, FetcherFailure, FetcherSetup, FetcherTask, FromFetcher, IpcError,
    MAX_FETCHER_MESSAGE_BYTES, ToFetcher,
};
use crate::sandbox::SandboxError;

/// With whom to make an exchange.
#[derive(Clone, Debug)]
pub enum Peer {
    /// The policy source, whoever it is.
    PolicySource(Address),
    /// The key service with this static key.
    KeyService {
        /// Where it is.
        address: Address,
        /// Its key, from the policy.
        static_key: StaticPublic,
    },
}

impl Peer {
    fn address(&self) -> &Address {
        match self {
            Self::PolicySource(address) | Self::KeyService { address, .. } => address,
        }
    }

    fn task(&self) -> FetcherTask {
        match self {
            Self::PolicySource(_) => FetcherTask::Policy,
            Self::KeyService { static_key, .. } => FetcherTask::Keys {
                service_key: ByteArray::from(*static_key.as_bytes()),
            },
        }
    }
}

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExchangeFailure {
    /// No connection.
    Connect(io::ErrorKind),
    /// The fetcher could not be started.
    Spawn(io::ErrorKind),
    /// The fetcher could not be confined. The agent must not go on without.
    Sandbox(SandboxError),
    /// The fetcher did not get an answer.
    Fetcher(FetcherFailure),
    /// The fetcher said something it must not say, or died.
    Ipc(IpcError),
    /// It took too long.
    Timeout,
    /// The content to send could not be composed; stable text says why.
    Compose(&'static str),
}

impl ExchangeFailure {
    /// Stable text.
    pub fn id(self) -> &'static str {
        match self {
            Self::Connect(_) => "exchange.connect",
            Self::Spawn(_) => "exchange.spawn",
            Self::Sandbox(error) => error.id(),
            Self::Fetcher(failure) => failure.id(),
            Self::Ipc(error) => error.id(),
            Self::Timeout => "exchange.timeout",
            Self::Compose(id) => id,
        }
    }
}

impl From<IpcError> for ExchangeFailure {
    fn from(error: IpcError) -> Self {
        Self::Ipc(error)
    }
}

/// What every fetcher of this agent has in common.
#[derive(Clone, Copy, Debug)]
pub struct Exchanger {
    /// How fetchers are confined.
    pub confinement: ConfinementOrder,
    /// How long an exchange may take in all.
    pub limit: Duration,
}

impl Exchanger {
    /// Connects, hands the connection to a fetcher, has `compose` make the content for the handshake hash
    /// that comes out, and returns the raw answer.
    ///
    /// # Errors
    ///
    /// [`ExchangeFailure`].
    pub async fn exchange<C>(&self, peer: &Peer, compose: C) -> Result<Vec<u8>, ExchangeFailure>
    where
        C: AsyncFnOnce(HandshakeHash) -> Result<Vec<u8>, &'static str>,
    {
        timeout(self.limit, self.exchange_untimed(peer, compose))
            .await
            .unwrap_or(Err(ExchangeFailure::Timeout))
    }

    async fn exchange_untimed<C>(&self, peer: &Peer, compose: C) -> Result<Vec<u8>, ExchangeFailure>
    where
        C: AsyncFnOnce(HandshakeHash) -> Result<Vec<u8>, &'static str>,
    {
        let Connected {
            socket,
            hybrid_port,
        } = connect(peer.address())
            .await
            .map_err(|error| ExchangeFailure::Connect(error.kind()))?;
        let setup = FetcherSetup {
            confinement: self.confinement,
            hybrid_port,
            task: peer.task(),
            timeout_millis: u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX),
        };
        let (child, near) = spawn(Role::Fetcher, socket.as_fd(), &setup)
            .map_err(|error| ExchangeFailure::Spawn(error.kind()))?;
        drop(socket);
        let near =
            UnixStream::from_std(near).map_err(|error| ExchangeFailure::Spawn(error.kind()))?;
        let mut fetcher = Fetcher { child, near };
        fetcher.confined(&self.confinement).await?;
        let handshake_hash = fetcher.connected().await?;
        let content = compose(handshake_hash)
            .await
            .map_err(ExchangeFailure::Compose)?;
        fetcher.send(content).await?;
        fetcher.received().await
    }
}

/// A running fetcher. Dropping it kills it.
struct Fetcher {
    child: ConfinedChild,
    near: UnixStream,
}

impl Fetcher {
    async fn confined(&mut self, order: &ConfinementOrder) -> Result<(), ExchangeFailure> {
        match self.next().await {
            Ok(FromFetcher::Confined(report)) if report.meets(order) => self
                .child
                .check_confined()
                .map_err(ExchangeFailure::Sandbox),
            Ok(_) => Err(ExchangeFailure::Ipc(IpcError::Unexpected)),
            // It ended before it was confined: its exit code says why.
            Err(error) => match self
                .child
                .ended()
                .await
                .and_then(SandboxError::from_exit_code)
            {
                Some(sandbox) => Err(ExchangeFailure::Sandbox(sandbox)),
                None => Err(error),
            },
        }
    }

    async fn connected(&mut self) -> Result<HandshakeHash, ExchangeFailure> {
        match self.next().await? {
            FromFetcher::Connected { handshake_hash } => {
                Ok(HandshakeHash::from_bytes(*handshake_hash))
            }
            FromFetcher::Failed(failure) => Err(ExchangeFailure::Fetcher(failure)),
            _ => Err(ExchangeFailure::Ipc(IpcError::Unexpected)),
        }
    }

    async fn send(&mut self, content: Vec<u8>) -> Result<(), ExchangeFailure> {
        let message = ToFetcher::Send {
            content: ByteVec::from(content),
        };
        ipc::write_message(&mut self.near, &message, MAX_FETCHER_MESSAGE_BYTES).await?;
        Ok(())
    }

    async fn received(&mut self) -> Result<Vec<u8>, ExchangeFailure> {
        match self.next().await? {
            FromFetcher::Received { content } => Ok(content.into()),
            FromFetcher::Failed(failure) => Err(ExchangeFailure::Fetcher(failure)),
            _ => Err(ExchangeFailure::Ipc(IpcError::Unexpected)),
        }
    }

    async fn next(&mut self) -> Result<FromFetcher, ExchangeFailure> {
        let bytes = ipc::read_message(&mut self.near, MAX_FETCHER_MESSAGE_BYTES).await?;
        Ok(ipc::decode(&bytes)?)
    }
}
