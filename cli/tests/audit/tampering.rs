//! One test for each thing that can be wrong: exactly one check fails, at exactly that entry.

use std::fs;

use narthex_ledger::{Entry, EvidenceKind, KeyState, PolicyFileKind, PurgeEntry, Resource};
use narthex_policy::{KeyOperation, Namespace, ReleaseStatus};

use crate::fixture::{Asking, MAX_AGE, Project, accepted, change, database, measurements, refused};

#[test]
fn an_altered_byte_of_evidence() {
    let mut project = Project::new();
    let order = project.read_order("carol", accepted());
    project.alter(order);
    project.assert_only("audit.evidence.digest", order, "log.evidence");
}

#[test]
fn evidence_that_is_gone_without_a_word() {
    let mut project = Project::new();
    let order = project.read_order("carol", accepted());
    project.forget(order);
    project.assert_only("audit.evidence.present", order, "log.evidence");
}

#[test]
fn a_document_of_another_release() {
    let mut project = Project::new();
    let entry = project.release(Asking {
        image: "other 1".to_owned(),
        ..Asking::new(1)
    });
    project.assert_only("audit.release.granted", entry, "release.unknown");
}

#[test]
fn an_entry_that_names_another_release() {
    let mut project = Project::new();
    let entry = project.release(Asking {
        edit_entry: Box::new(|entry| entry.release = Some("shop 2".to_owned())),
        ..Asking::new(1)
    });
    project.assert_only("audit.release.entry", entry, "entry.differs");
}

#[test]
fn an_entry_that_names_another_enclave() {
    let mut project = Project::new();
    let entry = project.release(Asking {
        edit_entry: Box::new(|entry| entry.enclave.replace_range(2..4, "ff")),
        ..Asking::new(1)
    });
    project.assert_only("audit.release.to_enclave", entry, "entry.differs");
}

#[test]
fn a_key_for_an_agent_that_acts_without_the_log() {
    let mut project = Project::new();
    let entry = project.release(Asking {
        edit_statement: Box::new(|statement| {
            statement.log_check = narthex_channel::diagnostics::LogCheck::InsecureWithoutLedger;
        }),
        ..Asking::new(1)
    });
    project.assert_only("audit.release.granted", entry, "statement.without_log");
}

#[test]
fn a_stranger_s_account() {
    let mut project = Project::new();
    let entry = project.release(Asking {
        edit: Box::new(|recipe| recipe.payload.set_pcr(3, &[7; 48])),
        ..Asking::new(1)
    });
    project.assert_only("audit.release.granted", entry, "key.account");
}

#[test]
fn a_document_that_was_too_old() {
    let mut project = Project::new();
    let entry = project.release(Asking {
        age: MAX_AGE + 60_000,
        ..Asking::new(1)
    });
    project.assert_only("audit.release.document", entry, "fresh.age");
}

#[test]
fn a_document_of_another_session() {
    let mut project = Project::new();
    let entry = project.release(Asking {
        edit: Box::new(|recipe| recipe.payload.user_data = Some(vec![1; 48])),
        ..Asking::new(1)
    });
    project.assert_only("audit.release.binding", entry, "binding.other_session");
}

#[test]
fn a_session_that_got_keys_twice() {
    let mut project = Project::new();
    project.release(Asking::new(1));
    let entry = project.release(Asking::new(1));
    project.assert_only("audit.release.once", entry, "session.used");
}

#[test]
fn a_key_that_was_disabled() {
    let mut project = Project::new();
    let disable = KeyOperation::Disable {
        key: database(),
        version: 1,
    };
    project.administer(disable, "dave", &[], vec![change(1, KeyState::Disabled)]);
    let entry = project.release(Asking {
        version: Some(1),
        ..Asking::new(1)
    });
    project.assert_only("audit.release.keys", entry, "key.disabled");
}

#[test]
fn a_key_that_nobody_brought() {
    let mut project = Project::new();
    let entry = project.release(Asking {
        version: Some(5),
        ..Asking::new(1)
    });
    project.assert_only("audit.release.keys", entry, "key.no_such_version");
}

