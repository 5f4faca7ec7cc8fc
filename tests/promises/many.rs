//! Services of many clients, and what a reload keeps.

use http::StatusCode;
use oneflight_tests::caller::{code, get};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{Service, limited, run};
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{artifacts, failsafe};
use tokio::task::JoinSet;

/// A file with clients `c0`, `c1` and so on in front of `upstream`.
fn many(clients: usize, upstream: &Upstream, more: &str) -> String {
    let client = |number| {
        let origin = upstream.origin();
        format!("[clients.c{number}]\nbase_url = '{origin}/items'\n{more}")
    };
    (0..clients).map(client).collect()
}

// fault 88
#[tokio::test]
async fn two_hundred_clients_start_reload_and_answer() {
    const CLIENTS: usize = 200;
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let patient = "limits.flight_timeout = '1h'\n";
    let file = folder.write("many.toml", many(CLIENTS, &upstream, patient).as_bytes());
    let service = Service::start(&["--config", &file]).await;
    service.ready().await;
    let call_each = async |calls: usize| {
        for number in 0..CLIENTS {
            let path = format!("/v1/c{number}/items?x=1");
            let answer = failsafe("an answer", get(service.address, &path)).await;
            assert_eq!(answer.body(), ITEMS_JSON);
        }
        assert_eq!(upstream.requests(), calls);
    };
    call_each(CLIENTS).await;
    // The same file, then one in which all of them have changed.
    service.hang_up();
    service.logged("reloaded clients=200 unchanged=200").await;
    call_each(2 * CLIENTS).await;
    let changed = many(
        CLIENTS,
        &upstream,
        &format!("{patient}settings.HEADER_A = 'b'\n"),
    );
    folder.write("many.toml", changed.as_bytes());
    service.hang_up();
    service.logged("reloaded clients=200 unchanged=0").await;
    call_each(3 * CLIENTS).await;
    service.terminate();
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(0), "{log}");
}

// fault 88
#[tokio::test]
async fn config_check_states_what_does_not_fit() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    for (executions, expected) in [("1", false), ("10_000_000", true)] {
        let limits = format!("limits.max_executions = {executions}\n");
        let file = folder.write("many.toml", many(2, &upstream, &limits).as_bytes());
        let checked = run(&["config", "check", &file]).await;
        let printed = String::from_utf8(checked.stdout).unwrap();
        assert!(checked.status.success(), "{printed}");
        for warning in [
            "warning: the instances of 2 clients are allocated on demand",
            "warning: expected room for all 20000000 executions of all clients at once, got less",
        ] {
            assert_eq!(printed.contains(warning), expected, "{printed}");
        }
    }
}

// fault 88, 89
#[tokio::test]
async fn a_reload_whose_clients_do_not_fit_is_warned_of_as_a_start_is() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let limits = "limits.max_executions = 10_000_000\nlimits.max_connections = 1_000_000_000_000\n";
    let file = folder.write("many.toml", many(1, &upstream, "").as_bytes());
    let service = Service::start(&["--config", &file]).await;
    service.ready().await;
    for (clients, unchanged) in [(2, 0), (2, 2), (3, 2)] {
        folder.write("many.toml", many(clients, &upstream, limits).as_bytes());
        service.hang_up();
        let reloaded = format!("reloaded clients={clients} unchanged={unchanged}");
        service.logged(&reloaded).await;
    }
    service.logged("6000000000000 to upstreams").await;
    service.terminate();
    let (_, log) = service.ended().await;
    for (text, count) in [
        ("expected room for all 20000000 executions", 1),
        ("expected room for all 30000000 executions", 1),
        ("instances of 2 clients are allocated on demand", 1),
        ("4000000000000 to upstreams", 1),
        ("6000000000000 to upstreams", 1),
    ] {
        assert_eq!(log.matches(text).count(), count, "{text}: {log}");
    }
}

