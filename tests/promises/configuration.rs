//! The configuration file: the commands that read it, and reloading it while the service runs.

use http::{Request, StatusCode};
use http_body_util::Empty;
use oneflight_tests::caller::{code, exchange, get};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{self, run};
use oneflight_tests::tls::Identity;
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{artifacts, bomb, failsafe};

use crate::compiling::{compiler_of, kill};

const EXAMPLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../host/examples/oneflight.toml"
);

/// A file with the client `a` in front of `upstream`.
pub(crate) fn asking(upstream: &Upstream) -> String {
    format!(
        "[clients.a]\nbase_url = '{}/items'\nlimits.flight_timeout = '1h'\n",
        upstream.origin()
    )
}

#[tokio::test]
async fn the_example_file_is_valid_and_config_print_shows_its_effect() {
    let checked = run(&["config", "check", EXAMPLE]).await;
    assert!(checked.status.success(), "{checked:?}");
    let printed = String::from_utf8(checked.stdout).unwrap();
    assert!(printed.contains("valid, 1 client\n"), "{printed}");
    let printed = run(&["config", "print", EXAMPLE]).await;
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(
        printed.contains("flight_timeout = \"10s\" # default\n"),
        "{printed}"
    );
    assert!(
        printed.contains("allow = [\"http://localhost:3000\"]\n"),
        "{printed}"
    );
    assert!(
        printed.contains("base_url = \"...\" # hidden\n"),
        "{printed}"
    );
}

#[tokio::test]
async fn an_invalid_file_is_refused_with_its_line_and_nothing_runs() {
    let folder = Folder::new();
    let file = folder.write(
        "bad.toml",
        b"\n[clients.a]\nbase_ur = 'http://localhost/'\n",
    );
    let complaint =
        format!("{file}:3: found the unknown name clients.a.base_ur; did you mean base_url?");
    for args in [
        &["config", "check", &file][..],
        &["config", "print", &file],
        &["serve", "--config", &file],
    ] {
        let refused = run(args).await;
        assert_eq!(refused.status.code(), Some(1));
        let printed = String::from_utf8(refused.stderr).unwrap();
        assert!(printed.contains(&complaint), "{printed}");
    }
    // A valid file may still name something that is no component.
    let text = folder.write("a.wasm", b"not a component");
    let file = folder.write("b.toml", b"[clients.b]\ncomponent = 'a.wasm'\n");
    for args in [
        &["config", "check", &file][..],
        &["serve", "--config", &file],
    ] {
        let refused = run(args).await;
        assert_eq!(refused.status.code(), Some(1));
        let printed = String::from_utf8(refused.stderr).unwrap();
        assert!(printed.contains(&format!("cannot run {text}")), "{printed}");
    }
}

#[tokio::test]
async fn flags_override_the_file() {
    let (written, flagged) = (
        Upstream::start(Answer::Items).await,
        Upstream::start(Answer::Items).await,
    );
    let folder = Folder::new();
    let text = format!(
        "listen = '192.0.2.1:1'\nadmin = '192.0.2.1:1'\n[clients.default]\nbase_url = '{}'\n",
        written.origin()
    );
    let file = folder.write("a.toml", text.as_bytes());
    let url = format!("{}/items", flagged.origin());
    let service = process::Service::start(&["--config", &file, "--base-url", &url]).await;
    let answer = get(service.address, "/v1/default/items?x=1").await;
    assert_eq!(answer.body(), ITEMS_JSON);
    assert_eq!((written.requests(), flagged.requests()), (0, 1));
}

// fault 2
#[tokio::test]
async fn two_clients_of_one_service_have_flights_of_their_own() {
    let upstream = Upstream::start(Answer::Held).await;
    let folder = Folder::new();
    let text = asking(&upstream) + &asking(&upstream).replace("clients.a", "clients.b");
    let file = folder.write("two.toml", text.as_bytes());
    let service = process::Service::start(&["--config", &file]).await;
    let address = service.address;
    service.ready().await;
    let (a, b) = (
        tokio::spawn(get(address, "/v1/a/items?x=1")),
        tokio::spawn(get(address, "/v1/b/items?x=1")),
    );
    upstream.requested(2).await;
    upstream.release();
    for caller in [a, b] {
        let answer = failsafe("an answer", caller).await.unwrap();
        assert_eq!(answer.body(), ITEMS_JSON);
    }
    assert_eq!(upstream.requests(), 2);
    let unknown = get(address, "/v1/c/items?x=1").await;
    assert_eq!(
        (unknown.status(), &*code(&unknown)),
        (StatusCode::NOT_FOUND, "unknown-client")
    );
}

// fault 44
#[tokio::test]
async fn while_a_client_is_being_compiled_the_others_answer_and_the_service_is_not_ready() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    folder.write("b.wasm", &bomb::of_time());
    let text = asking(&upstream) + "[clients.b]\ncomponent = 'b.wasm'\n";
    let file = folder.write("two.toml", text.as_bytes());
    let service = process::Service::start(&["--config", &file]).await;
    let answer = get(service.address, "/v1/a/items?x=1").await;
    assert_eq!(answer.body(), ITEMS_JSON);
    let loading = get(service.address, "/v1/b/items?x=1").await;
    assert_eq!(
        (loading.status(), &*code(&loading)),
        (StatusCode::SERVICE_UNAVAILABLE, "overloaded")
    );
    for address in [service.address, service.admin] {
        let ready = get(address, "/readyz").await;
        assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(get(address, "/livez").await.status(), StatusCode::OK);
    }
    // The service does not run without a client of its file.
    kill(compiler_of(service.id()).await);
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(1));
    assert!(log.contains("could not load the client b"), "{log}");
}

