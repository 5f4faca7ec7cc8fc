//! Upstreams whose name moves to another address under steady traffic.

use std::net::SocketAddr;
use std::sync::Arc;

use oneflight::upstream::{Roots, UpstreamPolicy};
use oneflight::{Limits, Settings};
use oneflight_tests::frames::{Frames, Reply};
use oneflight_tests::names::{Lookup, Script};
use oneflight_tests::tls::Identity;
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{LIMIT, Subject, patient, settings, tasks};

const NAME: &str = "moves.example";

/// A guest that may reach [`NAME`], which has moved from 127.0.0.1 to 127.0.0.2 when it is resolved again.
async fn subject(origin: &str, names: &Arc<Script>, roots: Roots) -> Subject {
    let policy = UpstreamPolicy {
        allow: vec![origin.parse().unwrap()],
        nets: vec!["127.0.0.0/8".parse().unwrap()],
        resolver: Arc::clone(names) as _,
        roots,
        ..UpstreamPolicy::default()
    };
    let limits = Limits {
        max_connection_age: LIMIT,
        ..patient()
    };
    Subject::misbehaving(Settings {
        policy,
        limits,
        ..settings()
    })
    .await
}

fn names() -> Arc<Script> {
    let lookups = ["127.0.0.1", "127.0.0.2"].map(|address| Lookup::of(&[address]));
    Arc::new(Script::new(lookups))
}

/// Lets the greatest age of every connection pass.
async fn age() {
    tokio::time::pause();
    tokio::time::advance(LIMIT).await;
    tokio::time::resume();
}

async fn call(subject: &Subject, origin: &str) {
    let answer = subject.ask(format!("need:{origin}")).await;
    let answer = answer.unwrap();
    assert!(answer.contains(r#""status":200"#), "{answer}");
    subject.settled().await;
}

// fault 62
#[tokio::test]
async fn a_name_that_moves_is_followed_under_steady_traffic() {
    let old = Upstream::start(Answer::Items).await;
    let port = old.address().port();
    let new = Upstream::start_on(("127.0.0.2", port), Answer::Items, None).await;
    let (names, origin) = (names(), format!("http://{NAME}:{port}"));
    let before = tasks();
    let subject = subject(&origin, &names, Roots::default()).await;
    for _ in 0..5 {
        call(&subject, &origin).await;
    }
    assert_eq!((old.requests(), old.connections()), (5, 1));
    age().await;
    // The first request after its end is the connection's last.
    call(&subject, &origin).await;
    assert_eq!((old.requests(), new.requests()), (6, 0));
    for _ in 0..5 {
        call(&subject, &origin).await;
    }
    assert_eq!(
        (old.requests(), new.requests(), new.connections()),
        (6, 5, 1)
    );
    assert_eq!(names.lookups(), [NAME, NAME]);
    old.closed(1).await;
    subject.gone(before).await;
}

// fault 62
#[tokio::test]
async fn an_old_connection_finishes_its_streams_and_takes_no_more() {
    let identity = Identity::new(&[NAME]);
    let replies = [Reply::Items, Reply::WithNext, Reply::Items];
    let old = Frames::start(&identity, replies).await;
    let port = old.address().port();
    let second = SocketAddr::from(([127, 0, 0, 2], port));
    let new = Frames::start_at(second, 100, &identity, [Reply::Items]).await;
    let (names, origin) = (names(), format!("https://{NAME}:{port}"));
    let roots = Roots::from_pem(identity.pem().as_bytes()).unwrap();
    let before = tasks();
    let subject = subject(&origin, &names, roots).await;
    call(&subject, &origin).await;
    let open = tokio::spawn({
        let (subject, key) = (subject.clone(), format!("need:{origin}/open"));
        async move { subject.ask(key).await }
    });
    old.requested(2).await;
    age().await;
    let last = subject.ask(format!("need:{origin}/last")).await;
    assert!(last.unwrap().contains(r#""status":200"#));
    let open = open.await.unwrap();
    assert!(open.unwrap().contains(r#""status":200"#));
    for _ in 0..5 {
        call(&subject, &origin).await;
    }
    // Connections and requests.
    assert_eq!((old.seen(), new.seen()), ((1, 3), (1, 5)));
    assert_eq!(names.lookups(), [NAME, NAME]);
    subject.gone(before).await;
}
