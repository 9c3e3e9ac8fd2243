//! The programs as processes: releases per second, calls, memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use narthex_channel::diagnostics::{CallAnswer, CallRequest, Welcome};
use narthex_channel::keys::{
    KeyAnswer, KeyOutcome, KeyRequest, KeyRequestEnvelope, KeyWanted, SealSuite,
};
use narthex_channel::{
    Address, ArmoredSignature, KeyName, Message, Opening, RecipientKey, StaticPublic,
};
use narthex_nsm::mock::mint::{DevelopmentAuthority, Identity, Measurement};
use narthex_nsm::mock::server::{Server, ServerLimits};
use narthex_nsm::mock::{MockConfig, MockNsm};
use narthex_nsm::{AttestationRequest, Nsm};
use narthex_policy::{Action, Call, Digest384, Namespace, Parameters, SessionHash, SigningKey};
use narthex_tests::connection::Connection;
use narthex_tests::statement::example_statement;

use crate::process::{cpu_time, resident_tree, status};
use crate::release;
use crate::setup::{Setup, path_appears};

/// Releases asked for, by each of the clients.
const RELEASES_PER_CLIENT: usize = 250;
/// Clients that ask at once.
const CLIENTS: usize = 8;
/// Calls of one operator.
const CALLS: u64 = 1_000;

pub fn run(programs: &Path, shipped: &Path) {
    let mut setup = Setup::new(programs, false);
    let alone = releases(&setup, "no witness");
    verify_process(&setup, shipped);
    crate::log::appends(&mut setup);
    drop(setup);
    let setup = Setup::new(programs, true);
    let witnessed = releases(&setup, "one witness, asked for every group");
    println!(
        "  one client, one release: {:.2} ms without a witness, {:.2} ms with one: {:.2} ms more",
        alone.as_secs_f64() * 1e3,
        witnessed.as_secs_f64() * 1e3,
        (witnessed.as_secs_f64() - alone.as_secs_f64()) * 1e3
    );
    diagnostics(&setup);
}

/// A mock enclave that the policy accepts, with PCR16 extended and everything locked.
fn enclave(setup: &Setup, number: usize) -> MockNsm {
    let authority =
        DevelopmentAuthority::load_or_create(&setup.path().join("state")).expect("the authority");
    let text = fs::read_to_string(setup.path().join("measurements.json")).expect("measurements");
    let pcr = |name: &str| -> Measurement {
        let hex_digits = text
            .split_once(&format!("\"{name}\": \""))
            .and_then(|(_, rest)| rest.split_once('"'))
            .expect("a measurement")
            .0;
        Measurement::try_from(hex::decode(hex_digits).expect("hex").as_slice()).expect("48 bytes")
    };
    let config = MockConfig {
        identity: Identity {
            enclave_id: format!("{:016x}", 0xb0 + number),
            ..Identity::example()
        },
        pcr0: pcr("PCR0"),
        pcr1: pcr("PCR1"),
        pcr2: pcr("PCR2"),
        role_arn: Some(Setup::role().to_owned()),
        ..MockConfig::example()
    };
    MockNsm::new(authority, config)
}

fn boot(setup: &Setup, nsm: &MockNsm) {
    let bundle = fs::read(setup.path().join("policy/bundles/0001.toml")).expect("a bundle");
    nsm.extend_pcr(16, &Digest384::of(&bundle).0)
        .expect("extends");
    nsm.lock_pcrs(32).expect("locks");
}

