//! Secrets that are planted, and the search for them in bytes that leave.

use std::collections::HashMap;
use std::fmt;

/// A secret that is planted, and must never be found.
#[derive(Clone)]
pub struct Canary {
    place: String,
    forms: Vec<(String, Vec<u8>)>,
}

/// A secret that left.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leak {
    /// Where the secret was planted.
    pub place: String,
    /// In which form it was found.
    pub form: String,
}

impl fmt::Display for Leak {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, form } = self;
        write!(formatter, "the secret planted in {place} left as {form}")
    }
}

impl Canary {
    /// A secret of at least eight bytes, so that no form of it is anywhere by chance; `None` if it is
    /// shorter.
    #[must_use]
    pub fn new(place: &str, secret: &[u8]) -> Option<Self> {
        (secret.len() >= 8).then(|| Self {
            place: place.to_owned(),
            forms: forms(secret),
        })
    }
}

/// One form of a canary: whose, its name, its bytes.
type Form<'c> = (&'c Canary, &'c str, &'c [u8]);

/// The first leak of any of `canaries` into `haystack`. Millions of bytes are searched for hundreds of forms,
/// so each place is compared only with the forms that begin like it.
#[must_use]
pub fn search(haystack: &[u8], canaries: &[Canary]) -> Option<Leak> {
    let mut by_start: HashMap<&[u8], Vec<Form<'_>>> = HashMap::new();
    let mut likely = vec![false; 1 << 16];
    for canary in canaries {
        for (name, form) in &canary.forms {
            if let Some(start) = form.first_chunk::<2>() {
                if let Some(mark) = likely.get_mut(usize::from(u16::from_be_bytes(*start))) {
                    *mark = true;
                }
                by_start
                    .entry(start)
                    .or_default()
                    .push((canary, name, form));
            }
        }
    }
    for (at, start) in haystack.windows(2).enumerate() {
        let number = start
            .iter()
            .fold(0, |number, byte| number << 8 | usize::from(*byte));
        if likely.get(number) != Some(&true) {
            continue;
        }
        let rest = haystack.get(at..).unwrap_or_default();
        let forms = by_start.get(start).into_iter().flatten();
        if let Some((canary, form, _)) = forms
            .into_iter()
            .find(|(_, _, form)| rest.starts_with(form))
        {
            return Some(Leak {
                place: canary.place.clone(),
                form: (*form).to_owned(),
            });
        }
    }
    None
}

/// Nothing planted is in any of these, of which each must have something in it.
///
/// # Panics
///
/// If something is, or there is nothing to search.
#[allow(clippy::panic)] // A leak is a failed test.
pub fn assert_no_leak(canaries: &[Canary], places: &[(&str, Vec<u8>)], when: &str) {
    for (what, bytes) in places {
        assert!(!bytes.is_empty(), "{what} is empty {when}");
        if let Some(leak) = search(bytes, canaries) {
            panic!("{leak} in {what}, {when}");
        }
    }
}

/// Every form that is searched for: as it is, in both cases, as UTF-16, hexadecimal, URL-encoded, and the
/// characters of base64 that do not depend on what stands around it; each also reversed.
fn forms(secret: &[u8]) -> Vec<(String, Vec<u8>)> {
    let reversed: Vec<u8> = secret.iter().rev().copied().collect();
    let mut forms = Vec::new();
    for (order, bytes) in [("", secret), ("reversed ", reversed.as_slice())] {
        let utf16 = |low_first: bool| -> Vec<u8> {
            bytes
                .iter()
                .flat_map(|&byte| if low_first { [byte, 0] } else { [0, byte] })
                .collect()
        };
        let all = [
            ("raw", bytes.to_vec()),
            ("lower case", bytes.to_ascii_lowercase()),
            ("upper case", bytes.to_ascii_uppercase()),
            ("utf-16le", utf16(true)),
            ("utf-16be", utf16(false)),
            ("hex", hex::encode(bytes).into_bytes()),
            ("upper-case hex", hex::encode_upper(bytes).into_bytes()),
            ("url", spelled(bytes, "%").to_uppercase().into_bytes()),
            ("lower-case url", spelled(bytes, "%").into_bytes()),
            ("escaped", spelled(bytes, "\\x").into_bytes()),
            ("decimal list", decimal(bytes).into_bytes()),
        ];
        forms.extend(all.map(|(name, form)| (format!("{order}{name}"), form)));
        for shift in 0..3 {
            for (name, last) in [("base64", b"+/"), ("base64url", b"-_")] {
                forms.push((
                    format!("{order}{name} at {shift}"),
                    base64_core(bytes, shift, last),
                ));
            }
        }
    }
    forms
}

fn spelled(bytes: &[u8], before: &str) -> String {
    bytes
        .iter()
        .map(|byte| format!("{before}{byte:02x}"))
        .collect()
}

/// As `{:?}` prints bytes.
fn decimal(bytes: &[u8]) -> String {
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    numbers.join(", ")
}

/// The characters of the base64 of any text that has `bytes` at a position that is `shift` modulo 3, as
/// far as they depend on `bytes` alone.
fn base64_core(bytes: &[u8], shift: usize, last: &[u8; 2]) -> Vec<u8> {
    let mut padded = vec![0; shift];
    padded.extend_from_slice(bytes);
    let characters = padded.chunks_exact(3).flat_map(|group| {
        let bits = group
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        [18, 12, 6, 0].map(|place| base64_character(bits >> place & 63, last))
    });
    // The first characters mix in what stands before: one foreign byte touches two, two touch three.
    let foreign = match shift {
        0 => 0,
        1 => 2,
        _ => 3,
    };
    characters.skip(foreign).collect()
}

fn base64_character(value: u32, last: &[u8; 2]) -> u8 {
    let value = u8::try_from(value).unwrap_or(0);
    match value {
        0..=25 => b'A' + value,
        26..=51 => b'a' + (value - 26),
        52..=61 => b'0' + (value - 52),
        62 => last[0],
        _ => last[1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(haystack: &[u8]) -> Option<String> {
        let canary = Canary::new("a test", b"C4nary-S3cret!").unwrap();
        search(haystack, &[canary]).map(|leak| leak.form)
    }

    #[test]
    fn every_form_is_found_and_nothing_else() {
        for (text, form) in [
            (&b"xx C4nary-S3cret! xx"[..], "raw"),
            (b"!terc3S-yran4C", "reversed raw"),
            (b"C4C4nary-S3cret!", "raw"),
            (b"C4NARY-S3CRET!", "upper case"),
            (b"43346e6172792d53336372657421", "hex"),
            (b"43346E6172792D53336372657421", "upper-case hex"),
            (b"%43%34%6E%61%72%79%2D%53%33%63%72%65%74%21", "url"),
            (
                b"C\x004\x00n\x00a\x00r\x00y\x00-\x00S\x003\x00c\x00r\x00e\x00t\x00!\x00",
                "utf-16le",
            ),
            (
                b"[67, 52, 110, 97, 114, 121, 45, 83, 51, 99, 114, 101, 116, 33]",
                "decimal list",
            ),
            // From another implementation: `printf ... | base64`.
            (b"QzRuYXJ5LVMzY3JldCE=", "base64 at 0"),
            (b"eEM0bmFyeS1TM2NyZXQheQ==", "base64 at 1"),
            (b"eHhDNG5hcnktUzNjcmV0IXk=", "base64 at 2"),
        ] {
            assert_eq!(found(text).as_deref(), Some(form));
        }
        assert_eq!(found(b"C4nary-S3cret"), None);
        assert_eq!(found(b""), None);
        assert!(Canary::new("a test", b"short").is_none());
    }
}
