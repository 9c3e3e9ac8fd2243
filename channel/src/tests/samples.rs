//! One message of each type, with every optional part used somewhere.

use crate::administration::{AdministrationAnswer, AdministrationRequest};
use crate::diagnostics::{
    Action, AgentVersion, BootId, BundleInForce, CallAnswer, CallRequest, Decisions, Field,
    FieldName, LogCheck, ReleaseState, ResultBody, Selector, SessionStatement, State, Value,
    Welcome,
};
use crate::keys::{
    KeyAnswer, KeyOutcome, KeyRequest, KeyRequestEnvelope, KeyWanted, SealSuite, SealedKey, Shares,
};
use crate::policy::{PolicyAnswer, PolicyDelivery, PolicyRequest, Signed};
use crate::seal::{EncapsulatedKey, RecipientKey};
use crate::submissions::{Submission, SubmissionAnswer, SubmissionOutcome};
use crate::{
    ArmoredSignature, DeclaredName, Digest384, HandshakeHash, KeyName, Message, ModuleId, ReasonId,
    SecretBytes, UnixMillis,
};

pub(super) fn signature() -> ArmoredSignature {
    ArmoredSignature::new("-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n")
        .unwrap()
}

pub(super) fn log_proof() -> Vec<u8> {
    b"stands for a proof".to_vec()
}

pub(super) fn key_name() -> KeyName {
    KeyName::new("database").unwrap()
}

pub(super) fn statement() -> SessionStatement {
    SessionStatement {
        module_id: ModuleId::new("i-1234567890abcdef0-enc9876543210abcde").unwrap(),
        boot_id: BootId([0xb0; 16]),
        agent_version: AgentVersion {
            major: 0,
            minor: 1,
            patch: 0,
        },
        boot_bundle: Digest384::of(b"bundle 6"),
        bundle_in_force: BundleInForce {
            digest: Digest384::of(b"bundle 7"),
            version: 7,
        },
        release: ReleaseState::Current,
        log_check: LogCheck::InsecureWithoutLedger,
        decisions: Decisions {
            accepted: 41,
            refused: 1,
        },
        chain_head: Digest384::of(b"decision 42"),
        now: UnixMillis(1_795_000_000_000),
    }
}

pub(super) fn welcome() -> Welcome {
    Welcome {
        document: b"stands for a document".to_vec(),
        statement: statement().to_bytes().unwrap().to_vec(),
    }
}

pub(super) fn call_request() -> CallRequest {
    CallRequest {
        order: b"schema = \"an order\"\n".to_vec(),
        order_signature: signature(),
        approvals: vec![signature(), signature()],
        call: b"stands for a call".to_vec(),
        call_signature: signature(),
        log_proof: Some(log_proof()),
    }
}

pub(super) fn call_done() -> CallAnswer {
    let declared = DeclaredName::new("requests-served").unwrap();
    CallAnswer::Done(ResultBody {
        action: Action::Status,
        log_check: LogCheck::Required,
        fields: vec![
            Field::single(FieldName::ProcessesTotal, Value::Count(17)),
            Field::single(FieldName::MemoryTotal, Value::Bytes(1 << 31)),
            Field::single(FieldName::UptimeAgent, Value::Duration(90_000)),
            Field::single(FieldName::CpuLoad1, Value::Ratio(1_250_000)),
            Field::single(FieldName::HealthReady, Value::Flag(true)),
            Field::single(FieldName::WorkloadState, Value::State(State::Running)),
            Field::indexed(
                FieldName::PcrValue,
                16,
                Value::Digest(Digest384::of(b"pcr")),
            ),
            Field::single(
                FieldName::ClockNow,
                Value::Time(UnixMillis(1_795_000_000_000)),
            ),
            Field {
                name: FieldName::CounterValue,
                selector: Selector::Declared(declared),
                value: Value::Count(3),
            },
            Field {
                name: FieldName::KeyVersion,
                selector: Selector::Key(key_name()),
                value: Value::Count(7),
            },
        ],
    })
}

pub(super) fn call_refused() -> CallAnswer {
    CallAnswer::Refused {
        reason: ReasonId::from_static("order.expired"),
    }
}

pub(super) fn key_request() -> KeyRequest {
    KeyRequest {
        suite: SealSuite::XWingHkdfSha256Aes256Gcm,
        recipient_key: RecipientKey::from_seed(&[0x11; 32]).public().clone(),
        keys: vec![
            KeyWanted {
                name: key_name(),
                version: None,
            },
            KeyWanted {
                name: KeyName::new("tls.server_1").unwrap(),
                version: Some(3),
            },
        ],
        statement: statement().to_bytes().unwrap().to_vec(),
    }
}

pub(super) fn key_request_envelope() -> KeyRequestEnvelope {
    KeyRequestEnvelope {
        document: b"stands for a document".to_vec(),
        request: key_request().to_bytes().unwrap().to_vec(),
    }
}

pub(super) fn sealed_key() -> SealedKey {
    SealedKey {
        name: key_name(),
        version: 7,
        shares: Shares::Service,
        commitment: Digest384::of(b"commitment"),
        encapsulated: EncapsulatedKey::from_bytes([0x22; 1120]),
        ciphertext: vec![0x33; 48],
    }
}

pub(super) fn keys_released() -> KeyAnswer {
    KeyAnswer {
        log_check: LogCheck::Required,
        log_proof: Some(log_proof()),
        outcome: KeyOutcome::Released(vec![sealed_key()]),
    }
}