#[test]
fn a_key_for_a_revoked_release() {
    let mut project = Project::new();
    project.release_statement("1", ReleaseStatus::Revoked, "shop 1");
    project.current();
    let entry = project.release(Asking {
        edit_entry: Box::new(|entry| entry.release = None),
        ..Asking::new(1)
    });
    project.assert_only("audit.release.granted", entry, "release.revoked");
}

#[test]
fn an_order_without_enough_approvals() {
    let mut project = Project::new();
    let entry = project.write_order("carol", &[], &[], accepted());
    project.assert_only("audit.order.authorised", entry, "order.under_approved");
}

#[test]
fn an_order_that_its_requester_approved() {
    let mut project = Project::new();
    let entry = project.write_order("alice", &["alice"], &["alice"], accepted());
    project.assert_only("audit.order.authorised", entry, "order.self_approval");
}

#[test]
fn an_order_that_no_role_allows() {
    let mut project = Project::new();
    let entry = project.read_order("dave", accepted());
    project.assert_only("audit.order.authorised", entry, "order.role");
}

#[test]
fn an_entry_that_names_another_approver() {
    let mut project = Project::new();
    let entry = project.write_order("carol", &["alice"], &["bob"], accepted());
    project.assert_only("audit.order.entry", entry, "entry.differs");
}

#[test]
fn an_order_that_was_accepted_twice() {
    let mut project = Project::new();
    let text = project.order_text("carol");
    project.submit(&text, "carol", &[], &[], accepted());
    let entry = project.submit(&text, "carol", &[], &[], accepted());
    project.assert_only("audit.order.once", entry, "order.reused");
}

#[test]
fn an_order_after_its_time() {
    let mut project = Project::new();
    let text = project.order_text("carol");
    project.time += 12 * 3_600_000;
    let entry = project.submit(&text, "carol", &[], &[], accepted());
    project.assert_only("audit.order.authorised", entry, "order.expired");
}

#[test]
fn keys_under_an_expired_policy() {
    let mut project = Project::new();
    // The release statement outlives the bundle.
    project.next_bundle(project.time + 5 * 3_600_000, &["alice", "bob"]);
    project.current();
    project.time += 6 * 3_600_000;
    let entry = project.release(Asking::new(1));
    project.assert_only("audit.release.granted", entry, "bundle.expired");
}

#[test]
fn a_bundle_put_in_force_after_its_end() {
    let mut project = Project::new();
    let entry = project.next_bundle(project.time + 1_800_000, &["alice", "bob"]);
    project.assert_only("audit.policy.expired", entry, "bundle.expired");
}

#[test]
fn a_bundle_that_too_few_signed() {
    let mut project = Project::new();
    let entry = project.next_bundle(project.time + 86_400_000, &["alice"]);
    project.current();
    project.assert_only("audit.policy.signatures", entry, "bundle.under_signed");
    let (_, report) = project.report();
    let gaps = report["not_shown"].to_string();
    assert!(gaps.contains("gap.policy_broken"), "{gaps}");
}

#[test]
fn a_release_that_too_few_signed() {
    let mut project = Project::new();
    let statement =
        narthex_policy::Release::parse_unverified(project.statement_text("2", "shop 2").as_bytes());
    assert_eq!(statement.unwrap().measurements, measurements("shop 2"));
    let text = project.statement_text("2", "shop 2");
    let file = project.sign(text, Namespace::Release, &["alice"]);
    let entry = project.deliver(PolicyFileKind::Release, &file, "shop 2", &["alice"]);
    project.assert_only("audit.policy.signatures", entry, "release.under_signed");
}

#[test]
fn an_entry_that_names_another_signer() {
    let mut project = Project::new();
    let text = project.statement_text("2", "shop 2");
    let file = project.sign(text, Namespace::Release, &["alice", "bob"]);
    let entry = project.deliver(PolicyFileKind::Release, &file, "shop 2", &["alice", "dave"]);
    project.assert_only("audit.policy.entry", entry, "entry.differs");
}

#[test]
fn a_log_that_names_another_bundle_as_current() {
    let mut project = Project::new();
    project.version = 2;
    let entry = project.current();
    project.version = 1;
    project.assert_only("audit.policy.current", entry, "log.not_current");
}

#[test]
fn another_first_bundle_than_the_reviewers_named() {
    let mut project = Project::new();
    let output = project.audit_with_genesis(&"00".repeat(48));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        crate::fixture::exceptions(&report),
        [(
            "audit.policy.genesis".to_owned(),
            Some(0),
            "bundle.genesis".to_owned()
        )]
    );
}

