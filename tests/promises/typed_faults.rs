//! Typed functions that misbehave, and what their callers get.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use oneflight::registry::ClientRegistry;
use oneflight::settings::ErrorValues;
use oneflight::typed::WideIntegers;
use oneflight::{InstanceReuse, Instances, Limits, ServerLimits, Settings};
use oneflight_tests::caller::{Answer as Response, code, get, header};
use oneflight_tests::serving::{Serving, served};
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{
    LIMIT, NEVER, Subject, artifacts, failsafe, fast_forward, patient, reaching, settings,
};
use serde_json::{Value, json};

use crate::typed::{ORDER, orders, post, sharing, text, typed};

fn limited(limits: Limits) -> Settings {
    Settings {
        limits,
        ..settings()
    }
}

fn problem(answer: &Response) -> (u16, Value) {
    let mut document: Value = serde_json::from_slice(answer.body()).unwrap();
    let of = document.as_object_mut().unwrap();
    for name in ["title", "status", "detail"] {
        assert!(of.remove(name).is_some(), "{answer:?}");
    }
    (answer.status().as_u16(), document)
}

// fault 4, 107
#[tokio::test]
async fn a_trap_of_a_typed_function_ends_its_flight_alone() {
    let upstream = Upstream::start(Answer::Held).await;
    let settings = reaching(&upstream).env("BASE_URL", &upstream.origin());
    let serving = typed(&["*"], settings).await;
    let server = serving.callers;
    let other = tokio::spawn(async move { get(server, "/v1/test/wait?path=/a").await });
    upstream.requested(1).await;
    let trapped = get(server, "/v1/test/trap?key=a").await;
    assert_eq!(
        (trapped.status().as_u16(), &*code(&trapped)),
        (502, "guest-trap")
    );
    upstream.release();
    assert_eq!(text(&failsafe("an answer", other).await.unwrap()), "200");
}

