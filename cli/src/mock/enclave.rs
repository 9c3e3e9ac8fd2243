//! From arguments to the enclave that the mock pretends to be.

use narthex_nsm::mock::mint::{Identity, Measurement, measurement_of};
use narthex_nsm::mock::{EnclaveMode, MockConfig};

use crate::commands::mock_nsm::EnclaveArguments;
use crate::failure::{Failure, Outcome};

/// What an image is called when nobody says.
const EXAMPLE_LABEL: &str = "example";

/// Resolves the arguments.
///
/// # Errors
/// `misuse.*` for ids and measurements that AWS could not have made.
pub(super) fn config(arguments: &EnclaveArguments) -> Outcome<MockConfig> {
    let EnclaveArguments {
        image_label,
        pcr0,
        pcr1,
        pcr2,
        pcr8,
        module_id,
        instance_id,
        role_arn,
        debug,
    } = arguments;
    let mut config = MockConfig::example();
    config.identity = identity(module_id.as_deref(), instance_id.as_deref())?;
    match (pcr0, pcr1, pcr2) {
        (Some(pcr0), Some(pcr1), Some(pcr2)) => {
            config.pcr0 = measurement("--pcr0", pcr0)?;
            config.pcr1 = measurement("--pcr1", pcr1)?;
            config.pcr2 = measurement("--pcr2", pcr2)?;
        }
        _ => {
            let label = image_label.as_deref().unwrap_or(EXAMPLE_LABEL);
            [config.pcr0, config.pcr1, config.pcr2] = measured(label);
        }
    }
    config.pcr8 = pcr8
        .as_deref()
        .map(|bytes| measurement("--pcr8", bytes))
        .transpose()?;
    config.role_arn = role_arn.clone();
    config.mode = match debug {
        true => EnclaveMode::Debug,
        false => EnclaveMode::Production,
    };
    Ok(config)
}

/// PCR0, PCR1 and PCR2 of a made-up image. The kernel is the same for all of them.
pub(super) fn measured(image_label: &str) -> [Measurement; 3] {
    [
        measurement_of(format!("narthex mock image {image_label}").as_bytes()),
        measurement_of(b"narthex mock kernel"),
        measurement_of(format!("narthex mock application {image_label}").as_bytes()),
    ]
}

fn identity(module_id: Option<&str>, instance_id: Option<&str>) -> Outcome<Identity> {
    let example = Identity::example();
    let module_id = match (module_id, instance_id) {
        (Some(module_id), _) => module_id.to_owned(),
        (None, Some(instance_id)) => format!("{instance_id}-enc{}", example.enclave_id),
        (None, None) => example.module_id(),
    };
    Identity::from_module_id(&module_id).ok_or_else(|| {
        Failure::misuse("misuse.module_id", format!("{module_id} is no module id"))
            .next("AWS's look like i-0123456789abcdef0-enc0123456789abcdef: 17 and 16 hex digits")
    })
}

fn measurement(flag: &str, bytes: &[u8]) -> Outcome<Measurement> {
    bytes.try_into().map_err(|_| {
        Failure::misuse(
            "misuse.measurement",
            format!(
                "{flag} has {} bytes; a register holds 48 (96 hex digits)",
                bytes.len()
            ),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_awss_shape() {
        assert!(identity(None, None).is_ok());
        let module = identity(Some("i-00000000000000001-enc0000000000000002"), None).unwrap();
        assert_eq!(
            module.module_id(),
            "i-00000000000000001-enc0000000000000002"
        );
        for wrong in [
            "",
            "i-1-enc2",
            "i-00000000000000001",
            "i-0000000000000000X-enc0000000000000002",
        ] {
            assert_eq!(
                identity(Some(wrong), None).unwrap_err().id(),
                "misuse.module_id",
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_label_stands_for_measurements() {
        assert_eq!(measured("a"), measured("a"));
        let [a, b] = ["a", "b"].map(measured);
        assert!(a[0] != b[0] && a[1] == b[1] && a[2] != b[2]);
    }
}
