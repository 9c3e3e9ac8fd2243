//! A log with an entry of every kind, in which nothing is wrong.

use std::collections::BTreeMap;

use narthex_ledger::{
    Entry, EvidenceKind, KeyState, LostKey, PurgeEntry, RestoreEntry, SummaryEntry,
};
use narthex_policy::{KeyOperation, Provenance, ReleaseStatus};
use serde_json::json;

use crate::fixture::{Asking, Project, accepted, change, database, exceptions, refused};

/// Every kind of entry, accepted and refused.
pub(crate) fn everything() -> Project {
    let mut project = Project::new();
    project.read_order("carol", accepted());
    project.write_order("carol", &["alice"], &["alice"], accepted());
    project.release(Asking::new(1));
    project.statement(101, |_| {});
    project.next_bundle(project.time + 80 * 86_400_000, &["alice", "bob"]);
    project.current();
    project.release_statement("2", ReleaseStatus::Current, "shop 2");
    project.release(Asking::new(2));
    project.release(Asking {
        image: "shop 2".to_owned(),
        ..Asking::new(3)
    });
    let rotate = KeyOperation::Rotate { key: database() };
    project.administer(rotate, "dave", &[], vec![change(2, KeyState::Enabled)]);
    project.release(Asking {
        version: Some(2),
        ..Asking::new(4)
    });
    let disable = KeyOperation::Disable {
        key: database(),
        version: 2,
    };
    project.administer(
        disable.clone(),
        "dave",
        &[],
        vec![change(2, KeyState::Disabled)],
    );
    project.release(Asking {
        version: Some(2),
        decision: refused("key.disabled"),
        ..Asking::new(5)
    });
    project.administered(disable, "dave", &[], vec![], refused("key.state"), |_| {});
    let enable = KeyOperation::Enable {
        key: database(),
        version: 2,
    };
    project.administered(
        enable.clone(),
        "dave",
        &[],
        vec![],
        refused("order.under_approved"),
        |_| {},
    );
    project.administer(
        enable,
        "dave",
        &["alice"],
        vec![change(2, KeyState::Enabled)],
    );
    project.administer(KeyOperation::List, "dave", &[], vec![]);
    project.administer(KeyOperation::BackUp, "dave", &[], vec![]);
    project.administer(KeyOperation::RotateRootKey, "dave", &["bob"], vec![]);
    project.read_order("dave", refused("order.role"));
    project.write_order("alice", &["alice"], &[], refused("order.self_approval"));
    project.stop_statement("2");
    project.current();
    project.release(Asking {
        image: "shop 2".to_owned(),
        decision: refused("release.stopped"),
        edit_entry: Box::new(|entry| entry.release = None),
        ..Asking::new(6)
    });
    project.statement(102, |_| {});
    let time = project.time;
    project.append(Entry::Summary(SummaryEntry {
        time,
        counts: BTreeMap::from([("channel.handshake".to_owned(), 7)]),
        from: time - 1000,
        to: time,
    }));
    let size = project.log.checkpoint().size;
    project.append(Entry::Restore(RestoreEntry {
        time,
        from_size: size - 2,
        to_size: size,
        lost: vec![LostKey {
            name: "database".to_owned(),
            version: 2,
        }],
    }));
    project.release(Asking {
        version: Some(2),
        decision: refused("key.retired"),
        ..Asking::new(7)
    });
    project
}

#[test]
fn a_clean_log_gives_no_exception() {
    let mut project = everything();
    let (code, report) = project.report();
    assert_eq!(exceptions(&report), [], "{report:#}");
    assert_eq!(code, 0);
    assert_eq!(report["verdict"], "no-exceptions");
    let tested: BTreeMap<&str, u64> = report["claims"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|claim| claim["checks"].as_array().unwrap())
        .map(|check| {
            (
                check["id"].as_str().unwrap(),
                check["tested"].as_u64().unwrap(),
            )
        })
        .collect();
    // What there is nothing of in this log, or was not asked for.
    let untested: Vec<&str> = tested
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(
        untested,
        [
            "audit.log.epoch",
            "audit.log.older",
            "audit.policy.directory"
        ]
    );
    assert_eq!(tested["audit.release.document"], 4);
    assert_eq!(tested["audit.refusal.release"], 3);
    assert_eq!(tested["audit.refusal.order"], 2);
    assert_eq!(tested["audit.refusal.administration"], 2);
    assert_eq!(tested["audit.statement.document"], 2);
    let gaps: Vec<&str> = report["not_shown"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gap| gap["id"].as_str().unwrap())
        .collect();
    for expected in [
        "gap.development_root",
        "gap.root_key_file",
        "gap.service_host",
        "gap.summarised_refusals",
        "gap.uncommitted_keys",
    ] {
        assert!(gaps.contains(&expected), "{expected} is not among {gaps:?}");
    }
    assert!(!gaps.contains(&"gap.measurements_by_hand"));
    let verdicts: Vec<&str> = report["claims"]
        .as_array()
        .unwrap()
        .iter()
        .map(|claim| claim["verdict"].as_str().unwrap())
        .collect();
    let (yes, no) = ("shown", "not shown");
    assert_eq!(verdicts, [no, yes, no, yes, no, yes, yes, no]);
}

