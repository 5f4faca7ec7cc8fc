//! Callers behind a real HAProxy.

use std::net::SocketAddr;
use std::process::Stdio;

use http::{Request, StatusCode};
use http_body_util::Empty;
use oneflight_tests::caller::exchange;
use oneflight_tests::failsafe;
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{PATIENT, Service};
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::process::Command;

/// A port of `ip` that is free now.
async fn free(ip: &str) -> SocketAddr {
    let listener = TcpListener::bind((ip, 0)).await.unwrap();
    listener.local_addr().unwrap()
}

// fault 81
#[tokio::test]
async fn haproxy_states_the_addresses_of_callers_in_both_versions_of_the_proxy_protocol() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let file = format!(
        "proxy_protocol_from = ['127.0.0.1/32']\n{PATIENT}[clients.a]\nbase_url = '{}/items'\n",
        upstream.origin()
    );
    let file = folder.write("oneflight.toml", file.as_bytes());
    let service = Service::start(&["--log", "debug", "--config", &file]).await;
    let (one, two) = (free("127.0.0.1").await, free("127.0.0.1").await);
    let to = service.address;
    let config = format!(
        "defaults\n  mode tcp\n  timeout connect 1m\n  timeout client 1h\n  timeout server 1h\n\
         listen one\n  bind {one}\n  server oneflight {to} send-proxy\n\
         listen two\n  bind {two}\n  server oneflight {to} send-proxy-v2\n"
    );
    let config = folder.write("haproxy.cfg", config.as_bytes());
    let _haproxy = Command::new("haproxy")
        .args(["-db", "-f", &config])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("HAProxy is installed");
    for (caller, proxy) in [("127.0.0.2", one), ("127.0.0.3", two)] {
        failsafe("HAProxy to listen", async {
            while TcpStream::connect(proxy).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{caller}:0").parse().unwrap()).unwrap();
        let stream = socket.connect(proxy).await.unwrap();
        let request = Request::get("/v1/a/items?x=42").header("host", "test");
        let answer = exchange(stream, request.body(Empty::new()).unwrap());
        let answer = failsafe("an answer", answer).await;
        assert_eq!(
            (answer.status(), &**answer.body()),
            (StatusCode::OK, ITEMS_JSON.as_bytes())
        );
        service
            .logged(&format!("caller={caller} code=\"ok\""))
            .await;
    }
}
