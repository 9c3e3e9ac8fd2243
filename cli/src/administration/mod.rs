//! `narthex keys`, and the delivery of policy files: the client of the key service's administration
//! (`key-service/docs/administration.md`).

mod operation;
mod show;

use std::path::Path;
use std::time::Duration;

use narthex_channel::administration::{AdministrationAnswer, AdministrationRequest};
use narthex_channel::policy::PolicyDelivery;
use narthex_channel::{Address, Message, Opening, StaticPublic};
use narthex_policy::{AdministrationOrder, SignedOrder, StaticKey, UnixMillis};
use serde_json::Value;

use crate::commands::keys::{Arguments, CallArguments};
use crate::exit::Exit;
use crate::failure::{Failure, Outcome};
use crate::moment::now_to_the_second;
use crate::orders::{AnyOrder, OrderOnDisk, head, person_name, write_signed};
use crate::output::Output;
use crate::policy_directory::HeldPolicy;
use crate::receipt::Receipt;
use crate::session::armored;
use crate::transport::{Conversation, run_to_completion};

use operation::Planned;

/// `narthex keys`.
pub(crate) fn keys(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    let now = UnixMillis(now_to_the_second()?);
    let planned = Planned::from_arguments(&arguments.operation)?;
    let call = planned.call;
    let held = HeldPolicy::load_and_tell(&call.policy, call.genesis.as_deref(), now, output)?;
    let signed = match &call.order {
        Some(path) => made_before(path, call, &planned)?,
        None => match compose(&held, call, &planned, now, output)? {
            Some(signed) => signed,
            None => return Ok(Exit::Done), // `--write-order`
        },
    };
    let service = call
        .service
        .as_ref()
        .ok_or_else(|| Failure::misuse("misuse.arguments", "--service is missing"))?;
    let static_key = static_key(&held)?;
    let request = AdministrationRequest {
        order: signed.bytes,
        signature: armored(&signed.signature)?,
        approvals: signed
            .approvals
            .iter()
            .map(|text| armored(text))
            .collect::<Outcome<_>>()?,
        payload: planned.payload,
    };
    let answered = administer(service, &static_key, &request, call.timeout)?;
    let body = answered.body(&held, call.proof.as_deref(), output)?;
    show::show(&arguments.operation, &body, output)
}

/// The service's answer, and the proof that it was logged.
pub(crate) struct Answered {
    answer: AdministrationAnswer,
}

impl Answered {
    /// What was done, with `log` added where it was logged. The proof, of a refusal too, is written
    /// to `proof`.
    ///
    /// # Errors
    /// The service's reason; `answer.malformed`; `log.*` for a proof that does not hold; `file.*`.
    pub(crate) fn body(
        self,
        held: &HeldPolicy,
        proof: Option<&Path>,
        output: &Output,
    ) -> Outcome<Value> {
        let (log_proof, decided) = match self.answer {
            AdministrationAnswer::Done { body, log_proof } => (log_proof, Ok(body)),
            AdministrationAnswer::Refused { reason, log_proof } => (log_proof, Err(reason)),
        };
        let receipt = Receipt::read(held, log_proof.as_deref());
        let body = match decided {
            Ok(body) => body,
            // What was refused is refused, whatever came with it.
            Err(reason) => {
                if let Ok(Some(receipt)) = &receipt {
                    output.say(format_args!("narthex: the refusal is {}", receipt.words()));
                    if let Some(path) = proof {
                        receipt.write(path)?;
                    }
                }
                return Err(refused(reason.as_str()));
            }
        };
        let mut body: Value = serde_json::from_slice(&body).map_err(|error| {
            Failure::refused(
                "answer.malformed",
                format!("the service's answer is not JSON: {error}"),
            )
        })?;
        // It was done by now, so the answer is shown in any case: a backup must not be lost for it.
        match receipt {
            Err(failure) => output.say(failure),
            Ok(None) if proof.is_some() => output.say(crate::receipt::none()),
            Ok(None) => {}
            Ok(Some(receipt)) => {
                if let Some(path) = proof {
                    receipt.write(path)?;
                }
                output.say(format_args!("narthex: logged as {}", receipt.words()));
                if let Value::Object(members) = &mut body {
                    members.insert("log".to_owned(), receipt.to_json());
                }
            }
        }
        Ok(body)
    }
}

/// Delivers policy files; each is judged by its own signatures.
///
/// # Errors
/// What the channel says.
pub(crate) fn deliver(
    service: &Address,
    static_key: &StaticKey,
    files: &PolicyDelivery,
    silence: Duration,
) -> Outcome<Answered> {
    administer(service, static_key, files, silence)
}

