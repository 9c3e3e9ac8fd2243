//! The mock's documents have the skeleton of genuine ones, item by item.
//!
//! For each genuine document the mock is asked for one of the same shape, and both are reduced to
//! their skeletons: every CBOR item with its kind, width and text, every DER value of all five
//! certificates with its tag, and the contents of identifiers, booleans and bit counts. What is left
//! out are lengths, numbers, keys, digests, signatures, and the characters of names.
//!
//! The documents are not part of this repository. The tests look for them in `NARTHEX_REAL_DOCUMENTS`
//! or in `../shared/real-documents`, and say that they skip when there are none.

// Test code: clippy's own exemption covers only the functions marked `#[test]`.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

use std::env;
use std::fs;
use std::path::PathBuf;

use narthex_nsm::mock::mint::{
    CertificateRecipe, ContainerForm, Criticality, DevelopmentAuthority, DocumentRecipe, Edit,
    Identity, StringKind, TimeField,
};
use narthex_nsm::own_document::OwnDocument;

mod skeleton;

use skeleton::{Document, certificate_skeleton};

/// Certificates of instances have key identifiers since some day between 2024-06-20 and 2024-07-16.
const KEY_IDENTIFIERS_SINCE: u32 = 20_240_716;

/// Documents are indefinite since some day between 2025-06-10 and 2025-08-12.
const INDEFINITE_SINCE: u32 = 20_250_812;

/// Names of genuine, unspoilt documents of enclaves carry the day: `…-20260803-13a44c64.bin`.
fn day(name: &str) -> Option<u32> {
    name.rsplit('-')
        .nth(1)
        .filter(|part| part.len() == 8)?
        .parse()
        .ok()
}

/// Day and bytes of each genuine enclave document, or `None` with a word when there are none.
fn genuine_documents() -> Option<Vec<(u32, String, Vec<u8>)>> {
    let folder = env::var_os("NARTHEX_REAL_DOCUMENTS").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../shared/real-documents"
            ))
        },
        PathBuf::from,
    );
    let Ok(entries) = fs::read_dir(&folder) else {
        assert!(
            env::var_os("NARTHEX_REQUIRE_REAL_DOCUMENTS").is_none_or(|value| value != "1"),
            "{} is not there",
            folder.display()
        );
        // Straight to standard error: what `eprintln` says in a test that passes, nobody sees.
        let words = format!(
            "SKIPPED narthex-nsm genuine_layout: no genuine documents in {}\n",
            folder.display()
        );
        std::io::Write::write_all(&mut std::io::stderr(), words.as_bytes()).unwrap();
        return None;
    };
    let mut documents = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let Some(day) = day(&name).filter(|_| path.extension().is_some_and(|e| e == "bin")) else {
            continue;
        };
        let bytes = fs::read(&path).unwrap();
        // NitroTPM documents have another key here and another life altogether.
        if Document::read(&bytes).keys().any(|key| key == "pcrs") {
            documents.push((day, name, bytes));
        }
    }
    assert!(
        documents.len() >= 10,
        "only {} documents in {}",
        documents.len(),
        folder.display()
    );
    Some(documents)
}

/// The mock's document with the same registers, the same optional fields, and the same map form.
fn counterpart(day: u32, genuine: &Document<'_>) -> Vec<u8> {
    let module_id = genuine.text("module_id");
    let (instance_id, enclave_id) = module_id.split_once("-enc").unwrap();
    let identity = Identity {
        instance_id: instance_id.to_owned(),
        enclave_id: enclave_id.to_owned(),
        region: "us-east-1".to_owned(),
    };
    let authority = DevelopmentAuthority::insecure_fixed();
    let mut recipe =
        DocumentRecipe::for_identity(&authority, &identity, genuine.number("timestamp"));
    for index in genuine.register_indices() {
        recipe.payload.set_pcr(index, &[7; 48]);
    }
    recipe.payload.form = if day >= INDEFINITE_SINCE {
        ContainerForm::Indefinite
    } else {
        ContainerForm::Definite
    };
    let field = |key: &str| genuine.bytes(key).map(<[u8]>::to_vec);
    recipe.payload.public_key = field("public_key");
    recipe.payload.user_data = field("user_data");
    recipe.payload.nonce = field("nonce");
    recipe.mint()
}

