//! Components of a registry that answers as the test says: rightly, wrongly, slowly or not at all.

use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use oneflight::BUILTIN;
use oneflight::oci::Sha256Digest;
use oneflight_tests::caller::get;
use oneflight_tests::failsafe;
use oneflight_tests::fake_registry::{FakeRegistry, Reply, manifest_of, serving};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{Service, oneflight};
use oneflight_tests::proxy::{Handling, Proxy};
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};

/// The smallest component.
pub(crate) const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

/// Runs `oneflight ARGS` with a cache and a configuration of docker in `folder`.
pub(crate) async fn run_in(folder: &Folder, args: &[&str]) -> Output {
    let mut command = oneflight(args);
    command
        .env("XDG_CACHE_HOME", folder.path().join("caches"))
        .env("DOCKER_CONFIG", folder.path());
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", folder.path().display());
    command.env("PATH", path);
    let output = command.output();
    failsafe("oneflight to end", output).await.unwrap()
}

pub(crate) fn out(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What a command that fails prints.
pub(crate) fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

pub(crate) async fn pull_from(
    registry: &FakeRegistry,
    version: &str,
    args: &[&str],
) -> (Folder, Output) {
    let folder = Folder::new();
    let reference = format!("oci://{}/acme/items{version}", registry.host());
    let args = [&["pull", &reference], args].concat();
    let output = run_in(&folder, &args).await;
    (folder, output)
}

#[tokio::test]
async fn a_tag_is_requested_each_time_and_a_digest_that_is_cached_is_not() {
    let manifest = manifest_of(EMPTY);
    let digest = Sha256Digest::of(manifest.as_bytes());
    let registry = FakeRegistry::of(manifest.into(), EMPTY.into()).await;
    let folder = Folder::new();
    let tag = format!("oci://{}/acme/items:1", registry.host());
    let pinned = format!("oci://{}/acme/items@{digest}", registry.host());
    let file = folder.path().join("items.wasm");
    let output = run_in(&folder, &["pull", &tag, "-o", file.to_str().unwrap()]).await;
    let size = EMPTY.len();
    assert_eq!(
        out(&output),
        format!("{pinned}\n  digest   {digest}\n  size     {size} bytes, from the registry\n")
    );
    assert_eq!(std::fs::read(&file).unwrap(), EMPTY);
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(
        log.contains(&format!("write {pinned} to keep this one")),
        "{log}"
    );
    let count = |part: &str| {
        let heads = registry.heads();
        heads.iter().filter(|head| head.contains(part)).count()
    };
    assert_eq!((count("/manifests/1"), count("/blobs/")), (1, 1));

    let again = out(&run_in(&folder, &["pull", &tag]).await);
    assert!(again.ends_with("from the cache\n"), "{again}");
    assert_eq!((count("/manifests/"), count("/blobs/")), (2, 1));

    let before = registry.heads().len();
    let output = run_in(&folder, &["pull", "--json", &pinned]).await;
    let json: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(json["digest"], digest.to_string());
    assert_eq!(
        (&json["source"], &json["bytes"]),
        (&"cache".into(), &size.into())
    );
    assert_eq!(output.stderr, b"");
    assert_eq!(registry.heads().len(), before);
}

// fault 134
#[tokio::test]
async fn what_has_not_the_digest_or_the_form_that_was_stated_is_not_used() {
    let manifest = manifest_of(EMPTY);
    let with = |old: &str, new: &str| manifest.replace(old, new);
    let other = Sha256Digest::of(b"other");
    let longer = [EMPTY, b" "].concat();
    for (manifest, component, version, expected) in [
        (
            manifest.clone(),
            EMPTY.to_vec(),
            format!("@{other}"),
            format!("expected a manifest with the digest {other}, got sha256:"),
        ),
        (
            manifest.clone(),
            b"\0asm\x0d\0\x01\x01".to_vec(),
            ":1".to_owned(),
            "expected a component with the digest sha256:".to_owned(),
        ),
        (
            manifest.clone(),
            longer,
            ":1".to_owned(),
            "expected a component of 8 bytes as its manifest says, got another length".to_owned(),
        ),
        (
            manifest.clone(),
            vec![0],
            ":1".to_owned(),
            "expected a component of 8 bytes as its manifest says, got another length".to_owned(),
        ),
        (
            with("\"size\":8", "\"size\":999999999"),
            EMPTY.to_vec(),
            ":1".to_owned(),
            "expected a component of at most 62914560 bytes, got a larger one".to_owned(),
        ),
        (
            with("application/wasm\"", "text/html\""),
            EMPTY.to_vec(),
            ":1".to_owned(),
            "got a layer of text/html instead of application/wasm".to_owned(),
        ),
        (
            with("vnd.wasm.config.v0", "vnd.oci.image.config.v1"),
            EMPTY.to_vec(),
            ":1".to_owned(),
            "got a config of application/vnd.oci.image.config.v1+json instead".to_owned(),
        ),
        (
            with(
                "\"layers\":[{",
                "\"layers\":[{\"mediaType\":\"a\",\"digest\":\"b\",\"size\":1},{",
            ),
            EMPTY.to_vec(),
            ":1".to_owned(),
            "expected an artifact of one layer, got 2".to_owned(),
        ),
        (
            "{\"manifests\":[]}".to_owned(),
            EMPTY.to_vec(),
            ":1".to_owned(),
            "got an index of 0 manifests".to_owned(),
        ),
        (
            "<html>".to_owned(),
            EMPTY.to_vec(),
            ":1".to_owned(),
            "got a manifest that cannot be read".to_owned(),
        ),
    ] {
        let registry = FakeRegistry::of(manifest.into(), component).await;
        let (folder, output) = pull_from(&registry, &version, &["-o", "/nowhere/items.wasm"]).await;
        let error = failed(&output);
        assert!(error.contains(&expected), "{expected}: {error}");
        let artifact = format!("error: oci://{}/acme/items", registry.host());
        assert!(error.contains(&artifact), "{error}");
        let cached = folder.path().join("caches/oneflight/oci");
        let cached = std::fs::read_dir(cached).unwrap();
        let is_component = |name: &str| name.contains(".wasm");
        assert!(
            !cached
                .into_iter()
                .any(|entry| is_component(&entry.unwrap().file_name().to_string_lossy()))
        );
    }
}

// fault 134
#[tokio::test]
async fn the_size_of_everything_that_a_registry_sends_is_limited() {
    let endless = |part: &'static str| {
        FakeRegistry::start(move |request| {
            if request.contains(part) {
                Reply::Endless
            } else {
                serving(request, manifest_of(EMPTY).as_bytes(), EMPTY)
            }
        })
    };
    for (part, expected) in [
        (
            "/manifests/",
            "expected the manifest of the artifact of at most 4194304 bytes, got a larger one",
        ),
        (
            "/blobs/",
            "expected a component of 8 bytes as its manifest says, got another length",
        ),
    ] {
        let registry = endless(part).await;
        let (_folder, output) = pull_from(&registry, ":1", &[]).await;
        let error = failed(&output);
        assert!(error.contains(expected), "{error}");
    }
    // The answer of a token server, too; and the body of an error is not read at all.
    let registry = FakeRegistry::start(|request| match request {
        "GET /v2/" => Reply::status(
            401,
            "www-authenticate: Bearer realm=\"http://127.0.0.1:9/token\"\r\n",
        ),
        _ => Reply::Endless,
    })
    .await;
    let (_folder, output) = pull_from(&registry, ":1", &[]).await;
    assert!(failed(&output).contains("expected a connection to the registry, got none"));
    let token = FakeRegistry::start(|_| Reply::Endless).await;
    let host = token.host();
    let registry = FakeRegistry::start(move |_| {
        Reply::status(
            401,
            &format!("www-authenticate: Bearer realm=\"http://{host}/token\"\r\n"),
        )
    })
    .await;
    let (_folder, output) = pull_from(&registry, ":1", &[]).await;
    let error = failed(&output);
    assert!(
        error.contains("expected an answer of the token server of at most 262144 bytes"),
        "{error}"
    );
    let registry = FakeRegistry::start(|request| match request {
        "GET /v2/" => Reply::ok("{}"),
        _ => Reply::Whole(500, String::new(), vec![b'x'; 1 << 20]),
    })
    .await;
    let (_folder, output) = pull_from(&registry, ":1", &[]).await;
    let error = failed(&output);
    assert!(
        error.contains("expected the manifest of the artifact, got 500 Internal Server Error"),
        "{error}"
    );
}

