//! One operator's connection.

use std::rc::Rc;
use std::time::Duration;

use minicbor::bytes::{ByteArray, ByteVec};
use narthex_channel::Accepting;
use narthex_channel::tokio::{Connection, Timeouts, TransportError};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::Gate;
use crate::child::InheritedStream;
use crate::ipc::FromGate;

/// How long one message may take from its first byte to its last, whatever the idle limit.
const MESSAGE_LIMIT: Duration = Duration::from_secs(10);

impl Gate {
    /// From the first byte to the last.
    pub(super) async fn connection(
        self: Rc<Self>,
        number: u32,
        stream: InheritedStream,
        contents: mpsc::Receiver<Vec<u8>>,
    ) {
        let idle = Duration::from_millis(self.setup.idle_millis);
        let timeouts = Timeouts {
            handshake: Duration::from_millis(self.setup.handshake_millis),
            idle,
            message: MESSAGE_LIMIT.min(idle),
        };
        match Connection::respond(stream, &Accepting::Diagnostics, timeouts).await {
            Ok(connection) => {
                let limit = Duration::from_millis(self.setup.session_millis);
                let session = timeout(limit, self.session(number, connection, contents));
                match session.await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => self.count_failure(error),
                    Err(_) => self.count(|tally| &mut tally.timed_out),
                }
                let _ = self
                    .outgoing
                    .send(FromGate::Closed { connection: number })
                    .await;
            }
            Err(error) => self.count_failure(error),
        }
        self.connections.borrow_mut().remove(&number);
    }

    /// The welcome, and then calls and answers in turn.
    async fn session(
        &self,
        number: u32,
        mut connection: Connection<InheritedStream>,
        mut contents: mpsc::Receiver<Vec<u8>>,
    ) -> Result<(), TransportError> {
        let handshake_hash = ByteArray::from(*connection.handshake_hash().as_bytes());
        let mut message = FromGate::Opened {
            connection: number,
            handshake_hash,
        };
        loop {
            if self.outgoing.send(message).await.is_err() {
                return Ok(());
            }
            // The supervisor's answer. It closes the mailbox to end the connection.
            let Some(answer) = contents.recv().await else {
                return connection.close().await;
            };
            connection.send(&answer).await?;
            let Some(call) = connection.receive().await? else {
                return connection.close().await;
            };
            let content = ByteVec::from(call.as_bytes().to_vec());
            message = FromGate::Call {
                connection: number,
                content,
            };
        }
    }

    fn count_failure(&self, error: TransportError) {
        match error {
            TransportError::TimedOut(_) => self.count(|tally| &mut tally.timed_out),
            _ => self.count(|tally| &mut tally.faulty),
        }
    }
}
