//! `sign` and `approve`: a signature beside a file.

use narthex_policy::Namespace;
use serde_json::json;

use crate::commands::signing_arguments::SignArguments;
use crate::exit::Exit;
use crate::failure::Outcome;
use crate::files::{Existing, write_file};
use crate::orders::person_name;
use crate::output::Output;
use crate::signing::{sign, signature_path};

/// Signs `bytes`, the content of the file named in `arguments`, and writes FILE.PERSON.sig.
/// Signing again replaces the signature: the same person and file can only mean the same thing.
///
/// # Errors
/// As [`sign`] and [`write_file`].
pub(crate) fn sign_file(
    arguments: &SignArguments,
    namespace: Namespace,
    bytes: &[u8],
    output: &Output,
) -> Outcome<Exit> {
    let SignArguments { file, person, key } = arguments;
    let person = person_name(person)?;
    let signature = sign(key, namespace, bytes)?;
    let path = signature_path(file, person.as_str());
    write_file(&path, signature.as_bytes(), Existing::Replace)?;
    let value =
        json!({ "signature": path, "namespace": namespace.name(), "person": person.as_str() });
    output.result(&value, || format!("{}\n", path.display()))?;
    Ok(Exit::Done)
}
