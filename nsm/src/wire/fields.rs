//! What reading a request and reading an answer have in common.

use minicbor::Decoder;
use minicbor::data::Type;

use super::WireError;

/// Most fields of any message: DescribeNSM's answer has seven.
const MAX_FIELDS: u64 = 16;

/// An operation's name, and whether its fields follow.
pub(super) enum Operation<'b> {
    /// A text string: no fields.
    Bare(&'b str),
    /// A map of one entry; the decoder stands at its value.
    WithFields(&'b str),
}

/// Reads the name of an operation.
pub(super) fn operation<'b>(decoder: &mut Decoder<'b>) -> Result<Operation<'b>, WireError> {
    match decoder.datatype().map_err(|_| WireError::Malformed)? {
        Type::String => Ok(Operation::Bare(text(decoder, WireError::Malformed)?)),
        Type::Map => {
            if decoder.map().map_err(|_| WireError::Malformed)? != Some(1) {
                return Err(WireError::UnknownOperation);
            }
            Ok(Operation::WithFields(text(
                decoder,
                WireError::UnknownOperation,
            )?))
        }
        _ => Err(WireError::UnknownOperation),
    }
}

/// Calls `field` with the name of each field; it reads the value or says that it knows no such name.
pub(super) fn fields<'b>(
    decoder: &mut Decoder<'b>,
    mut field: impl FnMut(&str, &mut Decoder<'b>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let count = decoder.map().map_err(|_| WireError::InvalidField)?;
    let count = count
        .filter(|count| *count <= MAX_FIELDS)
        .ok_or(WireError::InvalidField)?;
    for _ in 0..count {
        let name = text(decoder, WireError::InvalidField)?;
        field(name, decoder)?;
    }
    Ok(())
}

/// Nothing may follow.
pub(super) fn end(decoder: &Decoder<'_>) -> Result<(), WireError> {
    if decoder.position() == decoder.input().len() {
        Ok(())
    } else {
        Err(WireError::Malformed)
    }
}

/// Sets a field that must not have been there before.
pub(super) fn set_once<T>(
    place: &mut Option<T>,
    value: Result<T, minicbor::decode::Error>,
) -> Result<(), WireError> {
    let value = value.map_err(|_| WireError::InvalidField)?;
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(WireError::InvalidField),
    }
}

/// A field that must have been there.
pub(super) fn required<T>(place: Option<T>) -> Result<T, WireError> {
    place.ok_or(WireError::InvalidField)
}

/// A byte string of definite length.
pub(super) fn bytes(decoder: &mut Decoder<'_>) -> Result<Vec<u8>, minicbor::decode::Error> {
    decoder.bytes().map(<[u8]>::to_vec)
}

fn text<'b>(decoder: &mut Decoder<'b>, error: WireError) -> Result<&'b str, WireError> {
    decoder.str().map_err(|_| error)
}
