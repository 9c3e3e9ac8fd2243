//! Frames from a stream that arrives in pieces: the pieces must not change what is read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_channel::frame::Decoder;

fuzz_target!(|data: &[u8]| {
    let Some((&cut, data)) = data.split_first() else {
        return;
    };
    let whole = read(&[data]);
    let cut = usize::from(cut).min(data.len());
    let (first, second) = data.split_at(cut);
    assert_eq!(whole, read(&[first, second]));
});

/// The frames, and whether the stream then broke a rule.
fn read(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, bool) {
    let mut decoder = Decoder::new();
    decoder.handshake_done();
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, true),
            }
        }
    }
    (frames, false)
}
