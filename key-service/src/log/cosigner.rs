//! The task that shows checkpoints to the witnesses and wakes those who wait for them.
//!
//! Witnesses are asked at the same time, each at most once at a time. A witness that is away, or says something that
//! does not count, is asked again after a pause; it is named in the log on stderr, in the metrics and by `readyz`, and
//! nobody has to do anything when it is back. A witness that saw more than there is here, or something else, ends the
//! service: see [`LogStop`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use narthex_ledger::{
    AddCheckpoint, Hash, LogError, LogReason, NoteSignature, SignedNote, Trust, VerifierKey,
    tokio::{ClientLimits, HttpAddress, WitnessClient},
};
use tokio::{sync::watch, task::JoinSet, time::Instant};

use super::{
    agreement::{Agreement, Standing},
    published::Published,
    reply::{Asked, judge},
    rounds::{Agreed, Ask, LogStop, Reply, Rounds},
    trust_of,
};
use crate::service::Service;

/// How long the task sleeps at most: the policy is looked at this often, whatever else happens.
const TICK: Duration = Duration::from_secs(1);
/// How often cosignatures are written to the database. What is lost can be asked for again.
const STORE_EVERY: Duration = Duration::from_secs(1);

/// What the bundle in force says.
struct Rules {
    /// Names the state of the policy that this was read from.
    policy_files: u64,
    trust: Trust,
    keys: BTreeMap<String, VerifierKey>,
    quorum: usize,
}

/// The task.
pub(crate) struct Cosigner {
    service: Arc<Service>,
    published: watch::Receiver<Published>,
    clients: BTreeMap<String, Arc<WitnessClient>>,
    rules: Rules,
    rounds: Rounds<NoteSignature>,
    asking: JoinSet<(Ask, Reply<NoteSignature>)>,
    begun: Instant,
    confirmed: bool,
    /// Names of witnesses that were missing when the log on stderr last said so.
    reported: Vec<String>,
    /// The newest agreement, until it is in the database.
    unstored: Option<Arc<Agreement>>,
    stored_at: Option<Instant>,
    /// The size of the checkpoint with a `current` entry for which a new one was asked for.
    renewed: Option<u64>,
}

impl Cosigner {
    /// The task, with what is durable now.
    ///
    /// # Errors
    ///
    /// `log.policy`, `log.key` when the bundle in force names no log that can be trusted.
    pub(crate) fn new(
        service: Arc<Service>,
        addresses: &BTreeMap<String, HttpAddress>,
    ) -> Result<Self, LogError> {
        let timeout = service.log.settings.witness_timeout();
        let limits = ClientLimits {
            connect: timeout,
            stall: timeout,
            whole: timeout,
            retries: 1,
        };
        let clients = addresses
            .iter()
            .map(|(name, address)| {
                let client = WitnessClient::new(address.clone(), limits);
                (name.clone(), Arc::new(client))
            })
            .collect();
        let rules = Rules::of(&service)?;
        let rounds = Rounds::new(rules.names(), rules.quorum);
        let mut cosigner = Self {
            published: service.log.published.clone(),
            clients,
            rounds,
            rules,
            asking: JoinSet::new(),
            begun: Instant::now(),
            confirmed: false,
            reported: Vec::new(),
            unstored: None,
            stored_at: None,
            renewed: None,
            service,
        };
        cosigner.report_standing();
        Ok(cosigner)
    }

    /// Shows what is durable to everybody, and waits until each has confirmed it or was asked in vain, twice as long as
    /// one question may take at most. Says whether the quorum has confirmed it.
    ///
    /// # Errors
    ///
    /// [`LogStop`]: then nothing may be served.
    pub(crate) async fn confirm(&mut self) -> Result<bool, LogStop> {
        let deadline = Instant::now() + self.service.log.settings.witness_timeout() * 2;
        self.begin();
        while !self.asking.is_empty() {
            match tokio::time::timeout_at(deadline, self.asking.join_next()).await {
                Ok(Some(replied)) => self.replied(replied)?,
                Ok(None) => {}
                // What is still being asked is taken in later.
                Err(_elapsed) => break,
            }
            // Whoever corrected what we thought is asked again at once; whoever failed waits.
            self.begin();
        }
        Ok(self.confirmed)
    }

