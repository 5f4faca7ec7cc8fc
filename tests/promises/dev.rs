//! `oneflight dev`: the processes that it starts, and what it says of them.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use oneflight_tests::folder::Folder;
use oneflight_tests::process::{Service, oneflight, signal};
use oneflight_tests::{artifacts, failsafe};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr};

const FREE: [&str; 4] = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];

/// A process, and what it and the processes that it starts print.
fn started(args: &[&str]) -> (Child, Lines<BufReader<ChildStderr>>) {
    let mut command = oneflight(&[&["dev"], args].concat());
    let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
    let stderr = process.stderr.take().unwrap();
    (process, BufReader::new(stderr).lines())
}

/// Reads lines until one contains `text`.
async fn line_with(lines: &mut Lines<BufReader<ChildStderr>>, text: &str) -> String {
    loop {
        let line = failsafe(text, lines.next_line()).await.unwrap();
        let line = line.unwrap_or_else(|| panic!("expected a line with {text}, got the end"));
        if line.contains(text) {
            return line;
        }
    }
}

/// Reads the other lines, until no process is left that could print one.
async fn rest(mut lines: Lines<BufReader<ChildStderr>>) -> String {
    let mut text = String::new();
    while let Some(line) = failsafe("the end of all processes", lines.next_line())
        .await
        .unwrap()
    {
        text += &line;
        text += "\n";
    }
    text
}

fn project(build: &str) -> Folder {
    let folder = Folder::new();
    let script = folder.write(
        "build.sh",
        format!("#!/bin/sh\ncd \"$(dirname \"$0\")\"\n{build}\n").as_bytes(),
    );
    std::fs::set_permissions(script, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder.write(".gitignore", b"client.wasm\n");
    folder
}

#[tokio::test]
async fn the_service_of_a_killed_dev_shuts_down() {
    let dev = Service::start_dev(&[&[artifacts::ORDERS], &FREE[..]].concat()).await;
    signal(dev.id(), "-KILL");
    // The log ends when the service has ended, too.
    let (code, log) = dev.ended().await;
    assert_eq!(code, None);
    assert!(log.contains("shutting down"), "{log}");
}

#[tokio::test]
async fn the_end_of_dev_ends_a_build_and_what_it_has_started() {
    let folder = project("(echo compiling >&2; exec sleep 1000) &\nwait");
    for name in ["-TERM", "-INT"] {
        let (mut dev, mut lines) = started(&[folder.path().to_str().unwrap()]);
        line_with(&mut lines, "compiling").await;
        signal(dev.id().unwrap(), name);
        let status = failsafe("dev to end", dev.wait()).await.unwrap();
        assert_eq!(status.code(), Some(0), "{name}");
        assert_eq!(rest(lines).await, "", "{name}");
    }
}

#[tokio::test]
async fn dev_says_that_its_service_has_ended_and_starts_it_again_after_a_change() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::new();
    let orders = std::fs::read(artifacts::ORDERS).unwrap();
    let component = folder.write("orders.wasm", &orders);
    let args = [&component, "--listen", &address, "--admin", "off"];
    let (mut dev, mut lines) = started(&args);
    let ended = line_with(&mut lines, "has ended").await;
    assert_eq!(
        ended,
        "the service has ended (exit status: 1); the next change starts it again"
    );
    drop(taken);
    folder.write("orders.wasm", &[&orders[..], &[0, 1, 0]].concat());
    line_with(&mut lines, &format!("listening on http://{address}")).await;
    signal(dev.id().unwrap(), "-TERM");
    let status = failsafe("dev to end", dev.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", rest(lines).await);
}

#[tokio::test]
async fn a_build_that_changes_a_source_is_not_repeated_for_ever() {
    let folder = project("echo >> made.txt");
    let path = folder.path().to_str().unwrap();
    let (mut dev, mut lines) = started(&[&[path], &FREE[..]].concat());
    let printed = line_with(&mut lines, "list it in .gitignore").await;
    assert_eq!(
        printed,
        format!(
            "each build changes {path}/made.txt, so that is no reason for another one; list it in .gitignore"
        )
    );
    let made = folder.path().join("made.txt");
    assert_eq!(std::fs::read_to_string(&made).unwrap(), "\n\n");
    // Another change is a reason.
    folder.write("source.txt", b"");
    line_with(&mut lines, "building").await;
    signal(dev.id().unwrap(), "-TERM");
    failsafe("dev to end", dev.wait()).await.unwrap();
}
