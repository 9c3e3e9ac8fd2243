//! Values of platform configuration registers.

use sha2::{Digest as _, Sha384};

use crate::PCR_BYTES;

/// The value of one register: a SHA-384 digest.
pub type Measurement = [u8; PCR_BYTES];

/// A register that nothing was extended into.
pub const ZERO_MEASUREMENT: Measurement = [0; PCR_BYTES];

/// The value after extending `data` into a register: `SHA384(old || data)`.
#[must_use]
pub fn extended(old: &Measurement, data: &[u8]) -> Measurement {
    Sha384::new()
        .chain_update(old)
        .chain_update(data)
        .finalize()
        .into()
}

/// The value of a fresh register after one extension. PCR3 is this over the role's ARN, PCR4 over
/// the instance id (AWS Nitro Enclaves user guide, "Cryptographic attestation").
#[must_use]
pub fn measurement_of(data: &[u8]) -> Measurement {
    extended(&ZERO_MEASUREMENT, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pcr4_of_a_genuine_document_follows_from_its_instance() {
        // The 2026-08-03 document of worldcoin/world-chain, i-018e0c27541e1f15a.
        let expected = "6bc886f2b244a21f5bffcf8908651cc08bd44fdf89055a0cc0666d276e6655b85fdd5931ed52ba6031fd6c378638e38d";
        assert_eq!(
            hex::encode(measurement_of(b"i-018e0c27541e1f15a")),
            expected
        );
    }
}
