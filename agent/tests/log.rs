//! No proof, no action: each way to forge, reuse, freeze, alter or withhold what the log says, with the reason that it
//! is refused for. Real keys, real proofs, any time we like.

// A test's helpers may panic: that is how they say what they found.
#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod world;

use narthex_agent::config::KeysConfig;
use narthex_agent::log::{LogChecks, LogGuard, LogRule, LogTime, LoggedPolicy, ReleasedKeys};
use narthex_agent::supervisor::authority::{Authority, Now};
use narthex_agent::supervisor::keyring::{Judges, KeyFailure, Keyring, SentRequest};
use narthex_agent::supervisor::policy_watch::Intake;
use narthex_agent::supervisor::reason::CallRefusal;
use narthex_agent::supervisor::sessions::Attested;
use narthex_agent::trusted_time::BootMillis;
use narthex_channel::diagnostics::{CallRequest, LogCheck};
use narthex_channel::keys::{KeyAnswer, KeyOutcome, KeyRequestEnvelope};
use narthex_channel::{
    Digest384, HandshakeHash, KeyName, Message, ModuleId, SecretBytes, UnixMillis, commitment,
};
use narthex_ledger::{Decision, Entry, LogReason, OrderExtra, Proof, Salt, SignedNote};
use narthex_policy::{Action, BootId, Policy, Reason, SignedFile, SignedOrder};
use world::log::{TestLog, order_entry, parse, release_entry, text};
use world::peers::{bytes, release, wire};
use world::{HOUR, What, World, identity, module_id, system_now};

const BOOT_ID: BootId = BootId([3; 16]);
const H: HandshakeHash = HandshakeHash::from_bytes([1; 32]);
const MINUTE: u64 = 60_000;

/// An authority with one attested session.
struct Scene {
    world: World,
    bundle: SignedFile,
    authority: Authority,
    now: Now,
}

impl Scene {
    fn new(log: TestLog) -> Self {
        let world = World::with_log(log);
        let now = Now {
            // Whole seconds, as witnesses have them.
            trusted: UnixMillis(system_now().0 / 1000 * 1000),
            boot: BootMillis(0),
        };
        let bundle = world.bundle(None);
        let policy = world.booted(&bundle, system_now());
        let config = world.config("");
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
            bundle,
            authority,
            now,
        }
    }

    /// Two witnesses, both of which must sign.
    fn two() -> Self {
        Self::new(TestLog::new(2, 2))
    }

    fn later(&self, millis: u64) -> Now {
        let Now { trusted, boot } = self.now;
        Now {
            trusted: UnixMillis(trusted.0 + millis),
            boot: BootMillis(boot.0 + millis),
        }
    }

    fn read(&self) -> CallRequest {
        let order = self.world.read_order("olga");
        let what = What::read(Action::Health, 0);
        self.world.call(&order, "olga", H, what)
    }

    fn write(&self) -> CallRequest {
        let order = self.world.write_order("shutdown", &BOOT_ID);
        let what = What::write(Action::Shutdown);
        self.world.call(&order, "olga", H, what)
    }

    /// The call with its order logged anew, and cosigned at these times.
    fn logged_at(&self, mut call: CallRequest, millis: &[u64]) -> CallRequest {
        let SignedOrder {
            bytes,
            signature,
            approvals,
        } = order_of(&call);
        let (entry, extra) = order_entry(&bytes, &signature, &approvals, self.world.issued.0);
        let mut log = self.world.log();
        let index = log.append(Entry::Order(entry).to_leaf().unwrap());
        let note = log.checkpoint_at(millis);
        call.log_proof = Some(text(&log.prove(index, extra, note)));
        call
    }

    fn judge(&mut self, call: &CallRequest, now: Now) -> Result<Action, CallRefusal> {
        let judgement = self.authority.judge(1, &bytes(call), now);
        judgement.map(|call| call.action())
    }

    /// The reason for which the log's checks refuse the call; nothing else may.
    fn log_refusal(&mut self, call: &CallRequest) -> LogReason {
        let refused = self.authority.chain().refused();
        match self.judge(call, self.now) {
            Err(CallRefusal::Log(reason)) => {
                let after = self.authority.chain().refused();
                assert_eq!(after, refused + 1, "every refusal is recorded");
                reason
            }
            other => panic!("{other:?}"),
        }
    }
}

fn order_of(call: &CallRequest) -> SignedOrder {
    SignedOrder {
        bytes: call.order.clone(),
        signature: call.order_signature.as_str().to_owned(),
        approvals: call
            .approvals
            .iter()
            .map(|approval| approval.as_str().to_owned())
            .collect(),
    }
}

fn with_proof(call: &CallRequest, change: impl FnOnce(&mut Proof)) -> CallRequest {
    let mut proof = parse(call.log_proof.as_deref().unwrap());
    change(&mut proof);
    CallRequest {
        log_proof: Some(text(&proof)),
        ..call.clone()
    }
}

