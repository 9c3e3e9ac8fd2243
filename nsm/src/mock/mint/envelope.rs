//! COSE_Sign1 around the payload (RFC 9052, section 4.2).

use super::cbor::{Cbor, ContainerForm};
use super::key::KeyPair;
use super::signature::{Encoding, SignatureRecipe};

/// `{1: -35}`: ES384.
const PROTECTED_ES384: &[u8] = &[0xa1, 0x01, 0x38, 0x22];

/// The envelope, field by field.
#[derive(Clone, Debug)]
pub struct EnvelopeRecipe {
    /// Tags around the array, outermost first. AWS writes none; 18 is COSE_Sign1.
    pub tags: Vec<u64>,
    /// How the array of four states its length.
    pub form: ContainerForm,
    /// The protected header: a byte string that holds a map.
    pub protected: Cbor,
    /// The unprotected header.
    pub unprotected: Cbor,
    /// Stands in the payload's place, when it is not the payload as a byte string. The signature
    /// stays one over the payload.
    pub payload_item: Option<Cbor>,
    /// The signature.
    pub signature: SignatureRecipe,
    /// Stands in the signature's place, when it is not the signature as a byte string.
    pub signature_item: Option<Cbor>,
    /// Items after the signature, inside the array.
    pub extra_items: Vec<Cbor>,
    /// Context of the signed structure.
    pub context: String,
    /// Protected header as signed, when it is not the one that is sent.
    pub signed_protected: Option<Vec<u8>>,
    /// External data of the signed structure; AWS signs none.
    pub external_data: Vec<u8>,
    /// Payload as signed, when it is not the one that is sent.
    pub signed_payload: Option<Vec<u8>>,
    /// Bytes after the envelope.
    pub trailing: Vec<u8>,
}

impl EnvelopeRecipe {
    /// AWS's envelope: no tag, ES384, nothing unprotected, 96 bytes of signature.
    #[must_use]
    pub fn new() -> Self {
        Self {
            tags: Vec::new(),
            form: ContainerForm::Definite,
            protected: Cbor::Bytes(PROTECTED_ES384.to_vec()),
            unprotected: Cbor::Map(Vec::new()),
            payload_item: None,
            signature: SignatureRecipe::Genuine,
            signature_item: None,
            extra_items: Vec::new(),
            context: "Signature1".to_owned(),
            signed_protected: None,
            external_data: Vec::new(),
            signed_payload: None,
            trailing: Vec::new(),
        }
    }

    /// Sets the protected header to a byte string with this map inside.
    pub fn set_protected_map(&mut self, entries: Vec<(Cbor, Cbor)>) {
        self.protected = Cbor::Bytes(Cbor::Map(entries).to_bytes());
    }

    /// The document: `payload` in its envelope, signed with `key`.
    #[must_use]
    pub fn seal(&self, payload: &[u8], key: &KeyPair) -> Vec<u8> {
        let signature = self
            .signature
            .bytes(key, &self.signed_bytes(payload), Encoding::Cose);
        let mut items = vec![
            self.protected.clone(),
            self.unprotected.clone(),
            self.payload_item
                .clone()
                .unwrap_or_else(|| Cbor::Bytes(payload.to_vec())),
            self.signature_item
                .clone()
                .unwrap_or(Cbor::Bytes(signature)),
        ];
        items.extend(self.extra_items.iter().cloned());
        let tagged = self
            .tags
            .iter()
            .rev()
            .fold(self.form.array(items), |item, tag| {
                Cbor::Tag(*tag, Box::new(item))
            });
        [tagged.to_bytes(), self.trailing.clone()].concat()
    }

    /// `Sig_structure` (RFC 9052, section 4.4).
    fn signed_bytes(&self, payload: &[u8]) -> Vec<u8> {
        let protected = self
            .signed_protected
            .clone()
            .unwrap_or_else(|| match &self.protected {
                Cbor::Bytes(bytes) => bytes.clone(),
                _ => PROTECTED_ES384.to_vec(),
            });
        let payload = self
            .signed_payload
            .clone()
            .unwrap_or_else(|| payload.to_vec());
        Cbor::Array(vec![
            Cbor::text(&self.context),
            Cbor::Bytes(protected),
            Cbor::Bytes(self.external_data.clone()),
            Cbor::Bytes(payload),
        ])
        .to_bytes()
    }
}

impl Default for EnvelopeRecipe {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_envelope_starts_like_a_genuine_one() {
        let key = KeyPair::insecure_from_seed(b"envelope");
        let document = EnvelopeRecipe::new().seal(&[0; 4353], &key);
        assert_eq!(
            document[..8],
            [0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0, 0x59]
        );
        assert_eq!(document[8 + 2 + 4353..][..2], [0x58, 96]);
        assert_eq!(document.len(), 8 + 2 + 4353 + 2 + 96);
    }
}
