//! The command line: exit codes, and what is printed where.

use std::process::{Output, Stdio};

use oneflight_tests::caller::{get, header};
use oneflight_tests::process::{self, run};
use oneflight_tests::tls::Identity;
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{artifacts, failsafe};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::metrics::{scrape, value};

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

#[tokio::test]
async fn the_demo_shows_the_duplicates_and_their_cure() {
    let output = run(&["demo", "--json"]).await;
    assert!(output.status.success(), "{output:?}");
    let document = json(&output);
    let counts: Vec<_> = document["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| {
            let count = |name: &str| run[name].as_u64().unwrap();
            let way = run["way"].as_str().unwrap();
            (
                way,
                count("callers"),
                count("guest_calls"),
                count("upstream_requests"),
            )
        })
        .collect();
    assert_eq!(
        counts,
        [
            ("straight-through", 2, 2, 2),
            ("single-flight", 2, 1, 1),
            ("straight-through", 100, 100, 100),
            ("single-flight", 100, 1, 1),
        ]
    );
}

#[tokio::test]
async fn the_demo_prints_plain_text_to_a_pipe() {
    let output = run(&["demo"]).await;
    let picture = out(&output);
    assert!(picture.contains("100 callers, single flight"), "{picture}");
    assert!(!picture.contains('\x1b'), "{picture}");
}

