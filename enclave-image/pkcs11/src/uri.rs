//! Which key: a PKCS#11 URI (RFC 7512), as far as it names a token and a private key.

use crate::failure::{Failure, Kind};

/// Longer than any URI that names a key.
const LIMIT_BYTES: usize = 2048;

/// What a URI says. What is `None` matches everything.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct KeyUri {
    /// Label of the token.
    pub(crate) token: Option<String>,
    /// Manufacturer of the token.
    pub(crate) manufacturer: Option<String>,
    /// Model of the token.
    pub(crate) model: Option<String>,
    /// Serial number of the token.
    pub(crate) serial: Option<String>,
    /// Number of the slot.
    pub(crate) slot_id: Option<u64>,
    /// CKA_LABEL of the key.
    pub(crate) object: Option<String>,
    /// CKA_ID of the key.
    pub(crate) id: Option<Vec<u8>>,
}

impl KeyUri {
    /// Reads a URI. What it says and is not known here is refused, not passed over: a name that is
    /// not looked at could select another key.
    ///
    /// # Errors
    /// `pkcs11.uri`; `pkcs11.uri_pin` if there is a PIN in it.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        if text.len() > LIMIT_BYTES {
            return Err(wrong("it is too long"));
        }
        let rest = text
            .strip_prefix("pkcs11:")
            .ok_or_else(|| wrong("it must begin with `pkcs11:`"))?;
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !query.is_empty() {
            return Err(query_refused(query));
        }
        let mut uri = Self::default();
        let mut seen = Vec::new();
        for attribute in path.split(';').filter(|attribute| !attribute.is_empty()) {
            let (name, value) = attribute
                .split_once('=')
                .ok_or_else(|| wrong(format!("`{attribute}` is no `name=value`")))?;
            if seen.contains(&name) {
                return Err(wrong(format!("`{name}` stands twice")));
            }
            seen.push(name);
            let bytes = percent_decoded(value)
                .ok_or_else(|| wrong(format!("the value of `{name}` is not well spelled")))?;
            uri.set(name, bytes)?;
        }
        if uri.object.is_none() && uri.id.is_none() {
            return Err(wrong("it names no key: `object=` or `id=` is missing"));
        }
        Ok(uri)
    }

    fn set(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), Failure> {
        if name == "id" {
            self.id = Some(bytes);
            return Ok(());
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| wrong(format!("the value of `{name}` is no text")))?;
        match name {
            "token" => self.token = Some(text),
            "manufacturer" => self.manufacturer = Some(text),
            "model" => self.model = Some(text),
            "serial" => self.serial = Some(text),
            "object" => self.object = Some(text),
            "slot-id" => {
                let number = text
                    .parse()
                    .map_err(|_| wrong("`slot-id` must be a number"))?;
                self.slot_id = Some(number);
            }
            "type" if text == "private" => {}
            "type" => return Err(wrong("`type` must be `private`: a private key signs")),
            _ => return Err(wrong(format!("`{name}` is not known here"))),
        }
        Ok(())
    }
}

/// What follows a question mark says how to open the token, PIN included.
fn query_refused(query: &str) -> Failure {
    match query.contains("pin-value") {
        true => Failure::new(
            Kind::Misuse,
            "pkcs11.uri_pin",
            "the PIN must not stand in the URI: other users of this machine can see arguments",
        ),
        false => wrong("what follows `?` is not known here; module and PIN are given apart"),
    }
}

fn percent_decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let value = digit(rest.next())? * 16 + digit(rest.next())?;
        bytes.push(u8::try_from(value).ok()?);
    }
    Some(bytes)
}

fn wrong(words: impl Into<String>) -> Failure {
    Failure::new(
        Kind::Misuse,
        "pkcs11.uri",
        format!("this is no usable PKCS#11 URI: {}", words.into()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_a_token_and_a_key() {
        let uri = KeyUri::parse(
            "pkcs11:token=Release%20keys;serial=00ab;slot-id=7;object=image;id=%01%ff;type=private;\
             manufacturer=SoftHSM%20project;model=SoftHSM%20v2",
        );
        let expected = KeyUri {
            token: Some("Release keys".into()),
            manufacturer: Some("SoftHSM project".into()),
            model: Some("SoftHSM v2".into()),
            serial: Some("00ab".into()),
            slot_id: Some(7),
            object: Some("image".into()),
            id: Some(vec![1, 255]),
        };
        assert_eq!(uri, Ok(expected));
        assert!(KeyUri::parse("pkcs11:object=a;").is_ok());
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, words) in [
            ("", "begin"),
            ("object=a", "begin"),
            ("pkcs11:", "names no key"),
            ("pkcs11:token=a", "names no key"),
            ("pkcs11:object=a;object=b", "stands twice"),
            ("pkcs11:object", "no `name=value`"),
            ("pkcs11:object=%4", "well spelled"),
            ("pkcs11:object=%zz", "well spelled"),
            ("pkcs11:object=%ff", "no text"),
            ("pkcs11:object=a;slot-id=x", "a number"),
            ("pkcs11:object=a;type=cert", "must be `private`"),
            ("pkcs11:object=a;library-version=3", "not known here"),
            ("pkcs11:object=a?pin-source=file:/x", "what follows"),
        ] {
            let failure = KeyUri::parse(text).unwrap_err();
            assert_eq!(failure.id(), "pkcs11.uri", "{text}");
            assert!(failure.to_string().contains(words), "{text}: {failure}");
        }
        let long = format!("pkcs11:object={}", "a".repeat(LIMIT_BYTES));
        assert_eq!(KeyUri::parse(&long).unwrap_err().id(), "pkcs11.uri");
        let pin = KeyUri::parse("pkcs11:object=a?pin-value=1234").unwrap_err();
        assert_eq!(pin.id(), "pkcs11.uri_pin");
        assert!(!pin.to_string().contains("1234"));
    }
}
