//! `narthex keys` and `policy submit` against a service made here from the libraries.

// All of it is a test, its helpers too.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod common;
// Of the log, only what comes with answers.
#[allow(dead_code)]
#[path = "log/fixture.rs"]
mod fixture;

use std::collections::HashSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{World, json, now, read};
use narthex_channel::administration::{AdministrationAnswer, AdministrationRequest};
use narthex_channel::policy::PolicyDelivery;
use narthex_channel::tokio::{Connection, Listener, Timeouts};
use narthex_channel::{Accepting, Address, KeyName, Message, ReasonId, StaticSecret, commitment};
use narthex_policy::{AdministrationContext, Digest384, KeyOperation, Policy, SignedOrder};
use serde_json::{Value, json as object};

const BACKUP: &[u8] = b"wrapped keys";

/// Judges orders as the key service does, and answers in its shapes.
struct Service {
    secret: StaticSecret,
    policy: Policy,
    genesis: Digest384,
    used: Mutex<HashSet<Digest384>>,
    /// What was imported or restored.
    payloads: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Goes with every answer.
    proof: Option<Vec<u8>>,
}

impl Service {
    fn start(world: &World, secret: StaticSecret) -> (String, Arc<Mutex<Vec<Vec<u8>>>>) {
        Self::start_with(world, secret, None)
    }

    fn start_with(
        world: &World,
        secret: StaticSecret,
        proof: Option<Vec<u8>>,
    ) -> (String, Arc<Mutex<Vec<Vec<u8>>>>) {
        let path = world.path("admin.sock");
        let payloads = Arc::new(Mutex::new(Vec::new()));
        let service = Self {
            secret,
            policy: world.policy(),
            genesis: world.bundle.digest(),
            used: Mutex::default(),
            payloads: Arc::clone(&payloads),
            proof,
        };
        let address = Address::Unix(path.clone());
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let listener = Listener::bind(&address).await.unwrap();
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let accepting = Accepting::Administration {
                        secret: &service.secret,
                    };
                    let connection =
                        Connection::respond(stream, &accepting, Timeouts::DEFAULT).await;
                    let Ok(mut connection) = connection else {
                        continue;
                    };
                    while let Ok(Some(content)) = connection.receive().await {
                        let answer = service.answer(content.as_bytes());
                        connection.send_message(&answer).await.unwrap();
                    }
                }
            });
        });
        while !common::exists(&path) {
            thread::yield_now();
        }
        (format!("unix:{}", path.display()), payloads)
    }

    fn answer(&self, content: &[u8]) -> AdministrationAnswer {
        if let Ok(files) = PolicyDelivery::from_bytes(content) {
            let count = files.bundles.len() + files.releases.len() + files.stops.len();
            let body = object!({ "bundle": { "version": 1 }, "accepted": count, "known": 0 });
            return AdministrationAnswer::Done {
                body: body.to_string().into_bytes(),
                log_proof: self.proof.clone(),
            };
        }
        match self.order(AdministrationRequest::from_bytes(content).unwrap()) {
            Ok(body) => AdministrationAnswer::Done {
                body: body.to_string().into_bytes(),
                log_proof: self.proof.clone(),
            },
            Err(reason) => AdministrationAnswer::Refused {
                reason: ReasonId::from_static(reason),
                log_proof: self.proof.clone(),
            },
        }
    }

    fn order(&self, request: AdministrationRequest) -> Result<Value, &'static str> {
        let signed = SignedOrder {
            bytes: request.order,
            signature: request.signature.as_str().to_owned(),
            approvals: request
                .approvals
                .iter()
                .map(|text| text.as_str().to_owned())
                .collect(),
        };
        let context = AdministrationContext {
            now: now(),
            genesis: &self.genesis,
        };
        let order = self
            .policy
            .authorise_administration(&signed, &context)
            .map_err(|refusal| refusal.id())?;
        if !self.used.lock().unwrap().insert(*order.digest()) {
            return Err("order.reused");
        }
        if let Some(payload) = &request.payload {
            self.payloads
                .lock()
                .unwrap()
                .push(payload.as_bytes().to_vec());
        }
        let version = |version: u32| {
            object!({ "name": "database", "version": version, "state": "enabled",
                      "origin": "created", "commitment": "ab", "changed": "2026-11-21T21:10:00Z" })
        };
        Ok(match order.operation() {
            KeyOperation::Import {
                key,
                version: number,
                commitment: stated,
            } => {
                let name = KeyName::new(key.as_str()).unwrap();
                let secret = request.payload.as_ref().unwrap();
                assert_eq!(commitment(&name, *number, secret).as_bytes(), &stated.0);
                object!({ "key": version(*number) })
            }
            KeyOperation::Restore { backup } => {
                let payload = request.payload.as_ref().unwrap();
                assert_eq!(Digest384::of(payload.as_bytes()), *backup);
                object!({ "restored": [version(1)], "kept": [] })
            }
            KeyOperation::BackUp => object!({
                "backup": STANDARD.encode(BACKUP),
                "sha384": hex::encode(Digest384::of(BACKUP).0),
                "count": 1,
            }),
            KeyOperation::List => object!({
                "keys": [version(1), version(2)], "root_key": "00", "insecure_without_ledger": true,
            }),
            KeyOperation::ListDecisions => object!({
                "entries": [{ "sequence": 7, "epoch": 1, "index": 5, "hash": "00", "entry": {
                    "type": "administration", "time": 0, "outcome": "accepted",
                    "operation": "keys-create", "keys": [{ "name": "database", "version": 1 }],
                } }],
                "count": 8,
            }),
            _ => object!({ "key": version(1) }),
        })
    }
}