/// The note without the signatures of those whose names contain `name`.
fn without(note: &SignedNote, name: &str) -> SignedNote {
    note.with_only(|signature| !signature.name().contains(name))
}

#[test]
fn an_order_that_is_in_the_log_is_acted_on_and_shows() {
    let mut scene = Scene::two();
    let statement = scene.authority.statement(scene.now);
    assert_eq!(statement.log_check, LogCheck::Required);
    let (read, write) = (scene.read(), scene.write());
    assert_eq!(scene.judge(&read, scene.now), Ok(Action::Health));
    assert_eq!(scene.judge(&write, scene.now), Ok(Action::Shutdown));
    // A proof is for its order as often as the order is for calls.
    assert_eq!(
        scene.judge(&read, scene.now),
        Err(CallRefusal::Policy(Reason::CallCounterReused))
    );
}

#[test]
fn without_a_proof_nothing_is_done() {
    let mut scene = Scene::two();
    for mut call in [scene.read(), scene.write()] {
        call.log_proof = None;
        assert_eq!(scene.log_refusal(&call), LogReason::ProofMissing);
    }
}

#[test]
fn each_part_of_a_proof_must_hold() {
    let mut scene = Scene::two();
    let call = scene.read();
    type Change = fn(&mut Proof);
    let cases: [(&str, Change, LogReason); 12] = [
        ("no extra", |proof| proof.extra = None, LogReason::Entry),
        (
            "other extra",
            |proof| proof.extra = Some(b"{}".to_vec()),
            LogReason::Entry,
        ),
        (
            "another time",
            |proof| {
                let mut extra = OrderExtra::from_bytes(proof.extra.as_ref().unwrap()).unwrap();
                extra.time += 1;
                proof.extra = Some(extra.to_bytes().unwrap());
            },
            LogReason::Inclusion,
        ),
        (
            "another salt",
            |proof| {
                let mut extra = OrderExtra::from_bytes(proof.extra.as_ref().unwrap()).unwrap();
                extra.salt = Salt([0; 32]);
                proof.extra = Some(extra.to_bytes().unwrap());
            },
            LogReason::Inclusion,
        ),
        (
            "another place",
            |proof| proof.index -= 1,
            LogReason::Inclusion,
        ),
        (
            "beyond the end",
            |proof| proof.index += 1,
            LogReason::Inclusion,
        ),
        (
            "another hash",
            |proof| proof.hashes[0].0[0] ^= 1,
            LogReason::Inclusion,
        ),
        (
            "a hash less",
            |proof| proof.hashes.truncate(proof.hashes.len() - 1),
            LogReason::Inclusion,
        ),
        (
            "a hash more",
            |proof| proof.hashes.push(proof.hashes[0]),
            LogReason::Inclusion,
        ),
        (
            "no log signature",
            |proof| proof.checkpoint = without(&proof.checkpoint, "agent-tests"),
            LogReason::Signature,
        ),
        (
            "one witness short",
            |proof| proof.checkpoint = without(&proof.checkpoint, "witness-1"),
            LogReason::Quorum,
        ),
        (
            "no witness",
            |proof| proof.checkpoint = without(&proof.checkpoint, "witness"),
            LogReason::Quorum,
        ),
    ];
    for (what, change, reason) in cases {
        let call = with_proof(&call, change);
        assert_eq!(scene.log_refusal(&call), reason, "{what}");
    }
    for garbage in [&b"proof"[..], b"\xff\xfe"] {
        let mut call = call.clone();
        call.log_proof = Some(garbage.to_vec());
        assert_eq!(scene.log_refusal(&call), LogReason::Malformed);
    }
    // The untouched proof still does.
    assert_eq!(scene.judge(&call, scene.now), Ok(Action::Health));
}

#[test]
fn no_single_changed_byte_passes() {
    let scene = Scene::two();
    let call = scene.read();
    let LogGuard::Required(checks) = scene.authority.log() else {
        panic!("no log");
    };
    let order = order_of(&call);
    let holds = |proof: &[u8]| {
        let opened = checks.open_order(Some(proof), scene.now.trusted)?;
        checks.check_order(opened, &order)
    };
    every_change_fails(&call.log_proof.unwrap(), |proof| holds(proof).is_ok());
    let currency = scene.world.currency(&scene.bundle).unwrap();
    every_change_fails(&currency, |proof| {
        let policy = scene.authority.policy();
        let now = scene.now.trusted;
        checks.check_currency(Some(proof), policy, &[], now).is_ok()
    });
}

fn every_change_fails(proof: &[u8], holds: impl Fn(&[u8]) -> bool) {
    assert!(holds(proof));
    for place in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[place] ^= 1;
        assert!(!holds(&changed), "byte {place} of {}", proof.len());
    }
    for length in 0..proof.len() {
        assert!(!holds(&proof[..length]), "cut after {length}");
    }
}

