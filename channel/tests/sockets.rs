//! Real sockets of every kind that this machine has.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
#![allow(clippy::unreachable)] // Tests say by panicking.

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use narthex_channel::tokio::{
    Connection, Listener, PeerAddress, ServeLimits, ServeStatistics, Stream, Timeouts,
    TransportError, connect, serve,
};
use narthex_channel::{Accepting, Address, Opening};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const TIMEOUT: Duration = Duration::from_secs(5);

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn unix(directory: &Path, name: &str) -> Address {
    Address::Unix(directory.join(name))
}

/// A session over two connected streams, one content each way.
async fn converse(here: Stream, there: Stream) {
    let here = async {
        let mut here = Connection::initiate(here, &Opening::Diagnostics, Timeouts::DEFAULT)
            .await
            .unwrap();
        assert_eq!(
            here.receive().await.unwrap().unwrap().as_bytes(),
            b"welcome"
        );
        here.send(b"request").await.unwrap();
        here.close().await.unwrap();
    };
    let there = async {
        let mut there = Connection::respond(there, &Accepting::Diagnostics, Timeouts::DEFAULT)
            .await
            .unwrap();
        there.send(b"welcome").await.unwrap();
        assert_eq!(
            there.receive().await.unwrap().unwrap().as_bytes(),
            b"request"
        );
        there.close().await.unwrap();
    };
    tokio::join!(here, there);
}

#[tokio::test]
async fn a_session_over_tcp() {
    let listener = Listener::bind(&address("tcp:127.0.0.1:0")).await.unwrap();
    let address = listener.local_address().unwrap();
    let here = connect(&address, TIMEOUT).await.unwrap();
    let (there, peer) = listener.accept().await.unwrap();
    assert!(matches!(peer, PeerAddress::Tcp(peer) if peer.ip().is_loopback()));
    converse(here, there).await;
}

#[tokio::test]
async fn a_session_over_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let address = unix(directory.path(), "gate.sock");
    let Address::Unix(path) = &address else {
        panic!()
    };
    let listener = Listener::bind(&address).await.unwrap();
    assert_eq!(listener.local_address().unwrap(), address);
    assert_eq!(
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let here = connect(&address, TIMEOUT).await.unwrap();
    let (there, peer) = listener.accept().await.unwrap();
    let own_id = i32::try_from(std::process::id()).unwrap();
    assert!(matches!(peer, PeerAddress::Unix { pid: Some(pid), .. } if pid == own_id));
    converse(here, there).await;

    drop(listener);
    assert!(!path.exists(), "the socket's file goes with its listener");
}

#[tokio::test]
async fn an_abandoned_socket_file_is_replaced_and_a_used_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let address = unix(directory.path(), "s");
    let Address::Unix(path) = &address else {
        panic!()
    };
    drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    assert!(path.exists());
    let first = Listener::bind(&address).await.unwrap();
    assert_eq!(
        Listener::bind(&address).await.err().unwrap().id(),
        "io.listen"
    );
    assert!(connect(&address, TIMEOUT).await.is_ok());
    drop(first);

    // A file that is no socket stays what it is.
    std::fs::write(path, b"content").unwrap();
    assert_eq!(
        Listener::bind(&address).await.err().unwrap().id(),
        "io.listen"
    );
    assert_eq!(std::fs::read(path).unwrap(), b"content");
}

#[tokio::test]
async fn a_dropped_listener_leaves_the_file_of_its_successor() {
    let directory = tempfile::tempdir().unwrap();
    let address = unix(directory.path(), "s");
    let Address::Unix(path) = &address else {
        panic!()
    };
    let first = Listener::bind(&address).await.unwrap();
    std::fs::remove_file(path).unwrap();
    let second = Listener::bind(&address).await.unwrap();
    drop(first);
    assert!(path.exists());
    drop(second);
    assert!(!path.exists());
}

#[tokio::test]
async fn inherited_sockets_are_taken_over() {
    let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
    let (here, there) = (OwnedFd::from(here), OwnedFd::from(there));
    converse(
        Stream::from_fd(here).unwrap(),
        Stream::from_fd(there).unwrap(),
    )
    .await;

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listener = Listener::from_fd(OwnedFd::from(listener)).unwrap();
    let here = connect(&listener.local_address().unwrap(), TIMEOUT)
        .await
        .unwrap();
    let (there, _) = listener.accept().await.unwrap();
    converse(here, there).await;

    // Given away and taken over again, with its file.
    let directory = tempfile::tempdir().unwrap();
    let address = unix(directory.path(), "s");
    let fd = Listener::bind(&address).await.unwrap().into_fd().unwrap();
    let listener = Listener::from_fd(fd).unwrap();
    let here = connect(&address, TIMEOUT).await.unwrap();
    let (there, _) = listener.accept().await.unwrap();
    converse(here, there).await;

    let no_socket = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
    assert!(Stream::from_fd(no_socket).is_err());
}

