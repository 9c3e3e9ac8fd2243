//! `narthex diag`: verify an agent, then ask it.
//!
//! | File | Job |
//! |---|---|
//! | `agent.rs` | who is at the other end: document, binding, enclave, release, policy |
//! | `call.rs` | calls under an order: composed, signed, sent, answered |
//! | `counters.rs` | which counter of an order is used next |
//! | `show.rs` | statement and results, as JSON and as text |
//! | `hand_in.rs` | what the agent stated, to the log or into a folder |
//!
//! Everything that can be known without the agent (files, names, the order) is checked before
//! anything is connected.

mod agent;
mod call;
mod counters;
mod hand_in;
mod show;

use narthex_channel::{Opening, diagnostics::Welcome};
use narthex_policy::{Action, Order, SignedOrder, UnixMillis};
use narthex_verifier::TrustAnchors;

use crate::commands::diag::Arguments;
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::moment::now_unix_millis;
use crate::orders::{AnyOrder, LoggedOrder, OrderOnDisk, action, proof_path, read_proof};
use crate::output::Output;
use crate::policy_directory::HeldPolicy;
use crate::signing::Signer;
use crate::statements::SessionRecord;
use crate::transport::{Conversation, run_to_completion};

pub(crate) use call::armored;

use agent::{Agent, Expectation};
use call::Caller;
use show::Shown;

/// What is to be asked, under which order.
struct Question {
    actions: Vec<Action>,
    order: Order,
    /// As it was logged, where it was.
    signed: SignedOrder,
    /// The log's proof of it, as it came.
    proof: Option<Vec<u8>>,
    signer: Signer,
}

/// `narthex diag`.
pub(crate) fn diagnostics(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    let now = UnixMillis(now_unix_millis()?);
    let anchors = anchors(arguments)?;
    let held =
        HeldPolicy::load_and_tell(&arguments.policy, arguments.genesis.as_deref(), now, output)?;
    if held.policy.is_expired(now) {
        output.say(format_args!(
            "narthex: bundle {} expired {}; agents go on answering what only looks",
            held.policy.bundle().version,
            held.policy.bundle().expires
        ));
    }
    let question = question(arguments, &held, now)?;
    let expectation = Expectation {
        held: &held,
        release: &arguments.release,
        withdrawn_too: arguments.insecure_withdrawn_release,
        enclave: &arguments.enclave,
    };
    let (exit, record) =
        run_to_completion(session(arguments, &anchors, &expectation, question, output))?;
    hand_in::hand_in(arguments, &held, &record, output)?;
    Ok(exit)
}

async fn session(
    arguments: &Arguments,
    anchors: &TrustAnchors,
    expectation: &Expectation<'_>,
    question: Option<Question>,
    output: &Output,
) -> Outcome<(Exit, SessionRecord)> {
    let opening = Opening::Diagnostics;
    let mut conversation =
        Conversation::open(&arguments.address, &opening, arguments.timeout).await?;
    let welcome: Welcome = conversation.receive().await?;
    let handshake_hash = conversation.handshake_hash();
    let agent = Agent::verify(&welcome, &handshake_hash, anchors, expectation)?;
    for warning in agent.warnings(expectation.held) {
        output.say(format_args!("narthex: {warning}"));
    }
    let record = SessionRecord {
        session: *handshake_hash.as_bytes(),
        document: welcome.document,
        statement: welcome.statement,
    };
    let mut shown = Shown::new(&agent, anchors);
    if let Some(question) = question {
        if question.proof.is_none() && !agent.insecure_without_ledger() {
            return Err(without_proof(arguments));
        }
        let caller = Caller::new(&question, &agent, handshake_hash)?;
        for action in &question.actions {
            match caller.ask(&mut conversation, *action, output).await? {
                Ok(result) => shown.add(result),
                Err(reason) => {
                    shown.refuse(*action, reason);
                    break;
                }
            }
        }
    }
    conversation.close().await;
    Ok((shown.show(output)?, record))
}

/// This agent acts only on what the log holds; nothing was sent to it.
fn without_proof(arguments: &Arguments) -> Failure {
    let order = arguments.order.clone().unwrap_or_default();
    Failure::refused(
        narthex_ledger::LogReason::ProofMissing.id(),
        format!(
            "the agent acts only under orders that the log holds, and there is no {}",
            proof_path(&order).display()
        ),
    )
    .next(format!(
        "submit the order first: narthex order submit {} --policy {} --service ADDRESS",
        order.display(),
        arguments.policy.display()
    ))
}

/// Reads the order and the key, and sees that they fit what is asked.
fn question(
    arguments: &Arguments,
    held: &HeldPolicy,
    now: UnixMillis,
) -> Outcome<Option<Question>> {
    let (Some(order_path), Some(key)) = (&arguments.order, &arguments.key) else {
        return Ok(None); // `--status`; clap has seen to the rest.
    };
    let actions: Vec<Action> = arguments
        .actions
        .iter()
        .map(|name| action(name))
        .collect::<Outcome<_>>()?;
    let on_disk = OrderOnDisk::read(order_path, &arguments.approval)?;
    let proof = read_proof(order_path, arguments.proof.as_deref())?;
    let signed = match &proof {
        Some(_) => on_disk.as_logged()?,
        None => on_disk.signed()?,
    };
    let order = match on_disk.parsed {
        AnyOrder::Diagnostics(order) => order,
        AnyOrder::Administration(_) => {
            return Err(Failure::misuse(
                "order.content",
                format!("{} is an order to the key service", order_path.display()),
            )
            .next("send it with `narthex keys … --order`"));
        }
    };
    let covered: &[Action] = match &order {
        Order::Read(read) => &read.actions,
        Order::Write(write) => core::slice::from_ref(&write.action),
    };
    if let Some(other) = actions.iter().find(|action| !covered.contains(action)) {
        let names: Vec<_> = covered.iter().map(|action| action.name()).collect();
        return Err(
            Failure::refused("call.action", format!("the order does not cover {other}"))
                .next(format!("it covers: {}", names.join(" "))),
        );
    }
    // A proof that no agent would take is found here, before anything is connected.
    if let Some(proof) = &proof {
        LoggedOrder::check(held, &order, &signed, proof, now)?;
    }
    Ok(Some(Question {
        actions,
        order,
        signed,
        proof,
        signer: Signer::load(key)?,
    }))
}

#[cfg(feature = "dev-root")]
fn anchors(arguments: &Arguments) -> Outcome<TrustAnchors> {
    crate::judge::anchors(arguments.insecure_development_root.as_deref())
}

#[cfg(not(feature = "dev-root"))]
fn anchors(_arguments: &Arguments) -> Outcome<TrustAnchors> {
    Ok(TrustAnchors::aws())
}
