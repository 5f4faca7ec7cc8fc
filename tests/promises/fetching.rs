//! Requests of `oneflight:client/fetch` are those of wasi:http in one call.

use oneflight::BUILTIN;
use oneflight_tests::upstream::{Answer, ITEMS, Upstream};
use oneflight_tests::{Subject, artifacts, reaching};
use serde_json::{Value, json};

/// The outcome of the item `id` of an answer.
fn outcome(answer: &str, id: &str) -> Value {
    let items: Value = serde_json::from_str(answer).unwrap();
    let items = items.as_array().unwrap().iter();
    let found = items.clone().find(|item| item["id"] == id);
    found.unwrap()["body"].clone()
}

/// The outcome of a request by `fetch`.
async fn fetched(subject: &Subject, request: Value) -> Value {
    let answer = subject.ask(format!("fetch:{request}")).await.unwrap();
    outcome(&answer, "0")
}

#[tokio::test]
async fn a_guest_gets_the_whole_response_in_one_call() {
    let answer = Answer::Bytes(
        "X-Price: 5 \u{20ac}\r\nX-Two: a\r\nX-Two: b\r\n",
        ITEMS.into(),
    );
    let upstream = Upstream::start(answer).await;
    let subject = Subject::misbehaving(reaching(&upstream)).await;
    let url = format!("{}/items?id=1", upstream.origin());
    let request =
        json!({ "url": url, "headers": [["Accept", "application/json"], ["x-a", "\u{e9}"]] });
    let got = fetched(&subject, request).await;
    assert_eq!((&got["status"], &got["text"]), (&json!(200), &json!(ITEMS)));
    let headers = got["headers"].as_array().unwrap();
    for header in [["x-price", "5 \u{20ac}"], ["x-two", "a"], ["x-two", "b"]] {
        assert!(headers.contains(&json!(header)), "{headers:?}");
    }
    let head = &upstream.heads()[0];
    assert!(head.starts_with("GET /items?id=1 HTTP/1.1\r\n"), "{head}");
    for line in ["accept: application/json", "x-a: \u{e9}"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{head}");
    }
    assert!(head.contains("\r\nuser-agent: oneflight/"), "{head}");
    assert_eq!(subject.component.usage().upstream_requests, 1);
}

#[tokio::test]
async fn a_client_that_does_not_call_fetch_does_not_import_it() {
    let imports = |binary: &[u8]| {
        let name = b"oneflight:client/fetch@0.1.0";
        binary.windows(name.len()).any(|window| window == name)
    };
    for path in [artifacts::SECOND_CLIENT, artifacts::ORDERS] {
        assert!(!imports(&std::fs::read(path).unwrap()), "{path}");
    }
    assert!(!imports(BUILTIN));
    let misbehaving = std::fs::read(artifacts::MISBEHAVING).unwrap();
    assert!(imports(&misbehaving));
}
