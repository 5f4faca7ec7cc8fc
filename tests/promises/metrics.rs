//! Metrics, as Prometheus reads them, and the log.

use std::net::SocketAddr;

use futures_util::future::join_all;
use oneflight::{Instances, Settings};
use oneflight_tests::caller::{get, header};
use oneflight_tests::process::Service;
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{Subject, artifacts, failsafe, reaching};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The metrics of the service with this admin address.
pub(crate) async fn scrape(admin: SocketAddr) -> String {
    let answer = failsafe("the metrics", get(admin, "/metrics")).await;
    let kind = header(&answer, "content-type");
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    String::from_utf8(answer.into_body().to_vec()).unwrap()
}

/// The value of a series, named with its labels and without the common prefix.
pub(crate) fn value(text: &str, series: &str) -> f64 {
    let prefix = format!("oneflight_{series} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&*prefix));
    let value = line.unwrap_or_else(|| panic!("no {series} in {text}"));
    value.parse().unwrap()
}

/// The metrics of a service once it has counted all `flights` of this client. A flight is counted after its
/// callers have their answers.
async fn counted(admin: SocketAddr, client: &str, flights: f64) -> String {
    let prefix = format!("oneflight_flights_total{{client=\"{client}\",");
    let flights_in = |text: &str| -> f64 {
        let series = text.lines().filter(|line| line.starts_with(&*prefix));
        let values = series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        values.sum()
    };
    failsafe("all flights to be counted", async {
        loop {
            let text = scrape(admin).await;
            if flights_in(&text) == flights {
                break text;
            }
        }
    })
    .await
}

/// Requests `keys` over one connection, pipelined, and waits for the answers.
async fn ask_all(address: SocketAddr, client: &str, keys: impl Iterator<Item = String>) {
    let (mut requests, mut count) = (String::new(), 0);
    for key in keys {
        requests += &format!("GET /v1/{client}/items?x={key} HTTP/1.1\r\nhost: test\r\n\r\n");
        count += 1;
    }
    let (mut from, mut to) = TcpStream::connect(address).await.unwrap().into_split();
    let answers = async {
        let (mut seen, mut text) = (0, String::new());
        let mut buffer = vec![0; 64 << 10];
        while seen < count {
            let read = failsafe("the next answer", from.read(&mut buffer)).await;
            let read = read.unwrap();
            assert!(read > 0, "closed after {seen} of {count} answers");
            text += std::str::from_utf8(&buffer[..read]).unwrap();
            seen += text.matches("HTTP/1.1 200 ").count();
            // A status line may come in two reads.
            text.drain(..text.len().saturating_sub("HTTP/1.1 200".len()));
        }
        assert_eq!(seen, count);
    };
    let asking = async { to.write_all(requests.as_bytes()).await.unwrap() };
    tokio::join!(answers, asking);
}

#[tokio::test]
async fn the_metrics_count_callers_requests_and_what_sharing_saved() {
    let upstream = Upstream::start(Answer::Held).await;
    let url = format!("{}/items", upstream.origin());
    let service = Service::start(&["--base-url", &url]).await;
    let admin = service.admin;
    let before = scrape(admin).await;
    assert_eq!(
        value(&before, r#"callers_total{client="default",outcome="ok"}"#),
        0.0
    );
    let callers: Vec<_> = (0..10)
        .map(|_| tokio::spawn(get(service.address, "/v1/default/items?x=1")))
        .collect();
    service.waiting("default", 10).await;
    let during = scrape(admin).await;
    assert_eq!(value(&during, r#"flights_running{client="default"}"#), 1.0);
    assert_eq!(value(&during, r#"flights_waiting{client="default"}"#), 0.0);
    upstream.requested(1).await;
    upstream.release();
    failsafe("the answers", join_all(callers)).await;
    let after = counted(admin, "default", 1.0).await;
    for (series, expected) in [
        (r#"callers_total{client="default",outcome="ok"}"#, 10.0),
        (r#"callers_total{client="default",outcome="left"}"#, 0.0),
        (r#"flights_total{client="default",outcome="ok"}"#, 1.0),
        (r#"joined_total{client="default"}"#, 9.0),
        (r#"would_have_joined_total{client="default"}"#, 0.0),
        (r#"upstream_requests_total{client="default"}"#, 1.0),
        (r#"upstream_requests_saved_total{client="default"}"#, 9.0),
        (r#"flight_callers_sum{client="default"}"#, 10.0),
        (r#"flight_callers_bucket{le="5.0",client="default"}"#, 0.0),
        (r#"flight_callers_bucket{le="10.0",client="default"}"#, 1.0),
        (r#"callers_waiting{client="default"}"#, 0.0),
        (r#"flights_running{client="default"}"#, 0.0),
        (r#"caller_duration_seconds_count{client="default"}"#, 10.0),
        (r#"flight_duration_seconds_count{client="default"}"#, 1.0),
    ] {
        assert_eq!(value(&after, series), expected, "{series}");
    }
    assert!(value(&after, r#"guest_seconds_total{client="default"}"#) > 0.0);
    assert!(value(&after, r#"upstream_seconds_total{client="default"}"#) > 0.0);
    assert!(after.ends_with("# EOF\n"), "{after}");
}

#[tokio::test]
async fn the_time_of_a_flight_is_counted_while_its_instance_is_idle() {
    let upstream = Upstream::start(Answer::Items).await;
    let settings = Settings {
        instances: Instances::REUSED,
        ..reaching(&upstream)
    };
    let subject = Subject::builtin(&upstream.origin(), settings).await;
    assert!(subject.ask("42").await.is_ok());
    failsafe("what it took", async {
        let took = r#"upstream_seconds_total{client="test"}"#;
        while value(&subject.metrics.text(&[], 0), took) == 0.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(subject.component.usage().idle, 1);
}

#[tokio::test]
async fn failures_refusals_and_callers_that_leave_are_counted_by_outcome() {
    let upstream = Upstream::start(Answer::Held).await;
    let origin = upstream.origin();
    let service =
        Service::start(&["--component", artifacts::MISBEHAVING, "--allow", &origin]).await;
    let ask = |key: String| {
        get(
            service.address,
            &*format!("/v1/default/items?x={key}").leak(),
        )
    };
    for key in [
        "trap",
        "error:not-found",
        "many:10001",
        "ask-trap:http://192.0.2.1/",
        "grow:1000000000",
        "log:100000",
    ] {
        ask(key.to_owned()).await;
    }
    // One caller leaves while its flight is open.
    let leaver = tokio::spawn(ask(format!("need:{origin}")));
    upstream.requested(1).await;
    leaver.abort();
    upstream.abandoned(1).await;
    let counted = counted(service.admin, "default", 7.0).await;
    let left = r#"callers_total{client="default",outcome="left"}"#;
    assert_eq!(value(&counted, left), 1.0);
    for (series, expected) in [
        (
            r#"flights_total{client="default",outcome="guest-trap"}"#,
            1.0,
        ),
        (
            r#"flights_total{client="default",outcome="not-found"}"#,
            1.0,
        ),
        (
            r#"flights_total{client="default",outcome="result-too-large"}"#,
            1.0,
        ),
        (
            r#"flights_total{client="default",outcome="upstream-denied"}"#,
            1.0,
        ),
        (
            r#"flights_total{client="default",outcome="cancelled"}"#,
            1.0,
        ),
        (r#"limits_total{client="default",outcome="result"}"#, 1.0),
        // The last two answered: a limit counts as reached although the guest went on.
        (r#"flights_total{client="default",outcome="ok"}"#, 2.0),
        (r#"limits_total{client="default",outcome="memory"}"#, 1.0),
        (r#"limits_total{client="default",outcome="log"}"#, 1.0),
        // The denied request was not sent.
        (r#"upstream_requests_total{client="default"}"#, 1.0),
    ] {
        assert_eq!(value(&counted, series), expected, "{series}");
    }
}

// fault 22
#[tokio::test]
async fn distinct_keys_add_no_series() {
    let service = Service::start(&["--component", artifacts::MISBEHAVING, "--log", "warn"]).await;
    let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    let before = scrape(service.admin).await;
    let keys = |caller: usize| (0..500).map(move |n| format!("echo:{caller}-{n}"));
    let callers = (0..4).map(|caller| ask_all(service.address, "default", keys(caller)));
    // The failsafe is per answer: all of them together may take longer.
    join_all(callers).await;
    let after = counted(service.admin, "default", 2_000.0).await;
    assert_eq!(
        value(&after, r#"flights_total{client="default",outcome="ok"}"#),
        2_000.0
    );
    assert_eq!(series(&after), series(&before));
}

#[tokio::test]
async fn as_json_the_log_has_one_object_per_flight() {
    let service = Service::start(&["--component", artifacts::MISBEHAVING]).await;
    drop(service);
    let folder = oneflight_tests::folder::Folder::new();
    let text = format!(
        "log.format = 'json'\n[clients.a]\ncomponent = '{}'\n",
        artifacts::MISBEHAVING
    );
    let file = folder.write("a.toml", text.as_bytes());
    let service = Service::start(&["--config", &file]).await;
    for key in ["echo:1", "trap"] {
        get(service.address, &format!("/v1/a/items?x={key}")).await;
    }
    service.terminate();
    let (_, log) = service.ended().await;
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    let flights: Vec<serde_json::Value> = lines
        .filter(|line: &serde_json::Value| line["message"] == "flight")
        .collect();
    let lines: Vec<_> = flights
        .iter()
        .map(|flight| {
            (
                flight["client"].as_str(),
                flight["code"].as_str(),
                flight["callers"].as_u64(),
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            (Some("a"), Some("ok"), Some(1)),
            (Some("a"), Some("guest-trap"), Some(1))
        ]
    );
}

/// A real Prometheus scrapes the metrics and answers queries about them.
#[cfg(feature = "programs")]
#[tokio::test]
async fn prometheus_scrapes_a_running_service() {
    use oneflight_tests::prometheus::Prometheus;

    let service = Service::start(&["--component", artifacts::MISBEHAVING]).await;
    for _ in 0..3 {
        get(service.address, "/v1/default/items?x=echo:1").await;
    }
    get(service.address, "/v1/default/items?x=trap").await;
    let prometheus = Prometheus::scraping(service.admin).await;
    let query = r#"oneflight_flights_total{client="default",outcome="ok"}"#;
    prometheus.says(query, "3").await;
    prometheus
        .says("sum by (client) (oneflight_flights_total)", "4")
        .await;
    prometheus.says("up", "1").await;
    let query = "histogram_quantile(0.5, oneflight_flight_callers_bucket) <= bool 1";
    prometheus.says(query, "1").await;
}
