//! A responder of every use, fed with whatever an initiator may send.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_channel::fuzzing::responder;
use narthex_channel::{Accepting, StaticSecret};

fuzz_target!(|data: &[u8]| {
    let Some((&which, data)) = data.split_first() else {
        return;
    };
    let secret = StaticSecret::from_bytes(&[7; 32]);
    let accepting = match which % 5 {
        0 => Accepting::Diagnostics,
        1 => Accepting::Keys { secret: &secret },
        2 => Accepting::Administration { secret: &secret },
        3 => Accepting::Policy,
        _ => Accepting::Submissions { secret: &secret },
    };
    let _ = responder(&accepting, data);
});