#[test]
fn another_key_another_log_another_fork() {
    let mut scene = Scene::two();
    let call = scene.read();
    let SignedOrder {
        bytes,
        signature,
        approvals,
    } = order_of(&call);
    let at = scene.world.issued.0;
    let by = |log: &mut TestLog| {
        let mut call = call.clone();
        call.log_proof = Some(text(&log.order(&bytes, &signature, &approvals, at)));
        call
    };
    // Somebody who has the witnesses on their side and not the log's key.
    let mut forged = scene.world.log().forged();
    let forged = by(&mut forged);
    assert_eq!(scene.log_refusal(&forged), LogReason::Signature);
    // Another log altogether.
    let mut other = scene.world.log().next_epoch();
    let other = by(&mut other);
    assert_eq!(scene.log_refusal(&other), LogReason::Origin);
    // Witnesses that nobody named.
    let strange = TestLog::new(2, 2).checkpoint(at);
    let strange = with_proof(&call, |proof| {
        let mut note = without(&proof.checkpoint, "witness");
        for signature in without(&strange, "agent-tests").signatures() {
            note.add(signature.clone()).unwrap();
        }
        proof.checkpoint = note;
    });
    assert_eq!(scene.log_refusal(&strange), LogReason::Quorum);
}

#[test]
fn a_proof_of_a_refused_order_proves_nothing() {
    let mut scene = Scene::two();
    let mut call = scene.write();
    let SignedOrder {
        bytes,
        signature,
        approvals,
    } = order_of(&call);
    let at = scene.world.issued.0;
    let (mut entry, extra) = order_entry(&bytes, &signature, &approvals, at);
    entry.decision = Decision::Refused {
        reason: "order.under_approved".to_owned(),
    };
    let proof = scene.world.log().log(Entry::Order(entry), extra, at);
    call.log_proof = Some(text(&proof));
    assert_eq!(scene.log_refusal(&call), LogReason::Inclusion);
}

#[test]
fn a_proof_counts_for_one_order_with_its_signature_and_its_approvals() {
    let mut scene = Scene::two();
    let write = scene.write();
    // Another order, of the same person.
    let restart = scene.world.write_order("restart-workload", &BOOT_ID);
    let what = What::write(Action::RestartWorkload);
    let mut other = scene.world.call(&restart, "olga", H, what);
    other.log_proof.clone_from(&write.log_proof);
    assert_eq!(scene.log_refusal(&other), LogReason::Inclusion);
    // The same order, approved by more, by fewer, by others than the log has seen.
    let order = scene.world.write_order("shutdown", &BOOT_ID);
    for approvers in [&["alice", "bob"][..], &["bob"]] {
        let what = What {
            approvers: Box::leak(approvers.to_vec().into_boxed_slice()),
            ..What::write(Action::Shutdown)
        };
        let mut call = scene.world.call(&order, "olga", H, what);
        call.log_proof.clone_from(&write.log_proof);
        assert_eq!(
            scene.log_refusal(&call),
            LogReason::Inclusion,
            "{approvers:?}"
        );
    }
    // Approvals come in any order.
    let what = What {
        approvers: &["alice", "bob"],
        ..What::write(Action::Shutdown)
    };
    let mut call = scene.world.call(&order, "olga", H, what);
    call.approvals.reverse();
    assert_eq!(scene.judge(&call, scene.now), Ok(Action::Shutdown));
}

#[test]
fn a_proof_is_for_one_enclave_and_one_boot() {
    let mut scene = Scene::two();
    let logged = |order: &str| {
        let what = What::write(Action::Shutdown);
        scene.world.call(order, "olga", H, what)
    };
    let order = scene.world.write_order("shutdown", &BOOT_ID);
    let elsewhere = logged(&order.replace(&module_id(), &module_id().replace("-enc0", "-enc1")));
    let earlier = logged(&scene.world.write_order("shutdown", &BootId([4; 16])));
    let mut here = logged(&order);
    for (call, reason) in [
        (elsewhere, Reason::OrderWrongEnclave),
        (earlier, Reason::OrderWrongBoot),
    ] {
        // As it was logged it is not for this enclave; as it is for this enclave it was not logged.
        assert_eq!(
            scene.judge(&call, scene.now),
            Err(CallRefusal::Policy(reason))
        );
        here.log_proof = call.log_proof;
        assert_eq!(scene.log_refusal(&here), LogReason::Inclusion);
    }
}

#[test]
fn the_delay_counts_from_the_moment_the_quorum_had_seen_the_order() {
    // The order says that it was issued an hour ago; its delay is five minutes.
    let mut scene = Scene::new(TestLog::new(3, 2));
    let now = scene.now.trusted.0;
    let ago = |minutes: u64| now - minutes * MINUTE;
    let too_soon = Err(CallRefusal::Policy(Reason::OrderDelay));
    for (times, expected) in [
        (vec![ago(4); 3], too_soon),
        // One witness with a slow clock, or bought, moves nothing; nor does one with a fast one.
        (vec![ago(30), ago(4), ago(4)], too_soon),
        (vec![ago(30), ago(5) + 1000, ago(0)], too_soon),
        (vec![ago(30), ago(5), ago(0)], Ok(Action::Shutdown)),
    ] {
        let call = scene.logged_at(scene.write(), &times);
        assert_eq!(scene.judge(&call, scene.now), expected, "{times:?}");
    }
}

