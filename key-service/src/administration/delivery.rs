//! Delivery of policy files: whoever brings them, their own signatures decide.

use std::sync::Arc;

use narthex_channel::{
    Message,
    policy::{PolicyDelivery, Signed},
};
use narthex_ledger::{EntryKind, Outcome};
use narthex_policy::SignedFile;
use serde_json::json;

use super::{Answered, body::Done};
use crate::{
    lineage::{AcceptedFile, Lineage, Offered, StatementKind},
    refusal::Refusal,
    service::Service,
    storage::{PolicyFileKind, Recorded, StoreError},
};

/// The name under which answers and records speak about it.
const OPERATION: &str = "policy-submit";

/// What became of a delivery so far.
#[derive(Default)]
struct Tally {
    accepted: u64,
    known: u64,
    last: Option<Recorded>,
}

fn armoured(file: &Signed) -> Vec<String> {
    file.signatures
        .iter()
        .map(|signature| signature.as_str().to_owned())
        .collect()
}

impl Service {
    pub(crate) async fn deliver(self: &Arc<Self>, content: &[u8]) -> Answered {
        let delivered = match PolicyDelivery::from_bytes(content) {
            Ok(delivered) => delivered,
            Err(error) => return self.not_delivered((&error).into()),
        };
        let PolicyDelivery {
            bundles,
            releases,
            stops,
        } = delivered;
        let mut tally = Tally::default();
        let delivered = async {
            // Stops first, whatever becomes of the rest. The first that is refused, and what comes after it, may need one of
            // the bundles.
            let mut stops = stops.into_iter();
            let mut later = Vec::new();
            for file in stops.by_ref() {
                match self.offer(StatementKind::Stop, &file) {
                    Ok(offered) => self.take(StatementKind::Stop, offered, &mut tally).await?,
                    Err(_) => {
                        later.push(file);
                        break;
                    }
                }
            }
            later.extend(stops);
            self.deliver_bundles(bundles, &mut tally).await?;
            for (kind, files) in [
                (StatementKind::Stop, later),
                (StatementKind::Release, releases),
            ] {
                for file in files {
                    let offered = self.offer(kind, &file)?;
                    self.take(kind, offered, &mut tally).await?;
                }
            }
            Ok(())
        };
        if let Err(refusal) = delivered.await {
            return self.not_delivered(refusal);
        }
        let Tally {
            accepted,
            known,
            last,
        } = tally;
        let lineage = self.lineage.get();
        let policy = lineage.policy();
        let done = Done::new(OPERATION, last.clone())
            .with(
                "bundle",
                json!({ "version": policy.version(), "sha384": policy.digest().to_string() }),
            )
            .with("accepted", accepted.into())
            .with("known", known.into());
        (Ok(done), last)
    }

    /// Judges the bundles as a chain and stores what holds of it, all that leads to a bundle at once.
    async fn deliver_bundles(
        self: &Arc<Self>,
        bundles: Vec<Signed>,
        tally: &mut Tally,
    ) -> Result<(), Refusal> {
        let offered = bundles.len();
        let lineage = self.lineage.get();
        let new: Vec<SignedFile> = bundles
            .into_iter()
            .filter(|file| !lineage.knows_bundle(&file.bytes))
            .map(|file| SignedFile {
                signatures: armoured(&file),
                bytes: file.bytes,
            })
            .collect();
        tally.known += (offered - new.len()) as u64;
        let mut rest = new.as_slice();
        while !rest.is_empty() {
            let (lineage, files) = self
                .lineage
                .get()
                .offer_bundles(rest, self.now())
                .map_err(|refusal| Refusal::from(&refusal))?;
            rest = rest.get(files.len()..).unwrap_or_default();
            self.accept(PolicyFileKind::Bundle, lineage, files, tally)
                .await?;
        }
        Ok(())
    }

    /// Judges one statement.
    fn offer(&self, kind: StatementKind, file: &Signed) -> Result<Offered, Refusal> {
        self.lineage
            .get()
            .offer(kind, file.bytes.clone(), armoured(file), self.now())
            .map_err(|refusal| Refusal::from(&refusal))
    }

    /// Stores a statement, unless it is here already.
    async fn take(
        self: &Arc<Self>,
        kind: StatementKind,
        offered: Offered,
        tally: &mut Tally,
    ) -> Result<(), Refusal> {
        match offered {
            Offered::Known => {
                tally.known += 1;
                Ok(())
            }
            Offered::Accepted { lineage, file } => {
                self.accept(kind.into(), *lineage, vec![file], tally).await
            }
        }
    }

    async fn accept(
        self: &Arc<Self>,
        kind: PolicyFileKind,
        lineage: Lineage,
        files: Vec<AcceptedFile>,
        tally: &mut Tally,
    ) -> Result<(), Refusal> {
        let count = files.len();
        let recorded = self
            .store_files(lineage, files)
            .await
            .map_err(|error| Refusal::from(&error))?;
        tally.accepted += count as u64;
        tally.last = Some(recorded);
        self.metrics
            .decided(EntryKind::Policy, Outcome::Accepted, "");
        tracing::info!(
            kind = kind.as_str(),
            files = count,
            bundle_version = self.lineage.get().policy().version(),
            "policy file accepted"
        );
        Ok(())
    }

    /// The policy is in force when the files are durable, before anybody is answered. They are one entry, or as many as it
    /// takes, and the group ends with another that says which bundle is in force since.
    async fn store_files(
        self: &Arc<Self>,
        lineage: Lineage,
        files: Vec<AcceptedFile>,
    ) -> Result<Recorded, StoreError> {
        let service = Arc::clone(self);
        let now = self.now();
        let parts = files
            .chunks(AcceptedFile::PER_ENTRY)
            .map(|part| Ok((part.to_vec(), AcceptedFile::record(part, now)?)))
            .collect::<Result<Vec<_>, StoreError>>()?;
        self.store
            .write(move |writing| {
                let mut last = None;
                for (files, record) in parts {
                    for accepted in files {
                        writing.insert_policy_file(accepted.file)?;
                    }
                    last = Some(writing.record(record)?);
                }
                writing.after_commit(move || service.lineage.set(lineage));
                last.ok_or_else(|| StoreError::Entry("no policy file".to_owned()))
            })
            .await
    }

    /// A file whose signatures do not hold can come from anybody.
    fn not_delivered(&self, refusal: Refusal) -> Answered {
        self.refused_unknown(EntryKind::Policy, refusal);
        (Err(refusal), None)
    }
}