#[test]
fn envelope_and_payload_have_the_same_items_in_the_same_order() {
    let Some(documents) = genuine_documents() else {
        return;
    };
    for (day, name, bytes) in documents {
        let genuine = Document::read(&bytes);
        let mock = counterpart(day, &genuine);
        assert_eq!(
            Document::read(&mock).skeleton(),
            genuine.skeleton(),
            "{name}"
        );
    }
}

#[test]
fn certificates_have_the_same_values_in_the_same_order() {
    let Some(documents) = genuine_documents() else {
        return;
    };
    let mut compared = 0;
    for (day, name, bytes) in documents {
        if day < KEY_IDENTIFIERS_SINCE {
            continue;
        }
        let genuine = Document::read(&bytes);
        let mock = counterpart(day, &genuine);
        let mock = Document::read(&mock);
        assert_eq!(genuine.certificates().len(), 5, "{name}");
        for (theirs, ours) in genuine.certificates().iter().zip(mock.certificates()) {
            assert_eq!(
                certificate_skeleton(ours),
                certificate_skeleton(theirs),
                "{name}"
            );
        }
        compared += 1;
    }
    assert!(compared >= 5, "only {compared} documents are new enough");
}

/// The root's subject is longer, and so is everything that names it; nothing else may differ by more
/// than region names, the shortest form of numbers, and hexadecimal names do.
#[test]
fn certificates_have_the_same_sizes() {
    let Some(documents) = genuine_documents() else {
        return;
    };
    for (day, name, bytes) in documents {
        if day < KEY_IDENTIFIERS_SINCE {
            continue;
        }
        let genuine = Document::read(&bytes);
        let mock = counterpart(day, &genuine);
        let mock = Document::read(&mock);
        let sizes = genuine.certificates().into_iter().zip(mock.certificates());
        for (place, (theirs, ours)) in sizes.enumerate() {
            let allowed = [64, 48, 32, 16, 16][place];
            let difference = theirs.len().abs_diff(ours.len());
            assert!(
                difference <= allowed,
                "{name}: certificate {place} differs by {difference}"
            );
        }
    }
}

/// The comparison above is worth something: small departures show in a skeleton.
#[test]
fn departures_show_in_the_skeletons() {
    let authority = DevelopmentAuthority::insecure_fixed();
    let document = |change: &dyn Fn(&mut DocumentRecipe)| {
        let mut recipe = DocumentRecipe::new(&authority, 1_785_785_775_857);
        change(&mut recipe);
        recipe.mint()
    };
    let same = document(&|_| ());
    let same = Document::read(&same);

    let departures: [&dyn Fn(&mut DocumentRecipe); 5] = [
        &|recipe| recipe.payload.form = ContainerForm::Definite,
        &|recipe| recipe.payload.edits = vec![Edit::Swap("nonce", "user_data")],
        &|recipe| recipe.payload.set_pcr(16, &[0; 48]),
        &|recipe| recipe.payload.set_pcr(15, &[0; 32]),
        &|recipe| recipe.payload.nonce = Some(Vec::new()),
    ];
    for departure in departures {
        let other = document(departure);
        assert_ne!(Document::read(&other).skeleton(), same.skeleton());
    }

    let leaf_departures: [&dyn Fn(&mut CertificateRecipe); 5] = [
        &|leaf| leaf.extensions.as_mut().unwrap().reverse(),
        &|leaf| leaf.extensions.as_mut().unwrap()[1].critical = Criticality::Critical,
        &|leaf| leaf.subject.0.swap(0, 1),
        &|leaf| leaf.subject.0[1].kind = StringKind::Printable,
        &|leaf| leaf.not_after = TimeField::Generalized(1_785_796_575),
    ];
    for departure in leaf_departures {
        let other = document(&|recipe| departure(&mut recipe.chain.leaf.certificate));
        let leaf = |document: &Document<'_>| certificate_skeleton(document.certificates()[4]);
        assert_ne!(leaf(&Document::read(&other)), leaf(&same));
    }
}

#[test]
fn the_reader_of_ones_own_document_reads_genuine_ones() {
    let Some(documents) = genuine_documents() else {
        return;
    };
    for (_, name, bytes) in documents {
        let genuine = Document::read(&bytes);
        let own = OwnDocument::read(&bytes).unwrap();
        assert_eq!(own.module_id, genuine.text("module_id"), "{name}");
        assert_eq!(own.timestamp.0, genuine.number("timestamp"), "{name}");
    }
}
