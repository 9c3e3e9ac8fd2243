//! What is stored, and what its digest depends on.

use super::*;

const SALT: Salt = Salt([9; 32]);

fn samples() -> Vec<Evidence> {
    vec![
        Evidence::policy_file(b"bundle", &["second", "first"]).unwrap(),
        Evidence::order(b"order", b"signature", &["two", "one"]).unwrap(),
        Evidence::order(b"order", b"signature", &[""; 0]).unwrap(),
        Evidence::administration(b"order", b"signature", &["one"]).unwrap(),
        Evidence::key_request(&[1; 32], b"document", b"request").unwrap(),
        Evidence::statement(&[1; 32], b"document", b"").unwrap(),
    ]
}

fn salted(evidence: Evidence) -> SaltedEvidence {
    SaltedEvidence {
        salt: SALT,
        evidence,
    }
}

#[test]
fn what_is_stored_reads_back() {
    for evidence in samples() {
        let stored = salted(evidence);
        let bytes = stored.to_bytes();
        assert_eq!(SaltedEvidence::from_bytes(&bytes).unwrap(), stored);
        assert_eq!(
            SaltedEvidence::open(&stored.digest(), &bytes).unwrap(),
            stored
        );
    }
}

#[test]
fn the_bytes_are_as_documented() {
    let evidence = Evidence::order(b"order", b"signature", &["b", "a", "b"]).unwrap();
    let body =
        b"narthex-evidence/v1 order 4\n\0\0\0\x05order\0\0\0\x09signature\0\0\0\x01a\0\0\0\x01b";
    assert_eq!(evidence.to_body(), body);
    let mut hashed = Vec::new();
    for part in [b"narthex/v1/evidence".as_slice(), &SALT.0, body] {
        hashed.extend_from_slice(&(part.len() as u64).to_be_bytes());
        hashed.extend_from_slice(part);
    }
    let expected: [u8; 48] = Sha384::digest(&hashed).into();
    assert_eq!(evidence.digest(&SALT), EvidenceDigest(expected));
    assert_eq!(
        salted(evidence).to_bytes(),
        [SALT.0.as_slice(), body].concat()
    );
}

/// Salt, kind, and where one part ends and the next begins: each changes the digest.
#[test]
fn the_digest_depends_on_everything() {
    let policy = |file: &[u8], signatures: &[&str]| {
        Evidence::policy_file(file, signatures)
            .unwrap()
            .digest(&SALT)
    };
    let mut digests = vec![
        policy(b"ab", &["c", "d"]),
        policy(b"a", &["bc", "d"]),
        policy(b"a", &["b", "cd"]),
        policy(b"ab", &["d", "c"]),
        policy(b"ab", &["cd"]),
        policy(b"abcd", &[""]),
        policy(b"ab", &["c", "d", ""]),
        policy(b"ab", &["", "c", "d"]),
        Evidence::order(b"ab", b"c", &["d"]).unwrap().digest(&SALT),
        Evidence::administration(b"ab", b"c", &["d"])
            .unwrap()
            .digest(&SALT),
        Evidence::policy_file(b"ab", &["c", "d"])
            .unwrap()
            .digest(&Salt([8; 32])),
        Evidence::key_request(&[1; 32], b"a", b"b")
            .unwrap()
            .digest(&SALT),
        Evidence::key_request(&[2; 32], b"a", b"b")
            .unwrap()
            .digest(&SALT),
        Evidence::statement(&[1; 32], b"a", b"b")
            .unwrap()
            .digest(&SALT),
    ];
    let count = digests.len();
    digests.sort_unstable();
    digests.dedup();
    assert_eq!(digests.len(), count);
}

#[test]
fn one_changed_byte_is_noticed() {
    for evidence in samples() {
        let stored = salted(evidence);
        let (digest, bytes) = (stored.digest(), stored.to_bytes());
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let error = SaltedEvidence::open(&digest, &changed).unwrap_err();
            assert_eq!(error.id(), "log.evidence");
            assert!(SaltedEvidence::open(&digest, &bytes[..at]).is_err());
        }
    }
}

