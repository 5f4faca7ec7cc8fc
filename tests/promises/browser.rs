//! The dashboard in a real Chromium, with a real service.

use std::collections::BTreeSet;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use oneflight::registry::ClientRegistry;
use oneflight::server::{self, Listeners};
use oneflight::{Client, InstanceReuse, Instances, ServerLimits, Settings};
use oneflight_tests::browser::Browser;
use oneflight_tests::caller::{self, get};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::Service;
use oneflight_tests::serving::{Serving, served};
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{NEVER, Subject, artifacts, failsafe, patient, reaching};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The Tab key in WebDriver.
const TAB: char = '\u{e004}';

/// A service with these clients: name, sharing, upstream.
async fn service(clients: &[(&str, &str, &Upstream)]) -> (Service, Folder) {
    let client = |(name, sharing, upstream): &(&str, &str, &Upstream)| {
        format!(
            "[clients.{name}]\nbase_url = '{}/items'\nsharing = '{sharing}'\nlimits.flight_timeout = '1h'\n",
            upstream.origin()
        )
    };
    let text: String = clients.iter().map(client).collect();
    let folder = Folder::new();
    let file = folder.write("oneflight.toml", text.as_bytes());
    let service = Service::start(&["--config", &file, "--log", "warn"]).await;
    service.ready().await;
    (service, folder)
}

/// Starts `callers` concurrent callers of one key.
fn herd(service: &Service, client: &str, key: usize, callers: usize) -> JoinHandle<()> {
    let (address, path) = (service.address, format!("/v1/{client}/items?x={key}"));
    tokio::spawn(async move {
        let answers = join_all((0..callers).map(|_| get(address, &path))).await;
        let is_ok = |answer: &caller::Answer| answer.status() == StatusCode::OK;
        assert!(answers.iter().all(is_ok), "{answers:?}");
    })
}

/// Waits for the answers of a herd.
async fn answered(callers: JoinHandle<()>) {
    failsafe("the answers", callers).await.unwrap();
}

/// A browser with the dashboard of the service open.
async fn open_dashboard(service: &Service) -> Browser {
    let browser = Browser::start().await;
    browser.open(&format!("http://{}/", service.admin)).await;
    browser.shows(&text("state"), "Live").await;
    browser
}

/// The text of the element with this id.
fn text(id: &str) -> String {
    format!("document.getElementById('{id}').innerText")
}

/// The text of a table's rows, with a bar between cells.
fn rows(id: &str) -> String {
    format!(
        "[...document.getElementById('{id}').tBodies[0].rows].map((row) => \
         [...row.cells].map((cell) => cell.innerText).join(' | '))"
    )
}

fn hidden(id: &str) -> String {
    format!("!document.getElementById('{id}').checkVisibility()")
}

#[tokio::test]
async fn a_herd_shows_as_many_callers_one_flight_and_one_request() {
    let upstream = Upstream::start(Answer::Held).await;
    let (service, _folder) = service(&[("orders", "coalesced", &upstream)]).await;
    let browser = open_dashboard(&service).await;
    browser
        .shows(&text("headline"), "There have been no callers yet.")
        .await;
    browser
        .shows(
            "document.querySelector('#flights caption').innerText",
            "No flight is open.",
        )
        .await;

    let callers = herd(&service, "orders", 42, 25);
    upstream.requested(1).await;
    browser
        .shows(
            "document.querySelector('#flights caption').innerText",
            "25 callers wait for 1 flight.",
        )
        .await;
    browser.shows(&text("callers"), "25").await;
    browser.shows(&text("requests"), "1").await;
    browser.shows(&text("saved"), "0").await;
    browser
        .shows(&format!("{}.length", rows("flights")), 1)
        .await;
    browser
        .shows(&format!("{}[0].split(' | ')[0]", rows("flights")), "orders")
        .await;
    browser
        .shows(&format!("{}[0].split(' | ')[3]", rows("flights")), "25")
        .await;

    upstream.release();
    answered(callers).await;
    browser.shows(&text("saved"), "24").await;
    browser.shows(&text("callers"), "25").await;
    browser.shows(&text("requests"), "1").await;
    browser
        .shows(
            &text("headline"),
            "96 % of the upstream requests were saved.",
        )
        .await;
    browser
        .shows(
            &text("joined"),
            "24 callers joined an open flight, and shared its answer.",
        )
        .await;
    browser.shows(&text("callers-minute"), "25").await;
    browser.shows(&text("requests-minute"), "1").await;
    browser.shows(&rows("flights"), json!([])).await;
    browser
        .shows(&rows("clients"), json!(["orders shared | 25 | 1 | 24"]))
        .await;
    browser
        .shows(&rows("outcomes"), json!(["orders | ok | 25 | 1"]))
        .await;
    let timed = format!(
        "{}.map((row) => row.split(/ [0-9.]+ m?s/).length)",
        rows("times")
    );
    browser.shows(&timed, json!([5])).await;
    for id in ["would-figure", "would-legend", "observed"] {
        browser.shows(&hidden(id), true).await;
    }
    assert_eq!(browser.console().await, [] as [Value; 0]);
}