#[test]
fn a_key_state_that_does_not_follow() {
    let mut project = Project::new();
    let disable = KeyOperation::Disable {
        key: database(),
        version: 1,
    };
    let entry = project.administer(disable, "dave", &[], vec![change(1, KeyState::Retired)]);
    project.assert_only("audit.administration.state", entry, "key.state");
}

#[test]
fn a_key_that_comes_back_from_the_dead() {
    let mut project = Project::new();
    let retire = KeyOperation::Retire {
        key: database(),
        version: 1,
    };
    project.administer(
        retire,
        "dave",
        &["alice"],
        vec![change(1, KeyState::Retired)],
    );
    let enable = KeyOperation::Enable {
        key: database(),
        version: 1,
    };
    let entry = project.administer(
        enable,
        "dave",
        &["alice"],
        vec![change(1, KeyState::Enabled)],
    );
    project.assert_only("audit.administration.state", entry, "key.retired");
}

#[test]
fn a_key_under_another_commitment() {
    let mut project = Project::new();
    let disable = KeyOperation::Disable {
        key: database(),
        version: 1,
    };
    let mut other = change(1, KeyState::Disabled);
    other.commitment = narthex_ledger::Digest384([9; 48]);
    let entry = project.administer(disable, "dave", &[], vec![other]);
    project.assert_only("audit.key.recorded", entry, "key.commitment");
}

#[test]
fn a_key_retired_without_approval() {
    let mut project = Project::new();
    let retire = KeyOperation::Retire {
        key: database(),
        version: 1,
    };
    let entry = project.administer(retire, "dave", &[], vec![change(1, KeyState::Retired)]);
    project.assert_only(
        "audit.administration.authorised",
        entry,
        "order.under_approved",
    );
}

#[test]
fn a_call_of_somebody_without_the_role() {
    let mut project = Project::new();
    let entry = project.administer(KeyOperation::List, "carol", &[], vec![]);
    project.assert_only("audit.administration.authorised", entry, "order.role");
}

#[test]
fn a_call_in_the_name_of_another() {
    let mut project = Project::new();
    let entry = project.administered(
        KeyOperation::List,
        "dave",
        &[],
        vec![],
        accepted(),
        |entry| {
            entry.requester = Some(crate::fixture::person("alice"));
        },
    );
    project.assert_only("audit.administration.entry", entry, "entry.differs");
}

#[test]
fn an_order_refused_without_ground() {
    let mut project = Project::new();
    let entry = project.read_order("carol", refused("order.role"));
    project.assert_only("audit.refusal.order", entry, "refusal.groundless");
}

#[test]
fn an_order_refused_for_another_reason() {
    let mut project = Project::new();
    let entry = project.read_order("dave", refused("order.expired"));
    project.assert_only("audit.refusal.order", entry, "refusal.reason");
}

#[test]
fn keys_refused_without_ground() {
    let mut project = Project::new();
    let entry = project.release(Asking {
        decision: refused("key.disabled"),
        ..Asking::new(1)
    });
    project.assert_only("audit.refusal.release", entry, "refusal.groundless");
}

#[test]
fn a_call_refused_without_ground() {
    let mut project = Project::new();
    let list = KeyOperation::List;
    let entry = project.administered(list, "dave", &[], vec![], refused("order.role"), |_| {});
    project.assert_only("audit.refusal.administration", entry, "refusal.groundless");
}

/// What only the service knew is not judged, and the report says so.
#[test]
fn a_refusal_inside_the_service_is_not_shown() {
    let mut project = Project::new();
    project.release(Asking {
        decision: refused("storage.full"),
        ..Asking::new(1)
    });
    assert_eq!(project.exceptions(), []);
    let (_, report) = project.report();
    assert!(
        report["not_shown"]
            .to_string()
            .contains("gap.service_refusals")
    );
}

#[test]
fn decisions_that_went_back() {
    let mut project = Project::new();
    project.statement(101, |said| said.decisions.accepted = 50);
    let entry = project.statement(102, |said| said.decisions.accepted = 20);
    project.assert_only("audit.statement.chain", entry, "statement.chain");
}

