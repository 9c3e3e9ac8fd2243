//! What `order submit` leaves beside an order: the proof that it is in the log, and the approvals as
//! they were logged.
//!
//! The entry holds a digest over order, signature and approvals. Another approval that comes later
//! is worth nothing there, and sent to an agent it would only spoil the match: what was logged is
//! kept, and used from then on.

use std::path::{Path, PathBuf};

use crate::failure::{Failure, Outcome};
use crate::files::{Existing, write_file};
use crate::input::{read_file, read_text};

/// The longest tlog-proof.
const PROOF_LIMIT_BYTES: usize = narthex_channel::limits::MAX_LOG_PROOF_BYTES;

/// As many approvals as an order can have, each as long as a signature can be.
const APPROVALS_LIMIT_BYTES: usize = 64 * 1024;

/// The last line of an armored signature.
const LAST_LINE: &str = "-----END SSH SIGNATURE-----";

/// `FILE.proof`.
pub(crate) fn proof_path(order: &Path) -> PathBuf {
    beside(order, "proof")
}

/// `FILE.refused.proof`.
pub(crate) fn refusal_path(order: &Path) -> PathBuf {
    beside(order, "refused.proof")
}

/// `FILE.approvals`.
pub(crate) fn approvals_path(order: &Path) -> PathBuf {
    beside(order, "approvals")
}

fn beside(order: &Path, ending: &str) -> PathBuf {
    let mut name = order.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// The proof's bytes: from `named`, or from beside the order if there is one.
///
/// # Errors
/// `file.*`.
pub(crate) fn read_proof(order: &Path, named: Option<&Path>) -> Outcome<Option<Vec<u8>>> {
    match named {
        Some(path) => read_file(path, PROOF_LIMIT_BYTES).map(Some),
        None => {
            let path = proof_path(order);
            match path.exists() {
                true => read_file(&path, PROOF_LIMIT_BYTES).map(Some),
                false => Ok(None),
            }
        }
    }
}

/// The approvals that were logged with the order, if it was submitted.
///
/// # Errors
/// `file.*`; `order.approvals` if the file holds something else.
pub(crate) fn read_approvals(order: &Path) -> Outcome<Option<Vec<String>>> {
    let path = approvals_path(order);
    match path.exists() {
        false => Ok(None),
        true => split(&read_text(&path, APPROVALS_LIMIT_BYTES)?)
            .map(Some)
            .ok_or_else(|| {
                Failure::misuse(
                    "order.approvals",
                    format!("{} holds something else than signatures", path.display()),
                )
                .next("move it away and submit the order again: `narthex order submit`")
            }),
    }
}

/// Keeps what was logged.
///
/// # Errors
/// `file.*`.
pub(crate) fn write_approvals(order: &Path, approvals: &[String]) -> Outcome<()> {
    write_file(
        &approvals_path(order),
        approvals.concat().as_bytes(),
        Existing::Replace,
    )
}

/// An approval as it is handed in: no white space around it, one line feed at its end, so that
/// several in one file come apart again as they were.
pub(crate) fn tidy(armored: &str) -> String {
    format!("{}\n", armored.trim())
}

/// Several signatures in one text; `None` if there is anything else in it.
fn split(text: &str) -> Option<Vec<String>> {
    let mut signatures = Vec::new();
    let mut current = String::new();
    for line in text.lines() {
        current.push_str(line);
        current.push('\n');
        if line == LAST_LINE {
            signatures.push(std::mem::take(&mut current));
        }
    }
    let begins = |signature: &String| signature.starts_with("-----BEGIN SSH SIGNATURE-----\n");
    (current.is_empty() && signatures.iter().all(begins)).then_some(signatures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armored(content: &str) -> String {
        format!("-----BEGIN SSH SIGNATURE-----\n{content}\n{LAST_LINE}\n")
    }

    #[test]
    fn approvals_come_apart_as_they_were() {
        let directory = tempfile::tempdir().unwrap();
        let order = directory.path().join("a.order.toml");
        assert_eq!(read_approvals(&order), Ok(None));
        for approvals in [vec![], vec![armored("AA"), armored("BB\nCC")]] {
            write_approvals(&order, &approvals).unwrap();
            assert_eq!(read_approvals(&order), Ok(Some(approvals)));
        }
        assert_eq!(tidy(&format!("\n {}  \n", armored("AA"))), armored("AA"));
    }

    #[test]
    fn anything_else_among_them_is_seen() {
        let good = armored("AA");
        for wrong in [
            "x".to_owned(),
            format!("x\n{good}"),
            format!("{good}x"),
            format!("{good}\n"),
            good.replace(LAST_LINE, "-----END"),
        ] {
            assert_eq!(split(&wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn the_names_are_beside_the_order() {
        let order = Path::new("d/shift.order.toml");
        assert_eq!(proof_path(order), Path::new("d/shift.order.toml.proof"));
        assert_eq!(
            refusal_path(order),
            Path::new("d/shift.order.toml.refused.proof")
        );
        assert_eq!(
            approvals_path(order),
            Path::new("d/shift.order.toml.approvals")
        );
    }
}