/// Many clients at once; then the median time of one release for a client alone.
fn releases(setup: &Setup, witnesses: &str) -> Duration {
    let service = setup.service.id();
    let bundle = fs::read(setup.path().join("policy/bundles/0001.toml")).expect("a bundle");
    let clients: Vec<MockNsm> = (0..CLIENTS)
        .map(|number| {
            let nsm = enclave(setup, number);
            boot(setup, &nsm);
            release_once(setup, &nsm, &bundle);
            nsm
        })
        .collect();
    let before = cpu_time(service);
    let start = Instant::now();
    thread::scope(|scope| {
        for nsm in &clients {
            let bundle = &bundle;
            scope.spawn(move || {
                for _ in 0..RELEASES_PER_CLIENT {
                    release_once(setup, nsm, bundle);
                }
            });
        }
    });
    let elapsed = start.elapsed();
    let cpu = cpu_time(service).saturating_sub(before);
    let count = (CLIENTS * RELEASES_PER_CLIENT) as f64;
    // Right after, so that a machine that slows down has slowed down both.
    let raw = release::run();
    println!(
        "\nKey service, {CLIENTS} clients on the same machine, every decision durable, {witnesses}"
    );
    println!(
        "  releases per second, wall time, clients included   {:>9.0}",
        count / elapsed.as_secs_f64()
    );
    println!(
        "  CPU time of the service per release                {:>9.1} us",
        cpu.as_secs_f64() / count * 1e6
    );
    println!(
        "  the same, as a ratio to the raw cryptography       {:>9.2}    (goal: <= 1.4)",
        cpu.as_secs_f64() / count / raw.as_secs_f64()
    );
    println!(
        "  resident memory                                    {:>9.1} MiB",
        mebibytes(status(service, "VmRSS:"))
    );
    let mut times: Vec<Duration> = (0..RELEASES_PER_CLIENT)
        .filter_map(|_| {
            let begun = Instant::now();
            release_once(setup, clients.first()?, &bundle);
            Some(begun.elapsed())
        })
        .collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn release_once(setup: &Setup, nsm: &MockNsm, bundle: &[u8]) {
    let service = hex::decode(&setup.service_key).expect("hex");
    let service = StaticPublic::from_bytes(service.try_into().expect("32 bytes"));
    let address = Address::Unix(setup.path().join("keys.sock"));
    let mut connection =
        Connection::open(&address, &Opening::Keys { service }).expect("the service answers");
    let module_id = nsm.describe().expect("describes").module_id;
    let recipient = RecipientKey::generate().expect("random bytes");
    let request = KeyRequest {
        suite: SealSuite::XWingHkdfSha256Aes256Gcm,
        recipient_key: recipient.public().clone(),
        keys: vec![KeyWanted {
            name: KeyName::new("bench-key").expect("a name"),
            version: None,
        }],
        statement: example_statement(&module_id, bundle, 1)
            .to_bytes()
            .expect("fits")
            .to_vec(),
    };
    let request = request.to_bytes().expect("fits").to_vec();
    let user_data = KeyRequestEnvelope::user_data(&connection.session.handshake_hash(), &request);
    let document = nsm
        .attest(AttestationRequest {
            user_data: Some(user_data.as_bytes().to_vec()),
            ..AttestationRequest::default()
        })
        .expect("attests");
    let envelope = KeyRequestEnvelope { document, request };
    connection
        .send(&envelope.to_bytes().expect("fits"))
        .expect("is sent");
    let answer = connection.receive().expect("answers").expect("an answer");
    let KeyAnswer { outcome, .. } = KeyAnswer::from_bytes(answer.as_bytes()).expect("an answer");
    match outcome {
        KeyOutcome::Released(_) => {}
        KeyOutcome::Refused { reason } => panic!("refused: {reason}"),
    }
}

fn diagnostics(setup: &Setup) {
    let path = setup.path();
    let nsm = enclave(setup, 100);
    let socket = path.join("nsm.sock");
    let server = Server::bind(&socket, Arc::new(nsm), ServerLimits::default())
        .and_then(Server::spawn)
        .expect("the mock serves");
    let root =
        fs::metadata("/proc/self").map(|data| std::os::unix::fs::MetadataExt::uid(&data) == 0);
    let user = |number: u32| match root {
        Ok(true) => format!("user = {number}\ngroup = {number}\n"),
        _ => String::new(),
    };
    let person = |name: &str| {
        let line = fs::read_to_string(path.join(format!("{name}.pub"))).expect("a key");
        let key: Vec<&str> = line.split(' ').take(2).collect();
        format!(
            "[[trust.reviewer]]\nname = \"{name}\"\nkeys = [\"{}\"]\n",
            key.join(" ")
        )
    };
    let folder = path.display();
    fs::create_dir(path.join("run")).expect("a folder");
    let config = format!(
        "runtime_directory = \"{folder}/run\"\n[trust]\nproject = \"bench\"\nthreshold = 2\n\
         log = \"{}\"\nminimum_bundle_version = 1\n{}{}\
         [nsm]\nsocket = \"{folder}/nsm.sock\"\n[policy]\nsource = \"unix:{folder}/policy.sock\"\n\
         [gate]\nlisten = \"unix:{folder}/gate.sock\"\ncalls_per_minute = 6000\n{}\
         [workload]\ncommand = \"/bin/sleep\"\narguments = [\"1000\"]\n{}",
        setup.log_key,
        person("alice"),
        person("bob"),
        user(64002),
        user(64001),
    );
    fs::write(path.join("agent.toml"), config).expect("a configuration");
    let started = Instant::now();
    let mut agent = Command::new(setup.programs.join("narthex-agent"))
        .args(["--local", "agent.toml"])
        .current_dir(path)
        .stderr(fs::File::create(path.join("agent.log")).expect("a file"))
        .spawn()
        .expect("the agent starts");
    if !path_appears(&path.join("gate.sock")) {
        let log = fs::read_to_string(path.join("agent.log")).unwrap_or_default();
        panic!("the agent does not serve:\n{log}");
    }
    setup.narthex(&[
        "order",
        "new",
        "--policy",
        "policy",
        "--as",
        "olga",
        "--key",
        "olga",
        "--action",
        "health",
        "--release",
        "bench",
        "--calls",
        "10000",
        "--out",
        "bench.order.toml",
    ]);
    setup.narthex(&[
        "order",
        "submit",
        "bench.order.toml",
        "--policy",
        "policy",
        "--service",
        "unix:submissions.sock",
    ]);
    let key = SigningKey::from_openssh(&fs::read_to_string(path.join("olga")).expect("a key"))
        .expect("a key");
    let order = fs::read(path.join("bench.order.toml")).expect("an order");
    let proof = fs::read(path.join("bench.order.toml.proof")).expect("a proof");
    let order_signature = signature(&path.join("bench.order.toml.olga.sig"));
    let address = Address::Unix(path.join("gate.sock"));

    let mut sessions = Vec::new();
    let mut calls = Vec::new();
    let mut first_answer = Duration::ZERO;
    let mut counter = 0;
    for session in 0..20 {
        let opened = Instant::now();
        let mut connection =
            Connection::open(&address, &Opening::Diagnostics).expect("the gate answers");
        let welcome = connection.receive().expect("a welcome").expect("a welcome");
        Welcome::from_bytes(welcome.as_bytes()).expect("a welcome");
        sessions.push(opened.elapsed());
        for _ in 0..CALLS / 20 {
            let call = Call {
                order: Digest384::of(&order),
                counter,
                session: SessionHash(*connection.session.handshake_hash().as_bytes()),
                action: Action::Health,
                parameters: Parameters::None,
            }
            .encode();
            counter += 1;
            let call_signature = key.sign(Namespace::Call, &call).expect("signs");
            let request = CallRequest {
                order: order.clone(),
                order_signature: order_signature.clone(),
                approvals: Vec::new(),
                call,
                call_signature: ArmoredSignature::new(&call_signature).expect("a signature"),
                log_proof: Some(proof.clone()),
            }
            .to_bytes()
            .expect("fits");
            let asked = Instant::now();
            connection.send(&request).expect("is sent");
            let answer = connection.receive().expect("an answer").expect("an answer");
            calls.push(asked.elapsed());
            match CallAnswer::from_bytes(answer.as_bytes()).expect("an answer") {
                CallAnswer::Done(_) => {}
                CallAnswer::Refused { reason } => panic!("refused: {reason}"),
            }
        }
        if session == 0 {
            first_answer = started.elapsed();
        }
    }
    let (resident, processes) = resident_tree(agent.id());
    let sleeping = 1; // The workload itself, /bin/sleep.
    println!("\nAgent, as a process on this machine");
    println!(
        "  attested session: median {}, p99 {}",
        percentile(&mut sessions, 50),
        percentile(&mut sessions, 99)
    );
    println!(
        "  call under an order: median {}, p99 {} (goal: p99 <= 5 ms)",
        percentile(&mut calls, 50),
        percentile(&mut calls, 99)
    );
    println!(
        "  start to first answer, order written meanwhile: {:.0} ms (goal: <= 1 s)",
        first_answer.as_secs_f64() * 1e3
    );
    println!(
        "  resident memory of its {} processes and the workload: {:.1} MiB (goal: <= 16 MiB)",
        processes - sleeping,
        mebibytes(resident)
    );
    let _ = nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(agent.id()).expect("a pid")),
        nix::sys::signal::Signal::SIGTERM,
    );
    let _ = agent.wait();
    server.stop();
}