#[tokio::test]
async fn in_observe_mode_the_dashboard_shows_what_sharing_would_save() {
    let upstream = Upstream::start(Answer::Held).await;
    let (service, _folder) = service(&[("stock", "observed", &upstream)]).await;
    let browser = open_dashboard(&service).await;
    let callers = herd(&service, "stock", 42, 4);
    upstream.requested(4).await;
    browser
        .shows(
            "document.querySelector('#flights caption').innerText",
            "4 callers wait for 4 flights.",
        )
        .await;
    let row = |cell: usize| format!("{}.map((row) => row.split(' | ')[{cell}])", rows("flights"));
    let tag = format!("{}.map((key) => key.slice(17))", row(1));
    browser.shows(&tag, json!(["4 flights"])).await;
    browser.shows(&row(3), json!(["4"])).await;

    upstream.release();
    answered(callers).await;
    browser.shows(&text("would"), "3").await;
    browser.shows(&text("callers"), "4").await;
    browser.shows(&text("requests"), "4").await;
    browser.shows(&hidden("saved-figure"), true).await;
    browser
        .shows(
            &text("headline"),
            "Sharing would have saved 75 % of the upstream requests.",
        )
        .await;
    browser.shows(&text("observed"), "Observed only, nothing is shared: stock. 3 answers would have been shared, of which 3 were equal.").await;
    browser.shows(&text("would-minute"), "3").await;
    browser
        .shows(
            &rows("clients"),
            json!(["stock observed only | 4 | 4 | would: 3"]),
        )
        .await;
}

#[tokio::test]
async fn the_end_of_the_service_is_shown_and_not_delayed() {
    let upstream = Upstream::start(Answer::Items).await;
    let (service, _folder) = service(&[("orders", "coalesced", &upstream)]).await;
    let browser = open_dashboard(&service).await;
    assert_eq!(browser.console().await, [] as [Value; 0]);
    service.terminate();
    let state = format!("{}.slice(0, 26)", text("state"));
    browser.shows(&state, "Not connected; last update").await;
    assert_eq!(service.ended().await.0, Some(0));
}

#[tokio::test]
async fn the_dashboard_starts_over_with_another_service_at_its_address() {
    let upstream = Upstream::start(Answer::Items).await;
    let subject = async || {
        let settings = reaching(&upstream);
        Subject::builtin(&format!("{}/items", upstream.origin()), settings).await
    };
    let mut serving = Serving::start(subject().await).await;
    let browser = Browser::start().await;
    let operator = serving.operator;
    browser.open(&format!("http://{operator}/")).await;
    get(serving.callers, "/v1/test/items?x=42").await;
    browser.shows(&text("callers"), "1").await;
    serving.shut_down();
    serving.ended().await;
    let state = "document.getElementById('state').dataset.state";
    browser.shows(state, "lost").await;

    let listeners = Listeners {
        admin: Some(TcpListener::bind(operator).await.unwrap().into()),
        ..Listeners::new(TcpListener::bind("127.0.0.1:0").await.unwrap())
    };
    let clients = Arc::new(ClientRegistry::of([served(&subject().await)]));
    let service = server::Service::new(clients, Arc::default(), ServerLimits::default());
    let running = tokio::spawn(async move { service.run(listeners, pending()).await });
    browser.shows(state, "live").await;
    browser.shows(&text("callers"), "0").await;
    running.abort();
}

