//! The settings of a client that only its component understands: checked by the parser of the built-in client, or by a
//! call.

use oneflight_tests::artifacts;
use oneflight_tests::caller::{code, get};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{self, run};
use oneflight_tests::upstream::{Answer, ITEMS_JSON, Upstream};

use crate::configuration::asking;

const URL: &str = "base_url = 'http://127.0.0.1:9/{x}'";

/// Lines of a client's table, the line of the file with the mistake, its setting, and what the message begins with.
const REFUSED: &[(&[&str], usize, &str, &str)] = &[
    (
        &["base_url = 'http://a.example/{id}'"],
        2,
        "base_url",
        "expected a URL with {x} as the only placeholder",
    ),
    (
        &["base_url = 'http://a.example/%s'"],
        2,
        "base_url",
        "expected a URL with two hexadecimal digits",
    ),
    (
        &["base_url = 'http://a.example/items/:id'"],
        2,
        "base_url",
        "expected a URL with {x} as the only placeholder",
    ),
    (
        &["base_url = 'http://{x}.example/'"],
        2,
        "base_url",
        "expected a URL with {x} in its path or query",
    ),
    (
        &["base_url = 'http://a.example/{x}#s3cret'"],
        2,
        "base_url",
        "expected a URL without a fragment",
    ),
    (
        &["base_url = 'http://u:s3cret@a.example/'"],
        2,
        "base_url",
        "expected a URL without a user",
    ),
    (
        &["base_url = 'ftp://s3cret.example/'"],
        2,
        "base_url",
        "expected http[s]://host[:port]/...",
    ),
    (
        &["settings.BASE_URL = 's3cret'"],
        2,
        "settings.BASE_URL",
        "expected http[s]://host[:port]/...",
    ),
    (
        &[URL, "settings.ITEMS_AT = 'items'"],
        3,
        "settings.ITEMS_AT",
        "expected a JSON pointer",
    ),
    (
        &[URL, "", "settings.ID_AT = '$.id'"],
        4,
        "settings.ID_AT",
        "expected a JSON pointer",
    ),
    (
        &[URL, "settings.HEADER_HOST = 's3cret'"],
        3,
        "settings.HEADER_HOST",
        "expected a header that a client may send",
    ),
    (
        &[URL, "settings.HEADER_A = { file = 'secret' }"],
        3,
        "settings.HEADER_A",
        "expected one line without control characters",
    ),
    (
        &[URL, "settings.HEADER_A = 'b'", "settings.HEADER_a = 'c'"],
        4,
        "settings.HEADER_a",
        "expected one setting for each header",
    ),
    (
        &[URL, "settings.ITEM_AT = '/a'"],
        3,
        "settings.ITEM_AT",
        "expected BASE_URL, HEADER_<NAME>",
    ),
];

// fault 72
#[tokio::test]
async fn what_the_built_in_client_would_refuse_is_refused_with_its_line() {
    let folder = Folder::new();
    folder.write("secret", b"s3cret\n\n");
    for (settings, line, setting, expected) in REFUSED {
        let text = format!("[clients.a]\n{}\n", settings.join("\n"));
        let file = folder.write("a.toml", text.as_bytes());
        for args in [
            &["config", "check", &file][..],
            &["serve", "--config", &file],
        ] {
            let refused = run(args).await;
            assert_eq!(refused.status.code(), Some(1), "{text}");
            let printed = String::from_utf8(refused.stderr).unwrap();
            let complaint = format!("{file}:{line}: clients.a.{setting}: {expected}");
            assert!(printed.contains(&complaint), "{printed}");
            assert!(!printed.contains("s3cret"), "{printed}");
        }
    }
}

// fault 72
#[tokio::test]
async fn what_the_built_in_client_would_refuse_is_refused_as_a_flag() {
    for (flags, setting, expected) in [
        (
            &["--base-url", "http://127.0.0.1:9/{id}"][..],
            "BASE_URL",
            "expected a URL with {x} as the only placeholder",
        ),
        (
            &[
                "--base-url",
                "http://127.0.0.1:9",
                "--set",
                "ITEMS_AT=items",
            ],
            "ITEMS_AT",
            "expected a JSON pointer",
        ),
        (
            &["--base-url", "http://127.0.0.1:9", "--set", "HEADER_HOST=a"],
            "HEADER_HOST",
            "expected a header that a client",
        ),
    ] {
        for command in [&["get", "1"][..], &["serve"]] {
            let refused = run(&[command, flags].concat()).await;
            assert_eq!(refused.status.code(), Some(1), "{flags:?}");
            let printed = String::from_utf8(refused.stderr).unwrap();
            assert!(
                printed.starts_with(&format!("error: {expected}")),
                "{printed}"
            );
            assert!(printed.contains(setting), "{printed}");
        }
    }
}

