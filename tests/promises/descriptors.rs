//! A service that may open few files.

use std::fs;

use http::StatusCode;
use oneflight_tests::caller::{get, rest, sending};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{PATIENT, Service, limited, run};
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{artifacts, failsafe};
use tokio::io::AsyncWriteExt;

/// The file of a service with one client, of which no limit on time is reached.
fn patient_client(upstream: &Upstream) -> String {
    format!(
        "{PATIENT}[clients.a]\nbase_url = '{}/items'\nlimits.flight_timeout = '1h'\n",
        upstream.origin()
    )
}

// fault 89
#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised_to_the_hard_one() {
    let service = limited("ulimit -Sn 64", &["--component", artifacts::MISBEHAVING]).await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", service.id())).unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let numbers: Vec<_> = files.unwrap().split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "{limits}");
    assert_ne!(numbers[0], "64");
}

// fault 89
#[tokio::test]
async fn callers_cannot_take_the_descriptors_of_upstreams_of_the_admin_address_and_of_reloads() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let text = patient_client(&upstream);
    let file = folder.write("a.toml", text.as_bytes());
    let service: Service = limited("ulimit -n 96", &["--config", &file]).await;
    let mut kept = sending(
        service.address,
        "GET /v1/a/items?x=1 HTTP/1.1\r\nhost: test",
    )
    .await;
    // More than the process may open; each begins a request, so that none is idle.
    let mut open = Vec::new();
    for _ in 0..120 {
        open.push(sending(service.address, "GET /livez HTTP/1.1\r\nhost: te").await);
    }
    service
        .logged("the limit of open connections is reached")
        .await;
    for path in ["/livez", "/readyz", "/metrics"] {
        let answer = failsafe("an answer", get(service.admin, path)).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
    folder.write(
        "a.toml",
        format!("{text}settings.HEADER_A = 'b'\n").as_bytes(),
    );
    service.hang_up();
    service.logged("reloaded").await;
    // Its upstream needs a descriptor, too.
    kept.write_all(b"\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let answer = failsafe("an answer", rest(kept)).await;
    assert!(answer.ends_with(ITEMS_JSON), "{answer}");
    drop(open);
    service.terminate();
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(0), "{log}");
    assert!(!log.contains("could not accept"), "{log}");
}

// fault 89
// Each of them sends the end of its data after its request, and waits for the answer.
#[tokio::test]
async fn callers_that_close_one_direction_take_one_descriptor_each() {
    let upstream = Upstream::start(Answer::Held).await;
    let folder = Folder::new();
    let text = patient_client(&upstream);
    let file = folder.write("a.toml", text.as_bytes());
    let service: Service = limited("ulimit -n 256", &["--config", &file]).await;
    let mut open = Vec::new();
    for _ in 0..256 {
        let request = "GET /v1/a/items?x=1 HTTP/1.1\r\nhost: test\r\n\r\n";
        let mut caller = sending(service.address, request).await;
        caller.shutdown().await.unwrap();
        open.push(caller);
    }
    service
        .logged("the limit of open connections is reached")
        .await;
    for path in ["/livez", "/readyz", "/metrics"] {
        let answer = failsafe("an answer", get(service.admin, path)).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
    service.hang_up();
    service.logged("reloaded").await;
    upstream.release();
    for caller in open {
        let answer = failsafe("an answer", rest(caller)).await;
        assert!(answer.ends_with(ITEMS_JSON), "{answer}");
    }
    service.terminate();
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(0), "{log}");
    assert!(!log.contains("could not accept"), "{log}");
}

// fault 89
// Each time a connection ends, there is room for one before the next has to wait again.
#[tokio::test]
async fn callers_that_come_and_go_at_the_limit_of_connections_do_not_fill_the_log() {
    let folder = Folder::new();
    let text =
        format!("{PATIENT}max_connections = 1\n[clients.a]\nbase_url = 'http://localhost/'\n");
    let file = folder.write("a.toml", text.as_bytes());
    let service = Service::start(&["--config", &file]).await;
    for _ in 0..5 {
        let mut first = sending(service.address, "GET /livez HTTP/1.1\r\nhost: te").await;
        let mut second = sending(service.address, "").await;
        let end = "st\r\nconnection: close\r\n\r\n";
        service
            .logged("the limit of open connections is reached")
            .await;
        first.write_all(end.as_bytes()).await.unwrap();
        let answer = failsafe("an answer", rest(first)).await;
        assert!(answer.ends_with("ok\n"), "{answer}");
        let request = format!("GET /livez HTTP/1.1\r\nhost: te{end}");
        second.write_all(request.as_bytes()).await.unwrap();
        let answer = failsafe("an answer", rest(second)).await;
        assert!(answer.ends_with("ok\n"), "{answer}");
    }
    service.terminate();
    let (_, log) = service.ended().await;
    let lines = log.matches("the limit of open connections is reached");
    assert_eq!(lines.count(), 1, "{log}");
}

// fault 89
#[tokio::test]
async fn config_check_warns_of_limits_past_the_limit_of_open_files() {
    let folder = Folder::new();
    let client = "[clients.a]\nbase_url = 'http://localhost/'\n";
    for (limit, expected) in [("10", false), ("4_000_000_000", true)] {
        let text = format!("[limits]\nmax_connections = {limit}\n{client}");
        let file = folder.write("a.toml", text.as_bytes());
        let checked = run(&["config", "check", &file]).await;
        let printed = String::from_utf8(checked.stdout).unwrap();
        assert!(checked.status.success(), "{printed}");
        let warns = printed.contains("warning: expected descriptors for 4000000356 connections");
        assert_eq!(warns, expected, "{printed}");
    }
}
