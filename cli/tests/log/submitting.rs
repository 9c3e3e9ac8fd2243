//! Orders and statements handed in to a service made here, which keeps a log as the real one does.

use std::fs;
use std::sync::{Arc, Mutex};
use std::thread;

use narthex_channel::submissions::{Submission, SubmissionAnswer, SubmissionOutcome};
use narthex_channel::tokio::{Connection, Listener, Timeouts};
use narthex_channel::{Accepting, Address, ReasonId, StaticSecret};
use narthex_policy::{Policy, SignedOrder};

use crate::common::{MODULE_ID, exists, now};
use crate::fixture::{Logged, id_in, person, seconds};

/// Judges orders with `Policy::admit_order`, logs those that it accepts, and proves it.
struct Service {
    logged: Arc<Mutex<Logged>>,
    policy: Policy,
    secret: StaticSecret,
}

fn start(faulty: bool) -> (Arc<Mutex<Logged>>, String) {
    let secret = StaticSecret::generate().unwrap();
    let logged = Logged::with_static_key(*secret.public().as_bytes());
    let path = logged.world.path("submissions.sock");
    let policy = logged.world.policy();
    let logged = Arc::new(Mutex::new(logged));
    let service = Service {
        logged: Arc::clone(&logged),
        policy,
        secret,
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
                let accepting = Accepting::Submissions {
                    secret: &service.secret,
                };
                let connection = Connection::respond(stream, &accepting, Timeouts::DEFAULT).await;
                let Ok(mut connection) = connection else {
                    continue;
                };
                while let Ok(Some(submission)) = connection.receive_message().await {
                    let answer = service.answer(submission, faulty);
                    connection.send_message(&answer).await.unwrap();
                }
            }
        });
    });
    while !exists(&path) {
        thread::yield_now();
    }
    (logged, format!("unix:{}", path.display()))
}

impl Service {
    fn answer(&self, submission: Submission, faulty: bool) -> SubmissionAnswer {
        match submission {
            Submission::Order {
                order,
                signature,
                approvals,
            } => {
                let signed = SignedOrder {
                    bytes: order,
                    signature: signature.as_str().to_owned(),
                    approvals: approvals
                        .iter()
                        .map(|text| text.as_str().to_owned())
                        .collect(),
                };
                match self.policy.admit_order(&signed, now()) {
                    Ok(admitted) => {
                        let approvers = admitted.approvers().iter();
                        let approvers = approvers.map(|signer| person(signer.person.as_str()));
                        let mut logged = self.logged.lock().unwrap();
                        let proof = logged.log_order(&signed, approvers.collect(), faulty);
                        accepted(Some(proof))
                    }
                    Err(refusal) => SubmissionAnswer {
                        outcome: SubmissionOutcome::Refused {
                            reason: ReasonId::from_static(refusal.id()),
                        },
                        log_proof: Some(self.prove_last()),
                    },
                }
            }
            Submission::Statement { .. } => accepted(Some(self.prove_last())),
        }
    }

    fn prove_last(&self) -> Vec<u8> {
        let mut logged = self.logged.lock().unwrap();
        let index = logged.current();
        logged.log.publish(seconds()).unwrap();
        logged
            .log
            .prove(index, None)
            .unwrap()
            .to_string()
            .into_bytes()
    }
}

fn accepted(log_proof: Option<Vec<u8>>) -> SubmissionAnswer {
    SubmissionAnswer {
        outcome: SubmissionOutcome::Accepted,
        log_proof,
    }
}

/// The command runs beside the service, which locks the log while it answers.
fn narthex(logged: &Mutex<Logged>, words: &str) -> (i32, String, String) {
    let directory = logged.lock().unwrap().world.directory.path().to_owned();
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_narthex"))
        .args(words.split_whitespace())
        .current_dir(&directory)
        .env("HOME", &directory)
        .env_remove("XDG_STATE_HOME")
        .output()
        .unwrap();
    crate::common::read(&out)
}

