//! An order file with the signatures beside it.

use std::path::{Path, PathBuf};

use narthex_policy::{SignedOrder, limits};

use super::AnyOrder;
use super::logged::read_approvals;
use crate::failure::{Failure, Outcome};
use crate::input::{read_file, read_text};
use crate::policy_directory::read_signatures;

/// An order as read from disk. Nothing in it was judged.
pub(crate) struct OrderOnDisk {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its exact bytes.
    pub(crate) bytes: Vec<u8>,
    /// What it says.
    pub(crate) parsed: AnyOrder,
    /// The requester's signature, from FILE.REQUESTER.sig.
    signature: Option<String>,
    /// Everybody else's: the name that the file claims, and the signature.
    pub(crate) approvals: Vec<(String, String)>,
}

impl OrderOnDisk {
    /// Reads `path`, the signatures beside it, and `more` approvals from elsewhere.
    ///
    /// # Errors
    /// `file.*`, and the policy crate's reasons if it is no order.
    pub(crate) fn read(path: &Path, more: &[PathBuf]) -> Outcome<Self> {
        let bytes = read_file(path, limits::MAX_ORDER_BYTES)?;
        let parsed = AnyOrder::parse(&bytes)?;
        let requester = parsed.head().requester.as_str();
        let mut signature = None;
        let mut approvals = Vec::new();
        for (person, armored) in read_signatures(path)? {
            match person == requester {
                true => signature = Some(armored),
                false => approvals.push((person, armored)),
            }
        }
        for path in more {
            let armored = read_text(path, limits::MAX_SIGNATURE_BYTES)?;
            approvals.push((path.display().to_string(), armored));
        }
        Ok(Self {
            path: path.to_owned(),
            bytes,
            parsed,
            signature,
            approvals,
        })
    }

    /// As it was submitted to the log: with the approvals that were logged, where it was.
    ///
    /// # Errors
    /// `order.unsigned`; `order.approvals`.
    pub(crate) fn as_logged(&self) -> Outcome<SignedOrder> {
        let mut signed = self.signed()?;
        if let Some(approvals) = read_approvals(&self.path)? {
            signed.approvals = approvals;
        }
        Ok(signed)
    }

    /// With its signatures, as it is sent.
    ///
    /// # Errors
    /// `order.unsigned` if the requester's signature is not there.
    pub(crate) fn signed(&self) -> Outcome<SignedOrder> {
        let requester = &self.parsed.head().requester;
        let signature = self.signature.clone().ok_or_else(|| {
            let expected = crate::signing::signature_path(&self.path, requester.as_str());
            Failure::environment(
                "order.unsigned",
                format!("{requester}'s signature is missing: {}", expected.display()),
            )
            .next("`narthex order new` writes it beside the order; copy both")
        })?;
        Ok(SignedOrder {
            bytes: self.bytes.clone(),
            signature,
            approvals: self
                .approvals
                .iter()
                .map(|(_, armored)| armored.clone())
                .collect(),
        })
    }
}
