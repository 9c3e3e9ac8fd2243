//! A man in the middle who delays, trickles, withholds and cuts: every wait ends, at the time
//! stated and for its own reason. The clock is virtual.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
#![allow(clippy::unreachable)] // Tests say by panicking.

mod common;

use std::time::Duration;

use common::{Insider, first_flight, frames};
use narthex_channel::tokio::{Connection, Timeouts, TransportError};
use narthex_channel::{Accepting, ChannelError, Opening};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

const TIMEOUTS: Timeouts = Timeouts {
    handshake: Duration::from_secs(10),
    idle: Duration::from_secs(60),
    message: Duration::from_secs(20),
};

type Outcome = Result<Connection<DuplexStream>, TransportError>;

async fn respond(stream: DuplexStream) -> Outcome {
    Connection::respond(stream, &Accepting::Diagnostics, TIMEOUTS).await
}

async fn initiate(stream: DuplexStream) -> Outcome {
    Connection::initiate(stream, &Opening::Diagnostics, TIMEOUTS).await
}

/// The reason of a refusal, and after how many seconds it came.
async fn refused<T>(work: impl Future<Output = Result<T, TransportError>>) -> (&'static str, u64) {
    let begun = Instant::now();
    let error = work.await.err().expect("must be refused");
    (error.id(), begun.elapsed().as_secs())
}

/// Sends `bytes` one at a time with a pause after each; keeps the stream open.
async fn trickle(stream: &mut DuplexStream, bytes: &[u8], pause: Duration) {
    for byte in bytes {
        if stream.write_all(&[*byte]).await.is_err() {
            return;
        }
        tokio::time::sleep(pause).await;
    }
    std::future::pending::<()>().await;
}

