//! Searching bytes for secrets that must not be in them, in the forms in which they would leak.

/// A secret that is planted, and must never be found.
#[derive(Clone)]
pub struct Canary {
    /// Where it is planted: for the message.
    pub place: &'static str,
    bytes: Vec<u8>,
    forms: Vec<(String, Vec<u8>)>,
}

impl Canary {
    /// At least eight bytes, so that no form of it is in anything by chance.
    pub fn new(place: &'static str, bytes: &[u8]) -> Self {
        assert!(bytes.len() >= 8, "{place}: too short to be searched for");
        Self {
            place,
            bytes: bytes.to_vec(),
            forms: Self::forms(bytes),
        }
    }

    /// The secret itself.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The first form of the secret that is in `haystack`.
    pub fn found_in(&self, haystack: &[u8]) -> Option<&str> {
        self.forms.iter().find_map(|(name, form)| {
            let found = haystack.windows(form.len()).any(|window| window == form);
            found.then_some(name.as_str())
        })
    }

    /// Every form that is searched for, with its name: as it is, reversed, in both cases, as
    /// UTF-16, hex, URL-encoded, and the parts of base64 that do not depend on where in a longer
    /// text it stands.
    fn forms(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut forms = Vec::new();
        let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
        for (order, bytes) in [("", bytes), ("reversed ", reversed.as_slice())] {
            let mut add = |name: &str, form: Vec<u8>| forms.push((format!("{order}{name}"), form));
            add("raw", bytes.to_vec());
            add("lower case", bytes.to_ascii_lowercase());
            add("upper case", bytes.to_ascii_uppercase());
            add("complement", bytes.iter().map(|byte| !byte).collect());
            add(
                "utf-16le",
                bytes.iter().flat_map(|&byte| [byte, 0]).collect(),
            );
            add(
                "utf-16be",
                bytes.iter().flat_map(|&byte| [0, byte]).collect(),
            );
            add("hex", hex(bytes, "").into_bytes());
            add("upper-case hex", hex(bytes, "").to_uppercase().into_bytes());
            add("url", hex(bytes, "%").to_uppercase().into_bytes());
            add("lower-case url", hex(bytes, "%").into_bytes());
            add("escaped", hex(bytes, "\\x").into_bytes());
            for shift in 0..3 {
                for (name, alphabet) in [("base64", STANDARD), ("base64url", URL_SAFE)] {
                    add(
                        &format!("{name} at {shift}"),
                        base64_core(bytes, shift, alphabet),
                    );
                }
            }
        }
        forms
    }
}

/// Fails if any canary is in `haystack` in any form; `what` names the bytes that left.
pub fn assert_no_canary(what: &str, haystack: &[u8], canaries: &[Canary]) {
    for canary in canaries {
        if let Some(form) = canary.found_in(haystack) {
            panic!(
                "{what}: the secret planted in {} left as {form}",
                canary.place
            );
        }
    }
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn hex(bytes: &[u8], before: &str) -> String {
    bytes
        .iter()
        .map(|byte| format!("{before}{byte:02x}"))
        .collect()
}

/// The characters of the base64 of any text that has `bytes` at a position that is `shift` modulo
/// 3, as far as they depend on `bytes` alone.
fn base64_core(bytes: &[u8], shift: usize, alphabet: &[u8; 64]) -> Vec<u8> {
    let mut padded = vec![0; shift];
    padded.extend_from_slice(bytes);
    let whole = bytes.len() + shift - (bytes.len() + shift) % 3;
    let characters: Vec<u8> = padded[..whole]
        .chunks(3)
        .flat_map(|group| {
            let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
            [18, 12, 6, 0].map(|place| alphabet[(bits >> place & 63) as usize])
        })
        .collect();
    // The first characters mix in what stands before: 8 bits of shift touch two characters, 16
    // three.
    let skip = [0, 2, 3][shift];
    characters[skip..].to_vec()
}

mod tests {
    use super::*;

    fn found(haystack: &[u8]) -> Option<String> {
        Canary::new("a test", b"C4nary-S3cret!")
            .found_in(haystack)
            .map(str::to_owned)
    }

    #[test]
    fn every_form_is_found_and_nothing_else() {
        assert_eq!(found(b"xx C4nary-S3cret! xx").as_deref(), Some("raw"));
        assert_eq!(
            found(b"xx !terc3S-yran4C xx").as_deref(),
            Some("reversed raw")
        );
        assert_eq!(
            found(b"43346e6172792d53336372657421").as_deref(),
            Some("hex")
        );
        assert_eq!(found(b"C4nary-S3cret"), None);
        assert_eq!(found(b""), None);
    }

    #[test]
    fn base64_is_found_wherever_the_secret_stands() {
        // From another implementation: `printf ... | base64`.
        for (text, form) in [
            (&b"QzRuYXJ5LVMzY3JldCE="[..], "base64 at 0"), // the secret alone
            (b"eEM0bmFyeS1TM2NyZXQheQ==", "base64 at 1"),  // xSECRETy
            (b"eHhDNG5hcnktUzNjcmV0IXk=", "base64 at 2"),  // xxSECRETy
        ] {
            assert_eq!(found(text).as_deref(), Some(form));
        }
    }
}