/// One request of use 3, one answer.
fn administer<M: Message>(
    service: &Address,
    static_key: &StaticKey,
    request: &M,
    silence: Duration,
) -> Outcome<Answered> {
    let opening = Opening::Administration {
        service: StaticPublic::from_bytes(static_key.0),
    };
    run_to_completion(async {
        let mut conversation = Conversation::open(service, &opening, silence).await?;
        conversation.send(request).await?;
        let answer: AdministrationAnswer = conversation.receive().await?;
        conversation.close().await;
        Ok(Answered { answer })
    })
}

/// The service's static key, from the bundle in force.
///
/// # Errors
/// `policy.no_key_service`.
pub(crate) fn static_key(held: &HeldPolicy) -> Outcome<StaticKey> {
    held.policy.bundle().key_service.map(|identity| identity.static_key).ok_or_else(|| {
        Failure::misuse(
            "policy.no_key_service",
            format!("bundle {} names no key service", held.policy.bundle().version),
        )
        .next("put what `narthex-key-service static-key` prints under [key_service] in the next bundle")
    })
}

/// Composes and signs; with `--write-order` it ends there.
fn compose(
    held: &HeldPolicy,
    call: &CallArguments,
    planned: &Planned<'_>,
    now: UnixMillis,
    output: &Output,
) -> Outcome<Option<SignedOrder>> {
    let (Some(person), Some(key)) = (&call.person, &call.key) else {
        return Err(Failure::misuse(
            "misuse.arguments",
            "--as and --key, or --order, are missing",
        ));
    };
    let project = held.policy.bundle().project.clone();
    let order = AdministrationOrder {
        head: head(project, person_name(person)?, now, now, call.valid_for)?,
        genesis: held.genesis,
        operation: planned.operation.clone(),
    };
    let text = order.to_toml();
    AdministrationOrder::parse_unverified(text.as_bytes())
        .map_err(|refusal| Failure::misuse(refusal.id(), refusal.detail()))?;
    if let Some(path) = &call.write_order {
        let sha384 = write_signed(path, text.as_bytes(), person, key)?;
        let value = serde_json::json!({ "order": path, "sha384": sha384 });
        output.result(&value, || format!("{}\n", path.display()))?;
        output.say(format_args!(
            "Others approve it: narthex order approve {} --as PERSON --key KEY\n\
             Then send it: the same command with --service ADDRESS --order {0}",
            path.display()
        ));
        return Ok(None);
    }
    let signature = crate::signing::sign(key, narthex_policy::Namespace::Order, text.as_bytes())?;
    Ok(Some(SignedOrder {
        bytes: text.into_bytes(),
        signature,
        approvals: Vec::new(),
    }))
}

/// An order from `--write-order`. It must say what was typed: nobody sends one order and believes
/// to have sent another.
fn made_before(path: &Path, call: &CallArguments, planned: &Planned<'_>) -> Outcome<SignedOrder> {
    let on_disk = OrderOnDisk::read(path, &call.approval)?;
    match &on_disk.parsed {
        AnyOrder::Administration(order) if order.operation == planned.operation => on_disk.signed(),
        AnyOrder::Administration(order) => Err(Failure::misuse(
            "order.content",
            format!(
                "{} orders something else than you typed: {}",
                path.display(),
                order.operation.kind()
            ),
        )
        .next("`narthex order show` says what it orders")),
        AnyOrder::Diagnostics(_) => Err(Failure::misuse(
            "order.content",
            format!("{} is an order to an enclave's agent", path.display()),
        )
        .next("use it with `narthex diag --order`")),
    }
}

fn refused(reason: &str) -> Failure {
    let failure = Failure::refused(reason, "the key service refuses");
    match reason {
        "order.under_approved" => failure.next(
            "it needs another person's approval: --write-order, `narthex order approve`, then --order",
        ),
        "order.reused" => failure.next("an order is used once; leave --order out to make a new one"),
        "order.expired" => failure.next("make a new order"),
        "order.not_requester" | "person.unknown" | "signature.unknown_signer" => failure.next(
            "--as must name the person who holds --key in the service's newest bundle; is it newer than yours?",
        ),
        "person.stopped" => failure.next("a stop statement names this person or key"),
        "key.not_stored" | "key.no_such_version" | "key.state" | "key.exists" | "key.version_order" => failure
            .next("`narthex keys list` shows which keys and versions there are, and their states"),
        "file.project" => failure.next("this service is another project's"),
        "service.busy" | "service.stopping" => failure.next("try again in a minute"),
        "log.quorum" => failure.next(
            "too few witnesses have cosigned in time, so the answer was withheld; the service's /readyz \
             names those that are missing. Look at the log before you ask again",
        ),
        "order.role" => failure.next("no role of yours allows this; the reviewers' bundle says who may"),
        "order.delay" => failure.next("the policy asks for a delay that is not over; send it again later"),
        "bundle.expired" => failure.next("the policy has expired: its reviewers sign a new bundle"),
        "bundle.genesis" => failure.next("this service has another first bundle than your policy directory"),
        _ => failure,
    }
}
