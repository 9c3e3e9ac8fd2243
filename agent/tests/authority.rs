//! The authority and the keyring, without IO: one rule broken at a time, at any time we like.

// A test's helpers may panic: that is how they say what they found.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]

mod world;

use narthex_agent::config::KeysConfig;
use narthex_agent::log::LogGuard;
use narthex_agent::supervisor::authority::{Authority, KeysWithheld, Now};
use narthex_agent::supervisor::keyring::{Judges, KeyFailure, Keyring, SentRequest};
use narthex_agent::supervisor::policy_watch::{Changes, Intake};
use narthex_agent::supervisor::reason::CallRefusal;
use narthex_agent::supervisor::sessions::{Attested, SessionRefusal};
use narthex_agent::trusted_time::BootMillis;
use narthex_channel::diagnostics::{CallRequest, LogCheck, ReleaseState};
use narthex_channel::keys::{KeyAnswer, KeyOutcome, KeyRequestEnvelope};
use narthex_channel::policy::PolicyAnswer;
use narthex_channel::{
    Digest384, HandshakeHash, KeyName, Message, MessageError, ModuleId, ReasonId, SealError,
    SecretBytes, UnixMillis, commitment,
};
use narthex_ledger::LogReason;
use narthex_policy::{Action, BootId, Policy, Reason};
use world::peers::{answered, bytes, release, wire};
use world::{HOUR, What, World, identity, module_id, system_now};

const BOOT_ID: BootId = BootId([3; 16]);
const H: HandshakeHash = HandshakeHash::from_bytes([1; 32]);

/// An authority with one attested session.
struct Scene {
    world: World,
    authority: Authority,
    now: Now,
}

impl Scene {
    fn new(world: World, gate: &str) -> Self {
        let now = Now {
            trusted: UnixMillis(system_now().0),
            boot: BootMillis(0),
        };
        let policy = world.booted(&world.bundle(None), system_now());
        let mut config = world.config("");
        if gate == "slow" {
            config.gate.calls_per_minute = 2;
        }
        let mut authority = Authority::new(identity(BOOT_ID), policy, &config.gate, now);
        authority
            .add_release(&world.release(1, "current"), now)
            .unwrap();
        authority.open_session(1, H, now).unwrap();
        let attested = Attested {
            binding: Digest384::ZERO,
            document: Digest384::ZERO,
            document_bytes: 0,
            timestamp: now.trusted,
        };
        authority.session_attested(1, &H, attested).unwrap();
        Self {
            world,
            authority,
            now,
        }
    }

    fn later(&self, millis: u64) -> Now {
        let Now { trusted, boot } = self.now;
        Now {
            trusted: UnixMillis(trusted.0 + millis),
            boot: BootMillis(boot.0 + millis),
        }
    }

    fn read(&self, counter: u64) -> CallRequest {
        let order = self.world.read_order("olga");
        self.world
            .call(&order, "olga", H, What::read(Action::Health, counter))
    }

    fn write(&self, action: Action) -> CallRequest {
        let order = self.world.write_order(action.name(), &BOOT_ID);
        self.world.call(&order, "olga", H, What::write(action))
    }

    fn judge(&mut self, call: &CallRequest, now: Now) -> Result<Action, CallRefusal> {
        let judgement = self.authority.judge(1, &bytes(call), now);
        judgement.map(|call| call.action())
    }
}

fn refused(reason: Reason) -> Result<Action, CallRefusal> {
    Err(CallRefusal::Policy(reason))
}

#[test]
fn a_decision_is_in_the_chain_before_anything_is_done() {
    let mut scene = Scene::new(World::new(), "");
    let (head, accepted) = (
        scene.authority.chain().head(),
        scene.authority.chain().accepted(),
    );
    let call = scene.read(0);
    // What acts on calls takes the value that `judge` returns; by then the chain has grown.
    assert_eq!(scene.judge(&call, scene.now), Ok(Action::Health));
    assert_eq!(scene.authority.chain().accepted(), accepted + 1);
    assert_ne!(scene.authority.chain().head(), head);
    let head = scene.authority.chain().head();
    assert_eq!(
        scene.judge(&call, scene.now),
        refused(Reason::CallCounterReused)
    );
    assert_eq!(scene.authority.chain().refused(), 1);
    assert_ne!(scene.authority.chain().head(), head);
}

