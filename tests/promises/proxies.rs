//! Upstreams that are reached through an HTTP proxy.

use std::process::Output;
use std::sync::Arc;
use std::time::Duration;

use oneflight::upstream::{self, Roots, UpstreamPolicy};
use oneflight::{Limits, Settings};
use oneflight_tests::folder::Folder;
use oneflight_tests::names::{Lookup, Script};
use oneflight_tests::process::oneflight;
use oneflight_tests::proxy::{Handling, Proxy};
use oneflight_tests::tls::Identity;
use oneflight_tests::upstream::{Answer, Upstream};
use oneflight_tests::{Subject, failsafe, patient};
use tokio::net::TcpListener;

/// The base64 of `user:hunter2`.
const CREDENTIALS: &str = "dXNlcjpodW50ZXIy";

/// The built-in client with this base URL, whose requests go through `proxy`. A name that is looked up here is
/// recorded and does not exist.
async fn through(proxy: &str, url: &str, limits: Limits, roots: Roots) -> (Subject, Arc<Script>) {
    let names = Arc::new(Script::new([Lookup::Fails]));
    let origin = url.trim_end_matches("/{x}");
    let settings = Settings {
        limits,
        policy: UpstreamPolicy {
            allow: vec![origin.parse().unwrap()],
            roots,
            proxy: Some(upstream::Proxy::from_url(proxy).unwrap()),
            resolver: Arc::clone(&names) as _,
            ..UpstreamPolicy::default()
        },
        ..Settings::new("test")
    };
    (Subject::builtin(url, settings).await, names)
}

/// An upstream with a certificate for `upstream.example`, which is trusted.
async fn upstream_example(answer: Answer) -> (Upstream, String, Roots) {
    let identity = Identity::new(&["upstream.example"]);
    let upstream = Upstream::start_at("127.0.0.1", answer, Some(&identity)).await;
    let roots = Roots::from_pem(identity.pem().as_bytes()).unwrap();
    let authority = format!("upstream.example:{}", upstream.address().port());
    (upstream, authority, roots)
}

/// Runs `oneflight get 1 ARGS` with these variables in its environment. Nothing that it prints has a password.
async fn get(args: &[&str], variables: &[(&str, &str)]) -> (Output, String) {
    let output = oneflight(&[&["get", "1"], args].concat())
        .envs(variables.iter().copied())
        .output();
    let output = failsafe("oneflight to end", output).await.unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !log.contains("hunter2") && !log.contains(CREDENTIALS),
        "{log}"
    );
    (output, log)
}

// fault 65
#[tokio::test]
async fn https_goes_through_a_tunnel_of_which_the_proxy_sees_the_target_alone() {
    let (upstream, authority, roots) = upstream_example(Answer::Items).await;
    let proxy = Proxy::start(Handling::Forward).await;
    let url = format!("https://{authority}/{{x}}");
    let with_password = format!("http://user:hunter2@{}", proxy.address());
    let (subject, names) = through(&with_password, &url, patient(), roots).await;
    assert!(subject.ask("1").await.is_ok());
    // The tunnel is kept, as a connection is.
    assert!(subject.ask("2").await.is_ok());
    let connect = format!(
        "CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n\
         proxy-authorization: Basic {CREDENTIALS}\r\n\r\n"
    );
    assert_eq!(proxy.heads(), [connect]);
    let heads = upstream.heads();
    assert!(heads[0].starts_with("GET /1 HTTP/1.1\r\n"), "{heads:?}");
    assert!(heads[1].starts_with("GET /2 HTTP/1.1\r\n"), "{heads:?}");
    assert_eq!((heads.len(), upstream.connections()), (2, 1));
    assert!(!heads.concat().contains("proxy-authorization"), "{heads:?}");
    // The proxy resolves the name.
    assert_eq!(names.lookups(), [""; 0]);
}