// fault 33
#[tokio::test]
async fn on_sighup_new_callers_get_the_new_client_and_open_flights_end_on_the_old() {
    let upstream = Upstream::start(Answer::Held).await;
    let folder = Folder::new();
    let file = folder.write("a.toml", asking(&upstream).as_bytes());
    let service = process::Service::start(&["--config", &file]).await;
    let address = service.address;
    let old = tokio::spawn(get(address, "/v1/a/items?x=echo:1"));
    upstream.requested(1).await;
    let component = format!("[clients.a]\ncomponent = '{}'\n", artifacts::MISBEHAVING);
    folder.write("a.toml", component.as_bytes());
    service.hang_up();
    service.logged("reloaded").await;
    // The same key: a new caller does not join the flight of the old client.
    let new = get(address, "/v1/a/items?x=echo:1");
    let new = failsafe("the new client's answer", new).await;
    assert_eq!(new.body(), r#"[{"id":"1","body":"1"}]"#);
    assert_eq!(upstream.requests(), 1);
    upstream.release();
    let old = failsafe("the old flight", old).await.unwrap();
    assert_eq!(old.body(), ITEMS_JSON);
    // Nothing of the old client is left: its connection to the upstream is closed.
    upstream.closed(1).await;
    service.terminate();
    assert_eq!(service.ended().await.0, Some(0));
}

// fault 48
#[tokio::test]
async fn on_sighup_an_invalid_file_changes_nothing_and_is_logged() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let good = asking(&upstream);
    let file = folder.write("a.toml", good.as_bytes());
    let service = process::Service::start(&["--config", &file]).await;
    folder.write("b.wasm", b"not a component");
    for (bad, expected) in [
        ("[clients.a".to_owned(), "a.toml:1: "),
        (
            format!("{good}\nno = 1"),
            "found the unknown name clients.a.no",
        ),
        (
            format!("{good}settings.ITEMS_AT = 'items'"),
            "a.toml:4: clients.a.settings.ITEMS_AT: expected a JSON pointer",
        ),
        (
            format!("{good}[clients.b]\ncomponent = 'b.wasm'"),
            "could not load the client b",
        ),
    ] {
        folder.write("a.toml", bad.as_bytes());
        service.hang_up();
        service.logged(expected).await;
        let answer = get(service.address, "/v1/a/items?x=1").await;
        assert_eq!(answer.body(), ITEMS_JSON);
        assert_eq!(
            get(service.address, "/v1/b/items?x=1").await.status(),
            StatusCode::NOT_FOUND
        );
    }
    folder.write("a.toml", good.as_bytes());
    service.hang_up();
    service.logged("reloaded").await;
    service.terminate();
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(0));
    assert_eq!(log.matches("nothing has changed").count(), 4, "{log}");
}

// As when a certificate is about to expire.
#[tokio::test]
async fn on_sighup_the_certificate_is_replaced() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let [old, new] = [(); 2].map(|()| Identity::new(&["localhost"]));
    let hold = |certificate: &Identity, key: &Identity| {
        folder.write("chain.pem", certificate.pem().as_bytes());
        folder.write("key.pem", key.key_pem().as_bytes());
    };
    hold(&old, &old);
    let tls = "[tls]\ncertificate = 'chain.pem'\nkey = 'key.pem'\n";
    let file = folder.write("a.toml", format!("{tls}{}", asking(&upstream)).as_bytes());
    let service = process::Service::start(&["--config", &file]).await;
    let ask = async |stream| {
        let request = Request::get("/v1/a/items?x=1").header("host", "localhost");
        let answer = exchange(stream, request.body(Empty::new()).unwrap()).await;
        assert_eq!(answer.body(), ITEMS_JSON);
    };
    let before = old.connect(service.address, &["http/1.1"]).await;
    hold(&new, &old);
    service.hang_up();
    service.logged("got the key of another one").await;
    ask(old.connect(service.address, &["http/1.1"]).await).await;
    hold(&new, &new);
    service.hang_up();
    service.logged("reloaded").await;
    ask(new.connect(service.address, &["http/1.1"]).await).await;
    // Open connections stay open.
    ask(before).await;
    service.terminate();
    assert_eq!(service.ended().await.0, Some(0));
}

// Whichever flight a reload falls into.
#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_lose_no_answer() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let file = folder.write("a.toml", asking(&upstream).as_bytes());
    let service = process::Service::start(&["--config", &file, "--log", "warn"]).await;
    let address = service.address;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let callers: Vec<_> = (0..8)
        .map(|caller| {
            let stopped = stopped.clone();
            tokio::spawn(async move {
                let mut answered = 0;
                while !*stopped.borrow() {
                    let key = answered % 3 + caller % 2;
                    let answer = get(address, &format!("/v1/a/items?x={key}")).await;
                    assert_eq!(answer.body(), ITEMS_JSON);
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    for round in 1..=5 {
        let before = upstream.requests();
        let version = format!("{}settings.HEADER_VERSION = '{round}'\n", asking(&upstream));
        folder.write("a.toml", version.as_bytes());
        service.hang_up();
        failsafe("the new client to ask", async {
            let mark = format!("version: {round}");
            while !upstream.heads()[before..]
                .iter()
                .any(|head| head.contains(&mark))
            {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    stop.send_replace(true);
    for caller in callers {
        assert!(failsafe("a caller", caller).await.unwrap() > 0);
    }
}