#[test]
fn a_statement_that_was_recorded_twice() {
    let mut project = Project::new();
    project.statement(101, |_| {});
    let entry = project.statement(101, |_| {});
    project.assert_only("audit.statement.once", entry, "session.used");
}

#[test]
fn an_agent_that_does_not_look_at_the_log() {
    let mut project = Project::new();
    let entry = project.statement(101, |said| {
        said.log_check = narthex_channel::diagnostics::LogCheck::InsecureWithoutLedger;
    });
    project.assert_only(
        "audit.statement.log_check",
        entry,
        "agent.insecure_without_ledger",
    );
}

#[test]
fn an_entry_whose_clock_went_back() {
    let mut project = Project::new();
    project.time -= 2 * 3_600_000;
    let entry = project.current();
    project.time += 2 * 3_600_000;
    project.assert_only("audit.log.time", entry, "log.time");
}

/// A changed entry is no entry of this log: there is nothing to audit.
#[test]
fn a_changed_entry_ends_the_audit() {
    let mut project = Project::new();
    project.log.publish(project.time / 1000 + 1).unwrap();
    let size = u16::try_from(project.log.checkpoint().size).unwrap();
    let resource = Resource::Entries {
        index: 0,
        width: size,
    };
    let path = project.log.folder().path().join(resource.path());
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() - 5;
    bytes[at] ^= 1;
    fs::write(&path, bytes).unwrap();
    let output = project.audit_as_published("--json");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report["error"]["id"], "log.entries");
}