#[test]
fn times_are_trusted_times() {
    let mut scene = Scene::new(World::new(), "");
    let call = scene.read(0);
    // The order was issued an hour ago and lives for ten.
    let late = scene.later(9 * HOUR + 2000);
    assert_eq!(scene.judge(&call, late), refused(Reason::OrderExpired));
    let early = Now {
        trusted: UnixMillis(scene.world.issued.0 - HOUR),
        boot: BootMillis(0),
    };
    assert_eq!(
        scene.judge(&call, early),
        Err(CallRefusal::Log(LogReason::Future))
    );
    let mut without = Scene::new(World::without_ledger(), "");
    let unlogged = without.read(0);
    assert_eq!(
        without.judge(&unlogged, early),
        refused(Reason::OrderNotYetValid)
    );
    assert_eq!(scene.judge(&call, scene.now), Ok(Action::Health));
}

#[test]
fn a_write_order_needs_its_approval_and_its_delay() {
    let mut scene = Scene::new(World::new(), "");
    let call = scene.write(Action::Shutdown);
    let soon = Now {
        trusted: UnixMillis(scene.world.issued.0 + 1000),
        boot: BootMillis(0),
    };
    assert_eq!(scene.judge(&call, soon), refused(Reason::OrderDelay));
    let order = scene.world.write_order("shutdown", &BOOT_ID);
    let alone = What {
        approvers: &[],
        ..What::write(Action::Shutdown)
    };
    let alone = scene.world.call(&order, "olga", H, alone);
    assert_eq!(
        scene.judge(&alone, scene.now),
        refused(Reason::OrderUnderApproved)
    );
    assert_eq!(scene.judge(&call, scene.now), Ok(Action::Shutdown));
    assert_eq!(
        scene.judge(&call, scene.now),
        refused(Reason::CallCounterReused)
    );
}

#[test]
fn roles_decide() {
    let mut scene = Scene::new(World::new(), "");
    let order = scene
        .world
        .write_order("shutdown", &BOOT_ID)
        .replace("\"olga\"", "\"oscar\"");
    let call = scene
        .world
        .call(&order, "oscar", H, What::write(Action::Shutdown));
    assert_eq!(scene.judge(&call, scene.now), refused(Reason::OrderRole));
}

#[test]
fn an_order_for_another_enclave_or_boot_is_refused() {
    let mut scene = Scene::new(World::new(), "");
    let elsewhere = module_id().replace("-enc0", "-enc1");
    let order = scene
        .world
        .read_order("olga")
        .replace(&module_id(), &elsewhere);
    let call = scene
        .world
        .call(&order, "olga", H, What::read(Action::Health, 0));
    assert_eq!(
        scene.judge(&call, scene.now),
        refused(Reason::OrderWrongEnclave)
    );
    let order = scene.world.write_order("shutdown", &BootId([4; 16]));
    let call = scene
        .world
        .call(&order, "olga", H, What::write(Action::Shutdown));
    assert_eq!(
        scene.judge(&call, scene.now),
        refused(Reason::OrderWrongBoot)
    );
}

#[test]
fn an_expired_bundle_stops_writing_and_not_reading() {
    let mut world = World::new();
    world.bundle_expires = narthex_policy::UnixMillis(world.issued.0 + 2 * HOUR);
    let mut scene = Scene::new(world, "");
    let late = scene.later(2 * HOUR);
    assert!(!scene.authority.is_expired(scene.now));
    assert!(scene.authority.is_expired(late));
    let (write, read) = (scene.write(Action::Shutdown), scene.read(0));
    assert_eq!(scene.judge(&write, late), refused(Reason::BundleExpired));
    assert_eq!(scene.judge(&read, late), Ok(Action::Health));
}

