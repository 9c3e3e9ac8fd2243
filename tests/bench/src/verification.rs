//! Cold, known-instance and warm verification per backend, and a peer, against raw signature checks.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use narthex_nsm::mock::mint::{ChainRecipe, DevelopmentAuthority, DocumentRecipe, Identity};
use narthex_verifier::internals::RawCheck;
use narthex_verifier::{
    AttestationDocument, Backend, ChainCache, Digest384, Expectations, ReplayAt, TrustAnchors,
    UnixMillis, VerificationContext,
};

use crate::measure::{Row, medians, print};

/// When the mock documents are made and judged.
const NOW: u64 = 1_767_225_600_000;
/// A genuine document without debug mode, if the folder is there; the peer accepts no other root.
const GENUINE: &str = "mystenlabs-nautilus-20250415-7e916453.bin";

pub fn run(documents: Option<&Path>) {
    let authority = DevelopmentAuthority::insecure_fixed();
    let first = DocumentRecipe::new(&authority, NOW);
    let mut second = first.clone();
    // The same instance, an hour later: another leaf under the same four certificates.
    second.chain.leaf = ChainRecipe::new(&authority, &Identity::example(), NOW - 3_600_000).leaf;
    let (first, second) = (first.mint(), second.mint());
    let anchors =
        TrustAnchors::from_root_certificate(authority.root_certificate()).expect("dev-root");
    let now = UnixMillis::from_millis(NOW);
    let parsed = AttestationDocument::parse(&first).expect("mock document");
    let raw = RawCheck::of(&parsed).expect("mock leaf");

    let other = Digest384::new([1; 48]);
    let wrong_image = Expectations::builder()
        .image(other, other, other)
        .build()
        .expect("not empty");

    let genuine = documents.and_then(|folder| std::fs::read(folder.join(GENUINE)).ok());
    let mut rows = Vec::new();
    for &backend in Backend::ALL {
        let id = backend.id();
        let (first, second, anchors, raw) = (&first, &second, &anchors, &raw);
        rows.push(Row::new(format!("{id}: one raw check"), 20, move || {
            raw.run(backend)
        }));
        rows.push(Row::new(format!("{id}: cold (5 checks)"), 5, move || {
            let mut context = VerificationContext::new(backend);
            let verified = verify(anchors, first, now, &mut context);
            verified && context.signature_checks() == 5
        }));
        let mut known = VerificationContext::new(backend).with_cache(ChainCache::with_capacity(1));
        let mut turn = false;
        rows.push(Row::new(
            format!("{id}: known instance, new leaf (2 checks)"),
            10,
            move || {
                // A cache of one leaf forgets the other one: each document in turn is a new leaf.
                turn = !turn;
                let before = known.signature_checks();
                let verified = verify(anchors, if turn { second } else { first }, now, &mut known);
                verified && (before == 0 || known.signature_checks() - before == 2)
            },
        ));
        let mut warm = VerificationContext::new(backend).with_cache(ChainCache::with_capacity(1));
        assert!(verify(anchors, first, now, &mut warm));
        rows.push(Row::new(format!("{id}: warm (1 check)"), 20, move || {
            let before = warm.signature_checks();
            verify(anchors, first, now, &mut warm) && warm.signature_checks() - before == 1
        }));
    }
    {
        let (first, anchors, wrong_image) = (&first, &anchors, &wrong_image);
        rows.push(Row::new(
            "refused without a signature: wrong PCR",
            200,
            move || {
                let parsed = AttestationDocument::parse(first).expect("mock document");
                let mut context = VerificationContext::default();
                anchors
                    .verify_and_appraise(&parsed, wrong_image, now, &mut context)
                    .is_err()
                    && context.signature_checks() == 0
            },
        ));
        rows.push(Row::new(
            "refused without a signature: wrong root",
            200,
            move || {
                let parsed = AttestationDocument::parse(first).expect("mock document");
                let mut context = VerificationContext::default();
                TrustAnchors::aws()
                    .verify(&parsed, now, &mut context)
                    .is_err()
                    && context.signature_checks() == 0
            },
        ));
    }
    if let Some(genuine) = &genuine {
        let parsed = AttestationDocument::parse(genuine).expect("genuine document");
        let at = parsed.fields().timestamp();
        let peer_at =
            time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.as_millis()) * 1_000_000)
                .expect("a time of this century");
        for &backend in Backend::ALL {
            rows.push(Row::new(
                format!("{}: cold, genuine document", backend.id()),
                5,
                move || {
                    let parsed = AttestationDocument::parse(genuine).expect("genuine document");
                    TrustAnchors::aws()
                        .verify_replay(
                            &parsed,
                            ReplayAt::Time(at),
                            &mut VerificationContext::new(backend),
                        )
                        .is_ok()
                },
            ));
        }
        rows.push(Row::new(
            "peer nitro_attest 0.2.0: genuine document",
            5,
            move || {
                nitro_attest::UnparsedAttestationDoc::from(genuine.as_slice())
                    .parse_and_verify(peer_at)
                    .is_ok()
            },
        ));
    }

    let medians = medians(&mut rows);
    let of = |name: &str| {
        rows.iter()
            .zip(&medians)
            .find(|(row, _)| row.name == name)
            .map(|(_, median)| *median)
    };
    let unit = of("aws-lc: one raw check").expect("measured above");
    print(
        "Verification",
        &rows,
        &medians,
        unit,
        "U, one raw check with aws-lc",
    );

    println!("\nAgainst the goals");
    for id in ["p384", "aws-lc"] {
        let raw = of(&format!("{id}: one raw check")).expect("measured above");
        for (name, checks, goal) in [
            ("cold (5 checks)", 5, 1.05),
            ("known instance, new leaf (2 checks)", 2, 1.05),
            ("warm (1 check)", 1, 1.05),
        ] {
            let spent = of(&format!("{id}: {name}")).expect("measured above");
            goal_line(
                &format!("{id}: {name} / raw"),
                ratio(spent, raw * checks),
                goal,
                true,
            );
        }
        let cold = of(&format!("{id}: cold (5 checks)")).expect("measured above");
        let rest = cold.saturating_sub(raw * 5);
        goal_line(
            &format!("{id}: cold, all that is no signature, in U"),
            ratio(rest, unit),
            0.08,
            true,
        );
    }
    for name in ["wrong PCR", "wrong root"] {
        let spent = of(&format!("refused without a signature: {name}")).expect("measured above");
        goal_line(
            &format!("refusal without a signature, {name}, in U"),
            ratio(spent, unit),
            0.08,
            true,
        );
    }
    if let Some(peer) = of("peer nitro_attest 0.2.0: genuine document") {
        let cold = of("aws-lc: cold, genuine document").expect("measured above");
        let warm = of("aws-lc: warm (1 check)").expect("measured above");
        goal_line("peer / our cold, aws-lc", ratio(peer, cold), 2.9, false);
        goal_line("peer / our warm, aws-lc", ratio(peer, warm), 14.0, false);
    } else {
        println!("  peer: not measured, the genuine documents are not there");
    }
    let scaling = two_threads(&anchors, &first, now);
    goal_line(
        "two threads / one, cold, aws-lc, wall time",
        scaling,
        1.85,
        false,
    );
}

