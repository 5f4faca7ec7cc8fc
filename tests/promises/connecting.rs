//! Upstreams that refuse connections for a moment, as a server does that restarts. Nothing of a request is sent before
//! its connection is open, so connecting again sends no request twice.

use std::sync::Arc;
use std::time::Duration;

use oneflight::upstream::{Proxy, Roots, UpstreamPolicy};
use oneflight::{Limits, Settings};
use oneflight_tests::frames::{Frames, Reply};
use oneflight_tests::names::{Lookup, Script};
use oneflight_tests::proxy;
use oneflight_tests::tls::Identity;
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{StoppedClock, Subject, failsafe, patient, settings, tasks};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

const NAME: &str = "restarts.example";
const RETRIED: &str = "upstream_connects_retried_total";
const LONG: Duration = Duration::from_secs(3_600);

/// A resolver that answers 127.0.0.2 for the first lookup, and 127.0.0.1 from then on.
fn names() -> Arc<Script> {
    let lookups = ["127.0.0.2", "127.0.0.1"].map(|address| Lookup::of(&[address]));
    Arc::new(Script::new(lookups))
}

fn policy(origin: &str, names: &Arc<Script>) -> UpstreamPolicy {
    UpstreamPolicy {
        allow: vec![origin.parse().unwrap()],
        nets: vec!["127.0.0.0/8".parse().unwrap()],
        resolver: Arc::clone(names) as _,
        ..UpstreamPolicy::default()
    }
}

async fn subject(policy: UpstreamPolicy, connect_retry_timeout: Duration) -> Subject {
    let limits = Limits {
        connect_retry_timeout,
        ..patient()
    };
    Subject::misbehaving(Settings {
        policy,
        limits,
        ..settings()
    })
    .await
}

/// Asserts that one request was sent, over a connection that took two attempts.
fn assert_retried(subject: &Subject, names: &Script) {
    assert_eq!(subject.counted(RETRIED), 1.0);
    assert_eq!(subject.counted("upstream_requests_total"), 1.0);
    assert_eq!(subject.counted("upstream_requests_resent_total"), 0.0);
    assert_eq!(names.lookups(), [NAME, NAME]);
}

// fault 128
#[tokio::test]
async fn a_refused_connection_is_tried_again_whatever_the_request_is() {
    for key in ["need:", "method:POST:", "method:DELETE:", "post:5:5:"] {
        let upstream = Upstream::start(Answer::Items).await;
        let origin = format!("http://{NAME}:{}", upstream.address().port());
        let (names, before) = (names(), tasks());
        let subject = subject(policy(&origin, &names), LONG).await;
        let answer = subject.ask(format!("{key}{origin}")).await.unwrap();
        assert!(!answer.contains("error"), "{key} {answer}");
        assert_retried(&subject, &names);
        assert_eq!(
            (upstream.requests(), upstream.connections()),
            (1, 1),
            "{key}"
        );
        subject.gone(before).await;
    }
}

/// A server at 127.0.0.2 that closes its first connection, with or without having read the first bytes.
async fn closing(port: u16, reads: bool) {
    let listener = TcpListener::bind(("127.0.0.2", port)).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    if reads {
        let mut hello = [0; 16 << 10];
        assert!(stream.read(&mut hello).await.unwrap() > 0);
    } else {
        // Then the bytes that were not read make the system reset the connection.
        stream.readable().await.unwrap();
    }
}

// fault 129
#[tokio::test]
async fn a_connection_that_closes_before_its_handshake_is_complete_is_tried_again() {
    let identity = Identity::new(&[NAME]);
    for reads in [true, false] {
        for key in ["need:", "post:5:5:"] {
            let upstream = Frames::start(&identity, [Reply::Items]).await;
            let port = upstream.address().port();
            let (names, before) = (names(), tasks());
            let origin = format!("https://{NAME}:{port}");
            let roots = Roots::from_pem(identity.pem().as_bytes()).unwrap();
            let policy = UpstreamPolicy {
                roots,
                ..policy(&origin, &names)
            };
            let subject = subject(policy, LONG).await;
            let asking = subject.ask(format!("{key}{origin}"));
            let (answer, ()) = tokio::join!(asking, closing(port, reads));
            let answer = answer.unwrap();
            assert!(!answer.contains("error"), "{reads} {key} {answer}");
            assert_retried(&subject, &names);
            assert_eq!(upstream.seen(), (1, 1), "{reads} {key}");
            subject.gone(before).await;
        }
    }
}

