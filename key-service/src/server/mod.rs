//! The running program: open everything, listen, stop in order.
//!
//! Order of a stop: `readyz` says so, listeners close, sessions in progress get their time, what was only counted
//! is recorded, the writer ends. A stop that is not given that time (`kill -9`) loses none of what was answered.

mod log_side;
mod sessions;
mod start_error;

use std::{
    future::Future,
    sync::{Arc, Mutex, atomic::AtomicBool},
    thread::JoinHandle,
    time::Duration,
};

use narthex_channel::{
    Address, StaticSecret,
    tokio::{Listener, ServeLimits, ServeStatistics, Timeouts, serve},
};
use narthex_verifier::TrustAnchors;
use tokio::{sync::watch, task::JoinSet};

use self::log_side::LogSide;
pub use self::start_error::StartError;
use crate::{
    administration::rewrap_all,
    clock::{Clock, SystemClock},
    config::{Config, LimitsConfig},
    http,
    lineage::{CurrentLineage, Lineage},
    log::{Log, LogStop},
    log_key,
    metrics::Metrics,
    refusals::Refusals,
    root_key::RootKeys,
    service::{Contexts, Listening, Service},
    static_key,
    storage::{Database, Opened},
};

/// A session of administration may rotate the root key of a full database.
const ADMINISTRATION_LIFETIME: Duration = Duration::from_secs(600);
/// Sessions of administration at once: a few people, each of whom may send four megabytes.
const ADMINISTRATION_CONNECTIONS: usize = 16;
/// Sessions of policy at once, each of which may get four megabytes. Whoever waits gets its turn soon.
const POLICY_CONNECTIONS: usize = 128;
/// Sessions of submissions at once: people, each of whom waits for the witnesses.
const SUBMISSION_CONNECTIONS: usize = 256;
/// Connections to the health page at once.
const HTTP_CONNECTIONS: usize = 32;
/// How often evidence that has become too old is looked for.
const PURGE_EVERY: Duration = Duration::from_secs(3600);
/// Longest life of a connection to the health page.
const HTTP_LIFETIME: Duration = Duration::from_secs(10);

/// A service that listens and is not serving yet.
pub struct Server {
    service: Arc<Service>,
    listeners: Vec<Bound>,
    log: LogSide,
    static_key: Arc<StaticSecret>,
    limits: LimitsConfig,
    current: Duration,
    writer: JoinHandle<()>,
    /// Held to the end.
    _database: Database,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Keys,
    Administration,
    Policy,
    Submissions,
    Http,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Administration => "administration",
            Self::Policy => "policy",
            Self::Submissions => "submissions",
            Self::Http => "http",
        }
    }
}

struct Bound {
    purpose: Purpose,
    listener: Listener,
    statistics: Arc<ServeStatistics>,
}

