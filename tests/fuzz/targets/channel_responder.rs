//! A responder of every use, fed with whatever an initiator may send.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_channel::frame::Decoder;
use narthex_channel::{Accepting, Progress, Responder, StaticSecret};

fuzz_target!(|data: &[u8]| {
    let Some((&which, data)) = data.split_first() else {
        return;
    };
    let secret = StaticSecret::from_bytes(&[7; 32]);
    let accepting = match which % 4 {
        0 => Accepting::Diagnostics,
        1 => Accepting::Keys { secret: &secret },
        2 => Accepting::Administration { secret: &secret },
        _ => Accepting::Policy,
    };
    let mut decoder = Decoder::new();
    decoder.push(data);
    let mut responder = Responder::new(&accepting);
    let mut session = loop {
        let Ok(Some(frame)) = decoder.next_frame() else {
            return;
        };
        match responder.receive(&frame) {
            Ok(Progress::Awaiting(next)) => responder = next,
            Ok(Progress::Established { session, .. }) => break session,
            Err(_) => return,
        }
    };
    decoder.handshake_done();
    while let Ok(Some(frame)) = decoder.next_frame() {
        if session.receive(&frame).is_err() {
            return;
        }
    }
});
