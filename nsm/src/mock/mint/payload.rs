//! The signed part of a document (attestation_process.md, section 3.1).

use super::cbor::{Cbor, ContainerForm};
use super::chain::Chain;
use super::identity::Identity;
use super::measurement::{Measurement, ZERO_MEASUREMENT, measurement_of};
use crate::UnixMillis;

/// Everything a document says. Fields are written in AWS's order; [`Self::edits`] are applied last.
#[derive(Clone, Debug)]
pub struct PayloadRecipe {
    /// How the outer map ends. AWS: indefinite since 2025-08, definite before.
    pub form: ContainerForm,
    /// `module_id`.
    pub module_id: String,
    /// `digest`.
    pub digest: String,
    /// `timestamp` in milliseconds.
    pub timestamp: UnixMillis,
    /// How the map of registers ends.
    pub pcrs_form: ContainerForm,
    /// `pcrs`, in the order written; see [`Self::set_pcr`].
    pub pcrs: Vec<(Cbor, Cbor)>,
    /// `certificate`, when it is not the chain's leaf.
    pub certificate: Option<Vec<u8>>,
    /// `cabundle`, when it is not the chain's authorities.
    pub cabundle: Option<Vec<Vec<u8>>>,
    /// `public_key`; `None` is written as `null`.
    pub public_key: Option<Vec<u8>>,
    /// `user_data`; `None` is written as `null`.
    pub user_data: Option<Vec<u8>>,
    /// `nonce`; `None` is written as `null`.
    pub nonce: Option<Vec<u8>>,
    /// What is done to the finished list of entries.
    pub edits: Vec<Edit>,
    /// Bytes after the map, inside the signed payload.
    pub trailing: Vec<u8>,
    /// Is the payload, whatever the other fields say.
    pub raw: Option<Vec<u8>>,
}

