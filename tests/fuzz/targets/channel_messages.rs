//! Every message of the channel: what is accepted must encode to the same bytes again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_channel::Message;
use narthex_channel::administration::{AdministrationAnswer, AdministrationRequest};
use narthex_channel::diagnostics::{CallAnswer, CallRequest, SessionStatement, Welcome};
use narthex_channel::keys::{KeyAnswer, KeyRequest, KeyRequestEnvelope};
use narthex_channel::policy::{PolicyAnswer, PolicyDelivery, PolicyRequest};
use narthex_channel::submissions::{Submission, SubmissionAnswer};

fuzz_target!(|data: &[u8]| {
    let Some((&which, data)) = data.split_first() else {
        return;
    };
    match which % 14 {
        0 => again::<Welcome>(data),
        1 => again::<SessionStatement>(data),
        2 => again::<CallRequest>(data),
        3 => again::<CallAnswer>(data),
        4 => again::<KeyRequest>(data),
        5 => again::<KeyRequestEnvelope>(data),
        6 => again::<KeyAnswer>(data),
        7 => again::<AdministrationRequest>(data),
        8 => again::<AdministrationAnswer>(data),
        9 => again::<PolicyRequest>(data),
        10 => again::<PolicyAnswer>(data),
        11 => again::<PolicyDelivery>(data),
        12 => again::<Submission>(data),
        _ => again::<SubmissionAnswer>(data),
    }
});

fn again<M: Message>(data: &[u8]) {
    if let Ok(message) = M::from_bytes(data) {
        let encoded = message.to_bytes().expect("what was read can be written");
        assert_eq!(encoded.as_slice(), data);
    }
}