#[test]
fn an_order_is_not_logged_in_the_future_nor_before_it_was_written() {
    let mut scene = Scene::new(TestLog::new(3, 2));
    let now = scene.now.trusted.0;
    for (times, expected) in [
        (
            vec![now + 61_000; 3],
            Err(CallRefusal::Log(LogReason::Future)),
        ),
        (
            vec![now, now + 61_000, now + 61_000],
            Err(CallRefusal::Log(LogReason::Future)),
        ),
        (
            vec![scene.world.issued.0 - 61_000; 3],
            Err(CallRefusal::Log(LogReason::Stale)),
        ),
        (vec![now, now, now + HOUR], Ok(Action::Health)),
    ] {
        let call = scene.logged_at(scene.read(), &times);
        assert_eq!(scene.judge(&call, scene.now), expected, "{times:?}");
    }
    // Within the skew of honest clocks, either way.
    for (number, times) in [[now + 60_000; 3], [scene.world.issued.0 - 60_000; 3]]
        .into_iter()
        .enumerate()
    {
        let order = scene.world.read_order("olga");
        let what = What::read(Action::Health, number as u64 + 1);
        let call = scene.world.call(&order, "olga", H, what);
        let call = scene.logged_at(call, &times);
        assert_eq!(scene.judge(&call, scene.now), Ok(Action::Health));
    }
}

#[test]
fn a_read_order_works_for_its_whole_shift_with_nobody_to_ask() {
    let mut scene = Scene::two();
    let order = scene.world.read_order("olga");
    let call = |scene: &Scene, counter, proof| {
        let what = What::read(Action::Health, counter);
        CallRequest {
            log_proof: proof,
            ..scene.world.call(&order, "olga", H, what)
        }
    };
    let proof = scene.read().log_proof;
    for hours in 0..9 {
        let call = call(&scene, hours, proof.clone());
        let late = scene.later(hours * HOUR);
        assert_eq!(scene.judge(&call, late), Ok(Action::Health), "{hours} h");
    }
    // Until it has expired: the log does not prolong it.
    let expired = call(&scene, 20, proof);
    let late = scene.later(9 * HOUR + 2000);
    assert_eq!(
        scene.judge(&expired, late),
        Err(CallRefusal::Policy(Reason::OrderExpired))
    );
}

#[test]
fn what_witnesses_have_signed_is_a_floor_of_time() {
    let mut scene = Scene::new(TestLog::new(3, 2));
    let now = scene.now.trusted.0;
    assert_eq!(
        scene.authority.witnessed(),
        Some(UnixMillis(scene.world.issued.0))
    );
    let call = scene.logged_at(scene.read(), &[now - 7000, now + 30_000, now + HOUR]);
    assert_eq!(scene.judge(&call, scene.now), Ok(Action::Health));
    // Two of three had signed by then; one alone lifts nothing.
    assert_eq!(scene.authority.witnessed(), Some(UnixMillis(now + 30_000)));
    // What is refused teaches nothing.
    let unlogged = with_proof(&call, |proof| proof.extra = None);
    assert_eq!(scene.log_refusal(&unlogged), LogReason::Entry);
    assert_eq!(scene.authority.witnessed(), Some(UnixMillis(now + 30_000)));
}

/// An order that was seen in time may carry later cosignatures; what they say about a time that has not come is not learnt.
#[test]
fn no_time_is_learnt_from_the_future() {
    let mut scene = Scene::new(TestLog::new(2, 1));
    let now = scene.now.trusted.0;
    let before = scene.authority.witnessed();
    let call = scene.logged_at(scene.read(), &[now - 7000, now + 24 * HOUR]);
    assert_eq!(scene.judge(&call, scene.now), Ok(Action::Health));
    assert_eq!(scene.authority.witnessed(), before);
}

#[test]
fn without_witnesses_the_log_s_own_time_counts() {
    let mut scene = Scene::new(TestLog::new(0, 0));
    assert_eq!(scene.authority.witnessed(), None);
    let (write, now) = (scene.write(), scene.now.trusted.0);
    let SignedOrder {
        bytes,
        signature,
        approvals,
    } = order_of(&write);
    let at = |millis| {
        let mut log = scene.world.log();
        CallRequest {
            log_proof: Some(text(&log.order(&bytes, &signature, &approvals, millis))),
            ..write.clone()
        }
    };
    let (soon, due, future) = (at(now - 4 * MINUTE), at(now - 5 * MINUTE), at(now + 61_000));
    assert_eq!(
        scene.judge(&soon, scene.now),
        Err(CallRefusal::Policy(Reason::OrderDelay))
    );
    assert_eq!(scene.log_refusal(&future), LogReason::Future);
    assert_eq!(scene.judge(&due, scene.now), Ok(Action::Shutdown));
}

