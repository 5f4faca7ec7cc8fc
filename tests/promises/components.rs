//! Which files load, how the others are refused, and what the built-in client does with answers.

use std::io::Write;

use oneflight::{BUILTIN, ComponentClient, Engine, Limits, LoadError, Settings};
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{Subject, artifacts, patient, reaching, settings};

async fn load(binary: &[u8]) -> Result<ComponentClient, LoadError> {
    let engine = Engine::new(&Limits::default()).unwrap();
    ComponentClient::load(&engine, binary, settings()).await
}

async fn refused(binary: &[u8]) -> LoadError {
    load(binary).await.unwrap_err()
}

async fn refused_file(path: &str) -> LoadError {
    refused(&std::fs::read(path).unwrap()).await
}

// fault 31
#[tokio::test]
async fn a_file_that_is_no_component_is_named_for_what_it_is() {
    assert_eq!(refused(b"").await, LoadError::Empty);
    assert_eq!(refused(b"(component)").await, LoadError::Text);
    assert_eq!(refused(b"fn main() {}").await, LoadError::Text);
    assert_eq!(refused(&[0xff, 0xd8, 0, 1]).await, LoadError::NotWasm);
    assert_eq!(refused(b"\0asm\x01\0\0\0").await, LoadError::CoreModule);
    assert!(matches!(
        refused(&BUILTIN[..BUILTIN.len() / 2]).await,
        LoadError::Invalid(_)
    ));
    let precompiled = wasmtime::Engine::default()
        .precompile_component(BUILTIN)
        .unwrap();
    assert_eq!(refused(&precompiled).await, LoadError::Precompiled);
}

// fault 31
// The refusal is printed to a terminal.
#[tokio::test]
async fn control_characters_in_the_names_of_a_component_are_escaped() {
    let mut file = BUILTIN.to_vec();
    let name = b"upstream-unavailable";
    let places: Vec<_> = (0..file.len() - name.len())
        .filter(|&place| file[place..].starts_with(name))
        .collect();
    assert!(!places.is_empty());
    for place in places {
        file[place..place + 4].copy_from_slice(b"\x1b[2J");
    }
    let message = refused(&file).await.to_string();
    assert!(
        message.contains(r"`\u{1b}[2Jream-unavailable`"),
        "{message}"
    );
    assert!(!message.contains('\x1b'), "{message:?}");
}

// fault 31
#[tokio::test]
async fn the_refusal_of_a_component_says_what_is_expected() {
    let exports = "oneflight:client/things@0.1.0".to_owned();
    assert_eq!(
        refused_file(artifacts::NO_ITEMS).await,
        LoadError::NothingToCall {
            exports,
            refused: String::new()
        }
    );

    let other = refused_file(artifacts::OTHER_TYPES).await;
    let LoadError::OtherTypes { found } = &other else {
        panic!("{other:?}")
    };
    assert!(
        found.contains("list<record { id: string, body: u32 }>"),
        "{found}"
    );

    let large = refused_file(artifacts::TOO_LARGE).await;
    assert!(matches!(large, LoadError::TooLarge(_)), "{large:?}");

    let more = refused_file(artifacts::NEEDS_MORE).await;
    let LoadError::MissingImport(why) = &more else {
        panic!("{more:?}")
    };
    assert!(why.contains("acme:store/kv"), "{why}");

    for error in [other, large, more] {
        let message = error.to_string();
        for part in [&*error.found(), &*error.expected(), error.fix()] {
            assert!(!part.is_empty() && message.contains(part), "{message}");
        }
    }
}