#[tokio::test]
async fn a_session_through_a_hybrid_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vm.sock");
    // The monitor: a stub that answers and joins the two streams.
    let monitor = Listener::bind(&Address::Unix(path.clone())).await.unwrap();
    let guest = Listener::bind(&unix(directory.path(), "guest"))
        .await
        .unwrap();
    let guest_address = guest.local_address().unwrap();
    tokio::spawn(async move {
        let (mut host, _) = monitor.accept().await.unwrap();
        let mut asked = [0; 13];
        host.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"CONNECT 5000\n");
        let mut inside = connect(&guest_address, TIMEOUT).await.unwrap();
        host.write_all(b"OK 1073741824\n").await.unwrap();
        let _ended = tokio::io::copy_bidirectional(&mut host, &mut inside).await;
    });
    let here = connect(&Address::Hybrid { path, port: 5000 }, TIMEOUT)
        .await
        .unwrap();
    let (there, _) = guest.accept().await.unwrap();
    converse(here, there).await;
}

#[tokio::test]
async fn the_host_side_of_a_hybrid_socket_listens_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vm.sock");
    let hybrid = Address::Hybrid {
        path: path.clone(),
        port: 9000,
    };
    let listener = Listener::bind(&hybrid).await.unwrap();
    let beside = Address::Unix(directory.path().join("vm.sock_9000"));
    assert_eq!(listener.local_address().unwrap(), beside);
    let here = connect(&beside, TIMEOUT).await.unwrap();
    let (there, _) = listener.accept().await.unwrap();
    converse(here, there).await;
}

#[tokio::test]
async fn a_monitor_that_does_not_answer_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("vm.sock");
    let _silent = Listener::bind(&Address::Unix(path.clone())).await.unwrap();
    let hybrid = Address::Hybrid { path, port: 5000 };
    let outcome = connect(&hybrid, Duration::from_millis(50)).await;
    assert_eq!(outcome.err().unwrap().id(), "timeout.connect");
}

#[tokio::test]
async fn nobody_there_is_an_error_of_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let outcome = connect(&unix(directory.path(), "none"), TIMEOUT).await;
    let kind = std::io::ErrorKind::NotFound;
    let phase = narthex_channel::tokio::Phase::Connect;
    assert_eq!(outcome.err(), Some(TransportError::Io { phase, kind }));
}

/// Where the kernel has vsock with loopback, a session; elsewhere the reason of the refusal.
#[tokio::test]
async fn vsock_where_there_is_any() {
    let listener = match Listener::bind(&address("vsock:1:47000")).await {
        Ok(listener) => listener,
        Err(error) => {
            assert_eq!(error.id(), "io.listen");
            let refused = connect(&address("vsock:1:47000"), TIMEOUT).await;
            assert!(["io.connect", "timeout.connect"].contains(&refused.err().unwrap().id()));
            return;
        }
    };
    let here = connect(&address("vsock:1:47000"), TIMEOUT).await.unwrap();
    let (there, peer) = listener.accept().await.unwrap();
    assert!(matches!(peer, PeerAddress::Vsock { .. }));
    converse(here, there).await;
}

#[tokio::test]
async fn connections_are_served_until_told_to_stop() {
    let listener = Listener::bind(&address("tcp:127.0.0.1:0")).await.unwrap();
    let address = listener.local_address().unwrap();
    let limits = ServeLimits {
        max_connections: 2,
        max_lifetime: Duration::from_secs(10),
        drain: Duration::from_secs(10),
    };
    let statistics = Arc::new(ServeStatistics::default());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let counted = Arc::clone(&statistics);
    let serving = tokio::spawn(async move {
        let stopped = async { drop(stopped.await) };
        serve(
            &listener,
            limits,
            &counted,
            stopped,
            |stream, _peer| async move {
                let accepting = Accepting::Diagnostics;
                let connection = Connection::respond(stream, &accepting, Timeouts::DEFAULT).await;
                let mut connection = connection.unwrap();
                while let Some(content) = connection.receive().await.unwrap() {
                    connection.send(content.as_bytes()).await.unwrap();
                }
                connection.close().await.unwrap();
            },
        )
        .await;
    });
    let clients: Vec<_> = (0..8_u8)
        .map(|number| {
            let address = address.clone();
            tokio::spawn(async move {
                let stream = connect(&address, TIMEOUT).await.unwrap();
                let opening = Opening::Diagnostics;
                let mut connection = Connection::initiate(stream, &opening, Timeouts::DEFAULT)
                    .await
                    .unwrap();
                connection.send(&[number; 1000]).await.unwrap();
                let echoed = connection.receive().await.unwrap().unwrap();
                assert_eq!(echoed.as_bytes(), [number; 1000]);
                connection.close().await.unwrap();
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    stop.send(()).unwrap();
    serving.await.unwrap();
    let summary = statistics.summary();
    assert_eq!(
        (
            summary.accepted,
            summary.open,
            summary.expired,
            summary.failed
        ),
        (8, 0, 0, 0)
    );
}
