//! The body of a request is whole for its upstream only if the guest has finished it, and ends with its flight.

use std::pin::pin;

use futures_util::future::join_all;
use futures_util::poll;
use oneflight::upstream::{Roots, UpstreamPolicy};
use oneflight::{Client, InstanceReuse, Instances, Limits, Settings};
use oneflight_tests::tls::Identity;
use oneflight_tests::uploads::{Upload, Uploads};
use oneflight_tests::{LIMIT, NEVER, Subject, fast_forward, patient, settings};

/// Flights of each combination: what is tested is a race, so one would not do.
const FLIGHTS: usize = 8;

/// Framings whose body is `begun`.
const FRAMINGS: [&str; 2] = ["chunked", "length"];

/// An upstream that reports bodies, and a client whose guest misbehaves.
struct Scene {
    upstream: Uploads,
    subject: Subject,
    /// The protocol and the kind of instances.
    name: String,
}

/// A scene of each combination of HTTP/1.1 and HTTP/2, and of fresh and reused instances.
async fn scenes(limits: Limits) -> Vec<Scene> {
    let mut scenes = Vec::new();
    for identity in [None, Some(Identity::new(&["127.0.0.1"]))] {
        let reused = Instances::Reused(InstanceReuse {
            max_calls: u32::MAX,
            max_age: NEVER,
        });
        for instances in [Instances::Fresh, reused] {
            let upstream = Uploads::start(identity.as_ref()).await;
            let name = format!("{} {instances:?}", upstream.origin());
            let roots = identity.as_ref().map(|identity| {
                let roots = Roots::from_pem(identity.pem().as_bytes());
                roots.unwrap()
            });
            let policy = UpstreamPolicy {
                allow: vec![upstream.origin().parse().unwrap()],
                roots: roots.unwrap_or_default(),
                ..UpstreamPolicy::default()
            };
            let subject = Subject::misbehaving(Settings {
                policy,
                instances,
                limits: limits.clone(),
                ..settings()
            });
            scenes.push(Scene {
                subject: subject.await,
                upstream,
                name,
            });
        }
    }
    scenes
}

/// The paths of [`FLIGHTS`] requests with this framing.
fn paths(framing: &str) -> impl Iterator<Item = String> {
    (0..FLIGHTS).map(move |n| format!("/read/{framing}/{n}"))
}

impl Scene {
    fn key(&self, framing: &str, end: &str, path: &str) -> String {
        format!("upload:{framing}:{end}:{}{path}", self.upstream.origin())
    }

    /// The results of [`FLIGHTS`] flights at the same time.
    async fn together(&self, framing: &str, end: &str) -> Vec<Result<String, &'static str>> {
        let keys = paths(framing).map(|path| self.key(framing, end, &path));
        join_all(keys.map(|key| self.subject.ask(key))).await
    }

    /// Waits until all bodies that were sent have ended, and asserts that each was cut after it had begun.
    async fn all_cut(&mut self, framing: &str) {
        let events = self.upstream.events(2 * FLIGHTS).await;
        let mut expected = Vec::new();
        for path in paths(framing) {
            // The last byte of a body whose length is announced would make it whole.
            let received = if framing == "length" { "begu" } else { "begun" };
            expected.push(Upload::Begun(path.clone()));
            expected.push(Upload::Cut(path, received.to_owned()));
        }
        assert_eq!(events, expected, "{framing}, {}", self.name);
        self.nothing_left().await;
    }

    /// Waits until nothing of the flights is left, and asserts that no instance of theirs is reused.
    async fn nothing_left(&mut self) {
        self.subject.settled().await;
        assert_eq!(self.subject.component.usage().idle, 0, "{}", self.name);
        // Over HTTP/2 the connection stays, without streams.
        let connections = usize::from(self.upstream.origin().starts_with("https"));
        self.subject.connected(connections).await;
        assert!(self.upstream.is_silent(), "{}", self.name);
    }
}

// fault 55
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_finished_when_the_last_caller_leaves_is_cut() {
    for mut scene in scenes(patient()).await {
        for framing in FRAMINGS {
            let mut callers = Vec::new();
            for path in paths(framing) {
                let key = scene.key(framing, "wait", &path);
                let client = scene.subject.client.clone();
                callers.push(tokio::spawn(async move { client.call(key.into()).await }));
            }
            let begun = scene.upstream.events(FLIGHTS).await;
            assert!(begun.iter().all(|event| matches!(event, Upload::Begun(_))));
            for caller in callers {
                caller.abort();
            }
            let ends = scene.upstream.events(FLIGHTS).await;
            let cut = |event: &Upload| matches!(event, Upload::Cut(..));
            assert!(ends.iter().all(cut), "{framing}, {}: {ends:?}", scene.name);
            scene.nothing_left().await;
        }
    }
}

