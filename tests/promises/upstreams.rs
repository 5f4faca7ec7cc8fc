//! Upstreams that fail, and upstreams that a guest may not reach.

use std::time::Duration;

use oneflight::upstream::Policy;
use oneflight::{Limits, Settings};
use oneflight_tests::upstream::{Answer, ITEMS, Upstream};
use oneflight_tests::{NEVER, Subject, reaching};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// What a guest gets for `key`: with a policy that allows `allowed`, and a request limit short enough
/// to see upstreams run into it.
async fn asking(allowed: &[&str], key: &str) -> Result<String, &'static str> {
    let limits = Limits {
        connect: NEVER,
        request: Duration::from_millis(400),
        flight: NEVER,
        ..Limits::default()
    };
    asking_within(limits, allowed, key).await
}

/// The same for a limit on connecting, and no other that a test would see.
async fn connecting(origin: &str) -> Result<String, &'static str> {
    let limits = Limits {
        connect: Duration::from_millis(200),
        request: NEVER,
        flight: NEVER,
        ..Limits::default()
    };
    asking_within(limits, &[origin], &format!("need:{origin}")).await
}

async fn asking_within(
    limits: Limits,
    allowed: &[&str],
    key: &str,
) -> Result<String, &'static str> {
    let allow = allowed
        .iter()
        .map(|origin| origin.parse().unwrap())
        .collect();
    let policy = Policy {
        allow,
        ..Policy::default()
    };
    let subject = Subject::misbehaving(Settings {
        policy,
        limits,
        ..Settings::new("test")
    })
    .await;
    let answer = subject.ask(key).await;
    subject.settled().await;
    answer
}

/// The code that a guest's flight ends with, which needs an answer of this kind.
async fn needing(answer: Answer) -> &'static str {
    let upstream = Upstream::start(answer).await;
    asking(
        &[&upstream.origin()],
        &format!("need:{}", upstream.origin()),
    )
    .await
    .unwrap_err()
}

// Row 23.
#[tokio::test]
async fn an_upstream_that_refuses_or_hangs_up_is_unavailable() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let nobody = format!("http://{free}");
    let refused = asking(&[&nobody], &format!("need:{nobody}")).await;
    assert_eq!(refused, Err("upstream-unavailable"));
    assert_eq!(needing(Answer::HangUp).await, "upstream-unavailable");
}

// Rows 23 and 36.
#[tokio::test]
async fn an_upstream_that_breaks_off_in_its_body_is_unavailable() {
    let upstream = Upstream::start(Answer::BrokenBody).await;
    let subject = Subject::builtin(&upstream.origin(), reaching(&upstream)).await;
    assert_eq!(subject.ask("42").await, Err("upstream-unavailable"));
    subject.settled().await;
}

// "Who names a failure": a guest that recovers has an answer, one that gives up does not name it.
#[tokio::test]
async fn a_guest_may_recover_from_a_failed_request_but_not_rename_it() {
    let upstream = Upstream::start(Answer::HangUp).await;
    let (origin, allowed) = (upstream.origin(), [&*upstream.origin()]);
    let recovered = asking(&allowed, &format!("ask:{origin}")).await.unwrap();
    assert!(recovered.contains("ErrorCode::"), "{recovered}");
    let blamed = asking(&allowed, &format!("blame:not-found:{origin}")).await;
    assert_eq!(blamed, Err("upstream-unavailable"));
    let trapped = asking(&allowed, &format!("ask-trap:{origin}")).await;
    assert_eq!(trapped, Err("upstream-unavailable"));
    // Once a later request went well, an earlier failure explains nothing.
    let other = Upstream::start(Answer::Items).await;
    let well = other.origin();
    let both = [&*origin, &*well];
    let late = asking(&both, &format!("blame:not-found:{origin}|{well}")).await;
    assert_eq!(late, Err("not-found"));
    let early = asking(&both, &format!("blame:not-found:{well}|{origin}")).await;
    assert_eq!(early, Err("upstream-unavailable"));
}

