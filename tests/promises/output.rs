//! What the service prints: a log that is not read, or cannot be written, or is flooded, and characters that would
//! deceive its reader.

use std::fs::File;
use std::net::SocketAddr;
use std::process::Stdio;

use http::StatusCode;
use oneflight_tests::caller::{code, get};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{self, Service, listening, oneflight};
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use oneflight_tests::{artifacts, failsafe};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpListener;
use tokio::process::{Child, ChildStderr};

/// The value of a metric that has these labels.
async fn metric(admin: SocketAddr, series: &str) -> u64 {
    let metrics = get(admin, "/metrics").await;
    let text = String::from_utf8_lossy(metrics.body()).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    let value = line.and_then(|value| value.trim().parse().ok());
    value.unwrap_or_else(|| panic!("{series} is not in {text}"))
}

/// Sends SIGTERM and waits for the exit code.
async fn terminated(mut process: Child) -> Option<i32> {
    process::signal(process.id().unwrap(), "-TERM");
    let status = failsafe("the service to end", process.wait()).await;
    status.unwrap().code()
}

/// The numbers after `field=` in the lines of `log` that contain `text`, added up.
fn sum(log: &str, text: &str, field: &str) -> u64 {
    let lines = log.lines().filter(|line| line.contains(text));
    let number = |line: &str| {
        let (_, rest) = line.split_once(field).unwrap();
        rest.split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    lines.map(number).sum()
}

/// A service whose standard error is a pipe that is not read any more, and is full; the rest of the pipe; and the
/// public and the admin address.
async fn unread(folder: &Folder) -> (Child, Lines<BufReader<ChildStderr>>, SocketAddr, SocketAddr) {
    let text = format!(
        "[clients.a]\ncomponent = '{}'\nlimits.max_log_lines = 1_000_000\nlimits.flight_timeout = '1h'\n",
        artifacts::MISBEHAVING
    );
    let file = folder.write("a.toml", text.as_bytes());
    let ports = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let mut process = oneflight(&[&["serve", "--config", &file], &ports[..]].concat())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(process.stderr.take().unwrap()).lines();
    let (address, admin) = listening(&mut stderr).await;
    // Each flight logs 64 KiB, so a few fill the queue.
    let mut number = 0;
    while metric(admin, "oneflight_log_lines_lost_total{reason=\"output\"}").await == 0 {
        let path = format!("/v1/a/items?x=log:{}", 60_000 + number);
        let answer = failsafe("an answer", get(address, &path)).await;
        assert_eq!(answer.status(), StatusCode::OK);
        number += 1;
    }
    (process, stderr, address, admin)
}

// fault 82
#[tokio::test]
async fn a_log_that_is_not_read_stops_neither_callers_nor_probes_nor_the_shutdown() {
    let folder = Folder::new();
    let (process, _stderr, address, admin) = unread(&folder).await;
    for server in [address, admin] {
        let livez = failsafe("an answer", get(server, "/livez")).await;
        assert_eq!(livez.status(), StatusCode::OK);
    }
    assert_eq!(terminated(process).await, Some(0));
}

// fault 82
#[tokio::test]
async fn lines_that_were_lost_are_reported_once_the_log_is_read_again() {
    let folder = Folder::new();
    let (_process, mut stderr, _, admin) = unread(&folder).await;
    let reported = failsafe("the line about lost lines", async {
        loop {
            let line = stderr.next_line().await.unwrap().unwrap();
            if line.contains("could not be written") {
                return sum(&line, "", "lines=");
            }
        }
    });
    let reported = reported.await;
    let counted = metric(admin, "oneflight_log_lines_lost_total{reason=\"output\"}").await;
    assert_eq!(reported, counted);
}

// fault 82
// The reader is gone, or the disk is full.
#[tokio::test]
async fn a_log_that_cannot_be_written_prevents_neither_the_start_nor_calls_nor_the_shutdown() {
    let upstream = Upstream::start(Answer::Items).await;
    let base_url = format!("{}/items", upstream.origin());
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let full = File::options().write(true).open("/dev/full").unwrap();
    for stderr in [Stdio::from(closed), Stdio::from(full)] {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let listen = address.to_string();
        let args = [
            "serve",
            "--listen",
            &listen,
            "--admin",
            "off",
            "--base-url",
            &base_url,
        ];
        let process = oneflight(&args).stderr(stderr).spawn().unwrap();
        failsafe("the service to listen", async {
            while tokio::net::TcpStream::connect(address).await.is_err() {}
        })
        .await;
        failsafe("the service to be ready", async {
            while get(address, "/readyz").await.status() != StatusCode::OK {}
        })
        .await;
        let answer = get(address, "/v1/default/items?x=42").await;
        assert_eq!(answer.body(), ITEMS_JSON);
        assert_eq!(terminated(process).await, Some(0));
    }
}

// fault 82
#[tokio::test]
async fn a_command_whose_errors_cannot_be_printed_ends_with_its_exit_code() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let mut get = oneflight(&["get", "42", "--component", artifacts::MISBEHAVING]);
    let mut ended = get.stderr(full).stdout(Stdio::null()).spawn().unwrap();
    let status = failsafe("the command to end", ended.wait()).await.unwrap();
    assert_eq!(status.code(), Some(1));
}

