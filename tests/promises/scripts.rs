//! The servers of Node and Python as upstreams, which close kept connections at the worst moment: just after an answer,
//! when the next request may be on its way.

use oneflight::upstream::{Roots, UpstreamPolicy};
use oneflight::{InstanceReuse, Instances, Settings};
use oneflight_tests::folder::Folder;
use oneflight_tests::script::ScriptServer;
use oneflight_tests::tls::Identity;
use oneflight_tests::{Subject, settings};
use tokio::task::JoinSet;

const CALLS: usize = 2_000;
const AT_ONCE: usize = 32;

/// Closes all idle connections after every third answer. A connection on which the next request has arrived but has not
/// been read counts as idle.
const NODE: &str = r#"
const server = require("node:http").createServer((request, response) => {
  response.end('[{"id":1}]');
  if (++server.answers % 3 === 0) setImmediate(() => server.closeIdleConnections());
});
server.answers = 0;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"#;

/// Ends each connection with GOAWAY once it has opened 20 streams. The arguments are the certificate and the key.
/// `close` is called later: Node 20 crashes if the listener of a stream calls it.
const NODE_HTTP2: &str = r#"
const read = require("node:fs").readFileSync;
const [cert, key] = process.argv.slice(1).map((file) => read(file));
const server = require("node:http2").createSecureServer({ cert, key });
server.on("session", (session) => {
  let streams = 0;
  session.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.respond({ ":status": 200 });
    stream.end('[{"id":1}]');
    if (++streams === 20) setImmediate(() => session.close());
  });
  session.on("error", () => {});
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
"#;

/// Closes each connection after its third answer, which does not announce it.
const PYTHON: &str = r#"
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    answers = 0

    def do_GET(self):
        body = b'[{"id":1}]'
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.answers += 1
        self.close_connection = self.answers == 3

    def log_message(self, *args):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"#;

/// Makes all calls, each with a key of its own, and returns how many requests were sent once more.
async fn calls(origin: &str, roots: Roots) -> f64 {
    let policy = UpstreamPolicy {
        allow: vec![origin.parse().unwrap()],
        roots,
        ..UpstreamPolicy::default()
    };
    let settings = Settings {
        policy,
        instances: Instances::Reused(InstanceReuse::default()),
        ..settings()
    };
    let subject = Subject::builtin(&format!("{origin}/{{x}}"), settings).await;
    let mut callers = JoinSet::new();
    for caller in 0..AT_ONCE {
        let subject = subject.clone();
        callers.spawn(async move {
            for number in 0..CALLS / AT_ONCE {
                let answer = subject.ask(format!("{caller}-{number}")).await;
                assert!(answer.is_ok(), "call {caller}-{number}: {answer:?}");
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.unwrap();
    }
    subject.counted("upstream_requests_resent_total")
}

// fault 60
#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_a_server_of_node_closes_kept_connections() {
    let server = ScriptServer::start("node", &["-e", NODE]).await;
    let resent = calls(&server.origin("http"), Roots::default()).await;
    println!("{resent} requests were sent once more");
}

// fault 61
#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_a_server_of_node_ends_http2_connections() {
    let identity = Identity::new(&["127.0.0.1"]);
    let folder = Folder::new();
    let certificate = folder.write("certificate.pem", identity.pem().as_bytes());
    let key = folder.write("key.pem", identity.key_pem().as_bytes());
    let server = ScriptServer::start("node", &["-e", NODE_HTTP2, &certificate, &key]).await;
    let roots = Roots::from_pem(identity.pem().as_bytes()).unwrap();
    let resent = calls(&server.origin("https"), roots).await;
    println!("{resent} requests were sent once more");
}

// fault 60
#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_while_a_server_of_python_closes_kept_connections() {
    let server = ScriptServer::start("python3", &["-c", PYTHON]).await;
    let resent = calls(&server.origin("http"), Roots::default()).await;
    println!("{resent} requests were sent once more");
}
