//! The one thread that writes: jobs in, one transaction for each group of them, answers after the commit.
//!
//! A job runs inside a savepoint, so one that fails takes nothing of its group with it. What the group did
//! becomes durable with one `COMMIT` (`synchronous=FULL`), and only then does anybody hear about it. When
//! the commit fails, the memory goes back to where it was, and every job of the group is told so.
//!
//! Entries, their evidence, tiles, the signed checkpoint and whatever else the jobs changed become durable together: no
//! kill can separate them. The checkpoint is shown to nobody before that, so no two trees are ever signed.
//!
//! After an error of the disk itself nothing is decided until the next start: after a failed `fsync` Linux may
//! have dropped the pages, so what the file holds can only be learned by reading it afresh.

use std::{
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use narthex_ledger::{Hash, HashSource};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    error::StoreError,
    schema::BUSY_TIMEOUT,
    state::{Place, State},
    tree::Tree,
    writing::Writing,
};
use crate::{
    log::{Published, Shown},
    metrics::Metrics,
};

/// Jobs that may wait; more make their senders wait.
const QUEUE: usize = 1024;
/// How long the writer waits for readers before it empties the write-ahead log.
const EMPTY_PATIENCE: Duration = Duration::from_millis(200);
/// How often it tries again when somebody reads for longer than that, as `check` does.
const EMPTY_EVERY: Duration = Duration::from_secs(10);
/// How long a service without room says so before it tries again.
const FULL_FOR: Duration = Duration::from_secs(60);

trait Job: Send {
    /// Does the work; `Err` asks for everything it did to be taken back.
    fn run(&mut self, writing: &mut Writing<'_>) -> Result<(), StoreError>;
    /// Tells the sender, once the group is durable or lost.
    fn answer(self: Box<Self>, group: Result<(), StoreError>);
}

struct Pending<W, T> {
    work: Option<W>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<W, T> Job for Pending<W, T>
where
    W: FnOnce(&mut Writing<'_>) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn run(&mut self, writing: &mut Writing<'_>) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else {
            return Ok(());
        };
        let result = work(writing);
        let outcome = result.as_ref().map(|_| ()).map_err(Clone::clone);
        self.result = Some(result);
        outcome
    }

    fn answer(self: Box<Self>, group: Result<(), StoreError>) {
        let result = match (self.result, group) {
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Stopped),
        };
        // A sender that went away has no use for the answer; what is recorded stays recorded.
        drop(self.reply.send(result));
    }
}

/// The way to the writer. Cheap to clone; the writer ends when the last one is dropped.
#[derive(Clone)]
pub struct Store {
    jobs: mpsc::Sender<Box<dyn Job>>,
    failed: Arc<AtomicBool>,
    /// When a group was last lost because the disk or the database had no room; `None` after one that was written.
    full: Arc<Mutex<Option<Instant>>>,
    published: watch::Receiver<Published>,
    tree: SharedTree,
}

/// The right edge of the tree of durable entries, for proofs that need no disk.
#[derive(Clone)]
pub struct SharedTree(Arc<RwLock<(u32, Tree)>>);

impl SharedTree {
    /// Lends the tree to `work`, if it is that of this epoch. It is never smaller than a checkpoint that was published.
    pub fn with<T>(&self, epoch: u32, work: impl FnOnce(&Tree) -> T) -> Option<T> {
        let tree = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (tree.0 == epoch).then(|| work(&tree.1))
    }

    /// Goes on to what is durable now.
    fn follow(&self, epoch: u32, grown: &Tree) {
        let mut tree = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (known_epoch, known) = &mut *tree;
        let new = (known.size()..grown.size())
            .map(|index| grown.subtree(0, index).ok())
            .collect::<Option<Vec<Hash>>>();
        match new {
            Some(new) if *known_epoch == epoch && known.size() <= grown.size() => {
                new.into_iter().for_each(|hash| known.append(hash));
                known.prune();
            }
            _ => *tree = (epoch, grown.clone()),
        }
    }
}

