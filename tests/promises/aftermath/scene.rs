//! A service with clients that get into trouble, upstreams that make it, and one client that has none.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use oneflight_tests::caller::{Answer, code, get};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::Service;
use oneflight_tests::upstream::{self, Upstream};
use oneflight_tests::{artifacts, failsafe};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// The clients whose guests misbehave: their names, how many flights there is room for, and what they are
/// held to beside that and [`EACH`].
const CLIENTS: [(&str, usize, &str); 5] = [
    ("guest", 8, "limits.max_cpu_time = '1h'"),
    // Instances that are kept for a moment.
    (
        "reused",
        8,
        "limits.max_cpu_time = '1h'\ninstances = { max_calls = 100, max_age = '100ms' }",
    ),
    // Requests that are cut off soon.
    (
        "hurried",
        8,
        "limits.connect_timeout = '100ms'\nlimits.request_timeout = '100ms'",
    ),
    // As many as spin at once, each for a short time.
    (
        "spinner",
        64,
        "limits.max_cpu_time = '50ms'\nlimits.flight_timeout = '2s'",
    ),
    // Next to no room.
    (
        "narrow",
        2,
        "limits.max_flights = 6\nlimits.queue_timeout = '50ms'\nlimits.request_timeout = '150ms'",
    ),
];

/// Connections to upstreams are kept for a moment.
const EACH: &str = "limits.idle_timeout = '50ms'\n";

/// How many flights there is room for of a client that is not in [`CLIENTS`].
const FEW: &str = "limits.max_executions = 8\n";

pub(super) struct Scene {
    pub(super) service: Service,
    folder: Folder,
    /// What the service was started with.
    config: String,
    pub(super) upstreams: Upstreams,
}

pub(super) struct Upstreams {
    pub(super) well: Upstream,
    pub(super) hangs: Upstream,
    pub(super) hangs_up: Upstream,
    pub(super) resets: Upstream,
    pub(super) stalls_in_body: Upstream,
    pub(super) breaks_off: Upstream,
    pub(super) endless_body: Upstream,
    pub(super) endless_head: Upstream,
    pub(super) babbles: Upstream,
    pub(super) redirects: Upstream,
    pub(super) records: Upstream,
    pub(super) never_accepts: NeverAccepts,
    /// Where nobody listens.
    pub(super) nobody: String,
}

impl Upstreams {
    async fn start() -> Self {
        let well = Upstream::start(upstream::Answer::Items).await;
        let start = Upstream::start;
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = format!("http://{}", free.local_addr().unwrap());
        Self {
            hangs: start(upstream::Answer::NoHead).await,
            hangs_up: start(upstream::Answer::HangUp).await,
            resets: start(upstream::Answer::Reset).await,
            stalls_in_body: start(upstream::Answer::HalfBody).await,
            breaks_off: start(upstream::Answer::BrokenBody).await,
            endless_body: start(upstream::Answer::EndlessBody).await,
            endless_head: start(upstream::Answer::EndlessHead).await,
            babbles: start(upstream::Answer::Raw("no HTTP\r\n\r\n")).await,
            redirects: start(upstream::Answer::RedirectTo("http://192.0.2.1/".into())).await,
            records: start(upstream::Answer::Record).await,
            never_accepts: NeverAccepts::start().await,
            well,
            nobody,
        }
    }

    /// The origins that clients may reach: all of them, and the one that hangs in TLS, too.
    fn allowed(&self) -> Vec<String> {
        let servers = [
            &self.well,
            &self.hangs,
            &self.hangs_up,
            &self.resets,
            &self.stalls_in_body,
            &self.breaks_off,
            &self.endless_body,
            &self.endless_head,
            &self.babbles,
            &self.redirects,
            &self.records,
        ];
        let mut origins: Vec<_> = servers.map(Upstream::origin).into();
        origins.push(self.in_tls());
        origins.push(self.never_accepts.origin.clone());
        origins.push(self.nobody.clone());
        origins
    }