// fault 73
#[tokio::test]
async fn a_secret_from_elsewhere_loses_one_line_end_and_may_have_no_other() {
    const NAME: &str = "HEADER_AUTHORIZATION";
    let folder = Folder::new();
    for end in ["", "\n", "\r\n", "\r"] {
        let upstream = Upstream::start(Answer::Items).await;
        let value = format!("Bearer abc{end}");
        folder.write("secret", value.as_bytes());
        let flags = [
            "get",
            "1",
            "--base-url",
            &upstream.origin(),
            "--set-from-env",
            NAME,
        ];
        let got = process::oneflight(&flags).env(NAME, &value).output().await;
        assert!(got.unwrap().status.success(), "{end:?}");
        for origin in ["{ env = 'SECRET' }", "{ file = 'secret' }"] {
            let text = format!("{}settings.{NAME} = {origin}\n", asking(&upstream));
            let file = folder.write("a.toml", text.as_bytes());
            let args = ["--config", &file];
            let service = process::Service::start_with(&args, &[("SECRET", &value)]).await;
            let answer = get(service.address, "/v1/a/items?x=1").await;
            assert_eq!(answer.body(), ITEMS_JSON, "{end:?}");
        }
        let heads = upstream.heads();
        assert_eq!(heads.len(), 3);
        for head in heads {
            assert!(head.contains("authorization: Bearer abc\r\n"), "{head:?}");
        }
    }
    let flags = [
        "get",
        "1",
        "--base-url",
        "http://127.0.0.1:9",
        "--set-from-env",
        NAME,
    ];
    let refused = process::oneflight(&flags)
        .env(NAME, "Bearer abc\n\n")
        .output()
        .await
        .unwrap();
    let printed = String::from_utf8(refused.stderr).unwrap();
    let expected = "expected one line without control characters";
    assert!(
        printed.contains(expected) && printed.contains(NAME),
        "{printed}"
    );
    assert!(!printed.contains("abc"), "{printed}");
}

/// A file with the client `a`: a component that does what its keys say.
fn misbehaving(probe: &str) -> String {
    let component = artifacts::MISBEHAVING;
    format!("[clients.a]\ncomponent = '{component}'\nprobe = '{probe}'\n")
}

// fault 74
#[tokio::test]
async fn a_client_with_a_probe_is_called_once_at_the_start_and_at_each_reload() {
    let upstream = Upstream::start(Answer::Items).await;
    let folder = Folder::new();
    let text = format!(
        "{}probe = 'first'\n",
        asking(&upstream).replace("/items", "/items/{x}")
    );
    let file = folder.write("a.toml", text.as_bytes());
    let service = process::Service::start(&["--config", &file]).await;
    assert_eq!(upstream.requests(), 1);
    assert!(
        upstream.heads()[0].starts_with("GET /items/first "),
        "{:?}",
        upstream.heads()
    );
    service.hang_up();
    service.logged("unchanged=1").await;
    assert_eq!(upstream.requests(), 2);
    let changed = format!("{text}settings.HEADER_A = 'b'\n");
    folder.write("a.toml", changed.as_bytes());
    service.hang_up();
    service.logged("unchanged=0").await;
    assert_eq!(upstream.requests(), 3);
    let checked = run(&["config", "check", &file]).await;
    assert!(checked.status.success(), "{checked:?}");
    assert_eq!(upstream.requests(), 4);
    assert_eq!(
        get(service.address, "/v1/a/items?x=1").await.body(),
        ITEMS_JSON
    );
    assert_eq!(upstream.requests(), 5);
}

// fault 74
#[tokio::test]
async fn a_probe_that_fails_at_a_reload_refuses_it_even_if_its_client_has_not_changed() {
    let upstream = Upstream::start(Answer::OneInAll).await;
    let folder = Folder::new();
    let text = format!("{}probe = 'first'\n", asking(&upstream));
    let file = folder.write("a.toml", text.as_bytes());
    let service = process::Service::start(&["--config", &file]).await;
    let added = format!("{text}{}", misbehaving("echo:1").replace(".a]", ".b]"));
    folder.write("a.toml", added.as_bytes());
    service.hang_up();
    service
        .logged(
            "nothing has changed: could not probe the client a: expected items for the key of probe, got \
             upstream-unavailable",
        )
        .await;
    let answer = get(service.address, "/v1/b/items?x=echo:1").await;
    assert_eq!(code(&answer), "unknown-client");
}

// fault 74
#[tokio::test]
async fn a_client_whose_probe_fails_is_not_loaded() {
    let hangs = Upstream::start(Answer::NoHead).await;
    let folder = Folder::new();
    let hanging = format!(
        "[clients.a]\nbase_url = '{}'\nprobe = 's3cret'\nlimits.flight_timeout = '1h'\nlimits.request_timeout = '100ms'\n",
        hangs.origin()
    );
    for (text, code) in [
        (misbehaving("error:other"), "other"),
        (misbehaving("error:not-found"), "not-found"),
        (misbehaving("trap"), "guest-trap"),
        (hanging, "upstream-timeout"),
    ] {
        let file = folder.write("a.toml", text.as_bytes());
        for args in [
            &["config", "check", &file][..],
            &[
                "serve",
                "--config",
                &file,
                "--listen",
                "127.0.0.1:0",
                "--admin",
                "off",
            ],
        ] {
            let refused = run(args).await;
            assert_eq!(refused.status.code(), Some(1), "{text}");
            let printed = String::from_utf8(refused.stderr).unwrap();
            let expected = format!("expected items for the key of probe, got {code}: ");
            assert!(printed.contains(&expected), "{printed}");
            assert!(!printed.contains("s3cret"), "{printed}");
        }
    }
    let file = folder.write("a.toml", misbehaving("echo:1").as_bytes());
    let service = process::Service::start(&["--config", &file]).await;
    folder.write("a.toml", misbehaving("error:other").as_bytes());
    service.hang_up();
    service.logged("nothing has changed: could not load the client a: expected items for the key of probe, got other").await;
    let answer = get(service.address, "/v1/a/items?x=echo:1").await;
    assert_eq!(answer.body(), r#"[{"id":"1","body":"1"}]"#);
}
