//! The payload map (AWS `attestation_process.md`, sections 3.1 and 3.2.2.2).

use super::fields::{DocumentKind, Layout, Span};
use crate::cbor::{Item, Reader};
use crate::check::CheckId;
use crate::limits::{
    MAX_CABUNDLE_CERTIFICATES, MAX_CERTIFICATE_BYTES, MAX_OPTIONAL_FIELD_BYTES, MAX_PCRS,
};
use crate::report::{Detail, Failure, Recorder};
use crate::time::UnixMillis;

const PART: &str = "payload";

struct Cabundle {
    /// The whole array, heads included.
    array: Span,
    certificates: [Span; MAX_CABUNDLE_CERTIFICATES],
    count: usize,
}

/// The fields as they are found; each key at most once.
#[derive(Default)]
struct Found {
    seen: u16,
    module_id: Option<Span>,
    digest: Option<()>,
    timestamp: Option<UnixMillis>,
    pcrs: Option<(DocumentKind, [Option<Span>; MAX_PCRS])>,
    certificate: Option<Span>,
    cabundle: Option<Cabundle>,
    public_key: Option<Span>,
    user_data: Option<Span>,
    nonce: Option<Span>,
}

pub(super) fn read(payload: &[u8], recorder: &mut Recorder) -> Result<Layout, Failure> {
    let mut reader = Reader::new(payload);
    // Definite in documents up to June 2025, indefinite in all since August 2025 (R5).
    let (entries, observed) = match next(&mut reader)? {
        Item::Map(entries) => (Some(entries), "map of definite length"),
        Item::IndefiniteMap => (None, "map of indefinite length"),
        other => return fail(CheckId::PayloadMap, other),
    };
    let mut found = Found::default();
    let mut read = 0;
    // Ends soon whatever `entries` claims: a tenth key is unknown or a repetition.
    while entries != Some(read) {
        let key = match next(&mut reader)? {
            Item::Text(key) => key,
            Item::Break if entries.is_none() => break,
            other => return fail(CheckId::PayloadMap, other),
        };
        read_entry(key, &mut found, &mut reader, recorder)?;
        read += 1;
    }
    recorder.pass(CheckId::PayloadMap, observed.into());
    recorder.pass(CheckId::PayloadDuplicateKey, Detail::NONE);
    recorder.pass(CheckId::PayloadUnknownKey, Detail::NONE);

    let trailing = Detail::byte_count(reader.remaining());
    if reader.remaining() != 0 {
        return Err(Failure::new(CheckId::PayloadTrailingBytes, trailing));
    }
    recorder.pass(CheckId::PayloadTrailingBytes, trailing);
    complete(found, recorder)
}

fn read_entry(
    key: &str,
    found: &mut Found,
    reader: &mut Reader<'_>,
    recorder: &mut Recorder,
) -> Result<(), Failure> {
    let bit = match key {
        "module_id" => 0,
        "digest" => 1,
        "timestamp" => 2,
        "pcrs" => 3,
        "certificate" => 4,
        "cabundle" => 5,
        "public_key" => 6,
        "user_data" => 7,
        "nonce" => 8,
        "nitrotpm_pcrs" => 9,
        _ => return Err(Failure::new(CheckId::PayloadUnknownKey, quoted(key))),
    };
    if found.seen & (1 << bit) != 0 {
        return Err(Failure::new(CheckId::PayloadDuplicateKey, quoted(key)));
    }
    found.seen |= 1 << bit;
    match bit {
        0 => found.module_id = Some(read_module_id(reader, recorder)?),
        1 => found.digest = Some(read_digest(reader, recorder)?),
        2 => found.timestamp = Some(read_timestamp(reader, recorder)?),
        4 => found.certificate = Some(read_certificate(reader, recorder)?),
        5 => found.cabundle = Some(read_cabundle(reader, recorder)?),
        6 => found.public_key = read_optional(CheckId::PayloadPublicKey, reader, recorder)?,
        7 => found.user_data = read_optional(CheckId::PayloadUserData, reader, recorder)?,
        8 => found.nonce = read_optional(CheckId::PayloadNonce, reader, recorder)?,
        _ => {
            if found.pcrs.is_some() {
                let both = "both pcrs and nitrotpm_pcrs";
                return Err(Failure::new(CheckId::PayloadPcrs, both));
            }
            let kind = if bit == 3 {
                DocumentKind::Enclave
            } else {
                DocumentKind::NitroTpm
            };
            found.pcrs = Some((kind, read_pcrs(reader, recorder)?));
        }
    }
    Ok(())
}