/// A change of the finished map: what no field can express.
#[derive(Clone, Debug)]
pub enum Edit {
    /// Leaves the entry out.
    Remove(&'static str),
    /// Another value, of any type, under the same key.
    Replace(&'static str, Cbor),
    /// The same value under another key, of any type.
    Rename(&'static str, Cbor),
    /// The same entry a second time, at the end.
    Duplicate(&'static str),
    /// The two entries change places.
    Swap(&'static str, &'static str),
    /// One more entry at the end.
    Append(Cbor, Cbor),
}

impl PayloadRecipe {
    /// What an enclave of `identity` says at `now`: registers 0 to 15, measured image, a role.
    #[must_use]
    pub fn new(identity: &Identity, now: impl Into<UnixMillis>) -> Self {
        let mut recipe = Self {
            form: ContainerForm::Indefinite,
            module_id: identity.module_id(),
            digest: "SHA384".to_owned(),
            timestamp: now.into(),
            pcrs_form: ContainerForm::Definite,
            pcrs: Vec::new(),
            certificate: None,
            cabundle: None,
            public_key: None,
            user_data: None,
            nonce: None,
            edits: Vec::new(),
            trailing: Vec::new(),
            raw: None,
        };
        for index in 0..16 {
            recipe.set_pcr(index, &ZERO_MEASUREMENT);
        }
        recipe.set_pcr(0, &Self::example_measurement(0));
        recipe.set_pcr(1, &Self::example_measurement(1));
        recipe.set_pcr(2, &Self::example_measurement(2));
        recipe.set_pcr(3, &measurement_of(Self::EXAMPLE_ROLE_ARN.as_bytes()));
        recipe.set_pcr(4, &measurement_of(identity.instance_id.as_bytes()));
        recipe
    }

    /// The role whose measurement is PCR3 of the default recipe.
    pub const EXAMPLE_ROLE_ARN: &'static str = "arn:aws:iam::123456789012:role/narthex-example";

    /// The values that PCR0, 1 and 2 have in the default recipe.
    #[must_use]
    pub fn example_measurement(index: u8) -> Measurement {
        measurement_of(format!("narthex example image, PCR{index}").as_bytes())
    }

    /// Sets a register to these bytes, of any length; a new one takes its place by index.
    pub fn set_pcr(&mut self, index: u64, value: &[u8]) {
        let value = Cbor::Bytes(value.to_vec());
        let key = Cbor::Unsigned(index);
        if let Some((_, present)) = self.pcrs.iter_mut().find(|(present, _)| *present == key) {
            *present = value;
            return;
        }
        let position = self
            .pcrs
            .iter()
            .position(|(present, _)| matches!(present, Cbor::Unsigned(other) if *other > index))
            .unwrap_or(self.pcrs.len());
        self.pcrs.insert(position, (key, value));
    }

    /// Takes a register out.
    pub fn remove_pcr(&mut self, index: u64) {
        self.pcrs.retain(|(key, _)| *key != Cbor::Unsigned(index));
    }

    /// Debug mode as AWS shows it: PCR0, 1, 2 and 8 zero, all others as they are.
    pub fn set_debug_mode(&mut self) {
        for index in [0, 1, 2, 8] {
            self.set_pcr(index, &ZERO_MEASUREMENT);
        }
    }

    /// The payload bytes.
    #[must_use]
    pub fn encode(&self, chain: &Chain) -> Vec<u8> {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let mut entries = self.entries(chain);
        for edit in &self.edits {
            edit.apply(&mut entries);
        }
        [self.form.map(entries).to_bytes(), self.trailing.clone()].concat()
    }

    fn entries(&self, chain: &Chain) -> Vec<(Cbor, Cbor)> {
        let certificate = self.certificate.as_ref().unwrap_or(&chain.leaf);
        let cabundle = self.cabundle.as_ref().unwrap_or(&chain.cabundle);
        let entry = |key: &str, value: Cbor| (Cbor::text(key), value);
        vec![
            entry("module_id", Cbor::text(&self.module_id)),
            entry("digest", Cbor::text(&self.digest)),
            entry("timestamp", Cbor::Unsigned(self.timestamp.0)),
            entry("pcrs", self.pcrs_form.map(self.pcrs.clone())),
            entry("certificate", Cbor::Bytes(certificate.clone())),
            entry(
                "cabundle",
                Cbor::Array(cabundle.iter().cloned().map(Cbor::Bytes).collect()),
            ),
            entry(
                "public_key",
                Cbor::bytes_or_null(self.public_key.as_deref()),
            ),
            entry("user_data", Cbor::bytes_or_null(self.user_data.as_deref())),
            entry("nonce", Cbor::bytes_or_null(self.nonce.as_deref())),
        ]
    }
}

impl Edit {
    fn apply(&self, entries: &mut Vec<(Cbor, Cbor)>) {
        let position = |entries: &[(Cbor, Cbor)], key: &str| {
            entries
                .iter()
                .position(|(present, _)| *present == Cbor::text(key))
        };
        match self {
            Self::Remove(key) => entries.retain(|(present, _)| *present != Cbor::text(key)),
            Self::Replace(key, value) => {
                for (_, present) in entries.iter_mut().filter(|(k, _)| *k == Cbor::text(key)) {
                    *present = value.clone();
                }
            }
            Self::Rename(key, other) => {
                for (present, _) in entries.iter_mut().filter(|(k, _)| *k == Cbor::text(key)) {
                    *present = other.clone();
                }
            }
            Self::Duplicate(key) => {
                let found = position(entries, key).and_then(|at| entries.get(at).cloned());
                entries.extend(found);
            }
            Self::Swap(one, other) => {
                if let (Some(one), Some(other)) = (position(entries, one), position(entries, other))
                {
                    entries.swap(one, other);
                }
            }
            Self::Append(key, value) => entries.push((key.clone(), value.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_keep_their_order() {
        let mut recipe = PayloadRecipe::new(&Identity::example(), 1);
        recipe.set_pcr(31, &[1; 48]);
        recipe.set_pcr(16, &[2; 32]);
        recipe.remove_pcr(5);
        let keys: Vec<Cbor> = recipe.pcrs.iter().map(|(key, _)| key.clone()).collect();
        let expected: Vec<Cbor> = (0..16)
            .filter(|index| *index != 5)
            .chain([16, 31])
            .map(Cbor::Unsigned)
            .collect();
        assert_eq!(keys, expected);
    }

    #[test]
    fn each_edit_does_what_it_says() {
        let before = || {
            vec![
                (Cbor::text("a"), Cbor::Null),
                (Cbor::text("b"), Cbor::Bool(true)),
            ]
        };
        let after = |edit: Edit| {
            let mut entries = before();
            edit.apply(&mut entries);
            Cbor::Map(entries).to_bytes()
        };
        assert_eq!(after(Edit::Remove("a")), b"\xa1\x61b\xf5");
        assert_eq!(
            after(Edit::Replace("a", Cbor::Unsigned(1))),
            b"\xa2\x61a\x01\x61b\xf5"
        );
        assert_eq!(
            after(Edit::Rename("a", Cbor::Unsigned(1))),
            b"\xa2\x01\xf6\x61b\xf5"
        );
        assert_eq!(
            after(Edit::Duplicate("a")),
            b"\xa3\x61a\xf6\x61b\xf5\x61a\xf6"
        );
        assert_eq!(after(Edit::Swap("a", "b")), b"\xa2\x61b\xf5\x61a\xf6");
        let more = Edit::Append(Cbor::text("c"), Cbor::Undefined);
        assert_eq!(after(more), b"\xa3\x61a\xf6\x61b\xf5\x61c\xf7");
    }
}