fn world() -> (World, StaticSecret) {
    let secret = StaticSecret::generate().unwrap();
    (World::new(*secret.public().as_bytes()), secret)
}

#[test]
fn an_operation_without_approval_in_one_line() {
    let (world, secret) = world();
    let (service, _) = Service::start(&world, secret);
    let flags = format!("--policy policy --service {service} --as dave --key dave");
    let (status, stdout, stderr) = read(&world.narthex(&format!("keys create database {flags}")));
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.contains("database  version 1  enabled"), "{stdout}");
    let listed = world.narthex(&format!("keys list --json {flags}"));
    assert_eq!(json(&listed)["keys"].as_array().unwrap().len(), 2);
    assert!(read(&listed).2.contains("without the log"));
    let only = world.narthex(&format!("keys list other --json {flags}"));
    assert_eq!(json(&only)["keys"], object!([]));
    let (status, stdout, stderr) = read(&world.narthex(&format!("keys decisions {flags}")));
    assert_eq!(status, 0, "{stderr}");
    assert!(
        stdout.contains("#5  1970-01-01T00:00:00Z  administration  accepted  somebody unknown: keys-create database 1"),
        "{stdout}"
    );
    // Somebody without the role.
    let flags = flags.replace("dave", "carol");
    let (status, stdout, stderr) = read(&world.narthex(&format!("keys create database {flags}")));
    assert_eq!((status, stdout.as_str()), (1, ""));
    assert!(stderr.contains("[order.role]"), "{stderr}");
}

/// What was done, or refused, is an entry: its number is shown, and its proof written where asked.
#[test]
fn answers_carry_proofs_that_are_checked_and_kept() {
    let secret = StaticSecret::generate().unwrap();
    let logged = fixture::Logged::with_static_key(*secret.public().as_bytes());
    let world = &logged.world;
    let proof = logged.log.prove(5, None).unwrap().to_string();
    let (service, _) = Service::start_with(world, secret, Some(proof.clone().into_bytes()));
    let flags = format!("--policy policy --service {service} --as dave --key dave");
    let out = world.narthex(&format!("keys create database {flags} --proof p --json"));
    let (status, _, stderr) = read(&out);
    assert_eq!(status, 0, "{stderr}");
    assert!(
        stderr.contains("logged as entry 5 of keys.example/log"),
        "{stderr}"
    );
    assert_eq!(json(&out)["log"]["index"], 5);
    assert_eq!(fs::read_to_string(world.path("p")).unwrap(), proof);
    let line = "log verify-proof p --log log --policy policy";
    let (status, stdout, stderr) = read(&world.narthex(line));
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.contains("keys-create"), "{stdout}");
    // A refusal, too.
    let flags = flags.replace("dave", "carol");
    let refused = world.narthex(&format!("keys create database {flags} --proof r"));
    let (status, _, stderr) = read(&refused);
    assert_eq!(status, 1);
    assert!(stderr.contains("the refusal is entry 5"), "{stderr}");
    assert!(world.path("r").exists());
    let out = world.narthex(&format!(
        "policy submit policy --service {service} --proof d"
    ));
    assert_eq!(out.status.code(), Some(0), "{:?}", read(&out));
    assert_eq!(fs::read_to_string(world.path("d")).unwrap(), proof);
}

/// A proof that does not hold is said; what was done was done all the same.
#[test]
fn a_proof_of_another_log_is_not_kept() {
    let secret = StaticSecret::generate().unwrap();
    let logged = fixture::Logged::with_static_key(*secret.public().as_bytes());
    let other = fixture::Logged::new();
    let world = &logged.world;
    let proof = other.log.prove(5, None).unwrap().to_string().into_bytes();
    let (service, _) = Service::start_with(world, secret, Some(proof));
    let flags = format!("--policy policy --service {service} --as dave --key dave");
    let out = world.narthex(&format!("keys create database {flags} --proof p"));
    let (status, stdout, stderr) = read(&out);
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.contains("database  version 1  enabled"), "{stdout}");
    assert!(stderr.contains("[log.signature]"), "{stderr}");
    assert!(!world.path("p").exists());
}

