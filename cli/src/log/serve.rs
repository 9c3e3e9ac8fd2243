//! `narthex log serve`: a folder's log to readers over HTTP.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use narthex_ledger::tokio::{Everyone, Gatekeeper, LogServer, ServeLimits};
use narthex_ledger::{LogStore, Resource, StoreError};
use narthex_policy::{SignedTicket, UnixMillis};

use super::address::LogAddress;
use super::open::store;
use super::trust::ledger_of;
use super::witness::{ended, listen};
use crate::commands::log::AccessArguments;
use crate::commands::log::copies::ServeArguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::moment::now_unix_millis;
use crate::output::Output;
use crate::policy_directory::HeldPolicy;
use crate::stop::Stop;
use crate::transport::runtime;

/// A new bundle or a stop counts within this time.
const POLICY_INTERVAL: Duration = Duration::from_secs(60);

/// `narthex log serve`: until it is told to stop.
pub(super) fn serve(arguments: &ServeArguments, output: &Output) -> Outcome<Exit> {
    let access = AccessArguments {
        ticket: None,
        timeout: Duration::from_secs(15),
    };
    let folder = store(&LogAddress::Folder(arguments.directory.clone()), &access)?;
    let has_checkpoint = folder.get(&Resource::Checkpoint);
    if !has_checkpoint.is_ok_and(|found| found.is_some()) {
        output.say(format_args!(
            "narthex: {} has no checkpoint yet; readers are told so until it has",
            arguments.directory.display()
        ));
    }
    let gatekeeper: Arc<dyn Gatekeeper> = match &arguments.policy {
        None => Arc::new(Everyone),
        Some(policy) => Arc::new(Readers::open(
            policy.clone(),
            arguments.genesis.clone(),
            output,
        )?),
    };
    let server = LogServer::new(folder, gatekeeper, ServeLimits::default());
    runtime()?.block_on(async {
        let mut stop = Stop::listening()?;
        let listeners = listen(&arguments.listen, "log", output).await?;
        server.serve(listeners, stop.asked()).await;
        Ok(())
    })?;
    ended("log", &server.statistics(), output)
}

/// Those whom a policy directory lets read.
struct Readers {
    directory: PathBuf,
    genesis: Option<Vec<u8>>,
    output: Output,
    held: Mutex<(Instant, HeldPolicy)>,
}

impl Readers {
    fn open(directory: PathBuf, genesis: Option<Vec<u8>>, output: &Output) -> Outcome<Self> {
        let now = UnixMillis(now_unix_millis()?);
        let held = HeldPolicy::load_and_tell(&directory, genesis.as_deref(), now, output)?;
        let ledger = ledger_of(&held)?;
        if ledger.anyone_may_read {
            output.say("narthex: the policy lets everybody read this log");
        } else if ledger.readers.is_empty() {
            return Err(Failure::misuse(
                "policy.no_readers",
                format!(
                    "bundle {} names nobody who may read the log",
                    held.policy.bundle().version
                ),
            )
            .next("--anyone serves it to whoever reaches the address"));
        }
        Ok(Self {
            directory,
            genesis,
            output: *output,
            held: Mutex::new((Instant::now(), held)),
        })
    }

    /// Whether the policy as it is now lets the bearer of this header read.
    fn judge(&self, authorization: Option<&str>) -> Option<bool> {
        let now = UnixMillis(now_unix_millis().ok()?);
        let mut held = self.held.lock().ok()?;
        if held.0.elapsed() >= POLICY_INTERVAL {
            // What cannot be read at the moment, half a copy for example, does not replace what could.
            held.0 = Instant::now();
            match HeldPolicy::load(&self.directory, self.genesis.as_deref(), now) {
                Ok(fresh) => held.1 = fresh,
                Err(failure) => self.output.say(failure),
            }
        }
        let ledger = held.1.policy.bundle().ledger.as_ref()?;
        if ledger.anyone_may_read {
            return Some(true);
        }
        let ticket = SignedTicket::from_header(authorization?).ok()?;
        let origin = ledger.log.name();
        Some(held.1.policy.authorise_reader(&ticket, origin, now).is_ok())
    }
}

impl Gatekeeper for Readers {
    fn may_read(&self, authorization: Option<&str>) -> bool {
        self.judge(authorization).unwrap_or(false)
    }

    fn words(&self) -> &str {
        "this log is for those whom its policy names: `narthex log ticket` signs a ticket, --ticket sends it"
    }

    fn store_failed(&self, resource: &Resource, error: &StoreError) {
        self.output
            .say(format_args!("narthex: {resource}: {error}"));
    }
}