impl Store {
    /// Starts the writer.
    pub(crate) fn start(
        connection: Connection,
        state: State,
        newest: Shown,
        group_limit: usize,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, JoinHandle<()>), StoreError> {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let failed = Arc::new(AtomicBool::new(false));
        let full = Arc::new(Mutex::new(None));
        let newest = Arc::new(newest);
        let Place { epoch, .. } = state.log.place();
        let (publish, published) = watch::channel(Published {
            epoch,
            current: state.log.ends_with_current.then(|| Arc::clone(&newest)),
            newest,
        });
        let tree = SharedTree(Arc::new(RwLock::new((epoch, state.log.tree.clone()))));
        let writer = Writer {
            connection,
            state,
            group_limit,
            metrics,
            failed: Arc::clone(&failed),
            full: Arc::clone(&full),
            publish,
            tree: tree.clone(),
            kept: None,
        };
        let thread = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        let store = Self {
            jobs,
            failed,
            full,
            published,
            tree,
        };
        Ok((store, thread))
    }

    /// The newest checkpoint, again after each group that recorded something.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Published> {
        self.published.clone()
    }

    /// The tree of durable entries.
    #[must_use]
    pub fn tree(&self) -> &SharedTree {
        &self.tree
    }

    /// Has `work` done by the writer, and returns once it is durable.
    ///
    /// # Errors
    ///
    /// What `work` returned, in which case nothing of it was done; or what made the group fail, in which
    /// case nothing of it is visible now, though after [`StoreError::Failed`] it may be at the next start.
    pub async fn write<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Writing<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Pending {
            work: Some(work),
            result: None,
            reply,
        };
        self.jobs
            .send(Box::new(job))
            .await
            .map_err(|_| StoreError::Stopped)?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }

    /// [`Self::write`] for a thread that may block: not one of the runtime's own.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub(crate) fn write_blocking<T, W>(&self, work: W) -> Result<T, StoreError>
    where
        T: Send + 'static,
        W: FnOnce(&mut Writing<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Pending {
            work: Some(work),
            result: None,
            reply,
        };
        self.jobs
            .blocking_send(Box::new(job))
            .map_err(|_| StoreError::Stopped)?;
        answer.blocking_recv().map_err(|_| StoreError::Stopped)?
    }

    /// Whether a group was lost for want of room, within the last minute and with none written since. Nobody
    /// asks a service that is not ready, so the minute is what finds out that there is room again.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some_and(|since| since.elapsed() < FULL_FOR)
    }

    /// Whether the disk failed, so that nothing is decided any more.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// Whether the writer still takes jobs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        !self.jobs.is_closed()
    }
}

