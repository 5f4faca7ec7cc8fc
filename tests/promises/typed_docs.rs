//! Documentation comments of typed functions: from the WIT that a client's settings name to the OpenAPI document.

use std::path::Path;

use oneflight::{LoadError, Settings, Wit};
use oneflight_tests::caller::get;
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{Service, run};
use oneflight_tests::serving::Serving;
use oneflight_tests::{Subject, artifacts, settings};
use serde_json::{Value, json};

use crate::typed::sharing;

const ORDERS_WIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guests/orders/wit");

fn described_by(wit: &str) -> Settings {
    Settings {
        wit: Some(Wit::read(Path::new(wit)).unwrap().into()),
        ..sharing(&["get-*"], settings())
    }
}

async fn openapi(server: std::net::SocketAddr) -> Value {
    serde_json::from_slice(get(server, "/v1/openapi.json").await.body()).unwrap()
}

/// Loads the client of orders with this WIT, which differs.
async fn refused(folder: &Folder, wit: &str) -> LoadError {
    let binary = std::fs::read(artifacts::ORDERS).unwrap();
    let engine = oneflight::Engine::on_demand().unwrap();
    let settings = described_by(&folder.write("other.wit", wit.as_bytes()));
    oneflight::ComponentClient::load(&engine, binary, settings)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn comments_in_wit_are_the_descriptions_in_the_openapi_document() {
    let serving =
        Serving::start(Subject::load(artifacts::ORDERS, described_by(ORDERS_WIT)).await).await;
    let document = openapi(serving.callers).await;
    let get = &document["paths"]["/v1/test/get-order"]["get"];
    assert_eq!(
        get["description"],
        "Reads an order of a tenant.\n\nCallers with equal arguments share one call."
    );
    let parameter = |name: &str| {
        let parameters = get["parameters"].as_array().unwrap();
        parameters.iter().find(|of| of["name"] == name).unwrap()
    };
    // Of a type, and of the names of an enum and of flags.
    let region = parameter("region");
    assert_eq!(region["description"], "Where an order is delivered.");
    assert_eq!(
        region["schema"],
        json!({
            "enum": ["eu", "us", "ap"],
            "description": "Where an order is delivered.\n\n- `eu`: The European Union.",
        })
    );
    let parts = &parameter("parts")["content"]["application/json"]["schema"];
    assert_eq!(parts["description"], "Which parts of an order are read.");
    assert_eq!(
        parts["items"]["description"],
        "- `history`: The steps of its delivery."
    );
    assert!(parameter("tenant").get("description").is_none());
    // Of a field, of its type, and of the cases of a variant.
    let order = &get["responses"]["200"]["content"]["application/json"]["schema"];
    assert_eq!(order["description"], "An order.");
    let money = &order["properties"]["lines"]["items"]["properties"]["price"];
    assert_eq!(
        money["description"],
        "An amount in the smallest unit of its currency."
    );
    assert_eq!(
        money["properties"]["currency"]["description"],
        "The code of ISO 4217."
    );
    let payment = &order["properties"]["payment"];
    assert_eq!(payment["description"], "How an order is paid.");
    assert_eq!(
        payment["oneOf"][1]["description"],
        "The last digits of the card."
    );
    // Of an error.
    let problem = &get["responses"]["default"]["content"]["application/problem+json"]["schema"];
    let err = &problem["allOf"][1]["properties"]["err"];
    assert_eq!(
        err["oneOf"][0],
        json!({ "const": "not-found", "description": "There is no such order." })
    );
    // Of a function that the component exports itself.
    let version = &document["paths"]["/v1/test/version"]["post"]["description"];
    assert_eq!(
        version,
        "The version of the client.\n\nEach caller has a call of its own."
    );
}

// fault 118
#[tokio::test]
async fn a_wit_with_other_functions_or_types_refuses_the_load_with_both_signatures() {
    let folder = Folder::new();
    let wit = std::fs::read_to_string(format!("{ORDERS_WIT}/orders.wit")).unwrap();
    let listed = "result<list<string>, variant { not-found, rate-limited, sold-out(list<string>), \
                  upstream-unavailable(string), upstream-malformed(string) }>";
    let with = |from: &str, to: &str| {
        assert!(wit.contains(from));
        wit.replace(from, to)
    };
    for (text, expected, found) in [
        (
            with(
                "list-open: func(tenant: string)",
                "list-open: func(tenant: u32)",
            ),
            format!(
                "acme:orders/orders@1.0.0#list-open: func(tenant: u32) -> {listed}, as wit has it"
            ),
            format!("func(tenant: string) -> {listed}"),
        ),
        (
            with("list-open:", "list-closed:"),
            "acme:orders/orders@1.0.0#list-open: no such function, as wit has it".to_owned(),
            format!("func(tenant: string) -> {listed}"),
        ),
        (
            with(
                "  /// Places an order",
                "  drop-order: func();\n  /// Places an order",
            ),
            "acme:orders/orders@1.0.0#drop-order: such a function, as wit has it".to_owned(),
            "no such function".to_owned(),
        ),
        (
            with(
                "export version: func() -> string",
                "export version: func() -> u32",
            ),
            "version: func() -> u32, as wit has it".to_owned(),
            "func() -> string".to_owned(),
        ),
        (
            "package a:b; interface i { f: func(); } world w { export i; }".to_owned(),
            "a component with the functions in wit".to_owned(),
            "a component without any of its functions that can be called".to_owned(),
        ),
    ] {
        let refused = refused(&folder, &text).await;
        assert_eq!((refused.expected(), refused.found()), (expected, found));
    }
    // With an error in the last place where wit has the right one, the cases of an enum.
    let other = refused(&folder, &with("    ap,\n", "    sa,\n")).await;
    assert!(
        other
            .expected()
            .contains("region: option<enum { eu, us, sa }>"),
        "{other}"
    );
}

// fault 118
#[tokio::test]
async fn check_prints_the_comments_and_refuses_a_wit_that_cannot_be_read() {
    let checked = run(&["check", artifacts::ORDERS, "--wit", ORDERS_WIT]).await;
    let printed = String::from_utf8(checked.stdout).unwrap();
    let function = "  acme:orders/orders@1.0.0#list-open\n      /// The ids of a tenant's open orders.\n      func(";
    assert!(
        checked.status.success() && printed.contains(function),
        "{printed}"
    );
    let folder = Folder::new();
    let file = folder.write("bad.wit", b"package a:b;\ninterface i {\n  f func();\n}\n");
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let empty = empty.display().to_string();
    let large = folder.write("large.wit", &vec![b' '; (1 << 20) + 1]);
    for (path, expected) in [
        (
            &*file,
            format!("{file}:3:5: expected ':', found keyword `func`"),
        ),
        (
            &*empty,
            format!("expected WIT files in the folder {empty}, got none"),
        ),
        (
            &*large,
            "expected at most 1048576 bytes of WIT, got more".to_owned(),
        ),
        (
            "/dev/null",
            "expected a WIT file or a folder of them at /dev/null, got something else".to_owned(),
        ),
        ("no/such.wit", "could not read no/such.wit".to_owned()),
    ] {
        let checked = run(&["check", artifacts::ORDERS, "--wit", path]).await;
        let printed = String::from_utf8(checked.stderr).unwrap();
        assert!(
            !checked.status.success() && printed.contains(&expected),
            "{printed}"
        );
    }
}

// fault 118
#[tokio::test]
async fn a_reload_reads_the_wit_again_and_keeps_the_former_one_if_it_is_wrong() {
    let folder = Folder::new();
    let wit = std::fs::read_to_string(format!("{ORDERS_WIT}/orders.wit")).unwrap();
    let write = |text: &str| folder.write("orders.wit", text.as_bytes());
    write(&wit);
    let config = format!(
        "[clients.test]\ncomponent = '{}'\nwit = 'orders.wit'\n",
        artifacts::ORDERS
    );
    let file = folder.write("oneflight.toml", config.as_bytes());
    let service = Service::start(&["--config", &file]).await;
    let description = async || {
        let document = openapi(service.address).await;
        document["paths"]["/v1/test/version"]["post"]["description"].to_string()
    };
    assert!(description().await.contains("The version of the client."));
    write(&wit.replace("/// The version of the client.", "/// Which one it is."));
    service.hang_up();
    service.logged("reloaded").await;
    assert!(description().await.contains("Which one it is."));
    write(&wit.replace("version: func() -> string", "version: func() -> list<u8>"));
    service.hang_up();
    service
        .logged("expected version: func() -> list<u8>, as wit has it, got func() -> string")
        .await;
    write("package a:b;\n\n}");
    service.hang_up();
    service.logged("orders.wit:3:1: ").await;
    assert!(description().await.contains("Which one it is."));
}

#[tokio::test]
async fn comments_that_a_component_carries_are_used_without_a_setting() {
    let carried = |docs: &str| {
        let text = format!(
            r#"(component
              (core module $m (func (export "f")))
              (core instance $i (instantiate $m))
              (func $f (canon lift (core func $i "f")))
              (instance $a (export "f" (func $f)))
              (export "f" (func $f))
              (export "a:b/i@1.0.0" (instance $a))
              (@custom "package-docs" "{docs}"))"#
        );
        wat::parse_str(text).unwrap()
    };
    let world = r#"\01{\22worlds\22:{\22root\22:{\22funcs\22:{\22f\22:{\22docs\22:\22Bare.\22}}}},\22interfaces\22:{\22i\22:{\22funcs\22:{\22f\22:{\22docs\22:\22In an\5cu202e interface.\22}}}}}"#;
    for (section, expected) in [
        (world, [Some("Bare."), Some("In an\\u{202e} interface.")]),
        (r"\01{\22worlds\22:[]}", [None, None]),
        (r"\07{}", [None, None]),
        (r"\01{", [None, None]),
        ("", [None, None]),
    ] {
        let engine = oneflight::Engine::on_demand().unwrap();
        let client = oneflight::ComponentClient::load(&engine, carried(section), settings());
        let client = client.await.unwrap();
        let docs: Vec<_> = client
            .report()
            .functions
            .iter()
            .map(|of| of.docs.as_deref())
            .collect();
        assert_eq!(docs, expected, "{section}");
    }
}
