//! The lab's log, as those see it who read it, keep copies of it, and trust its witnesses.

use std::path::PathBuf;
use std::sync::Arc;

use narthex_ledger::tokio::{ClientLimits, HttpAddress, HttpLog};
use narthex_ledger::{
    Entry, LogReader, LogStore, Resource, SignedNote, SigningKey, Trust, TrustedCheckpoint,
    VerifierKey,
};

use super::Lab;
use super::process::{Said, await_some};
use super::unix_address;

impl Lab {
    /// Where the service gives out its log.
    #[must_use]
    pub fn log_address(&self) -> String {
        unix_address(&self.path("log.sock"))
    }

    /// The log over HTTP.
    #[must_use]
    pub fn log_store(&self) -> Arc<HttpLog> {
        let address: HttpAddress = self.log_address().parse().expect("an address");
        let log = HttpLog::new(address, None, ClientLimits::default());
        Arc::new(log.expect("a client of the log"))
    }

    /// Log, witnesses and quorum as the first bundle names them.
    #[must_use]
    pub fn trust(&self, quorum: usize) -> Trust {
        let key = |text: &str| VerifierKey::parse(text).expect("a verifier key");
        let witnesses = self.witnesses.iter().map(|witness| key(&witness.key));
        Trust::new(key(&self.log_key), witnesses.collect(), quorum).expect("a trust policy")
    }

    /// The log's private key: what a thief, or the service's own staff, could sign with.
    #[must_use]
    pub fn stolen_log_key(&self) -> SigningKey {
        let text = std::fs::read_to_string(self.path("log.key")).expect("the log's key");
        SigningKey::parse(text.trim()).expect("a signing key")
    }

    /// The checkpoint that the service gives out now.
    #[must_use]
    pub fn checkpoint(&self) -> SignedNote {
        await_some("a checkpoint", || {
            let bytes = self.log_store().get(&Resource::Checkpoint).ok()??;
            SignedNote::parse(std::str::from_utf8(&bytes).ok()?).ok()
        })
    }

    /// What it says, if all witnesses agree.
    #[must_use]
    pub fn trusted_checkpoint(&self) -> TrustedCheckpoint {
        let trust = self.trust(self.witnesses.len());
        await_some("a checkpoint that everybody cosigned", || {
            trust.check(&self.checkpoint()).ok()
        })
    }

    /// Every entry that the service gives out, each checked against the checkpoint.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let (store, trust) = (self.log_store(), self.trust(0));
        let reader = LogReader::open_log_only(&*store, &trust).expect("a log");
        let entries = reader.entries(0..reader.size());
        entries
            .map(|leaf| {
                let (_, leaf) = leaf.expect("an entry in the tree");
                Entry::from_leaf(&leaf).expect("an entry of ours")
            })
            .collect()
    }

    /// Runs `narthex log COMMAND LOG … --policy policy`.
    #[must_use]
    pub fn log(&self, command: &str, log: &str, more: &[&str]) -> Said {
        let arguments = [&["log", command, log], more, &["--policy", "policy"]].concat();
        self.narthex(&arguments)
    }

    /// Copies the whole log with its evidence into a new folder.
    #[must_use]
    pub fn export(&self, name: &str) -> PathBuf {
        self.log("export", &self.log_address(), &[name]).done();
        self.path(name)
    }
}
