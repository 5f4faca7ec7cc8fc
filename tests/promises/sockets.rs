//! Unix sockets and the PROXY protocol.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use http::{Request, StatusCode};
use http_body_util::Empty;
use oneflight_tests::caller::{Answer as HttpAnswer, exchange};
use oneflight_tests::failsafe;
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{oneflight, run};
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

/// The path that callers request.
const ITEMS: &str = "/v1/default/items?x=42";

/// A service of the built-in client at the socket `callers`, administered at `admin`, once it listens.
async fn serve(upstream: &Upstream, callers: &str, admin: &str) -> Child {
    let (callers, admin) = (format!("unix:{callers}"), format!("unix:{admin}"));
    let base_url = format!("{}/items", upstream.origin());
    let args = ["serve", "--listen", &callers, "--admin", &admin];
    let mut process = oneflight(&args)
        .args(["--flight-timeout", "1h", "--base-url", &base_url])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let expected = format!("listening on {callers} http://localhost/v1/default/items?x=KEY");
    failsafe("the service to listen", async {
        while lines.next_line().await.unwrap().expect("the line") != expected {}
    })
    .await;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    process
}

/// The path of a socket in `folder`.
fn socket(folder: &Folder, name: &str) -> String {
    format!("{}/{name}.sock", folder.path().display())
}

async fn get(socket: &str, path: &str) -> HttpAnswer {
    let stream = UnixStream::connect(socket).await.unwrap();
    let request = Request::get(path).header("host", "localhost");
    let answer = exchange(stream, request.body(Empty::new()).unwrap());
    failsafe("an answer", answer).await
}

async fn terminate(mut process: Child) -> Option<i32> {
    let id = process.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-TERM", &id]).status().await;
    assert!(sent.unwrap().success());
    let ended = failsafe("the service to end", process.wait()).await;
    ended.unwrap().code()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn callers_and_administration_use_unix_sockets_which_are_removed_at_the_end() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let (callers, admin) = (socket(&folder, "callers"), socket(&folder, "admin"));
    let process = serve(&upstream, &callers, &admin).await;
    for socket in [&callers, &admin] {
        let mode = fs::metadata(socket).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660, "{socket}");
        assert_eq!(get(socket, "/livez").await.status(), StatusCode::OK);
    }
    assert_eq!(get(&callers, ITEMS).await.body(), ITEMS_JSON);
    let metrics = text(get(&admin, "/metrics").await.body());
    assert!(
        metrics.contains("oneflight_callers_total{client=\"default\",outcome=\"ok\"} 1\n"),
        "{metrics}"
    );
    let curl = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--unix-socket",
            &callers,
        ])
        .arg(format!("http://localhost{ITEMS}"))
        .output();
    let output = failsafe("curl to end", curl).await.unwrap();
    assert_eq!(text(&output.stdout), ITEMS_JSON, "{}", text(&output.stderr));

    let at = format!("unix:{admin}");
    let explained = run(&["explain", "42", "--admin", &at]).await;
    assert!(explained.status.success(), "{}", text(&explained.stderr));
    let observed = run(&["observe", "--for", "10ms", "--admin", &at]).await;
    assert!(observed.status.success(), "{}", text(&observed.stderr));

    assert_eq!(terminate(process).await, Some(0));
    assert!(!fs::exists(&callers).unwrap() && !fs::exists(&admin).unwrap());
    let gone = run(&["explain", "42", "--admin", &at]).await;
    assert!(text(&gone.stderr).contains(&format!(
        "could not reach the admin API of a service at {at}"
    )));
}

// fault 80
#[tokio::test]
async fn a_socket_without_a_listener_is_replaced_and_nothing_else_is() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let (callers, admin) = (socket(&folder, "callers"), socket(&folder, "admin"));
    // Left by a process that was killed: the file stays when its listener is closed.
    drop(std::os::unix::net::UnixListener::bind(&callers).unwrap());
    let process = serve(&upstream, &callers, &admin).await;
    assert_eq!(get(&callers, "/livez").await.status(), StatusCode::OK);

    let file = folder.write("file", b"kept");
    for (path, why) in [
        (&*callers, "another process listens there"),
        (
            &*file,
            "expected a socket or nothing at this path, got another file",
        ),
    ] {
        let listen = format!("unix:{path}");
        let args = [
            "serve",
            "--admin",
            "off",
            "--listen",
            &listen,
            "--base-url",
            "http://localhost:1/",
        ];
        let refused = run(&args).await;
        assert_eq!(refused.status.code(), Some(1));
        let message = text(&refused.stderr);
        assert!(
            message.contains(&format!(
                "could not listen on {listen}; choose another path with --listen"
            )),
            "{message}"
        );
        assert!(message.contains(why), "{message}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"kept");
    assert_eq!(get(&callers, ITEMS).await.body(), ITEMS_JSON);
    assert_eq!(terminate(process).await, Some(0));
}

// fault 14, 76
#[tokio::test]
async fn over_a_unix_socket_callers_leave_and_close_one_direction_as_over_tcp() {
    let upstream = Upstream::start(Answer::Held).await;
    let folder = Folder::new();
    let (callers, admin) = (socket(&folder, "callers"), socket(&folder, "admin"));
    let _process = serve(&upstream, &callers, &admin).await;
    let request = format!("GET {ITEMS} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let send = async || {
        let mut caller = UnixStream::connect(&callers).await.unwrap();
        caller.write_all(request.as_bytes()).await.unwrap();
        caller
    };
    let leaving = send().await;
    upstream.requested(1).await;
    drop(leaving);
    upstream.abandoned(1).await;

    let mut reading = send().await;
    reading.shutdown().await.unwrap();
    upstream.requested(2).await;
    upstream.release();
    let mut answer = String::new();
    failsafe("an answer", reading.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with(ITEMS_JSON), "{answer}");
}
