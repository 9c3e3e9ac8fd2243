//! Writes the seeds of every fuzz target: `narthex-fuzz-seeds FOLDER` makes one folder per target. Nothing is stored
//! in the repository that a builder or the published vectors can make.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a tool for tests: it may end with words"
)]

use std::fs;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use narthex_agent::ipc::{FromGate, encode};
use narthex_image::build::{Inputs, WorkloadInput, assemble};
use narthex_image::recipe::Recipe;
use narthex_image::tree::Limits;
use narthex_image::{Sha256Digest, eif};
use narthex_ledger::mock::MockLog;
use narthex_ledger::{
    AddCheckpoint, BootId, CurrentEntry, Decision, Digest384, Entry, Evidence, OrderEntry,
    OrderScope, PersonId, SaltedEvidence, encode_entries,
};
use narthex_nsm::mock::mint::{DevelopmentAuthority, DocumentRecipe};
use narthex_nsm::wire::encode_request;
use narthex_nsm::{AttestationRequest, Request};
use narthex_policy::{Namespace, SignedTicket, SigningKey};

const MESSAGE_VECTORS: &str = include_str!("../../../channel/vectors/messages.txt");
const NN_VECTORS: &str = include_str!("../../../channel/vectors/noise-nn.txt");
const NK_VECTORS: &str = include_str!("../../../channel/vectors/noise-nk.txt");
const SUBMISSIONS_VECTORS: &str = include_str!("../../../channel/vectors/noise-submissions.txt");
const POLICY_EXAMPLES: &str = include_str!("../../../policy/README.md");

/// The moment at which the fuzz targets judge: 2026-01-01T00:00:00Z, in milliseconds.
const NOW: u64 = 1_767_225_600_000;

fn main() {
    let Some(folder) = std::env::args_os().nth(1).map(PathBuf::from) else {
        eprintln!("usage: narthex-fuzz-seeds FOLDER");
        std::process::exit(2);
    };
    let write = |target: &str, seeds: Vec<Vec<u8>>| {
        let folder = folder.join(target);
        fs::create_dir_all(&folder).expect("the folder can be made");
        for (number, seed) in seeds.iter().enumerate() {
            write_one(&folder, number, seed);
        }
    };

    let minted = DocumentRecipe::new(&DevelopmentAuthority::insecure_fixed(), NOW).mint_parts();
    write("document", vec![minted.document.clone()]);
    write("own_document", vec![minted.document.clone()]);
    write("document_signed", vec![minted.payload.clone()]);
    let mut certificates = minted.chain.cabundle.clone();
    certificates.push(minted.chain.leaf.clone());
    write("certificate", certificates);

    let flights = [NN_VECTORS, NK_VECTORS, SUBMISSIONS_VECTORS]
        .map(values)
        .concat();
    write(
        "channel_frames",
        flights.iter().map(|bytes| with_first(3, bytes)).collect(),
    );
    write(
        "channel_responder",
        (0..5)
            .flat_map(|which| flights.iter().map(move |bytes| with_first(which, bytes)))
            .collect(),
    );
    write(
        "channel_messages",
        (0..14)
            .flat_map(|which| {
                values(MESSAGE_VECTORS)
                    .into_iter()
                    .map(move |bytes| with_first(which, &bytes))
            })
            .collect(),
    );

    let examples: Vec<Vec<u8>> = POLICY_EXAMPLES
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .map(|text| text.as_bytes().to_vec())
        .collect();
    assert!(examples.len() >= 3, "policy/README.md has examples");
    write("policy_files", examples.clone());
    let call = narthex_policy::Call::decode(&values(MESSAGE_VECTORS)[0]);
    assert!(call.is_err(), "a statement is no call");
    let key = SigningKey::generate_ed25519().expect("random bytes");
    let ticket = examples
        .iter()
        .find(|text| text.starts_with(b"schema = \"narthex/log-reader"))
        .expect("policy/README.md has a ticket");
    let signed = SignedTicket {
        bytes: ticket.clone(),
        signature: key.sign(Namespace::ReadLog, ticket).expect("a signature"),
    };
    let header = signed.to_header().into_bytes();
    write("orders_and_calls", [examples, vec![header]].concat());

    let signature = key
        .sign(Namespace::Order, b"what was signed")
        .expect("a signature");
    write(
        "sshsig",
        vec![
            with_first(0, &dearmour(&signature)),
            with_first(0, signature.as_bytes()),
            vec![1, 6, 1, 60, 2],
            vec![1],
        ],
    );

    let attestation = Request::Attestation(AttestationRequest {
        user_data: Some(vec![1; 48]),
        nonce: Some(vec![2; 16]),
        public_key: None,
    });
    write(
        "mock_nsm_requests",
        vec![
            encode_request(&attestation),
            encode_request(&Request::GetRandom),
        ],
    );
    write(
        "machine_documents",
        vec![include_bytes!("../../../nsm/tests/machine/unsigned-1.bin").to_vec()],
    );
    write(
        "agent_ipc",
        vec![
            encode(&FromGate::Opened {
                connection: 7,
                handshake_hash: [9; 32].into(),
            }),
            encode(&FromGate::Call {
                connection: 7,
                content: vec![1, 2, 3].into(),
            }),
            encode(&FromGate::Closed { connection: 7 }),
        ],
    );
    write_log_seeds(&write);
    write("eif", enclave_images());
    let root = root_archive(&[("etc/passwd", 0o644), ("bin/tool", 0o755)]);
    let upper = root_archive(&[
        ("etc/.wh.passwd", 0o644),
        ("etc/.wh..wh..opq", 0o644),
        ("new", 0o600),
    ]);
    let blocks = u8::try_from(root.len() / 512).expect("a small archive");
    write("image_archive", vec![root.clone()]);
    write(
        "image_oci",
        vec![
            with_first(0, &root),
            with_first(blocks, &[root.clone(), upper].concat()),
        ],
    );
    let (recipe, manifest) = recipe_and_manifest(root);
    let page = include_str!("../../../enclave-image/docs/recipe.md");
    let example = page
        .split("```")
        .nth(1)
        .and_then(|text| text.strip_prefix("toml"));
    write(
        "image_recipe",
        vec![recipe, example.expect("an example").as_bytes().to_vec()],
    );
    write("image_manifest", vec![manifest]);
}

