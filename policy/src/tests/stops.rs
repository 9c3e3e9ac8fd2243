//! Stop statements: at once, and only narrowing.

use super::world::*;
use crate::*;

fn add(policy: &mut Policy, text: &str, signers: &[&str]) -> Result<(), Refusal> {
    policy.add_stop(&signed(text, Namespace::Stop, signers), NOW)
}

#[test]
fn who_may_stop() {
    let text = stop_text(1, "people = [\"olga\"]");
    for signers in [&["alice"][..], &["sam"], &["sam", "alice"]] {
        let mut policy = policy();
        add(&mut policy, &text, signers).unwrap();
        add(&mut policy, &text, signers).unwrap(); // Known: nothing changes.
        assert_eq!((policy.stops().count(), policy.highest_stop()), (1, 1));
        assert_eq!(policy.stop_files().next().unwrap().bytes, text.as_bytes());
    }
    for signers in [&[][..], &["bob"], &["mallory"]] {
        refused(add(&mut policy(), &text, signers), Reason::StopUnderSigned);
    }
    refused(
        add(&mut policy(), "not = [toml", &["bob"]),
        Reason::StopUnderSigned,
    );
    let other = signed(&text, Namespace::Release, &["sam"]);
    refused(policy().add_stop(&other, NOW), Reason::SignatureNamespace);
}

#[test]
fn what_a_statement_may_not_say() {
    let good = stop_text(1, "people = [\"olga\"]");
    for (from, to, reason) in [
        ("people = [\"olga\"]", "", Reason::StopEmpty),
        ("people = [\"olga\"]", "people = []", Reason::StopEmpty),
        (
            "people = [\"olga\"]",
            "roles = [\"on-call\"]",
            Reason::FileMalformed,
        ),
        (
            "people = [\"olga\"]",
            "ssh_keys = [\"MD5:00\"]",
            Reason::NameMalformed,
        ),
        ("\"payments\"", "\"search\"", Reason::FileProject),
        ("narthex/stop/v1", "narthex/release/v1", Reason::FileSchema),
        (
            "2026-11-21T11:00:00Z",
            "2026-11-21T12:01:00.001Z",
            Reason::StopNotYetValid,
        ),
    ] {
        refused(add(&mut policy(), &with(&good, from, to), &["sam"]), reason);
    }
    add(
        &mut policy(),
        &with(&good, "2026-11-21T11:00:00Z", "2026-11-21T12:01:00Z"),
        &["sam"],
    )
    .unwrap();
}

#[test]
fn a_stopped_release() {
    for (lines, stopped) in [
        (
            "releases = [{ name = \"payments-api\", version = \"1.0\" }]",
            true,
        ),
        ("releases = [{ name = \"payments-api\" }]", true),
        (
            "releases = [{ name = \"payments-api\", version = \"1.1\" }]",
            false,
        ),
        ("releases = [{ name = \"payments\" }]", false),
    ] {
        let mut policy = released();
        policy.add_stop(&stop_file(lines), NOW).unwrap();
        match stopped {
            true => refused(policy.release_for(&IMAGE, NOW), Reason::ReleaseStopped),
            false => drop(policy.release_for(&IMAGE, NOW).unwrap()),
        }
    }
}

