//! A service with clients whose flights fail, upstreams that make them fail, and one client that works.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use oneflight_tests::caller::{Answer, code, get};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{PATIENT, Service};
use oneflight_tests::upstream::{self, NeverAccepts, Upstream};
use oneflight_tests::{artifacts, failsafe};
use tokio::net::TcpListener;

/// The clients whose guests misbehave: their names, how many flights can run at once, and what else is set
/// beside [`EACH`].
const CLIENTS: [(&str, usize, &str); 5] = [
    ("guest", 8, ""),
    // Keeps instances for a moment.
    (
        "reused",
        8,
        "instances = { max_calls = 100, max_age = '100ms' }",
    ),
    // Ends requests soon.
    (
        "short-timeouts",
        8,
        "limits.connect_timeout = '100ms'\nlimits.request_timeout = '100ms'",
    ),
    // Ends guests that spin; as many as spin at once. By the deadline: a limit on processor time as short as
    // this row needs would also end the start of a guest, on a busy machine.
    ("spinner", 64, "limits.flight_timeout = '3s'"),
    // Has room for next to nothing.
    (
        "narrow",
        2,
        "limits.max_flights = 6\nlimits.queue_timeout = '50ms'",
    ),
];

/// The limits that no client reaches unless it sets them: a row asserts which one ends its flights, however
/// busy the machine is.
const FAR: [&str; 7] = [
    "connect_timeout",
    "first_byte_timeout",
    "between_bytes_timeout",
    "request_timeout",
    "queue_timeout",
    "flight_timeout",
    "max_cpu_time",
];

/// Connections to upstreams are kept for a moment, and all executions have the memory that each of them may have.
const EACH: &str = "limits.idle_timeout = '50ms'\nlimits.max_total_memory_bytes = '16 GiB'\n";

/// How many flights there is room for of a client that is not in [`CLIENTS`].
const FEW: &str = "limits.max_executions = 8\n";

/// `settings` of a client, with an hour for each of the [`FAR`] limits that they do not set.
fn far(settings: &str) -> String {
    let is_unset = |limit: &&&str| !settings.contains(&format!("limits.{limit} "));
    let unset = FAR.iter().filter(is_unset);
    let far: String = unset
        .map(|limit| format!("limits.{limit} = '1h'\n"))
        .collect();
    format!("{settings}\n{far}")
}

pub(super) struct Scene {
    pub(super) service: Service,
    folder: Folder,
    /// The configuration that the service was started with.
    config: String,
    pub(super) upstreams: Upstreams,
}

pub(super) struct Upstreams {
    pub(super) healthy: Upstream,
    pub(super) hangs: Upstream,
    pub(super) hangs_up: Upstream,
    pub(super) closes_as_reused: Upstream,
    pub(super) resets: Upstream,
    pub(super) stalls_in_body: Upstream,
    pub(super) breaks_off: Upstream,
    pub(super) endless_body: Upstream,
    pub(super) endless_head: Upstream,
    pub(super) babbles: Upstream,
    pub(super) redirects: Upstream,
    pub(super) limits_the_rate: Upstream,
    pub(super) records: Upstream,
    pub(super) never_accepts: NeverAccepts,
    /// An origin where nothing listens.
    pub(super) refuses: String,
}

impl Upstreams {
    async fn start() -> Self {
        let healthy = Upstream::start(upstream::Answer::Items).await;
        let start = Upstream::start;
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refuses = format!("http://{}", free.local_addr().unwrap());
        Self {
            hangs: start(upstream::Answer::NoHead).await,
            hangs_up: start(upstream::Answer::HangUp).await,
            closes_as_reused: start(upstream::Answer::OneEach("")).await,
            resets: start(upstream::Answer::Reset).await,
            stalls_in_body: start(upstream::Answer::HalfBody).await,
            breaks_off: start(upstream::Answer::BrokenBody).await,
            endless_body: start(upstream::Answer::EndlessBody).await,
            endless_head: start(upstream::Answer::EndlessHead).await,
            babbles: start(upstream::Answer::Raw("no HTTP\r\n\r\n")).await,
            redirects: start(upstream::Answer::RedirectTo("http://192.0.2.1/".into())).await,
            limits_the_rate: start(upstream::Answer::Status(429, "retry-after: 7\r\n")).await,
            records: start(upstream::Answer::Record).await,
            never_accepts: NeverAccepts::start().await,
            healthy,
            refuses,
        }
    }

    /// The origins that clients may reach: all of them, and the one that hangs in TLS as well.
    fn allowed(&self) -> Vec<String> {
        let servers = [
            &self.healthy,
            &self.hangs,
            &self.hangs_up,
            &self.closes_as_reused,
            &self.resets,
            &self.stalls_in_body,
            &self.breaks_off,
            &self.endless_body,
            &self.endless_head,
            &self.babbles,
            &self.redirects,
            &self.limits_the_rate,
            &self.records,
        ];
        let mut origins: Vec<_> = servers.map(Upstream::origin).into();
        origins.push(self.in_tls());
        origins.push(self.never_accepts.origin.clone());
        origins.push(self.refuses.clone());
        origins
    }

    /// The upstream that hangs, by https.
    pub(super) fn in_tls(&self) -> String {
        self.hangs.origin().replace("http://", "https://")
    }
}

impl Scene {
    pub(super) async fn set() -> Self {
        let upstreams = Upstreams::start().await;
        let (allowed, component) = (upstreams.allowed(), artifacts::MISBEHAVING);
        let mut config = PATIENT.to_owned();
        for (name, executions, more) in CLIENTS {
            config += &format!(
                "[clients.{name}]\ncomponent = '{component}'\nallow = {allowed:?}\n\
                 limits.max_executions = {executions}\n{EACH}{}\n",
                far(more)
            );
        }
        let items = format!("{}/items", upstreams.breaks_off.origin());
        let few = far(FEW);
        config += &format!("[clients.builtin]\nbase_url = '{items}'\n{few}{EACH}");
        config += &format!("[clients.other]\ncomponent = '{component}'\n{few}{EACH}");
        let folder = Folder::new();
        let file = folder.write("clients.toml", config.as_bytes());
        // Freed memory is returned at once, so that resident memory is memory in use.
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

    /// A flight whose guest answers with items that contain this.
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

    /// Reloads the service with one more client, with these limits on compiling it, whose file the service
    /// refuses with this message.
    pub(super) fn refuses<'a>(
        &'a self,
        name: String,
        component: Vec<u8>,
        limits: &'a str,
        message: &'a str,
    ) -> BoxFuture<'a, ()> {
        async move {
            let file = format!("{name}.wasm");
            self.folder.write(&file, &component);
            let client = format!("[clients.{name}]\ncomponent = '{file}'\n{FEW}");
            let config = format!("{}{client}[compile]\n{limits}\n", self.config);
            self.folder.write("clients.toml", config.as_bytes());
            self.service.hang_up();
            let path = self.folder.path().join(&file);
            let refusal = format!(
                "could not load the client {name}: cannot run {}: ",
                path.display()
            );
            self.service.logged(&format!("{refusal}{message}")).await;
        }
        .boxed()
    }

    /// Calls a client that works.
    pub(super) async fn unharmed(&self) {
        let answer = self.ask("other", "echo:unharmed").await;
        assert_eq!(answer.body(), r#"[{"id":"unharmed","body":"unharmed"}]"#);
    }
}
