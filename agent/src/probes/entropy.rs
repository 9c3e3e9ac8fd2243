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

pub(crate) fn source(current: Option<&str>) -> State {
    match current.map(str::trim) {
        Some("nsm-hwrng") => State::NsmRandom, // drivers/misc/nsm.c
        None | Some("" | "none") => State::NoRandom,
        Some(_) => State::OtherRandom,
    }
}

/// What the kernel's command line says about `key`. The last statement counts, as for the kernel. `None` when
/// nothing is stated: the kernel then does as it was built, which cannot be told from here.
pub(crate) fn trust(arguments: &str, key: &str) -> Option<bool> {
    kernel_arguments(arguments)
        .filter_map(|(name, value)| (name == key).then_some(value)?)
        .filter_map(|value| to_bool(&value))
        .last()
}

/// The arguments that are the kernel's, as its `next_arg` (lib/cmdline.c) and `parameq` (kernel/params.c) read
/// them: spaces inside quotation marks divide nothing, what follows `--` is for the first program, and a hyphen in a name is as
/// good as an underscore.
fn kernel_arguments(line: &str) -> impl Iterator<Item = (String, Option<String>)> {
    let mut quoted = false;
    let arguments = line.trim().split(move |character: char| {
        quoted ^= character == '"';
        character.is_ascii_whitespace() && !quoted
    });
    arguments
        .filter(|argument| !argument.is_empty())
        .take_while(|argument| *argument != "--")
        .map(|argument| {
            let unquoted = argument.replace('"', "");
            match unquoted.split_once('=') {
                Some((name, value)) => (name.replace('-', "_"), Some(value.to_owned())),
                None => (unquoted.replace('-', "_"), None),
            }
        })
}

/// The kernel's `kstrtobool` (lib/kstrtox.c), which looks at one letter, or two.
fn to_bool(value: &str) -> Option<bool> {
    let mut bytes = value.bytes();
    match (bytes.next()?, bytes.next()) {
        (b'1' | b'y' | b'Y' | b't' | b'T', _) | (b'o' | b'O', Some(b'n' | b'N')) => Some(true),
        (b'0' | b'n' | b'N' | b'f' | b'F', _) | (b'o' | b'O', Some(b'f' | b'F')) => Some(false),
        _ => None,
    }
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
        for (line, stated) in [
            ("random.trust-cpu=off", Some(false)),
            ("\"random.trust_cpu=off\"", Some(false)),
            ("random.trust_cpu=\"off\"", Some(false)),
            ("random.trust_cpu=OFF random.trust_cpu", Some(false)),
            ("random.trust_cpu=yes", Some(true)),
            ("random.trust_cpu=off -- random.trust_cpu=on", Some(false)),
            ("-- random.trust_cpu=off", None),
            ("a=\"b random.trust_cpu=off c\" d", None),
            ("xrandom.trust_cpu=off", None),
            ("random.trust_cpu=o", None),
        ] {
            assert_eq!(trust(line, key), stated, "{line}");
        }
    }
}