/// One complete verification.
fn verify(
    anchors: &TrustAnchors,
    document: &[u8],
    now: UnixMillis,
    context: &mut VerificationContext,
) -> bool {
    AttestationDocument::parse(document)
        .is_ok_and(|parsed| anchors.verify(&parsed, now, context).is_ok())
}

/// Documents per second of two threads over those of one; the best of several tries, because
/// another program on the machine can only make it look worse.
fn two_threads(anchors: &TrustAnchors, document: &[u8], now: UnixMillis) -> f64 {
    const DOCUMENTS: u32 = 300;
    let work = || {
        for _ in 0..DOCUMENTS {
            assert!(verify(
                anchors,
                document,
                now,
                &mut VerificationContext::new(Backend::AwsLc)
            ));
        }
    };
    (0..7)
        .map(|_| {
            let start = Instant::now();
            work();
            let one = start.elapsed();
            let start = Instant::now();
            thread::scope(|scope| {
                scope.spawn(work);
                scope.spawn(work);
            });
            2.0 * ratio(one, start.elapsed())
        })
        .fold(0.0, f64::max)
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

fn goal_line(name: &str, value: f64, goal: f64, at_most: bool) {
    let (sign, met) = if at_most {
        ("<=", value <= goal)
    } else {
        (">=", value >= goal)
    };
    println!(
        "  {name:<58} {value:>7.3}   goal {sign} {goal}   {}",
        if met { "met" } else { "NOT MET" }
    );
}