impl Server {
    /// Checks the whole database, judges the stored policy again, finishes a rotation of the root key that was
    /// cut off, and listens.
    ///
    /// # Errors
    ///
    /// [`StartError`]
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        Self::start_with(config, Arc::new(SystemClock)).await
    }

    /// [`Self::start`] with another clock, for tests.
    ///
    /// # Errors
    ///
    /// [`StartError`]
    pub async fn start_with(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, StartError> {
        let static_key =
            static_key::load(&config.storage.static_key).map_err(StartError::StaticKey)?;
        let root_keys = RootKeys::load(&config.storage.root_key).map_err(StartError::RootKey)?;
        let anchors = anchors(config)?;
        let metrics = Arc::new(Metrics::default());
        let database = Database::lock(&config.storage)?;
        let group = usize::try_from(config.limits.group_decisions).unwrap_or(1);
        let log_key = log_key::load(&config.storage.log_key).map_err(StartError::LogKey)?;
        let opened = database.open(&root_keys, Arc::new(log_key), group, Arc::clone(&metrics))?;
        drop(root_keys);
        let lineage = Lineage::replay(&opened.policy_files).map_err(StartError::Lineage)?;
        report(&opened, &metrics);
        if opened.rows_to_rewrap > 0 {
            rewrap_all(&opened.store).await?;
        }
        warn_about_static_key(&lineage, &static_key);

        let listeners = bind_all(config).await?;
        let Opened {
            store,
            writer,
            genesis,
            epochs,
            ..
        } = opened;
        let log = Log::new(config, &store, epochs)?;
        let now = clock.now();
        let contexts =
            Contexts::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
        let service = Service {
            store,
            lineage: CurrentLineage::new(lineage),
            genesis,
            anchors,
            contexts,
            refusals: Refusals::new(config.limits.recorded_refusals_per_minute),
            refusals_of_people: Refusals::new(config.limits.recorded_refusals_per_minute),
            log,
            metrics,
            clock,
            root_key_file: config.storage.root_key.clone(),
            administration: tokio::sync::Mutex::new(()),
            stopping: AtomicBool::new(false),
            summarised: Mutex::new(now),
            listeners: listeners.iter().map(listening).collect(),
        };
        let service = Arc::new(service);
        let log = LogSide::start(config, &service).await?;
        Ok(Self {
            service,
            listeners,
            log,
            static_key: Arc::new(static_key),
            limits: config.limits.clone(),
            current: Duration::from_secs(config.ledger.current_seconds.into()),
            writer,
            _database: database,
        })
    }

    /// What requests are answered with.
    #[must_use]
    pub fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// Where it listens for a purpose (`keys`, `administration`, `policy`, `submissions`, `log`, `http`), ports of 0
    /// resolved.
    #[must_use]
    pub fn addresses(&self, purpose: &str) -> Vec<Address> {
        if purpose == "log" {
            return self.log.addresses();
        }
        self.listeners
            .iter()
            .filter(|bound| bound.purpose.name() == purpose)
            .filter_map(|bound| bound.listener.local_address().ok())
            .collect()
    }

    /// Serves until `stop` is ready, then ends in order.
    ///
    /// # Errors
    ///
    /// [`LogStop`] when a witness saw another log than this one, or nothing can be added to it any more; the end is in
    /// order then, too.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), LogStop> {
        let Self {
            service,
            listeners,
            log,
            static_key,
            limits,
            current,
            writer,
            _database,
        } = self;
        let (stopper, stopped) = watch::channel(());
        let mut tasks = JoinSet::new();
        for bound in listeners {
            let (service, static_key) = (Arc::clone(&service), Arc::clone(&static_key));
            tasks.spawn(listen(
                bound,
                service,
                static_key,
                limits.clone(),
                stopped.clone(),
            ));
        }
        let summaries = tokio::spawn(summarise(Arc::clone(&service), limits.summary()));
        let currency = tokio::spawn(state_currency(Arc::clone(&service), current));
        let purging = tokio::spawn(purge(Arc::clone(&service)));
        let LogSide {
            cosigner,
            listeners: log_listeners,
        } = log;
        let readers = tokio::spawn(log_side::serve_readers(
            Arc::clone(&service),
            log_listeners,
            stopped.clone(),
        ));
        let mut cosigning = JoinSet::new();
        cosigning.spawn(cosigner.run());
        drop(stopped);
        let published = service.store.published().borrow().clone();
        tracing::info!(
            genesis = %service.genesis,
            bundle_version = service.lineage.get().policy().version(),
            epoch = published.epoch,
            entries = published.newest.size,
            "serving"
        );

        let outcome = tokio::select! {
            () = stop => Ok(()),
            Some(ended) = cosigning.join_next() => ended.unwrap_or(Err(LogStop::Ended)),
        };
        if let Err(stopped) = &outcome {
            tracing::error!(id = stopped.id(), "{stopped}");
        }
        tracing::info!("stopping");
        service.begin_stopping();
        drop(stopper);
        while tasks.join_next().await.is_some() {}
        summaries.abort();
        currency.abort();
        purging.abort();
        // A call that is being carried out is carried out to its end, though nobody may wait for the answer.
        if tokio::time::timeout(limits.shutdown(), service.administration.lock())
            .await
            .is_err()
        {
            tracing::warn!(
                "an administrative call was cut off; it was recorded or it was not done"
            );
        }
        if outcome.is_ok() {
            // To a log that is not the one that people saw, nothing is added.
            service.summarise().await;
        }
        cosigning.shutdown().await;
        let _ended = readers.await;
        drop(service);
        let ended = tokio::task::spawn_blocking(move || writer.join());
        match tokio::time::timeout(limits.shutdown() + Duration::from_secs(5), ended).await {
            Ok(Ok(Ok(()))) => tracing::info!("stopped"),
            _ => tracing::error!("the writer did not end in time; what it answered is durable"),
        }
        outcome
    }
}