fn signature(path: &PathBuf) -> ArmoredSignature {
    ArmoredSignature::new(&fs::read_to_string(path).expect("a signature")).expect("a signature")
}

/// `narthex verify` as a whole process: the shipped program, on a document that it refuses by its root.
fn verify_process(setup: &Setup, shipped: &Path) {
    let document = setup.path().join("unused.bin");
    let zero = "11".repeat(48);
    let program = shipped.join("narthex");
    let pcrs: Vec<String> = (0..3).map(|index| format!("{index}={zero}")).collect();
    let mut times: Vec<Duration> = (0..50)
        .map(|_| {
            let start = Instant::now();
            let status = Command::new(&program)
                .arg("verify")
                .arg(&document)
                .args(pcrs.iter().flat_map(|pcr| ["--pcr", pcr.as_str()]))
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .expect("runs");
            assert_eq!(status.code(), Some(1));
            start.elapsed()
        })
        .collect();
    println!(
        "\n`narthex verify` as a whole process, shipped: median {} (goal: <= 5 ms)",
        percentile(&mut times, 50)
    );
}

fn percentile(samples: &mut [Duration], percent: usize) -> String {
    samples.sort();
    let at = (samples.len() * percent / 100).min(samples.len() - 1);
    format!("{:.2} ms", samples[at].as_secs_f64() * 1e3)
}

fn mebibytes(kibibytes: u64) -> f64 {
    kibibytes as f64 / 1024.0
}