// fault 31
#[tokio::test]
async fn a_component_that_is_refused_leaves_what_runs_as_it_was() {
    let limits = Limits {
        max_executions: 1,
        ..patient()
    };
    let both = Limits {
        max_executions: 2,
        ..patient()
    };
    let engine = Engine::new(&both).unwrap();
    let settings = || Settings {
        limits: limits.clone(),
        ..settings()
    };
    let misbehaving = std::fs::read(artifacts::MISBEHAVING).unwrap();
    let subject = Subject::on(&engine, &misbehaving, settings()).await;
    for file in [
        artifacts::NO_ITEMS,
        artifacts::OTHER_TYPES,
        artifacts::TOO_LARGE,
        artifacts::NEEDS_MORE,
    ] {
        let binary = std::fs::read(file).unwrap();
        let refused = ComponentClient::load(&engine, binary, settings()).await;
        assert!(refused.is_err(), "{file}");
        assert_eq!(subject.ask("echo:a").await.err(), None);
        subject.settled().await;
    }
    // Each refused load has returned its share of the engine.
    let loaded = ComponentClient::load(&engine, misbehaving, settings()).await;
    assert!(loaded.is_ok());
}

#[tokio::test]
async fn a_report_says_what_a_component_is_made_of() {
    let report = load(BUILTIN).await.unwrap().report().clone();
    assert_eq!(report.exports, ["oneflight:client/items@0.1.0"]);
    assert!(
        report
            .imports
            .iter()
            .any(|name| name.starts_with("wasi:http/outgoing-handler@0.2."))
    );
    assert_eq!(report.bytes, BUILTIN.len());
}