    /// Goes on for as long as the service runs.
    ///
    /// # Errors
    ///
    /// [`LogStop`]: then the service must end. There is no other end.
    pub(crate) async fn run(mut self) -> Result<(), LogStop> {
        loop {
            self.begin();
            self.store();
            self.renew_current();
            let now = self.now();
            let pause = self.rounds.wakes_at(now).map_or(TICK, |at| {
                Duration::from_millis(at.saturating_sub(now)).min(TICK)
            });
            tokio::select! {
                changed = self.published.changed() => {
                    if changed.is_err() {
                        // The writer is gone. In an orderly stop this task ends first.
                        return Err(LogStop::Ended);
                    }
                }
                Some(replied) = self.asking.join_next() => self.replied(replied)?,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Milliseconds since this task began; never goes back, whatever the system's clock does.
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes in what is new, and asks everybody who may be asked.
    fn begin(&mut self) {
        // A bundle is in force before its checkpoint is published. Looked at the other way round, that checkpoint could
        // be shown, or agreed on, under the bundle before it.
        let published = self.published.borrow_and_update().clone();
        self.look_at_policy();
        self.rounds.publish(published.newest, published.current);
        while let Some(agreed) = self.rounds.advance(self.now()) {
            self.agreed(agreed);
        }
        for ask in self.rounds.asks(self.now()) {
            self.ask(ask);
        }
        self.report_standing();
    }

    fn look_at_policy(&mut self) {
        if self.service.lineage.get().count() == self.rules.policy_files {
            return;
        }
        let rules = match Rules::of(&self.service) {
            Ok(rules) => rules,
            Err(error) => {
                tracing::error!(id = error.id(), %error, "the log of the bundle in force cannot be trusted");
                return;
            }
        };
        let same = rules.keys == self.rules.keys && rules.quorum == self.rules.quorum;
        self.rules = rules;
        if same {
            return;
        }
        tracing::info!(
            quorum = self.rules.quorum,
            witnesses = self.rules.keys.len(),
            "the bundle in force names other witnesses"
        );
        let names: Vec<_> = self.rules.names().collect();
        self.rounds.configure(&names, self.rules.quorum);
        self.service.log.agreements.forget();
    }

    fn ask(&mut self, ask: Ask) {
        let client = self.clients.get(&ask.witness).cloned();
        let key = self.rules.keys.get(&ask.witness).cloned();
        let service = Arc::clone(&self.service);
        self.asking.spawn(async move {
            let reply = match (client, key) {
                (Some(client), Some(key)) => ask_one(&service, &client, &key, &ask).await,
                _ => Reply::Failed("has no address under [ledger.witnesses]".to_owned()),
            };
            (ask, reply)
        });
    }

    fn replied(
        &mut self,
        replied: Result<(Ask, Reply<NoteSignature>), tokio::task::JoinError>,
    ) -> Result<(), LogStop> {
        let Ok((ask, reply)) = replied else {
            return Ok(());
        };
        if let Reply::Failed(words) = &reply {
            tracing::debug!(witness = ask.witness, "the witness did not cosign: {words}");
        }
        // What it may say is measured against what is durable now, not when it was asked.
        let published = self.published.borrow().clone();
        self.rounds.publish(published.newest, published.current);
        let now = self.now();
        if let Some(agreed) = self.rounds.replied(&ask, reply, now)? {
            self.agreed(agreed);
        }
        Ok(())
    }

    fn agreed(&mut self, agreed: Agreed<NoteSignature>) {
        let Agreed {
            shown,
            cosignatures,
            is_current,
        } = agreed;
        let note = SignedNote::parse(&shown.note).and_then(|mut note| {
            for line in cosignatures {
                note.add(line)?;
            }
            self.rules.trust.check(&note)?;
            Ok(note)
        });
        let note = match note {
            Ok(note) => note,
            Err(error) => {
                // Each cosignature was checked by itself, so this is a mistake of ours.
                tracing::error!(id = error.id(), %error, "a checkpoint with its quorum does not verify");
                return;
            }
        };
        self.confirmed = true;
        let agreement = Agreement {
            size: shown.size,
            note,
            at: self.service.now(),
        };
        self.unstored = Some(Arc::new(agreement.clone()));
        self.service.log.agreements.agreed(agreement, is_current);
    }

    /// Has the newest cosigned checkpoint written to the database, where readers find it after a restart. Nobody waits
    /// for it.
    fn store(&mut self) {
        let due = self
            .stored_at
            .is_none_or(|stored| stored.elapsed() >= STORE_EVERY);
        if !due {
            return;
        }
        let Some(agreement) = self.unstored.take() else {
            return;
        };
        self.stored_at = Some(Instant::now());
        let epoch = self.published.borrow().epoch;
        let (size, note) = (agreement.size, agreement.note.to_string());
        let store = self.service.store.clone();
        tokio::spawn(async move {
            let write = store.write(move |writing| writing.store_cosigned(epoch, size, &note));
            if let Err(error) = write.await {
                tracing::warn!(id = error.id(), %error, "a cosigned checkpoint could not be stored");
            }
        });
    }

    /// A proof that the bundle is in force needs the quorum on one exact size; when witnesses have gone past it, it
    /// takes another entry.
    fn renew_current(&mut self) {
        let current = self
            .published
            .borrow()
            .current
            .as_ref()
            .map(|shown| shown.size);
        if !self.rounds.needs_new_current() || self.renewed == current {
            return;
        }
        self.renewed = current;
        let service = Arc::clone(&self.service);
        tokio::spawn(async move { service.record_current().await });
    }

    fn report_standing(&mut self) {
        let missing = self.rounds.missing();
        let waits_since = self.rounds.waits_since();
        let standing = Standing {
            confirmed: self.confirmed || self.rules.quorum == 0,
            quorum: self.rules.quorum,
            waits_since: waits_since.map(|since| self.begun + Duration::from_millis(since)),
            missing,
        };
        self.service.log.agreements.report(standing.clone());
        let troubled: Vec<String> = standing
            .missing
            .iter()
            .filter(|(_, trouble)| trouble.is_some())
            .map(|(name, _)| name.clone())
            .collect();
        if troubled == self.reported {
            return;
        }
        for (name, trouble) in &standing.missing {
            if let Some(trouble) = trouble
                && !self.reported.contains(name)
            {
                tracing::warn!(
                    witness = name,
                    quorum = self.rules.quorum,
                    "a witness is missing: {trouble}"
                );
            }
        }
        for name in &self.reported {
            if !troubled.contains(name) {
                tracing::info!(witness = name, "the witness cosigns again");
            }
        }
        self.reported = troubled;
    }
}

impl Rules {
    /// What the bundle in force says. A bundle whose log cannot be trusted is not taken, so the error is for those who
    /// start with one.
    fn of(service: &Service) -> Result<Self, LogError> {
        let lineage = service.lineage.get();
        let words = "the bundle in force has no [ledger]";
        let ledger = lineage.policy().bundle().ledger.as_ref();
        let ledger = ledger.ok_or_else(|| LogError::new(LogReason::Policy, words))?;
        let trust = trust_of(ledger)?;
        let keys = trust.witnesses().iter().map(|witness| {
            let key = witness.key().clone();
            (key.name().to_owned(), key)
        });
        Ok(Self {
            policy_files: lineage.count(),
            keys: keys.collect(),
            quorum: ledger.quorum,
            trust,
        })
    }

    fn names(&self) -> impl Iterator<Item = String> {
        self.keys.keys().cloned()
    }
}

async fn ask_one(
    service: &Service,
    client: &WitnessClient,
    key: &VerifierKey,
    ask: &Ask,
) -> Reply<NoteSignature> {
    let target = &ask.target;
    let request = service
        .log
        .proofs
        .consistency(ask.old_size, target.size, &Hash(target.root))
        .and_then(|proof| {
            Ok(AddCheckpoint {
                old_size: ask.old_size,
                proof,
                checkpoint: SignedNote::parse(&target.note)?,
            })
        });
    let request = match request {
        Ok(request) => request,
        Err(error) => {
            tracing::error!(id = error.id(), %error, "a checkpoint cannot be shown to a witness");
            return Reply::Failed(format!("could not be asked: {error}"));
        }
    };
    let from = service.now();
    let answer = client.add_checkpoint(&request).await;
    let asked = Asked {
        from,
        to: service.now(),
    };
    judge(answer, key, request.checkpoint.text(), asked)
}
