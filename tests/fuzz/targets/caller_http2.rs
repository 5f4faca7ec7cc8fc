//! For any frames of a caller, in an order that HTTP/2 permits or not: while they are valid, every request that is
//! clearly one gets exactly the response that the README states; at any time, nothing but requests is executed, every
//! response is valid, and the connection ends and leaves nothing behind.
//!
//! The input is a list of steps, most of which are frames (see `caller_http2/steps.rs`).

#![no_main]

#[path = "caller_http2/answers.rs"]
mod answers;
#[path = "caller_http2/caller.rs"]
mod caller;
#[path = "caller_http2/steps.rs"]
mod steps;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use oneflight_fuzz::service::{Conversation, End, MAX_STREAMS, Stage, Via};

use self::answers::{Outcome, Streams};
use self::caller::Caller;
use self::steps::{AtTheEnd, Input};

static STAGE: LazyLock<Stage> = LazyLock::new(Stage::default);

fuzz_target!(|input: Input| {
    let mut caller = Caller::default();
    for step in input.steps {
        caller.take(step);
    }
    let end = match input.end {
        AtTheEnd::Stay => End::Stay,
        AtTheEnd::HalfClose => End::HalfClose,
        AtTheEnd::Close => End::Close { is_noticed: true },
    };
    let actions = caller.actions();
    let conversation = STAGE.converse(Via::Direct, actions, end);
    check(&caller, &conversation, end);
});

/// Compares what was sent with what came of it.
fn check(caller: &Caller, conversation: &Conversation, end: End) {
    let Conversation { received, executed } = conversation;
    // Nothing but what was requested is executed. A request whose key is not clear may have any.
    if let Some(keys) = caller.keys() {
        let mut left = keys;
        for key in executed {
            let place = left.iter().position(|requested| requested == key);
            let place = place.unwrap_or_else(|| panic!("{key:?} was not requested: {caller:#?}"));
            left.swap_remove(place);
        }
    }
    if matches!(end, End::Close { .. }) {
        return;
    }
    let mut streams = Streams::default();
    streams.read(received);
    let mut leaders = 0;
    for (id, outcome) in streams.outcomes() {
        if let Outcome::Answered(answer) = outcome {
            assert!(
                caller.has_opened(id),
                "stream {id} was not opened: {caller:#?}"
            );
            answer.check();
            for name in ["connection", "keep-alive", "transfer-encoding", "upgrade"] {
                assert!(answer.header(name).is_none(), "{id}: {answer:?}");
            }
            let status = answer.header("cache-status");
            leaders += usize::from(status == Some("oneflight; fwd=miss"));
        }
    }
    assert!(
        leaders <= executed.len(),
        "{leaders} {executed:?} {caller:#?}"
    );

    // The end of its data ends a connection of HTTP/2, whatever waits.
    if end != End::Stay {
        return;
    }
    let may_refuse = caller.requests() > MAX_STREAMS;
    for (id, expected) in caller.certain() {
        match streams.outcome(id) {
            Some(Outcome::Answered(answer)) => expected.check(answer),
            Some(Outcome::Refused) if may_refuse => {}
            other => panic!("{id}: {expected:?} {other:?} {caller:#?} {streams:#?}"),
        }
    }
    if caller.is_valid() {
        assert_eq!(streams.error(), None, "{caller:#?}");
    }
}