#[tokio::test]
async fn a_hidden_or_paused_dashboard_is_not_connected() {
    let upstream = Upstream::start(Answer::Items).await;
    let (service, _folder) = service(&[("orders", "coalesced", &upstream)]).await;
    let browser = open_dashboard(&service).await;
    let see = async |hidden: bool| {
        let script = format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }}) && \
             document.dispatchEvent(new Event('visibilitychange'))"
        );
        browser.value(&script).await;
    };
    let pause = "document.getElementById('pause').click()";
    see(true).await;
    browser.shows(&text("state"), "Paused").await;
    see(false).await;
    browser.shows(&text("state"), "Live").await;
    browser.value(pause).await;
    browser.shows(&text("state"), "Paused").await;
    // Visible again, it is still paused.
    see(false).await;
    answered(herd(&service, "orders", 42, 1)).await;
    browser.shows(&text("state"), "Paused").await;
    browser.shows(&text("callers"), "0").await;
    browser.value(pause).await;
    browser.shows(&text("state"), "Live").await;
    browser.shows(&text("callers"), "1").await;
}

#[tokio::test]
async fn the_dashboard_works_in_dark_mode_on_a_narrow_screen_and_by_keyboard() {
    let upstream = Upstream::start(Answer::Held).await;
    let long = "a-client-whose-name-takes-all-the-room-that-there-is";
    let (service, _folder) = service(&[
        (long, "coalesced", &upstream),
        ("stock", "observed", &upstream),
    ])
    .await;
    let callers = [herd(&service, long, 1, 12), herd(&service, "stock", 1, 2)];
    let browser = open_dashboard(&service).await;
    browser
        .shows(
            "document.querySelector('#flights caption').innerText",
            "14 callers wait for 3 flights.",
        )
        .await;

    // Nothing overflows the viewport, and all text has a contrast of 4.5 or more (WCAG 2, AA).
    let mut backgrounds = BTreeSet::new();
    for scheme in ["light", "dark"] {
        let feature = json!({ "name": "prefers-color-scheme", "value": scheme });
        browser
            .command(
                "Emulation.setEmulatedMedia",
                json!({ "features": [feature] }),
            )
            .await;
        for width in [320, 400, 1_200] {
            browser.resize(width, 800).await;
            browser.shows("innerWidth", width).await;
            let beyond = browser.value(BEYOND).await;
            assert_eq!(beyond, 0, "{scheme}, {width} pixels");
            let faint = browser.value(FAINT).await;
            assert_eq!(faint, json!([]), "{scheme}, {width} pixels");
        }
        let background = browser
            .value("getComputedStyle(document.body).backgroundColor")
            .await;
        backgrounds.insert(background.to_string());
    }
    assert_eq!(backgrounds.len(), 2, "{backgrounds:?}");

    let focusable = "document.querySelectorAll('a, button, [tabindex]').length";
    assert_eq!(browser.value(focusable).await, 3);
    let mut reached = Vec::new();
    for _ in 0..3 {
        browser.press(TAB).await;
        reached.push(browser.value("document.activeElement.innerText").await);
        let outline = browser
            .value("getComputedStyle(document.activeElement).outlineStyle")
            .await;
        assert_eq!(outline, "solid");
    }
    assert_eq!(
        reached,
        ["Pause", "metrics for Prometheus", "all flights as JSON"]
    );
    upstream.release();
    for callers in callers {
        answered(callers).await;
    }
}

/// Pixels by which the page overflows the viewport on the right.
const BEYOND: &str = "document.documentElement.scrollWidth - document.documentElement.clientWidth";

/// Text whose contrast with its background is less than 4.5.
const FAINT: &str = r"(() => {
  const parts = (color) => color.match(/[\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = parts(color).slice(0, 3).map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const color = getComputedStyle(element).backgroundColor;
    return parts(color)[3] === 0 ? behind(element.parentElement) : color;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const faint = [];
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const color = element instanceof SVGElement ? style.fill : style.color;
    const [low, high] = [light(color), light(behind(element))].sort((a, b) => a - b);
    if ((high + 0.05) / (low + 0.05) < 4.5) faint.push(walker.currentNode.data);
  }
  return faint;
})()";