/// Boots with this proof of currency.
fn boot(
    world: &World,
    chain: &[SignedFile],
    currency: Option<&[u8]>,
) -> Result<LogTime, LogReason> {
    let now = system_now();
    let policy = Policy::from_anchor(&world.config("").trust, chain, now).unwrap();
    let others: Vec<_> = chain
        .iter()
        .map(|file| narthex_policy::Digest384::of(&file.bytes))
        .collect();
    let now = UnixMillis(now.0);
    LoggedPolicy::judge(LogRule::Required, policy, currency, &others, now)
        .map(|policy| policy.seen().unwrap())
}

#[test]
fn a_policy_is_in_force_only_if_the_log_says_so_lately() {
    let world = World::with_log(TestLog::new(3, 2));
    let first = world.bundle(None);
    let chain = std::slice::from_ref(&first);
    let now = system_now().0;
    let held = boot(
        &world,
        chain,
        world.currency_at(&first, now - HOUR).as_deref(),
    );
    assert_eq!(held.unwrap().at, UnixMillis((now - HOUR) / 1000 * 1000));

    assert_eq!(boot(&world, chain, None), Err(LogReason::ProofMissing));
    let at = |millis| boot(&world, chain, world.currency_at(&first, millis).as_deref());
    assert!(at(now - 24 * HOUR + MINUTE).is_ok());
    assert_eq!(at(now - 25 * HOUR), Err(LogReason::Stale));
    assert_eq!(at(now + 2 * MINUTE), Err(LogReason::Future));

    // A quorum must have signed lately, not one of it.
    let proof = |times: &[u64]| {
        let currency = world.currency(&first).unwrap();
        let mut proof = parse(&currency);
        proof.checkpoint = world.log().checkpoint_at(times);
        boot(&world, chain, Some(&text(&proof)))
    };
    let day = now - 25 * HOUR;
    assert_eq!(proof(&[day, day, now]), Err(LogReason::Stale));
    assert!(proof(&[day, now, now]).is_ok());
    assert_eq!(proof(&[now]), Err(LogReason::Quorum));
    assert_eq!(proof(&[]), Err(LogReason::Quorum));

    // The log went on.
    let mut log = world.log();
    let index = log.append(b"anything".to_vec()) - 1;
    let old = log.checkpoint(now);
    drop(log);
    let currency = parse(&world.currency(&first).unwrap());
    let extra = currency.extra.clone().unwrap();
    let not_last = world.log().prove(index, extra.clone(), old);
    let refused = boot(&world, chain, Some(&text(&not_last)));
    assert!(
        matches!(refused, Err(LogReason::Inclusion)),
        "under another tree than it was made for: {refused:?}"
    );
    let place = world.log().append(b"anything".to_vec()) - 1;
    let newest = world.log().checkpoint(now);
    let not_last = world.log().prove(place, extra, newest);
    assert_eq!(
        boot(&world, chain, Some(&text(&not_last))),
        Err(LogReason::NotLast)
    );
}

#[test]
fn a_frozen_or_rolled_back_policy_does_not_boot() {
    let world = World::new();
    let first = world.bundle(None);
    let second = world.bundle(Some((&first, 1)));
    let both = [first.clone(), second.clone()];
    let old = world.currency(&first);
    let new = world.currency(&second);
    // A source that keeps the newest bundle to itself has no proof for the one before.
    let chain = std::slice::from_ref(&first);
    assert_eq!(
        boot(&world, chain, new.as_deref()),
        Err(LogReason::Inclusion)
    );
    // A source that shows a bundle that the log has not heard of has none either, and the agent can say why.
    assert_eq!(
        boot(&world, &both, old.as_deref()),
        Err(LogReason::NotCurrent)
    );
    assert!(boot(&world, &both, new.as_deref()).is_ok());
    // A proof of an order proves nothing about bundles.
    let order = world.read_order("olga");
    let call = world.call(&order, "olga", H, What::read(Action::Health, 0));
    assert_eq!(
        boot(&world, &both, call.log_proof.as_deref()),
        Err(LogReason::Entry)
    );
}

#[test]
fn a_bundle_without_a_log_or_with_another_is_no_policy_of_this_image() {
    let (world, without) = (World::new(), World::without_ledger());
    let now = system_now();
    let chain = [without.bundle(None)];
    let policy = Policy::from_anchor(&without.config("").trust, &chain, now).unwrap();
    let judged = LoggedPolicy::judge(LogRule::Required, policy, None, &[], UnixMillis(now.0));
    assert_eq!(judged.err(), Some(LogReason::Policy));
    let anchor = world.config("").trust;
    let forged = world.log().forged().verifier_key();
    let text = String::from_utf8(world.bundle_signed_by(None, &[]).bytes).unwrap();
    let bytes = text
        .replace(&world.log().verifier_key(), &forged)
        .into_bytes();
    let sign = |name| world.sign(name, narthex_policy::Namespace::Policy, &bytes);
    let signatures = vec![sign("alice"), sign("bob")];
    let chain = [SignedFile { bytes, signatures }];
    let refused = Policy::from_anchor(&anchor, &chain, now).unwrap_err();
    assert_eq!(refused.reason(), Reason::BundleOtherLog);
}