// fault 135
#[tokio::test]
async fn a_registry_that_hangs_or_drips_is_given_up_with_the_setting_to_raise() {
    for (part, reply, flag, expected) in [
        (
            "GET /v2/",
            Reply::Silence,
            "--registry-response-timeout",
            "expected a response within registry.response_timeout",
        ),
        (
            "/manifests/",
            Reply::Silence,
            "--registry-response-timeout",
            "expected a response within registry.response_timeout",
        ),
        (
            "/blobs/",
            Reply::Announced(8, b"\0asm".to_vec()),
            "--registry-response-timeout",
            "expected more of the response within registry.response_timeout",
        ),
        (
            "/manifests/",
            Reply::Drip,
            "--registry-transfer-timeout",
            "expected the whole transfer within registry.transfer_timeout",
        ),
    ] {
        let registry = FakeRegistry::start(move |request| {
            if request.contains(part) {
                reply.clone()
            } else {
                serving(request, manifest_of(EMPTY).as_bytes(), EMPTY)
            }
        })
        .await;
        let (_folder, output) = pull_from(&registry, ":1", &[flag, "1s"]).await;
        let error = failed(&output);
        assert!(error.contains(expected) && error.contains(flag), "{error}");
    }
}

/// What a caller of the client gets.
async fn answer(service: &Service) -> String {
    let answer = get(service.address, "/v1/items/items?x=1").await;
    String::from_utf8(answer.body().to_vec()).unwrap()
}

