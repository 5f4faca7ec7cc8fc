//! Callers that do not read their answers, or hardly: what is held for them, and for how long.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use http::{Response, StatusCode};
use oneflight::ServerLimits;
use oneflight_tests::caller::{code, get, header};
use oneflight_tests::process::Service;
use oneflight_tests::serving::Serving;
use oneflight_tests::unreading::Unreading;
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{
    FAILSAFE, NEVER, StoppedClock, Subject, artifacts, failsafe, reaching, settings,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::metrics::{scrape, value};

/// A megabyte, and the requests that a budget of four has room for: each needs room for two.
const MEGABYTE: usize = 1_000_000;

const FOUR: usize = 4 << 20;

/// The path of an answer of `bytes` bytes and a few more, which differs from that of other sizes.
fn huge(bytes: usize) -> String {
    format!("/v1/test/items?x=huge:{bytes}")
}

/// The misbehaving guest, within these limits.
async fn serving(limits: ServerLimits) -> Serving {
    Serving::with(Subject::misbehaving(settings()).await, limits, None).await
}

/// The bytes that are held for callers.
async fn held(serving: &Serving) -> f64 {
    value(
        &scrape(serving.operator).await,
        "unread_bytes{listener=\"callers\"}",
    )
}

/// Waits until as many bytes are held for callers.
async fn held_becomes(serving: &Serving, bytes: usize) {
    #[expect(clippy::cast_precision_loss, reason = "it is small")]
    let bytes = bytes as f64;
    // In real time: the clock of the runtime may be stopped.
    let began = std::time::Instant::now();
    loop {
        let held = held(serving).await;
        if held == bytes {
            break;
        }
        assert!(
            began.elapsed() < FAILSAFE,
            "{held} bytes are held, not {bytes}"
        );
    }
}

/// Calls of guests so far.
fn guest_calls(serving: &Serving) -> u64 {
    oneflight::Client::usage(&serving.subject.client).guest_calls
}

/// How often callers reached this limit.
fn limited(serving: &Serving, limit: &str) -> f64 {
    let text = serving.subject.metrics.text(&[], 0);
    value(
        &text,
        &format!("limits_total{{client=\"test\",outcome=\"{limit}\"}}"),
    )
}

/// A connection on which `path` was requested over HTTP/1, and whose system takes few bytes of the answer.
async fn requested(server: SocketAddr, path: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut caller = socket.connect(server).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n");
    caller.write_all(request.as_bytes()).await.unwrap();
    failsafe("an answer to begin", caller.readable())
        .await
        .unwrap();
    caller
}

/// The status, the code and the setting of a problem document, which ends with it.
fn refusal(answer: &Response<bytes::Bytes>) -> (u16, String, String) {
    assert_eq!(header(answer, "retry-after"), "1", "{answer:?}");
    let problem: serde_json::Value = serde_json::from_slice(answer.body()).unwrap();
    let detail = problem["detail"].as_str().unwrap();
    let setting = detail.rsplit(' ').next().unwrap();
    (answer.status().as_u16(), code(answer), setting.to_owned())
}

// fault 100
#[tokio::test]
async fn past_the_budget_of_unread_answers_a_caller_is_refused_before_a_flight_is_opened() {
    let serving = serving(ServerLimits {
        max_unread_bytes: FOUR,
        write_stall_timeout: NEVER,
        ..ServerLimits::default()
    })
    .await;
    let mut unread = Vec::new();
    for number in 0..3 {
        unread.push(requested(serving.callers, &huge(MEGABYTE + number)).await);
    }
    let calls = guest_calls(&serving);
    assert_eq!(calls, 3);
    for _ in 0..2 {
        let refused = get(serving.callers, &huge(MEGABYTE)).await;
        assert_eq!(
            refusal(&refused),
            (503, "overloaded".to_owned(), "max_unread_bytes".to_owned())
        );
    }
    assert_eq!(guest_calls(&serving), calls);
    assert!(limited(&serving, "unread-bytes") >= 2.0);
    // What one caller gives up is free for others.
    drop(unread.pop());
    held_becomes(
        &serving,
        answer_bytes(MEGABYTE) + answer_bytes(MEGABYTE + 1),
    )
    .await;
    let answer = get(serving.callers, "/v1/test/items?x=many:1").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(guest_calls(&serving), calls + 1);
    drop(unread);
    held_becomes(&serving, 0).await;
}

/// The size of the answer to `huge:BYTES`.
fn answer_bytes(bytes: usize) -> usize {
    bytes + r#"[{"id":"huge","body":}]"#.len()
}

// fault 100
// Flights that are open when the budget is filled are not known to be too many before they land.
#[tokio::test]
async fn an_answer_that_does_not_fit_any_more_is_refused_and_not_held() {
    let serving = serving(ServerLimits {
        max_unread_bytes: FOUR,
        max_unread_bytes_per_connection: 2 * FOUR,
        write_stall_timeout: NEVER,
        ..ServerLimits::default()
    })
    .await;
    let larger = "/v1/test/items?x=huge:4200000";
    for _ in 0..2 {
        let refused = get(serving.callers, larger).await;
        assert_eq!(refusal(&refused).2, "max_unread_bytes");
    }
    assert_eq!(
        (guest_calls(&serving), limited(&serving, "unread-bytes")),
        (2, 2.0)
    );
    held_becomes(&serving, 0).await;
    let answer = get(serving.callers, &huge(4 * MEGABYTE)).await;
    assert_eq!(answer.body().len(), answer_bytes(4 * MEGABYTE));
    held_becomes(&serving, 0).await;
}

// fault 100
#[tokio::test]
async fn one_connection_of_http2_holds_no_more_than_its_budget_and_takes_nothing_from_others() {
    let serving = serving(ServerLimits {
        max_unread_bytes_per_connection: FOUR,
        write_stall_timeout: NEVER,
        ..ServerLimits::default()
    })
    .await;
    let mut caller = Unreading::to(serving.callers, 0).await;
    let mut unread = Vec::new();
    for number in 0..3 {
        let response = caller.request(&huge(MEGABYTE + number)).await;
        assert_eq!(response.status(), StatusCode::OK);
        unread.push(response);
    }
    for _ in 0..100 {
        let response = caller.request(&huge(MEGABYTE)).await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    let limit = "unread-bytes-of-connection";
    assert_eq!(
        (guest_calls(&serving), limited(&serving, limit)),
        (3, 100.0)
    );
    let all = (0..3).map(|number| answer_bytes(MEGABYTE + number)).sum();
    held_becomes(&serving, all).await;
    let answer = get(serving.callers, &huge(MEGABYTE)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    // Resetting a stream gives its answer up.
    drop(unread.pop());
    held_becomes(&serving, all - answer_bytes(MEGABYTE + 2)).await;
    let again = caller.request("/v1/test/items?x=many:1").await;
    assert_eq!(again.status(), StatusCode::OK);
    drop(caller);
    held_becomes(&serving, 0).await;
}

// fault 100
#[tokio::test]
async fn an_answer_of_many_callers_counts_once() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = Serving::in_front_of(&upstream).await;
    let mut callers = Vec::new();
    for _ in 0..3 {
        callers.push(Unreading::to(serving.callers, 0).await);
    }
    let waiting = join_all(callers.iter_mut().map(async |caller| {
        let response = caller.request("/v1/test/items?x=42").await;
        assert_eq!(response.status(), StatusCode::OK);
        response
    }));
    let landing = async {
        serving.waiting(3).await;
        upstream.requested(1).await;
        upstream.release();
    };
    let (unread, ()) = tokio::join!(waiting, landing);
    held_becomes(&serving, ITEMS_JSON.len()).await;
    let mut unread = unread.into_iter();
    drop(unread.next());
    assert!(callers[0].ping().await);
    held_becomes(&serving, ITEMS_JSON.len()).await;
    drop(unread);
    held_becomes(&serving, 0).await;
}

// fault 101
#[tokio::test]
async fn a_stream_without_a_window_is_reset_however_many_other_frames_arrive() {
    // No window, one byte of it, and all but the last byte.
    let last = u32::try_from(answer_bytes(MEGABYTE) - 1).unwrap();
    for window in [0, 1, last] {
        let serving = serving(ServerLimits::default()).await;
        let mut caller = Unreading::to(serving.callers, window).await;
        let mut response = caller.request(&huge(MEGABYTE)).await;
        let body = response.body_mut();
        // Read, and not given back to the window.
        let mut read = 0;
        while read < window as usize {
            read += failsafe("data", body.data()).await.unwrap().unwrap().len();
        }
        held_becomes(&serving, answer_bytes(MEGABYTE)).await;
        let clock = StoppedClock::stop();
        for _ in 0..5 {
            clock.advance(Duration::from_secs(10)).await;
            assert!(caller.ping().await);
        }
        held_becomes(&serving, answer_bytes(MEGABYTE)).await;
        for _ in 0..2 {
            clock.advance(Duration::from_secs(10)).await;
            assert!(caller.ping().await, "only the stream ends");
        }
        let reset = failsafe("the end of the stream", body.data()).await;
        let reset = reset.unwrap().unwrap_err();
        assert_eq!(reset.reason(), Some(h2::Reason::CANCEL), "{window}");
        held_becomes(&serving, 0).await;
        let next = caller.request("/livez").await;
        assert_eq!(next.status(), StatusCode::OK);
    }
}

// fault 101
#[tokio::test]
async fn pings_do_not_keep_an_idle_connection() {
    let serving = serving(ServerLimits::default()).await;
    let mut caller = Unreading::to(serving.callers, 1 << 16).await;
    assert_eq!(caller.request("/livez").await.status(), StatusCode::OK);
    let clock = StoppedClock::stop();
    for _ in 0..7 {
        clock.advance(Duration::from_secs(10)).await;
        assert!(caller.ping().await);
    }
    clock.advance(Duration::from_secs(10)).await;
    caller.closed().await;
}

// fault 101
#[tokio::test]
async fn a_stream_that_is_read_slowly_is_reset_when_its_time_has_passed() {
    const WINDOW: u32 = 16 << 10;
    let serving = serving(ServerLimits::default()).await;
    let mut caller = Unreading::to(serving.callers, WINDOW).await;
    let mut response = caller.request(&huge(MEGABYTE)).await;
    let body = response.body_mut();
    let clock = StoppedClock::stop();
    // 19 times 30 s: each time as much is read as the window permits.
    for _ in 0..19 {
        let mut read = 0;
        while read < WINDOW as usize {
            let data = failsafe("data", body.data()).await.unwrap().unwrap();
            read += data.len();
        }
        body.flow_control().release_capacity(read).unwrap();
        clock.advance(Duration::from_secs(30)).await;
    }
    held_becomes(&serving, answer_bytes(MEGABYTE)).await;
    clock.advance(Duration::from_secs(31)).await;
    let reset = failsafe("the end of the stream", async {
        loop {
            if let Err(error) = body.data().await.expect("more than was read") {
                break error;
            }
        }
    })
    .await;
    assert_eq!(reset.reason(), Some(h2::Reason::CANCEL));
    held_becomes(&serving, 0).await;
    assert!(caller.ping().await);
}

// fault 101
#[tokio::test]
async fn a_caller_over_http1_that_reads_slowly_is_cut_off_when_its_time_has_passed() {
    let serving = serving(ServerLimits::default()).await;
    let mut caller = requested(serving.callers, &huge(8 * MEGABYTE)).await;
    let clock = StoppedClock::stop();
    let mut part = vec![0; 200_000];
    for _ in 0..19 {
        let read = failsafe("a part", caller.read_exact(&mut part)).await;
        assert_eq!(read.unwrap(), part.len());
        clock.advance(Duration::from_secs(30)).await;
    }
    held_becomes(&serving, answer_bytes(8 * MEGABYTE)).await;
    clock.advance(Duration::from_secs(31)).await;
    held_becomes(&serving, 0).await;
    let mut rest = Vec::new();
    drop(failsafe("the end", caller.read_to_end(&mut rest)).await);
    assert!(rest.len() < 4 * MEGABYTE, "{}", rest.len());
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    let head = [0, 0, length, kind, flags, 0, 0, 0, stream];
    [&head[..], payload].concat()
}

/// The HEADERS frame of a request for `path`: `:method GET` and `:scheme http` by their indices, then `:authority` and
/// `:path` as text.
fn headers(stream: u8, path: &str) -> Vec<u8> {
    let length = u8::try_from(path.len()).unwrap();
    let block = [b"\x82\x86\x01\x01a\x04", &[length][..], path.as_bytes()].concat();
    frame(1, 5, stream, &block)
}

// fault 101
#[tokio::test]
async fn a_waiting_request_does_not_keep_an_http2_connection_that_is_not_read() {
    let upstream = Upstream::start(Answer::Held).await;
    let subject = Subject::misbehaving(reaching(&upstream)).await;
    let serving = Serving::start(subject).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut caller = socket.connect(serving.callers).await.unwrap();
    // The largest windows for each stream and for the connection.
    let frames = [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        frame(4, 0, 0, b"\0\x04\x7f\xff\xff\xff"),
        frame(8, 0, 0, b"\x7f\xff\0\0"),
        headers(1, &huge(8 * MEGABYTE)),
        headers(3, &format!("/v1/test/items?x=need:{}", upstream.origin())),
    ];
    caller.write_all(&frames.concat()).await.unwrap();
    upstream.requested(1).await;
    held_becomes(&serving, answer_bytes(8 * MEGABYTE) + REQUEST_BYTES).await;
    let clock = StoppedClock::stop();
    clock.advance(Duration::from_secs(61)).await;
    held_becomes(&serving, 0).await;
    serving.waiting(0).await;
}

/// What a request in progress counts.
const REQUEST_BYTES: usize = 8 << 10;

// fault 100
#[tokio::test]
async fn requests_in_progress_count_until_they_are_answered_or_given_up() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = Serving::in_front_of(&upstream).await;
    let [one, other] = [1, 2].map(|x| {
        let address = serving.callers;
        tokio::spawn(async move { get(address, &format!("/v1/test/items?x={x}")).await })
    });
    serving.waiting(2).await;
    held_becomes(&serving, 2 * REQUEST_BYTES).await;
    one.abort();
    held_becomes(&serving, REQUEST_BYTES).await;
    upstream.requested(2).await;
    upstream.release();
    let answer = failsafe("an answer", other).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    held_becomes(&serving, 0).await;
}

// fault 100
#[tokio::test]
async fn answers_of_the_admin_api_that_are_not_read_have_a_budget_of_their_own() {
    let serving = serving(ServerLimits {
        max_unread_bytes_per_connection: 100 << 10,
        write_stall_timeout: NEVER,
        ..ServerLimits::default()
    })
    .await;
    let mut scraper = Unreading::to(serving.operator, 0).await;
    let (mut unread, mut refused) = (Vec::new(), 0);
    while refused < 3 {
        let response = scraper.request("/metrics").await;
        match response.status() {
            StatusCode::OK => unread.push(response),
            status => {
                assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
                refused += 1;
            }
        }
        assert!(unread.len() < 100, "nothing is refused");
    }
    let answer = get(serving.operator, "/metrics").await;
    assert_eq!(refusal(&answer).2, "max_unread_bytes_per_connection");
    for (address, path) in [
        (serving.operator, "/livez"),
        (serving.operator, "/readyz"),
        (serving.callers, "/v1/test/items?x=many:1"),
    ] {
        assert_eq!(get(address, path).await.status(), StatusCode::OK, "{path}");
    }
    drop((unread, scraper));
    failsafe("the metrics", async {
        while get(serving.operator, "/metrics").await.status() != StatusCode::OK {}
    })
    .await;
    held_becomes(&serving, 0).await;
}

// fault 101
// Half of the two admin connections are for dashboards.
#[tokio::test]
async fn a_dashboard_that_is_not_read_gives_its_place_to_another() {
    let serving = serving(ServerLimits {
        max_admin_connections: 2,
        ..ServerLimits::default()
    })
    .await;
    let mut caller = Unreading::to(serving.operator, 0).await;
    let mut unread = caller.request("/v1/live").await;
    let admin_holds = async || {
        let text = scrape(serving.operator).await;
        value(&text, "unread_bytes{listener=\"admin\"}")
    };
    // More than the request of the scrape itself.
    failsafe("an event to be held", async {
        while admin_holds().await <= 8192.0 {}
    })
    .await;
    let second = caller.request("/v1/live").await;
    assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
    let clock = StoppedClock::stop();
    for _ in 0..7 {
        clock.advance(Duration::from_secs(10)).await;
        assert!(caller.ping().await);
    }
    let reset = failsafe("the end of the stream", unread.body_mut().data()).await;
    let reset = reset.unwrap().unwrap_err();
    assert_eq!(reset.reason(), Some(h2::Reason::CANCEL));
    failsafe("the event to be freed", async {
        while admin_holds().await > 8192.0 {}
    })
    .await;
    let third = caller.request("/v1/live").await;
    assert_eq!(third.status(), StatusCode::OK);
}

// fault 100
#[tokio::test]
async fn a_refusal_for_unread_answers_is_logged_with_its_setting() {
    let folder = oneflight_tests::folder::Folder::new();
    let file = format!(
        "limits.max_unread_bytes = '1 MiB'\n[clients.test]\ncomponent = '{}'\n",
        artifacts::MISBEHAVING
    );
    let file = folder.write("oneflight.toml", file.as_bytes());
    let service = Service::start(&["--config", &file]).await;
    service.ready().await;
    let refused = get(service.address, &huge(2 * MEGABYTE)).await;
    assert_eq!(refusal(&refused).2, "max_unread_bytes");
    service.terminate();
    let (_, log) = service.ended().await;
    let line = log
        .lines()
        .find(|line| line.contains("refused client=\"test\""));
    let line = line.unwrap_or_else(|| panic!("{log}"));
    assert!(line.ends_with("raise max_unread_bytes"), "{line}");
}

// fault 101
// A stream whose answer is in the queue of the library whole cannot be reset, so the connection is closed.
#[tokio::test]
async fn a_connection_that_holds_a_small_answer_for_too_long_is_closed() {
    let serving = serving(ServerLimits::default()).await;
    let mut caller = Unreading::to(serving.callers, 1).await;
    let mut response = caller.request(&huge(1_000)).await;
    let first = failsafe("data", response.body_mut().data()).await;
    assert_eq!(first.unwrap().unwrap().len(), 1);
    let clock = StoppedClock::stop();
    for _ in 0..13 {
        clock.advance(Duration::from_secs(50)).await;
        // Other requests do not matter either.
        let other = caller.request("/readyz").await;
        assert_eq!(other.status(), StatusCode::OK);
        assert!(caller.ping().await);
    }
    held_becomes(&serving, answer_bytes(1_000)).await;
    clock.advance(Duration::from_secs(11)).await;
    caller.closed().await;
    held_becomes(&serving, 0).await;
}
