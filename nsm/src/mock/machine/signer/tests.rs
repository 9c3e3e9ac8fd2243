//! What becomes of a captured document, and the socket that does it.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, atomic};
use std::time::Duration;

use super::*;
use crate::mock::clock::ManualClock;
use crate::mock::fault::FaultKind;
use crate::mock::server::{Server, ServerLimits};
use crate::nsm::{MAX_RESPONSE_BYTES, Response};
use crate::own_document;
use crate::wire::encode_response;

const CAPTURED: &[u8] = include_bytes!("../../../../tests/machine/unsigned-1.bin");
const NOW: u64 = 1_785_785_775_857;

impl Clock for Arc<ManualClock> {
    fn now(&self) -> UnixMillis {
        self.as_ref().now()
    }
}

fn signer() -> (MachineSigner, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(NOW));
    let authority = DevelopmentAuthority::insecure_fixed();
    (MachineSigner::new(authority, Arc::clone(&clock)), clock)
}

fn captured_with(from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = CAPTURED
        .windows(from.len())
        .position(|window| window == from)
        .unwrap();
    let mut changed = CAPTURED.to_vec();
    changed[at..at + to.len()].copy_from_slice(to);
    changed
}

#[test]
fn the_machine_says_what_and_the_signer_says_when() {
    let (signer, _) = signer();
    let document = signer.sign(CAPTURED).unwrap();
    // Untagged COSE_Sign1 with ES384, as AWS writes it.
    assert_eq!(document[..7], [0x84, 0x44, 0xa1, 0x01, 0x38, 0x22, 0xa0]);
    assert_eq!(own_document::timestamp(&document).unwrap(), UnixMillis(NOW));
    assert_eq!(
        own_document::module_id(&document).unwrap(),
        "i-0123456789abcdef0-enc0123456789abcdef"
    );
    let unsigned = UnsignedDocument::parse(CAPTURED).unwrap();
    for (index, value) in &unsigned.pcrs {
        let entry = [[*index, 0x58, 48].as_slice(), value].concat();
        assert!(document.windows(entry.len()).any(|window| window == entry));
    }
    for field in [
        b"user_data\x45hello".as_slice(),
        b"nonce\x44\x01\x02\x03\x04",
        b"public_key\xf6",
    ] {
        assert!(document.windows(field.len()).any(|window| window == field));
    }
}

#[test]
fn the_longest_document_fits_into_the_answer() {
    let (signer, _) = signer();
    let unsigned = UnsignedDocument {
        pcrs: (0..32).map(|index| (index, [7; 48])).collect(),
        public_key: Some(vec![1; 1024]),
        user_data: Some(vec![2; 1024]),
        nonce: Some(vec![3; 1024]),
        ..UnsignedDocument::parse(CAPTURED).unwrap()
    };
    let document = signer.mint(unsigned, &Misbehaviour::default());
    let answer = encode_response(&Response::Attestation { document });
    assert!((8000..MAX_RESPONSE_BYTES).contains(&answer.len()));
}

#[test]
fn time_goes_on_and_never_back() {
    let (signer, clock) = signer();
    let time = || own_document::timestamp(&signer.sign(CAPTURED).unwrap()).unwrap();
    clock.advance_millis(3);
    assert_eq!(time(), UnixMillis(NOW + 3));
    clock.set(NOW - 60_000);
    assert_eq!(time(), UnixMillis(NOW + 3));
    clock.set(NOW + 4);
    assert_eq!(time(), UnixMillis(NOW + 4));
}

#[test]
fn a_leaf_serves_until_shortly_before_its_end_and_one_machine_only() {
    let (signer, clock) = signer();
    let leaf_of = |unsigned: &[u8]| {
        signer.sign(unsigned).unwrap();
        let mut state = signer.lock_state();
        let identity = state.identity.clone().unwrap();
        let now = clock.now();
        state
            .issuer
            .chain(&signer.authority, &identity, now)
            .leaf
            .clone()
    };
    let first = leaf_of(CAPTURED);
    clock.advance_millis(1000);
    assert_eq!(leaf_of(CAPTURED), first);
    let other = captured_with(b"enc0123456789abcdef", b"enc0123456789abcdee");
    assert_ne!(leaf_of(&other), first);
    clock.advance_millis(3 * 3600 * 1000 - 15 * 60 * 1000);
    assert_ne!(leaf_of(CAPTURED), first);
}

#[test]
fn what_nobody_can_read_is_not_signed() {
    let (signer, _) = signer();
    let error = UnsignedDocumentError::NotUnsigned("protected header");
    let signed = signer.sign(CAPTURED).unwrap();
    assert_eq!(signer.sign(&signed), Err(SignError::Unreadable(error)));
}

#[test]
fn faults_happen_as_they_do_in_the_mock() {
    let (signer, _) = signer();
    let good = signer.sign(CAPTURED).unwrap();
    let once = |kind| signer.inject(Fault::once(kind, RequestKind::Attestation));
    once(FaultKind::WrongKey);
    let forged = signer.sign(CAPTURED).unwrap();
    assert_eq!(forged.len(), good.len());
    assert_ne!(forged[forged.len() - 96..], good[good.len() - 96..]);
    once(FaultKind::ClockShift(-5000));
    let late = own_document::timestamp(&signer.sign(CAPTURED).unwrap()).unwrap();
    assert_eq!(late, UnixMillis(NOW - 5000));
    once(FaultKind::Malformed);
    assert_eq!(signer.sign(CAPTURED).unwrap().len(), good.len() / 2);
    once(FaultKind::Answer(ErrorCode::InternalError));
    let injected = SignError::Injected(ErrorCode::InternalError);
    assert!(signer.sign(CAPTURED) == Err(injected));
    assert!(signer.sign(CAPTURED).is_ok());
}

#[test]
fn the_socket_signs_refuses_and_says_why() {
    let (signer, _) = signer();
    let refusals = Arc::new(atomic::AtomicUsize::new(0));
    let heard = Arc::clone(&refusals);
    let signer = signer.on_refusal(move |error| {
        assert!(error.to_string().contains("not as QEMU writes it"));
        heard.fetch_add(1, atomic::Ordering::SeqCst);
    });
    let signer = Arc::new(signer);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sign");
    let server = Server::bind(&path, Arc::clone(&signer), ServerLimits::default());
    let _running = server.unwrap().spawn().unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut ask = |length: usize, request: &[u8]| {
        let length = u32::try_from(length).unwrap().to_be_bytes();
        stream
            .write_all(&[length.as_slice(), request].concat())
            .unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut answer).unwrap();
        answer
    };
    assert!(ask(CAPTURED.len(), CAPTURED) == signer.sign(CAPTURED).unwrap());
    assert_eq!(ask(3, b"abc"), b"");
    assert_eq!(refusals.load(atomic::Ordering::SeqCst), 1);
    // Still the same connection; what is too long is refused unread.
    assert_eq!(ask(MAX_UNSIGNED_BYTES + 1, b""), b"");
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}
