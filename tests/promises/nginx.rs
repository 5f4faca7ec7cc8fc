//! A real nginx as the upstream. It ends an HTTP/2 connection with GOAWAY after 1,000 requests, and its old processes
//! close their connections when it is reloaded or restarted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use oneflight::upstream::{Roots, UpstreamPolicy};
use oneflight::{InstanceReuse, Instances, Settings};
use oneflight_tests::nginx::Nginx;
use oneflight_tests::tls::Identity;
use oneflight_tests::{Subject, settings};
use tokio::sync::Notify;
use tokio::task::JoinSet;

const CALLS: usize = 10_000;
const AT_ONCE: usize = 32;
/// Calls between two events: a reload, a reload, a restart, and so on.
const BETWEEN_EVENTS: usize = 500;

// fault 60, 61
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
                instances: Instances::Reused(InstanceReuse::default()),
                ..settings()
            },
        )
        .await;
        calls(&subject, &nginx).await;
        assert_eq!(subject.counted("upstream_requests_total"), CALLS as f64);
        let resent = subject.counted("upstream_requests_resent_total");
        println!("{origin}: {resent} requests were sent once more");
    }
}

/// Every call, with a key of its own, while `nginx` is reloaded and restarted.
async fn calls(subject: &Subject, nginx: &Nginx) {
    let made = Arc::new(AtomicUsize::new(0));
    let due = Arc::new(Notify::new());
    let mut callers = JoinSet::new();
    for caller in 0..AT_ONCE {
        let (subject, made, due) = (subject.clone(), Arc::clone(&made), Arc::clone(&due));
        callers.spawn(async move {
            loop {
                let number = made.fetch_add(1, Ordering::Relaxed);
                if number >= CALLS {
                    return;
                }
                if number % BETWEEN_EVENTS == 0 {
                    due.notify_one();
                }
                let answer = subject.ask(format!("{caller}-{number}")).await;
                assert!(answer.is_ok(), "call {number}: {answer:?}");
            }
        });
    }
    let events = async {
        for number in 1.. {
            due.notified().await;
            match number % 3 {
                0 => nginx.restart().await,
                _ => nginx.reload(),
            }
        }
    };
    tokio::select! {
        () = events => {}
        () = async { while let Some(ended) = callers.join_next().await { ended.unwrap(); } } => {}
    }
}
