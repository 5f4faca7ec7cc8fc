//! How callers keep, share and end their connections.

use http::StatusCode;
use oneflight::ServerLimits;
use oneflight::server::Tls;
use oneflight_tests::caller::{get, get_with, header, rest, sending};
use oneflight_tests::serving::Serving;
use oneflight_tests::tls::Identity;
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{Subject, failsafe, process, reaching};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The path that callers request.
const ITEMS: &str = "/v1/test/items?x=42";

/// A request that keeps its connection.
const KEEPING: &str = "GET /livez HTTP/1.1\r\nhost: test\r\n\r\n";

/// A service of the built-in client with these limits, and with TLS if given.
async fn limited(upstream: &Upstream, limits: ServerLimits, tls: Option<Tls>) -> Serving {
    let base_url = format!("{}/items", upstream.origin());
    let subject = Subject::builtin(&base_url, reaching(upstream)).await;
    Serving::with(subject, limits, tls).await
}

// fault 76
// As `nc -N` does.
#[tokio::test]
async fn a_caller_that_closes_one_direction_after_its_request_gets_its_answer() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = Serving::in_front_of(&upstream).await;
    let mut callers = Vec::new();
    for version in ["1.0", "1.1"] {
        let request = format!("GET {ITEMS} HTTP/{version}\r\nhost: test\r\n\r\n");
        let mut caller = sending(serving.callers, &request).await;
        caller.shutdown().await.unwrap();
        let mut start = [0; 7];
        failsafe("the start of the answer", caller.read_exact(&mut start))
            .await
            .unwrap();
        assert_eq!(&start, b"HTTP/1.", "before the upstream has answered");
        callers.push((version, caller));
    }
    serving.waiting(2).await;
    upstream.release();
    for (version, caller) in callers {
        let answer = failsafe("the rest of it", rest(caller)).await;
        assert!(
            answer.starts_with(&format!("{} 200 OK\r\n", &version[2..])),
            "{answer}"
        );
        assert!(
            answer.ends_with(&format!("\r\n\r\n{ITEMS_JSON}")),
            "{answer}"
        );
    }
    assert_eq!(upstream.requests(), 1);
    serving.subject.settled().await;

    // One whose answer is ready at once, and one that has sent two requests.
    let two = format!("{KEEPING}{KEEPING}");
    for (requests, count) in [(KEEPING, 1), (&*two, 2)] {
        let mut caller = sending(serving.callers, requests).await;
        caller.shutdown().await.unwrap();
        let answers = failsafe("answers", rest(caller)).await;
        assert_eq!(
            answers.matches("HTTP/1.1 200 OK\r\n").count(),
            count,
            "{answers}"
        );
    }
}

// fault 76
// The answer is larger than what the sockets hold, so it is still being written when the end of the data arrives.
#[tokio::test]
async fn a_caller_that_closes_one_direction_while_it_reads_its_answer_gets_all_of_it() {
    const SIZE: usize = 7 << 20;
    let items = format!(r#"[{{"id":1,"name":"{}"}}]"#, "x".repeat(SIZE));
    let upstream = Upstream::start(Answer::Body(items)).await;
    let serving = Serving::in_front_of(&upstream).await;
    let request = format!("GET {ITEMS} HTTP/1.1\r\nhost: test\r\n\r\n");
    let mut caller = sending(serving.callers, &request).await;
    let mut start = [0; 7];
    failsafe("the start of the answer", caller.read_exact(&mut start))
        .await
        .unwrap();
    caller.shutdown().await.unwrap();
    // The answer to another shows that the end of the data has been read.
    for _ in 0..10 {
        let livez = get(serving.callers, "/livez").await;
        assert_eq!(livez.status(), StatusCode::OK);
    }
    let answer = failsafe("the rest of it", rest(caller)).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{head}"
    );
    assert!(body.len() > SIZE, "{}", body.len());
    serving.subject.settled().await;
}

// fault 76
#[tokio::test]
async fn over_tls_1_3_a_caller_that_closes_one_direction_gets_its_answer() {
    let upstream = Upstream::start(Answer::Held).await;
    let identity = Identity::new(&["localhost"]);
    let tls = Tls::from_pem(identity.pem().as_bytes(), identity.key_pem().as_bytes()).unwrap();
    let serving = limited(&upstream, ServerLimits::default(), Some(tls)).await;
    let mut caller = identity.connect(serving.callers, &["http/1.1"]).await;
    let request = format!("GET {ITEMS} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    caller.write_all(request.as_bytes()).await.unwrap();
    caller.shutdown().await.unwrap();
    let mut answer = vec![0; 7];
    failsafe("the start of the answer", caller.read_exact(&mut answer))
        .await
        .unwrap();
    serving.waiting(1).await;
    upstream.release();
    failsafe("the rest of it", caller.read_to_end(&mut answer))
        .await
        .unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.ends_with(&format!("\r\n\r\n{ITEMS_JSON}")),
        "{answer}"
    );
}

