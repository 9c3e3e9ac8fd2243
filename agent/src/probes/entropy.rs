//! `entropy`: where the kernel's random numbers come from (R29). In an enclave: the NSM, and
//! neither the processor nor the boot loader is trusted for it.

use narthex_channel::diagnostics::{Field, FieldName, State, Value};

use super::{read_number, read_text};

pub(super) fn read() -> Vec<Field> {
    let current = read_text("/sys/class/misc/hw_random/rng_current");
    let mut fields = vec![Field::single(
        FieldName::EntropySource,
        Value::State(source(current.as_deref())),
    )];
    let bits = read_number("/proc/sys/kernel/random/entropy_avail");
    fields.extend(bits.map(|bits| Field::single(FieldName::EntropyBits, Value::Count(bits))));
    let arguments = read_text("/proc/cmdline").unwrap_or_default();
    for (name, key) in [
        (FieldName::EntropyTrustCpu, "random.trust_cpu"),
        (FieldName::EntropyTrustBootloader, "random.trust_bootloader"),
    ] {
        let stated = trust(&arguments, key);
        fields.extend(stated.map(|trusted| Field::single(name, Value::Flag(trusted))));
    }
    fields
}

pub(super) fn source(current: Option<&str>) -> State {
    match current.map(str::trim) {
        Some("nsm-hwrng") => State::NsmRandom, // drivers/misc/nsm.c
        None | Some("" | "none") => State::NoRandom,
        Some(_) => State::OtherRandom,
    }
}

/// The last statement counts, as for the kernel. `None` when nothing is stated: the kernel then
/// does as it was built, which cannot be told from here.
pub(super) fn trust(arguments: &str, key: &str) -> Option<bool> {
    arguments
        .split_whitespace()
        .filter_map(|argument| argument.strip_prefix(key)?.strip_prefix('='))
        .filter_map(|value| match value {
            // The kernel's kstrtobool.
            "on" | "1" | "y" | "Y" | "t" | "T" => Some(true),
            "off" | "0" | "n" | "N" | "f" | "F" => Some(false),
            _ => None,
        })
        .next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_one_of_three() {
        assert_eq!(source(Some("nsm-hwrng\n")), State::NsmRandom);
        assert_eq!(source(Some("virtio_rng.0\n")), State::OtherRandom);
        assert_eq!(source(Some("none\n")), State::NoRandom);
        assert_eq!(source(Some("")), State::NoRandom);
        assert_eq!(source(None), State::NoRandom);
    }

    #[test]
    fn trust_is_what_the_command_line_states() {
        let key = "random.trust_cpu";
        assert_eq!(trust("quiet random.trust_cpu=off", key), Some(false));
        assert_eq!(
            trust("random.trust_cpu=0 random.trust_cpu=y", key),
            Some(true)
        );
        assert_eq!(
            trust("random.trust_cpu=maybe random.trust_cpux=on", key),
            None
        );
        assert_eq!(trust("", key), None);
    }
}