#[test]
fn a_revoked_release_may_be_read_and_shut_down_only() {
    let mut scene = Scene::new(World::new(), "");
    assert_eq!(
        scene.authority.release_state(scene.now),
        ReleaseState::Current
    );
    let now = scene.now;
    scene
        .authority
        .add_release(&scene.world.release(2, "revoked"), now)
        .unwrap();
    assert_eq!(scene.authority.release_state(now), ReleaseState::Revoked);
    for action in [Action::RestartWorkload, Action::ReloadKeys] {
        let call = scene.write(action);
        assert_eq!(
            scene.judge(&call, now),
            Err(CallRefusal::ReleaseRevoked),
            "{action}"
        );
    }
    let (read, shutdown) = (scene.read(0), scene.write(Action::Shutdown));
    assert_eq!(scene.judge(&read, now), Ok(Action::Health));
    assert_eq!(scene.judge(&shutdown, now), Ok(Action::Shutdown));
}

#[test]
fn a_stopped_person_is_refused_at_once() {
    let mut scene = Scene::new(World::new(), "");
    let (first, second, now) = (scene.read(0), scene.read(1), scene.now);
    assert_eq!(scene.judge(&first, now), Ok(Action::Health));
    scene
        .authority
        .add_stop(&scene.world.stop_person(1, "olga"), now)
        .unwrap();
    assert_eq!(scene.judge(&second, now), refused(Reason::PersonStopped));
}

#[test]
fn operators_are_limited_in_rate_each_for_themselves() {
    let mut scene = Scene::new(World::new(), "slow");
    let now = scene.now;
    for counter in 0..2 {
        let call = scene.read(counter);
        assert_eq!(scene.judge(&call, now), Ok(Action::Health));
    }
    let call = scene.read(2);
    assert_eq!(scene.judge(&call, now), Err(CallRefusal::RateLimited));
    let order = scene.world.read_order("oscar");
    let oscar = scene
        .world
        .call(&order, "oscar", H, What::read(Action::Health, 0));
    assert_eq!(scene.judge(&oscar, now), Ok(Action::Health));
    // What was refused for its rate is not used up.
    assert_eq!(scene.judge(&call, scene.later(31_000)), Ok(Action::Health));
}

#[test]
fn sessions_are_looked_up_and_bytes_are_read_strictly() {
    let mut scene = Scene::new(World::new(), "");
    let call = bytes(&scene.read(0));
    let now = scene.now;
    let refusal = |judgement: Result<_, CallRefusal>| {
        judgement
            .map(|_: narthex_policy::FreshCall| ())
            .unwrap_err()
    };
    let unknown = refusal(scene.authority.judge(2, &call, now));
    assert_eq!(unknown, CallRefusal::Session(SessionRefusal::Unknown));
    scene
        .authority
        .open_session(3, HandshakeHash::from_bytes([3; 32]), now)
        .unwrap();
    let unattested = refusal(scene.authority.judge(3, &call, now));
    assert_eq!(
        unattested,
        CallRefusal::Session(SessionRefusal::NotAttested)
    );
    let cut = refusal(scene.authority.judge(1, &call[..call.len() - 1], now));
    assert!(
        matches!(cut, CallRefusal::Message(MessageError::Malformed { .. })),
        "{cut:?}"
    );
}

/// A gate that gives a number to another session while the first one's document is being made.
#[test]
fn a_document_counts_for_the_session_it_was_made_for() {
    let mut scene = Scene::new(World::new(), "");
    let (h2, now) = (HandshakeHash::from_bytes([2; 32]), scene.now);
    let attested = *scene.authority.session(1).unwrap().attested().unwrap();
    scene.authority.close_session(1);
    scene.authority.open_session(1, h2, now).unwrap();
    let late = scene.authority.session_attested(1, &H, attested);
    assert_eq!(late, Err(SessionRefusal::Unknown));
    scene.authority.abandon_session(1, &H);
    let session = scene.authority.session(1).expect("the other session stays");
    assert!(session.attested().is_none());
    scene.authority.abandon_session(1, &h2);
    assert!(scene.authority.session(1).is_none());
}