// fault 129
// Through a proxy, no request is sent before there is a tunnel.
#[tokio::test]
async fn a_proxy_that_refuses_or_closes_is_tried_again_and_its_answer_is_not() {
    let identity = Identity::new(&[NAME]);
    let upstream = Frames::start(&identity, [Reply::Items]).await;
    let origin = format!("https://{NAME}:{}", upstream.address().port());
    let subject = async |names: &Arc<Script>, port: u16| {
        let policy = UpstreamPolicy {
            roots: Roots::from_pem(identity.pem().as_bytes()).unwrap(),
            proxy: Some(Proxy::from_url(&format!("http://{NAME}:{port}")).unwrap()),
            ..policy(&origin, names)
        };
        subject(policy, LONG).await
    };
    for closes in [false, true] {
        let proxy = proxy::Proxy::start(proxy::Handling::Forward).await;
        let (names, port) = (names(), proxy.address().port());
        let subject = subject(&names, port).await;
        let asking = subject.ask(format!("need:{origin}"));
        let closing = async {
            if closes {
                closing(port, true).await;
            }
        };
        let (answer, ()) = tokio::join!(asking, closing);
        assert!(answer.is_ok(), "{closes} {answer:?}");
        assert_retried(&subject, &names);
    }
    let answer = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n";
    let proxy = proxy::Proxy::start(proxy::Handling::Answer(answer)).await;
    let names = Arc::new(Script::new([Lookup::of(&["127.0.0.1"])]));
    let subject = subject(&names, proxy.address().port()).await;
    let answer = subject.ask(format!("need:{origin}")).await;
    assert_eq!(answer, Err("upstream-unavailable"));
    assert_eq!((names.lookups().len(), subject.counted(RETRIED)), (1, 0.0));
}

// fault 130
#[tokio::test]
async fn an_upstream_that_stays_down_is_reported_after_its_time_and_then_at_once() {
    let nothing = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let origin = format!("http://{NAME}:{}", nothing.local_addr().unwrap().port());
    drop(nothing);
    let names = Arc::new(Script::new([Lookup::of(&["127.0.0.2"])]));
    let before = tasks();
    let subject = subject(policy(&origin, &names), Duration::from_millis(50)).await;
    let ask = async |n: usize| {
        let answer = subject.ask(format!("need:{origin}/{n}")).await;
        assert_eq!(answer, Err("upstream-unavailable"), "{n}");
        names.lookups().len()
    };
    let attempts = ask(0).await;
    assert!(attempts >= 2, "{attempts}");
    // It would be forgotten after a while.
    let clock = StoppedClock::stop();
    for n in 1..4 {
        assert_eq!(ask(n).await, attempts + n);
    }
    drop(clock);
    assert_eq!(subject.counted(RETRIED), 1.0);
    subject.gone(before).await;
}

// fault 130
#[tokio::test]
async fn no_other_failure_of_a_connection_is_tried_again_and_none_without_a_time() {
    let other = Identity::new(&["other.example"]);
    let upstream = Frames::start(&other, [Reply::Items]).await;
    let nothing = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refusing = nothing.local_addr().unwrap().port();
    drop(nothing);
    for (scheme, port, timeout) in [
        // A certificate that is not trusted.
        ("https", upstream.address().port(), LONG),
        ("http", refusing, Duration::ZERO),
    ] {
        let origin = format!("{scheme}://{NAME}:{port}");
        let names = Arc::new(Script::new([Lookup::of(&["127.0.0.1"])]));
        let subject = subject(policy(&origin, &names), timeout).await;
        let answer = subject.ask(format!("need:{origin}")).await;
        assert_eq!(answer, Err("upstream-unavailable"), "{origin}");
        assert_eq!(names.lookups(), [NAME], "{origin}");
        assert_eq!(subject.counted(RETRIED), 0.0, "{origin}");
    }
}

// fault 130
#[tokio::test]
async fn attempts_to_connect_end_with_their_flight() {
    let nothing = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let origin = format!("http://{NAME}:{}", nothing.local_addr().unwrap().port());
    drop(nothing);
    let names = Arc::new(Script::new([Lookup::of(&["127.0.0.2"])]));
    let before = tasks();
    let subject = subject(policy(&origin, &names), LONG).await;
    tokio::select! {
        answer = subject.ask(format!("need:{origin}")) => panic!("nothing listens, got {answer:?}"),
        () = failsafe("attempts", async {
            while names.lookups().len() < 3 {
                tokio::task::yield_now().await;
            }
        }) => {}
    }
    subject.connected(0).await;
    subject.gone(before).await;
}