// Row 24.
#[tokio::test]
async fn an_upstream_that_stalls_in_its_head_or_body_is_cut_off() {
    for stalled in [Answer::NoHead, Answer::HalfBody] {
        let upstream = Upstream::start(stalled.clone()).await;
        let origin = upstream.origin();
        // The guest asks for an hour; the host's cap counts.
        let outcome = asking(&[&origin], &format!("patient:{origin}"))
            .await
            .unwrap();
        assert!(outcome.contains("error"), "{stalled:?}: {outcome}");
        upstream.abandoned(1).await;
        let needed = asking(&[&origin], &format!("blame:other:{origin}")).await;
        assert_eq!(needed, Err("upstream-timeout"), "{stalled:?}");
    }
}

#[tokio::test]
async fn a_request_is_open_until_its_body_was_read() {
    let upstream = Upstream::start(Answer::HalfBody).await;
    let settings = reaching(&upstream);
    let limits = Limits {
        flight: Duration::from_millis(200),
        ..settings.limits.clone()
    };
    let subject = Subject::misbehaving(Settings { limits, ..settings }).await;
    let held = subject.ask(format!("hold:{}", upstream.origin())).await;
    assert_eq!(held, Err("upstream-timeout"));
    upstream.abandoned(1).await;
    subject.settled().await;
}

#[tokio::test]
async fn a_guest_may_ask_for_less_time_than_the_host_allows() {
    for stalled in [Answer::NoHead, Answer::HalfBody] {
        let upstream = Upstream::start(stalled.clone()).await;
        let subject = Subject::misbehaving(reaching(&upstream)).await;
        let outcome = subject.ask(format!("hasty:{}", upstream.origin())).await;
        let outcome = outcome.unwrap();
        assert!(outcome.contains("error"), "{stalled:?}: {outcome}");
        upstream.abandoned(1).await;
    }
}

// Row 24.
#[tokio::test]
async fn an_upstream_that_stalls_in_its_tls_handshake_is_cut_off() {
    let upstream = Upstream::start(Answer::NoHead).await;
    let origin = upstream.origin().replace("http://", "https://");
    assert_eq!(connecting(&origin).await, Err("upstream-timeout"));
}

// Row 24.
#[tokio::test]
async fn an_upstream_that_never_accepts_is_cut_off() {
    // A full backlog: the system leaves the next connection without a word.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await
    {
        waiting.push(stream.unwrap());
        assert!(waiting.len() < 100, "the backlog does not fill");
    }
    let origin = format!("http://{address}");
    assert_eq!(connecting(&origin).await, Err("upstream-timeout"));
}

// Row 25.
#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let body = Upstream::start(Answer::EndlessBody).await;
    let limits = Limits {
        body: 100_000,
        ..Limits::default()
    };
    let subject = Subject::misbehaving(Settings {
        limits,
        ..reaching(&body)
    })
    .await;
    let answer = subject.ask(format!("blame:other:{}", body.origin())).await;
    assert_eq!(answer, Err("upstream-response-too-large"));
    body.abandoned(1).await;
    assert_eq!(
        needing(Answer::EndlessHead).await,
        "upstream-response-too-large"
    );
}

// Row 26.
#[tokio::test]
async fn a_request_off_the_list_opens_no_socket() {
    let upstream = Upstream::start(Answer::Items).await;
    let key = format!("need:{}", upstream.origin());
    assert_eq!(asking(&[], &key).await, Err("upstream-denied"));
    let other_port = format!("http://127.0.0.1:{}", upstream.address().port() ^ 1);
    assert_eq!(asking(&[&other_port], &key).await, Err("upstream-denied"));
    let other_scheme = upstream.origin().replace("http", "https");
    assert_eq!(asking(&[&other_scheme], &key).await, Err("upstream-denied"));
    assert_eq!(upstream.connections(), 0);
    assert_eq!(
        asking(&[], "need:http://169.254.169.254/").await,
        Err("upstream-denied")
    );
}