/// Nobody knows what an altered policy file said: one exception, and no guesses about what came after.
#[test]
fn an_altered_byte_of_a_release_statement() {
    let mut project = Project::new();
    project.seconds_between_entries = 1;
    let statement = project.release_statement("2", ReleaseStatus::Current, "shop 2");
    project.current();
    project.release(Asking {
        image: "shop 2".to_owned(),
        ..Asking::new(1)
    });
    project.alter(statement);
    project.assert_only("audit.evidence.digest", statement, "log.evidence");
    let (_, report) = project.report();
    assert!(
        report["not_shown"]
            .to_string()
            .contains("gap.policy_broken")
    );
    let verdicts: Vec<&str> = report["claims"]
        .as_array()
        .unwrap()
        .iter()
        .map(|claim| claim["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts[3], "not shown");
    assert_eq!(verdicts[5], "exceptions");
    assert_eq!(verdicts[6], "not shown");
}

/// A log whose first bundle was refused has no policy: nothing in it shows anything.
#[test]
fn a_first_bundle_that_was_refused() {
    let mut project = Project::begin("");
    project.deliver_genesis(refused("bundle.expired"));
    project.read_order("carol", accepted());
    let (code, report) = project.report();
    assert_eq!(
        crate::fixture::exceptions(&report),
        [(
            "audit.policy.genesis".to_owned(),
            Some(0),
            "log.entry".to_owned()
        )]
    );
    assert_eq!(code, 1);
    assert!(
        report["not_shown"]
            .to_string()
            .contains("gap.policy_broken")
    );
}

/// Nobody deletes today what is made tomorrow.
#[test]
fn a_purge_that_reaches_into_the_future() {
    let mut project = Project::new();
    let time = project.time;
    let purge = project.append(Entry::Purge(PurgeEntry {
        time,
        before: time + 365 * 86_400_000,
        kinds: vec![EvidenceKind::Order],
        count: 1,
    }));
    let order = project.read_order("carol", accepted());
    project.forget(order);
    assert_eq!(
        project.exceptions(),
        [
            (
                "audit.evidence.present".to_owned(),
                Some(purge),
                "log.entry".to_owned()
            ),
            (
                "audit.evidence.present".to_owned(),
                Some(order),
                "log.evidence".to_owned()
            )
        ]
    );
}

/// A purge explains as many pieces as it says it deleted.
#[test]
fn more_evidence_is_gone_than_was_purged() {
    let mut project = Project::new();
    let order = project.read_order("carol", accepted());
    project.read_order("carol", accepted());
    for index in [order, order + 1] {
        project.forget(index);
    }
    let time = project.time + 1;
    project.append(Entry::Purge(PurgeEntry {
        time,
        before: time,
        kinds: vec![EvidenceKind::Order],
        count: 1,
    }));
    assert_eq!(
        project.exceptions(),
        [(
            "audit.evidence.present".to_owned(),
            None,
            "log.evidence".to_owned()
        )]
    );
}

#[test]
fn a_backup_that_brings_back_the_dead() {
    let mut project = Project::new();
    let retire = KeyOperation::Retire {
        key: database(),
        version: 1,
    };
    project.administer(
        retire,
        "dave",
        &["alice"],
        vec![change(1, KeyState::Retired)],
    );
    let restore = KeyOperation::Restore {
        backup: narthex_policy::Digest384([1; 48]),
    };
    let entry = project.administer(
        restore,
        "dave",
        &["alice"],
        vec![change(1, KeyState::Restored)],
    );
    project.assert_only("audit.administration.state", entry, "key.retired");
}

/// A refusal says what was asked for by whom, too.
#[test]
fn a_refusal_that_names_another_enclave_or_other_keys() {
    let edits: [fn(&mut narthex_ledger::ReleaseEntry); 3] = [
        |entry| entry.enclave.replace_range(2..4, "ff"),
        |entry| entry.asked = vec!["other".to_owned()],
        |entry| entry.in_force = 7,
    ];
    for edit in edits {
        let mut project = Project::new();
        let entry = project.release(Asking {
            image: "other 1".to_owned(),
            decision: refused("release.unknown"),
            edit_entry: Box::new(edit),
            ..Asking::new(1)
        });
        project.assert_only("audit.refusal.release", entry, "entry.differs");
    }
}

#[test]
fn a_refusal_that_names_other_actions() {
    let mut project = Project::new();
    let text = project.order_text("dave");
    let entry = project.submitted(&text, "dave", refused("order.role"), |entry| {
        entry.scope = Some(narthex_ledger::OrderScope::Read {
            actions: vec!["memory".to_owned()],
        });
    });
    project.assert_only("audit.refusal.order", entry, "entry.differs");
}

#[test]
fn a_refused_call_that_names_another_operation() {
    let mut project = Project::new();
    let list = KeyOperation::List;
    let entry = project.administered(list, "carol", &[], vec![], refused("order.role"), |entry| {
        entry.operation = Some("keys-backup".to_owned());
    });
    project.assert_only("audit.refusal.administration", entry, "entry.differs");
}

/// Where not one decision could be verified again, a claim is not shown, whatever else was counted.
#[test]
fn a_claim_whose_evidence_is_all_gone() {
    let mut project = Project::new();
    let order = project.read_order("carol", accepted());
    for index in [3, order] {
        project.forget(index);
    }
    let time = project.time + 1;
    project.append(Entry::Purge(PurgeEntry {
        time,
        before: time,
        kinds: vec![EvidenceKind::Administration, EvidenceKind::Order],
        count: 2,
    }));
    let (code, report) = project.report();
    assert_eq!(code, 0, "{report:#}");
    for claim in [1, 2, 6] {
        assert_eq!(
            report["claims"][claim]["verdict"],
            "not shown",
            "C{}",
            claim + 1
        );
    }
}

/// The policy is lost: nothing after it was judged, whichever claim it belongs to.
#[test]
fn nothing_is_shown_without_a_policy() {
    let mut project = Project::new();
    project.read_order("carol", accepted());
    project.next_bundle(project.time + 86_400_000, &["alice"]);
    let (_, report) = project.report();
    for claim in report["claims"].as_array().unwrap() {
        assert_ne!(claim["verdict"], "shown", "{}", claim["id"]);
    }
}

/// No evidence says who handed a statement in, so no entry may.
#[test]
fn a_statement_in_the_name_of_somebody() {
    let mut project = Project::new();
    let entry = project.stated(
        101,
        |_| {},
        |entry| entry.submitter = Some(crate::fixture::person("alice")),
    );
    project.assert_only("audit.statement.entry", entry, "entry.differs");
}

#[test]
fn a_restore_of_more_than_there_was() {
    let mut project = Project::new();
    let time = project.time;
    let entry = project.append(Entry::Restore(narthex_ledger::RestoreEntry {
        time,
        from_size: 2,
        to_size: 100,
        lost: Vec::new(),
    }));
    project.assert_only("audit.log.restore", entry, "log.entry");
}