#[test]
fn the_statement_says_what_is_in_force() {
    let mut scene = Scene::new(World::new(), "");
    let statement = scene.authority.statement(scene.now);
    assert_eq!(statement.log_check, LogCheck::Required);
    assert_eq!(statement.bundle_in_force.version, 1);
    assert_eq!(statement.chain_head, scene.authority.chain().head());
    let first = scene.world.bundle(None);
    let second = scene.world.bundle(Some((&first, 1)));
    let currency = scene.world.currency(&second);
    scene
        .authority
        .succeed(
            std::slice::from_ref(&second),
            currency.as_deref(),
            scene.now,
        )
        .unwrap();
    let after = scene.authority.statement(scene.now);
    assert_eq!(after.boot_bundle, statement.boot_bundle);
    assert_eq!(after.bundle_in_force.version, 2);
    assert_ne!(after.bundle_in_force.digest, after.boot_bundle);
    // A rollback is refused, and recorded.
    let refused = scene.authority.chain().refused();
    let currency = scene.world.currency(&first);
    let error = scene
        .authority
        .succeed(std::slice::from_ref(&first), currency.as_deref(), scene.now)
        .unwrap_err();
    assert_eq!(error.id(), Reason::BundleRolledBack.id());
    assert_eq!(scene.authority.chain().refused(), refused + 1);
}

#[test]
fn what_was_refused_is_not_judged_twice_and_what_was_taken_is_not_asked_for() {
    let mut scene = Scene::new(World::new(), "");
    let first = scene.world.bundle(None);
    let under_signed = scene.world.bundle_signed_by(Some((&first, 1)), &["alice"]);
    let release = scene.world.release(2, "previous");
    let answer = scene.world.answer(&[&under_signed], &[&release]);
    let mut intake = Intake::default();
    let taken = intake.take(&answer, &mut scene.authority, scene.now);
    assert_eq!(
        taken,
        Changes {
            releases: 1,
            ..Changes::default()
        }
    );
    assert!(intake.known().contains(&Digest384::of(&release.bytes)));
    let decisions = scene.authority.chain().head();
    let again = intake.take(&answer, &mut scene.authority, scene.now);
    assert_eq!(again, Changes::default());
    assert_eq!(
        scene.authority.chain().head(),
        decisions,
        "nothing was decided again"
    );
    let signed = scene.world.bundle(Some((&first, 1)));
    let answer = PolicyAnswer {
        bundles: vec![wire(&signed)],
        ..answer
    };
    let taken = intake.take(&answer, &mut scene.authority, scene.now);
    assert_eq!(taken.bundles, 1);
}

#[test]
fn an_agent_two_bundles_behind_catches_up() {
    let mut scene = Scene::new(World::new(), "");
    let first = scene.world.bundle(None);
    let issued = scene.world.issued.0;
    scene.world.bundle_expires.0 = issued + 2 * HOUR;
    let second = scene.world.bundle(Some((&first, 1)));
    scene.world.bundle_expires.0 = issued + 100 * HOUR;
    let third = scene.world.bundle(Some((&second, 2)));
    let now = scene.later(3 * HOUR);
    let answers = [
        scene.world.answer(&[&second], &[]),
        scene.world.answer(&[&first, &second, &third], &[]),
    ];
    let mut intake = Intake::default();
    // The one between alone is of no use, and having seen it must not be in the way.
    let taken = intake.take(&answers[0], &mut scene.authority, now);
    assert_eq!(taken.bundles, 0);
    let taken = intake.take(&answers[1], &mut scene.authority, now);
    assert_eq!(taken.bundles, 2);
    assert_eq!(scene.authority.policy().version(), 3);
}

/// A stop statement whose signer's clock runs ahead takes effect once its time has come.
#[test]
fn what_was_not_yet_valid_is_judged_again() {
    let mut scene = Scene::new(World::new(), "");
    scene.world.issued.0 += 2 * HOUR;
    let answer = PolicyAnswer {
        bundles: Vec::new(),
        releases: Vec::new(),
        stops: vec![wire(&scene.world.stop_person(1, "olga"))],
        currency: None,
    };
    let mut intake = Intake::default();
    let taken = intake.take(&answer, &mut scene.authority, scene.now);
    assert_eq!(taken.stops, 0);
    let now = scene.later(3 * HOUR);
    let taken = intake.take(&answer, &mut scene.authority, now);
    assert_eq!(taken.stops, 1);
}

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