// fault 55
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_finished_when_its_guest_traps_is_cut() {
    for mut scene in scenes(patient()).await {
        for framing in FRAMINGS {
            let results = scene.together(framing, "trap").await;
            assert!(results.iter().all(|result| *result == Err("guest-trap")));
            scene.all_cut(framing).await;
        }
    }
}

// fault 55
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_finished_when_its_guest_returns_is_cut() {
    for mut scene in scenes(patient()).await {
        for framing in FRAMINGS {
            let results = scene.together(framing, "return").await;
            assert!(results.iter().all(Result::is_ok), "{results:?}");
            scene.all_cut(framing).await;
        }
    }
}

// fault 55
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_its_guest_drops_unfinished_is_cut() {
    for mut scene in scenes(patient()).await {
        for framing in FRAMINGS {
            for result in scene.together(framing, "drop").await {
                let result = result.unwrap();
                assert!(result.contains("HttpRequestDenied"), "{result}");
            }
            scene.all_cut(framing).await;
        }
    }
}

// fault 55
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_not_finished_at_the_limit_of_processor_time_is_cut() {
    let limits = Limits {
        max_cpu_time: Limits::default().max_cpu_time / 2,
        ..patient()
    };
    for mut scene in scenes(limits).await {
        let mut results = Vec::new();
        for framing in FRAMINGS {
            let key = scene.key(framing, "spin", &format!("/read/{framing}"));
            results.push(scene.subject.ask(key).await);
        }
        assert_eq!(results, [Err("guest-deadline"), Err("guest-deadline")]);
        let events = scene.upstream.events(4).await;
        let cut = |event: &&Upload| matches!(event, Upload::Cut(..));
        assert_eq!(events.iter().filter(cut).count(), 2, "{events:?}");
        scene.nothing_left().await;
    }
}

// fault 55
#[tokio::test]
async fn a_body_that_is_not_finished_at_the_flights_deadline_is_cut() {
    let limits = Limits {
        flight_timeout: LIMIT,
        ..patient()
    };
    for mut scene in scenes(limits).await {
        for framing in FRAMINGS {
            let subject = scene.subject.clone();
            let key = scene.key(framing, "wait", "/read");
            let mut asking = pin!(subject.ask(key));
            tokio::select! {
                result = &mut asking => panic!("the guest waits, got {result:?}"),
                begun = scene.upstream.event() => assert_eq!(begun, Upload::Begun("/read".into())),
            }
            assert_eq!(fast_forward(asking).await, Err("upstream-timeout"));
            let end = scene.upstream.event().await;
            assert!(
                matches!(end, Upload::Cut(..)),
                "{framing}, {}: {end:?}",
                scene.name
            );
            scene.nothing_left().await;
        }
    }
}

