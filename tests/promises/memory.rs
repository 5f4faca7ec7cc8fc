//! What the host holds for a guest counts as the guest's memory.

use std::pin::pin;

use oneflight::{InstanceReuse, Instances, Limits, Settings};
use oneflight_tests::process::alone;
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{NEVER, Subject, memory, patient, reaching, settings, tasks};

/// The memory of one execution in these tests, in bytes.
const MEMORY: usize = 16 << 20;

fn limited(settings: Settings) -> Settings {
    let limits = Limits {
        max_memory_bytes: MEMORY,
        ..patient()
    };
    Settings { limits, ..settings }
}

/// A misbehaving guest that may reach nothing, with these limits.
async fn misbehaving(limits: Limits) -> Subject {
    Subject::misbehaving(Settings {
        limits,
        ..settings()
    })
    .await
}

/// How often `limit` was reached, by the metrics.
fn reached(subject: &Subject, limit: &str) -> u64 {
    let text = subject.metrics.text(&[], 0);
    let name = format!("oneflight_limits_total{{client=\"test\",outcome=\"{limit}\"}} ");
    let value = text.lines().find_map(|line| line.strip_prefix(&*name));
    value.unwrap().parse().unwrap()
}

/// Keys of what the host would hold more of than [`MEMORY`], and less of with the number that follows.
const HOARDS: [(&str, &str); 4] = [
    ("unsent:300:32768", "unsent:100:32768"),
    ("fields:700:30000", "fields:200:30000"),
    ("lines:400:60000:path", "lines:100:60000:path"),
    ("lines:400:60000:authority", "lines:100:60000:authority"),
];

// fault 90
#[tokio::test]
async fn a_guest_that_makes_the_host_hold_too_much_is_ended() {
    let subject = Subject::misbehaving(limited(settings())).await;
    for (too_much, enough) in HOARDS {
        assert_eq!(subject.ask(too_much).await, Err("guest-trap"), "{too_much}");
        subject.settled().await;
        let answer = subject.ask(enough).await.unwrap();
        assert!(answer.ends_with(r#""body":"hoarded"}]"#), "{answer}");
        subject.settled().await;
        assert_eq!(subject.component.usage().memory, 0);
    }
    assert_eq!(reached(&subject, "memory"), 4);
}

// fault 90
#[tokio::test]
async fn open_requests_count_as_memory_of_their_guest() {
    for (answer, key) in [(Answer::NoHead, "open"), (Answer::EndlessBody, "unread")] {
        let upstream = Upstream::start(answer).await;
        let subject = Subject::misbehaving(limited(reaching(&upstream))).await;
        let ask = async |n| {
            subject
                .ask(format!("{key}:{n}:{}", upstream.origin()))
                .await
        };
        assert_eq!(ask(60).await, Err("guest-trap"), "{key}");
        subject.settled().await;
        assert_eq!(ask(20).await.err(), None, "{key}");
        subject.settled().await;
        assert_eq!(subject.component.usage().memory, 0);
    }
}

/// What the host itself may use for a flight beyond the flight's limits, in bytes.
const HOSTS_OWN: usize = 2 << 20;

// fault 90
#[tokio::test]
async fn a_hoarding_guest_costs_no_more_than_its_memory() {
    if alone("memory::a_hoarding_guest_costs_no_more_than_its_memory").await {
        let before = tasks();
        let subject = Subject::misbehaving(limited(settings())).await;
        assert_eq!(subject.ask("echo:warm").await.err(), None);
        for (key, _) in HOARDS {
            let flight = async { assert_eq!(subject.ask(key).await, Err("guest-trap")) };
            let rise = memory::rise(flight).await;
            assert!(rise < MEMORY + HOSTS_OWN, "{key}: {rise}");
        }
        subject.gone(before).await;
    }
}

// fault 91
#[tokio::test]
async fn an_answer_is_limited_as_it_is_sent_to_callers() {
    let limits = Limits {
        max_result_bytes: 1_000,
        max_key_bytes: 200,
        ..patient()
    };
    let subject = misbehaving(limits).await;
    // Each control character is six bytes of JSON.
    let around = r#"[{"id":"","body":"#.len() + "160".len() + "}]".len();
    let longest = (1_000 - around) / 6;
    let key = format!("control-id:{longest}");
    let answer = subject.ask(key).await.unwrap();
    assert_eq!(answer.len(), around + 6 * longest);
    let too_long = format!("control-id:{}", longest + 1);
    assert_eq!(subject.ask(too_long).await, Err("result-too-large"));
}

// fault 91
#[tokio::test]
async fn an_id_is_no_longer_than_a_key() {
    let limits = Limits {
        max_key_bytes: 200,
        ..patient()
    };
    let subject = misbehaving(limits).await;
    assert_eq!(subject.ask("control-id:200").await.err(), None);
    assert_eq!(subject.ask("control-id:201").await, Err("result-too-large"));
}

// fault 91
#[tokio::test]
async fn an_answer_counts_as_memory_of_its_guest() {
    let subject = Subject::misbehaving(limited(settings())).await;
    // As a string of the guest, as items of the host, and as JSON.
    assert_eq!(subject.ask("huge:1000000").await.err(), None);
    assert_eq!(subject.ask("huge:3000000").await, Err("result-too-large"));
    subject.settled().await;
    assert_eq!(subject.component.usage().memory, 0);
}

// fault 92
#[tokio::test]
async fn the_executions_of_a_client_share_its_memory() {
    let upstream = Upstream::start(Answer::Held).await;
    let limits = Limits {
        max_total_memory_bytes: 6 << 20,
        ..patient()
    };
    let subject = Subject::misbehaving(Settings {
        limits,
        ..reaching(&upstream)
    })
    .await;
    let key = |n| format!("patient:{}/{n}", upstream.origin());
    let first = key(0);
    let mut first = pin!(subject.ask(first));
    tokio::select! {
        answer = &mut first => panic!("{answer:?} without an answer of the upstream"),
        () = upstream.requested(1) => {}
    }
    // There is memory left for one more small guest, and for no large one.
    assert_eq!(subject.ask("huge:3000000").await, Err("overloaded"));
    assert_eq!(subject.ask("unsent:100:32768").await, Err("overloaded"));
    assert_eq!(subject.ask("echo:small").await.err(), None);
    upstream.release();
    assert_eq!(first.await.err(), None);
    subject.settled().await;
    assert_eq!(subject.component.usage().memory, 0);
    assert_eq!(reached(&subject, "total-memory"), 2);
}

// fault 93
#[tokio::test]
async fn an_instance_that_keeps_more_than_half_of_its_limits_serves_no_other_flight() {
    let subject = Subject::misbehaving(Settings {
        instances: Instances::Reused(InstanceReuse {
            max_calls: u32::MAX,
            max_age: NEVER,
        }),
        ..limited(settings())
    })
    .await;
    for (key, idle) in [
        ("echo:little", 1),
        ("grow:4000000", 1),
        ("grow:9000000", 0),
        ("keep:40:32768", 1),
        ("keep:40:32768", 1),
        ("keep:40:32768", 0),
        ("resources:200", 1),
        ("resources:200", 0),
    ] {
        assert_eq!(subject.ask(key).await.err(), None, "{key}");
        subject.settled().await;
        assert_eq!(subject.component.usage().idle, idle, "{key}");
    }
}
