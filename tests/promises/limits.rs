//! Which setting raises the limit that a call has reached: the problem document and the log name it.

use http::StatusCode;
use oneflight_tests::caller::{Answer as HttpAnswer, get, get_with};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{PATIENT, Service, run};
use oneflight_tests::uploads::Uploads;
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{artifacts, failsafe};

use crate::metrics::{scrape, value};

/// A client of the misbehaving guest, with one limit that its key reaches.
struct Reached {
    /// Its limits in the file. All times that it does not set are an hour.
    limits: &'static str,
    key: &'static str,
    status: u16,
    /// The settings that the answer names.
    in_answer: &'static [&'static str],
    /// The settings that the log names.
    in_log: &'static [&'static str],
}

/// `UPSTREAM` is an upstream that never answers, `MUCH` one with a large head and body.
const CASES: &[Reached] = &[
    reached(
        "flight_timeout = '200ms'",
        "slow:3600000",
        504,
        &["flight_timeout"],
    ),
    reached(
        "flight_timeout = '200ms'\nrequest_timeout = '1h'\nfirst_byte_timeout = '1h'",
        "need:UPSTREAM",
        504,
        &["flight_timeout"],
    ),
    reached(
        "first_byte_timeout = '100ms'",
        "need:UPSTREAM",
        504,
        &["first_byte_timeout"],
    ),
    reached(
        "request_timeout = '100ms'",
        "need:UPSTREAM",
        504,
        &["request_timeout", "flight_timeout"],
    ),
    reached("max_cpu_time = '10ms'", "spin", 504, &["max_cpu_time"]),
    reached("max_items = 2", "many:3", 502, &["max_items"]),
    reached(
        "max_result_bytes = '1000 B'",
        "huge:10000",
        502,
        &["max_result_bytes"],
    ),
    reached(
        "max_body_bytes = '10 B'",
        "need:MUCH",
        502,
        &["max_body_bytes"],
    ),
    reached(
        "max_header_bytes = '1 B'",
        "need:MUCH/head",
        502,
        &["max_header_bytes"],
    ),
    Reached {
        in_answer: &[],
        ..reached("max_requests = 0", "need:MUCH", 502, &["max_requests"])
    },
    Reached {
        in_answer: &[],
        ..reached(
            "max_memory_bytes = '8 MiB'",
            "unsent:200:32768",
            502,
            &["max_memory_bytes"],
        )
    },
    reached(
        "max_memory_bytes = '16 MiB'",
        "huge:3000000",
        502,
        &["max_memory_bytes"],
    ),
    reached(
        "max_total_memory_bytes = '4 MiB'",
        "unsent:100:32768",
        503,
        &["max_total_memory_bytes"],
    ),
    reached(
        "max_total_memory_bytes = '4 MiB'",
        "huge:3000000",
        503,
        &["max_total_memory_bytes"],
    ),
    reached(
        "max_key_bytes = '20 B'",
        "control-id:21",
        502,
        &["max_key_bytes"],
    ),
    reached(
        "max_result_bytes = '1000 B'",
        "control-id:200",
        502,
        &["max_result_bytes"],
    ),
    Reached {
        in_answer: &[],
        ..reached(
            "max_resources = 10",
            "resources:20",
            502,
            &["max_resources"],
        )
    },
    Reached {
        in_answer: &[],
        ..reached(
            "max_random_bytes = '10 B'",
            "random:20",
            502,
            &["max_random_bytes"],
        )
    },
    Reached {
        in_answer: &[],
        ..reached(
            "max_memory_bytes = '4000000 B'",
            "grow:8000000",
            200,
            &["max_memory_bytes"],
        )
    },
    Reached {
        in_answer: &[],
        ..reached("max_log_bytes = '10 B'", "log:100", 200, &["max_log_bytes"])
    },
    Reached {
        in_log: &[],
        ..reached("max_key_bytes = '3 B'", "long", 414, &["max_key_bytes"])
    },
];