/// Every mandatory field is there; the optional ones may be missing, which is the same as null.
fn complete(found: Found, recorder: &mut Recorder) -> Result<Layout, Failure> {
    let Found {
        seen,
        module_id,
        digest,
        timestamp,
        pcrs,
        certificate,
        cabundle,
        public_key,
        user_data,
        nonce,
    } = found;
    let missing = |id| Failure::new(id, "missing");
    let module_id = module_id.ok_or_else(|| missing(CheckId::PayloadModuleId))?;
    digest.ok_or_else(|| missing(CheckId::PayloadDigest))?;
    let timestamp = timestamp.ok_or_else(|| missing(CheckId::PayloadTimestamp))?;
    let (kind, pcrs) = pcrs.ok_or_else(|| missing(CheckId::PayloadPcrs))?;
    let certificate = certificate.ok_or_else(|| missing(CheckId::PayloadCertificate))?;
    let cabundle = cabundle.ok_or_else(|| missing(CheckId::PayloadCabundle))?;
    let optional = [
        CheckId::PayloadPublicKey,
        CheckId::PayloadUserData,
        CheckId::PayloadNonce,
    ];
    for (bit, id) in (6..).zip(optional) {
        if seen & (1 << bit) == 0 {
            recorder.pass(id, "missing".into());
        }
    }
    Ok(Layout {
        kind,
        module_id,
        timestamp,
        pcrs,
        certificate,
        cabundle: cabundle.certificates,
        cabundle_count: cabundle.count,
        cabundle_array: cabundle.array,
        public_key,
        user_data,
        nonce,
    })
}

fn read_module_id(reader: &mut Reader<'_>, recorder: &mut Recorder) -> Result<Span, Failure> {
    match next(reader)? {
        Item::Text("") => Err(Failure::new(CheckId::PayloadModuleId, "empty")),
        Item::Text(text) => {
            recorder.pass(CheckId::PayloadModuleId, Detail::byte_count(text.len()));
            Ok(Span::ending_at(reader.position(), text.len()))
        }
        other => fail(CheckId::PayloadModuleId, other),
    }
}

fn read_digest(reader: &mut Reader<'_>, recorder: &mut Recorder) -> Result<(), Failure> {
    match next(reader)? {
        Item::Text("SHA384") => {
            recorder.pass(CheckId::PayloadDigest, "\"SHA384\"".into());
            Ok(())
        }
        Item::Text(other) => Err(Failure::new(CheckId::PayloadDigest, quoted(other))),
        other => fail(CheckId::PayloadDigest, other),
    }
}

fn read_timestamp(reader: &mut Reader<'_>, recorder: &mut Recorder) -> Result<UnixMillis, Failure> {
    match next(reader)? {
        Item::Unsigned(millis) if millis > 0 => {
            let timestamp = UnixMillis::from_millis(millis);
            recorder.pass(CheckId::PayloadTimestamp, timestamp.into());
            Ok(timestamp)
        }
        other => fail(CheckId::PayloadTimestamp, other),
    }
}

fn read_pcrs(
    reader: &mut Reader<'_>,
    recorder: &mut Recorder,
) -> Result<[Option<Span>; MAX_PCRS], Failure> {
    let count = match next(reader)? {
        Item::Map(count) => count,
        other => return fail(CheckId::PayloadPcrs, other),
    };
    recorder.pass(CheckId::PayloadPcrs, "map".into());
    if !(1..=MAX_PCRS as u64).contains(&count) {
        return Err(Failure::new(
            CheckId::PayloadPcrCount,
            Detail::number(count),
        ));
    }
    let mut pcrs = [None; MAX_PCRS];
    for _ in 0..count {
        // The index bounds the register, never the count: registers are sparse (R12).
        let key = next(reader)?;
        let register = match key {
            Item::Unsigned(index) => usize::try_from(index).ok().and_then(|i| pcrs.get_mut(i)),
            _ => None,
        };
        let Some(register) = register else {
            return fail(CheckId::PayloadPcrIndex, key);
        };
        if register.is_some() {
            return fail(CheckId::PayloadPcrDuplicate, key);
        }
        match next(reader)? {
            Item::Bytes(value) if matches!(value.len(), 32 | 48 | 64) => {
                *register = Some(Span::ending_at(reader.position(), value.len()));
            }
            Item::Bytes(value) => {
                let size = Detail::byte_count(value.len());
                return Err(Failure::new(CheckId::PayloadPcrSize, size));
            }
            other => return fail(CheckId::PayloadPcrSize, other),
        }
    }
    recorder.pass(CheckId::PayloadPcrCount, Detail::number(count));
    recorder.pass(CheckId::PayloadPcrIndex, Detail::NONE);
    recorder.pass(CheckId::PayloadPcrSize, Detail::NONE);
    recorder.pass(CheckId::PayloadPcrDuplicate, Detail::NONE);
    Ok(pcrs)
}