#[test]
fn an_import_waits_for_approval_and_is_done_once() {
    let (world, secret) = world();
    let (service, payloads) = Service::start(&world, secret);
    fs::write(world.path("secret"), b"correct horse").unwrap();
    let import = "keys import database --secret secret --policy policy";
    let write = world.narthex(&format!(
        "{import} --as dave --key dave --write-order i.order.toml"
    ));
    assert_eq!(write.status.code(), Some(0), "{:?}", read(&write));
    assert!(
        !fs::read_to_string(world.path("i.order.toml"))
            .unwrap()
            .contains("horse")
    );
    let send = || {
        read(&world.narthex(&format!(
            "{import} --service {service} --order i.order.toml"
        )))
    };
    assert!(send().2.contains("[order.under_approved]"));
    assert_eq!(
        world
            .narthex("order approve i.order.toml --as alice --key alice")
            .status
            .code(),
        Some(0)
    );
    let (status, _, stderr) = send();
    assert_eq!(status, 0, "{stderr}");
    assert_eq!(*payloads.lock().unwrap(), [b"correct horse"]);
    let (status, _, stderr) = send();
    assert_eq!(status, 1);
    assert!(stderr.contains("[order.reused]"), "{stderr}");
    // Another secret than the one that was approved.
    fs::write(world.path("secret"), b"other horse").unwrap();
    let (status, _, stderr) = send();
    assert_eq!(status, 2);
    assert!(
        stderr.contains("orders something else than you typed"),
        "{stderr}"
    );
}

#[test]
fn a_backup_is_written_once_and_for_its_owner_only() {
    let (world, secret) = world();
    let (service, _) = Service::start(&world, secret);
    let flags = format!("--policy policy --service {service} --as dave --key dave");
    let backup = world.narthex(&format!("keys backup --out b {flags}"));
    assert_eq!(backup.status.code(), Some(0), "{:?}", read(&backup));
    assert_eq!(fs::read(world.path("b")).unwrap(), BACKUP);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(world.path("b")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let (status, _, stderr) = read(&world.narthex(&format!("keys backup --out b {flags}")));
    assert_eq!(status, 3);
    assert!(stderr.contains("[file.exists]"), "{stderr}");
}

/// It cannot read the first message, and hangs up.
#[test]
fn a_service_with_another_key_is_sent_nothing() {
    let (world, _) = world();
    let (service, payloads) = Service::start(&world, StaticSecret::generate().unwrap());
    let (status, stdout, stderr) = import(&world, &service);
    assert_eq!((status, stdout.as_str()), (3, ""), "{stderr}");
    assert!(stderr.contains("[handshake.closed]"), "{stderr}");
    assert!(payloads.lock().unwrap().is_empty());
}

/// It answers all the same, with whatever comes to its mind.
#[test]
fn a_service_that_pretends_is_refused_by_its_own_reason() {
    let (world, _) = world();
    let listener = UnixListener::bind(world.path("false.sock")).unwrap();
    let heard = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes = vec![0; 4096];
        let count = stream.read(&mut bytes).unwrap();
        stream
            .write_all(&[&[0, 48][..], &[0x55; 48]].concat())
            .unwrap();
        count + stream.read_to_end(&mut bytes).unwrap_or(0)
    });
    let address = format!("unix:{}", world.path("false.sock").display());
    let (status, stdout, stderr) = import(&world, &address);
    assert_eq!((status, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.contains("[handshake.authentication]"), "{stderr}");
    // The preamble and one handshake message, and nothing of the order.
    assert!(heard.join().unwrap() < 100);
}

fn import(world: &World, service: &str) -> (i32, String, String) {
    fs::write(world.path("secret"), b"correct horse").unwrap();
    read(&world.narthex(&format!(
        "keys import database --secret secret --policy policy --service {service} --as dave --key dave"
    )))
}

#[test]
fn a_policy_directory_is_delivered_without_its_drafts() {
    let (world, secret) = world();
    let (service, _) = Service::start(&world, secret);
    fs::write(world.path("policy/releases/0002-x.toml"), "nonsense").unwrap();
    let out = world.narthex(&format!("policy submit policy --service {service}"));
    let (status, stdout, stderr) = read(&out);
    // What nobody signed was not sent: a script must not take that for delivered.
    assert_eq!(status, 1, "{stderr}");
    assert!(stdout.contains("2 files taken"), "{stdout}");
    assert!(
        stderr.contains("not sent: releases/0002-x.toml"),
        "{stderr}"
    );
    fs::remove_file(world.path("policy/releases/0002-x.toml")).unwrap();
    let out = world.narthex(&format!("policy submit policy --service {service}"));
    assert_eq!(read(&out).0, 0);
}