// fault 65
#[tokio::test]
async fn http_is_sent_to_the_proxy_in_absolute_form() {
    let upstream = Upstream::start(Answer::Items).await;
    let proxy = Proxy::start(Handling::Forward).await;
    let origin = format!("http://upstream.example:{}", upstream.address().port());
    let with_password = format!("http://user:hunter2@{}", proxy.address());
    let url = format!("{origin}/{{x}}");
    let (subject, names) = through(&with_password, &url, patient(), Roots::default()).await;
    assert!(subject.ask("1").await.is_ok());
    assert!(subject.ask("2").await.is_ok());
    let heads = upstream.heads();
    assert_eq!(proxy.heads(), heads[..1]);
    for (head, key) in heads.iter().zip(["1", "2"]) {
        assert!(
            head.starts_with(&format!("GET {origin}/{key} HTTP/1.1\r\n")),
            "{head}"
        );
        let credentials = format!("proxy-authorization: Basic {CREDENTIALS}\r\n");
        assert_eq!(head.matches(&credentials).count(), 1, "{head}");
    }
    assert_eq!((heads.len(), upstream.connections()), (2, 1));
    assert_eq!(names.lookups(), [""; 0]);
}

// fault 65
#[tokio::test]
async fn a_tunnel_ends_and_is_replaced_as_a_connection_is() {
    let (upstream, authority, roots) = upstream_example(Answer::OneEach("")).await;
    let proxy = Proxy::start(Handling::Forward).await;
    let at = format!("http://{}", proxy.address());
    let url = format!("https://{authority}/{{x}}");
    let (subject, _) = through(&at, &url, patient(), roots.clone()).await;
    assert!(subject.ask("1").await.is_ok());
    // The upstream closes the tunnel at this request, which is sent again through another one.
    assert!(subject.ask("2").await.is_ok());
    assert_eq!((proxy.heads().len(), upstream.requests()), (2, 3));

    let (upstream, authority, roots) = upstream_example(Answer::Items).await;
    let url = format!("https://{authority}/{{x}}");
    let limits = Limits {
        max_connection_age: Duration::ZERO,
        ..patient()
    };
    let (subject, _) = through(&at, &url, limits, roots).await;
    for key in ["1", "2", "3"] {
        assert!(subject.ask(key).await.is_ok());
        subject.connected(0).await;
    }
    assert_eq!((proxy.heads().len(), upstream.connections()), (2 + 3, 3));
}

// fault 65
#[tokio::test]
async fn a_proxy_that_is_given_by_an_internal_name_is_reached_and_upstreams_are_not_resolved() {
    let (_upstream, authority, roots) = upstream_example(Answer::Items).await;
    let proxy = Proxy::start(Handling::Forward).await;
    let names = Arc::new(Script::new([Lookup::of(&["127.0.0.1"])]));
    let at = format!("http://proxy.example:{}", proxy.address().port());
    let settings = Settings {
        limits: patient(),
        policy: UpstreamPolicy {
            allow: vec![format!("https://{authority}").parse().unwrap()],
            roots,
            proxy: Some(upstream::Proxy::from_url(&at).unwrap()),
            resolver: Arc::clone(&names) as _,
            ..UpstreamPolicy::default()
        },
        ..Settings::new("test")
    };
    let subject = Subject::builtin(&format!("https://{authority}/{{x}}"), settings).await;
    assert!(subject.ask("1").await.is_ok());
    assert_eq!(names.lookups(), ["proxy.example"]);
}

// fault 65
#[tokio::test]
async fn targets_that_no_rule_allows_are_denied_before_the_proxy_gets_anything() {
    let proxy = Proxy::start(Handling::Forward).await;
    let settings = Settings {
        limits: patient(),
        policy: UpstreamPolicy {
            allow: vec!["https://upstream.example".parse().unwrap()],
            nets: vec!["0.0.0.0/0".parse().unwrap()],
            proxy: Some(upstream::Proxy::from_url(&format!("http://{}", proxy.address())).unwrap()),
            ..UpstreamPolicy::default()
        },
        ..Settings::new("test")
    };
    let subject = Subject::misbehaving(settings).await;
    for origin in [
        "http://169.254.169.254",
        "https://169.254.169.254",
        "http://127.0.0.1:80",
        "https://10.0.0.1",
        "https://other.example",
        "http://upstream.example",
        "https://upstream.example:8443",
    ] {
        let denied = subject.ask(format!("need:{origin}/ok")).await;
        assert_eq!(denied, Err("upstream-denied"), "{origin}");
    }
    assert_eq!(proxy.heads(), [""; 0]);
}