#[test]
fn a_read_order_is_logged_and_its_proof_goes_with_it() {
    let (logged, address) = start(false);
    let new = "order new --policy policy --as carol --key carol --action health --enclave \
               i-0123456789abcdef0 --out shift.order.toml";
    assert_eq!(narthex(&logged, new).0, 0);
    let (status, _, stderr) = narthex(&logged, "order verify shift.order.toml --policy policy");
    assert_eq!(status, 0);
    assert!(stderr.contains("not submitted yet"), "{stderr}");

    let submit = format!("order submit shift.order.toml --policy policy --service {address}");
    let (status, stdout, stderr) = narthex(&logged, &submit);
    assert_eq!(
        (status, stdout.as_str()),
        (0, "shift.order.toml.proof\n"),
        "{stderr}"
    );
    assert!(
        stderr.contains("logged as entry 8 of keys.example/log since 20"),
        "{stderr}"
    );
    let path = |name: &str| logged.lock().unwrap().world.path(name);
    assert_eq!(fs::read(path("shift.order.toml.approvals")).unwrap(), b"");
    let (status, stdout, stderr) =
        narthex(&logged, "order verify shift.order.toml --policy policy");
    assert_eq!((status, stderr.as_str()), (0, ""));
    assert!(
        stdout.contains("\n  logged as entry 8 of keys.example/log since 20"),
        "{stdout}"
    );
    let (_, stdout, _) = narthex(&logged, "order show shift.order.toml");
    assert!(
        stdout.contains("log           proof of entry 8 of keys.example/log"),
        "{stdout}"
    );

    // An approval that comes later is not part of what was logged, and spoils nothing.
    assert_eq!(
        narthex(&logged, "order approve shift.order.toml --as bob --key bob").0,
        0
    );
    assert_eq!(
        narthex(&logged, "order verify shift.order.toml --policy policy").0,
        0
    );

    // Another order's proof, a truncated one, none.
    assert_eq!(narthex(&logged, &new.replace("shift", "other")).0, 0);
    let (status, _, stderr) = narthex(
        &logged,
        "order verify other.order.toml --policy policy --proof shift.order.toml.proof",
    );
    assert_eq!(
        (status, id_in(&stderr).as_str()),
        (1, "log.inclusion"),
        "{stderr}"
    );
    assert!(stderr.contains("not for this order"), "{stderr}");
    let proof = fs::read_to_string(path("shift.order.toml.proof")).unwrap();
    fs::write(path("cut.proof"), &proof[..proof.len() / 2]).unwrap();
    for command in [
        "order verify shift.order.toml --policy policy --proof cut.proof".to_owned(),
        format!(
            "diag unix:nowhere health --order shift.order.toml --proof cut.proof --key carol \
             --policy policy --release shop --enclave {MODULE_ID}"
        ),
    ] {
        let (status, _, stderr) = narthex(&logged, &command);
        assert_eq!(
            (status, id_in(&stderr).as_str()),
            (1, "log.malformed"),
            "{stderr}"
        );
    }
}

#[test]
fn a_refusal_is_an_entry_too_and_more_approvals_help() {
    let (logged, address) = start(false);
    let new = format!(
        "order new --policy policy --as carol --key carol --action restart-workload --enclave \
         {MODULE_ID} --boot-id 07070707070707070707070707070707 --out w.order.toml"
    );
    assert_eq!(narthex(&logged, &new).0, 0);
    let submit = format!("order submit w.order.toml --policy policy --service {address}");
    let (status, _, stderr) = narthex(&logged, &submit);
    assert_eq!(
        (status, id_in(&stderr).as_str()),
        (1, "order.under_approved"),
        "{stderr}"
    );
    assert!(
        stderr.contains("(entry 8, proof in w.order.toml.refused.proof)"),
        "{stderr}"
    );
    assert!(stderr.contains("narthex order approve"), "{stderr}");
    let path = |name: &str| logged.lock().unwrap().world.path(name);
    assert!(path("w.order.toml.refused.proof").exists() && !path("w.order.toml.proof").exists());

    assert_eq!(
        narthex(&logged, "order approve w.order.toml --as bob --key bob").0,
        0
    );
    let (status, _, stderr) = narthex(&logged, &submit);
    assert_eq!(status, 0, "{stderr}");
    assert_eq!(
        fs::read(path("w.order.toml.approvals")).unwrap(),
        fs::read(path("w.order.toml.bob.sig")).unwrap()
    );
    assert_eq!(
        narthex(&logged, "order verify w.order.toml --policy policy").0,
        0
    );
}