fn listening(bound: &Bound) -> Listening {
    Listening {
        purpose: bound.purpose.name(),
        address: bound
            .listener
            .local_address()
            .map_or_else(|_| String::new(), |address| address.to_string()),
        statistics: Arc::clone(&bound.statistics),
    }
}

/// The only root there is, in a build that is shipped.
#[cfg(not(feature = "dev-root"))]
fn anchors(_config: &Config) -> Result<TrustAnchors, StartError> {
    Ok(TrustAnchors::aws())
}

/// AWS's root, or the development root that the configuration names.
#[cfg(feature = "dev-root")]
fn anchors(config: &Config) -> Result<TrustAnchors, StartError> {
    let Some(path) = &config.insecure_development_root else {
        return Ok(TrustAnchors::aws());
    };
    let refuse = |message: String| StartError::DevelopmentRoot(message);
    let der = std::fs::read(path).map_err(|error| refuse(error.to_string()))?;
    let anchors =
        TrustAnchors::from_root_certificate(&der).map_err(|error| refuse(error.to_string()))?;
    if anchors.anchor().kind() != narthex_verifier::AnchorKind::InsecureDevelopment {
        return Err(refuse("this is not a development root".to_owned()));
    }
    tracing::warn!(
        insecure_development_root = true,
        "trusting a development root instead of AWS's"
    );
    Ok(anchors)
}

fn report(opened: &Opened, metrics: &Metrics) {
    metrics.altered_keys(opened.altered_keys.len() as u64);
    for finding in &opened.altered_keys {
        tracing::error!(
            id = finding.id(),
            "{finding}; this key is released to nobody"
        );
    }
    if opened.rows_to_rewrap > 0 {
        tracing::warn!(
            rows = opened.rows_to_rewrap,
            root_key = %opened.root_key,
            "a rotation of the root key was cut off; finishing it"
        );
    }
    tracing::info!(
        entries = opened.head.count,
        epoch = opened.head.epoch,
        root = %opened.head.root.to_base64(),
        root_key = %opened.root_key,
        "the database is what this service wrote"
    );
}

/// After a change of machines the newest bundle may name another service. Agents would refuse this one.
fn warn_about_static_key(lineage: &Lineage, static_key: &StaticSecret) {
    let named = lineage.policy().bundle().key_service.as_ref();
    let ours = static_key.public();
    if named.is_none_or(|named| named.static_key.as_bytes() != ours.as_bytes()) {
        tracing::warn!(
            static_key = hex::encode(ours.as_bytes()),
            "the bundle in force names another static key; agents will refuse this service"
        );
    }
}

async fn bind_all(config: &Config) -> Result<Vec<Bound>, StartError> {
    let listen = &config.listen;
    let mut wanted: Vec<(Purpose, String)> = Vec::new();
    wanted.extend(
        listen
            .keys
            .iter()
            .map(|address| (Purpose::Keys, address.clone())),
    );
    let administration = listen.administration.iter();
    wanted.extend(administration.map(|address| (Purpose::Administration, address.clone())));
    wanted.extend(
        listen
            .policy
            .iter()
            .map(|address| (Purpose::Policy, address.clone())),
    );
    let submissions = listen.submissions.iter();
    wanted.extend(submissions.map(|address| (Purpose::Submissions, address.clone())));
    wanted.extend(
        listen
            .http
            .iter()
            .map(|address| (Purpose::Http, format!("tcp:{address}"))),
    );
    let mut bound = Vec::with_capacity(wanted.len());
    for (purpose, text) in wanted {
        let address: Address = text
            .parse()
            .map_err(|error: narthex_channel::AddressError| {
                StartError::Address(text.clone(), error.id())
            })?;
        let listener = Listener::bind(&address)
            .await
            .map_err(|error| StartError::Listen(text.clone(), error))?;
        let found = Bound {
            purpose,
            listener,
            statistics: Arc::default(),
        };
        let Listening { address, .. } = listening(&found);
        tracing::info!(purpose = purpose.name(), address, "listening");
        bound.push(found);
    }
    Ok(bound)
}