// fault 83
#[tokio::test]
async fn lines_past_the_limit_of_a_client_are_left_out_and_counted() {
    const LEFT_OUT: &str = "oneflight_log_lines_lost_total{reason=\"limit\"}";
    let folder = Folder::new();
    let text = format!(
        "[clients.a]\ncomponent = '{0}'\nlimits.max_log_lines = 0\n[clients.b]\ncomponent = '{0}'\n",
        artifacts::MISBEHAVING
    );
    let file = folder.write("two.toml", text.as_bytes());
    let service = Service::start(&["--config", &file]).await;
    service.ready().await;
    let before = metric(service.admin, LEFT_OUT).await;
    for client in ["a", "b"] {
        let path = format!("/v1/{client}/items?x=log:290");
        assert_eq!(get(service.address, &path).await.status(), StatusCode::OK);
    }
    // Ten lines of each stream, and the line of the flight.
    failsafe("the lines to be counted", async {
        while metric(service.admin, LEFT_OUT).await != before + 21 {}
    })
    .await;
    service.terminate();
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(0), "{log}");
    let written = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(written("flight{client=\"a\""), 0, "{log}");
    assert_eq!(written("flight{client=\"b\""), 20, "{log}");
    assert_eq!(sum(&log, "of=\"guest\"", "lines="), 20, "{log}");
}

// fault 83
#[tokio::test]
async fn a_guest_that_prints_cannot_displace_the_reason_of_its_trap() {
    let folder = Folder::new();
    // The host's lines: the limits of the client, a flight, the reason of the trap and its flight.
    let text = format!(
        "[clients.a]\ncomponent = '{}'\nlimits.max_log_lines = 4\n",
        artifacts::MISBEHAVING
    );
    let file = folder.write("a.toml", text.as_bytes());
    let service = Service::start(&["--config", &file]).await;
    service.ready().await;
    let printed = get(service.address, "/v1/a/items?x=log:290").await;
    assert_eq!(printed.status(), StatusCode::OK);
    let trapped = get(service.address, "/v1/a/items?x=trap:1").await;
    assert_eq!(code(&trapped), "guest-trap");
    service.logged("`unreachable` instruction executed").await;
}

// fault 83
#[tokio::test]
async fn a_line_within_a_flight_names_its_client_at_every_level() {
    let folder = Folder::new();
    let text = format!(
        "[log]\nlevel = 'warn'\n[clients.a]\ncomponent = '{}'\n",
        artifacts::MISBEHAVING
    );
    let file = folder.write("a.toml", text.as_bytes());
    let service = Service::start(&["--config", &file]).await;
    service.ready().await;
    let trapped = get(service.address, "/v1/a/items?x=trap:1").await;
    assert_eq!(code(&trapped), "guest-trap");
    service.logged("flight{client=\"a\"").await;
}

// fault 84
#[tokio::test]
async fn characters_that_reorder_hide_or_break_a_line_are_escaped_in_the_log() {
    for (format, escaped) in [
        ("text", r"`a\u{202e}b\u{2028}c\u{feff}d`"),
        ("json", r"`a\\u{202e}b\\u{2028}c\\u{feff}d`"),
    ] {
        let folder = Folder::new();
        let text = format!(
            "[log]\nformat = '{format}'\n[clients.a]\ncomponent = '{}'\n",
            artifacts::MISBEHAVING
        );
        let file = folder.write("a.toml", text.as_bytes());
        let service = Service::start(&["--config", &file]).await;
        // The guest repeats a key that it does not know in its error.
        let path = "/v1/a/items?x=a%E2%80%AEb%E2%80%A8c%EF%BB%BFd";
        let answer = get(service.address, path).await;
        assert_eq!(code(&answer), "invalid-key");
        service.logged(escaped).await;
        service.terminate();
        let (_, log) = service.ended().await;
        assert!(!log.contains(['\u{202e}', '\u{2028}', '\u{feff}']), "{log}");
    }
}