// fault 135
#[tokio::test]
async fn a_reload_follows_a_tag_and_keeps_what_runs_while_the_registry_is_away() {
    let first = BUILTIN.to_vec();
    // The same component with a custom section, which has another digest.
    let second = [&first[..], b"\0\x03\x01a\0"].concat();
    let state = Arc::new(Mutex::new(first.clone()));
    let (is_away, blobs) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let registry = FakeRegistry::start({
        let (state, is_away, blobs) =
            (Arc::clone(&state), Arc::clone(&is_away), Arc::clone(&blobs));
        move |request| {
            if is_away.load(Ordering::SeqCst) {
                return Reply::status(503, "");
            }
            if request.contains("/blobs/") {
                blobs.fetch_add(1, Ordering::SeqCst);
            }
            let component = state.lock().unwrap().clone();
            serving(request, manifest_of(&component).as_bytes(), &component)
        }
    })
    .await;
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let config = format!(
        "[clients.items]\ncomponent = 'oci://{}/acme/items:1'\nbase_url = '{}/items'\n[compile]\ncache = 'caches/oneflight'\n",
        registry.host(),
        upstream.origin()
    );
    let file = folder.write("oneflight.toml", config.as_bytes());
    let serve = ["--config", &file];
    let service = Service::start(&serve).await;
    assert_eq!(answer(&service).await, ITEMS_JSON);
    assert_eq!(blobs.load(Ordering::SeqCst), 1);
    service.hang_up();
    service.logged("reloaded clients=1 unchanged=1").await;

    *state.lock().unwrap() = second.clone();
    service.hang_up();
    service.logged("reloaded clients=1 unchanged=0").await;
    assert_eq!(blobs.load(Ordering::SeqCst), 2);
    assert_eq!(answer(&service).await, ITEMS_JSON);

    is_away.store(true, Ordering::SeqCst);
    *state.lock().unwrap() = first.clone();
    service.hang_up();
    let digest = Sha256Digest::of(manifest_of(&second).as_bytes());
    service
        .logged("the registry does not say what the tag stands for")
        .await;
    service.logged(&format!("digest={digest}")).await;
    assert_eq!(answer(&service).await, ITEMS_JSON);
    service.terminate();
    let (code, log) = service.ended().await;
    assert_eq!(code, Some(0));
    assert_eq!(log.matches("unchanged=1").count(), 2, "{log}");

    // A start without the registry has the digest that the tag stood for last.
    let checked = out(&run_in(&folder, &["config", "check", &file]).await);
    let expected = format!(
        "items: oci://{}/acme/items:1 ({digest}, from the cache)",
        registry.host()
    );
    assert!(checked.contains(&expected), "{checked}");
    let service = Service::start(&serve).await;
    assert_eq!(answer(&service).await, ITEMS_JSON);
    assert_eq!(blobs.load(Ordering::SeqCst), 2);
}

// fault 135
#[tokio::test]
async fn without_a_cached_digest_a_registry_that_is_away_fails_the_reload_and_changes_nothing() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let config = |component: &str| {
        let url = upstream.origin();
        let text = format!(
            "[clients.items]\n{component}base_url = '{url}/items'\n[compile]\ncache = 'caches/oneflight'\n"
        );
        folder.write("oneflight.toml", text.as_bytes())
    };
    let file = config("");
    let service = Service::start(&["--config", &file]).await;
    assert_eq!(answer(&service).await, ITEMS_JSON);
    // Nothing listens on port 9.
    config("component = 'oci://127.0.0.1:9/acme/items:1'\n");
    service.hang_up();
    service
        .logged("could not reload; nothing has changed: could not load the client items: oci://127.0.0.1:9/acme/items:1: \
                 expected a connection to the registry, got none")
        .await;
    assert_eq!(answer(&service).await, ITEMS_JSON);
}

