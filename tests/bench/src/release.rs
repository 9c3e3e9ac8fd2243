//! The raw cryptography of one key release, as the key service pays it: what `scripts/bench` divides
//! the service's CPU time per release by.

use narthex_channel::{
    Accepting, HandshakeHash, Initiator, KeyName, Opening, Progress, RecipientKey, Responder,
    SealContext, SecretBytes, StaticSecret, frame::Decoder, keys::Shares, seal,
};
use narthex_nsm::mock::mint::{DevelopmentAuthority, DocumentRecipe};
use narthex_verifier::internals::RawCheck;
use narthex_verifier::{AttestationDocument, Backend};

use crate::measure::{Row, medians, print};

pub fn run() {
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

    let mut rows = vec![
        Row::new("one raw signature check, aws-lc (a known leaf)", 20, || {
            raw.run(Backend::AwsLc)
        }),
        Row::new("Noise NK handshake, both ends", 20, || {
            let (_, bytes) = Initiator::new(&Opening::Keys { service }).expect("random bytes");
            let mut decoder = Decoder::new();
            decoder.push(&bytes);
            let mut responder = Responder::new(&Accepting::Keys { secret: &secret });
            while let Ok(Some(frame)) = decoder.next_frame() {
                match responder.receive(&frame) {
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
}
