//! SIGHUP and SIGTERM at any moment, and certificates that change without a signal.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use http::{Request, StatusCode};
use http_body_util::Empty;
use oneflight_tests::caller::{code, exchange, get};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{PATIENT, Service, oneflight, signal};
use oneflight_tests::tls::Identity;
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{bomb, failsafe};

use crate::compiling::compiler_of;
use crate::configuration::asking;

/// Waits until the process has ended.
async fn gone(process: u32) {
    failsafe("the process to end", async {
        while Path::new(&format!("/proc/{process}")).exists() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

// fault 85
#[tokio::test]
async fn a_sighup_during_the_shutdown_opens_no_flight() {
    let upstream = Upstream::start(Answer::Held).await;
    let folder = Folder::new();
    let text = format!("{PATIENT}shutdown_delay = '0s'\n{}", asking(&upstream));
    let file = folder.write("a.toml", text.as_bytes());
    let service = Service::start(&["--config", &file]).await;
    let address = service.address;
    let open = tokio::spawn(get(address, "/v1/a/items?x=1"));
    upstream.requested(1).await;
    service.terminate();
    failsafe("the service to be unready", async {
        while get(address, "/readyz").await.status() == StatusCode::OK {}
    })
    .await;
    service.hang_up();
    // More than a reload would take.
    for key in 0..500 {
        let path = format!("/v1/a/items?x=new{key}");
        let refused = failsafe("an answer", get(address, &path)).await;
        assert_eq!(
            (refused.status(), &*code(&refused)),
            (StatusCode::SERVICE_UNAVAILABLE, "cancelled")
        );
    }
    upstream.release();
    let answer = failsafe("the answer", open).await.unwrap();
    assert_eq!(answer.body(), ITEMS_JSON);
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(0), "{log}");
    assert!(!log.contains("reloaded"), "{log}");
    assert_eq!(upstream.requests(), 1);
}

// fault 85
// Nothing else has happened yet, not even reading the configuration.
#[tokio::test]
async fn signals_are_handled_before_the_configuration_is_read() {
    let folder = Folder::new();
    let pipe = folder.path().join("pipe.toml");
    // Reading it waits for a writer, for ever.
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let mut process = oneflight(&["serve", "--config", pipe.to_str().unwrap()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let id = process.id().unwrap();
    failsafe("the handlers", async {
        while !handles(id, 1) || !handles(id, 15) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    signal(id, "-HUP");
    signal(id, "-TERM");
    let status = failsafe("the service to end", process.wait()).await;
    assert_eq!(status.unwrap().code(), Some(0));
}

/// Whether the process has a handler of this signal.
fn handles(process: u32, signal: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mut lines = status.lines();
    let caught = lines.find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    u64::from_str_radix(caught.trim(), 16).unwrap() >> (signal - 1) & 1 == 1
}

// fault 85
#[tokio::test]
async fn a_second_signal_ends_the_service_at_once_and_its_log_is_complete() {
    let upstream = Upstream::start(Answer::Held).await;
    let folder = Folder::new();
    let text = format!("{PATIENT}shutdown_delay = '1h'\n{}", asking(&upstream));
    let file = folder.write("a.toml", text.as_bytes());
    let service = Service::start(&["--config", &file]).await;
    let address = service.address;
    let open = tokio::spawn(get(address, "/v1/a/items?x=1"));
    upstream.requested(1).await;
    service.terminate();
    service.logged("shutting down").await;
    service.terminate();
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(130), "{log}");
    assert!(
        log.ends_with("a second signal: open flights are abandoned\n"),
        "{log}"
    );
    drop(open);
}

// fault 86
#[tokio::test]
async fn a_sighup_abandons_a_reload_for_the_newest_file() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    folder.write("b.wasm", &bomb::of_time());
    let file = folder.write("a.toml", asking(&upstream).as_bytes());
    let service = Service::start(&["--config", &file]).await;
    let slow = asking(&upstream) + "[clients.b]\ncomponent = 'b.wasm'\n";
    folder.write("a.toml", slow.as_bytes());
    service.hang_up();
    let compiler = compiler_of(service.id()).await;
    let fixed = asking(&upstream).replace("clients.a", "clients.c");
    folder.write("a.toml", fixed.as_bytes());
    service.hang_up();
    service.logged("abandoned for a newer one").await;
    service.logged("reloaded").await;
    gone(compiler).await;
    let answer = get(service.address, "/v1/c/items?x=1").await;
    assert_eq!(answer.body(), ITEMS_JSON);
    let unknown = get(service.address, "/v1/a/items?x=1").await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
    service.terminate();
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(0), "{log}");
    assert_eq!(log.matches("reloaded").count(), 1, "{log}");
}

// fault 86
#[tokio::test]
async fn a_sighup_abandons_the_first_load_for_a_valid_file_and_not_for_another() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    folder.write("b.wasm", &bomb::of_time());
    let slow = asking(&upstream) + "[clients.b]\ncomponent = 'b.wasm'\n";
    let file = folder.write("a.toml", slow.as_bytes());
    let service = Service::start(&["--config", &file]).await;
    let compiler = compiler_of(service.id()).await;
    folder.write("a.toml", b"[clients.a");
    service.hang_up();
    service
        .logged("could not reload; nothing has changed")
        .await;
    assert!(Path::new(&format!("/proc/{compiler}")).exists());
    folder.write("a.toml", asking(&upstream).as_bytes());
    service.hang_up();
    service.logged("reloaded").await;
    gone(compiler).await;
    service.ready().await;
    let answer = get(service.address, "/v1/a/items?x=1").await;
    assert_eq!(answer.body(), ITEMS_JSON);
    service.terminate();
    assert_eq!(service.ended().await.0, Some(0));
}

// fault 86
#[tokio::test]
async fn a_sigterm_during_a_load_ends_the_service_and_the_compiler() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    folder.write("b.wasm", &bomb::of_time());
    let text = asking(&upstream) + "[clients.b]\ncomponent = 'b.wasm'\n";
    let file = folder.write("a.toml", text.as_bytes());
    let service = Service::start(&["--config", &file]).await;
    let compiler = compiler_of(service.id()).await;
    service.terminate();
    assert_eq!(service.ended().await.0, Some(0));
    gone(compiler).await;
}

// fault 87
#[tokio::test]
async fn a_certificate_that_changes_on_disk_is_used_without_a_signal_if_it_is_valid() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let [old, new] = [(); 2].map(|()| Identity::new(&["localhost"]));
    let hold = |certificate: &Identity, key: &Identity| {
        folder.write("chain.pem", certificate.pem().as_bytes());
        folder.write("key.pem", key.key_pem().as_bytes());
    };
    hold(&old, &old);
    let text = format!(
        "[limits]\ntls_check_interval = '1ms'\n[tls]\ncertificate = 'chain.pem'\nkey = 'key.pem'\n{}",
        asking(&upstream)
    );
    let file = folder.write("a.toml", text.as_bytes());
    let service = Service::start(&["--config", &file]).await;
    let ask = async |stream| {
        let request = Request::get("/v1/a/items?x=1").header("host", "localhost");
        let answer = exchange(stream, request.body(Empty::new()).unwrap()).await;
        assert_eq!(answer.body(), ITEMS_JSON);
    };
    let before = old.connect(service.address, &["http/1.1"]).await;
    hold(&new, &old);
    service.logged("the one before stays in use").await;
    ask(old.connect(service.address, &["http/1.1"]).await).await;
    hold(&new, &new);
    service
        .logged("the certificate has changed and is in use")
        .await;
    ask(new.connect(service.address, &["http/1.1"]).await).await;
    // Open connections stay open.
    ask(before).await;
    service.terminate();
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(0), "{log}");
    assert_eq!(log.matches("is in use").count(), 1, "{log}");
}