#[test]
fn a_new_epoch_is_followed_through_the_bundle_that_names_the_old_log() {
    let mut world = World::new();
    let first = world.bundle(None);
    let anchor = world.config("").trust;
    let old = world.log.clone().unwrap();
    let next = world.log().next_epoch();
    world.log = Some(std::sync::Arc::new(std::sync::Mutex::new(next)));
    let second = world.bundle(Some((&first, 1)));
    let new = world.currency(&second);
    let stale = {
        let mut old = old.lock().unwrap();
        text(&old.current(&second.bytes, 2, world.issued.0))
    };
    let now = system_now();
    let boot = |currency: Option<&[u8]>| {
        let chain = [first.clone(), second.clone()];
        let policy = Policy::from_anchor(&anchor, &chain, now).unwrap();
        LoggedPolicy::judge(LogRule::Required, policy, currency, &[], UnixMillis(now.0))
            .map(|policy| policy.policy().version())
    };
    assert_eq!(boot(new.as_deref()), Ok(2));
    assert_eq!(boot(Some(&stale)), Err(LogReason::Origin));
}

#[test]
fn a_successor_waits_for_the_log_and_stops_do_not() {
    let mut scene = Scene::two();
    let second = scene.world.bundle(Some((&scene.bundle, 1)));
    let both = [&scene.bundle, &second];
    let mut answer = scene
        .world
        .answer(&both, &[&scene.world.release(2, "previous")]);
    let proof = answer.currency.take();
    answer.stops = vec![wire(&scene.world.stop_person(1, "oscar"))];
    let mut intake = Intake::default();

    let before = scene.authority.chain().refused();
    let taken = intake.take(&answer, &mut scene.authority, scene.now);
    assert_eq!((taken.bundles, taken.releases, taken.stops), (0, 1, 1));
    assert_eq!(taken.withheld, Some(LogReason::ProofMissing));
    let withheld = scene.authority.successor_withheld();
    assert_eq!(withheld, Some(LogReason::ProofMissing));
    assert_eq!(scene.authority.chain().refused(), before + 1);
    assert_eq!(scene.authority.policy().version(), 1);

    // Judged once; said once; remembered.
    let head = scene.authority.chain().head();
    let taken = intake.take(&answer, &mut scene.authority, scene.now);
    assert_eq!((taken.bundles, taken.withheld), (0, None));
    assert_eq!(scene.authority.chain().head(), head);
    assert_eq!(scene.authority.successor_withheld(), withheld);

    // Proofs that prove something else, each judged for itself.
    answer.currency = scene.world.currency(&scene.bundle);
    let taken = intake.take(&answer, &mut scene.authority, scene.now);
    assert_eq!(taken.withheld, Some(LogReason::NotCurrent));
    let now = scene.now.trusted.0;
    answer.currency = scene.world.currency_at(&second, now - 25 * HOUR);
    let taken = intake.take(&answer, &mut scene.authority, scene.now);
    assert_eq!(taken.withheld, Some(LogReason::Stale));

    // One from the future becomes sound with time.
    answer.currency = scene.world.currency_at(&second, now + 2 * MINUTE);
    let taken = intake.take(&answer, &mut scene.authority, scene.now);
    assert_eq!(taken.withheld, Some(LogReason::Future));
    let late = scene.later(2 * MINUTE);
    let taken = intake.take(&answer, &mut scene.authority, late);
    assert_eq!((taken.bundles, taken.withheld), (1, None));
    assert_eq!(scene.authority.policy().version(), 2);
    assert_eq!(scene.authority.successor_withheld(), None);
    assert_eq!(scene.authority.current_at(), Some(late.trusted));

    // A successor that nobody may take keeps nothing from being known.
    let third = scene.world.bundle_signed_by(Some((&second, 2)), &["alice"]);
    answer.bundles.push(wire(&third));
    for _ in 0..2 {
        let taken = intake.take(&answer, &mut scene.authority, late);
        assert_eq!((taken.bundles, taken.withheld), (0, None));
    }
    // The first proof is older: what is known does not go back.
    answer.currency = proof;
    intake.take(&answer, &mut scene.authority, late);
    assert_eq!(scene.authority.current_at(), Some(late.trusted));
    let newer = scene.world.currency_at(&second, now + 3 * MINUTE);
    answer.currency = newer;
    intake.take(&answer, &mut scene.authority, late);
    assert_eq!(
        scene.authority.current_at(),
        Some(UnixMillis(now + 3 * MINUTE))
    );
}

