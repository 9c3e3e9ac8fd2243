//! Accepting connections, for as long as the program runs.

use core::future::Future;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::io;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Listener, PeerAddress, Stream};

/// How many connections are served at once, and how to end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServeLimits {
    /// Connections served at once. Further ones wait in the kernel's queue, and are dropped by it
    /// when that is full.
    pub max_connections: usize,
    /// The longest life of a connection, whatever it does. What a handler has not finished by then
    /// is dropped.
    pub max_lifetime: Duration,
    /// How long connections may go on once `stop` has come, before they are dropped.
    pub drain: Duration,
}

/// What a listener has seen; shared, so that diagnostics and metrics can read it at any time.
#[derive(Debug, Default)]
pub struct ServeStatistics {
    accepted: AtomicU64,
    ended: AtomicU64,
    expired: AtomicU64,
    failed: AtomicU64,
    waits: AtomicU64,
}

/// One look at [`ServeStatistics`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ServeSummary {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections being served now.
    pub open: u64,
    /// Connections dropped because their lifetime or the draining time was over.
    pub expired: u64,
    /// Attempts to accept that failed.
    pub failed: u64,
    /// Times that accepting had to wait because `max_connections` were open.
    pub waits: u64,
}

impl ServeStatistics {
    /// The numbers now.
    #[must_use]
    pub fn summary(&self) -> ServeSummary {
        let accepted = self.accepted.load(Ordering::Relaxed);
        ServeSummary {
            accepted,
            open: accepted.saturating_sub(self.ended.load(Ordering::Relaxed)),
            expired: self.expired.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            waits: self.waits.load(Ordering::Relaxed),
        }
    }
}

/// Accepts connections and runs `handler` on each as a task of its own, until `stop` is ready.
///
/// No failure to accept ends it, be it an aborted connection or a lack of file descriptors:
/// it pauses, at most a second, and goes on. A handler that panics ends its own
/// connection only. Dropping the future drops all connections.
pub async fn serve<H, F>(
    listener: &Listener,
    limits: ServeLimits,
    statistics: &Arc<ServeStatistics>,
    stop: impl Future<Output = ()>,
    handler: H,
) where
    H: Fn(Stream, PeerAddress) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let handle = |(stream, peer)| handler(stream, peer);
    accept_all(|| listener.accept(), limits, statistics, stop, handle).await;
}

/// [`serve`] over any source of connections.
async fn accept_all<C, A, H, F>(
    mut accept: impl FnMut() -> A,
    limits: ServeLimits,
    statistics: &Arc<ServeStatistics>,
    stop: impl Future<Output = ()>,
    handler: H,
) where
    A: Future<Output = io::Result<C>>,
    H: Fn(C) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(
        limits.max_connections.min(Semaphore::MAX_PERMITS),
    ));
    let mut tasks = JoinSet::new();
    let mut pause = Pause::default();
    let accepting = async {
        loop {
            while tasks.try_join_next().is_some() {}
            if places.available_permits() == 0 {
                count(&statistics.waits);
            }
            let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                return;
            };
            match accept().await {
                Ok(connection) => {
                    pause = Pause::default();
                    count(&statistics.accepted);
                    let ended = Ended(Arc::clone(statistics));
                    let work = handler(connection);
                    tasks.spawn(async move {
                        let _place = place;
                        let ended = ended;
                        if tokio::time::timeout(limits.max_lifetime, work)
                            .await
                            .is_err()
                        {
                            count(&ended.0.expired);
                        }
                    });
                }
                Err(error) => {
                    count(&statistics.failed);
                    pause.after(&error).await;
                }
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = stop => {}
    }
    let drained = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, drained).await.is_err() {
        let dropped = u64::try_from(tasks.len()).unwrap_or(u64::MAX);
        statistics.expired.fetch_add(dropped, Ordering::Relaxed);
        tasks.shutdown().await;
    }
}

/// Counts a connection as ended however its task ends.
struct Ended(Arc<ServeStatistics>);