/// Enclave images, and the signature section of the image that the target `eif` has too.
fn enclave_images() -> Vec<Vec<u8>> {
    let parts = eif::Parts {
        architecture: eif::Architecture::X86_64,
        kernel: b"kernel",
        command_line: "panic=1",
        ramdisks: &[b"agent", b"workload"],
        metadata: eif::Metadata::new("fuzz", "1"),
        default_memory: 0,
        default_cpus: 0,
    };
    let unsigned = eif::write(&parts).expect("an image");
    let authority = DevelopmentAuthority::insecure_fixed().root_link();
    let certificate = Base64::encode_string(&authority.certificate.mint(&authority.key));
    let lines: Vec<&[u8]> = certificate.as_bytes().chunks(64).collect();
    let lines = String::from_utf8(lines.join(&b'\n')).expect("base64");
    let pem = format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n");
    let sign = |message: &[u8]| Ok(authority.key.sign(message).to_bytes().into());
    let signed = eif::sign(&unsigned, &pem, &sign).expect("a signature");
    let image = eif::Image::parse(&signed).expect("a signed image");
    let section = image.signature().expect("a signature");
    vec![
        with_first(0, &unsigned),
        with_first(0, &signed),
        with_first(1, section),
    ]
}

/// A root file system of these small programs, with links of both kinds.
fn root_archive(files: &[(&str, u32)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    for (path, mode) in files {
        header.set_size(TINY_PROGRAM.len() as u64);
        header.set_mode(*mode);
        archive
            .append_data(&mut header, path, TINY_PROGRAM)
            .expect("memory");
        header.set_size(0);
        for (kind, ending) in [
            (tar::EntryType::Symlink, "-link"),
            (tar::EntryType::Link, "-too"),
        ] {
            let mut link = header.clone();
            link.set_entry_type(kind);
            archive
                .append_link(&mut link, format!("{path}{ending}"), path)
                .expect("memory");
        }
    }
    archive.into_inner().expect("memory")
}

/// The head of a static ELF program for x86-64 with one empty segment.
const TINY_PROGRAM: &[u8] = &{
    let mut program = [0; 120];
    let head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0";
    let mut index = 0;
    while index < head.len() {
        program[index] = head[index];
        index += 1;
    }
    program[32] = 64; // Where segments are described,
    program[54] = 56; // how long a description is,
    program[56] = 1; // and how many there are.
    program[64] = 1;
    program
};

/// A recipe whose workload is `archive`, and the manifest of its image.
fn recipe_and_manifest(archive: Vec<u8>) -> (Vec<u8>, Vec<u8>) {
    let digest = Sha256Digest::of(&archive);
    let text = format!(
        "schema = 1\n[image]\nname = \"seed\"\nversion = \"1\"\narchitecture = \"x86_64\"\n\
         [kernel]\nfile = \"k\"\nsha256 = \"{digest}\"\nmodules = [{{ file = \"nsm.ko\", sha256 = \"{digest}\" }}]\n\
         [agent]\nprogram = \"a\"\nsha256 = \"{digest}\"\n\
         [workload]\narchive = \"r\"\nsha256 = \"{digest}\"\nruntimes = []\n[toolchain]\nrustc = \"1\"\n\
         [settings.workload]\ncommand = \"/bin/tool\"\nuser = 1\ngroup = 1\n"
    );
    let inputs = Inputs {
        kernel: b"kernel".to_vec(),
        modules: Vec::new(),
        agent: TINY_PROGRAM.to_vec(),
        workload: WorkloadInput::Archive(archive),
    };
    let recipe = Recipe::parse(&text).expect("a recipe");
    let built = assemble(&recipe, inputs, &|_| Ok(()), &Limits::DEFAULT).expect("an image");
    (text.into_bytes(), built.manifest.to_json().into_bytes())
}

/// A small log with an entry of some kinds, and everything that can be asked about it.
fn write_log_seeds(write: &impl Fn(&str, Vec<Vec<u8>>)) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut log = MockLog::create(folder.path(), "log.example/seeds", 2).expect("a log");
    let order = Evidence::order(b"the order", b"a signature", &[b"an approval"]);
    let order = SaltedEvidence::new(order.expect("evidence")).expect("a salt");
    let current = CurrentEntry {
        time: NOW,
        bundle: Digest384::of(b"a bundle"),
        version: 3,
    };
    let scope = OrderScope::Write {
        action: "shutdown".to_owned(),
        enclave: "i-0123456789abcdef0-enc0123456789abcdef".to_owned(),
        boot: BootId([7; 16]),
    };
    let entry = OrderEntry {
        time: NOW,
        decision: Decision::Accepted,
        order: Digest384::of(b"the order"),
        evidence: order.digest(),
        requester: Some(PersonId::of(&[5; 32], "olga")),
        approvers: vec![PersonId::of(&[5; 32], "bob")],
        scope: Some(scope),
        bundle: 3,
    };
    let current_extra = current.extra().to_bytes().expect("an extra");
    let order_extra = entry.extra(order.salt).to_bytes().expect("an extra");
    let entries = [Entry::Order(entry), Entry::Current(current)];
    let leaves: Vec<Vec<u8>> = entries
        .iter()
        .map(|entry| entry.to_leaf().expect("a leaf"))
        .collect();
    for leaf in &leaves {
        log.append_leaf(leaf).expect("appended");
    }
    let note = log.publish(NOW / 1000).expect("published");
    let trust = log.trust(1).expect("a policy").to_string();
    let proof = log
        .prove(1, Some(current_extra.clone()))
        .expect("a proof")
        .to_string();
    let request = AddCheckpoint {
        old_size: 0,
        proof: Vec::new(),
        checkpoint: note.clone(),
    };
    let texts = [
        note.to_string(),
        proof.clone(),
        request.to_body(),
        "epoch/1/tile/0/x001/067.p/5".to_owned(),
        log.key().verifier_key().to_string(),
        trust.clone(),
        note.text().to_owned(),
        "http://127.0.0.1:7080/prefix".to_owned(),
    ];
    let texts = (0..)
        .zip(&texts)
        .map(|(which, text)| with_first(which, text.as_bytes()));
    write("log_texts", texts.collect());
    let bundle = with_first(1, &encode_entries(&leaves).expect("a bundle"));
    let pieces = [
        (0, leaves[0].clone()),
        (0, leaves[1].clone()),
        (1, bundle),
        (2, order.to_bytes()),
        (3, current_extra),
        (4, order_extra),
        (
            5,
            br#"{"boot_bundle":2,"in_force":3,"release":"shop 1","salt":""}"#.to_vec(),
        ),
    ];
    let pieces = pieces
        .iter()
        .map(|(which, bytes)| with_first(*which, bytes));
    write("log_entries", pieces.collect());
    let judged = [trust.as_bytes(), &leaves[1], proof.as_bytes()].join(&0);
    write("log_trust", vec![judged]);
}

fn write_one(folder: &Path, number: usize, seed: &[u8]) {
    fs::write(folder.join(format!("seed-{number:03}")), seed).expect("the seed can be written");
}

fn with_first(first: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    bytes.extend_from_slice(rest);
    bytes
}

/// The hexadecimal values of a vector file.
fn values(text: &str) -> Vec<Vec<u8>> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .filter_map(|(_, value)| hex::decode(value.trim()).ok())
        .collect()
}

/// The blob in an SSH signature's armour.
fn dearmour(text: &str) -> Vec<u8> {
    let base64: String = text.lines().filter(|line| !line.starts_with('-')).collect();
    Base64::decode_vec(&base64).expect("an armour of ours")
}
