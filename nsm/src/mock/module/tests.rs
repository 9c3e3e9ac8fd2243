//! The rules of the device, one by one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::mock::mint::{Identity, Measurement, ZERO_MEASUREMENT, extended, measurement_of};
use crate::mock::{Clock, EnclaveMode, FaultKind, ManualClock};
use crate::own_document::OwnDocument;

const NOW: u64 = 1_785_785_775_857;

fn mock_with(change: impl FnOnce(&mut MockConfig)) -> MockNsm {
    let mut config = MockConfig::example();
    config.clock = Arc::new(ManualClock::new(NOW));
    change(&mut config);
    MockNsm::new(DevelopmentAuthority::insecure_fixed(), config)
}

fn mock() -> MockNsm {
    mock_with(|_| ())
}

fn code<T: std::fmt::Debug>(result: Result<T, NsmError>) -> ErrorCode {
    match result.unwrap_err() {
        NsmError::Code(code) => code,
        other => panic!("{other:?}"),
    }
}

fn value(nsm: &MockNsm, index: u16) -> Measurement {
    nsm.describe_pcr(index).unwrap().data.try_into().unwrap()
}

#[test]
fn an_nsm_describes_itself() {
    let description = mock().describe().unwrap();
    assert_eq!(description.module_id, Identity::example().module_id());
    assert_eq!(
        (description.max_pcrs, description.digest),
        (32, DigestAlgorithm::Sha384)
    );
    assert_eq!(description.locked_pcrs, (0..16).collect());
}

#[test]
fn registers_at_boot_are_those_of_the_image() {
    let nsm = mock_with(|config| config.pcr8 = Some([8; 48]));
    let config = nsm.config().clone();
    assert_eq!(value(&nsm, 0), config.pcr0);
    assert_eq!(value(&nsm, 1), config.pcr1);
    assert_eq!(value(&nsm, 2), config.pcr2);
    assert_eq!(
        value(&nsm, 3),
        measurement_of(config.role_arn.unwrap().as_bytes())
    );
    assert_eq!(
        value(&nsm, 4),
        measurement_of(config.identity.instance_id.as_bytes())
    );
    assert_eq!(value(&nsm, 8), [8; 48]);
    for index in [5, 6, 7, 9, 15, 16, 31] {
        assert_eq!(value(&nsm, index), ZERO_MEASUREMENT);
    }
}

#[test]
fn debug_mode_hides_the_image_and_nothing_else() {
    let nsm = mock_with(|config| {
        config.mode = EnclaveMode::Debug;
        config.pcr8 = Some([8; 48]);
    });
    for index in [0, 1, 2, 8] {
        assert_eq!(value(&nsm, index), ZERO_MEASUREMENT);
    }
    assert_ne!(value(&nsm, 3), ZERO_MEASUREMENT);
    assert_ne!(value(&nsm, 4), ZERO_MEASUREMENT);
}

#[test]
fn without_a_role_pcr3_is_zero() {
    assert_eq!(
        value(&mock_with(|config| config.role_arn = None), 3),
        ZERO_MEASUREMENT
    );
}

#[test]
fn registers_0_to_15_are_read_only_from_boot() {
    let nsm = mock();
    for index in 0..16 {
        assert!(nsm.describe_pcr(index).unwrap().locked);
        assert_eq!(code(nsm.extend_pcr(index, b"x")), ErrorCode::ReadOnlyIndex);
        assert_eq!(code(nsm.lock_pcr(index)), ErrorCode::ReadOnlyIndex);
    }
    assert!(!nsm.describe_pcr(16).unwrap().locked);
}

#[test]
fn extending_chains_until_the_lock() {
    let nsm = mock();
    let once = nsm.extend_pcr(31, b"one").unwrap();
    assert_eq!(once, extended(&ZERO_MEASUREMENT, b"one"));
    let twice = nsm.extend_pcr(31, b"two").unwrap();
    assert_eq!(
        twice,
        extended(&extended(&ZERO_MEASUREMENT, b"one"), b"two")
    );
    nsm.lock_pcr(31).unwrap();
    assert_eq!(code(nsm.extend_pcr(31, b"three")), ErrorCode::ReadOnlyIndex);
    assert_eq!(code(nsm.lock_pcr(31)), ErrorCode::ReadOnlyIndex);
    assert_eq!(value(&nsm, 31).to_vec(), twice);
}

