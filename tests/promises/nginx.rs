//! A real nginx as the upstream. It ends an HTTP/2 connection with GOAWAY after 1,000 requests, and its old processes
//! close their connections when it is reloaded or restarted. Nothing listens while it is stopped and started again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use oneflight::upstream::{Roots, UpstreamPolicy};
use oneflight::{InstanceReuse, Instances, Limits, Settings};
use oneflight_tests::nginx::Nginx;
use oneflight_tests::tls::Identity;
use oneflight_tests::{Subject, failsafe, patient, settings};
use tokio::sync::Notify;
use tokio::task::JoinSet;

const CALLS: usize = 10_000;
const AT_ONCE: usize = 32;
const RETRIED: &str = "upstream_connects_retried_total";
/// Calls between two events.
const BETWEEN_EVENTS: usize = 500;

/// What happens to nginx.
#[derive(Clone, Copy)]
enum Event {
    Reload,
    Restart,
    StopAndStart,
}

const EVENTS: [Event; 8] = {
    use Event::{Reload, Restart, StopAndStart};
    [
        Reload,
        StopAndStart,
        Reload,
        Restart,
        Reload,
        StopAndStart,
        Restart,
        StopAndStart,
    ]
};

// fault 60, 61, 128, 131
#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_nginx_reloads_and_restarts_under_load() {
    let identity = Identity::new(&["127.0.0.1"]);
    let nginx = Nginx::start(&identity);
    for origin in nginx.origins() {
        let policy = UpstreamPolicy {
            allow: vec![origin.parse().unwrap()],
            roots: Roots::from_pem(identity.pem().as_bytes()).unwrap(),
            ..UpstreamPolicy::default()
        };
        let subject = Subject::builtin(
            &format!("{origin}/{{x}}"),
            Settings {
                policy,
                // A busy machine may need longer than the default to start it.
                limits: Limits {
                    connect_retry_timeout: Duration::from_secs(60),
                    ..patient()
                },
                instances: Instances::Reused(InstanceReuse::default()),
                ..settings()
            },
        )
        .await;
        let calls = calls(&subject, &nginx).await;
        assert_eq!(subject.counted("upstream_requests_total"), calls as f64);
        let resent = subject.counted("upstream_requests_resent_total");
        let retried = subject.counted(RETRIED);
        println!("{origin}: {resent} of {calls} requests were sent once more, {retried} waited");
        assert!(retried > 0.0);
    }
}

/// Calls, each with a key of its own, until there are enough and all events have happened to `nginx`. Returns how many.
async fn calls(subject: &Subject, nginx: &Nginx) -> usize {
    let [made, answered] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
    let have_happened = Arc::new(AtomicBool::new(false));
    let due = Arc::new(Notify::new());
    let mut callers = JoinSet::new();
    for caller in 0..AT_ONCE {
        let (subject, due) = (subject.clone(), Arc::clone(&due));
        let (made, answered) = (Arc::clone(&made), Arc::clone(&answered));
        let have_happened = Arc::clone(&have_happened);
        callers.spawn(async move {
            while !have_happened.load(Ordering::Relaxed) || made.load(Ordering::Relaxed) < CALLS {
                let number = made.fetch_add(1, Ordering::Relaxed);
                if number % BETWEEN_EVENTS == 0 {
                    due.notify_one();
                }
                let answer = subject.ask(format!("{caller}-{number}")).await;
                assert!(answer.is_ok(), "call {number}: {answer:?}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let events = async {
        for event in EVENTS {
            due.notified().await;
            match event {
                Event::Reload => nginx.reload(),
                Event::Restart => nginx.restart().await,
                Event::StopAndStart => {
                    nginx.stop().await;
                    // Nothing is answered any more, so in the end every caller waits.
                    let waiting = || {
                        let requests = subject.counted("upstream_requests_total");
                        requests - answered.load(Ordering::Relaxed) as f64
                    };
                    failsafe("the callers to wait", async {
                        while waiting() < AT_ONCE as f64 {
                            tokio::task::yield_now().await;
                        }
                    })
                    .await;
                    nginx.start_again();
                }
            }
        }
        have_happened.store(true, Ordering::Relaxed);
    };
    let calls = async {
        while let Some(ended) = callers.join_next().await {
            ended.unwrap();
        }
    };
    tokio::join!(events, calls);
    made.load(Ordering::Relaxed)
}