// fault 65
#[tokio::test]
async fn the_proxy_of_the_environment_is_used_if_the_setting_says_so_except_for_no_proxy() {
    let upstream = Upstream::start(Answer::Items).await;
    let proxy = Proxy::start(Handling::Forward).await;
    let secret = format!("http://user:hunter2@{}", proxy.address());
    let port = upstream.address().port();
    let url = format!("http://localhost:{port}/{{x}}");
    let environment = &["--base-url", &url, "--proxy", "environment"][..];

    let (output, log) = get(environment, &[("http_proxy", &secret)]).await;
    assert!(
        output.status.success() && !log.contains("without the setting proxy"),
        "{log}"
    );
    let request = format!("GET http://localhost:{port}/1 HTTP/1.1\r\n");
    assert!(
        proxy.heads()[0].starts_with(&request),
        "{:?}",
        proxy.heads()
    );
    assert_eq!(proxy.heads(), upstream.heads());

    // Past the proxy the request is an ordinary one, without its credentials.
    let variables = [
        ("ALL_PROXY", &*secret),
        ("NO_PROXY", "other.example, localhost"),
    ];
    let (output, log) = get(environment, &variables).await;
    assert!(output.status.success(), "{log}");
    let direct = &upstream.heads()[1];
    assert!(direct.starts_with("GET /1 HTTP/1.1\r\n"), "{direct}");
    assert!(!direct.contains("proxy-authorization"), "{direct}");
    assert_eq!((proxy.heads().len(), upstream.requests()), (1, 2));

    // Only the setting makes the environment count; and a proxy for https is none for http.
    let (output, log) = get(&["--base-url", &url], &[("http_proxy", &secret)]).await;
    assert!(
        output.status.success() && log.contains("without the setting proxy"),
        "{log}"
    );
    let (output, log) = get(environment, &[("HTTPS_PROXY", &secret)]).await;
    assert!(output.status.success(), "{log}");
    assert_eq!((proxy.heads().len(), upstream.requests()), (1, 4));

    let variables = [("https_proxy", "socks5://user:hunter2@proxy.example")];
    let (output, log) = get(environment, &variables).await;
    let refusal =
        "[host:port] for https_proxy, got another form".replace("[host:port]", "host[:port]");
    assert!(!output.status.success() && log.contains(&refusal), "{log}");
}

// fault 65
#[tokio::test]
async fn the_failure_of_a_proxy_is_named_with_its_status_and_without_its_password() {
    let folder = Folder::new();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let unreachable = closed.local_addr().unwrap();
    drop(closed);
    for (handling, scheme, code, reason) in [
        (
            Some(Handling::Hold(
                "HTTP/1.1 407 hunter2\r\nProxy-Authenticate: Basic\r\nContent-Length: 9\r\n\r\n",
            )),
            "https",
            "upstream-unavailable",
            "the proxy refused the request with 407 Proxy Authentication Required; write the user and the password that it expects into its URL, as in http://user:password@host:port",
        ),
        (
            Some(Handling::Hold(
                "HTTP/1.1 407 hunter2\r\nContent-Length: 0\r\n\r\n",
            )),
            "http",
            "upstream-unavailable",
            "the proxy refused the request with 407 Proxy Authentication Required; write the user and the password that it expects into its URL, as in http://user:password@host:port",
        ),
        (
            Some(Handling::Answer("HTTP/1.1 403 hunter2\r\n\r\n<html>")),
            "https",
            "upstream-unavailable",
            "the proxy refused the request with 403 Forbidden; permit the target and its port there, or correct the setting proxy",
        ),
        (
            Some(Handling::Answer("HTTP/1.0 502 hunter2\r\n\r\n")),
            "https",
            "upstream-unavailable",
            "the proxy refused the request with 502 Bad Gateway; permit the target and its port there, or correct the setting proxy",
        ),
        (
            Some(Handling::Answer("")),
            "https",
            "upstream-unavailable",
            "the proxy: no tunnel: connection closed before message completed",
        ),
        (
            Some(Handling::Answer("SSH-2.0-hunter2\r\n\r\n")),
            "https",
            "upstream-unavailable",
            "the proxy: no tunnel: invalid HTTP version parsed",
        ),
        (
            Some(Handling::Hold("HTTP/1.1 200 OK\r\n\r\nhunter2")),
            "https",
            "upstream-unavailable",
            "the proxy: no tunnel: expected nothing from the upstream before the handshake, got data",
        ),
        (
            Some(Handling::Hold("")),
            "https",
            "upstream-timeout",
            "connecting timed out; raise connect_timeout",
        ),
        (
            None,
            "https",
            "upstream-unavailable",
            "the proxy: could not connect: tcp connect error: Connection refused (os error 111)",
        ),
    ] {
        let proxy = match handling {
            Some(handling) => Some(Proxy::start(handling).await),
            None => None,
        };
        let address = proxy.as_ref().map_or(unreachable, Proxy::address);
        let limit = match code {
            "upstream-timeout" => "200ms",
            _ => "1h",
        };
        let file = format!(
            "[clients.a]\nbase_url = '{scheme}://upstream.example/{{x}}'\n\
             proxy = 'http://user:hunter2@{address}'\nprobe = '1'\n\
             limits.connect_timeout = '{limit}'\nlimits.flight_timeout = '2h'\n"
        );
        let file = folder.write("oneflight.toml", file.as_bytes());
        let output = oneflight(&["config", "check", &file]).output();
        let output = failsafe("oneflight to end", output).await.unwrap();
        let log = String::from_utf8_lossy(&output.stderr);
        let reason = [
            reason,
            &format!(" (through {address}, which the setting proxy names)"),
        ];
        let got = format!("got {code}: ");
        for expected in [&*got, &reason.concat()] {
            assert!(log.contains(expected), "{expected:?} is not in {log}");
        }
        assert!(
            !log.contains("hunter2") && !log.contains(CREDENTIALS),
            "{log}"
        );
    }
}

