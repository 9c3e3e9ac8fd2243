//! The NSM of a virtual machine, through Linux's driver: all seven requests, what it refuses, and documents that
//! verify.

// A scenario panics when something is not as it should be: that is how it says so.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used
)]
use std::collections::BTreeSet;
use std::fs;

use narthex_nsm::mock::mint::{DevelopmentAuthority, Identity, measurement_of};
use narthex_nsm::mock::{MockConfig, MockNsm};
use narthex_nsm::{
    AttestationRequest, DigestAlgorithm, ErrorCode, MAX_REQUEST_BYTES, Nsm, Request, Response,
};
use narthex_policy::Digest384;
use narthex_tests::lab::Lab;
use narthex_tests::lab::enclave::{Image, ROLE_ARN};
use narthex_tests::lab::process::Said;
use narthex_tests::machine::deployment::Deployment;
use narthex_tests::machine::tools::Tools;

/// Requests in an order in which each register is seen open, extended and locked, and every error that an NSM has
/// for them.
fn every_request() -> Vec<Request> {
    let extend = |index, length: usize| Request::ExtendPcr {
        index,
        data: vec![7; length],
    };
    let describe = |index| Request::DescribePcr { index };
    let lock = |index| Request::LockPcr { index };
    let lock_to = |range| Request::LockPcrs { range };
    let attest = |user_data: Option<usize>| {
        Request::Attestation(AttestationRequest {
            user_data: user_data.map(|length| vec![1; length]),
            nonce: user_data.map(|length| vec![2; length]),
            public_key: user_data.map(|length| vec![3; length]),
        })
    };
    vec![
        Request::DescribeNsm,
        Request::GetRandom,
        describe(0),
        describe(15),
        describe(16),
        describe(31),
        describe(32),
        describe(u16::MAX),
        extend(0, 48),
        extend(15, 1),
        extend(16, 48),
        extend(16, 1),
        extend(16, 0),
        extend(17, 1000),
        extend(31, 48),
        extend(32, 48),
        extend(18, MAX_REQUEST_BYTES),
        attest(None),
        attest(Some(0)),
        attest(Some(512)),
        attest(Some(1024)),
        lock(0),
        lock(16),
        lock(16),
        lock(32),
        extend(16, 48),
        describe(16),
        attest(Some(48)),
        lock_to(18),
        describe(17),
        extend(17, 48),
        lock_to(18),
        lock_to(0),
        lock_to(33),
        lock_to(u16::MAX),
        lock_to(32),
        describe(31),
        extend(31, 48),
        Request::DescribeNsm,
        attest(None),
    ]
}

/// Where QEMU's module differs from AWS's, which the mock follows. It reads indexes as numbers of 8 bits.
fn known_difference(request: &Request) -> Option<Response> {
    let wide = matches!(
        request,
        Request::DescribePcr { index } | Request::LockPcr { index } | Request::ExtendPcr { index, .. }
            if *index > 255
    ) || matches!(request, Request::LockPcrs { range } if *range > 255);
    wide.then_some(Response::Error(ErrorCode::InvalidOperation))
}

/// What must be equal between two NSMs: everything but random bytes and documents.
fn comparable(response: Response) -> Response {
    match response {
        Response::GetRandom { random } => Response::GetRandom {
            random: vec![0; random.len()],
        },
        Response::Attestation { .. } => Response::Attestation { document: vec![] },
        other => other,
    }
}