// fault 137
#[tokio::test]
async fn the_policy_that_an_artifact_suggests_is_shown_and_has_no_effect() {
    let component = BUILTIN.to_vec();
    let upstream = Upstream::start(Answer::Items).await;
    let policy = format!("allow = ['{}']\\n\u{1b}[31mred", upstream.origin());
    let policy = policy.replace('\u{1b}', "\\u001b");
    let manifest = manifest_of(&component).replace(
        "}]}",
        &format!(r#"}}],"annotations":{{"io.oneflight.policy":"{policy}"}}}}"#),
    );
    let registry = FakeRegistry::of(manifest.into(), component).await;
    let folder = Folder::new();
    let reference = format!("oci://{}/acme/items:1", registry.host());
    for command in ["pull", "check"] {
        let printed = out(&run_in(&folder, &[command, &reference]).await);
        let expected = format!(
            "it has no effect: copy what you agree with into the client's settings\n             allow = ['{}']\n             \
             \\u{{1b}}[31mred\n",
            upstream.origin()
        );
        assert!(printed.contains(&expected), "{printed}");
    }
    let url = format!("BASE_URL={}/items", upstream.origin());
    let get = ["get", "1", "--component", &reference, "--set", &url];
    let denied = run_in(&folder, &get).await;
    let denied = String::from_utf8(denied.stderr).unwrap();
    assert!(denied.contains("upstream-denied"), "{denied}");
    assert_eq!(upstream.requests(), 0);
    let origin = upstream.origin();
    let allowed = [&get[..], &["--allow", &origin]].concat();
    out(&run_in(&folder, &allowed).await);
    assert_eq!(upstream.requests(), 1);
}

#[tokio::test]
async fn a_registry_is_reached_through_a_tunnel_of_the_proxy_that_is_set() {
    let registry = FakeRegistry::of(manifest_of(EMPTY).into(), EMPTY.into()).await;
    let proxy = Proxy::start(Handling::Forward).await;
    // A name that only the proxy resolves.
    let host = registry.host().replace("127.0.0.1", "registry.example");
    let url = format!("http://robot:s3cret-word@{}", proxy.address());
    let reference = format!("oci://{host}/acme/items:1");
    let folder = Folder::new();
    let args = ["--log", "trace", "pull", &reference, "--plain-http", &host];
    let output = run_in(&folder, &[&args[..], &["--proxy", &url]].concat()).await;
    assert!(out(&output).contains("from the registry"));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("s3cret"));
    let heads = proxy.heads();
    let is_tunnel = |head: &String| {
        head.starts_with(&format!("CONNECT {host} HTTP/1.1\r\n"))
            && head.contains("proxy-authorization: Basic cm9ib3Q6czNjcmV0LXdvcmQ=\r\n")
    };
    assert!(
        !heads.is_empty() && heads.iter().all(is_tunnel),
        "{heads:?}"
    );
    let at_registry = registry.heads();
    assert!(
        !at_registry.iter().any(|head| head.contains("proxy-")),
        "{at_registry:?}"
    );
}

#[tokio::test]
async fn a_reference_that_is_not_valid_is_refused_with_its_place() {
    let folder = Folder::new();
    let file = folder.write(
        "oneflight.toml",
        b"[clients.items]\ncomponent = 'oci://ghcr.io/acme/items'\n",
    );
    let error = failed(&run_in(&folder, &["config", "check", &file]).await);
    let expected = "oneflight.toml:2: clients.items.component: expected oci://REGISTRY/NAME:TAG or \
                    oci://REGISTRY/NAME@sha256:DIGEST, got \"oci://ghcr.io/acme/items\": it has neither a tag nor a digest";
    assert!(error.contains(expected), "{error}");
    for args in [
        &["check", "oci://ghcr.io/Acme:1"][..],
        &["get", "1", "--component", "oci://ghcr.io/a"],
        &["push", "items.wasm", "oci://ghcr.io/a@sha256:00"],
        &["pull", "ghcr.io/acme/items:1"],
    ] {
        let output = run_in(&folder, args).await;
        assert_eq!(output.status.code(), Some(2), "{output:?}");
    }
}