    /// The one that hangs, as one that would speak TLS.
    pub(super) fn in_tls(&self) -> String {
        self.hangs.origin().replace("http://", "https://")
    }
}

/// A listener whose backlog is full: the system leaves the next connection without a word.
pub(super) struct NeverAccepts {
    pub(super) origin: String,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl NeverAccepts {
    async fn start() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        let soon = std::time::Duration::from_millis(100);
        while let Ok(stream) = tokio::time::timeout(soon, TcpStream::connect(address)).await {
            waiting.push(stream.unwrap());
            assert!(waiting.len() < 100, "the backlog does not fill");
        }
        Self {
            origin: format!("http://{address}"),
            _listener: listener,
            _waiting: waiting,
        }
    }
}

impl Scene {
    pub(super) async fn set() -> Self {
        let upstreams = Upstreams::start().await;
        let (allowed, component) = (upstreams.allowed(), artifacts::MISBEHAVING);
        let mut config = String::new();
        for (name, executions, more) in CLIENTS {
            config += &format!(
                "[clients.{name}]\ncomponent = '{component}'\nallow = {allowed:?}\n\
                 limits.max_executions = {executions}\n{EACH}{more}\n"
            );
        }
        let items = format!("{}/items", upstreams.breaks_off.origin());
        config += &format!("[clients.builtin]\nbase_url = '{items}'\n{FEW}{EACH}");
        config += &format!("[clients.other]\ncomponent = '{component}'\n{FEW}{EACH}");
        let folder = Folder::new();
        let file = folder.write("clients.toml", config.as_bytes());
        // What is free goes back at once, so that what is resident is what is in use.
        let at_once = ("_RJEM_MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0");
        let args = ["--config", &file, "--log", "error"];
        let service = Service::start_with(&args, &[at_once]).await;
        let scene = Self {
            service,
            folder,
            config,
            upstreams,
        };
        scene.service.ready().await;
        scene
    }

    pub(super) async fn ask(&self, client: &str, key: &str) -> Answer {
        let path = format!("/v1/{client}/items?x={key}");
        failsafe(&path, get(self.service.address, &path)).await
    }

    /// A flight that ends with this code.
    pub(super) fn ends<'a>(
        &'a self,
        client: &'a str,
        key: String,
        expected: &'a str,
    ) -> BoxFuture<'a, ()> {
        async move {
            let answer = self.ask(client, &key).await;
            assert_eq!(code(&answer), expected, "{client}: {key}");
        }
        .boxed()
    }

    /// A flight whose guest has an answer, in which this stands.
    pub(super) fn answers<'a>(
        &'a self,
        client: &'a str,
        key: String,
        part: &'a str,
    ) -> BoxFuture<'a, ()> {
        async move {
            let answer = self.ask(client, &key).await;
            let body = String::from_utf8_lossy(answer.body());
            assert!(
                answer.status() == 200 && body.contains(part),
                "{key}: {answer:?}"
            );
        }
        .boxed()
    }

    /// A file that the service is told to load for one more client, with these limits on compiling it, and
    /// refuses: with these words.
    pub(super) fn refuses<'a>(
        &'a self,
        name: String,
        component: Vec<u8>,
        limits: &'a str,
        words: &'a str,
    ) -> BoxFuture<'a, ()> {
        async move {
            let file = format!("{name}.wasm");
            self.folder.write(&file, &component);
            let client = format!("[clients.{name}]\ncomponent = '{file}'\n{FEW}");
            let config = format!("{}{client}[compile]\n{limits}\n", self.config);
            self.folder.write("clients.toml", config.as_bytes());
            self.service.hang_up();
            let path = self.folder.path().join(&file);
            let said = format!(
                "could not load the client {name}: cannot run {}: ",
                path.display()
            );
            self.service.logged(&format!("{said}{words}")).await;
        }
        .boxed()
    }

    /// Another client's flight is answered.
    pub(super) async fn unharmed(&self) {
        let answer = self.ask("other", "echo:unharmed").await;
        assert_eq!(answer.body(), r#"[{"id":"unharmed","body":"unharmed"}]"#);
    }
}