#[test]
fn a_change_submitted_again_keeps_the_proof_from_which_its_delay_counts() {
    let (logged, address) = start(false);
    let new = format!(
        "order new --policy policy --as carol --key carol --action restart-workload --enclave \
         {MODULE_ID} --boot-id 07070707070707070707070707070707 --out w.order.toml"
    );
    assert_eq!(narthex(&logged, &new).0, 0);
    assert_eq!(
        narthex(&logged, "order approve w.order.toml --as bob --key bob").0,
        0
    );
    let submit = format!("order submit w.order.toml --policy policy --service {address}");
    assert_eq!(narthex(&logged, &submit).0, 0);
    let path = logged.lock().unwrap().world.path("w.order.toml.proof");
    let first = fs::read(&path).unwrap();
    // Cosignatures have whole seconds.
    thread::sleep(std::time::Duration::from_millis(1100));
    let (status, _, stderr) = narthex(&logged, &submit);
    assert_eq!(status, 0, "{stderr}");
    assert!(stderr.contains("w.order.toml.proof stays"), "{stderr}");
    assert_eq!(fs::read(&path).unwrap(), first);
    // What does not hold any more is replaced.
    fs::write(&path, &first[..first.len() / 2]).unwrap();
    assert_eq!(narthex(&logged, &submit).0, 0);
    assert_eq!(
        narthex(&logged, "order verify w.order.toml --policy policy").0,
        0
    );
}

#[test]
fn a_proof_of_something_else_is_not_kept() {
    let (logged, address) = start(true);
    let new = "order new --policy policy --as carol --key carol --action health --enclave \
               i-0123456789abcdef0 --out shift.order.toml";
    assert_eq!(narthex(&logged, new).0, 0);
    let submit = format!("order submit shift.order.toml --policy policy --service {address}");
    let (status, _, stderr) = narthex(&logged, &submit);
    assert_eq!(
        (status, id_in(&stderr).as_str()),
        (1, "log.inclusion"),
        "{stderr}"
    );
    assert!(
        !logged
            .lock()
            .unwrap()
            .world
            .path("shift.order.toml.proof")
            .exists()
    );
    // A service that is not there.
    let (status, _, stderr) = narthex(&logged, &submit.replace(&address, "unix:/nowhere"));
    assert_eq!(
        (status, id_in(&stderr).as_str()),
        (3, "io.connect"),
        "{stderr}"
    );
}

#[test]
fn kept_statements_are_handed_in() {
    let (logged, address) = start(false);
    let folder = logged.lock().unwrap().world.path("kept");
    fs::create_dir(&folder).unwrap();
    let text = r#"{"schema":"narthex/kept-statement/v1","session":"SESSION","document":"ZG9j","statement":"c3Q="}"#;
    let file = folder.join("a.statement.json");
    fs::write(&file, text.replace("SESSION", &"07".repeat(32))).unwrap();
    let line =
        format!("log submit-statement kept --policy policy --service {address} --json --keep");
    let (status, stdout, stderr) = narthex(&logged, &line);
    assert_eq!(status, 0, "{stderr}");
    let value: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(value["logged"][0]["log"]["index"], 8);
    assert!(folder.join("a.statement.json.proof").exists() && file.exists());
    assert_eq!(narthex(&logged, &line.replace(" --keep", "")).0, 0);
    assert!(!file.exists());
    fs::write(folder.join("b.statement.json"), "{}").unwrap();
    let (status, _, stderr) = narthex(&logged, &line.replace(" --json", ""));
    assert_eq!(
        (status, id_in(&stderr).as_str()),
        (2, "statement.malformed"),
        "{stderr}"
    );
}