impl Drop for Ended {
    fn drop(&mut self) {
        count(&self.0.ended);
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How long to wait after a failed attempt: not at all if only that connection was concerned,
/// otherwise twice as long each time, from 10 ms to 1 s.
#[derive(Default)]
struct Pause {
    failures: u32,
}

impl Pause {
    async fn after(&mut self, error: &io::Error) {
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, NotConnected};

        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionReset | Interrupted | NotConnected
        ) {
            // Lets other tasks run, so that a stream of aborted connections starves nobody.
            tokio::task::yield_now().await;
            return;
        }
        let millis = 10_u64.saturating_mul(1 << self.failures.min(7)).min(1000);
        self.failures = self.failures.saturating_add(1);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}

#[cfg(test)]
mod tests {
    use core::cell::RefCell;
    use std::collections::VecDeque;

    use super::*;

    const LIMITS: ServeLimits = ServeLimits {
        max_connections: 2,
        max_lifetime: Duration::from_secs(30),
        drain: Duration::from_secs(5),
    };

    /// Accepts what the script says, then waits forever.
    async fn run<H, F>(
        script: Vec<io::Result<u32>>,
        limits: ServeLimits,
        run_for: Duration,
        handler: H,
    ) -> ServeSummary
    where
        H: Fn(u32) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let script = RefCell::new(VecDeque::from(script));
        let statistics = Arc::new(ServeStatistics::default());
        let accept = || {
            let next = script.borrow_mut().pop_front();
            async {
                match next {
                    Some(outcome) => outcome,
                    None => core::future::pending().await,
                }
            }
        };
        let stop = tokio::time::sleep(run_for);
        accept_all(accept, limits, &statistics, stop, handler).await;
        statistics.summary()
    }

    fn os(code: i32) -> io::Result<u32> {
        Err(io::Error::from_raw_os_error(code))
    }

    #[tokio::test(start_paused = true)]
    async fn no_failure_to_accept_ends_the_listener() {
        const EMFILE: i32 = 24;
        const ENFILE: i32 = 23;
        const ENOBUFS: i32 = 105;
        const ECONNABORTED: i32 = 103;
        const EPERM: i32 = 1;
        let mut script: Vec<_> = [EMFILE, ENFILE, ENOBUFS, ECONNABORTED, EPERM]
            .map(os)
            .into();
        script.extend((0..100).map(|_| os(EMFILE)));
        script.push(Ok(1));
        let summary = run(script, LIMITS, Duration::from_secs(200), |_| async {}).await;
        assert_eq!(
            (summary.accepted, summary.failed, summary.open),
            (1, 105, 0)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn connections_wait_for_a_place() {
        let script = (1..=5).map(Ok).collect();
        let second = Duration::from_secs(1);
        let begun = tokio::time::Instant::now();
        let (done, mut finished) = tokio::sync::mpsc::unbounded_channel();
        let summary = run(script, LIMITS, Duration::from_secs(10), move |number| {
            let done = done.clone();
            async move {
                tokio::time::sleep(second).await;
                done.send((number, begun.elapsed().as_secs())).unwrap();
            }
        })
        .await;
        assert_eq!((summary.accepted, summary.open, summary.expired), (5, 0, 0));
        assert!(summary.waits >= 2);
        let mut times = Vec::new();
        while let Some((_, time)) = finished.recv().await {
            times.push(time);
        }
        assert_eq!(times, [1, 1, 2, 2, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_with_its_lifetime() {
        let forever = |_| core::future::pending();
        let summary = run(vec![Ok(1)], LIMITS, Duration::from_secs(60), forever).await;
        assert_eq!((summary.accepted, summary.open, summary.expired), (1, 0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn stopping_waits_for_connections_but_not_for_ever() {
        let begun = tokio::time::Instant::now();
        let work = |number: u32| tokio::time::sleep(Duration::from_secs(u64::from(number)));
        let summary = run(vec![Ok(3), Ok(20)], LIMITS, Duration::from_secs(1), work).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(6));
        assert_eq!((summary.accepted, summary.open, summary.expired), (2, 0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_panics_ends_its_own_connection_only() {
        let script = vec![Ok(0), Ok(0), Ok(0), Ok(1)];
        let (done, mut finished) = tokio::sync::mpsc::unbounded_channel();
        let summary = run(script, LIMITS, Duration::from_secs(1), move |number| {
            let done = done.clone();
            async move {
                assert!(number != 0, "on purpose");
                done.send(number).unwrap();
            }
        })
        .await;
        assert_eq!((summary.accepted, summary.open), (4, 0));
        assert_eq!(finished.recv().await, Some(1));
    }
}
