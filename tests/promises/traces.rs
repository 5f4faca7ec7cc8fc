//! Traces, as a receiver gets them from the real binary.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::future::join_all;
use http::StatusCode;
use oneflight_tests::caller::{code, get, get_with};
use oneflight_tests::failsafe;
use oneflight_tests::folder::Folder;
use oneflight_tests::otlp::{Receiver, Span};
use oneflight_tests::process::Service;
use oneflight_tests::tls::Identity;
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

/// The spans of two callers: trace id and span id.
const CALLERS: [(&str, &str); 2] = [
    ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"),
    ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"),
];

/// A service with the client `a`, which sends `upstream` a secret header and the trace context.
async fn tracing(upstream: &Upstream, traces: &str) -> Service {
    let (folder, origin) = (Folder::new(), upstream.origin());
    let text = format!(
        "limits.shutdown_delay = '0s'\n[traces]\n{traces}\n[clients.a]\nbase_url = '{origin}/items'\n\
         settings.HEADER_X_KEY = 's3cret'\ntrace_to = ['{origin}']\nlimits.flight_timeout = '1h'\ninstances = {{ max_calls = 1000, max_age = '60s' }}\n"
    );
    Service::start(&["--config", &folder.write("a.toml", text.as_bytes())]).await
}

/// Ends the service, and returns the spans that `receiver` has by then, all bytes as text, and the log.
async fn ended(service: Service, receiver: &mut Receiver) -> (Vec<Span>, String, String) {
    service.terminate();
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(0), "{log}");
    let (mut spans, mut bytes) = (Vec::new(), String::new());
    for received in receiver.received() {
        assert_eq!(received.path, "/v1/traces");
        bytes += &String::from_utf8_lossy(&received.bytes);
        spans.extend(received.spans);
    }
    (spans, bytes, log)
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// The value of a header of the only request to `upstream`.
fn header(upstream: &Upstream, name: &str) -> Option<String> {
    let heads = upstream.heads();
    assert_eq!(heads.len(), 1, "{heads:?}");
    let lines = heads[0].lines();
    let mut values = lines.filter_map(|line| line.strip_prefix(&format!("{name}: ")));
    let value = values.next().map(str::to_owned);
    assert_eq!(values.next(), None, "{heads:?}");
    value
}