#[tokio::test]
async fn demo_open_goes_on_as_a_service_with_a_dashboard_and_two_fetchers() {
    let free = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let args = [&["demo", "--open", "--json"][..], &free].concat();
    let mut demo = process::oneflight(&args)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let line = failsafe("the demo's report", lines.next_line()).await;
    let document: Value = serde_json::from_str(&line.unwrap().unwrap()).unwrap();
    assert_eq!(document["runs"].as_array().unwrap().len(), 4);
    let dashboard = document["service"]["dashboard"].as_str().unwrap();
    let admin = dashboard
        .strip_prefix("http://")
        .and_then(|url| url.strip_suffix('/'));
    let admin = admin.unwrap().parse().unwrap();
    let answer = get(admin, "/").await;
    assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
    failsafe("the fetchers", async {
        let joined = r#"joined_total{client="default"}"#;
        let would = r#"would_have_joined_total{client="observed"}"#;
        loop {
            let text = scrape(admin).await;
            if value(&text, joined) > 0.0 && value(&text, would) > 0.0 {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn get_prints_items_to_stdout_and_what_they_cost_to_stderr() {
    let upstream = Upstream::start(Answer::Items).await;
    let base_url = format!("{}/items", upstream.origin());
    let args = ["get", "42", "--callers", "200", "--flight-timeout", "1h"];
    let output = run(&[&args[..], &["--base-url", &base_url]].concat()).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        out(&output),
        "1\t{\"id\":1,\"name\":\"bolt\"}\ntwo\t{\"id\":\"two\",\"name\":\"nut\"}\n"
    );
    assert!(
        err(&output).starts_with("200 callers, 1 flight, 1 upstream request, "),
        "{output:?}"
    );
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn get_without_coalescing_makes_every_call() {
    let upstream = Upstream::start(Answer::Items).await;
    let args = [
        "get",
        "42",
        "--callers",
        "20",
        "--no-coalescing",
        "--flight-timeout",
        "1h",
        "--json",
        "--base-url",
    ];
    let output = run(&[&args[..], &[&upstream.origin()]].concat()).await;
    let document = json(&output);
    assert_eq!(
        (
            &document["callers"],
            &document["flights"],
            &document["upstream_requests"]
        ),
        (&20.into(), &20.into(), &20.into())
    );
    assert_eq!(document["answers"][0]["items"][1]["id"], "two");
    assert_eq!(upstream.requests(), 20);
}

#[tokio::test]
async fn get_of_several_keys_reports_the_failed_one_and_exits_with_1() {
    let upstream = Upstream::start(Answer::Items).await;
    let output = run(&["get", "1", "", "--base-url", &upstream.origin()]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(out(&output).starts_with("1\t1\t{"), "{output:?}");
    assert!(err(&output).contains("(invalid-key)"), "{output:?}");
}

#[tokio::test]
async fn a_denial_prints_the_flag_that_would_permit_it() {
    let upstream = Upstream::start(Answer::Items).await;
    let key = format!("need:{}", upstream.origin());
    let args = ["get", &key, "--component", artifacts::MISBEHAVING];
    let output = run(&args).await;
    assert_eq!(output.status.code(), Some(1));
    let flag = format!("--allow {}", upstream.origin());
    assert!(err(&output).contains(&flag), "{output:?}");
    assert_eq!(upstream.connections(), 0);
    let output = run(&[&args[..], &["--allow", &upstream.origin()]].concat()).await;
    assert!(output.status.success(), "{output:?}");
}

// fault 30
#[tokio::test]
async fn what_a_guest_prints_is_bounded_and_cannot_write_on_the_terminal() {
    let args = [
        "get",
        "log:100000",
        "--component",
        artifacts::MISBEHAVING,
        "--log",
        "info",
    ];
    let output = run(&args).await;
    assert!(output.status.success(), "{output:?}");
    let log = err(&output);
    assert!(log.contains("bytes were dropped dropped="), "{log}");
    assert!(log.len() < 256 << 10, "{}", log.len());
    assert!(log.contains("\\u{1b}") && !log.contains('\x1b'), "{log}");
}

#[tokio::test]
async fn no_secret_is_printed_where_a_setting_fails() {
    let output = oneflight_tests::process::oneflight(&[
        "get",
        "1",
        "--base-url",
        "http://127.0.0.1:9",
        "--set-from-env",
        "HEADER_HOST",
        "--log",
        "trace",
    ])
    .env("HEADER_HOST", "s3cret")
    .output()
    .await
    .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = err(&output);
    assert!(
        log.contains("HEADER_HOST") && !log.contains("s3cret"),
        "{log}"
    );
}

#[tokio::test]
async fn check_prints_what_a_component_is_or_how_to_fix_it() {
    let fits = run(&["check", artifacts::SECOND_CLIENT]).await;
    assert!(fits.status.success(), "{fits:?}");
    assert!(
        out(&fits).contains("oneflight:client/items@0.1.0"),
        "{fits:?}"
    );
    for (file, found) in [
        (artifacts::NO_ITEMS, "exports oneflight:client/things@0.1.0"),
        (artifacts::OTHER_TYPES, "body: u32"),
        (artifacts::NEEDS_MORE, "acme:store/kv"),
    ] {
        let output = run(&["check", file, "--json"]).await;
        assert_eq!(output.status.code(), Some(1));
        let document = json(&output);
        assert_eq!(document["ok"], false);
        assert!(
            document["found"].as_str().unwrap().contains(found),
            "{document}"
        );
        assert!(
            document["fix"]
                .as_str()
                .unwrap()
                .contains("cargo component build"),
            "{document}"
        );
    }
}

#[tokio::test]
async fn an_invalid_command_line_exits_with_2_and_says_what_is_expected() {
    for (args, needed) in [
        (&["get", "1", "--set", "NAME"][..], "NAME=VALUE"),
        (
            &["get", "1", "--allow", "ftp://host"],
            "[scheme://]host[:port]",
        ),
        (&["get"], "<KEY>"),
        (&["check"], "<FILE>"),
    ] {
        let output = run(args).await;
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(err(&output).contains(needed), "{output:?}");
    }
    let output = run(&["get", "1"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("add --base-url"), "{output:?}");
}

#[tokio::test]
async fn a_repeated_or_unknown_setting_is_refused() {
    let base_url = ["get", "1", "--base-url", "http://127.0.0.1:9"];
    for (more, found) in [
        (
            &["--set", "BASE_URL=http://127.0.0.1:8"][..],
            "expected one value for BASE_URL, got two",
        ),
        (
            &["--set", "ID_AT=/a", "--set", "ID_AT=/b"],
            "expected one value for ID_AT, got two",
        ),
        (&["--set", "ITEM_AT=/data"], "got ITEM_AT"),
    ] {
        let output = run(&[&base_url[..], more].concat()).await;
        assert_eq!(output.status.code(), Some(1), "{more:?}");
        assert!(err(&output).contains(found), "{output:?}");
    }
}

// fault 45
// In a separate process: a guest that is not interrupted would block this one for ever.
#[tokio::test]
async fn a_component_that_never_starts_is_refused() {
    // By `get`, whose deadline can be set: only the processor time limit is left to end the start.
    let args = ["get", "1", "--flight-timeout", "1h", "--component"];
    let output = run(&[&args[..], &[artifacts::SPINS_AT_START]].concat()).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("processor time"), "{output:?}");

    // `check` has no flag for the deadline: on a busy machine either limit may be the first to end the start.
    let output = run(&["check", artifacts::SPINS_AT_START]).await;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    for line in [
        "  expected a component that instantiates within its limits\n",
        "  got      a component that does not start: the guest exceeded its ",
        "  fix      move work from its start into get-items; ",
    ] {
        assert!(out(&output).contains(line), "{output:?}");
    }
}

#[tokio::test]
async fn a_component_reaches_what_its_flags_name_and_nothing_that_a_setting_does() {
    let upstream = Upstream::start(Answer::Items).await;
    let origin = upstream.origin();
    let setting = format!("BASE_URL={origin}");
    let key = format!("need:{origin}");
    for (more, reached) in [
        (&["--set", &setting][..], false),
        (&["--base-url", &origin], true),
        (&["--allow", &origin], true),
    ] {
        let args = ["get", &key, "--component", artifacts::MISBEHAVING];
        let output = run(&[&args[..], more].concat()).await;
        assert_eq!(output.status.success(), reached, "{output:?}");
    }
    assert_eq!(upstream.requests(), 2);
}

#[tokio::test]
async fn an_upstream_with_a_given_root_is_trusted_and_gets_the_trace_context_if_listed() {
    let identity = Identity::new(&["127.0.0.1"]);
    let upstream = Upstream::start_at("127.0.0.1", Answer::Items, Some(&identity)).await;
    let origin = upstream.origin().replace("http://", "https://");
    let root = format!(
        "{}/root-{}.pem",
        env!("CARGO_TARGET_TMPDIR"),
        upstream.address().port()
    );
    std::fs::write(&root, identity.pem()).unwrap();
    let args = ["get", "1", "--log", "info", "--base-url", &origin];
    let output = run(&args).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("give its root with --ca-file"),
        "{output:?}"
    );
    assert_eq!(upstream.requests(), 0);

    let output = run(&[&args[..], &["--ca-file", &root, "--trace-to", &origin]].concat()).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let head = upstream.heads().pop().unwrap();
    let context = head.split_once("traceparent: 00-").unwrap().1;
    let trace = context.split_once('-').unwrap().0;
    // The upstream's trace id leads to the flight in this log.
    assert!(
        err(&output).contains(&format!("trace={trace}")),
        "{output:?}"
    );

    std::fs::write(&root, "no certificate").unwrap();
    let output = run(&[&args[..], &["--ca-file", &root]].concat()).await;
    assert!(err(&output).contains("got no certificate"), "{output:?}");
    std::fs::remove_file(&root).unwrap();
}

#[tokio::test]
async fn the_limits_that_are_set_are_logged_in_one_line_at_the_start() {
    let upstream = Upstream::start(Answer::Items).await;
    let base_url = upstream.origin();
    let args = ["get", "a", "--base-url", &base_url, "--log", "info"];
    let reusing = [&args[..], &["--reuse-instances", "--flight-timeout", "7s"]].concat();
    for (args, limits) in [
        (&args[..], ["instances=fresh", "limits=all by default"]),
        (
            &reusing,
            [
                "instances=reused",
                "limits=flight_timeout = 7s, first_byte_timeout = 5600ms, request_timeout = 5600ms; others by default",
            ],
        ),
    ] {
        let log = err(&run(args).await);
        let lines: Vec<_> = log
            .lines()
            .filter(|line| line.contains("the client's limits"))
            .collect();
        let [line] = lines[..] else { panic!("{log}") };
        assert!(limits.iter().all(|limit| line.contains(limit)), "{line}");
    }
}