/// The text for people says the same, and never the one word.
#[test]
fn the_text_is_for_people() {
    let mut project = everything();
    let output = project.audit("--assume root-key-apart");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("C4 SHOWN: A change to actions"), "{text}");
    assert!(text.contains("C5 SHOWN: "), "{text}");
    assert!(
        text.contains("on the auditor's word: the root key"),
        "{text}"
    );
    assert!(!text.to_lowercase().contains("compliant"));
}

/// A release whose numbers somebody typed is no exception, and not passed over in silence.
#[test]
fn measurements_given_by_hand_are_named() {
    let mut project = Project::new();
    project.provenance = Provenance::InsecureByHand;
    let named = |project: &mut Project| {
        let (code, report) = project.report();
        assert_eq!((code, exceptions(&report).len()), (0, 0), "{report:#}");
        let gaps = report["not_shown"].as_array().unwrap();
        gaps.iter()
            .any(|gap| gap["id"] == "gap.measurements_by_hand" && gap["claims"] == json!(["C8"]))
    };
    project.release_statement("2", ReleaseStatus::Revoked, "shop 2");
    assert!(!named(&mut project));
    project.release_statement("3", ReleaseStatus::Current, "shop 3");
    assert!(named(&mut project));
}

#[test]
fn purged_evidence_is_not_shown_and_no_exception() {
    let mut project = Project::new();
    let order = project.read_order("carol", accepted());
    project.release(Asking::new(1));
    let before = project.time + 1;
    project.read_order("carol", accepted());
    for index in [order, order + 1] {
        project.forget(index);
    }
    let time = project.time;
    project.append(Entry::Purge(PurgeEntry {
        time,
        before,
        kinds: vec![EvidenceKind::KeyRequest, EvidenceKind::Order],
        count: 2,
    }));
    let (code, report) = project.report();
    assert_eq!(exceptions(&report), []);
    assert_eq!(code, 0);
    let gaps = report["not_shown"].as_array().unwrap();
    let purged = gaps
        .iter()
        .find(|gap| gap["id"] == "gap.purged_evidence")
        .unwrap();
    assert_eq!(purged["count"], 2);
    let check = |id: &str| {
        let claims = report["claims"].as_array().unwrap().iter();
        let mut checks = claims.flat_map(|claim| claim["checks"].as_array().unwrap());
        checks.find(|check| check["id"] == id).unwrap().clone()
    };
    assert_eq!(check("audit.order.authorised")["not_verified"], 1);
    assert_eq!(check("audit.release.document")["not_verified"], 1);
    assert_eq!(check("audit.order.authorised")["tested"], 1);
}

/// Whoever has a policy directory sees names, and has it compared with the log.
#[test]
fn a_policy_directory_names_people_and_is_compared() {
    let mut project = Project::new();
    project.write_policy_directory();
    let order = project.write_order("carol", &["alice"], &["bob"], accepted());
    let output = project.audit("--json --policy policy");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let found = exceptions(&report);
    assert_eq!(
        found,
        [(
            "audit.order.entry".to_owned(),
            Some(order),
            "entry.differs".to_owned()
        )]
    );
    assert!(
        report
            .to_string()
            .contains("the entry says bob, its evidence alice"),
        "{report:#}"
    );
    let without = project.audit("--json");
    assert!(!String::from_utf8(without.stdout).unwrap().contains("alice"));
}

/// A bundle in the directory that the log never had.
#[test]
fn a_policy_directory_that_knows_more_than_the_log() {
    let mut project = Project::new();
    project.write_policy_directory();
    let text = project.successor_text(project.time + 86_400_000);
    let file = project.sign(text, narthex_policy::Namespace::Policy, &["alice", "bob"]);
    project.write_bundle(2, &file);
    let output = project.audit("--json --policy policy");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        exceptions(&report),
        [(
            "audit.policy.directory".to_owned(),
            None,
            "bundle.not_in_log".to_owned()
        )]
    );
}

