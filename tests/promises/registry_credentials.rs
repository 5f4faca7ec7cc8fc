//! Which credentials a registry gets, and where they do not go.

use oneflight_tests::fake_registry::{FakeRegistry, Reply, manifest_of, serving};
use oneflight_tests::folder::Folder;

use crate::registries::{EMPTY, failed, out, pull_from, run_in};

/// The base64 of robot:s3cret-word.
const AUTH: &str = "cm9ib3Q6czNjcmV0LXdvcmQ=";

/// A folder with the credentials robot:s3cret-word for `host` in docker's configuration.
fn logged_in(host: &str) -> Folder {
    let folder = Folder::new();
    let config = format!(r#"{{"auths":{{"{host}":{{"auth":"{AUTH}"}}}}}}"#);
    folder.write("config.json", config.as_bytes());
    folder
}

/// Pulls from `registry` with credentials, and returns all that is logged.
async fn pulled(registry: &FakeRegistry) -> String {
    let folder = logged_in(&registry.host());
    let reference = format!("oci://{}/acme/items:1", registry.host());
    let output = run_in(&folder, &["--log", "trace", "pull", &reference]).await;
    assert!(out(&output).contains("from the registry"));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

// fault 136
#[tokio::test]
async fn credentials_go_to_the_registry_and_its_token_server_and_not_where_it_redirects() {
    let blobs = FakeRegistry::start(|_| Reply::ok(EMPTY)).await;
    let target = blobs.host();
    let registry = FakeRegistry::start(move |request| {
        if request == "GET /v2/" {
            return Reply::status(401, "www-authenticate: Basic realm=\"tests\"\r\n");
        }
        if request.contains("/blobs/") {
            return Reply::status(307, &format!("location: http://{target}/blob?signed=1\r\n"));
        }
        serving(request, manifest_of(EMPTY).as_bytes(), EMPTY)
    })
    .await;
    let printed = pulled(&registry).await;
    assert!(
        !printed.contains("s3cret") && !printed.contains(AUTH),
        "{printed}"
    );
    let authorized = |registry: &FakeRegistry| {
        let heads = registry.heads();
        let is_so = |head: &&String| head.contains(&format!("authorization: Basic {AUTH}\r\n"));
        (heads.iter().filter(is_so).count(), heads.len())
    };
    // The first request asks how to authenticate, and has none.
    assert_eq!(authorized(&registry).0, 2);
    assert_eq!(authorized(&blobs), (0, 1));
    assert!(!blobs.heads()[0].to_lowercase().contains("authorization"));
}

// fault 136
#[tokio::test]
async fn a_token_is_fetched_with_the_credentials_and_sent_in_their_place() {
    let token = FakeRegistry::start(|_| Reply::ok(r#"{"token":"t0ken-of-robot"}"#)).await;
    let server = token.host();
    let registry = FakeRegistry::start(move |request| {
        if request == "GET /v2/" {
            let realm = format!("Bearer realm=\"http://{server}/token\",service=\"tests\"");
            return Reply::status(401, &format!("www-authenticate: {realm}\r\n"));
        }
        serving(request, manifest_of(EMPTY).as_bytes(), EMPTY)
    })
    .await;
    let printed = pulled(&registry).await;
    assert!(
        !printed.contains("t0ken") && !printed.contains("s3cret"),
        "{printed}"
    );
    let request = &token.heads()[0];
    let expected = "GET /token?service=tests&scope=repository%3Aacme%2Fitems%3Apull HTTP/1.1\r\n";
    assert!(request.starts_with(expected), "{request}");
    assert!(
        request.contains(&format!("authorization: Basic {AUTH}\r\n")),
        "{request}"
    );
    let heads = registry.heads();
    assert!(
        !heads.iter().any(|head| head.contains("Basic")),
        "{heads:?}"
    );
    let with_token = |head: &&String| head.contains("authorization: Bearer t0ken-of-robot\r\n");
    assert_eq!(heads.iter().filter(with_token).count(), 2);
}

// fault 136
#[tokio::test]
async fn a_registry_of_tls_can_move_neither_a_password_nor_a_download_to_plain_http() {
    let registry = FakeRegistry::start(|request| match request {
        "GET /v2/" => Reply::status(
            401,
            "www-authenticate: Bearer realm=\"http://token.example/\"\r\n",
        ),
        _ => Reply::status(404, ""),
    })
    .await;
    let folder = logged_in(&registry.host());
    let reference = format!("oci://{}/acme/items:1", registry.host());
    let error = failed(&run_in(&folder, &["pull", &reference]).await);
    assert!(
        error.contains("got a token server without https"),
        "{error}"
    );
    for (location, expected) in [
        (
            "http://blobs.example/x",
            "got a location of plain HTTP; it is not followed",
        ),
        (
            "ftp://blobs.example/x",
            "got a location that is no URL of HTTP",
        ),
        (
            "https://user:pass@blobs.example/x",
            "got a location that is no URL of HTTP",
        ),
        (
            "/v2/acme/items/blobs/again",
            "got more than 10 redirections",
        ),
    ] {
        let registry = FakeRegistry::start(move |request| {
            if request.contains("/blobs/") {
                return Reply::status(302, &format!("location: {location}\r\n"));
            }
            serving(request, manifest_of(EMPTY).as_bytes(), EMPTY)
        })
        .await;
        let (_folder, output) = pull_from(&registry, ":1", &[]).await;
        let error = failed(&output);
        assert!(error.contains(expected), "{error}");
    }
}

// fault 136
#[tokio::test]
async fn a_refusal_names_which_credentials_were_used_and_none_of_their_content() {
    let registry = FakeRegistry::start(|request| match request {
        "GET /v2/" => Reply::status(401, "www-authenticate: Basic realm=\"tests\"\r\n"),
        _ => Reply::status(403, ""),
    })
    .await;
    let host = registry.host();
    let reference = format!("oci://{host}/acme/items:1");
    let folder = logged_in(&host);
    let file = folder.path().join("config.json");
    let error = failed(&run_in(&folder, &["pull", &reference]).await);
    let expected = format!(
        "{reference}: expected permission, got 403 Forbidden with the credentials for {host} in {}; check the name",
        file.display()
    );
    assert!(
        error.contains(&expected) && !error.contains("s3cret"),
        "{error}"
    );

    let other = logged_in("other.example");
    let error = failed(&run_in(&other, &["pull", &reference]).await);
    assert!(
        error.contains(&format!("config.json has none for {host})")),
        "{error}"
    );
    let error = failed(&run_in(&Folder::new(), &["pull", &reference]).await);
    assert!(
        error.contains("with no credentials (there is no "),
        "{error}"
    );
    folder.write("config.json", b"s3cret");
    let error = failed(&run_in(&folder, &["pull", &reference]).await);
    assert!(
        error.contains("got a file that is not the configuration of docker"),
        "{error}"
    );
    assert!(!error.contains("s3cret"), "{error}");
}

/// A folder with the credential helper `tests`, which runs this script.
fn with_helper(host: &str, script: &str) -> Folder {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let config = format!(r#"{{"credHelpers":{{"{host}":"tests"}}}}"#);
    folder.write("config.json", config.as_bytes());
    let helper = folder.write("docker-credential-tests", script.as_bytes());
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

// fault 136
#[tokio::test]
async fn a_credential_helper_is_run_and_its_words_are_not_repeated() {
    let registry = FakeRegistry::start(|request| match request {
        "GET /v2/" => Reply::status(401, "www-authenticate: Basic realm=\"tests\"\r\n"),
        _ => serving(request, manifest_of(EMPTY).as_bytes(), EMPTY),
    })
    .await;
    let host = registry.host();
    let reference = format!("oci://{host}/acme/items:1");
    let pull = ["--log", "trace", "pull", &reference];
    let stored = r#"#!/bin/sh
read -r host; [ "$1" = get ] && printf '{"ServerURL":"%s","Username":"robot","Secret":"s3cret-word"}' "$host""#;
    let output = run_in(&with_helper(&host, stored), &pull).await;
    assert!(out(&output).contains("from the registry"));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("s3cret"));
    let last = registry.heads().pop().unwrap();
    assert!(
        last.contains(&format!("authorization: Basic {AUTH}\r\n")),
        "{last}"
    );

    let fails = "#!/bin/sh\nread -r host; echo s3cret-word; echo s3cret-word >&2; exit 1";
    let error = failed(&run_in(&with_helper(&host, fails), &pull).await);
    assert!(
        error.contains("got a failure of docker-credential-tests; run docker login again"),
        "{error}"
    );
    assert!(!error.contains("s3cret"), "{error}");
    let talks = "#!/bin/sh\nread -r host; echo s3cret-word";
    let error = failed(&run_in(&with_helper(&host, talks), &pull).await);
    assert!(
        error.contains("got something else from the helper"),
        "{error}"
    );
    assert!(!error.contains("s3cret"), "{error}");
    let hangs = "#!/bin/sh\nexec tail -f /dev/null";
    let timeout = [&pull[..], &["--registry-response-timeout", "1s"]].concat();
    let error = failed(&run_in(&with_helper(&host, hangs), &timeout).await);
    assert!(
        error.contains("expected credentials from the credential helper within"),
        "{error}"
    );
}
