//! Showing a checkpoint to a witness (C2SP tlog-witness, `add-checkpoint`).

use hyper::Method;
use hyper::body::Bytes;

use super::address::HttpAddress;
use super::client::{Ask, ClientLimits, HttpClient, Reply};
use super::error::{ClientError, ClientErrorKind};
use crate::checkpoint::{Checkpoint, parse_decimal};
use crate::note::{MAX_NOTE, NoteSignature};
use crate::witness::AddCheckpoint;

/// The content type of a body that is the size of a tree.
pub(super) const SIZE_TYPE: &str = "text/x.tlog.size";

/// One witness, and the connections to it. Cheap to keep; a connection is kept for the next checkpoint.
pub struct WitnessClient {
    http: HttpClient,
}

/// What a witness said. Nothing of it is checked: a signature counts only once
/// [`Trust`](crate::Trust) has accepted it.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum WitnessReply {
    /// 200: these signature lines.
    Cosigned(Vec<NoteSignature>),
    /// 409: it knows the log at this size, which is not the old size of the request. When that is larger than
    /// the checkpoint, the log was rolled back.
    Conflict {
        /// The size of the checkpoint it cosigned last.
        size: u64,
    },
    /// 409: it knows the log at the size of the checkpoint, with another root: the log has forked.
    OtherRoot,
    /// 404: it does not watch this log.
    UnknownLog,
    /// 403: it trusts none of the keys that signed the checkpoint.
    BadSignature,
    /// 422: the consistency proof does not hold from the tree it knows.
    BadProof,
    /// 400: it cannot read the request, or the old size is larger than the checkpoint's.
    Rejected,
}

impl WitnessClient {
    /// A client of the witness whose submission prefix is `address`.
    #[must_use]
    pub fn new(address: HttpAddress, limits: ClientLimits) -> Self {
        Self {
            http: HttpClient::new(address, limits),
        }
    }

    /// Where the witness is.
    #[must_use]
    pub fn address(&self) -> &HttpAddress {
        self.http.address()
    }

    /// Shows a checkpoint. A request that got lost is sent again: a witness that has already cosigned it answers
    /// [`WitnessReply::Conflict`] with the new size, so ask once more from there, with an empty proof.
    ///
    /// Must be called within a tokio runtime with I/O and time.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if there is no answer, or none that a witness may give.
    pub async fn add_checkpoint(
        &self,
        request: &AddCheckpoint,
    ) -> Result<WitnessReply, ClientError> {
        let ask = Ask {
            method: Method::POST,
            resource: "add-checkpoint",
            body: Bytes::from(request.to_body()),
            limit: MAX_NOTE,
        };
        let reply = self.http.ask(&ask).await?;
        match reply.status {
            200 => self.cosigned(&reply.body),
            400 => Ok(WitnessReply::Rejected),
            403 => Ok(WitnessReply::BadSignature),
            404 => Ok(WitnessReply::UnknownLog),
            409 => self.conflict(request, &reply),
            422 => Ok(WitnessReply::BadProof),
            code => Err(self.http.error(ClientErrorKind::Status { code })),
        }
    }

    fn cosigned(&self, body: &[u8]) -> Result<WitnessReply, ClientError> {
        core::str::from_utf8(body)
            .ok()
            .and_then(|lines| NoteSignature::parse_lines(lines).ok())
            .map(WitnessReply::Cosigned)
            .ok_or_else(|| self.body("the witness's answer is no signature line"))
    }

    fn conflict(
        &self,
        request: &AddCheckpoint,
        reply: &Reply,
    ) -> Result<WitnessReply, ClientError> {
        let shown = Checkpoint::parse(request.checkpoint.text())
            .map_err(|_| self.body("a note that is no checkpoint was shown to a witness"))?;
        // When old and new size are the same, the conflict can be about the roots; the format asks for no body
        // then.
        let same_size = request.old_size == shown.size;
        let content_type = reply.content_type.as_deref().unwrap_or_default();
        let is_size = content_type.split(';').next().map(str::trim) == Some(SIZE_TYPE);
        let size = core::str::from_utf8(&reply.body)
            .ok()
            .and_then(|text| text.strip_suffix('\n'))
            .and_then(parse_decimal)
            .filter(|_| is_size);
        match size {
            Some(size) if size != request.old_size => Ok(WitnessReply::Conflict { size }),
            Some(_) if same_size => Ok(WitnessReply::OtherRoot),
            None if same_size && !is_size => Ok(WitnessReply::OtherRoot),
            _ => Err(self.body("the witness names a conflict, but not the size it knows")),
        }
    }

    fn body(&self, what: &'static str) -> ClientError {
        self.http.error(ClientErrorKind::Body(what))
    }
}