/// Has the log say which bundle is in force, now and again after each while: agents that boot demand that witnesses saw
/// it lately.
async fn state_currency(service: Arc<Service>, every: Duration) {
    service.log_confirmed().await;
    loop {
        service.record_current().await;
        tokio::time::sleep(every).await;
    }
}

/// Deletes old evidence, if the configuration says so, now and every hour.
async fn purge(service: Arc<Service>) {
    service.log_confirmed().await;
    loop {
        service.purge_evidence().await;
        tokio::time::sleep(PURGE_EVERY).await;
    }
}

async fn summarise(service: Arc<Service>, every: Duration) {
    service.log_confirmed().await;
    loop {
        tokio::time::sleep(every).await;
        service.summarise().await;
    }
}

async fn listen(
    bound: Bound,
    service: Arc<Service>,
    static_key: Arc<StaticSecret>,
    limits: LimitsConfig,
    mut stopped: watch::Receiver<()>,
) {
    let Bound {
        purpose,
        listener,
        statistics,
    } = bound;
    let serve_limits = serve_limits(purpose, &limits);
    let timeouts = timeouts(purpose, &limits);
    // The sender is dropped to stop: then `changed` ends with an error.
    let stop = async move { while stopped.changed().await.is_ok() {} };
    serve(&listener, serve_limits, &statistics, stop, |stream, _peer| {
        let (service, static_key) = (Arc::clone(&service), Arc::clone(&static_key));
        async move {
            match purpose {
                Purpose::Keys => sessions::keys(&service, stream, &static_key, timeouts).await,
                Purpose::Administration => {
                    sessions::administration(&service, stream, &static_key, timeouts).await;
                }
                Purpose::Policy => sessions::policy(&service, stream, timeouts).await,
                Purpose::Submissions => {
                    sessions::submissions(&service, stream, &static_key, timeouts).await;
                }
                Purpose::Http => {
                    if let Err(error) = http::answer(&service, stream).await {
                        tracing::debug!(error = %error, "a request for the health page broke off");
                    }
                }
            }
        }
    })
    .await;
}

fn serve_limits(purpose: Purpose, limits: &LimitsConfig) -> ServeLimits {
    let connections = usize::try_from(limits.connections_per_listener).unwrap_or(1);
    ServeLimits {
        max_connections: match purpose {
            Purpose::Http => HTTP_CONNECTIONS,
            Purpose::Administration => connections.min(ADMINISTRATION_CONNECTIONS),
            Purpose::Policy => connections.min(POLICY_CONNECTIONS),
            Purpose::Submissions => connections.min(SUBMISSION_CONNECTIONS),
            Purpose::Keys => connections,
        },
        max_lifetime: match purpose {
            Purpose::Http => HTTP_LIFETIME,
            Purpose::Administration => ADMINISTRATION_LIFETIME,
            Purpose::Keys | Purpose::Policy | Purpose::Submissions => limits.session(),
        },
        drain: limits.shutdown(),
    }
}

fn timeouts(purpose: Purpose, limits: &LimitsConfig) -> Timeouts {
    let Timeouts {
        handshake,
        idle,
        message,
    } = Timeouts::DEFAULT;
    let session = limits.session();
    Timeouts {
        handshake: handshake.min(session),
        idle: match purpose {
            Purpose::Administration => idle,
            Purpose::Keys | Purpose::Policy | Purpose::Submissions | Purpose::Http => {
                idle.min(session)
            }
        },
        message: match purpose {
            Purpose::Administration => message,
            Purpose::Keys | Purpose::Policy | Purpose::Submissions | Purpose::Http => {
                message.min(session)
            }
        },
    }
}