#[test]
fn another_form_is_refused() {
    let body = |body: &[u8]| {
        let bytes = [SALT.0.as_slice(), body].concat();
        let read = SaltedEvidence::from_bytes(&bytes);
        if let Ok(read) = &read {
            assert_eq!(read.to_bytes(), bytes, "one form only");
        }
        read.map_err(|error| assert_eq!(error.id(), "log.evidence"))
            .is_ok()
    };
    assert!(body(b"narthex-evidence/v1 order 2\n\0\0\0\0\0\0\0\0"));
    let hash = [0; 32];
    for wrong in [
        b"".as_slice(),
        b"narthex-evidence/v1 order 2",
        b"narthex-evidence/v2 order 2\n\0\0\0\0\0\0\0\0",
        b"narthex-evidence/v1 other 2\n\0\0\0\0\0\0\0\0",
        b"narthex-evidence/v1 order 02\n\0\0\0\0\0\0\0\0",
        b"narthex-evidence/v1 order +2\n\0\0\0\0\0\0\0\0",
        b"narthex-evidence/v1 order -2\n\0\0\0\0\0\0\0\0",
        b"narthex-evidence/v1 order  2\n\0\0\0\0\0\0\0\0",
        b"narthex-evidence/v1 order 2 \n\0\0\0\0\0\0\0\0",
        b"narthex-evidence/v1 order 2\r\n\0\0\0\0\0\0\0\0",
        b"narthex-evidence/v1 order 1\n\0\0\0\0",
        b"narthex-evidence/v1 order 0\n",
        b"narthex-evidence/v1 order 3\n\0\0\0\0\0\0\0\0",
        b"narthex-evidence/v1 order 2\n\0\0\0\0\0\0\0",
        b"narthex-evidence/v1 order 2\n\0\0\0\0\0\0\0\0\0",
        b"narthex-evidence/v1 order 2\n\0\0\0\0\xff\xff\xff\xff",
        b"narthex-evidence/v1 order 4\n\0\0\0\0\0\0\0\0\0\0\0\x01b\0\0\0\x01a",
        b"narthex-evidence/v1 order 4\n\0\0\0\0\0\0\0\0\0\0\0\x01a\0\0\0\x01a",
        b"narthex-evidence/v1 order 18446744073709551616\n",
        b"narthex-evidence/v1 key-request 3\n\0\0\0\0\0\0\0\0\0\0\0\0",
        b"narthex-evidence/v1 statement 2\n\0\0\0\0\0\0\0\0",
        &[0xff; 40],
    ] {
        assert!(!body(wrong), "{:?}", String::from_utf8_lossy(wrong));
    }
    let short = Evidence::new(EvidenceKind::KeyRequest, vec![hash[1..].to_vec(); 3]);
    assert!(short.is_err());
    assert!(SaltedEvidence::from_bytes(&hash[1..]).is_err());
}

#[test]
fn size_and_parts_are_bounded() {
    let large = vec![0; MAX_EVIDENCE];
    assert!(Evidence::policy_file(&large, &["s"]).is_err());
    let most = vec![0; MAX_EVIDENCE - 200];
    let evidence = Evidence::policy_file(&most, &["s"]).unwrap();
    let bytes = salted(evidence).to_bytes();
    assert!(bytes.len() <= MAX_EVIDENCE);
    assert!(SaltedEvidence::from_bytes(&bytes).is_ok());
    assert!(Evidence::policy_file(b"", &["s"; MAX_EVIDENCE_PARTS - 1]).is_ok());
    assert!(Evidence::policy_file(b"", &["s"; MAX_EVIDENCE_PARTS]).is_err());
    assert!(Evidence::policy_file(b"", &[""; 0]).is_err());
    assert!(SaltedEvidence::from_bytes(&vec![b' '; MAX_EVIDENCE + 1]).is_err());
}