#[tokio::test]
async fn each_caller_is_in_its_own_trace_and_linked_to_the_shared_flight() {
    let upstream = Upstream::start(Answer::Held).await;
    let mut receiver = Receiver::start().await;
    let service = tracing(&upstream, &format!("otlp = '{}'", receiver.url())).await;
    let (address, path) = (service.address, "/v1/a/items?x=k3y-of-a-person");
    let callers = CALLERS.map(|(trace, span)| {
        tokio::spawn(async move {
            let traceparent = format!("00-{trace}-{span}-01");
            let headers = [
                ("traceparent", &*traceparent),
                ("tracestate", "vendor=st4te"),
                ("baggage", "user=b4ggage"),
            ];
            get_with(address, path, &headers).await
        })
    });
    service.waiting("a", 2).await;
    upstream.release();
    for caller in callers {
        let answer = failsafe("an answer", caller).await.unwrap();
        assert_eq!(answer.body(), ITEMS_JSON);
    }
    let (spans, bytes, log) = ended(service, &mut receiver).await;

    let (callers, flights, requests) = (
        named(&spans, "caller"),
        named(&spans, "flight"),
        named(&spans, "upstream request"),
    );
    assert_eq!(
        (callers.len(), flights.len(), requests.len(), spans.len()),
        (2, 1, 1, 4),
        "{spans:#?}"
    );
    let (flight, request) = (flights[0], requests[0]);
    let parents: BTreeMap<_, _> = callers
        .iter()
        .map(|caller| (&*caller.trace, &*caller.parent))
        .collect();
    assert_eq!(parents, BTreeMap::from(CALLERS));
    for caller in &callers {
        assert_eq!(
            caller.links,
            [(flight.trace.clone(), flight.id.clone())],
            "{caller:?}"
        );
    }
    let mut roles = callers
        .iter()
        .map(|caller| &*caller.attributes["role"])
        .collect::<Vec<_>>();
    roles.sort_unstable();
    assert_eq!(roles, ["follower", "leader"]);
    assert!(CALLERS.iter().all(|(trace, _)| flight.trace != *trace));
    assert_eq!((&*flight.parent, flight.links.len()), ("", 0));
    assert_eq!(flight.attributes["callers"], "2");
    let cost = |name| flight.attributes[name].parse::<f64>().unwrap();
    assert!(cost("guest.cpu_seconds") > 0.0, "{flight:?}");
    // The built-in client has a memory of some pages; the host holds its request and the buffers of its connection.
    let page = f64::from(64 << 10);
    assert!(cost("guest.memory_bytes") > page, "{flight:?}");
    assert!(cost("guest.host_memory_bytes") > page, "{flight:?}");
    assert_eq!(
        (&request.trace, &request.parent),
        (&flight.trace, &flight.id)
    );
    assert_eq!(request.links.len(), 0);

    let context = format!("00-{}-{}-01", request.trace, request.id);
    assert_eq!(header(&upstream, "traceparent"), Some(context));
    assert_eq!(header(&upstream, "tracestate"), None);
    assert_eq!(header(&upstream, "baggage"), None);
    assert!(log.contains(&format!("trace={}", flight.trace)), "{log}");

    let kinds = [callers[0], flight, request].map(|span| span.kind);
    assert_eq!(
        kinds,
        [SpanKind::Server, SpanKind::Internal, SpanKind::Client]
    );
    let port = upstream.address().port().to_string();
    let expected = [
        ("http.request.method", "GET"),
        ("http.response.status_code", "200"),
        ("server.address", "127.0.0.1"),
        ("server.port", &port),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(request.attributes, BTreeMap::from(expected));
    for span in &spans {
        assert_eq!((span.failed, span.events), (false, 0), "{span:?}");
        assert_eq!(span.resource["service.name"], "oneflight");
        assert_eq!(span.resource["service.version"], env!("CARGO_PKG_VERSION"));
    }
    // No key, secret or header of a caller is in the spans.
    assert!(bytes.contains("upstream request"), "{bytes}");
    for secret in ["k3y", "s3cret", "st4te", "b4ggage", "/items"] {
        assert!(!bytes.contains(secret), "{secret}: {bytes}");
    }
}

#[tokio::test]
async fn a_caller_without_a_valid_traceparent_starts_a_trace() {
    let upstream = Upstream::start(Answer::Items).await;
    let mut receiver = Receiver::start().await;
    let service = tracing(&upstream, &format!("otlp = '{}'", receiver.url())).await;
    let (trace, span) = CALLERS[0];
    let bad = format!("00-{}-{span}-01", trace.to_uppercase());
    for headers in [&[][..], &[("traceparent", &*bad)]] {
        let answer = get_with(service.address, "/v1/a/items?x=1", headers).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let (spans, ..) = ended(service, &mut receiver).await;
    let callers = named(&spans, "caller");
    assert_eq!(callers.len(), 2, "{spans:?}");
    for caller in callers {
        assert_eq!(caller.parent, "");
        assert_ne!(caller.trace, trace);
    }
}

#[tokio::test]
async fn failed_spans_have_an_error_status_and_not_found_has_none() {
    for (answer, named_after, status, error) in [
        (Answer::Status(500, ""), "upstream-status", "500", "500"),
        (
            Answer::HangUp,
            "upstream-unavailable",
            "",
            "upstream-unavailable",
        ),
        (Answer::Status(404, ""), "not-found", "404", "404"),
    ] {
        let upstream = Upstream::start(answer).await;
        let mut receiver = Receiver::start().await;
        let service = tracing(&upstream, &format!("otlp = '{}'", receiver.url())).await;
        assert_eq!(
            code(&get(service.address, "/v1/a/items?x=1").await),
            named_after
        );
        let (spans, ..) = ended(service, &mut receiver).await;
        for name in ["caller", "flight"] {
            let span = named(&spans, name)[0];
            assert_eq!(span.attributes["code"], named_after);
            assert_eq!(span.failed, named_after != "not-found", "{span:?}");
        }
        let request = named(&spans, "upstream request")[0];
        let attribute = |name| request.attributes.get(name).map_or("", |value| &**value);
        let attribute = (
            attribute("http.response.status_code"),
            attribute("error.type"),
        );
        assert_eq!(
            (attribute, request.failed),
            ((status, error), true),
            "{request:?}"
        );
    }
}

#[tokio::test]
async fn with_sampling_off_nothing_is_exported_and_the_sampled_flag_is_unset() {
    let upstream = Upstream::start(Answer::Items).await;
    let mut receiver = Receiver::start().await;
    let traces = format!("otlp = '{}'\nsample = 0", receiver.url());
    let service = tracing(&upstream, &traces).await;
    get(service.address, "/v1/a/items?x=1").await;
    let (spans, ..) = ended(service, &mut receiver).await;
    assert_eq!(spans.len(), 0, "{spans:?}");
    let context = header(&upstream, "traceparent").unwrap();
    assert!(context.ends_with("-00"), "{context}");
}

#[tokio::test]
async fn a_flag_overrides_the_receiver_and_keeps_the_headers_of_the_file() {
    let upstream = Upstream::start(Answer::Items).await;
    let (mut written, mut flagged) = (Receiver::start().await, Receiver::start().await);
    let folder = Folder::new();
    let key = folder.write("key", b"k3y-of-the-receiver\n");
    let text = format!(
        "[traces]\notlp = '{}'\nheaders.X-Api-Key = {{ file = '{key}' }}\n\
         [clients.a]\nbase_url = '{}/items'\n",
        written.url(),
        upstream.origin()
    );
    let file = folder.write("a.toml", text.as_bytes());
    let otlp = format!("{}/collector/", flagged.url());
    let service = Service::start(&["--config", &file, "--otlp", &otlp]).await;
    get(service.address, "/v1/a/items?x=1").await;
    let received = failsafe("traces, while the service runs", flagged.next()).await;
    assert_eq!(received.path, "/collector/v1/traces");
    assert_eq!(received.headers["x-api-key"], "k3y-of-the-receiver");
    assert_eq!(received.headers["content-type"], "application/x-protobuf");
    assert_eq!(written.received().len(), 0);
}

#[tokio::test]
async fn traces_go_over_tls_only_to_a_trusted_receiver() {
    let (believed, other) = (Identity::new(&["localhost"]), Identity::new(&["localhost"]));
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let roots = folder.write("roots.pem", believed.pem().as_bytes());
    for (identity, count) in [(&believed, 3), (&other, 0)] {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut receiver = Receiver::at(address, Some(identity)).await.unwrap();
        let otlp = format!("https://localhost:{}", receiver.port());
        let args = ["--otlp", &otlp, "--base-url", &upstream.origin()];
        let service = Service::start_with(&args, &[("SSL_CERT_FILE", &roots)]).await;
        get(service.address, "/v1/default/items?x=1").await;
        let (spans, ..) = ended(service, &mut receiver).await;
        assert_eq!(spans.len(), count, "{spans:?}");
    }
}

// fault 53
#[tokio::test]
async fn spans_lost_to_an_unreachable_receiver_are_counted_and_not_logged_per_request() {
    let upstream = Upstream::start(Answer::Items).await;
    let gone = Upstream::start(Answer::Items).await.origin();
    let service = tracing(&upstream, &format!("otlp = '{gone}'")).await;
    let address = service.address;
    // More spans than two requests take, within the minute in which losses are logged once.
    let keys = (0..8).map(|caller| async move {
        for key in 0..50 {
            let path = format!("/v1/a/items?x={caller}-{key}");
            let answer = failsafe("an answer", get(address, &path)).await;
            assert_eq!(answer.body(), ITEMS_JSON);
        }
    });
    join_all(keys).await;
    service.terminate();
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(0), "{log}");
    // One line at once, and one in the end.
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("are lost"))
        .collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].contains("the receiver was not reached"), "{log}");
    let lost = lines.iter().map(|line| {
        let (_, count) = line.split_once("spans=").unwrap();
        count.split(' ').next().unwrap().parse::<usize>().unwrap()
    });
    // Three spans for each key: caller, flight and upstream request.
    assert_eq!(lost.sum::<usize>(), 1_200, "{log}");
}

// fault 53
#[tokio::test]
async fn a_silent_receiver_delays_neither_callers_nor_the_shutdown() {
    let upstream = Upstream::start(Answer::Items).await;
    let silent = Upstream::start(Answer::NoHead).await;
    let (otlp, base_url) = (silent.origin(), upstream.origin());
    let service = Service::start(&["--otlp", &otlp, "--base-url", &base_url]).await;
    let before = get(service.address, "/v1/default/items?x=1").await;
    assert_eq!(before.body(), ITEMS_JSON);
    silent.requested(1).await;
    let during = get(service.address, "/v1/default/items?x=2").await;
    assert_eq!(during.body(), ITEMS_JSON);
    service.terminate();
    // The exporter gives up long before the failsafe of this test.
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(0), "{log}");
    assert!(
        log.contains("the receiver did not respond in time"),
        "{log}"
    );
}