fn wanted(version: &str) -> KeysConfig {
    toml::from_str(&format!(
        "service = \"vsock:3:1\"\n[[key]]\nname = \"db\"\n{version}"
    ))
    .unwrap()
}

/// A policy that commits to these versions of the key `db`, each being `KEY`.
fn committed(versions: &[u32]) -> Policy {
    committed_by(&mut World::new(), versions)
}

fn committed_by(world: &mut World, versions: &[u32]) -> Policy {
    let name = KeyName::new("db").unwrap();
    let list: Vec<String> = versions
        .iter()
        .map(|version| {
            let digest = commitment(&name, *version, &SecretBytes::copied_from(KEY));
            format!("{{ version = {version}, sha384 = \"{digest}\" }}")
        })
        .collect();
    world
        .commitments
        .push(("db".to_owned(), 77, "ab".repeat(48)));
    let bundle = world.bundle_signed_by(None, &[]);
    let text = String::from_utf8(bundle.bytes).unwrap();
    let placeholder = format!("{{ version = 77, sha384 = \"{}\" }}", "ab".repeat(48));
    let text = text.replace(&placeholder, &list.join(", "));
    let bytes = text.into_bytes();
    let sign = |name| world.sign(name, narthex_policy::Namespace::Policy, &bytes);
    let signatures = vec![sign("alice"), sign("bob")];
    let file = narthex_policy::SignedFile { bytes, signatures };
    Policy::from_anchor(&world.config("").trust, &[file], system_now()).unwrap()
}

/// Asks, has `answer` made of the envelope, and receives it.
fn fetch(
    keyring: &mut Keyring,
    policy: &Policy,
    session: HandshakeHash,
    answer: impl FnOnce(&KeyRequestEnvelope) -> KeyAnswer,
) -> Result<(), KeyFailure> {
    let pending = keyring.request(vec![1]).unwrap();
    let envelope = pending.envelope(vec![2]).unwrap();
    let envelope = KeyRequestEnvelope::from_bytes(&envelope).unwrap();
    let answer = bytes(&answer(&envelope));
    let sent = SentRequest {
        handshake_hash: session,
        document: vec![2],
    };
    // What the log has to say about keys: `tests/log.rs`.
    let judges = Judges {
        module_id: &ModuleId::new(&module_id()).unwrap(),
        policy,
        log: &LogGuard::InsecureWithoutLedger,
        now: UnixMillis(5),
    };
    keyring
        .receive(&pending, &sent, &answer, &judges)
        .map(|seen| assert_eq!(seen, None))
}

#[test]
fn a_key_that_the_policy_commits_to_is_held_until_it_is_wiped() {
    let mut keyring = Keyring::new(&wanted("")).unwrap();
    assert!(!keyring.is_complete());
    fetch(&mut keyring, &committed(&[1]), H, |envelope| {
        release(envelope, &H, KEY)
    })
    .unwrap();
    assert!(keyring.is_complete());
    let held = keyring.held(&KeyName::new("db").unwrap()).unwrap();
    assert_eq!(
        (held.version, held.bytes.as_bytes(), held.received),
        (1, KEY, UnixMillis(5))
    );
    keyring.wipe();
    assert!(!keyring.is_complete());
}

#[test]
fn a_stopped_key_is_not_taken_whatever_the_service_says() {
    let mut world = World::new();
    let mut policy = committed_by(&mut world, &[1]);
    policy
        .add_stop(&world.stop_key(1, "db"), system_now())
        .unwrap();
    let mut keyring = Keyring::new(&wanted("")).unwrap();
    let taken = fetch(&mut keyring, &policy, H, |envelope| {
        release(envelope, &H, KEY)
    });
    assert_eq!(taken, Err(KeyFailure::Stopped));
    assert!(!keyring.is_complete());
}