#[test]
fn linux_and_the_module_answer_every_request_as_the_mock_does() {
    let Some(tools) = Tools::find("linux_and_the_module_answer_every_request_as_the_mock_does")
    else {
        return;
    };
    let deployment = Deployment::start(tools);
    let lab = &deployment.lab;
    let image = deployment.handout_image("bare");
    let mut handout = deployment.hand_out("bare", &deployment.plan(&image));
    let nsm = &handout.nsm;

    // What it is, and what it measured.
    let description = nsm.describe().expect("a description");
    assert_eq!(description.module_id, handout.machine.module_id());
    assert_eq!(
        (
            description.version_major,
            description.max_pcrs,
            description.digest
        ),
        (1, 32, DigestAlgorithm::Sha384)
    );
    assert_eq!(
        description.locked_pcrs,
        (0..16).collect::<BTreeSet<u16>>(),
        "registers that are locked at boot"
    );
    let (instance_id, enclave_id) = description.module_id.split_once("-enc").expect("an id");
    let Image { pcrs } = image.measurements;
    let expected = [
        pcrs[0],
        pcrs[1],
        pcrs[2],
        measurement_of(ROLE_ARN.as_bytes()),
        measurement_of(instance_id.as_bytes()),
    ];
    for (index, expected) in (0..).zip(expected) {
        let state = nsm.describe_pcr(index).expect("a register");
        assert!(state.locked, "PCR{index}");
        assert_eq!(hex::encode(state.data), hex::encode(expected), "PCR{index}");
    }
    let unsigned = nsm.describe_pcr(8).expect("PCR8");
    assert!(unsigned.data.iter().all(|byte| *byte == 0));
    let (one, other) = (nsm.random().expect("256"), nsm.random().expect("256"));
    assert_eq!(one.len(), 256);
    assert_ne!(one, other);

    // The same as the mock that every other test relies on, request by request.
    let config = MockConfig {
        identity: Identity {
            instance_id: instance_id.to_owned(),
            enclave_id: enclave_id.to_owned(),
            ..Identity::example()
        },
        pcr0: pcrs[0],
        pcr1: pcrs[1],
        pcr2: pcrs[2],
        role_arn: Some(ROLE_ARN.to_owned()),
        ..MockConfig::example()
    };
    let mock = MockNsm::new(DevelopmentAuthority::insecure_fixed(), config);
    let mut documents = Vec::new();
    for (number, request) in every_request().iter().enumerate() {
        let answer = nsm.exchange(request).expect("an answer");
        if let Response::Attestation { document } = &answer {
            documents.push(document.clone());
        }
        let as_mocked = mock.exchange(request).expect("an answer");
        let expected = match known_difference(request) {
            Some(difference) => {
                assert_ne!(difference, as_mocked, "request {number} differs no more");
                difference
            }
            None => as_mocked,
        };
        assert_eq!(
            comparable(answer),
            comparable(expected),
            "request {number}, {request:?}"
        );
    }
    assert_eq!(documents.len(), 6);

    // The documents carry what was asked, and verify under the signer's root and no other.
    let last = AttestationRequest {
        nonce: Some(vec![9; 16]),
        user_data: Some(b"a digest".to_vec()),
        public_key: Some(vec![4; 97]),
    };
    documents.push(nsm.attest(last).expect("a document"));
    for document in &documents {
        fs::write(lab.path("document.bin"), document).expect("a document");
        verify(lab, &image.measurements, &["--root", "root.der"]).done();
        verify(lab, &image.measurements, &[]).refused("chain.development_root");
        verify(lab, &Image::of("another"), &["--root", "root.der"]).refused("pcr.0");
    }
    let (nonce, data) = (hex::encode([9; 16]), hex::encode("a digest"));
    let asked = |nonce: &str, data: &str| {
        let more = ["--root", "root.der", "--nonce", nonce, "--user-data", data];
        verify(lab, &image.measurements, &more)
    };
    asked(&nonce, &data).done();
    asked(&hex::encode([8; 16]), &data).refused("bind.nonce");
    asked(&nonce, &hex::encode("another digest")).refused("bind.user_data");
    handout.end();
}

/// `narthex verify` of the last document.
fn verify(lab: &Lab, image: &Image, more: &[&str]) -> Said {
    let pcr = |number: usize| format!("{number}={}", hex::encode(image.pcrs[number]));
    let pcrs = [0, 1, 2].map(pcr);
    let expected = ["--pcr", &pcrs[0], "--pcr", &pcrs[1], "--pcr", &pcrs[2]];
    lab.narthex(&[&["verify", "document.bin"], &expected[..], more].concat())
}

#[test]
fn a_module_whose_documents_nobody_signs_gives_none() {
    let Some(tools) = Tools::find("a_module_whose_documents_nobody_signs_gives_none") else {
        return;
    };
    let deployment = Deployment::start(tools);
    let image = deployment.handout_image("bare");
    let mut plan = deployment.plan(&image);
    // There is no such signer: the machine goes on without documents, and everything else works.
    plan.signer = Some(deployment.lab.path("nobody.sock"));
    let handout = deployment.hand_out("unsigned", &plan);
    let refused = handout
        .nsm
        .exchange(&Request::Attestation(AttestationRequest::default()));
    assert_eq!(refused, Ok(Response::Error(ErrorCode::InternalError)));
    let bundle = Digest384::of(b"anything").0;
    let extended = handout.nsm.extend_pcr(16, &bundle).expect("PCR16");
    let zeros = [0; 48];
    assert_eq!(extended, Digest384::of(&[zeros, bundle].concat()).0);
}
