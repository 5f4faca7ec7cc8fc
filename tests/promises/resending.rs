//! Requests that the upstream provably did not process: one more attempt, over a new connection, and never a third.

use std::net::SocketAddr;
use std::time::Duration;

use oneflight::upstream::{Roots, UpstreamPolicy};
use oneflight::{Limits, Settings};
use oneflight_tests::frames::{
    CANCEL, ENHANCE_YOUR_CALM, Frames, Leave, NO_ERROR, REFUSED_STREAM, Reply,
};
use oneflight_tests::tls::Identity;
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{LIMIT, Subject, fast_forward, patient, reaching, settings, tasks};

const RESENT: &str = "upstream_requests_resent_total";

/// Calls a guest that asks `origin`, and then again with `key`: the result of the second call.
async fn ask_twice(subject: &Subject, origin: &str, key: &str) -> Result<(), &'static str> {
    let first = subject.ask(format!("need:{origin}")).await;
    assert!(first.is_ok(), "{first:?}");
    subject.settled().await;
    match subject.ask(format!("{key}{origin}")).await {
        Ok(body) if body.contains("error") => Err("the guest saw it"),
        Ok(_) => Ok(()),
        Err(code) => Err(code),
    }
}

/// What a second call meets, on the connection that the first one has used: requests and connections of the upstream,
/// requests that were sent once more, and the result.
async fn second(answer: Answer, key: &str) -> (usize, usize, f64, Result<(), &'static str>) {
    let upstream = Upstream::start(answer).await;
    let before = tasks();
    let subject = Subject::misbehaving(reaching(&upstream)).await;
    let result = ask_twice(&subject, &upstream.origin(), key).await;
    let resent = subject.counted(RESENT);
    assert_eq!(subject.counted("upstream_requests_total"), 2.0);
    subject.gone(before).await;
    (upstream.requests(), upstream.connections(), resent, result)
}

// fault 60
#[tokio::test]
async fn a_connection_that_closes_as_it_is_reused_costs_no_get_or_head() {
    for closing in [Answer::OneEach(""), Answer::OneEachThenReset] {
        for key in ["need:", "method:HEAD:", "finished:GET:"] {
            let seen = second(closing.clone(), key).await;
            assert_eq!(seen, (3, 2, 1.0, Ok(())), "{closing:?} {key}");
        }
    }
}

// fault 60
// With a body, or with another method, the upstream may have acted on it.
#[tokio::test]
async fn a_connection_that_closes_as_it_is_reused_never_repeats_another_request() {
    for key in [
        "method:POST:",
        "method:DELETE:",
        "method:PUT:",
        "post:5:5:",
        "post:0:0:",
    ] {
        for closing in [Answer::OneEach(""), Answer::OneEachThenReset] {
            let (requests, connections, resent, result) = second(closing, key).await;
            assert_eq!((requests, connections, resent), (2, 1, 0.0), "{key}");
            assert_eq!(result, Err("the guest saw it"), "{key}");
        }
    }
}

// fault 60
// The upstream has begun to answer, so it has read the request.
#[tokio::test]
async fn a_request_whose_answer_has_begun_is_not_repeated() {
    for begun in [
        "H",
        "HTTP/1.1 200 OK\r\ncontent-",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
    ] {
        let seen = second(Answer::OneEach(begun), "need:").await;
        assert_eq!(seen, (2, 1, 0.0, Err("upstream-unavailable")), "{begun:?}");
    }
}

// fault 60
#[tokio::test]
async fn a_second_attempt_that_fails_is_not_followed_by_a_third() {
    let seen = second(Answer::OneInAll, "need:").await;
    assert_eq!(seen, (3, 2, 1.0, Err("upstream-unavailable")));
}