// fault 5, 107
#[tokio::test]
async fn a_typed_function_that_spins_ends_when_its_processor_time_is_used_up() {
    let serving = typed(
        &[],
        limited(Limits {
            max_cpu_time: std::time::Duration::from_millis(100),
            ..patient()
        }),
    )
    .await;
    let answer = post(serving.callers, "/v1/test/spin", r#"{"key":"a"}"#).await;
    assert_eq!(
        (answer.status().as_u16(), &*code(&answer)),
        (504, "guest-deadline")
    );
}

// fault 7, 9, 10, 107
#[tokio::test]
async fn memory_and_answers_of_typed_functions_are_limited() {
    let serving = typed(&[], settings()).await;
    for (function, number, expected) in [
        ("grow", 4_000, "guest-trap"),
        ("long", 9 << 20, "result-too-large"),
        // Eight bytes each in the guest, and a multiple of that in the host.
        ("many", 900_000, "result-too-large"),
    ] {
        let argument = match function {
            "grow" => "mebibytes",
            "long" => "bytes",
            _ => "number",
        };
        let body = json!({ argument: number }).to_string();
        let path = format!("/v1/test/{function}");
        let answer = post(serving.callers, &path, body).await;
        assert_eq!(
            (answer.status().as_u16(), &*code(&answer)),
            (502, expected),
            "{function}"
        );
    }
    let answer = post(serving.callers, "/v1/test/many", r#"{"number":3}"#).await;
    assert_eq!(text(&answer), "[0,1,2]");
    serving.subject.settled().await;
}

// fault 14, 107
#[tokio::test]
async fn when_the_last_caller_of_a_typed_call_leaves_the_upstream_sees_its_connection_closed() {
    let upstream = Upstream::start(Answer::Held).await;
    let settings = reaching(&upstream).env("BASE_URL", &upstream.origin());
    let serving = typed(&["wait"], settings).await;
    let callers =
        [(); 2].map(|()| tokio::spawn(post(serving.callers, "/v1/test/wait", r#"{"path":"/a"}"#)));
    serving.waiting(2).await;
    upstream.requested(1).await;
    callers[0].abort();
    serving.waiting(1).await;
    assert_eq!(upstream.requests(), 1);
    callers[1].abort();
    upstream.abandoned(1).await;
    serving.subject.settled().await;
}

// fault 6, 107
#[tokio::test]
async fn a_typed_function_whose_upstream_hangs_ends_at_the_flights_deadline() {
    let upstream = Upstream::start(Answer::NoHead).await;
    let settings = Settings {
        limits: Limits {
            flight_timeout: LIMIT,
            ..patient()
        },
        ..reaching(&upstream).env("BASE_URL", &upstream.origin())
    };
    let serving = typed(&["wait"], settings).await;
    let server = serving.callers;
    let caller = tokio::spawn(post(server, "/v1/test/wait", r#"{"path":"/a"}"#));
    upstream.requested(1).await;
    serving.waiting(1).await;
    let answer = fast_forward(caller).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &*code(&answer)),
        (504, "upstream-timeout")
    );
    upstream.abandoned(1).await;
}

// fault 33, 107
#[tokio::test]
async fn at_a_reload_open_typed_flights_end_on_the_old_types_and_newcomers_get_the_new_ones() {
    let upstream = Upstream::start(Answer::Held).await;
    let settings = || {
        sharing(
            &["*"],
            reaching(&upstream).env("BASE_URL", &upstream.origin()),
        )
    };
    let old = Subject::load(artifacts::TYPED, settings()).await;
    let clients = Arc::new(ClientRegistry::of([served(&old)]));
    let serving = Serving::of(Arc::clone(&clients), old, ServerLimits::default(), None).await;
    let server = serving.callers;
    let open = tokio::spawn(async move { get(server, "/v1/test/wait?path=/a").await });
    upstream.requested(1).await;
    let new = Subject::load(artifacts::ORDERS, settings()).await;
    clients.replace([served(&new)], []).unwrap();
    let gone = get(server, "/v1/test/wait?path=/a").await;
    assert_eq!(
        (gone.status().as_u16(), &*code(&gone)),
        (404, "unknown-function")
    );
    let version = get(server, "/v1/test/version").await;
    assert_eq!(text(&version), "\"0.1.0\"");
    upstream.release();
    assert_eq!(text(&failsafe("an answer", open).await.unwrap()), "200");
    assert_eq!(upstream.requests(), 1);
}

// fault 46, 107
#[tokio::test]
async fn an_instance_serves_several_typed_flights_only_if_its_client_is_set_so() {
    let count = async |serving: &Serving| {
        let answer = post(serving.callers, "/v1/test/count", "{}").await;
        let count = text(&answer).to_owned();
        serving.subject.settled().await;
        count
    };
    let fresh = typed(&[], settings()).await;
    assert_eq!([count(&fresh).await, count(&fresh).await], ["1", "1"]);
    let instances = Instances::Reused(InstanceReuse {
        max_calls: u32::MAX,
        max_age: NEVER,
    });
    let reused = typed(
        &[],
        Settings {
            instances,
            ..settings()
        },
    )
    .await;
    assert_eq!([count(&reused).await, count(&reused).await], ["1", "2"]);
    // An error that the function returns does not end the instance.
    let failed = post(reused.callers, "/v1/test/fail", r#"{"number":9}"#).await;
    assert_eq!(failed.status(), StatusCode::BAD_GATEWAY);
    assert_eq!(count(&reused).await, "3");
    post(reused.callers, "/v1/test/trap", r#"{"key":"a"}"#).await;
    assert_eq!(count(&reused).await, "1");
}

// fault 108
#[tokio::test]
async fn an_err_is_a_problem_whose_code_is_its_case_only_if_a_guest_may_report_it() {
    let serving = typed(&[], settings()).await;
    for (function, number, expected) in [
        (
            "fail",
            0,
            (404, json!({"code": "not-found", "err": "not-found"})),
        ),
        (
            "fail",
            1,
            (429, json!({"code": "rate-limited", "err": "rate-limited"})),
        ),
        (
            "fail",
            2,
            (
                400,
                json!({"code": "invalid-key", "err": {"invalid-key": "it is odd"}}),
            ),
        ),
        (
            "fail",
            3,
            (502, json!({"code": "client-error", "err": "internal"})),
        ),
        (
            "fail",
            4,
            (502, json!({"code": "client-error", "err": "guest-trap"})),
        ),
        (
            "fail",
            9,
            (502, json!({"code": "client-error", "err": {"custom": 9}})),
        ),
        (
            "fail-plainly",
            1,
            (404, json!({"code": "not-found", "err": "not-found"})),
        ),
        (
            "fail-plainly",
            2,
            (502, json!({"code": "other", "err": "other"})),
        ),
        (
            "fail-plainly",
            3,
            (502, json!({"code": "client-error", "err": "sold-out"})),
        ),
    ] {
        let body = json!({ "number": number }).to_string();
        let answer = post(serving.callers, &format!("/v1/test/{function}"), body).await;
        assert_eq!(problem(&answer), expected, "{function} {number}");
    }
    let ok = post(serving.callers, "/v1/test/fail-plainly", r#"{"number":0}"#).await;
    assert_eq!((ok.status(), text(&ok)), (StatusCode::OK, "null"));
    let private = typed(
        &[],
        Settings {
            error_values: ErrorValues::Private,
            ..settings()
        },
    )
    .await;
    for (number, status, code) in [(0, 404, "not-found"), (9, 502, "client-error")] {
        let body = json!({ "number": number }).to_string();
        let answer = post(private.callers, "/v1/test/fail", body).await;
        assert_eq!(problem(&answer), (status, json!({ "code": code })));
    }
}

// fault 108
// In the guest each character of an err is a byte, and in JSON it is an escape of 6.
#[tokio::test]
async fn an_err_is_limited_as_it_is_sent_to_callers() {
    let serving = escaped().await;
    let few = post(serving.callers, "/v1/test/fail", r#"{"number":16000}"#).await;
    assert_eq!(code(&few), "client-error");
    assert!(few.body().len() > 96_000);
    let many = post(serving.callers, "/v1/test/fail", r#"{"number":17000}"#).await;
    assert_eq!(
        (many.status().as_u16(), &*code(&many)),
        (502, "result-too-large")
    );
}

// fault 107
// The same for an answer, whose JSON may be rendered only when a caller needs it.
#[tokio::test]
async fn an_answer_is_limited_as_it_is_sent_to_callers() {
    let serving = escaped().await;
    for (function, number, length) in [
        ("text", 0, Some(2)),
        ("text", 16_000, Some(96_002)),
        ("text", 17_000, None),
        // It could be six times as long, and is not.
        ("letters", 20_000, Some(20_002)),
    ] {
        let body = json!({ "number": number }).to_string();
        let answer = post(serving.callers, &format!("/v1/test/{function}"), body).await;
        match length {
            Some(length) => assert_eq!(
                (answer.status().as_u16(), answer.body().len()),
                (200, length),
                "{function} {number}"
            ),
            None => assert_eq!(
                (answer.status().as_u16(), &*code(&answer)),
                (502, "result-too-large"),
                "{function} {number}"
            ),
        }
    }
    serving.subject.settled().await;
}

/// The component `ESCAPED`, with answers of at most 100,000 bytes.
async fn escaped() -> Serving {
    let binary = wat::parse_str(ESCAPED).unwrap();
    let engine = oneflight::Engine::on_demand().unwrap();
    let limits = Limits {
        max_result_bytes: 100_000,
        ..patient()
    };
    Serving::start(Subject::on(&engine, &binary, limited(limits)).await).await
}

/// A component whose `text` returns the given number of characters U+0000, whose `fail` returns them as its `err`, and
/// whose `letters` returns as many times `a`.
const ESCAPED: &str = r#"(component
  (core module $code
    (memory (export "memory") 1)
    (func (export "fail") (param i32) (result i32)
      (i32.store8 (i32.const 8) (i32.const 1))
      (i32.store (i32.const 12) (i32.const 1024))
      (i32.store (i32.const 16) (local.get 0))
      (i32.const 8))
    (func $text (export "text") (param i32) (result i32)
      (i32.store (i32.const 12) (i32.const 1024))
      (i32.store (i32.const 16) (local.get 0))
      (i32.const 12))
    (func (export "letters") (param i32) (result i32)
      (memory.fill (i32.const 1024) (i32.const 97) (local.get 0))
      (call $text (local.get 0))))
  (core instance $code (instantiate $code))
  (func (export "fail") (param "number" u32) (result (result u8 (error string)))
    (canon lift (core func $code "fail") (memory (core memory $code "memory"))))
  (func (export "text") (param "number" u32) (result string)
    (canon lift (core func $code "text") (memory (core memory $code "memory"))))
  (func (export "letters") (param "number" u32) (result string)
    (canon lift (core func $code "letters") (memory (core memory $code "memory")))))"#;

// fault 108
#[tokio::test]
async fn a_rate_limit_of_the_upstream_has_its_retry_after() {
    let upstream = Upstream::start(Answer::Status(429, "retry-after: 7\r\n")).await;
    let serving = orders(&upstream, &[]).await;
    let limited = post(serving.callers, "/v1/test/list-open", r#"{"tenant":"a"}"#).await;
    assert_eq!(limited.status(), 429);
    assert_eq!(header(&limited, "retry-after"), "7");
    let (_, problem) = problem(&limited);
    assert_eq!(problem["code"], "rate-limited");
    assert_eq!(problem["err"], "rate-limited");
}

#[tokio::test]
async fn wide_integers_are_strings_if_the_client_is_set_so() {
    let upstream = Upstream::start(Answer::Body(ORDER.to_owned())).await;
    let settings = Settings {
        wide_integers: WideIntegers::String,
        ..reaching(&upstream).env("BASE_URL", &upstream.origin())
    };
    let serving = Serving::start(Subject::load(artifacts::ORDERS, settings).await).await;
    let body = r#"{"tenant":"a","id":"42","parts":["lines","payment","history"]}"#;
    let answer = post(serving.callers, "/v1/test/get-order", body).await;
    assert_eq!(
        text(&answer),
        r#"{"id":"42","region":null,"lines":[{"sku":"bolt","quantity":2,"price":{"currency":"EUR","minor":"150"}}],"payment":{"transfer":["bank","9007199254740993"]},"history":[{"ok":"5"},{"err":7}]}"#
    );
}

#[tokio::test]
async fn bytes_are_base64_in_both_directions() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let serving = typed(
        &[],
        limited(Limits {
            max_arguments_bytes: 200_000,
            ..patient()
        }),
    )
    .await;
    let sent = STANDARD.encode(
        (0..100_000_u32)
            .map(|byte| byte.to_le_bytes()[0])
            .collect::<Vec<_>>(),
    );
    let mut value = json!({
        "a-bool": true, "an-s8": -1, "a-u8": 1, "an-s16": -1, "a-u16": 1, "an-s32": -1, "a-u32": 1,
        "an-s64": -9_007_199_254_740_993_i64, "a-u64": u64::MAX, "an-f32": 1.5, "an-f64": 0.1,
        "a-char": "ß", "a-string": "\u{0}\"", "a-list": [{"name": "a", "flag": false}], "bytes": sent,
        "a-tuple": [1, "a"], "a-variant": {"nested": {"some": null}}, "an-enum": "green", "an-option": null,
        "twice": {"some": null}, "a-result": {"err": "no"}, "empty": {"ok": null}, "some-flags": ["a", "i"],
    });
    let body = json!({ "value": value }).to_string();
    let answer = post(serving.callers, "/v1/test/echo", Bytes::from(body)).await;
    let echoed: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(echoed, value);
    value["bytes"] = json!("AP8=");
    let body = json!({ "value": value })
        .to_string()
        .replace("\"AP8=\"", "[0,255]");
    let answer = post(serving.callers, "/v1/test/echo", body).await;
    assert_eq!(
        serde_json::from_slice::<Value>(answer.body()).unwrap(),
        value
    );
}