#[test]
fn a_stopped_person_or_ssh_key_asks_approves_and_releases_nothing() {
    let fingerprint = key("olga").public_key().fingerprint();
    for lines in [
        "people = [\"olga\"]".to_owned(),
        format!("ssh_keys = [\"{fingerprint}\"]"),
    ] {
        let mut policy = released();
        let order = signed_read(read_order());
        let authorised = policy.authorise_order(&order, &context(NOW)).unwrap();
        policy.add_stop(&stop_file(&lines), NOW).unwrap();
        refused(
            policy.authorise_order(&order, &context(NOW)),
            Reason::PersonStopped,
        );
        // An order that was authorised a moment before is no way around it.
        let call = Call {
            order: *authorised.digest(),
            counter: 0,
            session: SESSION,
            action: Action::Health,
            parameters: Parameters::None,
        };
        let bytes = call.encode();
        let signature = key("olga").sign(Namespace::Call, &bytes).unwrap();
        let call = SignedCall { bytes, signature };
        refused(
            policy.authorise_call(&authorised, &call, &SESSION, NOW),
            Reason::PersonStopped,
        );
    }
    let mut policy = released();
    policy
        .add_stop(&stop_file("people = [\"alice\"]"), NOW)
        .unwrap();
    let order = signed_write(write_order(Action::RestartWorkload), &["alice"]);
    refused(
        policy.authorise_order(&order, &context(NOW)),
        Reason::PersonStopped,
    );
    let mut policy = super::world::policy();
    policy
        .add_stop(&stop_file("people = [\"rita\"]"), NOW)
        .unwrap();
    let release = release_file(1, "1.0", ReleaseStatus::Current);
    refused(
        policy.add_release(&release, NOW).map(|_| ()),
        Reason::PersonStopped,
    );
}

/// A person with two keys, one of which was lost and stopped, still counts by the other, whichever
/// signature stands first: whoever found the key could otherwise spoil what its owner signs.
#[test]
fn a_stopped_key_does_not_hide_the_other_key_of_the_same_person() {
    let lost = key("alice").public_key().fingerprint();
    let mut policy = released();
    policy
        .add_stop(&stop_file(&format!("ssh_keys = [\"{lost}\"]")), NOW)
        .unwrap();
    for approvers in [["alice", "alice2"], ["alice2", "alice"]] {
        let order = signed_write(write_order(Action::RestartWorkload), &approvers);
        let admitted = policy.admit_order(&order, NOW).unwrap();
        let counted: Vec<_> = admitted.approvers().iter().collect();
        assert_eq!(counted.len(), 1);
        assert_eq!(
            counted[0].fingerprint,
            key("alice2").public_key().fingerprint()
        );
    }
    let order = signed_write(write_order(Action::RestartWorkload), &["alice"]);
    refused(policy.admit_order(&order, NOW), Reason::PersonStopped);
}

/// Stops do not reach reviewing, nor further stops: nobody silences the others by being first.
#[test]
fn reviewers_and_stop_signers_go_on() {
    let mut policy = policy();
    add(
        &mut policy,
        &stop_text(1, "people = [\"alice\", \"bob\", \"sam\"]"),
        &["sam"],
    )
    .unwrap();
    add(&mut policy, &stop_text(2, "people = [\"olga\"]"), &["sam"]).unwrap();
    let next = signed(
        &next_text(&genesis_text()),
        Namespace::Policy,
        &["alice", "bob"],
    );
    policy.succeed(&next, NOW).unwrap();
    assert_eq!(policy.highest_stop(), 2);
}

/// Two people in haste use one number: both statements hold.
#[test]
fn one_serial_twice() {
    let mut policy = released();
    add(&mut policy, &stop_text(1, "people = [\"olga\"]"), &["sam"]).unwrap();
    add(
        &mut policy,
        &stop_text(1, "releases = [{ name = \"payments-api\" }]"),
        &["alice"],
    )
    .unwrap();
    refused(policy.release_for(&IMAGE, NOW), Reason::ReleaseStopped);
    assert_eq!(policy.stops().count(), 2);
}

#[test]
fn only_the_reviewers_lift_a_stop() {
    let mut policy = released();
    let stop = stop_file("releases = [{ name = \"payments-api\" }]");
    policy.add_stop(&stop, NOW).unwrap();
    // A bundle that says nothing about it, and drops its signer, leaves it in force.
    let without_sam = with(
        &next_text(&genesis_text()),
        "[\"alice\", \"sam\"]",
        "[\"alice\"]",
    );
    policy
        .succeed(
            &signed(&without_sam, Namespace::Policy, &["alice", "bob"]),
            NOW,
        )
        .unwrap();
    refused(policy.release_for(&IMAGE, NOW), Reason::ReleaseStopped);
    let lifting = with(
        &next_text(&without_sam),
        "signers = [\"alice\"]\nthreshold = 1",
        &format!(
            "signers = [\"alice\"]\nthreshold = 1\nlifted = [\"{}\"]",
            stop.digest()
        ),
    );
    policy
        .succeed(&signed(&lifting, Namespace::Policy, &["alice", "bob"]), NOW)
        .unwrap();
    policy.release_for(&IMAGE, NOW).unwrap();
}