// fault 60
// A new connection is not idle. If it is closed, the upstream may have processed the request; if it is reset, the request
// was not read.
#[tokio::test]
async fn a_get_or_head_is_repeated_once_if_a_new_connection_is_reset_but_not_if_it_is_closed() {
    for (answer, key, attempts) in [
        (Answer::HangUp, "need:", 1),
        (Answer::HangUp, "method:HEAD:", 1),
        (Answer::Reset, "need:", 2),
        (Answer::Reset, "method:HEAD:", 2),
        (Answer::Reset, "method:POST:", 1),
        (Answer::Reset, "method:DELETE:", 1),
        (Answer::Reset, "post:5:5:", 1),
    ] {
        let upstream = Upstream::start(answer).await;
        let subject = Subject::misbehaving(reaching(&upstream)).await;
        let result = subject.ask(format!("{key}{}", upstream.origin())).await;
        let is_error = |body: &String| body.contains("ErrorCode::ConnectionTerminated");
        match key {
            "need:" => assert_eq!(result, Err("upstream-unavailable")),
            _ => assert!(result.as_ref().is_ok_and(is_error), "{key} {result:?}"),
        }
        let seen = (upstream.requests(), upstream.connections());
        assert_eq!(seen, (attempts, attempts), "{key}");
        assert_eq!(subject.counted(RESENT), (attempts - 1) as f64, "{key}");
    }
}

/// A guest that may reach `upstream`, and trusts `identity`.
async fn trusting(identity: &Identity, upstream: &Frames, limits: Limits) -> Subject {
    let policy = UpstreamPolicy {
        allow: vec![upstream.origin().parse().unwrap()],
        roots: Roots::from_pem(identity.pem().as_bytes()).unwrap(),
        ..UpstreamPolicy::default()
    };
    Subject::misbehaving(Settings {
        policy,
        limits,
        ..settings()
    })
    .await
}

/// What a second call over HTTP/2 meets, after a first one that was answered.
async fn second_h2<const N: usize>(
    replies: [Reply; N],
    key: &str,
) -> (usize, usize, f64, Result<(), &'static str>) {
    let identity = Identity::new(&["127.0.0.1"]);
    let all = [Reply::Items].into_iter().chain(replies);
    let upstream = Frames::start(&identity, all).await;
    let before = tasks();
    let subject = trusting(&identity, &upstream, patient()).await;
    let result = ask_twice(&subject, &upstream.origin(), key).await;
    let resent = subject.counted(RESENT);
    subject.gone(before).await;
    let (connections, requests) = upstream.seen();
    (requests, connections, resent, result)
}

// fault 61
#[tokio::test]
async fn a_stream_that_the_upstream_refuses_costs_no_request_without_a_body() {
    for key in ["need:", "method:OPTIONS:", "method:POST:", "method:DELETE:"] {
        let replies = [Reply::Reset(REFUSED_STREAM), Reply::Items];
        assert_eq!(second_h2(replies, key).await, (3, 2, 1.0, Ok(())), "{key}");
    }
}

// fault 61
#[tokio::test]
async fn a_stream_above_the_last_of_a_goaway_costs_no_request_without_a_body() {
    for key in ["need:", "method:OPTIONS:", "method:PUT:"] {
        for code in [NO_ERROR, ENHANCE_YOUR_CALM] {
            let replies = [Reply::GoAwayBefore(code), Reply::Items];
            let seen = second_h2(replies, key).await;
            assert_eq!(seen, (3, 2, 1.0, Ok(())), "{key} {code}");
        }
    }
}

// fault 61
#[tokio::test]
async fn over_http2_too_a_request_has_two_attempts_at_most() {
    for reply in [
        Reply::Reset(REFUSED_STREAM),
        Reply::GoAwayBefore(NO_ERROR),
        Reply::GoAwayBefore(ENHANCE_YOUR_CALM),
    ] {
        let seen = second_h2([reply], "need:").await;
        assert_eq!(seen, (3, 2, 1.0, Err("upstream-unavailable")), "{reply:?}");
    }
}

