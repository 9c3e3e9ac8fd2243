//! The raw cryptography of one key release, as the key service pays it: what `scripts/bench` divides
//! the service's CPU time per release by.

use std::time::Duration;

use narthex_channel::{
    Accepting, HandshakeHash, Initiator, KeyName, Opening, Progress, RecipientKey, Responder,
    SealContext, SecretBytes, StaticSecret, frame::Decoder, keys::Shares, seal,
};
use narthex_nsm::mock::mint::{DevelopmentAuthority, DocumentRecipe};
use narthex_verifier::internals::RawCheck;
use narthex_verifier::{AttestationDocument, Backend};

use crate::measure::{Row, medians, print};

/// Measures it, prints it, and returns the sum: one raw check, the responder's half of a handshake, one seal.
pub fn run() -> Duration {
    let document =
        DocumentRecipe::new(&DevelopmentAuthority::insecure_fixed(), 1_767_225_600_000).mint();
    let parsed = AttestationDocument::parse(&document).expect("mock document");
    let raw = RawCheck::of(&parsed).expect("mock leaf");
    let secret = StaticSecret::from_bytes(&[7; 32]);
    let service = secret.public();
    let recipient = RecipientKey::generate().expect("random bytes");
    let hash = HandshakeHash::from_bytes([9; 32]);
    let name = KeyName::new("example").expect("a good name");
    let key = SecretBytes::from(vec![3; 32]);

    // A responder draws its own ephemeral key, so one first flight serves as often as another.
    let (_, bytes) = Initiator::new(&Opening::Keys { service }).expect("random bytes");
    let mut decoder = Decoder::new();
    decoder.push(&bytes);
    let flight: Vec<_> = std::iter::from_fn(|| decoder.next_frame().expect("frames")).collect();

    let mut rows = vec![
        Row::new("one raw signature check, aws-lc (a known leaf)", 20, || {
            raw.run(Backend::AwsLc)
        }),
        Row::new("Noise NK handshake, the responder's half", 20, || {
            let mut responder = Responder::new(&Accepting::Keys { secret: &secret });
            for frame in &flight {
                match responder.receive(frame) {
                    Ok(Progress::Awaiting(next)) => responder = next,
                    Ok(Progress::Established { .. }) => return true,
                    Err(_) => return false,
                }
            }
            false
        }),
        Row::new("HPKE seal to X-Wing", 20, || {
            let context = SealContext {
                handshake_hash: &hash,
                name: &name,
                version: 1,
                shares: Shares::Service,
            };
            seal(recipient.public(), &context, &key).is_ok()
        }),
    ];
    let medians = medians(&mut rows);
    print(
        "Cryptography of one release",
        &rows,
        &medians,
        medians[0],
        "one raw check",
    );
    let raw = medians.iter().sum();
    println!("  together {:>46.1} us", micros(raw));
    raw
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