/// Two connected ends over streams of `buffer` bytes.
async fn pair(buffer: usize) -> (Connection<DuplexStream>, Connection<DuplexStream>) {
    let (here, there) = duplex(buffer);
    let (here, there) = tokio::join!(initiate(here), respond(there));
    (here.unwrap(), there.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_dropped_when_the_handshake_time_is_over() {
    let (here, _silent) = duplex(1024);
    assert_eq!(refused(respond(here)).await, ("timeout.handshake", 10));
    let (here, _silent) = duplex(1024);
    assert_eq!(refused(initiate(here)).await, ("timeout.handshake", 10));
}

#[tokio::test(start_paused = true)]
async fn a_trickled_handshake_does_not_extend_its_time() {
    let (_, preamble, message) = first_flight(&Opening::Diagnostics);
    let bytes = common::stream(&[preamble, message]);
    let (here, mut there) = duplex(1024);
    tokio::select! {
        outcome = refused(respond(here)) => assert_eq!(outcome, ("timeout.handshake", 10)),
        () = trickle(&mut there, &bytes, Duration::from_secs(1)) => unreachable!(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_without_messages_ends_when_the_idle_time_is_over() {
    let (_operator, mut agent) = pair(1024).await;
    assert_eq!(refused(agent.receive()).await, ("timeout.idle", 60));
}

#[tokio::test(start_paused = true)]
async fn a_message_begun_must_be_finished_in_its_time() {
    // One byte, then silence; and one byte every five seconds.
    for pause in [Duration::from_secs(1000), Duration::from_secs(5)] {
        let (mut insider, session) = Insider::meets(&Accepting::Diagnostics);
        drop(session);
        let bytes = common::stream(&[insider.begin(5, b"hello")]);
        let (mut agent, mut wire) = agent_and_wire().await;
        tokio::select! {
            outcome = refused(agent.receive()) => assert_eq!(outcome, ("timeout.receive", 20)),
            () = trickle(&mut wire, &bytes, pause) => unreachable!(),
        }
    }
}

/// An agent's connection, and the naked stream to it.
async fn agent_and_wire() -> (Connection<DuplexStream>, DuplexStream) {
    let (here, mut wire) = duplex(1 << 20);
    let (_, preamble, message) = first_flight(&Opening::Diagnostics);
    wire.write_all(&common::stream(&[preamble, message]))
        .await
        .unwrap();
    let agent = respond(here).await.unwrap();
    wire.read_exact(&mut [0; 50]).await.unwrap();
    (agent, wire)
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_dropped() {
    let (mut operator, _agent) = pair(1024).await;
    assert_eq!(
        refused(operator.send(&[0; 100_000])).await,
        ("timeout.send", 20)
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_close_is_left() {
    let (operator, _agent) = pair(1024).await;
    assert_eq!(refused(operator.close()).await, ("timeout.close", 20));
}

#[tokio::test(start_paused = true)]
async fn a_cut_is_noticed_in_the_handshake_and_after() {
    let (here, there) = duplex(1024);
    drop(there);
    assert_eq!(refused(respond(here)).await, ("session.truncated", 0));

    let (here, mut there) = duplex(1024);
    there.write_all(&[0, 16, b'n']).await.unwrap();
    drop(there);
    assert_eq!(refused(respond(here)).await, ("session.truncated", 0));

    let (operator, mut agent) = pair(1024).await;
    drop(operator);
    assert_eq!(refused(agent.receive()).await, ("session.truncated", 0));

    let (mut agent, mut wire) = agent_and_wire().await;
    wire.write_all(&[0, 30, 1, 2, 3]).await.unwrap();
    drop(wire);
    assert_eq!(refused(agent.receive()).await, ("session.truncated", 0));
}

#[tokio::test(start_paused = true)]
async fn other_protocols_are_refused_at_their_first_bytes() {
    for (bytes, reason) in [
        (b"GET / HTTP/1.1\r\n".as_slice(), "frame.too_long"),
        (b"\x16\x03\x01\x02\x00\x01", "frame.too_long"),
        (b"SSH-2.0-OpenSSH\r\n", "frame.too_long"),
        (b"\0\0", "frame.empty"),
        (b"\0\x04HELO", "preamble.not_this_protocol"),
    ] {
        let (here, mut there) = duplex(1024);
        there.write_all(bytes).await.unwrap();
        assert_eq!(refused(respond(here)).await, (reason, 0));
        let mut told = Vec::new();
        there.read_to_end(&mut told).await.unwrap();
        assert_eq!(told, b"", "strangers are told nothing");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unspoken_version_is_answered_before_the_connection_ends() {
    let (here, mut there) = duplex(1024);
    let preamble = b"narthex\0\x00\x02\x00\x02\x01\x01\x00\x00";
    there
        .write_all(&common::stream(&[preamble.to_vec()]))
        .await
        .unwrap();
    assert_eq!(
        refused(respond(here)).await,
        ("preamble.unsupported_version", 0)
    );
    let mut told = Vec::new();
    there.read_to_end(&mut told).await.unwrap();
    assert_eq!(
        frames(&told),
        [b"narthex!\x01\x00\x00\x01\x00\x01".to_vec()]
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_initiator_is_told_why() {
    let (here, there) = duplex(1024);
    let accepting = Accepting::Policy;
    let (initiated, responded) = tokio::join!(
        initiate(here),
        Connection::respond(there, &accepting, TIMEOUTS)
    );
    assert_eq!(responded.err().unwrap().id(), "preamble.use_not_offered");
    let TransportError::Channel(ChannelError::Declined { code, .. }) = initiated.err().unwrap()
    else {
        panic!()
    };
    assert_eq!(code.name(), "use");
}

#[tokio::test(start_paused = true)]
async fn messages_pass_through_a_stream_that_takes_seven_bytes_at_a_time() {
    let (mut operator, mut agent) = pair(7).await;
    let content: Vec<u8> = (0..100_000_u32)
        .map(|index| index.to_le_bytes()[1])
        .collect();
    let (sent, received) = tokio::join!(operator.send(&content), agent.receive());
    sent.unwrap();
    assert_eq!(received.unwrap().unwrap().as_bytes(), content);
    let (sent, received) = tokio::join!(agent.send(b"an answer"), operator.receive());
    sent.unwrap();
    assert_eq!(received.unwrap().unwrap().as_bytes(), b"an answer");
    let (closed, closed_too) = tokio::join!(operator.close(), agent.close());
    assert_eq!((closed, closed_too), (Ok(()), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn a_close_is_no_error_and_the_other_direction_goes_on() {
    let (operator, mut agent) = pair(1024).await;
    let closing = tokio::spawn(operator.close());
    assert!(agent.receive().await.unwrap().is_none());
    assert!(agent.receive().await.unwrap().is_none());
    agent.send(b"discarded by the other end").await.unwrap();
    agent.close().await.unwrap();
    closing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn receiving_can_be_interrupted_and_taken_up_again() {
    let (mut operator, mut agent) = pair(1 << 20).await;
    let content = vec![9; 100_000];
    let sending = tokio::spawn(async move {
        operator.send(&content).await.unwrap();
        operator
    });
    // Dropped after each poll, which the stream may have used to take some bytes.
    let received = loop {
        tokio::select! {
            biased;
            received = agent.receive() => break received,
            () = tokio::task::yield_now() => {}
        }
    };
    assert_eq!(received.unwrap().unwrap().as_bytes(), vec![9; 100_000]);
    drop(sending.await.unwrap());
}
