//! The procedure, the list of checks and the tests belong together.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use narthex_verifier::CheckId;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn tests() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.ends_with("documentation.rs") && !path.ends_with("support.rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    text
}

#[test]
fn every_check_is_in_the_procedure_and_nothing_else_is() {
    let page = read("docs/verification.md");
    let mut ids: BTreeSet<&str> = CheckId::all().map(CheckId::id).collect();
    ids.retain(|id| !id.starts_with("pcr."));
    ids.insert("pcr.N");
    for id in &ids {
        assert!(
            page.contains(&format!("`{id}`")),
            "{id} is not in docs/verification.md"
        );
    }
    // What looks like a check in the steps is one.
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let id = line.split('`').nth(1).unwrap();
        if id.contains('.') {
            assert!(
                ids.contains(id),
                "docs/verification.md describes {id}, which is no check"
            );
        }
    }
}

#[test]
fn every_check_is_asserted_by_a_test() {
    let tests = tests();
    for id in CheckId::all() {
        // `CheckId::Pcr(…)` is asserted by index, in a loop over all of them.
        let variant = match id {
            CheckId::Pcr(_) => "Pcr(pcr(index))".to_owned(),
            other => format!("{other:?}"),
        };
        assert!(
            tests.contains(&format!("CheckId::{variant}")),
            "no test asserts {id}"
        );
    }
}

#[test]
fn every_test_that_the_procedure_names_is_there() {
    let page = read("docs/verification.md");
    let tests = tests() + &read("tests/real_documents.rs") + &read("tests/real/changed_bytes.rs");
    let mut named = 0;
    for line in page.lines().filter(|line| line.starts_with("| `")) {
        let cell = line
            .trim_end()
            .trim_end_matches('|')
            .rsplit('|')
            .next()
            .unwrap();
        for test in cell.split('`').skip(1).step_by(2) {
            assert!(
                tests.contains(&format!("fn {test}(")),
                "{test} is named and is no test"
            );
            named += 1;
        }
    }
    assert!(named > 60, "{named}");
}