/// A checkpoint that was kept must be the log's beginning; one of another log is an exception.
#[test]
fn a_kept_checkpoint_is_compared() {
    let mut project = Project::new();
    let kept = project.log.publish(project.time / 1000 + 1).unwrap();
    std::fs::write(project.path("kept"), kept.to_string()).unwrap();
    project.read_order("carol", accepted());
    let output = project.audit("--json --older kept");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(exceptions(&report), []);
    let mut other = Project::new();
    let foreign = other.log.publish(other.time / 1000 + 1).unwrap();
    std::fs::write(project.path("kept"), foreign.to_string()).unwrap();
    let output = project.audit("--json --older kept");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        exceptions(&report),
        [(
            "audit.log.older".to_owned(),
            None,
            "log.signature".to_owned()
        )]
    );
}

/// Too few witnesses have cosigned, by the log's own newest bundle.
#[test]
fn a_log_that_no_witness_saw() {
    let mut project = Project::new();
    project.log.publish_cosigned(&[None, None]).unwrap();
    let output = project.audit_as_published("--json");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        exceptions(&report),
        [("audit.log.quorum".to_owned(), None, "log.quorum".to_owned())]
    );
}

/// The audit spans epochs: policy, keys and single use go on in the new log.
#[test]
fn epochs_are_one_log() {
    let mut project = Project::new();
    project.release(Asking::new(1));
    let end = project.new_epoch();
    project.current();
    project.release(Asking {
        edit_entry: Box::new(|entry| entry.boot_bundle = Some(1)),
        ..Asking::new(2)
    });
    assert_eq!(project.exceptions(), []);
    let (_, report) = project.report();
    assert_eq!(report["log"]["epochs"], 2);
    assert_eq!(report["log"]["entries"], end + 3);
    let again = project.release(Asking::new(1));
    project.assert_only("audit.release.once", again, "session.used");
}

/// A checkpoint of an epoch that ended counts, too.
#[test]
fn a_kept_checkpoint_of_an_earlier_epoch_is_compared() {
    let mut project = Project::new();
    let kept = project.log.publish(project.time / 1000 + 1).unwrap();
    std::fs::write(project.path("kept"), kept.to_string()).unwrap();
    project.new_epoch();
    let output = project.audit("--json --older kept");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(exceptions(&report), []);
}

/// The same through a socket as from the folder.
#[test]
fn a_log_that_is_served_gives_the_same_report() {
    let mut project = everything();
    let (_, mut from_folder) = project.report();
    let socket = project.path("log.sock");
    let mut server = project.serve(&socket);
    let output = project.audit_at(&format!("unix:{}", socket.display()), "--json");
    server.kill().unwrap();
    server.wait().unwrap();
    let mut served: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for report in [&mut from_folder, &mut served] {
        report["log"]["source"].take();
        report["made"].take();
        report["milliseconds"].take();
    }
    assert_eq!(served, from_folder);
}

/// A report says that the log may have gone on: by the witnesses' times, or by what this machine has seen.
#[test]
fn an_old_copy_is_said_to_be_old() {
    let old = |output: &std::process::Output| {
        let report: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        assert_eq!(exceptions(&report), []);
        report["not_shown"].to_string().contains("gap.older_copy")
    };
    let mut project = Project::new();
    assert!(old(&project.audit("--json")));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    project.log.publish(now).unwrap();
    assert!(!old(&project.audit_as_published("--json")));

    let genesis = project.genesis_hex();
    project.write_policy_directory();
    narthex(
        &project,
        &format!("log export log copy --policy policy --genesis {genesis}"),
    );
    project.read_order("carol", accepted());
    project.log.publish(now).unwrap();
    narthex(
        &project,
        &format!("log verify log --policy policy --genesis {genesis}"),
    );
    assert!(old(&project.audit_at("copy", "--json --older-copy")));
    assert!(!old(&project.audit_at("log", "--json")));
}

fn narthex(project: &Project, words: &str) {
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_narthex"))
        .args(words.split_whitespace())
        .current_dir(project.path(""))
        .env("HOME", project.path(""))
        .env_remove("XDG_STATE_HOME")
        .status()
        .unwrap();
    assert!(status.success(), "{words}");
}