#[test]
fn there_is_no_register_32() {
    let nsm = mock();
    assert_eq!(code(nsm.describe_pcr(32)), ErrorCode::InvalidIndex);
    assert_eq!(code(nsm.extend_pcr(32, b"x")), ErrorCode::InvalidIndex);
    assert_eq!(code(nsm.lock_pcr(32)), ErrorCode::InvalidIndex);
    assert_eq!(code(nsm.lock_pcr(u16::MAX)), ErrorCode::InvalidIndex);
}

#[test]
fn ranges_end_at_32_and_a_refused_one_locks_nothing() {
    let nsm = mock();
    assert_eq!(code(nsm.lock_pcrs(33)), ErrorCode::InvalidIndex);
    assert!(!nsm.describe_pcr(16).unwrap().locked);
    nsm.lock_pcrs(0).unwrap();
    nsm.lock_pcrs(18).unwrap();
    assert!(nsm.describe_pcr(17).unwrap().locked);
    assert!(!nsm.describe_pcr(18).unwrap().locked);
    nsm.lock_pcrs(32).unwrap();
    nsm.lock_pcrs(32).unwrap();
    assert!(nsm.describe_pcr(31).unwrap().locked);
}

#[test]
fn documents_show_locked_registers_only() {
    let nsm = mock();
    nsm.extend_pcr(20, b"seen").unwrap();
    let seen = extended(&ZERO_MEASUREMENT, b"seen");
    let shows = |nsm: &MockNsm| {
        let document = nsm.attest(AttestationRequest::default()).unwrap();
        document.windows(seen.len()).any(|window| window == seen)
    };
    assert!(!shows(&nsm));
    nsm.lock_pcr(20).unwrap();
    assert!(shows(&nsm));
}

#[test]
fn documents_carry_the_callers_fields_and_the_hypervisors_time() {
    let nsm = mock();
    let request = AttestationRequest {
        user_data: Some(b"user data of the caller".to_vec()),
        nonce: Some(b"nonce of the caller".to_vec()),
        public_key: Some(b"public key of the caller".to_vec()),
    };
    let document = nsm.attest(request.clone()).unwrap();
    for field in [request.user_data, request.nonce, request.public_key] {
        let field = field.unwrap();
        assert!(document.windows(field.len()).any(|window| window == field));
    }
    let own = OwnDocument::read(&document).unwrap();
    assert_eq!(own.timestamp, UnixMillis(NOW));
    assert_eq!(own.module_id, Identity::example().module_id());
}

/// The device has no limit per field: 1,025 bytes of nonce and 4,050 of user data were accepted by
/// AWS's (hf/nitrite#5; blocky/nitrite, 2024-08). Only the whole request is bounded.
#[test]
fn oversized_fields_are_the_verifiers_business_up_to_the_size_of_a_request() {
    let nsm = mock();
    let attest = |bytes: usize| {
        let user_data = Some(vec![7; bytes]);
        nsm.attest(AttestationRequest {
            user_data,
            ..AttestationRequest::default()
        })
    };
    assert!(attest(1024).is_ok());
    assert!(attest(1025).is_ok());
    // 4,096 bytes less the 46 that surround the field: exactly what was measured on AWS.
    assert!(attest(4050).is_ok());
    assert_eq!(code(attest(4051)), ErrorCode::InputTooLarge);
}

#[test]
fn the_largest_document_fits_the_devices_buffer() {
    let nsm = mock();
    nsm.lock_pcrs(32).unwrap();
    let request = Request::Attestation(AttestationRequest {
        user_data: Some(vec![7; 4050]),
        ..AttestationRequest::default()
    });
    let bytes = nsm.exchange_bytes(&encode_request(&request));
    assert!(
        (9_000..MAX_RESPONSE_BYTES).contains(&bytes.len()),
        "{}",
        bytes.len()
    );
}

#[test]
fn random_bytes_come_in_256_and_differ() {
    let nsm = mock();
    let (one, two) = (nsm.random().unwrap(), nsm.random().unwrap());
    assert_eq!(one.len(), 256);
    assert_ne!(one, two);
}

#[test]
fn unreadable_requests_are_answered_with_the_devices_codes() {
    let nsm = mock();
    let answer = |bytes: &[u8]| nsm.exchange_bytes(bytes);
    assert_eq!(answer(&[0; 0x1001]), b"\xa1\x65Error\x6dInputTooLarge");
    assert_eq!(answer(b"\xff"), b"\xa1\x65Error\x70InvalidOperation");
    assert_eq!(answer(b"\x66Reboot"), b"\xa1\x65Error\x70InvalidOperation");
    assert_eq!(
        answer(b"\xa1\x67LockPCR\xa0"),
        b"\xa1\x65Error\x6fInvalidArgument"
    );
    assert_eq!(answer(b"\xa1\x67LockPCR\xa1\x65index\x10"), b"\x67LockPCR");
}

