//! Unix sockets and the PROXY protocol.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use http::{Request, StatusCode};
use http_body_util::Empty;
use oneflight_tests::caller::{self, Answer as HttpAnswer, exchange, rest, sending};
use oneflight_tests::failsafe;
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{PATIENT, Service, oneflight, run};
use oneflight_tests::tls::Identity;
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
        (
            &*callers,
            "expected no process that listens at this path, got one",
        ),
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

/// A service with the client `default` and TLS, whose proxies are in this network.
async fn behind(network: &str, upstream: &Upstream, folder: &Folder, tls: &str) -> Service {
    let file = format!(
        "proxy_protocol_from = ['{network}']\n{tls}\n{PATIENT}[clients.default]\nbase_url = '{}/items'\n",
        upstream.origin()
    );
    let file = folder.write("oneflight.toml", file.as_bytes());
    Service::start(&["--log", "debug", "--config", &file]).await
}

const REQUEST: &str =
    "GET /v1/default/items?x=42 HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";

// fault 81
#[tokio::test]
async fn a_listed_proxy_states_the_address_of_each_caller_and_has_to() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let service = behind("127.0.0.0/8", &upstream, &folder, "").await;
    let (one, unknown) = (
        "PROXY TCP4 192.0.2.1 192.0.2.2 56789 80\r\n",
        "PROXY UNKNOWN\r\n",
    );
    // Version 2 with a name of the proxy's own choice behind the addresses.
    let two =
        "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\x01\x02\x03\x04\x05\x06\x07\x08\0\x01\0\x02\x04\0\x01x";
    for (header, address) in [(one, "192.0.2.1"), (two, "1.2.3.4"), (unknown, "127.0.0.1")] {
        let request = format!("{header}{REQUEST}");
        let answer = rest(sending(service.address, &request).await).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with(ITEMS_JSON), "{answer}");
        service
            .logged(&format!("caller={address} code=\"ok\""))
            .await;
    }
    for (sent, why) in [
        (REQUEST, "got other bytes; let the proxy send one"),
        ("PROXY TCP4 192.0.2.1\r\n", "got a malformed one"),
        (
            &format!("PROXY {}\r\n", "a".repeat(200)),
            "got a longer one than 107 bytes",
        ),
    ] {
        let mut stream = sending(service.address, sent).await;
        let mut received = Vec::new();
        // A reset, if not everything was read.
        let _ = failsafe("the end", stream.read_to_end(&mut received)).await;
        assert_eq!(received, b"");
        service
            .logged(&format!(
                "closed a connection: expected a header of the PROXY protocol, {why}"
            ))
            .await;
    }
    // What a proxy does to check whether the service listens is no fault.
    drop(sending(service.address, "").await);
    assert_eq!(upstream.requests(), 3);
}

// fault 81
#[tokio::test]
async fn a_header_of_the_proxy_protocol_from_elsewhere_is_refused() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let service = behind("192.0.2.0/24", &upstream, &folder, "").await;
    let request = format!("PROXY TCP4 192.0.2.1 192.0.2.2 56789 80\r\n{REQUEST}");
    let answer = rest(sending(service.address, &request).await).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let answer = caller::get(service.address, ITEMS).await;
    assert_eq!(answer.body(), ITEMS_JSON);
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn curl_sends_the_proxy_protocol_with_and_without_tls() {
    let upstream = Upstream::start(Answer::Items).await;
    let (folder, in_tls) = (Folder::new(), Folder::new());
    let identity = Identity::new(&["localhost"]);
    let certificate = in_tls.write("localhost.pem", identity.pem().as_bytes());
    let key = in_tls.write("localhost-key.pem", identity.key_pem().as_bytes());
    let tls = format!("[tls]\ncertificate = '{certificate}'\nkey = '{key}'\n");
    let http = behind("127.0.0.1/32", &upstream, &folder, "").await;
    let https = behind("127.0.0.1/32", &upstream, &in_tls, &tls).await;
    let (http, https) = (
        format!("http://localhost:{}{ITEMS}", http.address.port()),
        format!("https://localhost:{}{ITEMS}", https.address.port()),
    );
    for url in [http, https] {
        let curl = Command::new("curl")
            .args([
                "--silent",
                "--show-error",
                "--fail",
                "--noproxy",
                "*",
                "--ipv4",
            ])
            .args(["--cacert", &certificate, "--haproxy-protocol", &url])
            .output();
        let output = failsafe("curl to end", curl).await.unwrap();
        assert_eq!(
            text(&output.stdout),
            ITEMS_JSON,
            "{url}: {}",
            text(&output.stderr)
        );
    }
}
