//! Typed functions: which callers share a flight, and what each gets.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::Full;
use oneflight::registry::ClientRegistry;
use oneflight::{ServerLimits, Settings, Sharing};
use oneflight_tests::caller::{Answer as Response, get, get_with, header, send};
use oneflight_tests::serving::{Serving, served};
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{Subject, artifacts, failsafe, reaching, settings};

/// Settings that share the functions with these names.
pub(crate) fn sharing(names: &[&str], settings: Settings) -> Settings {
    let share = names.iter().map(|name| name.parse().unwrap()).collect();
    Settings { share, ..settings }
}

/// The component with functions of every type, and those that misbehave.
pub(crate) async fn typed(names: &[&str], settings: Settings) -> Serving {
    Serving::start(Subject::load(artifacts::TYPED, sharing(names, settings)).await).await
}

/// The client of orders in front of `upstream`.
pub(crate) async fn orders(upstream: &Upstream, names: &[&str]) -> Serving {
    let settings = reaching(upstream).env("BASE_URL", &upstream.origin());
    Serving::start(Subject::load(artifacts::ORDERS, sharing(names, settings)).await).await
}

/// Sends `json` as the arguments of the function at `path`.
pub(crate) async fn post(server: SocketAddr, path: &str, json: impl Into<Bytes>) -> Response {
    let request = Request::post(path)
        .header("host", "test")
        .header("content-type", "application/json");
    send(server, request.body(Full::new(json.into())).unwrap()).await
}

pub(crate) fn text(answer: &Response) -> &str {
    std::str::from_utf8(answer.body()).unwrap()
}

/// The answer of an upstream of orders.
pub(crate) const ORDER: &str = r#"{"id":"42","lines":[{"sku":"bolt","quantity":2,"currency":"EUR","minor":150}],"transfer":["bank",9007199254740993],"history":[5,-7]}"#;

/// The same order as a caller gets it who reads all parts in Europe.
const READ: &str = r#"{"id":"42","region":"eu","lines":[{"sku":"bolt","quantity":2,"price":{"currency":"EUR","minor":150}}],"payment":{"transfer":["bank",9007199254740993]},"history":[{"ok":5},{"err":7}]}"#;

const GET_ORDER: &str = "/v1/test/get-order";

const ALL: &str = r#"{"tenant":"a","id":"42","parts":["lines","payment","history"],"region":"eu"}"#;

#[tokio::test]
async fn a_function_with_records_variants_and_flags_answers_in_json() {
    let upstream = Upstream::start(Answer::Body(ORDER.to_owned())).await;
    let serving = orders(&upstream, &["get-order"]).await;
    let answer = post(serving.callers, GET_ORDER, ALL).await;
    assert_eq!((answer.status(), text(&answer)), (StatusCode::OK, READ));
    assert_eq!(header(&answer, "content-type"), "application/json");
    assert_eq!(header(&answer, "cache-status"), "oneflight; fwd=miss");
    let version = post(serving.callers, "/v1/test/version", "{}").await;
    assert_eq!(text(&version), "\"0.1.0\"");
    assert_eq!(header(&version, "cache-status"), "oneflight; fwd=bypass");
}

// The guest is the example that others copy.
#[tokio::test]
async fn a_tenant_leaves_its_segment_of_the_path_in_no_way() {
    let upstream = Upstream::start(Answer::Body("[]".to_owned())).await;
    let serving = orders(&upstream, &["list-open"]).await;
    let list = async |tenant: &str| {
        let body = serde_json::json!({ "tenant": tenant }).to_string();
        post(serving.callers, "/v1/test/list-open", body).await
    };
    for tenant in ["", ".", ".."] {
        let refused = list(tenant).await;
        assert_eq!(
            oneflight_tests::caller::code(&refused),
            "not-found",
            "{tenant:?}"
        );
    }
    assert_eq!(upstream.requests(), 0);
    for (tenant, path) in [
        ("...", "/.../open"),
        ("../a", "/..%2Fa/open"),
        ("%2e%2e", "/%252e%252e/open"),
        ("a?b#c", "/a%3Fb%23c/open"),
    ] {
        assert_eq!(text(&list(tenant).await), "[]");
        let head = upstream.heads().pop().unwrap();
        assert!(
            head.starts_with(&format!("GET {path} HTTP/1.1\r\n")),
            "{head}"
        );
    }
}