fn read_certificate(reader: &mut Reader<'_>, recorder: &mut Recorder) -> Result<Span, Failure> {
    match next(reader)? {
        Item::Bytes(der) => {
            let size = Detail::byte_count(der.len());
            if der.is_empty() || der.len() > MAX_CERTIFICATE_BYTES {
                return Err(Failure::new(CheckId::PayloadCertificate, size));
            }
            recorder.pass(CheckId::PayloadCertificate, size);
            Ok(Span::ending_at(reader.position(), der.len()))
        }
        other => fail(CheckId::PayloadCertificate, other),
    }
}

fn read_cabundle(reader: &mut Reader<'_>, recorder: &mut Recorder) -> Result<Cabundle, Failure> {
    let start = reader.position();
    let count = match next(reader)? {
        Item::Array(count) => count,
        other => return fail(CheckId::PayloadCabundle, other),
    };
    let mut certificates = [Span::default(); MAX_CABUNDLE_CERTIFICATES];
    let entries = usize::try_from(count)
        .ok()
        .filter(|count| *count != 0)
        .and_then(|count| certificates.get_mut(..count))
        .ok_or_else(|| Failure::new(CheckId::PayloadCabundleCount, Detail::number(count)))?;
    let used = entries.len();
    recorder.pass(CheckId::PayloadCabundleCount, Detail::number(count));
    for entry in entries {
        match next(reader)? {
            Item::Bytes(der) if der.is_empty() || der.len() > MAX_CERTIFICATE_BYTES => {
                let size = Detail::byte_count(der.len());
                return Err(Failure::new(CheckId::PayloadCabundleSize, size));
            }
            Item::Bytes(der) => *entry = Span::ending_at(reader.position(), der.len()),
            other => return fail(CheckId::PayloadCabundle, other),
        }
    }
    recorder.pass(CheckId::PayloadCabundle, "array of byte strings".into());
    recorder.pass(CheckId::PayloadCabundleSize, Detail::NONE);
    let array = Span::ending_at(reader.position(), reader.position() - start);
    Ok(Cabundle {
        array,
        certificates,
        count: used,
    })
}

/// `public_key`, `user_data`, `nonce`: null is absent, another type is an error, not "absent" (R6).
fn read_optional(
    id: CheckId,
    reader: &mut Reader<'_>,
    recorder: &mut Recorder,
) -> Result<Option<Span>, Failure> {
    match next(reader)? {
        Item::Null => {
            recorder.pass(id, "null".into());
            Ok(None)
        }
        Item::Bytes(value) => {
            let size = Detail::byte_count(value.len());
            if value.len() > MAX_OPTIONAL_FIELD_BYTES {
                return Err(Failure::new(id, size));
            }
            recorder.pass(id, size);
            Ok(Some(Span::ending_at(reader.position(), value.len())))
        }
        other => fail(id, other),
    }
}

fn next<'a>(reader: &mut Reader<'a>) -> Result<Item<'a>, Failure> {
    reader.item().map_err(|error| error.into_failure(PART))
}

fn fail<T>(id: CheckId, item: Item<'_>) -> Result<T, Failure> {
    if item == Item::IndefiniteMap {
        return Err(Failure::new(
            CheckId::CborIndefiniteLength,
            "a map inside the payload",
        ));
    }
    Err(Failure::new(id, item.to_string()))
}

/// A key or value from the document, for people: short, and without control characters.
fn quoted(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    format!("{short:?}")
}