struct Writer {
    connection: Connection,
    state: State,
    group_limit: usize,
    metrics: Arc<Metrics>,
    failed: Arc<AtomicBool>,
    /// When a group was last lost because the disk or the database had no room; `None` after one that was written.
    full: Arc<Mutex<Option<Instant>>>,
    publish: watch::Sender<Published>,
    tree: SharedTree,
    /// When the write-ahead log could last not be emptied.
    kept: Option<Instant>,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Box<dyn Job>>) {
        self.forget_destroyed();
        while let Some(first) = queue.blocking_recv() {
            let mut group = vec![first];
            while group.len() < self.group_limit
                && let Ok(next) = queue.try_recv()
            {
                group.push(next);
            }
            self.carry_out(group);
        }
        // A clean end leaves one file, with nothing to recover.
        if let Err(error) = self.empty_write_ahead_log() {
            tracing::warn!(error = %error, "the last checkpoint failed; the next start does it");
        }
    }

    fn carry_out(&mut self, mut group: Vec<Box<dyn Job>>) {
        let started = Instant::now();
        let result = if self.failed.load(Ordering::Acquire) {
            Err(StoreError::Failed("an earlier write failed".to_owned()))
        } else {
            self.transact(&mut group)
        };
        if let Err(error) = &result {
            tracing::error!(id = error.id(), error = %error, jobs = group.len(), "a group of entries was lost");
            self.metrics.write_failed();
            if matches!(error, StoreError::Failed(_)) {
                self.failed.store(true, Ordering::Release);
            }
        }
        *self.full.lock().unwrap_or_else(PoisonError::into_inner) =
            matches!(result, Err(StoreError::Full)).then(Instant::now);
        if result.is_ok() {
            self.metrics.group_written(group.len(), started.elapsed());
            self.forget_destroyed();
        }
        for job in group {
            job.answer(result.clone());
        }
    }

    /// Empties the write-ahead log if something that was destroyed may stand in it: SQLite writes over it only when it
    /// begins it anew, which may be never.
    fn forget_destroyed(&mut self) {
        let tried = self.kept.is_some_and(|kept| kept.elapsed() < EMPTY_EVERY);
        if !self.state.destroyed || tried {
            return;
        }
        let emptied = self
            .connection
            .busy_timeout(EMPTY_PATIENCE)
            .and_then(|()| self.empty_write_ahead_log());
        let restored = self.connection.busy_timeout(BUSY_TIMEOUT);
        let trouble = match emptied.and_then(|emptied| restored.map(|()| emptied)) {
            Ok(true) => {
                self.state.destroyed = false;
                self.kept = None;
                return;
            }
            Ok(false) => "somebody reads the database".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(
            "what was destroyed may still stand in the write-ahead log: {trouble}; tried again later"
        );
        self.kept = Some(Instant::now());
    }

    /// Moves everything into the database file; says whether nothing was left behind.
    fn empty_write_ahead_log(&self) -> rusqlite::Result<bool> {
        let busy = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        let busy = self
            .connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], busy)?;
        Ok(busy == 0)
    }

    fn transact(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        let before = self.state.bookmark();
        let result = self.transact_inner(group);
        if result.is_err() {
            // SQLite may have ended the transaction by itself; then there is nothing to roll back.
            if !self.connection.is_autocommit()
                && let Err(error) = self.connection.execute_batch("ROLLBACK")
            {
                self.failed.store(true, Ordering::Release);
                tracing::error!(error = %error, "the rollback failed");
            }
            self.state.roll_back_to(before);
        }
        self.state.undo.clear();
        for work in std::mem::take(&mut self.state.after_commit) {
            work();
        }
        result.map(|shown| {
            if let Some(shown) = shown {
                self.publish(shown);
            }
        })
    }

    fn transact_inner(&mut self, group: &mut [Box<dyn Job>]) -> Result<Option<Shown>, StoreError> {
        let before = self.state.log.place();
        self.step("BEGIN IMMEDIATE")?;
        for job in group {
            self.run_one(job.as_mut())?;
        }
        let shown = Writing {
            connection: &self.connection,
            state: &mut self.state,
        }
        .finish(before)?;
        self.step("COMMIT")?;
        Ok(shown)
    }

    /// Tells everybody what is durable now. The tree first: whoever sees a checkpoint can prove what is in it.
    fn publish(&mut self, shown: Shown) {
        let Place { epoch, .. } = self.state.log.place();
        self.tree.follow(epoch, &self.state.log.tree);
        self.state.log.tree.prune();
        let newest = Arc::new(shown);
        let is_current = self.state.log.ends_with_current;
        self.publish.send_modify(|published| {
            if is_current {
                published.current = Some(Arc::clone(&newest));
            } else if published.epoch != epoch {
                published.current = None;
            }
            published.epoch = epoch;
            published.newest = newest;
        });
    }

    /// A statement that every group needs, parsed once.
    fn step(&self, sql: &'static str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Runs a job; `Err` only when the whole group is lost.
    fn run_one(&mut self, job: &mut dyn Job) -> Result<(), StoreError> {
        let bookmark = self.state.bookmark();
        self.step("SAVEPOINT job")?;
        let outcome = job.run(&mut Writing {
            connection: &self.connection,
            state: &mut self.state,
        });
        match outcome {
            Ok(()) => self.step("RELEASE job")?,
            Err(StoreError::Failed(message)) => return Err(StoreError::Failed(message)),
            // SQLite ended the transaction by itself, as it does when the disk is full.
            Err(error) if self.connection.is_autocommit() => return Err(error),
            Err(_) => {
                self.connection
                    .execute_batch("ROLLBACK TO job; RELEASE job")?;
                self.state.roll_back_to(bookmark);
            }
        }
        Ok(())
    }
}