pub(super) fn keys_refused() -> KeyAnswer {
    KeyAnswer {
        log_check: LogCheck::InsecureWithoutLedger,
        log_proof: None,
        outcome: KeyOutcome::Refused {
            reason: ReasonId::from_static("release.revoked"),
        },
    }
}

pub(super) fn administration_request() -> AdministrationRequest {
    AdministrationRequest {
        order: b"schema = \"an order\"\n".to_vec(),
        signature: signature(),
        approvals: vec![signature()],
        payload: Some(SecretBytes::from(vec![0x5a; 32])),
    }
}

pub(super) fn administration_done() -> AdministrationAnswer {
    AdministrationAnswer::Done {
        body: b"{}".to_vec(),
        log_proof: Some(log_proof()),
    }
}

pub(super) fn administration_refused() -> AdministrationAnswer {
    AdministrationAnswer::Refused {
        reason: ReasonId::from_static("role.missing"),
        log_proof: None,
    }
}

pub(super) fn policy_request() -> PolicyRequest {
    PolicyRequest {
        since_version: 6,
        known_statements: vec![Digest384::of(b"release 1")],
    }
}

fn policy_file(bytes: &[u8]) -> Signed {
    Signed {
        bytes: bytes.to_vec(),
        signatures: vec![signature()],
    }
}

pub(super) fn policy_answer() -> PolicyAnswer {
    PolicyAnswer {
        bundles: vec![policy_file(b"version = 7\n")],
        releases: vec![policy_file(b"release = 2\n"), policy_file(b"release = 3\n")],
        stops: Vec::new(),
        currency: Some(log_proof()),
    }
}

pub(super) fn policy_delivery() -> PolicyDelivery {
    PolicyDelivery {
        bundles: vec![policy_file(b"version = 7\n")],
        releases: Vec::new(),
        stops: vec![policy_file(b"stop = 1\n")],
    }
}

pub(super) fn submitted_order() -> Submission {
    Submission::Order {
        order: b"schema = \"an order\"\n".to_vec(),
        signature: signature(),
        approvals: vec![signature()],
    }
}

pub(super) fn submitted_statement() -> Submission {
    Submission::Statement {
        session: HandshakeHash::from_bytes([0x44; 32]),
        document: b"stands for a document".to_vec(),
        statement: statement().to_bytes().unwrap().to_vec(),
    }
}

pub(super) fn submission_accepted() -> SubmissionAnswer {
    SubmissionAnswer {
        outcome: SubmissionOutcome::Accepted,
        log_proof: Some(log_proof()),
    }
}

pub(super) fn submission_refused() -> SubmissionAnswer {
    SubmissionAnswer {
        outcome: SubmissionOutcome::Refused {
            reason: ReasonId::from_static("order.role"),
        },
        log_proof: None,
    }
}

/// The encoding of each message by name.
pub(super) fn encodings() -> Vec<(&'static str, Vec<u8>)> {
    fn bytes(message: &impl Message) -> Vec<u8> {
        message.to_bytes().unwrap().to_vec()
    }
    vec![
        ("session-statement", bytes(&statement())),
        ("welcome", bytes(&welcome())),
        ("call-request", bytes(&call_request())),
        ("call-answer.done", bytes(&call_done())),
        ("call-answer.refused", bytes(&call_refused())),
        ("key-request", bytes(&key_request())),
        ("key-request-envelope", bytes(&key_request_envelope())),
        ("key-answer.released", bytes(&keys_released())),
        ("key-answer.refused", bytes(&keys_refused())),
        ("administration-request", bytes(&administration_request())),
        ("administration-answer.done", bytes(&administration_done())),
        (
            "administration-answer.refused",
            bytes(&administration_refused()),
        ),
        ("policy-request", bytes(&policy_request())),
        ("policy-answer", bytes(&policy_answer())),
        ("policy-delivery", bytes(&policy_delivery())),
        ("submission.order", bytes(&submitted_order())),
        ("submission.statement", bytes(&submitted_statement())),
        ("submission-answer.accepted", bytes(&submission_accepted())),
        ("submission-answer.refused", bytes(&submission_refused())),
    ]
}

/// Reads `bytes` as the message type of that name, and returns its encoding.
pub(super) fn reencode(name: &str, bytes: &[u8]) -> Result<Vec<u8>, crate::MessageError> {
    fn through<M: Message>(bytes: &[u8]) -> Result<Vec<u8>, crate::MessageError> {
        Ok(M::from_bytes(bytes)?.to_bytes()?.to_vec())
    }
    match name.split('.').next().unwrap() {
        "session-statement" => through::<SessionStatement>(bytes),
        "welcome" => through::<Welcome>(bytes),
        "call-request" => through::<CallRequest>(bytes),
        "call-answer" => through::<CallAnswer>(bytes),
        "key-request" => through::<KeyRequest>(bytes),
        "key-request-envelope" => through::<KeyRequestEnvelope>(bytes),
        "key-answer" => through::<KeyAnswer>(bytes),
        "administration-request" => through::<AdministrationRequest>(bytes),
        "administration-answer" => through::<AdministrationAnswer>(bytes),
        "policy-request" => through::<PolicyRequest>(bytes),
        "policy-answer" => through::<PolicyAnswer>(bytes),
        "policy-delivery" => through::<PolicyDelivery>(bytes),
        "submission" => through::<Submission>(bytes),
        "submission-answer" => through::<SubmissionAnswer>(bytes),
        other => panic!("no message {other}"),
    }
}