// fault 55
// A header section may be a whole request by itself.
#[tokio::test]
async fn a_request_whose_body_is_empty_is_sent_once_its_guest_has_finished_it() {
    for mut scene in scenes(patient()).await {
        for framing in ["empty", "bare"] {
            let unfinished = scene.key(framing, "trap", "/open");
            assert_eq!(scene.subject.ask(unfinished).await, Err("guest-trap"));
            scene.subject.settled().await;
            let finished = scene.key(framing, "finish", "/read");
            let result = scene.subject.ask(finished).await.unwrap();
            assert!(result.contains(r#""status":200"#), "{result}");
            // The first event, so nothing came of the other request.
            let whole = Upload::Whole("/read".into(), String::new(), vec![]);
            assert_eq!(
                scene.upstream.event().await,
                whole,
                "{framing}, {}",
                scene.name
            );
        }
    }
}

#[tokio::test]
async fn a_body_that_its_guest_finishes_is_whole() {
    for mut scene in scenes(patient()).await {
        let origin = scene.upstream.origin();
        let bodies = [("chunked", "begun"), ("length", "begun"), ("get", "begun")];
        for (framing, body) in bodies {
            for end in ["finish", "trailers"] {
                let key = scene.key(framing, end, "/read");
                let result = scene.subject.ask(key).await.unwrap();
                assert!(result.contains(r#""status":200"#), "{result}");
                assert_eq!(scene.upstream.event().await, Upload::Begun("/read".into()));
                let event = scene.upstream.event().await;
                let Upload::Whole(_, received, _) = event else {
                    panic!("{framing}, {origin}: {event:?}");
                };
                assert_eq!(received, body);
            }
        }
    }
}

// fault 56
// The upstream answers before it has the whole body, so only the body keeps the request open.
#[tokio::test]
async fn an_answered_request_whose_body_is_open_ends_with_its_flight() {
    for mut scene in scenes(patient()).await {
        for n in 0..FLIGHTS {
            let path = format!("/early/{n}");
            let key = scene.key("chunked", "answered", &path);
            let result = scene.subject.ask(key).await.unwrap();
            assert!(result.contains(r#""status":200"#), "{result}");
            let events = [scene.upstream.event().await, scene.upstream.event().await];
            let cut = Upload::Cut(path.clone(), "begun".into());
            assert_eq!(events, [Upload::Begun(path), cut], "{}", scene.name);
            scene.nothing_left().await;
        }
    }
}

// fault 56
#[tokio::test]
async fn an_answered_request_whose_body_is_open_ends_at_its_deadline() {
    let limits = Limits {
        request_timeout: LIMIT,
        ..patient()
    };
    for mut scene in scenes(limits).await {
        let key = scene.key("chunked", "answered-wait", "/early");
        let client = scene.subject.client.clone();
        let flight = tokio::spawn(async move { client.call(key.into()).await });
        let begun = Upload::Begun("/early".into());
        assert_eq!(scene.upstream.event().await, begun);
        let cut = fast_forward(scene.upstream.event()).await;
        assert_eq!(
            cut,
            Upload::Cut("/early".into(), "begun".into()),
            "{}",
            scene.name
        );
        assert_eq!(scene.subject.component.usage().running, 1);
        flight.abort();
        scene.nothing_left().await;
    }
}

/// Limits with which a second request needs the connection of the first.
fn one_connection() -> Limits {
    Limits {
        max_connections: 1,
        ..patient()
    }
}

// fault 56
// Nothing polls a body that its upstream does not read.
#[tokio::test]
async fn a_request_whose_upstream_reads_nothing_ends_with_its_flight_and_at_its_deadline() {
    let at_the_flights_end = Limits {
        flight_timeout: LIMIT,
        ..one_connection()
    };
    let at_its_deadline = Limits {
        request_timeout: LIMIT,
        ..one_connection()
    };
    for limits in [at_the_flights_end, at_its_deadline] {
        for mut scene in scenes(limits.clone()).await {
            let key = scene.key("chunked", "flood", "/deaf");
            let client = scene.subject.client.clone();
            let flight = tokio::spawn(async move { client.call(key.into()).await });
            assert_eq!(scene.upstream.event().await, Upload::Begun("/deaf".into()));
            fast_forward(tokio::time::sleep(LIMIT)).await;
            // The second request gets the connection once the first one is gone.
            let key = format!("ask:{}/open/gate", scene.upstream.origin());
            let next = scene.subject.ask(key).await.unwrap();
            assert!(next.contains(r#""status":200"#), "{}: {next}", scene.name);
            let running = usize::from(limits.flight_timeout == NEVER);
            assert_eq!(scene.subject.component.usage().running, running);
            flight.abort();
            scene.subject.settled().await;
        }
    }
}

// fault 56
#[tokio::test]
async fn an_answered_request_whose_body_is_open_counts_as_a_connection_in_use() {
    for mut scene in scenes(one_connection()).await {
        let key = scene.key("chunked", "answered-wait", "/early");
        let client = scene.subject.client.clone();
        let first = tokio::spawn(async move { client.call(key.into()).await });
        assert_eq!(scene.upstream.event().await, Upload::Begun("/early".into()));
        let subject = scene.subject.clone();
        let mut second = pin!(subject.ask(scene.key("chunked", "finish", "/read")));
        while subject.component.usage().upstream_requests < 2 {
            assert!(poll!(second.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
        assert!(scene.upstream.is_silent());
        first.abort();
        let answer = second.await.unwrap();
        assert!(answer.contains(r#""status":200"#), "{answer}");
        let events = scene.upstream.events(3).await;
        let whole = Upload::Whole("/read".into(), "begun".into(), vec![]);
        let cut = Upload::Cut("/early".into(), "begun".into());
        assert_eq!(events, [cut, Upload::Begun("/read".into()), whole]);
    }
}

// fault 57
#[tokio::test]
async fn a_body_is_as_large_as_its_limit_at_most() {
    let limits = Limits {
        max_request_body_bytes: 1_000,
        ..patient()
    };
    for mut scene in scenes(limits).await {
        let url = format!("{}/read", scene.upstream.origin());
        for key in ["post:1000:1000:", "stream:1000:"] {
            let answer = scene.subject.ask(format!("{key}{url}")).await.unwrap();
            assert!(answer.contains(r#""status":200"#), "{key} {answer}");
            assert_eq!(scene.upstream.event().await, Upload::Begun("/read".into()));
            let whole = Upload::Whole("/read".into(), "x".repeat(1_000), vec![]);
            assert_eq!(scene.upstream.event().await, whole, "{key}");
        }
        for key in ["post:1001:1001:", "stream:1001:"] {
            let answer = scene.subject.ask(format!("{key}{url}")).await.unwrap();
            assert!(answer.contains("HttpRequestDenied"), "{key} {answer}");
        }
        let last = scene.subject.ask(format!("post:1:1:{url}")).await;
        assert!(last.unwrap().contains(r#""status":200"#));
        loop {
            match scene.upstream.event().await {
                Upload::Begun(_) | Upload::Cut(..) => {}
                Upload::Whole(_, received, _) => break assert_eq!(received, "x"),
            }
        }
    }
}