// fault 105
// One upstream request for each distinct set of arguments, however they are written.
#[tokio::test]
async fn callers_with_equal_arguments_share_a_flight_however_they_write_them() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = typed(
        &["wait"],
        reaching(&upstream).env("BASE_URL", &upstream.origin()),
    )
    .await;
    let server = serving.callers;
    let mut callers: Vec<_> = (0..20)
        .map(|_| tokio::spawn(post(server, "/v1/test/wait", r#"{"path":"/a"}"#)))
        .collect();
    for body in [r#" { "path" : "\u002fa" } "#, r#"{"path":"\/a"}"#] {
        callers.push(tokio::spawn(post(server, "/v1/test/faults/wait", body)));
    }
    for path in [
        "/v1/test/wait?path=/a",
        "/v1/test/wait?path=%2Fa&",
        "/v1/test/w%61it?p%61th=%2fa",
    ] {
        callers.push(tokio::spawn(async move { get(server, path).await }));
    }
    callers.push(tokio::spawn(post(
        server,
        "/v1/test/wait",
        r#"{"path":"/b"}"#,
    )));
    serving.waiting(26).await;
    upstream.requested(2).await;
    upstream.release();
    let answers = failsafe("answers", join_all(callers)).await;
    let mut statuses = [0, 0];
    for answer in answers {
        let answer = answer.unwrap();
        assert_eq!(text(&answer), "200");
        let is_joined = header(&answer, "cache-status") == "oneflight; fwd=miss; collapsed";
        statuses[usize::from(is_joined)] += 1;
    }
    assert_eq!((statuses, upstream.requests()), ([2, 24], 2));
}

// fault 105
#[tokio::test]
async fn the_order_of_fields_and_an_absent_option_make_no_other_arguments() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = orders(&upstream, &["acme:orders/orders#get-*"]).await;
    let server = serving.callers;
    let post = |body: &'static str| tokio::spawn(post(server, GET_ORDER, body));
    let mut callers = vec![
        post(r#"{"tenant":"a","id":"1","parts":["lines","history"],"region":null}"#),
        post(r#"{"parts":["history","lines"],"id":"1","tenant":"a"}"#),
        post(r#"{"region":null,"tenant":"\u0061","id":"1","parts":["lines","history"]}"#),
    ];
    callers.push(tokio::spawn(async move {
        let query = "id=1&tenant=a&parts=%5B%22lines%22,%22history%22%5D";
        get(server, &format!("{GET_ORDER}?{query}")).await
    }));
    serving.waiting(4).await;
    upstream.requested(1).await;
    for other in [
        r#"{"tenant":"b","id":"1","parts":["lines","history"]}"#,
        r#"{"tenant":"a","id":"1","parts":["lines"]}"#,
        r#"{"tenant":"a","id":"1","parts":["lines","history"],"region":"us"}"#,
        r#"{"tenant":"a","id":"11","parts":["lines","history"]}"#,
    ] {
        callers.push(post(other));
    }
    upstream.requested(5).await;
    serving.waiting(8).await;
    upstream.release();
    // The upstream answers with items, which are no order.
    for answer in failsafe("answers", join_all(callers)).await {
        assert_eq!(
            oneflight_tests::caller::code(&answer.unwrap()),
            "upstream-malformed"
        );
    }
    assert_eq!(upstream.requests(), 5);
}

// fault 106
#[tokio::test]
async fn callers_of_a_function_that_is_not_listed_have_a_flight_each() {
    let upstream = Upstream::start(Answer::Held).await;
    let serving = orders(&upstream, &["get-order"]).await;
    let server = serving.callers;
    let callers: Vec<_> = (0..5)
        .map(|_| tokio::spawn(post(server, "/v1/test/list-open", r#"{"tenant":"a"}"#)))
        .collect();
    upstream.requested(5).await;
    serving.waiting(5).await;
    upstream.release();
    for answer in failsafe("answers", join_all(callers)).await {
        let answer = answer.unwrap();
        assert_eq!(header(&answer, "cache-status"), "oneflight; fwd=bypass");
    }
    serving.subject.settled().await;
    assert_eq!(upstream.requests(), 5);
    let subject = &serving.subject;
    assert_eq!(subject.counted("would_have_joined_total"), 4.0);
    for method in ["GET", "HEAD"] {
        let request = Request::builder().method(method);
        let request = request
            .uri("/v1/test/list-open?tenant=a")
            .header("host", "test");
        let refused = send(server, request.body(Full::new(Bytes::new())).unwrap()).await;
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(header(&refused, "allow"), "POST");
    }
    assert_eq!(upstream.requests(), 5);
}

// fault 106
#[tokio::test]
async fn an_observed_client_and_a_fresh_request_share_no_typed_call() {
    let upstream = Upstream::start(Answer::Held).await;
    let settings = Settings {
        sharing: Sharing::Observed,
        ..reaching(&upstream).env("BASE_URL", &upstream.origin())
    };
    let serving = typed(&["wait"], settings).await;
    let callers: Vec<_> = (0..3)
        .map(|_| tokio::spawn(post(serving.callers, "/v1/test/wait", r#"{"path":"/a"}"#)))
        .collect();
    upstream.requested(3).await;
    upstream.release();
    for answer in failsafe("answers", join_all(callers)).await {
        assert_eq!(
            header(&answer.unwrap(), "cache-status"),
            "oneflight; fwd=bypass"
        );
    }
    let upstream = Upstream::start(Answer::Held).await;
    let settings = Settings {
        sharing: Sharing::Coalesced {
            join_window: None,
            allow_fresh: true,
        },
        ..reaching(&upstream).env("BASE_URL", &upstream.origin())
    };
    let serving = typed(&["wait"], settings).await;
    let server = serving.callers;
    let open = tokio::spawn(async move { get(server, "/v1/test/wait?path=/a").await });
    upstream.requested(1).await;
    let fresh = tokio::spawn(async move {
        let fresh = [("cache-control", "no-cache")];
        get_with(server, "/v1/test/wait?path=/a", &fresh).await
    });
    upstream.requested(2).await;
    upstream.release();
    for (caller, status) in [
        (open, "oneflight; fwd=miss"),
        (fresh, "oneflight; fwd=bypass"),
    ] {
        let answer = failsafe("an answer", caller).await.unwrap();
        assert_eq!(header(&answer, "cache-status"), status);
        assert_eq!(text(&answer), "200");
    }
    assert_eq!(upstream.requests(), 2);
}

// fault 2
#[tokio::test]
async fn two_clients_never_share_a_typed_call() {
    let upstream = Upstream::start(Answer::Held).await;
    let client = async |name: &str| {
        let settings = Settings {
            name: name.to_owned(),
            ..reaching(&upstream).env("BASE_URL", &upstream.origin())
        };
        Subject::load(artifacts::TYPED, sharing(&["*"], settings)).await
    };
    let (one, other) = (client("one").await, client("other").await);
    let clients = Arc::new(ClientRegistry::of([served(&one), served(&other)]));
    let serving = Serving::of(clients, one, ServerLimits::default(), None).await;
    let callers = ["one", "other"].map(|name| {
        let path = format!("/v1/{name}/wait?path=/a");
        let server = serving.callers;
        tokio::spawn(async move { get(server, &path).await })
    });
    upstream.requested(2).await;
    upstream.release();
    for answer in failsafe("answers", join_all(callers)).await {
        assert_eq!(
            header(&answer.unwrap(), "cache-status"),
            "oneflight; fwd=miss"
        );
    }
}

// fault 106
#[tokio::test]
async fn a_name_in_share_that_matches_nothing_refuses_the_load_and_lists_the_functions() {
    let binary = std::fs::read(artifacts::ORDERS).unwrap();
    let engine = oneflight::Engine::on_demand().unwrap();
    let settings = sharing(&["get-*", "acme:orders/orders#drop-*"], settings());
    let refused = oneflight::ComponentClient::load(&engine, binary, settings).await;
    let found = refused.unwrap_err().found();
    assert_eq!(
        found,
        "\"acme:orders/orders#drop-*\", where the component has version, \
         acme:orders/orders@1.0.0#get-order, acme:orders/orders@1.0.0#list-open, acme:orders/orders@1.0.0#place-order"
    );
}

#[tokio::test]
async fn the_admin_api_names_calls_by_their_hashes_and_forgets_one_that_is_named_in_wave() {
    let upstream = Upstream::start(Answer::Held).await;
    let settings = reaching(&upstream).env("BASE_URL", &upstream.origin());
    let serving = typed(&["wait"], settings).await;
    let server = serving.callers;
    let admin = async |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path);
        let request = request
            .header("host", "localhost")
            .header("x-oneflight", "1");
        let answer = send(serving.operator, request.body(Full::default()).unwrap()).await;
        (answer.status().as_u16(), text(&answer).to_owned())
    };
    let early = tokio::spawn(async move { get(server, "/v1/test/wait?path=/private").await });
    upstream.requested(1).await;
    let (_, flights) = admin("GET", "/v1/flights").await;
    assert!(
        flights.contains("\"key\":\"wait(#") && !flights.contains("private"),
        "{flights}"
    );
    let wait = "call=wait(%22/private%22)";
    let (_, explained) = admin("GET", &format!("/v1/test/explain?{wait}")).await;
    assert!(
        explained.contains("\"joins\"") && !explained.contains("private"),
        "{explained}"
    );
    // Written in another way, it is the same call.
    let forget = "/v1/test/forget?call=faults%23wait(%20%22%5Cu%7B2f%7Dprivate%22%20)";
    let forgotten = |yes: bool| (200, format!("{{\"forgotten\":{yes}}}"));
    assert_eq!(
        admin("POST", "/v1/test/forget?call=wait(%22/other%22)").await,
        forgotten(false)
    );
    assert_eq!(admin("POST", forget).await, forgotten(true));
    assert_eq!(admin("POST", forget).await, forgotten(false));
    let late = tokio::spawn(async move { get(server, "/v1/test/wait?path=/private").await });
    upstream.requested(2).await;
    upstream.release();
    for caller in [early, late] {
        let answer = failsafe("an answer", caller).await.unwrap();
        assert_eq!(header(&answer, "cache-status"), "oneflight; fwd=miss");
    }
    let (status, refused) = admin("POST", "/v1/test/forget?call=wait(1)").await;
    assert!(
        status == 400 && refused.contains("func(path: string)"),
        "{refused}"
    );
}