const fn reached(
    limits: &'static str,
    key: &'static str,
    status: u16,
    named: &'static [&'static str],
) -> Reached {
    Reached {
        limits,
        key,
        status,
        in_answer: named,
        in_log: named,
    }
}

const HOURS: &str = "flight_timeout max_cpu_time queue_timeout connect_timeout first_byte_timeout \
                     between_bytes_timeout request_timeout";

/// A table of limits in which every time that `limits` does not set is an hour.
fn limits_of(client: &str, limits: &str) -> String {
    let times = HOURS.split(' ').filter(|name| !limits.contains(name));
    let hours: String = times.map(|name| format!("{name} = '1h'\n")).collect();
    format!("[clients.{client}.limits]\n{limits}\n{hours}")
}

fn detail(answer: &HttpAnswer) -> String {
    let problem: serde_json::Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    problem["detail"].as_str().unwrap_or_default().to_owned()
}

/// Starts a service of this file.
async fn serve(file: &str) -> (Service, Folder) {
    let folder = Folder::new();
    let file = folder.write("oneflight.toml", format!("{PATIENT}{file}").as_bytes());
    let service = Service::start(&["--config", &file]).await;
    service.ready().await;
    (service, folder)
}

// fault 78
#[tokio::test]
async fn an_answer_and_a_log_line_about_a_limit_name_the_setting_that_raises_it() {
    let silent = Upstream::start(Answer::Held).await;
    let much = Upstream::start(Answer::Body("x".repeat(20_000))).await;
    let large_head = Upstream::start(Answer::EndlessHead).await;
    // Not all in one service: each client reserves address space.
    for cases in CASES.chunks(5) {
        let mut file = String::new();
        for (number, case) in cases.iter().enumerate() {
            let name = format!("c{number}");
            file += &format!(
                "[clients.{name}]\ncomponent = '{}'\nallow = ['{}', '{}', '{}']\n{}",
                artifacts::MISBEHAVING,
                silent.origin(),
                much.origin(),
                large_head.origin(),
                limits_of(&name, case.limits),
            );
        }
        let (service, _folder) = serve(&file).await;
        for (number, case) in cases.iter().enumerate() {
            let key = case
                .key
                .replace("UPSTREAM", &silent.origin())
                .replace("MUCH/head", &large_head.origin())
                .replace("MUCH", &much.origin());
            let path = format!("/v1/c{number}/items?x={key}");
            let answer = failsafe("an answer", get(service.address, &path)).await;
            let detail = detail(&answer);
            assert_eq!(
                answer.status().as_u16(),
                case.status,
                "{}: {detail}",
                case.limits
            );
            for setting in case.in_answer {
                let is_named = detail.contains(setting) && detail.contains("raise ");
                assert!(is_named, "{setting}: {detail}");
            }
        }
        service.terminate();
        let (_, log) = service.ended().await;
        for (number, case) in cases.iter().enumerate() {
            for setting in case.in_log {
                let client = format!("client=\"c{number}\"");
                let is_named = |line: &&str| line.contains(&client) && line.contains(setting);
                let named = log
                    .lines()
                    .filter(|line| !line.contains("the client's limits"));
                assert!(named.filter(is_named).count() > 0, "{setting}: {log}");
            }
        }
    }
}

