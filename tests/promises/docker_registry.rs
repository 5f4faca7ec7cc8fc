//! Components in a real registry, docker-registry: plain on loopback, and with TLS and a password.

use oneflight::BUILTIN;
use oneflight_tests::docker_registry::{DockerRegistry, PASSWORD, USER};
use oneflight_tests::folder::Folder;
use oneflight_tests::tls::Identity;
use oneflight_tests::upstream::{Answer, Upstream};

use crate::registries::{failed, out, run_in};

fn digest_in(printed: &str) -> &str {
    let digest = printed
        .lines()
        .find_map(|line| line.strip_prefix("  digest "));
    digest.unwrap().trim()
}

#[tokio::test]
async fn a_component_that_was_pushed_is_pulled_checked_and_called() {
    let registry = DockerRegistry::start(None).await;
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let host = registry.host();
    let reference = format!("oci://{host}/acme/orders/items:1.0");
    let policy = folder.write("policy.toml", b"allow = ['https://api.example.com']\n");
    let component = folder.write("items.wasm", BUILTIN);
    let push = ["push", &component, &reference, "--policy", &policy];
    let pushed = out(&run_in(&folder, &push).await);
    let digest = digest_in(&pushed);
    // The second time the registry has the blobs, and the digest is the same.
    assert_eq!(out(&run_in(&folder, &push).await), pushed);
    let pulled = folder.path().join("pulled.wasm");
    let other = Folder::new();
    let args = ["pull", &reference, "-o", pulled.to_str().unwrap()];
    let printed = out(&run_in(&other, &args).await);
    assert_eq!(digest_in(&printed), digest);
    assert!(
        printed.contains("             allow = ['https://api.example.com']\n"),
        "{printed}"
    );
    assert_eq!(std::fs::read(&pulled).unwrap(), BUILTIN);
    let checked = out(&run_in(&other, &["check", &reference]).await);
    assert!(
        checked.contains(&format!("  digest   {digest}, from the cache\n")),
        "{checked}"
    );

    // By digest it needs no registry any more.
    registry.stop().await;
    let pinned = format!("oci://{host}/acme/orders/items@{digest}");
    let base_url = format!("{}/items", upstream.origin());
    let get = ["get", "1", "--component", &pinned, "--base-url", &base_url];
    let items = out(&run_in(&other, &get).await);
    assert_eq!(
        items,
        "1\t{\"id\":1,\"name\":\"bolt\"}\ntwo\t{\"id\":\"two\",\"name\":\"nut\"}\n"
    );
}

#[tokio::test]
async fn a_component_without_a_tag_is_known_by_its_digest() {
    let registry = DockerRegistry::start(None).await;
    let folder = Folder::new();
    let repository = format!("oci://{}/items", registry.host());
    let component = folder.write("items.wasm", BUILTIN);
    let args = ["push", &component, &repository, "--json"];
    let printed = out(&run_in(&folder, &args).await);
    let json: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let pinned = json["reference"].as_str().unwrap();
    assert_eq!(
        pinned,
        format!("{repository}@{}", json["digest"].as_str().unwrap())
    );
    assert!(out(&run_in(&folder, &["pull", pinned]).await).contains("from the registry"));
    for (reference, expected) in [
        (format!("{repository}:none"), "got 404 Not Found"),
        (
            format!("oci://{}/others:1", registry.host()),
            "got 404 Not Found",
        ),
    ] {
        let error = failed(&run_in(&folder, &["pull", &reference]).await);
        assert!(
            error.contains(&reference) && error.contains(expected),
            "{error}"
        );
    }
    let module = folder.write("module.wasm", b"\0asm\x01\0\0\0");
    let error = failed(&run_in(&folder, &["push", &module, &repository]).await);
    assert!(
        error.contains("expected a component, got something else"),
        "{error}"
    );
}

// fault 136
#[tokio::test]
async fn a_registry_with_tls_and_a_password_needs_its_root_and_the_login_of_docker() {
    let identity = Identity::new(&["127.0.0.1"]);
    let registry = DockerRegistry::start(Some(&identity)).await;
    let folder = Folder::new();
    let host = registry.host();
    let reference = format!("oci://{host}/acme/items:1");
    let ca = folder.write("ca.pem", identity.pem().as_bytes());
    let component = folder.write("items.wasm", BUILTIN);
    let push = ["push", &component, &reference, "--ca-file", &ca];
    let pull = ["pull", &reference, "--ca-file", &ca];
    let login = |password: &str| {
        use base64::Engine as _;
        let auth = format!("{USER}:{password}");
        let auth = base64::engine::general_purpose::STANDARD.encode(auth);
        let config = format!(r#"{{"auths":{{"{host}":{{"auth":"{auth}"}}}}}}"#);
        folder.write("config.json", config.as_bytes());
    };
    let error = failed(&run_in(&folder, &push).await);
    assert!(
        error.contains("expected permission, got 401 Unauthorized with no credentials"),
        "{error}"
    );
    login("wrong-word");
    let error = failed(&run_in(&folder, &push).await);
    assert!(
        error.contains(&format!(
            "got 401 Unauthorized with the credentials for {host} in "
        )),
        "{error}"
    );
    assert!(!error.contains("wrong-word"), "{error}");
    login(PASSWORD);
    out(&run_in(&folder, &push).await);
    assert!(out(&run_in(&folder, &pull).await).contains("from the registry"));

    let error = failed(&run_in(&folder, &["pull", &format!("oci://{host}/acme/items:2")]).await);
    assert!(
        error.contains("UnknownIssuer") && error.contains("--ca-file"),
        "{error}"
    );
}
