//! Instances serve one flight or, if the client is set so, several; nothing that went wrong in one flight
//! affects the next.

use std::pin::pin;
use std::time::Duration;

use futures_util::poll;
use oneflight::{
    Call, Client, ComponentClient, Engine, InstanceReuse, Instances, Limits, LoadError, Settings,
    Unshared,
};
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{
    LIMIT, NEVER, Subject, artifacts, failsafe, patient, reaching, settings, tasks,
};

/// Reused for ever.
const REUSED: Instances = Instances::Reused(InstanceReuse {
    max_calls: u32::MAX,
    max_age: NEVER,
});

async fn reusing(settings: Settings, instances: Instances) -> Subject {
    Subject::misbehaving(Settings {
        instances,
        ..settings
    })
    .await
}

/// The number of calls of the instance that answers this one.
async fn calls(subject: &Subject) -> u64 {
    let answer = subject.ask("calls").await.unwrap();
    subject.settled().await;
    let count = answer.strip_prefix(r#"[{"id":"calls","body":"#);
    count.unwrap().strip_suffix("}]").unwrap().parse().unwrap()
}

fn idle(subject: &Subject) -> usize {
    subject.component.usage().idle
}

#[tokio::test]
async fn an_idle_instance_serves_the_next_flight_until_it_has_had_its_calls() {
    let instances = Instances::Reused(InstanceReuse {
        max_calls: 3,
        max_age: NEVER,
    });
    let subject = reusing(settings(), instances).await;
    for (count, left) in [(1, 1), (2, 1), (3, 0), (1, 1)] {
        assert_eq!((calls(&subject).await, idle(&subject)), (count, left));
    }
}

#[tokio::test]
async fn by_default_instances_are_fresh() {
    let subject = Subject::misbehaving(settings()).await;
    for _ in 0..2 {
        assert_eq!((calls(&subject).await, idle(&subject)), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_instance_is_dropped_at_its_age() {
    let age = Duration::from_secs(60);
    let instances = Instances::Reused(InstanceReuse {
        max_calls: u32::MAX,
        max_age: age,
    });
    let subject = reusing(settings(), instances).await;
    assert_eq!(calls(&subject).await, 1);
    tokio::time::sleep(age - Duration::from_millis(10)).await;
    assert_eq!((calls(&subject).await, idle(&subject)), (2, 1));
    // Its age counts from its creation, not from its last call.
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!((idle(&subject), calls(&subject).await), (0, 1));
}

// fault 46
#[tokio::test(start_paused = true)]
async fn an_instance_is_not_reused_after_a_trap_a_deadline_or_a_refused_answer() {
    let limits = Limits {
        flight_timeout: LIMIT,
        max_items: 10,
        ..patient()
    };
    let settings = |limits| Settings {
        limits,
        ..settings()
    };
    let subject = reusing(settings(limits), REUSED).await;
    for (key, code) in [
        ("trap", "guest-trap"),
        ("exit:3", "guest-trap"),
        ("slow:3600000", "guest-deadline"),
        ("many:11", "result-too-large"),
        ("huge:9000000", "result-too-large"),
        ("same-id", "guest-malformed"),
    ] {
        serves_no_call_after(&subject, key, code).await;
    }
    let limits = Limits {
        max_cpu_time: Limits::default().max_cpu_time,
        ..patient()
    };
    let spinning = reusing(settings(limits), REUSED).await;
    serves_no_call_after(&spinning, "spin", "guest-deadline").await;
    // An error that the guest returns does not end the instance.
    assert_eq!(calls(&subject).await, 1);
    assert_eq!(subject.ask("error:not-found").await, Err("not-found"));
    assert_eq!(calls(&subject).await, 3);
}

/// An instance that has served a call serves none after a call with `key`, which ends with `code`.
async fn serves_no_call_after(subject: &Subject, key: &str, code: &'static str) {
    assert_eq!((calls(subject).await, idle(subject)), (1, 1), "{key}");
    assert_eq!(subject.ask(key).await, Err(code));
    subject.settled().await;
    assert_eq!(idle(subject), 0, "{key}");
}

// fault 46
#[tokio::test]
async fn an_instance_is_not_reused_after_a_cancel() {
    let upstream = Upstream::start(Answer::Held).await;
    let subject = reusing(reaching(&upstream), REUSED).await;
    assert_eq!(calls(&subject).await, 1);
    {
        let key = Call::from(format!("need:{}", upstream.origin()));
        let mut cancelled = pin!(subject.client.call(key.into()));
        assert!(poll!(cancelled.as_mut()).is_pending());
        upstream.requested(1).await;
    }
    subject.settled().await;
    upstream.abandoned(1).await;
    assert_eq!((idle(&subject), calls(&subject).await), (0, 1));
}

// fault 46
#[tokio::test]
async fn an_instance_with_an_open_or_a_failed_request_is_not_reused() {
    let upstream = Upstream::start(Answer::Held).await;
    let subject = reusing(reaching(&upstream), REUSED).await;
    for key in [
        format!("leave:{}", upstream.origin()),
        "ask:http://denied.example".to_owned(),
    ] {
        assert_eq!(calls(&subject).await, 1);
        assert_eq!(subject.ask(key.as_str()).await.err(), None, "{key}");
        subject.settled().await;
        assert_eq!(idle(&subject), 0, "{key}");
    }
}

#[tokio::test]
async fn requests_are_counted_for_each_flight_of_an_instance() {
    let upstream = Upstream::start(Answer::Held).await;
    upstream.release();
    let settings = reaching(&upstream);
    let limits = Limits {
        max_requests: 1,
        ..settings.limits.clone()
    };
    let subject = reusing(Settings { limits, ..settings }, REUSED).await;
    for n in 1..=3 {
        let key = format!("need:{}/{n}", upstream.origin());
        assert_eq!(subject.ask(key).await.err(), None);
        subject.settled().await;
        assert_eq!(idle(&subject), 1);
    }
    assert_eq!(calls(&subject).await, 4);
}

#[tokio::test]
async fn memory_that_an_instance_has_kept_counts_in_its_next_flight() {
    let limits = Limits {
        max_memory_bytes: 16 << 20,
        ..patient()
    };
    let settings = Settings {
        limits,
        ..settings()
    };
    let subject = reusing(settings, REUSED).await;
    let largest = subject.ask("grow:1000000000").await;
    assert_eq!(largest.as_ref().err(), None);
    subject.settled().await;
    assert_eq!(subject.ask("grow:6000000").await.err(), None);
    assert_eq!(calls(&subject).await, 2);
    assert_eq!(subject.ask("grow:1000000000").await, largest);
}

#[tokio::test]
async fn no_more_instances_wait_than_may_run_and_none_is_left_of_a_client_that_is_gone() {
    let before = tasks();
    let limits = Limits {
        max_executions: 1,
        ..patient()
    };
    let settings = Settings {
        limits,
        ..settings()
    };
    let subject = reusing(settings, REUSED).await;
    // Without decorators, so that both run at the same time.
    let component = Unshared::new(subject.component.clone());
    let slow = |key: &str| component.call(key.into());
    let both = async { tokio::join!(slow("slow:20"), slow("slow:21")) };
    let (first, second) = failsafe("both answers", both).await;
    assert_eq!((first.result.err(), second.result.err()), (None, None));
    assert_eq!(idle(&subject), 1);
    // It shares the client, which would not be gone with the subject alone.
    drop(component);
    subject.gone(before).await;
}

#[tokio::test]
async fn handles_resources_and_random_bytes_are_limited_as_the_client_says() {
    let limits = [
        Limits {
            max_resources: 100,
            ..patient()
        },
        Limits {
            max_handles: 100,
            ..patient()
        },
    ];
    for limits in limits {
        let settings = Settings {
            limits,
            ..settings()
        };
        let subject = Subject::misbehaving(settings).await;
        assert_eq!(subject.ask("resources:50").await.err(), None);
        assert_eq!(subject.ask("resources:101").await, Err("guest-trap"));
    }
    let limits = Limits {
        max_random_bytes: 1_000,
        ..patient()
    };
    let settings = Settings {
        limits,
        ..settings()
    };
    let subject = Subject::misbehaving(settings).await;
    assert_eq!(subject.ask("random:1000").await.err(), None);
    assert_eq!(subject.ask("random:1001").await, Err("guest-trap"));
}

async fn load(engine: &Engine, limits: Limits) -> Result<ComponentClient, LoadError> {
    let binary = std::fs::read(artifacts::MISBEHAVING).unwrap();
    let settings = Settings {
        limits,
        ..settings()
    };
    ComponentClient::load(engine, binary, settings).await
}

#[tokio::test]
async fn modules_memories_tables_and_elements_are_limited_as_the_client_says() {
    let engine = Engine::new(&Limits::default()).unwrap();
    let limits: [fn(&mut Limits); 4] = [
        |limits| limits.max_modules = 0,
        |limits| limits.max_memories = 0,
        |limits| limits.max_tables = 0,
        |limits| limits.max_table_elements = 0,
    ];
    for (index, set) in limits.into_iter().enumerate() {
        let mut limits = patient();
        set(&mut limits);
        let refused = load(&engine, limits).await.unwrap_err();
        assert!(
            matches!(refused, LoadError::DoesNotStart(_) | LoadError::TooLarge(_)),
            "{index}: {refused}"
        );
    }
    // Refused loads have returned their share.
    assert!(load(&engine, patient()).await.is_ok());
}

#[tokio::test]
async fn clients_share_an_engine_as_far_as_its_executions_go() {
    let of = |executions| Limits {
        max_executions: executions,
        ..patient()
    };
    let engine = Engine::new(&of(3)).unwrap();
    let first = load(&engine, of(2)).await.unwrap();
    let no_room = |what, requested, available| LoadError::NoRoom {
        what,
        requested,
        available,
    };
    assert_eq!(
        load(&engine, of(2)).await.unwrap_err(),
        no_room("concurrent executions", 2, 1)
    );
    let second = load(&engine, of(1)).await.unwrap();
    drop(first);
    assert!(load(&engine, of(2)).await.is_ok());
    let larger = Limits {
        max_memory_bytes: Limits::default().max_memory_bytes + 1,
        ..of(1)
    };
    assert_eq!(
        load(&engine, larger.clone()).await.unwrap_err(),
        no_room(
            "bytes of memory",
            larger.max_memory_bytes,
            larger.max_memory_bytes - 1
        )
    );
    drop(second);
}