// Row 26.
#[tokio::test]
async fn a_name_that_stands_for_an_address_inside_needs_leave_for_that_network() {
    let upstream = Upstream::start(Answer::Items).await;
    // A name, since it is not written as an address is; the resolver makes 127.0.0.1 of it.
    let named = format!("http://127.1:{}", upstream.address().port());
    let key = format!("need:{named}");
    assert_eq!(asking(&[&named], &key).await, Err("upstream-denied"));
    assert_eq!(upstream.connections(), 0);

    let policy = Policy {
        allow: vec![named.parse().unwrap()],
        nets: vec!["127.0.0.0/8".parse().unwrap()],
    };
    let subject = Subject::misbehaving(Settings {
        policy,
        ..Settings::new("test")
    })
    .await;
    let answer = subject.ask(key).await.unwrap();
    assert!(answer.contains(r#""status":200"#), "{answer}");
}

// Row 28.
#[tokio::test]
async fn a_redirect_that_a_guest_follows_is_a_request_like_any_other() {
    let secret = Upstream::start(Answer::Items).await;
    let upstream = Upstream::start(Answer::RedirectTo(secret.origin())).await;
    let followed = asking(
        &[&upstream.origin()],
        &format!("follow:{}", upstream.origin()),
    )
    .await;
    let followed = followed.unwrap();
    assert!(
        followed.contains("302") && followed.contains("HttpRequestDenied"),
        "{followed}"
    );
    assert_eq!(secret.connections(), 0);
}

// Row 29.
#[tokio::test]
async fn headers_that_belong_to_the_connection_never_reach_the_wire() {
    let upstream = Upstream::start(Answer::Items).await;
    let origin = upstream.origin();
    for name in [
        "host",
        "connection",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
    ] {
        let refused = asking(&[&origin], &format!("header:{name}=x:{origin}"))
            .await
            .unwrap();
        assert!(refused.contains("error"), "{name}: {refused}");
    }
    assert_eq!(upstream.connections(), 0);
    let sent = asking(&[&origin], &format!("header:x-mine=yes:{origin}"))
        .await
        .unwrap();
    assert!(
        sent.contains(&format!(r#""bytes":{}"#, ITEMS.len())),
        "{sent}"
    );
    assert!(
        upstream.heads()[0].contains("x-mine: yes\r\n"),
        "{:?}",
        upstream.heads()
    );
}

// Row 29.
#[tokio::test]
async fn a_request_that_is_framed_wrongly_never_reaches_the_wire_whole() {
    let upstream = Upstream::start(Answer::Items).await;
    let origin = upstream.origin();
    let absolute = format!("path:http://elsewhere/|{origin}");
    for key in [
        absolute,
        format!("path:no-slash|{origin}"),
        format!("ask:http://u:p@{}", upstream.address()),
    ] {
        let refused = asking(&[&origin], &key).await;
        assert!(
            refused.as_ref().is_ok_and(|body| body.contains("error")),
            "{key}: {refused:?}"
        );
    }
    assert_eq!(upstream.requests(), 0);
    let longer = asking(&[&origin], &format!("post:5:9:{origin}"))
        .await
        .unwrap();
    assert!(longer.contains("HttpRequestBodySize"), "{longer}");
    assert!(
        upstream
            .heads()
            .iter()
            .all(|head| head.starts_with("POST / ")),
        "{:?}",
        upstream.heads()
    );
}

#[tokio::test]
async fn a_client_has_no_more_connections_in_use_than_it_may() {
    let upstream = Upstream::start(Answer::Held).await;
    let limits = Limits {
        requests: 4,
        ..Limits::default()
    };
    let subject = Subject::misbehaving(Settings {
        limits,
        ..reaching(&upstream)
    })
    .await;
    let asking = tokio::spawn({
        let (subject, key) = (
            subject.clone(),
            format!("together:40:{}", upstream.origin()),
        );
        async move { subject.ask(key).await }
    });
    upstream.requested(4).await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!((upstream.requests(), upstream.connections()), (4, 4));
    upstream.release();
    let answers = asking.await.unwrap().unwrap();
    assert_eq!(answers.matches(r#""status":200"#).count(), 40, "{answers}");
    subject.settled().await;
}

#[tokio::test]
async fn requests_of_one_client_use_one_connection_after_another() {
    let upstream = Upstream::start(Answer::Items).await;
    let subject = Subject::misbehaving(reaching(&upstream)).await;
    for n in 0..10 {
        assert!(
            subject
                .ask(format!("need:{}/{n}", upstream.origin()))
                .await
                .is_ok()
        );
        subject.settled().await;
    }
    assert_eq!((upstream.requests(), upstream.connections()), (10, 1));
}
