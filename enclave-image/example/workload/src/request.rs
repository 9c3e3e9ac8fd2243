//! What a client may send: one byte that says what, then a fixed number of bytes. Nothing else is ever read.
//!
//! | First byte | Then | Answer |
//! |---|---|---|
//! | 1 | nonce, 32 bytes | attestation document that binds nonce and public key |
//! | 2 | SHA-384 digest, 48 bytes | Ed25519 signature, 64 bytes |
//!
//! An answer is its length (two bytes, most significant first) and its bytes. Length zero: it could not be done.

/// One request, whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Who signs here? With a nonce of the client's, so that the answer is fresh.
    Identity([u8; 32]),
    /// Sign this digest.
    Sign([u8; 48]),
}

impl Request {
    /// How many bytes follow the first one; `None`: no request begins with it.
    pub(crate) fn body_length(first: u8) -> Option<usize> {
        match first {
            1 => Some(32),
            2 => Some(48),
            _ => None,
        }
    }

    /// A request from its first byte and everything after it.
    pub(crate) fn parse(first: u8, body: &[u8]) -> Option<Self> {
        match first {
            1 => body.try_into().ok().map(Self::Identity),
            2 => body.try_into().ok().map(Self::Sign),
            _ => None,
        }
    }
}

/// An answer as it is sent. One that has no room in two bytes of length is sent as a failure.
pub(crate) fn answer(content: Option<&[u8]>) -> Vec<u8> {
    let content = content.unwrap_or_default();
    let Ok(length) = u16::try_from(content.len()) else {
        return vec![0, 0];
    };
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::{Request, answer};

    #[test]
    fn requests_have_one_length_each() {
        for first in 0..=255_u8 {
            match Request::body_length(first) {
                Some(length) => {
                    assert!(Request::parse(first, &vec![7; length]).is_some());
                    assert_eq!(Request::parse(first, &vec![7; length - 1]), None);
                    assert_eq!(Request::parse(first, &vec![7; length + 1]), None);
                }
                None => assert_eq!(Request::parse(first, &[7; 48]), None),
            }
        }
        assert_eq!(
            Request::parse(1, &[7; 32]),
            Some(Request::Identity([7; 32]))
        );
        assert_eq!(Request::parse(2, &[7; 48]), Some(Request::Sign([7; 48])));
    }

    #[test]
    fn answers_begin_with_their_length() {
        assert_eq!(answer(Some(b"abc")), b"\x00\x03abc");
        assert_eq!(answer(None), [0, 0]);
        assert_eq!(answer(Some(&vec![1; 65_536])), [0, 0]);
        assert_eq!(answer(Some(&vec![1; 65_535])).len(), 65_537);
    }
}
