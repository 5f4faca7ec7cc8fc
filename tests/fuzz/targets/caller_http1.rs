//! For any bytes of a caller, every request of HTTP/1.1 that is clearly one gets exactly the response that the README
//! states, nothing else is executed, every response is valid, and the connection ends and leaves nothing behind.
//!
//! The first byte of the input selects what the caller does at the end, and whether a proxy sends the bytes, which so
//! begin with a header of the PROXY protocol. The rest is what the caller sends. The byte 0xff separates parts that
//! arrive separately.

#![no_main]

#[path = "caller_http1/answers.rs"]
mod answers;
#[path = "caller_http1/proxy_header.rs"]
mod proxy_header;
#[path = "caller_http1/requests.rs"]
mod requests;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use oneflight_fuzz::service::{Action, Conversation, End, Stage, Via};

use self::answers::answers;
use self::proxy_header::ProxyHeader;
use self::requests::Requests;

const SEPARATOR: u8 = 0xff;

static STAGE: LazyLock<Stage> = LazyLock::new(Stage::default);

fuzz_target!(|input: &[u8]| {
    let Some((choice, bytes)) = input.split_first() else {
        return;
    };
    let via = if choice & 4 == 0 {
        Via::Direct
    } else {
        Via::Proxy
    };
    let parts: Vec<Vec<u8>> = bytes
        .split(|byte| *byte == SEPARATOR)
        .map(<[u8]>::to_vec)
        .collect();
    let sent = parts.concat();
    let end = match choice & 3 {
        0 | 1 => End::HalfClose,
        2 => End::Stay,
        _ => End::Close {
            is_noticed: via == Via::Direct && Requests::is_one(&sent),
        },
    };
    let actions = parts.into_iter().map(Action::Send).collect();
    let conversation = STAGE.converse(via, actions, end);

    let after_header = match via {
        Via::Direct => Some(&*sent),
        Via::Proxy => match ProxyHeader::read(&sent) {
            ProxyHeader::Valid { length } => Some(&sent[length..]),
            ProxyHeader::Refused => {
                assert_eq!(conversation.received, b"", "without a header");
                assert!(conversation.executed.is_empty(), "without a header");
                return;
            }
            ProxyHeader::Unclear => None,
        },
    };
    // HTTP/2 is the other target's.
    if after_header.is_some_and(|sent| sent.starts_with(b"PRI ")) {
        return;
    }
    check(after_header.map(Requests::read), &conversation, end);
});

/// Compares what was sent with what came of it.
fn check(requests: Option<Requests>, conversation: &Conversation, end: End) {
    let Requests {
        requests,
        certain,
        is_all,
    } = requests.unwrap_or_default();
    let methods: Vec<_> = requests.iter().map(|request| &*request.method).collect();
    let expected: Vec<_> = requests.iter().map(|request| request.expected()).collect();

    // A caller that leaves gets nothing, and its requests may be dropped.
    let has_left = matches!(end, End::Close { .. });
    let certain = if has_left { 0 } else { certain };
    if !has_left {
        let answers = answers(&conversation.received, &methods);
        let clear: Vec<_> = answers
            .iter()
            .filter(|answer| !answer.is_of_library())
            .collect();
        for answer in &answers {
            answer.check();
        }
        for (answer, expected) in answers.iter().zip(&expected) {
            let is_refused = answer.is_of_library() && certain < answers.len();
            if let Some(expected) = expected.as_ref().filter(|_| !is_refused) {
                expected.check(answer);
            }
        }
        assert!(
            answers.len() >= certain,
            "{certain} of {requests:#?} {answers:#?}"
        );
        assert!(
            !is_all || clear.len() <= requests.len(),
            "{requests:#?} {answers:#?}"
        );
        let collapsed = |answer: &&answers::Answer| {
            answer
                .header("cache-status")
                .is_some_and(|status| status.contains("collapsed"))
        };
        assert!(
            !clear.iter().any(|answer| collapsed(answer)),
            "it has no other caller"
        );
    }

    // Requests are executed one after the other, and nothing but requests is.
    let Some(expected) = expected.into_iter().collect::<Option<Vec<_>>>() else {
        return;
    };
    let (first, more) = expected.split_at(certain);
    let keys = |expected: &[oneflight_fuzz::expected::Expected]| -> Vec<String> {
        expected
            .iter()
            .filter_map(|expected| expected.key.clone())
            .collect()
    };
    let (first, more) = (keys(first), keys(more));
    let executed = &conversation.executed;
    assert!(executed.starts_with(&first), "{first:?} {executed:?}");
    if is_all {
        let all = [first, more].concat();
        assert!(all.starts_with(executed), "{all:?} {executed:?}");
    }
}