// fault 78
#[tokio::test]
async fn a_refusal_names_the_setting_that_would_have_admitted_the_caller() {
    let upstream = Upstream::start(Answer::Held).await;
    let mut file = String::new();
    for (name, limits) in [
        ("flights", "max_flights = 1"),
        ("callers", "max_callers = 1"),
        ("executions", "max_executions = 1\nqueue_timeout = '1ms'"),
        ("fresh", "max_executions_per_key = 2"),
    ] {
        file += &format!(
            "[clients.{name}]\nbase_url = '{}/items'\nallow_fresh = true\n{}",
            upstream.origin(),
            limits_of(name, limits)
        );
    }
    let (service, _folder) = serve(&file).await;
    let address = service.address;
    let fresh: &[(&str, &str)] = &[("cache-control", "no-cache")];
    let named: &[(&str, &str)] = &[("x-request-id", "refused-1")];
    let mut open = Vec::new();
    for (client, other, headers, setting) in [
        ("flights", "2", named, "max_flights"),
        ("callers", "1", named, "max_callers"),
        ("executions", "2", named, "max_executions"),
        ("fresh", "1", fresh, "max_executions_per_key"),
    ] {
        let path = move |key: &str| format!("/v1/{client}/items?x={key}");
        open.push(tokio::spawn(async move { get(address, &path("1")).await }));
        service.waiting(client, 1).await;
        upstream.requested(open.len()).await;
        if client == "fresh" {
            open.push(tokio::spawn(async move {
                get_with(address, &path("1"), fresh).await
            }));
            upstream.requested(open.len()).await;
        }
        let refused = failsafe("a refusal", get_with(address, &path(other), headers)).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        let detail = detail(&refused);
        assert!(detail.ends_with(&format!("raise {setting}")), "{detail}");
    }
    // A flight that waits for its execution in vain is counted in `executions`, and any other refusal for its caller.
    let metrics = scrape(service.admin).await;
    for (client, limit) in [
        ("flights", "flights"),
        ("callers", "callers"),
        ("executions", "executions"),
        ("fresh", "flights-of-key"),
    ] {
        let series = format!("limits_total{{client=\"{client}\",outcome=\"{limit}\"}}");
        assert_eq!(value(&metrics, &series), 1.0, "{series}");
    }
    upstream.release();
    for caller in open {
        let answer = failsafe("an answer", caller).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let many: Vec<_> = (0..101).map(|n| (format!("a{n}"), "b")).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (&**name, *value)).collect();
    let refused = get_with(address, "/livez", &many).await;
    assert_eq!(
        refused.status(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    service.terminate();
    let (_, log) = service.ended().await;
    for setting in ["max_flights", "max_callers", "max_executions_per_key"] {
        let line = log.lines().find(|line| {
            line.contains("refused client=") && line.ends_with(&format!("raise {setting}"))
        });
        let line = line.unwrap_or_else(|| panic!("no line about {setting} in {log}"));
        let is_named = setting != "max_executions_per_key";
        assert_eq!(line.contains("request_id=refused-1"), is_named, "{line}");
    }
    let line = log
        .lines()
        .find(|line| line.ends_with("raise max_executions"));
    assert!(
        line.is_some_and(|line| line.contains(" flight client=\"executions\"")),
        "{log}"
    );
}

// fault 24
#[tokio::test]
async fn the_log_says_which_part_of_a_request_timed_out() {
    let held = Upstream::start(Answer::Held).await;
    let uploads = Uploads::start(None).await;
    let folder = Folder::new();
    for (key, limits, part) in [
        (
            format!("upload:bare:answered:{}/read", uploads.origin()),
            "request_timeout = '200ms'",
            "the request's body",
        ),
        (
            format!("upload:chunked:answered:{}/read", uploads.origin()),
            "first_byte_timeout = '200ms'",
            "the first byte of the response to a request whose body was not complete",
        ),
        (
            format!("ask:{}", held.origin()),
            "first_byte_timeout = '200ms'",
            "the first byte",
        ),
    ] {
        let file = format!(
            "[clients.a]\ncomponent = '{}'\nprobe = '{key}'\nallow = ['{}', '{}']\n\
             [clients.a.limits]\nflight_timeout = '1h'\n{limits}\n",
            artifacts::MISBEHAVING,
            held.origin(),
            uploads.origin()
        );
        let file = folder.write("oneflight.toml", file.as_bytes());
        let output = run(&["config", "check", &file]).await;
        let log = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{log}");
        let setting = limits.split(' ').next().unwrap();
        let expected = format!("a request of the guest failed: {part} timed out; raise {setting}");
        assert!(log.contains(&expected), "{expected:?} is not in {log}");
        assert!(!log.contains("connecting"), "{log}");
    }
}