#[tokio::test]
async fn the_dashboard_has_roles_and_names_for_screen_readers() {
    let upstream = Upstream::start(Answer::Items).await;
    let (service, _folder) = service(&[("orders", "coalesced", &upstream)]).await;
    answered(herd(&service, "orders", 42, 1)).await;
    let browser = open_dashboard(&service).await;
    browser
        .shows(&rows("outcomes"), json!(["orders | ok | 1 | 1"]))
        .await;
    let tree = browser
        .command("Accessibility.getFullAXTree", json!({}))
        .await;
    let nodes = tree["nodes"].as_array().unwrap().iter();
    let seen: Vec<_> = nodes
        .filter(|node| node["ignored"] == false)
        .filter_map(|node| {
            Some((
                node["role"]["value"].as_str()?,
                node["name"]["value"].as_str()?,
            ))
        })
        .collect();
    for expected in [
        ("banner", ""),
        ("main", ""),
        ("contentinfo", ""),
        ("heading", "Oneflight"),
        ("status", ""),
        ("button", "Pause"),
        ("region", "Since the service started"),
        ("region", "Callers and upstream requests, per second"),
        ("region", "Open flights"),
        ("region", "Clients"),
        ("region", "Latency"),
        ("region", "Outcomes"),
        ("image", "0 callers and 0 upstream requests in the last 1 s"),
        ("table", "No flight is open."),
        ("table", "Since the service started"),
        ("columnheader", "Upstream requests"),
        ("rowheader", "orders shared"),
        ("rowheader", "orders"),
        ("link", "metrics for Prometheus"),
    ] {
        assert!(seen.contains(&expected), "{expected:?} of {seen:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_flights_a_second_do_not_stall_the_dashboard() {
    let settings = Settings {
        limits: patient(),
        instances: Instances::Reused(InstanceReuse {
            max_calls: u32::MAX,
            max_age: NEVER,
        }),
        ..Settings::new("test")
    };
    let subject = Subject::load(artifacts::MISBEHAVING, settings).await;
    let client = subject.client.clone();
    let serving = Serving::start(subject).await;
    let browser = Browser::start().await;
    browser.open(&format!("http://{}/", serving.operator)).await;
    let load: Vec<_> = (0..8)
        .map(|caller| {
            let client = client.clone();
            tokio::spawn(async move {
                for number in 0.. {
                    let key = format!("echo:{caller}-{number}");
                    client.call(key.into()).await;
                }
            })
        })
        .collect();
    let mut seen = 0;
    while seen < 10_000 {
        seen = failsafe("the dashboard to update", async {
            loop {
                let shown = browser.value(&text("callers")).await;
                let shown = shown.as_str().unwrap().replace(',', "").parse().unwrap();
                if shown > seen {
                    break shown;
                }
            }
        })
        .await;
    }
    for caller in load {
        caller.abort();
    }
    serving.subject.settled().await;
    assert_eq!(browser.console().await, [] as [Value; 0]);
}

/// The screenshot in the README. With `ONEFLIGHT_SCREENSHOT` set it is written to that file, and the test runs for
/// more than a minute so that the charts have data.
#[tokio::test]
async fn a_screenshot_with_live_traffic_can_be_taken() {
    let file = std::env::var("ONEFLIGHT_SCREENSHOT").ok();
    let quick = Upstream::start(Answer::Late(Duration::from_millis(40))).await;
    let stuck = Upstream::start(Answer::Held).await;
    let (service, _folder) = service(&[
        ("orders", "coalesced", &quick),
        ("prices", "coalesced", &stuck),
        ("stock", "observed", &quick),
    ])
    .await;
    let browser = open_dashboard(&service).await;
    let waiting = [(1, 12), (2, 5), (3, 2), (4, 1)];
    let waiting = waiting.map(|(key, callers)| herd(&service, "prices", key, callers));
    stuck.requested(4).await;
    // A round of callers each time that the dashboard has shown the last.
    let mut callers = 20;
    for round in 0..if file.is_some() { 90 } else { 2 } {
        let wave = (f64::from(round) / 7.0).sin() + (f64::from(round) / 2.3).sin() / 3.0;
        let crowd = (14.0 + 10.0 * wave) as usize;
        for key in 0..4 {
            answered(herd(&service, "orders", key, crowd + key)).await;
        }
        answered(herd(&service, "stock", 1, 2)).await;
        callers += 4 * crowd + 6 + 2;
        let shown = format!("{}.replace(',', '')", text("callers"));
        browser.shows(&shown, callers.to_string()).await;
    }
    let picture = browser.picture(1_200).await;
    assert!(picture.starts_with(b"\x89PNG"));
    if let Some(file) = file {
        std::fs::write(file, picture).unwrap();
    }
    stuck.release();
    for callers in waiting {
        answered(callers).await;
    }
}
