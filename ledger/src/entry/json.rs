//! The small part of JSON that entries are written in, in its one canonical form.
//!
//! Objects with keys in ascending order, lists, texts and whole numbers up to 2^53 - 1; no white space. Texts are
//! printable ASCII without `"` and `\`, so there is nothing to escape. Within these bounds the form is that of
//! RFC 8785, and every value has exactly one spelling: the reader takes no other.

use std::borrow::Cow;

use super::wrong;
use crate::LogError;

/// The largest number: what every JSON reader keeps exactly.
pub(crate) const MAX_NUMBER: u64 = (1 << 53) - 1;
/// Longest text, in bytes.
pub(crate) const MAX_TEXT: usize = 255;
/// Most items in a list, most fields in an object. The size of an entry bounds most of them sooner.
const MAX_ITEMS: usize = 1024;
/// An entry is an object with lists of objects with lists of texts.
const MAX_DEPTH: usize = 5;

/// An object's fields, in ascending order of their keys, each once.
pub(crate) type Object<'t> = Vec<(Cow<'t, str>, Json<'t>)>;

/// A value.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Json<'t> {
    Number(u64),
    Text(Cow<'t, str>),
    List(Vec<Json<'t>>),
    Object(Object<'t>),
}

impl Json<'_> {
    /// What this is, for messages.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// Appends the canonical form.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<(), LogError> {
        match self {
            Self::Number(number) if *number > MAX_NUMBER => {
                return Err(wrong(format!("the number {number} is above 2^53 - 1")));
            }
            Self::Number(number) => out.extend_from_slice(number.to_string().as_bytes()),
            Self::Text(text) => write_text(text, out)?,
            Self::List(items) => {
                bounded(items.len())?;
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.write(out)?;
                }
                out.push(b']');
            }
            Self::Object(fields) => {
                bounded(fields.len())?;
                out.push(b'{');
                for (index, (key, value)) in fields.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_text(key, out)?;
                    out.push(b':');
                    value.write(out)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }
}

/// A byte that a text may hold.
const fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// The same bound for lists and objects, written and read.
fn bounded(items: usize) -> Result<(), LogError> {
    if items <= MAX_ITEMS {
        Ok(())
    } else {
        Err(wrong(format!("more than {MAX_ITEMS} items")))
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) -> Result<(), LogError> {
    if text.len() > MAX_TEXT {
        return Err(wrong(format!(
            "a text of {} bytes; {MAX_TEXT} are the most",
            text.len()
        )));
    }
    if !text.bytes().all(is_plain) {
        return Err(wrong(format!(
            "{text:?} is not printable ASCII without quotes and backslashes"
        )));
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}

/// Reads an object that is all of `bytes`.
pub(crate) fn read_object(bytes: &[u8]) -> Result<Object<'_>, LogError> {
    let mut reader = Reader { bytes, at: 0 };
    let object = reader.object(MAX_DEPTH)?;
    if reader.at != bytes.len() {
        return Err(reader.wrong("bytes after the end"));
    }
    Ok(object)
}

struct Reader<'t> {
    bytes: &'t [u8],
    at: usize,
}

impl<'t> Reader<'t> {
    fn wrong(&self, what: &str) -> LogError {
        wrong(format!("not canonical JSON at byte {}: {what}", self.at))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Steps over `byte` if it is next.
    fn skip(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        if next {
            self.at += 1;
        }
        next
    }

    fn expect(&mut self, byte: u8) -> Result<(), LogError> {
        if self.skip(byte) {
            Ok(())
        } else {
            Err(self.wrong(&format!("expected '{}'", char::from(byte))))
        }
    }

    /// The bytes from here on for which `wanted` holds.
    fn run(&mut self, wanted: impl Fn(u8) -> bool) -> Result<&'t str, LogError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest
            .iter()
            .position(|byte| !wanted(*byte))
            .unwrap_or(rest.len());
        let run = rest.get(..length).unwrap_or_default();
        let text = core::str::from_utf8(run).map_err(|_| self.wrong("not ASCII"))?;
        self.at += length;
        Ok(text)
    }

    fn value(&mut self, depth: usize) -> Result<Json<'t>, LogError> {
        match self.peek() {
            Some(b'"') => self.text().map(|text| Json::Text(Cow::Borrowed(text))),
            Some(b'0'..=b'9') => self.number().map(Json::Number),
            Some(b'[') => self.list(depth).map(Json::List),
            Some(b'{') => self.object(depth).map(Json::Object),
            _ => Err(self.wrong("expected a text, a whole number, a list or an object")),
        }
    }

    fn text(&mut self) -> Result<&'t str, LogError> {
        self.expect(b'"')?;
        let text = self.run(is_plain)?;
        if text.len() > MAX_TEXT {
            return Err(self.wrong(&format!("a text longer than {MAX_TEXT} bytes")));
        }
        if self.skip(b'"') {
            Ok(text)
        } else {
            Err(self.wrong("a text is printable ASCII without escapes, in double quotes"))
        }
    }

    fn number(&mut self) -> Result<u64, LogError> {
        let start = self.at;
        let digits = self.run(|byte| byte.is_ascii_digit())?;
        let number = digits.parse::<u64>().ok().filter(|number| {
            *number <= MAX_NUMBER && (digits.len() == 1 || !digits.starts_with('0'))
        });
        number.ok_or_else(|| {
            self.at = start;
            self.wrong("a number has no leading zero and is at most 2^53 - 1")
        })
    }

    fn list(&mut self, depth: usize) -> Result<Vec<Json<'t>>, LogError> {
        let inner = self.deeper(depth)?;
        self.expect(b'[')?;
        let mut items = Vec::new();
        if self.skip(b']') {
            return Ok(items);
        }
        loop {
            items.push(self.value(inner)?);
            bounded(items.len())?;
            if self.skip(b']') {
                return Ok(items);
            }
            self.expect(b',')?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<Object<'t>, LogError> {
        let inner = self.deeper(depth)?;
        self.expect(b'{')?;
        let mut fields = Object::new();
        if self.skip(b'}') {
            return Ok(fields);
        }
        loop {
            let key = self.text()?;
            if fields.last().is_some_and(|(last, _)| last.as_ref() >= key) {
                return Err(self.wrong("keys ascend, and each stands once"));
            }
            self.expect(b':')?;
            let value = self.value(inner)?;
            fields.push((Cow::Borrowed(key), value));
            bounded(fields.len())?;
            if self.skip(b'}') {
                return Ok(fields);
            }
            self.expect(b',')?;
        }
    }

    fn deeper(&self, depth: usize) -> Result<usize, LogError> {
        depth
            .checked_sub(1)
            .ok_or_else(|| self.wrong("nested too deep"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<String, LogError> {
        let object = read_object(text.as_bytes())?;
        let mut out = Vec::new();
        Json::Object(object).write(&mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_is_read_is_written_back_the_same() {
        for text in [
            "{}",
            r#"{"a":0}"#,
            r#"{"a":[],"b":{},"c":"","d":9007199254740991}"#,
            r#"{"a":[{"b":["c d","~!"]},1,"x"]}"#,
        ] {
            assert_eq!(written(text).unwrap(), text);
        }
    }

    #[test]
    fn every_other_spelling_is_refused() {
        for text in [
            "",
            " {}",
            "{} ",
            "{}\n",
            "{ }",
            "[]",
            "1",
            "{",
            "}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a": 1}"#,
            r#"{"a" :1}"#,
            r#"{"a":1 }"#,
            r#"{"b":1,"a":1}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":01}"#,
            r#"{"a":00}"#,
            r#"{"a":-1}"#,
            r#"{"a":-0}"#,
            r#"{"a":+1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":1e3}"#,
            r#"{"a":1E3}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"a":18446744073709551616}"#,
            r#"{"a":true}"#,
            r#"{"a":null}"#,
            r#"{"a":"\u0041"}"#,
            r#"{"a":"\n"}"#,
            r#"{"a":"\\"}"#,
            r#"{"a":"\/"}"#,
            "{\"a\":\"\n\"}",
            "{\"a\":\"\u{7f}\"}",
            "{\"a\":\"é\"}",
            "{\"é\":1}",
            r#"{"a":"b}"#,
            r#"{'a':1}"#,
            r#"{a:1}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":[1 ,2]}"#,
            r#"{"a":[1 2]}"#,
            r#"{"a":[}"#,
            r#"{"a":1}{"a":1}"#,
            "\u{feff}{}",
            r#"{"a":[[[[[1]]]]]}"#,
        ] {
            assert!(written(text).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded_without_recursion_to_match() {
        let deep = format!("{{\"a\":{}", "[".repeat(60_000));
        assert!(written(&deep).is_err());
    }

    #[test]
    fn what_cannot_be_spelled_is_not_written() {
        for text in ["\"", "\\", "é", "\n", "\0"] {
            assert!(Json::Text(text.into()).write(&mut Vec::new()).is_err());
        }
        let number = Json::Number(MAX_NUMBER + 1);
        assert!(number.write(&mut Vec::new()).is_err());
    }
}