#[test]
fn keys_are_withheld_by_the_policy_as_it_is_now() {
    let mut scene = Scene::new(World::new(), "");
    assert_eq!(scene.authority.may_have_keys(scene.now), Ok(()));
    let release_expired = scene.later(100 * HOUR);
    assert_eq!(
        scene.authority.may_have_keys(release_expired),
        Err(KeysWithheld::Release(ReleaseState::Expired))
    );
    let policy_expired = scene.later(1000 * HOUR);
    assert_eq!(
        scene.authority.may_have_keys(policy_expired),
        Err(KeysWithheld::PolicyExpired)
    );
    let revoked = scene.world.release(2, "revoked");
    scene.authority.add_release(&revoked, scene.now).unwrap();
    assert_eq!(
        scene.authority.may_have_keys(scene.now),
        Err(KeysWithheld::Release(ReleaseState::Revoked))
    );
}

#[test]
fn every_other_answer_is_refused_and_what_is_held_stays() {
    let policy = committed(&[1, 2]);
    let mut keyring = Keyring::new(&wanted("")).unwrap();
    let versioned = |version: u32| {
        move |envelope: &KeyRequestEnvelope| {
            let mut request = envelope.key_request().unwrap();
            request.keys[0].version = Some(version);
            let request = bytes(&request);
            release(
                &KeyRequestEnvelope {
                    document: vec![2],
                    request,
                },
                &H,
                KEY,
            )
        }
    };
    fetch(&mut keyring, &policy, H, versioned(2)).unwrap();
    let other_session = HandshakeHash::from_bytes([9; 32]);
    let reason = ReasonId::from_static("key.account");
    type Answer = Box<dyn FnOnce(&KeyRequestEnvelope) -> KeyAnswer>;
    let cases: Vec<(Answer, KeyFailure)> = vec![
        (Box::new(versioned(1)), KeyFailure::OlderVersion),
        (Box::new(versioned(3)), KeyFailure::NoCommitment),
        (
            Box::new(|envelope| {
                let mut request = envelope.key_request().unwrap();
                request.keys[0].version = Some(2);
                let request = bytes(&request);
                release(
                    &KeyRequestEnvelope {
                        document: vec![2],
                        request,
                    },
                    &H,
                    b"another key",
                )
            }),
            KeyFailure::WrongCommitment,
        ),
        (
            Box::new(move |envelope| release(envelope, &other_session, KEY)),
            KeyFailure::OlderVersion,
        ),
        (
            Box::new({
                let reason = reason.clone();
                move |_| answered(KeyOutcome::Refused { reason })
            }),
            KeyFailure::RefusedByService(reason),
        ),
        (
            Box::new(|envelope| {
                let mut request = envelope.key_request().unwrap();
                request.keys[0].name = KeyName::new("other").unwrap();
                let request = bytes(&request);
                release(
                    &KeyRequestEnvelope {
                        document: vec![2],
                        request,
                    },
                    &H,
                    KEY,
                )
            }),
            KeyFailure::OtherKeys,
        ),
    ];
    for (answer, expected) in cases {
        assert_eq!(fetch(&mut keyring, &policy, H, answer), Err(expected));
        let held = keyring.held(&KeyName::new("db").unwrap()).unwrap();
        assert_eq!((held.version, held.bytes.as_bytes()), (2, KEY));
    }
}

#[test]
fn an_envelope_of_another_session_does_not_open() {
    let mut keyring = Keyring::new(&wanted("")).unwrap();
    let other = HandshakeHash::from_bytes([9; 32]);
    let result = fetch(&mut keyring, &committed(&[1]), H, |envelope| {
        release(envelope, &other, KEY)
    });
    assert_eq!(result, Err(KeyFailure::Seal(SealError::Open)));
}

#[test]
fn a_wanted_version_is_the_only_one_taken() {
    let mut keyring = Keyring::new(&wanted("version = 2")).unwrap();
    let policy = committed(&[1, 2]);
    let result = fetch(&mut keyring, &policy, H, |envelope| {
        let mut request = envelope.key_request().unwrap();
        request.keys[0].version = Some(1);
        let request = bytes(&request);
        release(
            &KeyRequestEnvelope {
                document: vec![2],
                request,
            },
            &H,
            KEY,
        )
    });
    assert_eq!(result, Err(KeyFailure::OtherVersion));
    fetch(&mut keyring, &policy, H, |envelope| {
        release(envelope, &H, KEY)
    })
    .unwrap();
}
