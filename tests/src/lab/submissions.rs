//! Orders handed in to the log, as the operator's tool does it, without its checks.

use narthex_channel::policy::{PolicyAnswer, PolicyRequest};
use narthex_channel::submissions::{Submission, SubmissionAnswer, SubmissionOutcome};
use narthex_channel::{ArmoredSignature, Message, Opening, StaticPublic};

use super::Lab;
use super::process::{Said, await_some};
use crate::connection::{Connection, ConnectionError};
use crate::operator::Paper;

impl Lab {
    /// Hands anything in.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`]: there was no answer.
    pub fn submit_anything(&self, content: &[u8]) -> Result<SubmissionAnswer, ConnectionError> {
        let key = hex::decode(&self.service_key).expect("hex");
        let opening = Opening::Submissions {
            service: StaticPublic::from_bytes(key.try_into().expect("32 bytes")),
        };
        let mut connection = Connection::open(&self.address("submissions.sock"), &opening)?;
        connection.send(content)?;
        let cut_off = ConnectionError::Channel(narthex_channel::ChannelError::Truncated);
        let answer = connection.receive()?.ok_or(cut_off)?;
        let answer = SubmissionAnswer::from_bytes(answer.as_bytes());
        Ok(answer.expect("an answer to a submission"))
    }

    /// Hands an order in.
    ///
    /// # Errors
    ///
    /// As [`Lab::submit_anything`].
    pub fn try_submit(&self, paper: &Paper) -> Result<SubmissionAnswer, ConnectionError> {
        let armoured = |text: &str| ArmoredSignature::new(text).expect("an armoured signature");
        let submission = Submission::Order {
            order: paper.order.clone(),
            signature: armoured(&paper.signature),
            approvals: paper.approvals.iter().map(|text| armoured(text)).collect(),
        };
        self.submit_anything(&submission.to_bytes().expect("a submission"))
    }

    /// Hands an order in; returns `accepted` or the reason, and the proof that came with it.
    #[must_use]
    pub fn submit_order(&self, paper: &Paper) -> (String, Option<Vec<u8>>) {
        let answer = self.try_submit(paper).unwrap_or_else(|error| {
            panic!("no answer to a submission: {}", error.reason());
        });
        let outcome = match answer.outcome {
            SubmissionOutcome::Accepted => "accepted".to_owned(),
            SubmissionOutcome::Refused { reason } => reason.to_string(),
        };
        (outcome, answer.log_proof)
    }

    /// Hands an order in and keeps the proof with it. One that the log refuses gets the proof of another order, which
    /// is the best that somebody could have who wants it to be obeyed all the same: then it is an agent's policy
    /// that refuses it, for its own reason.
    #[must_use]
    pub fn logged(&self, paper: Paper) -> Paper {
        self.try_logged(paper).unwrap_or_else(|paper| paper)
    }

    /// The same; `Err` if it was refused.
    pub(super) fn try_logged(&self, paper: Paper) -> Result<Paper, Paper> {
        let (outcome, proof) = self.submit_order(&paper);
        let with = |log_proof| Paper { log_proof, ..paper };
        match outcome.as_str() {
            "accepted" => {
                let proof = proof.expect("what is accepted is proved");
                *self
                    .proof
                    .lock()
                    .expect("no test panics while it holds this") = Some(proof.clone());
                Ok(with(Some(proof)))
            }
            _ => Err(with(Some(self.proof_of_another()))),
        }
    }

    /// Runs `narthex order submit FILE`.
    #[must_use]
    pub fn submit_file(&self, file: &str) -> Said {
        let service = self.address("submissions.sock").to_string();
        self.narthex(&[
            "order",
            "submit",
            file,
            "--policy",
            "policy",
            "--service",
            &service,
        ])
    }

    /// The proof of an order that was accepted: the last one, or one that Olga hands in now.
    fn proof_of_another(&self) -> Vec<u8> {
        let known = || {
            self.proof
                .lock()
                .expect("no test panics while it holds this")
        };
        if let Some(proof) = known().clone() {
            return proof;
        }
        let (outcome, proof) = self.submit_order(&self.unlogged_read_order("olga", |_| ()));
        assert_eq!(outcome, "accepted");
        let proof = proof.expect("what is accepted is proved");
        *known() = Some(proof.clone());
        proof
    }

    /// What the key service gives out now, asked as an agent asks that boots.
    ///
    /// # Errors
    ///
    /// [`ConnectionError`].
    pub fn ask_policy(&self, since_version: u64) -> Result<PolicyAnswer, ConnectionError> {
        let mut connection = Connection::open(&self.address("policy.sock"), &Opening::Policy)?;
        let request = PolicyRequest {
            since_version,
            known_statements: Vec::new(),
        };
        connection.send(&request.to_bytes().expect("a policy request"))?;
        let cut_off = ConnectionError::Channel(narthex_channel::ChannelError::Truncated);
        let answer = connection.receive()?.ok_or(cut_off)?;
        Ok(PolicyAnswer::from_bytes(answer.as_bytes()).expect("a policy answer"))
    }

    /// The proof that the newest bundle of the service is the one in force, as soon as there is one.
    #[must_use]
    pub fn currency(&self) -> Vec<u8> {
        await_some("a proof of the bundle in force", || {
            self.ask_policy(0).ok()?.currency
        })
    }
}