// fault 88
// The process may have 24 GiB of addresses: no pool, and fewer than sixteen instances.
#[tokio::test]
async fn executions_without_address_space_are_refused_and_the_others_answer() {
    let upstream = Upstream::start(Answer::Held).await;
    let folder = Folder::new();
    let text = format!(
        "[clients.a]\ncomponent = '{}'\nallow = ['{}']\nlimits.flight_timeout = '1h'\n",
        artifacts::MISBEHAVING,
        upstream.origin()
    );
    let file = folder.write("a.toml", text.as_bytes());
    let service = limited("ulimit -v 25165824", &["--config", &file]).await;
    let address = service.address;
    let mut callers = JoinSet::new();
    for key in 0..16 {
        let path = format!("/v1/a/items?x=ask:{}/{key}", upstream.origin());
        callers.spawn(async move { get(address, &path).await });
    }
    // The others wait for the upstream.
    let refused = failsafe("an answer", callers.join_next()).await;
    let refused = refused.unwrap().unwrap();
    assert_eq!(
        (refused.status(), &*code(&refused)),
        (StatusCode::SERVICE_UNAVAILABLE, "overloaded")
    );
    assert!(String::from_utf8_lossy(refused.body()).contains("lower max_executions"));
    service.logged("could not start the guest: ").await;
    upstream.requested(1).await;
    upstream.release();
    let mut answered = 0;
    while let Some(answer) = failsafe("an answer", callers.join_next()).await {
        let answer = answer.unwrap();
        let is_ok = answer.status() == StatusCode::OK;
        assert!(is_ok || code(&answer) == "overloaded");
        answered += usize::from(is_ok);
    }
    assert!(answered > 0);
    let answer = get(address, "/v1/a/items?x=echo:1").await;
    assert_eq!(answer.status(), StatusCode::OK);
    service.terminate();
    assert_eq!(service.ended().await.0, Some(0));
}

#[tokio::test]
async fn a_reload_keeps_a_client_that_has_not_changed_with_its_flights() {
    let upstream = Upstream::start(Answer::Held).await;
    let folder = Folder::new();
    let guest = std::fs::read(artifacts::MISBEHAVING).unwrap();
    folder.write("guest.wasm", &guest);
    let with = |version: u32| {
        let guest =
            "component = 'guest.wasm'\ninstances = 'reused'\nlimits.flight_timeout = '1h'\n";
        many(1, &upstream, "limits.flight_timeout = '1h'\n")
            + &format!(
                "[clients.guest]\n{guest}[clients.other]\n{guest}settings.VERSION = '{version}'\n"
            )
    };
    let file = folder.write("a.toml", with(1).as_bytes());
    let service = Service::start(&["--config", &file]).await;
    service.ready().await;
    let address = service.address;
    let calls = async |client: &str| {
        let answer = get(address, &format!("/v1/{client}/items?x=calls")).await;
        String::from_utf8_lossy(answer.body()).into_owned()
    };
    let [first, second] = ["1", "2"].map(|n| format!(r#"[{{"id":"calls","body":{n}}}]"#));
    assert_eq!(
        (calls("guest").await, calls("other").await),
        (first.clone(), first.clone())
    );
    let leader = tokio::spawn(get(address, "/v1/c0/items?x=1"));
    upstream.requested(1).await;
    folder.write("a.toml", with(2).as_bytes());
    service.hang_up();
    service.logged("reloaded clients=3 unchanged=2").await;
    // A new load starts with a new instance.
    assert_eq!(
        (calls("guest").await, calls("other").await),
        (second, first.clone())
    );
    let follower = tokio::spawn(get(address, "/v1/c0/items?x=1"));
    service.waiting("c0", 2).await;
    upstream.release();
    for caller in [leader, follower] {
        let answer = failsafe("an answer", caller).await.unwrap();
        assert_eq!(answer.body(), ITEMS_JSON);
    }
    assert_eq!(upstream.requests(), 1);
    // The same settings, and a component that has changed: a custom section without content.
    folder.write("guest.wasm", &[&guest[..], &[0, 2, 1, b'x']].concat());
    service.hang_up();
    service.logged("reloaded clients=3 unchanged=1").await;
    assert_eq!(
        (calls("guest").await, calls("other").await),
        (first.clone(), first)
    );
}
