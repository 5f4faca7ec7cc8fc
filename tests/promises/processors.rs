//! Guests that compute for long share the processors with everything else.

use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use oneflight::{Limits, Settings};
use oneflight_tests::caller::get;
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{PATIENT, Service};
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{Subject, artifacts, failsafe, patient, reaching};
use tokio::task::JoinHandle;

use crate::metrics::{scrape, value};

/// Guests that spin: more than the runtime has threads, and as many as their client may execute.
const SPINNING: u8 = 64;

/// Limits that no flight reaches.
const FAR: &str = "limits.flight_timeout = '1h'\nlimits.queue_timeout = '1h'\nlimits.max_cpu_time = '1h'\n\
                   limits.request_timeout = '1h'\nlimits.first_byte_timeout = '1h'\n";

/// A service with a client for guests that spin, one whose guests compute one at a time, and one in front of `upstream`.
async fn service(upstream: &Upstream) -> (Service, Folder) {
    let (component, origin) = (artifacts::MISBEHAVING, upstream.origin());
    let config = format!(
        "{PATIENT}[clients.spinning]\ncomponent = '{component}'\nlimits.max_executions = {SPINNING}\n{FAR}\
         [clients.narrow]\ncomponent = '{component}'\nlimits.max_runnable = 1\n{FAR}\
         [clients.other]\nbase_url = '{origin}/items'\n{FAR}"
    );
    let folder = Folder::new();
    let file = folder.write("clients.toml", config.as_bytes());
    let service = Service::start(&["--config", &file, "--log", "off"]).await;
    service.ready().await;
    (service, folder)
}

/// Waits until this gauge of the service has this value.
async fn reaches(service: &Service, gauge: &str, expected: u8) {
    failsafe(gauge, async {
        while value(&scrape(service.admin).await, gauge) != f64::from(expected) {}
    })
    .await;
}

/// Callers of guests of `client` that spin.
fn spin(service: &Service, client: &str, guests: u8) -> Vec<JoinHandle<()>> {
    let address = service.address;
    let paths = (0..guests).map(|n| format!("/v1/{client}/items?x=spin:{n}"));
    let spin = |path: String| async move { drop(get(address, &path).await) };
    paths.map(|path| tokio::spawn(spin(path))).collect()
}

// fault 94
// No limit ends the guests. In a separate process: a runtime that such guests hold would not run this test either.
#[tokio::test]
async fn while_guests_compute_others_are_answered_and_join() {
    let upstream = Upstream::start(Answer::Held).await;
    let (service, _folder) = service(&upstream).await;
    let spinning = spin(&service, "spinning", SPINNING);
    let narrow = spin(&service, "narrow", 4);
    for (client, guests) in [("spinning", SPINNING), ("narrow", 4)] {
        let computing = format!("flights_computing{{client=\"{client}\"}}");
        reaches(&service, &computing, guests).await;
    }

    let callers = (0..3).map(|_| get(service.address, "/v1/other/items?x=1"));
    let callers: Vec<_> = callers.map(tokio::spawn).collect();
    service.waiting("other", 3).await;
    upstream.requested(1).await;
    upstream.release();
    for answer in failsafe("answers of another client", join_all(callers)).await {
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
    }
    for address in [service.address, service.admin] {
        for path in ["/livez", "/readyz"] {
            let answer = failsafe(path, get(address, path)).await;
            assert_eq!(answer.status(), StatusCode::OK);
        }
    }

    // All of this while they compute, and in view of the operator.
    let metrics = scrape(service.admin).await;
    let of =
        |series: &str, client: &str| value(&metrics, &format!("{series}{{client=\"{client}\"}}"));
    assert_eq!(of("joined_total", "other"), 2.0);
    assert_eq!(of("flights_running", "spinning"), f64::from(SPINNING));
    assert_eq!(of("flights_running", "narrow"), 4.0);
    assert!(of("guest_seconds_total", "spinning") > 0.0);

    // Without callers they end at once, also those that compute at that moment. All executions are free again.
    spinning.iter().chain(&narrow).for_each(JoinHandle::abort);
    for client in ["spinning", "narrow"] {
        for gauge in ["flights_running", "flights_computing"] {
            reaches(&service, &format!("{gauge}{{client=\"{client}\"}}"), 0).await;
        }
    }
    let paths = (0..SPINNING).map(|n| format!("/v1/spinning/items?x=echo:{n}"));
    let answers = paths.map(|path| async move { get(service.address, &path).await.status() });
    for status in failsafe("answers of the same client", join_all(answers)).await {
        assert_eq!(status, StatusCode::OK);
    }
}

// fault 95
// No other limit is reached: the body may have any size, and the flight an hour.
#[tokio::test]
async fn a_guest_whose_response_has_no_end_is_ended_by_its_processor_time() {
    let upstream = Upstream::start(Answer::EndlessBody).await;
    let limits = Limits {
        max_cpu_time: Duration::from_millis(500),
        max_body_bytes: usize::MAX,
        ..patient()
    };
    let settings = Settings {
        limits,
        ..reaching(&upstream)
    };
    let subject = Subject::misbehaving(settings).await;
    let ended = subject.ask(format!("need:{}", upstream.origin())).await;
    assert_eq!(ended, Err("guest-deadline"));
    subject.settled().await;
}