// fault 65
#[tokio::test]
async fn a_certificate_is_verified_through_a_tunnel() {
    let (upstream, authority, _) = upstream_example(Answer::Items).await;
    let (_other, _, roots) = upstream_example(Answer::Items).await;
    let proxy = Proxy::start(Handling::Forward).await;
    let at = format!("http://{}", proxy.address());
    let url = format!("https://{authority}/{{x}}");
    let (subject, _) = through(&at, &url, patient(), roots).await;
    assert_eq!(subject.ask("1").await, Err("upstream-unavailable"));
    assert_eq!((proxy.heads().len(), upstream.requests()), (1, 0));
}

// fault 65
#[cfg(feature = "programs")]
#[tokio::test]
async fn tinyproxy_forwards_http_and_opens_tunnels_with_the_right_password_only() {
    use oneflight_tests::tinyproxy::Tinyproxy;

    let proxy = Tinyproxy::start("user", "hunter2").await;
    let folder = Folder::new();
    let identity = Identity::new(&["localhost"]);
    let ca = folder.write("ca.pem", identity.pem().as_bytes());
    let secure = Upstream::start_at("127.0.0.1", Answer::Items, Some(&identity)).await;
    let plain = Upstream::start(Answer::Items).await;
    let right = format!("http://user:hunter2@{}", proxy.address());
    let wrong = format!("http://user:hunter@{}", proxy.address());
    let none = format!("http://{}", proxy.address());
    for (upstream, scheme) in [(&secure, "https"), (&plain, "http")] {
        let port = upstream.address().port();
        let url = format!("{scheme}://localhost:{port}/{{x}}");
        let args = [
            "--base-url",
            &url,
            "--ca-file",
            &ca,
            "--proxy",
            "environment",
        ];
        let (output, log) = get(&args, &[("ALL_PROXY", &right)]).await;
        assert!(output.status.success(), "{log}");
        let heads = upstream.heads();
        assert!(heads[0].starts_with("GET /1 HTTP/1."), "{heads:?}");
        assert!(
            !heads[0].to_lowercase().contains("proxy-authorization"),
            "{heads:?}"
        );

        let (output, log) = get(&args, &[("ALL_PROXY", &none)]).await;
        assert!(
            !output.status.success() && log.contains("refused the request with 407"),
            "{log}"
        );
        // Tinyproxy answers 401, which could be the upstream's own where there is no tunnel.
        let (output, log) = get(&args, &[("ALL_PROXY", &wrong)]).await;
        assert!(!output.status.success() && log.contains(" 401"), "{log}");
        assert_eq!(upstream.requests(), 1);
    }
    let log = proxy.log();
    let connect = format!("CONNECT localhost:{} HTTP/1.1", secure.address().port());
    let absolute = format!("GET http://localhost:{}/1 HTTP/1.1", plain.address().port());
    assert!(log.contains(&connect) && log.contains(&absolute), "{log}");
}
