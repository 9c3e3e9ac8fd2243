//! No input makes a parser panic, and what is accepted says one thing only.

use super::world::*;
use super::{ledger, readers};
use crate::*;

/// A small generator: the same bytes in every run, so that a failure can be looked at.
struct Xorshift(u64);

impl Xorshift {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    /// Changes, drops, doubles or swaps a few pieces.
    fn mutate(&mut self, good: &[u8]) -> Vec<u8> {
        let mut bytes = good.to_vec();
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                break;
            }
            let at = self.below(bytes.len());
            let length = self.below(16).min(bytes.len() - at);
            match self.below(5) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = b"\"'[]{}=.#\n\\09-aZ\0\xff"[self.below(18)],
                2 => drop(bytes.drain(at..at + length)),
                3 => {
                    let piece = bytes[at..at + length].to_vec();
                    let to = self.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
                _ => bytes.truncate(at),
            }
        }
        bytes
    }
}

const ROUNDS: usize = 500;

#[test]
fn files_never_panic() {
    let mut random = Xorshift(0x9e37_79b9_7f4a_7c15);
    let genesis = genesis_file().digest();
    let admin = AdministrationOrder {
        head: head("keith"),
        genesis,
        operation: KeyOperation::Restore { backup: genesis },
    };
    let files = [
        genesis_text(),
        ledger::text_with_a_previous_log(),
        readers::ticket().to_toml().unwrap(),
        release_text(1, "1.0", ReleaseStatus::Current),
        stop_text(
            1,
            "people = [\"olga\"]\nreleases = [{ name = \"a\", version = \"1\" }]",
        ),
        Order::Read(read_order()).to_toml(),
        Order::Write(write_order(Action::Shutdown)).to_toml(),
        admin.to_toml(),
    ];
    for file in files {
        for _ in 0..ROUNDS {
            let bytes = random.mutate(file.as_bytes());
            let _ = lint(&bytes, NOW);
            let _ = Bundle::parse_unverified(&bytes);
            let _ = Release::parse_unverified(&bytes);
            let _ = Stop::parse_unverified(&bytes);
            // What parses is written as it was read.
            if let Ok(ticket) = ReaderTicket::parse_unverified(&bytes) {
                assert_eq!(
                    ReaderTicket::parse_unverified(ticket.to_toml().unwrap().as_bytes()),
                    Ok(ticket)
                );
            }
            if let Ok(order) = Order::parse_unverified(&bytes) {
                assert_eq!(
                    Order::parse_unverified(order.to_toml().as_bytes()),
                    Ok(order)
                );
            }
            if let Ok(order) = AdministrationOrder::parse_unverified(&bytes) {
                let text = order.to_toml();
                assert_eq!(
                    AdministrationOrder::parse_unverified(text.as_bytes()),
                    Ok(order)
                );
            }
        }
    }
}

#[test]
fn calls_have_one_encoding() {
    let mut random = Xorshift(0x2545_f491_4f6c_dd1d);
    let good = Call {
        order: Digest384([1; 48]),
        counter: 300,
        session: SESSION,
        action: Action::Attest,
        parameters: Parameters::Nonce([3; 32]),
    }
    .encode();
    for _ in 0..20 * ROUNDS {
        let bytes = random.mutate(&good);
        if let Ok(call) = Call::decode(&bytes) {
            assert_eq!(call.encode(), bytes);
        }
    }
}

#[test]
fn signatures_never_panic_nor_pass() {
    let mut random = Xorshift(0xd1b5_4a32_d192_ed03);
    let policy = policy();
    let good = key("olga").sign(Namespace::Order, b"message").unwrap();
    let signer = policy
        .identify(b"message", &good, Namespace::Order)
        .unwrap();
    for _ in 0..ROUNDS {
        let bytes = random.mutate(good.as_bytes());
        let text = String::from_utf8_lossy(&bytes);
        // Line ends are free; nothing else is.
        if let Ok(found) = policy.identify(b"message", &text, Namespace::Order) {
            let joined = |text: &str| text.replace(['\n', '\r'], "");
            assert_eq!((found, joined(&text)), (signer.clone(), joined(&good)));
        }
    }
    let vkey = ledger::log_key();
    for bytes in (0..ROUNDS).map(|_| random.mutate(vkey.as_bytes())) {
        if let Ok(key) = VerifierKey::parse(&String::from_utf8_lossy(&bytes)) {
            assert_eq!(key.as_str(), vkey, "a hash covers name and key");
        }
    }
    for bytes in (0..ROUNDS).map(|_| random.mutate(key_line("olga").as_bytes())) {
        let _ = PersonKey::parse(&String::from_utf8_lossy(&bytes));
        let _ = Fingerprint::parse(&String::from_utf8_lossy(&bytes));
        let _ = VerifierKey::parse(&String::from_utf8_lossy(&bytes));
    }
}
