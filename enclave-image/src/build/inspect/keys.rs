//! Private keys, by well-known names and by content.

use crate::tree::TreePath;

/// Names under which OpenSSH keeps private keys.
const NAMES: [&str; 6] = [
    "id_dsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
    "id_rsa",
];
/// Endings of containers that hold keys.
const ENDINGS: [&str; 5] = [".jks", ".keystore", ".p12", ".pfx", ".ppk"];
/// How a label of a private key ends in the encapsulation boundary of RFC 7468 and its relatives.
const BOUNDARIES: [&[u8]; 2] = [b"PRIVATE KEY-----", b"PRIVATE KEY BLOCK-----"];
const BEGIN: &[u8] = b"-----BEGIN ";
const PUTTY: &[u8] = b"PuTTY-User-Key-File-";
/// Longest label that stands before the words above ("ENCRYPTED ", "OPENSSH ", "RSA ", …), bytes.
const MAX_LABEL_BYTES: usize = 32;
/// So many base64 characters in a row are a key's beginning, and not a program that knows the boundary.
const LEAST_BASE64_BYTES: usize = 20;

/// What kind of private key `content` is or holds.
pub(super) fn find(path: &TreePath, content: &[u8]) -> Option<&'static str> {
    let name = path.name().to_ascii_lowercase();
    let is_host_key = name.starts_with("ssh_host_") && name.ends_with("_key");
    if NAMES.contains(&name.as_str()) || is_host_key {
        return Some("a private key of OpenSSH, by its name");
    }
    if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
        return Some("a key store, by its name");
    }
    if content.starts_with(PUTTY) {
        return Some("a private key of PuTTY");
    }
    if holds_pem(content) {
        return Some("a private key in PEM");
    }
    is_der(content).then_some("a private key in DER")
}

/// Whether a boundary of a private key is followed by something that looks like one. The boundary alone is
/// in every program that reads keys.
fn holds_pem(content: &[u8]) -> bool {
    let mut rest = content;
    while let Some(begin) = find_bytes(rest, BEGIN) {
        rest = rest.get(begin + BEGIN.len()..).unwrap_or_default();
        let window = rest.get(..MAX_LABEL_BYTES + 24).unwrap_or(rest);
        let end = BOUNDARIES
            .iter()
            .filter_map(|boundary| Some(find_bytes(window, boundary)? + boundary.len()))
            .min();
        if let Some(end) = end
            && rest.get(end..).is_some_and(begins_like_key)
        {
            return true;
        }
    }
    false
}

fn begins_like_key(text: &[u8]) -> bool {
    // A key in JSON has the line feed as two characters, one in YAML is indented.
    let text = without_blanks(text);
    let body = [&b"\r\n"[..], b"\n", b"\\r\\n", b"\\n"]
        .iter()
        .find_map(|line_end| text.strip_prefix(*line_end));
    let Some(body) = body.map(without_blanks) else {
        return false;
    };
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let is_encoded =
        |body: &[u8]| body.iter().take_while(|byte| is_base64(byte)).count() >= LEAST_BASE64_BYTES;
    // RFC 1421 headers stand before some encrypted keys, RFC 4880 headers before those of PGP.
    let has_headers = [&b"Proc-Type:"[..], b"DEK-Info:", b"Version:", b"Comment:"]
        .iter()
        .any(|header| body.starts_with(header));
    let blank = [&b"\r\n"[..], b"\n"]
        .iter()
        .find_map(|line_end| body.strip_prefix(*line_end))
        .map(without_blanks);
    has_headers || is_encoded(body) || blank.is_some_and(is_encoded)
}

/// Without the spaces and tabs at its beginning.
fn without_blanks(text: &[u8]) -> &[u8] {
    let blanks = text
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    text.get(blanks..).unwrap_or_default()
}

/// PKCS#8 (RFC 5958), PKCS#1 (RFC 8017) and SEC 1 (RFC 5915), each a SEQUENCE that is the whole file and
/// begins with its version; and PKCS#8 with a passphrase.
fn is_der(content: &[u8]) -> bool {
    let Some((0x30, rest)) = content.split_first().map(|(tag, rest)| (*tag, rest)) else {
        return false;
    };
    let body = match rest {
        [0x82, high, low, body @ ..]
            if usize::from(u16::from_be_bytes([*high, *low])) == body.len() =>
        {
            body
        }
        [0x81, length, body @ ..] if usize::from(*length) == body.len() => body,
        [length, body @ ..] if *length < 0x80 && usize::from(*length) == body.len() => body,
        _ => return false,
    };
    let pkcs8 = [0x02, 0x01, 0x00, 0x30];
    let pkcs8_with_public = [0x02, 0x01, 0x01, 0x30];
    let pkcs1 = [0x02, 0x01, 0x00, 0x02];
    let sec1 = [0x02, 0x01, 0x01, 0x04];
    let is_plain = [pkcs8, pkcs8_with_public, pkcs1, sec1]
        .iter()
        .any(|begin| body.starts_with(begin));
    is_plain || is_encrypted(body)
}

/// An EncryptedPrivateKeyInfo (RFC 5958) begins with the algorithm: one of PKCS#5 or PKCS#12.
fn is_encrypted(body: &[u8]) -> bool {
    const PKCS: [u8; 7] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01];
    match body {
        [0x30, _, 0x06, _, identifier @ ..] => identifier
            .strip_prefix(&PKCS)
            .is_some_and(|rest| matches!(rest.first(), Some(0x05 | 0x0c))),
        _ => false,
    }
}

pub(super) fn find_bytes(content: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(content, wanted)
}