#[test]
fn the_payload_map_has_both_forms() {
    let head = |form: PayloadForm| {
        let nsm = mock_with(|config| config.payload_form = form);
        nsm.attest(AttestationRequest::default()).unwrap()[10]
    };
    assert_eq!(head(PayloadForm::Indefinite), 0xbf);
    assert_eq!(head(PayloadForm::Definite), 0xa9);
}

#[test]
fn leaves_roll_over_with_the_clock_and_a_restart_clears_the_registers() {
    let clock = Arc::new(ManualClock::new(NOW));
    let nsm = mock_with(|config| config.clock = Arc::clone(&clock) as Arc<dyn Clock>);
    let leaf = |nsm: &MockNsm| {
        let identity = &nsm.config.identity;
        let mut state = nsm.lock_state();
        state
            .issuer
            .chain(&nsm.authority, identity, clock.now())
            .leaf
            .clone()
    };
    let first = leaf(&nsm);
    clock.advance_millis(60 * 60 * 1000);
    assert_eq!(leaf(&nsm), first);
    clock.advance_millis(2 * 60 * 60 * 1000);
    assert_ne!(leaf(&nsm), first);
    nsm.extend_pcr(16, b"x").unwrap();
    nsm.restart();
    assert_eq!(value(&nsm, 16), ZERO_MEASUREMENT);
}

#[test]
fn every_fault_shows() {
    let nsm = mock();
    let attest = |nsm: &MockNsm| nsm.attest(AttestationRequest::default());
    let good = attest(&nsm).unwrap();

    nsm.inject(Fault::once(
        FaultKind::Answer(ErrorCode::InternalError),
        RequestKind::GetRandom,
    ));
    assert_eq!(code(nsm.random()), ErrorCode::InternalError);
    assert!(nsm.random().is_ok());

    nsm.inject(Fault::once(FaultKind::Malformed, RequestKind::GetRandom));
    assert_eq!(
        nsm.random(),
        Err(NsmError::Transport(TransportError::Malformed))
    );

    nsm.inject(Fault::once(FaultKind::WrongKey, RequestKind::Attestation));
    let forged = attest(&nsm).unwrap();
    let signature_at = good.len() - 96;
    assert!(forged[..signature_at] == good[..signature_at]);
    assert!(forged[signature_at..] != good[signature_at..]);

    nsm.inject(Fault::always(FaultKind::ClockShift(-3_600_000)));
    let shifted = OwnDocument::read(&attest(&nsm).unwrap()).unwrap();
    assert_eq!(shifted.timestamp, UnixMillis(NOW - 3_600_000));
    nsm.clear_faults();

    nsm.inject(Fault::once(
        FaultKind::Slow(Duration::from_millis(30)),
        RequestKind::DescribeNsm,
    ));
    let started = Instant::now();
    nsm.describe().unwrap();
    assert!(started.elapsed() >= Duration::from_millis(30));

    nsm.restart();
    assert!(attest(&nsm).unwrap() == good);
}

#[test]
fn threads_share_one_module() {
    let nsm = Arc::new(mock());
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let nsm = Arc::clone(&nsm);
            std::thread::spawn(move || {
                for _ in 0..50 {
                    nsm.extend_pcr(16, b"x").unwrap();
                }
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    let expected = (0..400).fold(ZERO_MEASUREMENT, |old, _| extended(&old, b"x"));
    assert_eq!(value(&nsm, 16), expected);
}

/// Whatever the bytes are, there is an answer that a client can read, and no panic.
#[test]
fn any_bytes_get_a_readable_answer() {
    let nsm = mock();
    let requests = [
        encode_request(&Request::DescribePcr { index: 3 }),
        encode_request(&Request::ExtendPcr {
            index: 16,
            data: vec![1; 8],
        }),
        encode_request(&Request::LockPcrs { range: 16 }),
        encode_request(&Request::GetRandom),
    ];
    // A small generator of our own, so that the run is the same every time.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for round in 0..20_000_usize {
        let mut bytes = requests[round % requests.len()].clone();
        for _ in 0..=next() % 4 {
            let at = usize::try_from(next()).unwrap() % bytes.len();
            bytes[at] = u8::try_from(next() & 0xff).unwrap();
        }
        bytes.truncate(usize::try_from(next()).unwrap() % (bytes.len() + 1));
        let answer = nsm.exchange_bytes(&bytes);
        assert!(
            crate::wire::decode_response(&answer).is_ok(),
            "{}",
            hex::encode(&bytes)
        );
    }
}