/// What was signed by somebody who may stop nothing any more comes last, what has no effect not at all: a new agent
/// could judge neither.
#[test]
fn the_newest_stops_that_count_are_handed_out_first() {
    let mut policy = policy();
    let people = ["olga", "oscar", "keith", "rita"];
    let texts: Vec<_> = (1..)
        .zip(people)
        .map(|(serial, person)| stop_text(serial, &format!("people = [\"{person}\"]")))
        .collect();
    for (text, signer) in texts.iter().zip(["alice", "sam", "sam", "alice"]) {
        add(&mut policy, text, &[signer]).unwrap();
    }
    let order = |policy: &Policy| -> Vec<usize> {
        let place = |file: &SignedFile| texts.iter().position(|text| text.as_bytes() == file.bytes);
        policy
            .stop_files()
            .map(|file| place(file).unwrap())
            .collect()
    };
    assert_eq!(order(&policy), [3, 2, 1, 0]);
    let lifted = signed(&texts[0], Namespace::Stop, &[]).digest();
    let next = with(
        &next_text(&genesis_text()),
        "signers = [\"alice\", \"sam\"]\nthreshold = 1",
        &format!("signers = [\"alice\"]\nthreshold = 1\nlifted = [\"{lifted}\"]"),
    );
    policy
        .succeed(&signed(&next, Namespace::Policy, &["alice", "bob"]), NOW)
        .unwrap();
    assert_eq!(order(&policy), [3, 2, 1]);
    assert_eq!(policy.stops().count(), 4, "none is forgotten");
    let mut policy = super::world::policy();
    for (text, signer) in texts.iter().zip(["alice", "sam", "alice", "sam"]) {
        add(&mut policy, text, &[signer]).unwrap();
    }
    policy
        .succeed(&signed(&next, Namespace::Policy, &["alice", "bob"]), NOW)
        .unwrap();
    assert_eq!(order(&policy), [2, 3, 1]);
}

#[test]
fn the_number_of_stops_is_bounded() {
    use crate::policy::MAX_STOPS;
    let mut policy = policy();
    let file = stop_file("people = [\"olga\"]");
    policy.fill_stops_for_test(&file, "alice", MAX_STOPS);
    refused(
        add(&mut policy, &stop_text(2, "people = [\"olga\"]"), &["sam"]),
        Reason::StopTooMany,
    );
}

#[test]
fn one_person_does_not_use_up_the_room_for_stops() {
    use crate::policy::MAX_STOPS_PER_PERSON;
    let mut policy = policy();
    let file = stop_file("people = [\"olga\"]");
    policy.fill_stops_for_test(&file, "sam", MAX_STOPS_PER_PERSON - 1);
    let stop = |serial| stop_text(serial, "people = [\"sam\"]");
    add(&mut policy, &stop(2), &["sam"]).unwrap();
    refused(add(&mut policy, &stop(3), &["sam"]), Reason::StopTooMany);
    add(&mut policy, &stop(3), &["alice"]).unwrap();
}

/// A stop reaches statements to come; what somebody signed before stays until it is revoked.
#[test]
fn releases_outlive_a_stop_of_their_signer() {
    let mut policy = released();
    policy
        .add_stop(&stop_file("people = [\"rita\"]"), NOW)
        .unwrap();
    let next = signed(
        &next_text(&genesis_text()),
        Namespace::Policy,
        &["alice", "bob"],
    );
    assert_eq!(policy.succeed(&next, NOW).unwrap().dropped_releases, []);
    policy.release_for(&IMAGE, NOW).unwrap();
    let another = release_file(2, "1.0", ReleaseStatus::Current);
    refused(
        policy.add_release(&another, NOW).map(|_| ()),
        Reason::PersonStopped,
    );
}