// fault 61
// Nothing proves that these were not processed.
#[tokio::test]
async fn over_http2_no_other_request_is_repeated() {
    for (reply, key) in [
        (Reply::Reset(CANCEL), "need:"),
        (Reply::GoAwayAndClose, "need:"),
        (Reply::Close, "need:"),
        (Reply::GoAwayBefore(NO_ERROR), "method:POST:"),
        (Reply::GoAwayBefore(ENHANCE_YOUR_CALM), "method:POST:"),
        (Reply::Reset(REFUSED_STREAM), "post:5:5:"),
        (Reply::GoAwayBefore(NO_ERROR), "post:5:5:"),
    ] {
        let (requests, connections, resent, result) = second_h2([reply, Reply::Items], key).await;
        assert_eq!((requests, connections), (2, 1), "{reply:?} {key}");
        assert_eq!(resent, 0.0, "{reply:?} {key}");
        assert!(result.is_err(), "{reply:?} {key}");
    }
}

/// What a second call meets over HTTP/2 if its connection ends by GOAWAY, and so do the next `count` before they take
/// requests.
async fn second_after_leaving(
    count: usize,
    how: Leave,
    connect_retry_timeout: Duration,
) -> (usize, usize, f64, Result<(), &'static str>) {
    let identity = Identity::new(&["127.0.0.1"]);
    let replies = [Reply::Items, Reply::GoAwayBefore(NO_ERROR), Reply::Items];
    let upstream = Frames::start(&identity, replies).await;
    upstream.leave(2..2 + count, how);
    let before = tasks();
    let limits = Limits {
        connect_retry_timeout,
        ..patient()
    };
    let subject = trusting(&identity, &upstream, limits).await;
    let result = ask_twice(&subject, &upstream.origin(), "need:").await;
    let resent = subject.counted(RESENT);
    subject.gone(before).await;
    let (connections, requests) = upstream.seen();
    (requests, connections, resent, result)
}

// fault 131
// An upstream that shuts down ends connections that it has just accepted, too.
#[tokio::test]
async fn a_second_attempt_is_sent_over_a_connection_whose_upstream_takes_requests() {
    let long = Duration::from_secs(3_600);
    for how in [Leave::GoAway, Leave::AckAndGoAway, Leave::Close] {
        for count in [0, 1, 4] {
            let seen = second_after_leaving(count, how, long).await;
            assert_eq!(seen, (3, 2 + count, 1.0, Ok(())), "{how:?} {count}");
        }
        // Nothing of the request was sent more than once.
        let failed = Err("upstream-unavailable");
        let seen = second_after_leaving(9, how, long).await;
        assert_eq!(seen, (2, 6, 1.0, failed), "{how:?}");
        let seen = second_after_leaving(9, how, Duration::ZERO).await;
        assert_eq!(seen, (2, 2, 1.0, failed), "{how:?}");
    }
}

// fault 61
// One request uses the only stream, one waits for it, and the others wait behind that one.
#[tokio::test]
async fn requests_that_wait_for_a_stream_survive_the_end_of_their_connection() {
    let identity = Identity::new(&["127.0.0.1"]);
    let replies = [Reply::GoAwayAndItems, Reply::Items];
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let upstream = Frames::start_at(any, 1, &identity, replies).await;
    let subject = trusting(&identity, &upstream, patient()).await;
    let answers = subject
        .ask(format!("together:8:{}", upstream.origin()))
        .await;
    let answers = answers.unwrap();
    assert_eq!(answers.matches(r#""status":200"#).count(), 8, "{answers}");
    assert_eq!(upstream.seen().1, 8);
}

// fault 60
// The second attempt has no time of its own.
#[tokio::test]
async fn both_attempts_end_at_the_deadline_of_their_request() {
    let upstream = Upstream::start(Answer::OneThenSilence).await;
    let limits = Limits {
        request_timeout: LIMIT,
        ..patient()
    };
    let subject = Subject::misbehaving(Settings {
        limits,
        ..reaching(&upstream)
    })
    .await;
    let key = format!("need:{}", upstream.origin());
    assert!(subject.ask(&*key).await.is_ok());
    subject.settled().await;
    let mut asking = Box::pin(subject.ask(&*key));
    tokio::select! {
        answer = &mut asking => panic!("the upstream is silent, got {answer:?}"),
        () = upstream.requested(3) => {}
    }
    assert_eq!(fast_forward(asking).await, Err("upstream-timeout"));
    upstream.abandoned(1).await;
    assert_eq!(subject.counted(RESENT), 1.0);
}