#[test]
fn orders_are_judged_by_the_log_of_the_bundle_in_force() {
    let mut scene = Scene::two();
    let call = scene.read();
    // A successor asks for more witnesses than have cosigned before.
    let next = scene.world.log().next_epoch();
    scene.world.log = Some(std::sync::Arc::new(std::sync::Mutex::new(next)));
    let second = scene.world.bundle(Some((&scene.bundle, 1)));
    let answer = scene.world.answer(&[&second], &[]);
    let taken = Intake::default().take(&answer, &mut scene.authority, scene.now);
    assert_eq!(taken.bundles, 1);
    assert_eq!(scene.log_refusal(&call), LogReason::Origin);
    // Submitted to the new log it works again.
    let call = scene.read();
    assert_eq!(scene.judge(&call, scene.now), Ok(Action::Health));
}

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

/// A keyring that wants a key, and the answer to its request.
struct Keys {
    world: World,
    policy: LoggedPolicy,
    keyring: Keyring,
}

impl Keys {
    fn new(log: TestLog) -> Self {
        let mut world = World::with_log(log);
        let name = KeyName::new("db").unwrap();
        let digest = commitment(&name, 1, &SecretBytes::copied_from(KEY));
        world
            .commitments
            .push(("db".to_owned(), 1, digest.to_hex()));
        let policy = world.booted(&world.bundle(None), system_now());
        let config: KeysConfig =
            toml::from_str("service = \"vsock:3:1\"\n[[key]]\nname = \"db\"").unwrap();
        let keyring = Keyring::new(&config).unwrap();
        Self {
            world,
            policy,
            keyring,
        }
    }

    /// Asks, and judges what `answer` makes of the envelope.
    fn fetch(
        &mut self,
        answer: impl FnOnce(&mut TestLog, &KeyRequestEnvelope) -> KeyAnswer,
    ) -> Result<LogTime, KeyFailure> {
        let pending = self.keyring.request(vec![1]).unwrap();
        let document = vec![2; 64];
        let envelope = pending.envelope(document.clone()).unwrap();
        let envelope = KeyRequestEnvelope::from_bytes(&envelope).unwrap();
        let answer = bytes(&answer(&mut self.world.log(), &envelope));
        let sent = SentRequest {
            handshake_hash: H,
            document,
        };
        let judges = Judges {
            module_id: &ModuleId::new(&module_id()).unwrap(),
            policy: self.policy.policy(),
            log: self.policy.log(),
            now: UnixMillis(system_now().0),
        };
        self.keyring
            .receive(&pending, &sent, &answer, &judges)
            .map(Option::unwrap)
    }

    fn refused(
        &mut self,
        answer: impl FnOnce(&mut TestLog, &KeyRequestEnvelope) -> KeyAnswer,
    ) -> LogReason {
        match self.fetch(answer) {
            Err(KeyFailure::Log(reason)) => {
                assert!(!self.keyring.is_complete(), "nothing may be held");
                reason
            }
            other => panic!("{other:?}"),
        }
    }
}

/// An answer whose release was logged as `change` makes it.
fn logged(
    log: &mut TestLog,
    envelope: &KeyRequestEnvelope,
    change: impl FnOnce(&mut Logged),
) -> KeyAnswer {
    let answer = release(envelope, &H, KEY);
    let KeyOutcome::Released(keys) = answer.outcome.clone() else {
        panic!("refused");
    };
    let mut what = Logged {
        module_id: module_id(),
        session: H,
        envelope: envelope.clone(),
        keys,
        at: system_now().0,
    };
    change(&mut what);
    let Logged {
        module_id,
        session,
        envelope,
        keys,
        at,
    } = what;
    let proof = log.release(&module_id, &session, &envelope, &keys, at);
    KeyAnswer {
        log_proof: Some(text(&proof)),
        ..answer
    }
}

struct Logged {
    module_id: String,
    session: HandshakeHash,
    envelope: KeyRequestEnvelope,
    keys: Vec<narthex_channel::keys::SealedKey>,
    at: u64,
}

#[test]
fn a_key_whose_release_is_in_the_log_is_held() {
    let mut keys = Keys::new(TestLog::new(2, 2));
    let seen = keys.fetch(|log, envelope| logged(log, envelope, |_| {}));
    assert!(seen.unwrap().floor.is_some());
    assert!(keys.keyring.is_complete());
}