#[tokio::test]
async fn a_client_built_elsewhere_runs_as_the_built_in_one_does() {
    // Not by println, whose output is hidden for a test that passes.
    let built_with = artifacts::SECOND_CLIENT_BUILT_WITH;
    writeln!(
        std::io::stderr(),
        "the second client was built with {built_with}"
    )
    .unwrap();
    let upstream = Upstream::start(Answer::Body(r#"{"name":"bolt"}"#.into())).await;
    let settings = reaching(&upstream).env("UPSTREAM", &upstream.origin());
    let subject = Subject::load(artifacts::SECOND_CLIENT, settings).await;
    let expected = r#"[{"id":"b-1","body":{"name":"bolt"}}]"#;
    assert_eq!(subject.ask("b-1").await.as_deref(), Ok(expected));
    assert!(upstream.heads()[0].starts_with("GET /things/b-1 HTTP/1.1"));
    assert_eq!(subject.ask("b 1").await, Err("invalid-key"));
}

#[tokio::test]
async fn settings_of_the_built_in_client_name_the_path_and_where_the_items_are() {
    let nested = r#"{"data":[{"key":{"sku":7},"price":1.50}]}"#;
    let upstream = Upstream::start(Answer::Body(nested.into())).await;
    let settings = reaching(&upstream)
        .env("HEADER_X_API_KEY", "s3cret")
        .env("ITEMS_AT", "/data")
        .env("ID_AT", "/key/sku");
    // Schemes are case-insensitive.
    let origin = upstream.origin().replace("http", "HTTP");
    let base_url = format!("{origin}/shop/{{x}}/parts");
    let subject = Subject::builtin(&base_url, settings).await;
    let expected = r#"[{"id":"7","body":{"key":{"sku":7},"price":1.50}}]"#;
    assert_eq!(subject.ask("a/b").await.as_deref(), Ok(expected));
    let head = &upstream.heads()[0];
    assert!(
        head.starts_with("GET /shop/a%2Fb/parts HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(head.contains("x-api-key: s3cret\r\n"), "{head}");
    for key in ["", ".", ".."] {
        assert_eq!(subject.ask(key).await, Err("invalid-key"), "{key:?}");
    }
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn the_built_in_client_names_each_failure() {
    for (answer, code) in [
        (Answer::Status(404, ""), "not-found"),
        (Answer::Status(500, ""), "upstream-status"),
        (
            Answer::Status(302, "location: /elsewhere\r\n"),
            "upstream-status",
        ),
        (Answer::Status(429, "retry-after: 7\r\n"), "rate-limited"),
        (Answer::Body("[{]".into()), "upstream-malformed"),
        (Answer::Body("{}".into()), "upstream-malformed"),
        (
            Answer::Body(r#"[{"id":1},{"id":"1"}]"#.into()),
            "upstream-malformed",
        ),
        (
            Answer::Body(r#"[{"name":"no id"}]"#.into()),
            "upstream-malformed",
        ),
        (Answer::HangUp, "upstream-unavailable"),
    ] {
        let upstream = Upstream::start(answer.clone()).await;
        let subject = Subject::builtin(&upstream.origin(), reaching(&upstream)).await;
        assert_eq!(subject.ask("42").await, Err(code), "{answer:?}");
        assert_eq!(upstream.requests(), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn the_built_in_client_reads_all_that_the_host_lets_through() {
    let item = |n: u32| format!(r#"{{"id":{n},"text":"{}"}}"#, "x".repeat(700));
    let items: Vec<String> = (0..10_000).map(item).collect();
    let answer = format!("[{}]", items.join(","));
    assert!((7_000_000..8 << 20).contains(&answer.len()));
    let upstream = Upstream::start(Answer::Body(answer)).await;
    let subject = Subject::builtin(&upstream.origin(), reaching(&upstream)).await;
    let got = subject.ask("42").await.unwrap();
    let got: Vec<serde_json::Value> = serde_json::from_str(&got).unwrap();
    assert_eq!(
        (got.len(), got[9_999]["id"].as_str()),
        (10_000, Some("9999"))
    );
}

/// `OPEN ELEMENT, ELEMENT, … CLOSE`, with as many elements as the body limit allows, each made from its
/// number.
fn full(open: &str, element: impl Fn(usize) -> String, close: &str) -> String {
    let limit = Limits::default().max_body_bytes;
    let mut answer = open.to_owned();
    for n in 0.. {
        let element = element(n);
        if answer.len() + element.len() + close.len() >= limit {
            break;
        }
        answer += if n > 0 { "," } else { "" };
        answer += &element;
    }
    answer + close
}

/// Short names, a different one for each number.
fn name(mut n: usize) -> String {
    let digits = (b'#'..b'~').filter(|digit| *digit != b'\\');
    let digits: Vec<_> = digits.map(char::from).collect();
    let mut name = String::new();
    while name.is_empty() || n > 0 {
        name.push(digits[n % digits.len()]);
        n /= digits.len();
    }
    name
}

#[tokio::test]
async fn the_built_in_client_reads_answers_of_many_small_values() {
    let many = |n: usize| format!(r#"{{"id":{n}}}"#);
    let most = |n: usize| format!(r#"{{"id":{n},"text":"{}"}}"#, "x".repeat(64));
    let member = |n: usize| format!(r#""{}":0"#, name(n));
    for (answer, setting, outcome) in [
        (
            full(r#"{"~":[],"#, member, "}"),
            ("ITEMS_AT", "/~0"),
            Ok("[]"),
        ),
        (
            full("[", |n| n.to_string(), "]"),
            ("ID_AT", ""),
            Err("upstream-malformed"),
        ),
        (
            full("[", many, "]"),
            ("ID_AT", "/id"),
            Err("upstream-malformed"),
        ),
        (
            full("[", most, "]"),
            ("ID_AT", "/id"),
            Err("result-too-large"),
        ),
    ] {
        let begins = answer[..answer.len().min(20)].to_owned();
        let upstream = Upstream::start(Answer::Body(answer)).await;
        let settings = reaching(&upstream).env(setting.0, setting.1);
        let subject = Subject::builtin(&upstream.origin(), settings).await;
        assert_eq!(
            subject.ask("42").await.as_deref(),
            outcome.as_ref().copied(),
            "{begins}"
        );
    }
}

#[tokio::test]
async fn the_built_in_client_refuses_headers_that_are_not_its_own_to_send() {
    let upstream = Upstream::start(Answer::Items).await;
    for name in [
        "HEADER_HOST",
        "HEADER_CONTENT_LENGTH",
        "HEADER_TRANSFER_ENCODING",
        "HEADER_TE",
    ] {
        let settings = reaching(&upstream).env(name, "x");
        let subject = Subject::builtin(&upstream.origin(), settings).await;
        assert_eq!(subject.ask("42").await, Err("other"), "{name}");
    }
    assert_eq!(upstream.connections(), 0);
}
