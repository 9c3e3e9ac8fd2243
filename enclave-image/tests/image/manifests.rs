//! Manifests: one spelling, strict reading, comparing.

use narthex_image::Sha256Digest;
use narthex_image::manifest::{MAX_MANIFEST_BYTES, Manifest, Part, compare};

use super::support::{Draft, Item, with};

fn example() -> Manifest {
    Draft::workload("insecure_shell = true\nruntimes = [\"node\", \"python\"]\n")
        .build(&with([
            Item::program("bin/sh"),
            Item::program("bin/node"),
            Item::program("bin/python3"),
            Item::link("link", "app/server"),
            Item::file("etc/\"quoted\" ünïcode", ""),
        ]))
        .unwrap()
        .manifest
}

fn text() -> String {
    example().to_json()
}

#[track_caller]
fn refused(text: &str, id: &str) {
    assert_eq!(
        Manifest::parse(text.as_bytes()).unwrap_err().id(),
        id,
        "{text}"
    );
}

#[test]
fn what_is_written_is_read_and_is_what_intoto_expects() {
    let manifest = example();
    let text = manifest.to_json();
    assert_eq!(Manifest::parse(text.as_bytes()).unwrap(), manifest);
    let statement: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(statement["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(statement["predicateType"], "urn:narthex:enclave-image:1");
    assert_eq!(statement["subject"][0]["name"], "shop-1.2.3.eif");
    assert_eq!(
        statement["subject"][0]["digest"]["sha384"]
            .as_str()
            .unwrap()
            .len(),
        96
    );
    assert_eq!(statement["predicate"]["files"][0]["path"], "/app");
    assert!(text.ends_with("}\n") && text.is_ascii() != text.contains('ü'));
}

#[test]
fn one_line_for_each_file() {
    let line = "      {\"path\": \"/link\", \"kind\": \"link\", \"mode\": \"0777\", \"owner\": \"0:0\", \"target\": \"app/server\"}";
    assert!(
        text()
            .lines()
            .any(|found| found.trim_end_matches(',') == line),
        "{}",
        text()
    );
}

#[test]
fn another_spelling_is_refused() {
    let value: serde_json::Value = serde_json::from_str(&text()).unwrap();
    refused(&value.to_string(), "manifest.spelling");
    refused(&format!("{} ", text()), "manifest.spelling");
    refused(text().trim_end(), "manifest.spelling");
    refused(&text().replace('\n', "\r\n"), "manifest.spelling");
    refused(
        &text().replacen("shop", "\\u0073hop", 1),
        "manifest.spelling",
    );
    refused(
        &text().replacen("\"0755\"", "\"00755\"", 1),
        "manifest.spelling",
    );
    refused(
        &text().replacen("\"0:0\"", "\"+0:0\"", 1),
        "manifest.spelling",
    );
    let toolchain = "\"rustc\": \"1.95.0\"";
    refused(
        &text().replacen(toolchain, &format!("{toolchain},\n      {toolchain}"), 1),
        "manifest.spelling",
    );
}

#[test]
fn other_shapes_are_refused() {
    refused("", "manifest.format");
    refused("[]", "manifest.format");
    refused(&format!("{}{{}}", text()), "manifest.format");
    refused(
        &text().replacen("\"predicate\": {", "\"predicate\": {\"more\": 1, ", 1),
        "manifest.format",
    );
    refused(
        &text().replacen("\"memory_mib\"", "\"memory_mb\"", 1),
        "manifest.format",
    );
    refused(
        &text().replacen(
            "\"name\": \"shop\"",
            "\"name\": \"shop\", \"name\": \"shop\"",
            1,
        ),
        "manifest.format",
    );
    refused(
        &text().replacen("\"kind\": \"link\"", "\"kind\": \"device\"", 1),
        "manifest.format",
    );
    refused(&" ".repeat(MAX_MANIFEST_BYTES + 1), "manifest.format");
    refused(
        &text().replacen("Statement/v1", "Statement/v2", 1),
        "manifest.type",
    );
    refused(
        &text().replacen("enclave-image:1", "enclave-image:2", 1),
        "manifest.type",
    );
}

#[test]
fn every_value_is_checked() {
    let manifest = example();
    let pcr1 = manifest.measurements.pcr1.to_string();
    let sha256 = manifest.image_sha256.to_string();
    let changes = [
        ("\"name\": \"shop\"", "\"name\": \"Shop\""),
        ("\"version\": \"1.2.3\"", "\"version\": \"\""),
        ("shop-1.2.3.eif", "shop-1.2.4.eif"),
        ("\"x86_64\"", "\"amd64\""),
        (pcr1.as_str(), "00"),
        (pcr1.as_str(), &"0".repeat(96)),
        (sha256.as_str(), &sha256.to_uppercase()),
        ("\"shell\"", "\"shells\""),
        ("\"node\",\n      \"python\"", "\"python\",\n      \"node\""),
        ("\"node\",\n      \"python\"", "\"node\",\n      \"node\""),
        ("\"path\": \"/link\"", "\"path\": \"link\""),
        ("\"path\": \"/link\"", "\"path\": \"/a/../link\""),
        ("\"path\": \"/link\"", "\"path\": \"/proc\""),
        ("\"path\": \"/link\"", "\"path\": \"/a\""),
        ("\"mode\": \"0777\"", "\"mode\": \"10000\""),
        ("\"mode\": \"0777\"", "\"mode\": \"rwx\""),
        ("\"owner\": \"0:0\"", "\"owner\": \"root\""),
        ("\"target\": \"app/server\"", "\"size\": 1"),
        ("\"kind\": \"link\"", "\"kind\": \"file\""),
        ("\"kind\": \"directory\"", "\"kind\": \"link\""),
        ("\"name\": \"agent\"", "\"name\": \"zebra\""),
    ];
    for (from, to) in changes {
        let text = text();
        assert!(text.contains(from), "{from}");
        refused(&text.replacen(from, to, 1), "manifest.field");
    }
    let memory = format!("\"memory_mib\": {}", manifest.memory_mib);
    refused(
        &text().replacen(&memory, "\"memory_mib\": 0", 1),
        "manifest.field",
    );
    let (before, after) = text()
        .split_once("\"subject\": [")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let (_, after) = after.split_once("],").unwrap();
    refused(
        &format!("{before}\"subject\": [],{after}"),
        "manifest.field",
    );
}

#[test]
fn digests_are_those_of_the_file() {
    let manifest = example();
    assert_eq!(
        manifest.sha256(),
        Sha256Digest::of(manifest.to_json().as_bytes())
    );
    assert_eq!(manifest.sha384().to_string().len(), 96);
}

#[test]
fn comparing_names_the_input_that_changed() {
    let before = Draft::default()
        .build(&with([Item::file("x", "1"), Item::file("old", "")]))
        .unwrap()
        .manifest;
    assert!(compare(&before, &before).is_empty());
    let mut draft = Draft::default();
    draft.agent.push(0);
    draft.settings.push_str("pids_max = 3\n");
    let after = draft
        .build(&with([Item::file("x", "2"), Item::file("new", "")]))
        .unwrap()
        .manifest;
    let found = compare(&before, &after);
    let subjects = |part: Part| -> Vec<_> {
        found
            .iter()
            .filter(|difference| difference.part == part)
            .map(|difference| difference.subject.as_str())
            .collect()
    };
    assert_eq!(subjects(Part::Recipe), ["recipe"]);
    assert_eq!(subjects(Part::Input), ["agent", "agent.toml", "workload"]);
    assert_eq!(subjects(Part::File), ["/old", "/x", "/new"]);
    assert_eq!(subjects(Part::Measurement), ["pcr0", "pcr1", "pcr2"]);
    assert_eq!(subjects(Part::Image), ["sha256", "sha384"]);
    assert!(found.is_sorted_by_key(|difference| difference.part.is_consequence()));
    let old = found
        .iter()
        .find(|difference| difference.subject == "/old")
        .unwrap();
    assert!(
        old.to_string()
            .starts_with("file /old: only in the first: 0 bytes"),
        "{old}"
    );
}

type Change = fn(&mut Manifest);

#[test]
fn every_field_is_compared() {
    let manifest = example();
    let changes: [(Part, Change); 15] = [
        (Part::Release, |manifest| manifest.name.push('x')),
        (Part::Release, |manifest| manifest.version.push('x')),
        (Part::Recipe, |manifest| {
            manifest.recipe_sha256 = Sha256Digest::of(b"")
        }),
        (Part::Toolchain, |manifest| {
            _ = manifest.toolchain.remove("rustc")
        }),
        (Part::Architecture, |manifest| {
            manifest.architecture = narthex_image::eif::Architecture::Aarch64
        }),
        (Part::CommandLine, |manifest| {
            manifest.command_line.push('x')
        }),
        (Part::Compression, |manifest| {
            manifest.compression = narthex_image::recipe::Compression::None
        }),
        (Part::Input, |manifest| _ = manifest.inputs.remove("kernel")),
        (Part::File, |manifest| _ = manifest.files.pop_first()),
        (Part::Runtime, |manifest| _ = manifest.runtimes.pop()),
        (Part::Insecure, |manifest| manifest.insecure.clear()),
        (Part::Memory, |manifest| manifest.memory_mib += 2),
        (Part::Measurement, |manifest| {
            manifest.measurements.pcr2 = manifest.measurements.pcr1
        }),
        (Part::Image, |manifest| {
            manifest.image_sha256 = Sha256Digest::of(b"")
        }),
        (Part::Image, |manifest| {
            manifest.image_sha384 = manifest.measurements.pcr0
        }),
    ];
    for (part, change) in changes {
        let mut changed = manifest.clone();
        change(&mut changed);
        for found in [compare(&manifest, &changed), compare(&changed, &manifest)] {
            assert_eq!(found.len(), 1, "{part:?}");
            assert_eq!(found[0].part, part);
        }
    }
}