#[test]
fn a_key_whose_release_is_not_in_the_log_is_not_even_opened() {
    let mut keys = Keys::new(TestLog::new(2, 2));
    // Sealed for another session: were it opened first, that would be the reason.
    let other = HandshakeHash::from_bytes([9; 32]);
    let reason = keys.refused(|_, envelope| release(envelope, &other, KEY));
    assert_eq!(reason, LogReason::ProofMissing);
    type Change = fn(&mut Logged);
    let cases: [(&str, Change); 6] = [
        ("another session", |what| {
            what.session = HandshakeHash::from_bytes([9; 32]);
        }),
        ("another enclave", |what| {
            what.module_id = module_id().replace("-enc0", "-enc1");
        }),
        ("another document", |what| what.envelope.document[0] ^= 1),
        ("another request", |what| {
            let last = what.envelope.request.len() - 1;
            what.envelope.request[last] ^= 1;
        }),
        ("another version", |what| what.keys[0].version = 2),
        ("another key", |what| {
            what.keys[0].commitment = Digest384::ZERO
        }),
    ];
    for (what, change) in cases {
        let reason = keys.refused(|log, envelope| logged(log, envelope, change));
        assert_eq!(reason, LogReason::Inclusion, "{what}");
    }
    let reason = keys.refused(|log, envelope| logged(log, envelope, |what| what.at += 2 * MINUTE));
    assert_eq!(reason, LogReason::Future);
    // Refused by the log's own account, and sealed all the same.
    let reason = keys.refused(|log, envelope| {
        let answer = release(envelope, &H, KEY);
        let KeyOutcome::Released(sealed) = &answer.outcome else {
            panic!("refused");
        };
        let at = system_now().0;
        let (mut entry, extra) = release_entry(&module_id(), &H, envelope, sealed, at);
        entry.decision = Decision::Refused {
            reason: "key.stopped".to_owned(),
        };
        entry.asked = entry.keys.drain(..).map(|key| key.name).collect();
        let proof = log.log(Entry::Release(entry), extra, at);
        KeyAnswer {
            log_proof: Some(text(&proof)),
            ..answer
        }
    });
    assert_eq!(reason, LogReason::Inclusion);
}

#[test]
fn keys_wait_for_the_witnesses_unless_the_bundle_says_otherwise() {
    let mut keys = Keys::new(TestLog::new(2, 2));
    keys.world.log().cosigning = 1;
    let reason = keys.refused(|log, envelope| logged(log, envelope, |_| {}));
    assert_eq!(reason, LogReason::Quorum);

    let mut log = TestLog::new(2, 2);
    log.release_waits_for_quorum = false;
    let mut keys = Keys::new(log);
    keys.world.log().cosigning = 0;
    let seen = keys.fetch(|log, envelope| logged(log, envelope, |_| {}));
    assert_eq!(seen.unwrap().floor, None, "nobody else has seen it");
    assert!(keys.keyring.is_complete());
    // Only keys: what is current still needs the witnesses.
    let LogGuard::Required(checks) = keys.policy.log() else {
        panic!("no log");
    };
    let order = keys.world.read_order("olga");
    let call = keys
        .world
        .call(&order, "olga", H, What::read(Action::Health, 0));
    let now = UnixMillis(system_now().0);
    assert_eq!(
        checks.open_order(call.log_proof.as_deref(), now).err(),
        Some(LogReason::Quorum)
    );
    let bundle = keys.world.bundle(None);
    let currency = keys.world.currency(&bundle);
    assert_eq!(
        checks
            .check_currency(currency.as_deref(), keys.policy.policy(), &[], now)
            .err(),
        Some(LogReason::Quorum)
    );
}

/// Proofs are checked anew for every call. What that costs, with a log of a million entries and five witnesses, must not be
/// worth remembering anything; `cargo test --release` prints it.
#[test]
fn checking_a_proof_is_cheap() {
    let mut log = TestLog::new(5, 3);
    log.cosigning = 5;
    let world = World::with_log(log);
    let bundle = world.bundle(None);
    let policy = world.booted(&bundle, system_now());
    let LogGuard::Required(checks) = policy.log() else {
        panic!("no log");
    };
    let checks: &LogChecks = checks;
    for _ in 0..1000 {
        world.log().append(b"another entry".to_vec());
    }
    let order = world.read_order("olga");
    let call = world.call(&order, "olga", H, What::read(Action::Health, 0));
    let signed = order_of(&call);
    let now = UnixMillis(system_now().0);
    let rounds = 200;
    let begun = std::time::Instant::now();
    for _ in 0..rounds {
        let opened = checks.open_order(call.log_proof.as_deref(), now).unwrap();
        checks.check_order(opened, &signed).unwrap();
    }
    let each = begun.elapsed() / rounds;
    eprintln!("one proof, six signatures: {each:?}");
    assert!(each.as_millis() < 100, "{each:?}");
}

#[test]
fn insecure_without_ledger_skips_these_checks_and_says_so() {
    let world = World::without_ledger();
    let bundle = world.bundle(None);
    let policy = world.booted(&bundle, system_now());
    assert_eq!(policy.log().log_check(), LogCheck::InsecureWithoutLedger);
    assert_eq!(policy.seen(), None);
    let now = UnixMillis(system_now().0);
    assert!(policy.log().open_order(None, now).unwrap().is_none());
    let released = ReleasedKeys {
        module_id: &ModuleId::new(&module_id()).unwrap(),
        handshake_hash: &H,
        document: b"",
        request: b"",
        keys: &[],
    };
    assert_eq!(policy.log().check_release(None, &released, now), Ok(None));
}
