//! Use 4, policy: anybody asks the key service for the signed policy files.
//!
//! Nothing here is secret, and the server is not authenticated: integrity comes from the
//! signatures, freshness from versions, expiry and the log. Each [`PolicyRequest`] is answered by
//! one [`PolicyAnswer`].
//!
//! A [`PolicyDelivery`] goes the other way: somebody brings files to the service, in a session of
//! use 3.

use crate::codec::{Message, MessageError, Reader, Writer};
use crate::digest::Digest384;
use crate::limits::{
    MAX_KNOWN_STATEMENTS, MAX_LOG_PROOF_BYTES, MAX_POLICY_CONTENT_BYTES, MAX_POLICY_FILE_BYTES,
    MAX_POLICY_FILES, MAX_POLICY_REQUEST_BYTES, MAX_SIGNATURES,
};
use crate::signature::ArmoredSignature;

/// What an agent wants to know.
///
/// ```text
/// [1, since_version: uint, known_statements: [* bstr .size 48]]
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PolicyRequest {
    /// The version of the newest bundle already known; 0 for none.
    pub since_version: u64,
    /// SHA-384 of the release and stop statements already known, which need not be sent again.
    pub known_statements: Vec<Digest384>,
}

impl PolicyRequest {
    /// The version of this message.
    pub const VERSION: u64 = 1;
}

impl Message for PolicyRequest {
    const MAX_BYTES: usize = MAX_POLICY_REQUEST_BYTES;

    fn write(&self, writer: &mut Writer) -> Result<(), MessageError> {
        let Self {
            since_version,
            known_statements,
        } = self;
        writer.array(3);
        writer.number(Self::VERSION);
        writer.number(*since_version);
        writer.list(
            "known statements",
            known_statements.len(),
            MAX_KNOWN_STATEMENTS,
        )?;
        for statement in known_statements {
            writer.fixed(statement.as_ref());
        }
        refuse_duplicates(known_statements)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.versioned("policy request", 3, Self::VERSION)?;
        let since_version = reader.u64("since version")?;
        let statements = reader.list("known statements", MAX_KNOWN_STATEMENTS)?;
        let known_statements = (0..statements).map(|_| reader.digest("known statement"));
        let known_statements = known_statements.collect::<Result<Vec<_>, _>>()?;
        refuse_duplicates(&known_statements)?;
        Ok(Self {
            since_version,
            known_statements,
        })
    }
}

fn refuse_duplicates(statements: &[Digest384]) -> Result<(), MessageError> {
    let mut sorted = statements.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.len() == statements.len() {
        Ok(())
    } else {
        Err(MessageError::Duplicate {
            part: "known statements",
        })
    }
}

/// A policy file and the signatures over its exact bytes.
///
/// ```text
/// [bytes: bstr, signatures: [* tstr]]
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signed {
    /// The file's exact bytes.
    pub bytes: Vec<u8>,
    /// The signatures beside it.
    pub signatures: Vec<ArmoredSignature>,
}

/// The policy files that the request does not say are known, and what the log says about the
/// bundle in force.
///
/// ```text
/// [1, bundles: [* signed], releases: [* signed], stops: [* signed], currency: bstr / null]
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PolicyAnswer {
    /// Bundles, oldest first.
    pub bundles: Vec<Signed>,
    /// Release statements, oldest first.
    pub releases: Vec<Signed>,
    /// Stop statements, newest first.
    pub stops: Vec<Signed>,
    /// The proof that the log names the newest bundle as the one in force: a log proof of its
    /// `current` entry. Absent where there is no log, and while the service has no cosigned one.
    pub currency: Option<Vec<u8>>,
}

impl PolicyAnswer {
    /// The version of this message.
    pub const VERSION: u64 = 1;
}

impl Message for PolicyAnswer {
    const MAX_BYTES: usize = MAX_POLICY_CONTENT_BYTES;

    fn write(&self, writer: &mut Writer) -> Result<(), MessageError> {
        let Self {
            bundles,
            releases,
            stops,
            currency,
        } = self;
        writer.array(5);
        writer.number(Self::VERSION);
        write_files(writer, "bundles", bundles)?;
        write_files(writer, "releases", releases)?;
        write_files(writer, "stops", stops)?;
        writer.optional_bytes("currency", currency.as_deref(), MAX_LOG_PROOF_BYTES)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.versioned("policy answer", 5, Self::VERSION)?;
        Ok(Self {
            bundles: read_files(reader, "bundles")?,
            releases: read_files(reader, "releases")?,
            stops: read_files(reader, "stops")?,
            currency: reader.optional_bytes("currency", MAX_LOG_PROOF_BYTES)?,
        })
    }
}

/// Policy files that somebody brings to the service, instead of an administration request. Each is
/// judged by its own signatures.
///
/// ```text
/// [1, bundles: [* signed], releases: [* signed], stops: [* signed]]
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PolicyDelivery {
    /// Bundles, oldest first.
    pub bundles: Vec<Signed>,
    /// Release statements, oldest first.
    pub releases: Vec<Signed>,
    /// Stop statements, oldest first.
    pub stops: Vec<Signed>,
}

impl PolicyDelivery {
    /// The version of this message.
    pub const VERSION: u64 = 1;
}

impl Message for PolicyDelivery {
    const MAX_BYTES: usize = MAX_POLICY_CONTENT_BYTES;

    fn write(&self, writer: &mut Writer) -> Result<(), MessageError> {
        let Self {
            bundles,
            releases,
            stops,
        } = self;
        writer.array(4);
        writer.number(Self::VERSION);
        write_files(writer, "bundles", bundles)?;
        write_files(writer, "releases", releases)?;
        write_files(writer, "stops", stops)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, MessageError> {
        reader.versioned("policy delivery", 4, Self::VERSION)?;
        Ok(Self {
            bundles: read_files(reader, "bundles")?,
            releases: read_files(reader, "releases")?,
            stops: read_files(reader, "stops")?,
        })
    }
}

fn write_files(
    writer: &mut Writer,
    part: &'static str,
    files: &[Signed],
) -> Result<(), MessageError> {
    writer.list(part, files.len(), MAX_POLICY_FILES)?;
    for Signed { bytes, signatures } in files {
        writer.array(2);
        writer.filled_bytes(part, bytes, MAX_POLICY_FILE_BYTES)?;
        writer.list("signatures", signatures.len(), MAX_SIGNATURES)?;
        for signature in signatures {
            writer.text(signature.as_str());
        }
    }
    Ok(())
}

fn read_files(reader: &mut Reader<'_>, part: &'static str) -> Result<Vec<Signed>, MessageError> {
    let files = reader.list(part, MAX_POLICY_FILES)?;
    (0..files).map(|_| read_file(reader, part)).collect()
}

fn read_file(reader: &mut Reader<'_>, part: &'static str) -> Result<Signed, MessageError> {
    reader.array(part, 2)?;
    let bytes = reader.filled_bytes(part, MAX_POLICY_FILE_BYTES)?.to_vec();
    let signatures = reader.list("signatures", MAX_SIGNATURES)?;
    let signatures = (0..signatures).map(|_| ArmoredSignature::new(reader.text("signature")?));
    Ok(Signed {
        bytes,
        signatures: signatures.collect::<Result<Vec<_>, _>>()?,
    })
}