// fault 14, 76
// A caller that closes both directions sends the same as one that closes one, until something is sent to it.
#[tokio::test]
async fn a_caller_that_closes_its_connection_leaves_its_flight_over_plaintext_and_tls() {
    let upstream = Upstream::start(Answer::Held).await;
    let identity = Identity::new(&["localhost"]);
    let tls = Tls::from_pem(identity.pem().as_bytes(), identity.key_pem().as_bytes()).unwrap();
    let serving = limited(&upstream, ServerLimits::default(), Some(tls)).await;
    let mut caller = identity.connect(serving.callers, &["http/1.1"]).await;
    let request = format!("GET {ITEMS} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    caller.write_all(request.as_bytes()).await.unwrap();
    upstream.requested(1).await;
    let (mut stream, mut session) = caller.into_inner();
    session.send_close_notify();
    let mut sent = Vec::new();
    session.write_tls(&mut sent).unwrap();
    stream.write_all(&sent).await.unwrap();
    drop(stream);
    upstream.abandoned(1).await;
    serving.subject.settled().await;

    let serving = Serving::in_front_of(&upstream).await;
    let caller = sending(serving.callers, &request).await;
    upstream.requested(2).await;
    drop(caller);
    upstream.abandoned(2).await;
    serving.subject.settled().await;
}

// fault 77
#[tokio::test]
async fn a_request_with_an_empty_an_invalid_or_a_second_host_is_refused() {
    let upstream = Upstream::start(Answer::Items).await;
    let serving = Serving::in_front_of(&upstream).await;
    let answer = async |target: &str, hosts: &str| {
        let request = format!("GET {target} HTTP/1.1\r\n{hosts}connection: close\r\n\r\n");
        failsafe("an answer", rest(sending(serving.callers, &request).await)).await
    };
    for hosts in [
        "",
        "host:\r\n",
        "host: a b/c@d\r\n",
        "host: user@a\r\n",
        "host: a:70000\r\n",
        "host: a\r\nhost: a\r\n",
    ] {
        for target in [ITEMS, "/livez"] {
            let answer = answer(target, hosts).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{hosts:?}: {answer}");
            assert!(answer.contains("\"code\":\"bad-request\""), "{answer}");
        }
    }
    let with_user = answer(&format!("http://user@a{ITEMS}"), "host: a\r\n").await;
    assert!(with_user.starts_with("HTTP/1.1 400 "), "{with_user}");
    assert_eq!(serving.subject.component.usage().guest_calls, 0);
    for host in ["a", "a:8080", "127.0.0.1", "[::1]:1"] {
        let answer = answer(ITEMS, &format!("host: {host}\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{host}: {answer}");
    }
}

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn the_id_of_a_request_is_in_its_answer_and_in_the_log() {
    let upstream = Upstream::start(Answer::Held).await;
    let args = ["--log", "debug", "--base-url", &upstream.origin()];
    let service = process::Service::start(&args).await;
    let (address, path) = (service.address, "/v1/default/items?x=42");
    let leader = tokio::spawn(get_with(address, path, &[("x-request-id", "leader-1")]));
    upstream.requested(1).await;
    let follower = tokio::spawn(get_with(address, path, &[("traceparent", TRACEPARENT)]));
    let unnamed = tokio::spawn(get_with(address, path, &[("x-request-id", "not one")]));
    service.waiting("default", 3).await;
    upstream.release();
    let trace = &TRACEPARENT[3..35];
    for (caller, id) in [(leader, "leader-1"), (follower, trace), (unnamed, "")] {
        let answer = failsafe("an answer", caller).await.unwrap();
        assert_eq!(header(&answer, "x-request-id"), id);
    }
    let named = &[("x-request-id", "refused-1")];
    let refused = get_with(address, "/v1/default/items", named).await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert_eq!(header(&refused, "x-request-id"), "refused-1");
    service.terminate();
    let (_, log) = service.ended().await;
    let lines = |id: &str| log.lines().filter(|line| line.contains(id)).count();
    let flight = |line: &&str| line.contains(" flight client=");
    let of_leader: Vec<_> = log.lines().filter(flight).collect();
    assert_eq!(of_leader.len(), 1, "{log}");
    assert!(
        of_leader[0].contains("request_id=leader-1 callers=3"),
        "{log}"
    );
    assert_eq!(
        lines(&format!(
            "caller client=\"default\" flight=1 request_id={trace} "
        )),
        1,
        "{log}"
    );
    assert_eq!(lines("not one"), 0, "{log}");
    assert!(
        upstream
            .heads()
            .iter()
            .all(|head| !head.contains("leader-1"))
    );
}
