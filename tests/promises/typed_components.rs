//! Components with typed functions that are malformed, too many or too large.

use oneflight::{ComponentClient, Engine, InstanceReuse, Instances, LoadError, Settings};
use oneflight_tests::caller::code;
use oneflight_tests::serving::Serving;
use oneflight_tests::{NEVER, Subject, artifacts, settings};

use crate::typed::{post, text};

// fault 119
#[tokio::test]
async fn a_typed_answer_that_its_type_does_not_allow_ends_its_flight_alone() {
    let reused = Instances::Reused(InstanceReuse {
        max_calls: u32::MAX,
        max_age: NEVER,
    });
    for instances in [Instances::Fresh, reused] {
        let settings = Settings {
            instances,
            ..settings()
        };
        let serving =
            Serving::start(Subject::load(artifacts::MALFORMED_TYPED, settings).await).await;
        for function in [
            "text",
            "list",
            "long-list",
            "unaligned-list",
            "case-of-enum",
            "case-of-result",
            "char",
            "place",
        ] {
            let answer = post(serving.callers, &format!("/v1/test/{function}"), "{}").await;
            assert_eq!(
                (answer.status().as_u16(), &*code(&answer)),
                (502, "guest-malformed"),
                "{function}"
            );
            let sound = post(serving.callers, "/v1/test/sound", "{}").await;
            assert_eq!(text(&sound), "7", "after {function}");
        }
        serving.subject.settled().await;
    }
}

async fn load(component: &str) -> Result<ComponentClient, LoadError> {
    let engine = Engine::on_demand().unwrap();
    ComponentClient::load(&engine, wat::parse_str(component).unwrap(), settings()).await
}

/// A function `open` that returns a resource.
const OPEN: &str = r#"
  (type $file (resource (rep i32)))
  (export $named "file" (type $file))
  (core func $new (canon resource.new $file))
  (core module $opening
    (import "" "new" (func $new (param i32) (result i32)))
    (func (export "open") (result i32) (call $new (i32.const 1))))
  (core instance $opening (instantiate $opening (with "" (instance (export "new" (func $new))))))
  (func $open (result (own $named)) (canon lift (core func $opening "open")))
  (export "open" (func $open))"#;

/// A function `add` with parameters of 100,000 parts, and what `text` makes of the core function `small`.
fn huge(text: &str) -> String {
    let types = (0..5).map(|nth| {
        let element = format!("$t{nth} ").repeat(10);
        format!("(type $t{} (tuple {element}))", nth + 1)
    });
    format!(
        r#"(type $t0 (option u8)) {}
  (core module $code
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "add") (param i32))
    (func (export "small") (param i32)))
  (core instance $code (instantiate $code))
  (func (export "add") (param "a" $t5)
    (canon lift (core func $code "add") (memory (core memory $code "memory")) (realloc (core func $code "realloc"))))
  {text}"#,
        types.collect::<String>()
    )
}

// fault 120
#[tokio::test]
async fn a_component_without_a_function_that_can_be_called_is_refused_with_each_reason() {
    for (component, expected) in [
        (
            format!("(component {OPEN})"),
            "a component that exports file, open (open cannot be called: its result has a resource)",
        ),
        (
            format!("(component {})", huge("")),
            "a component that exports add (add cannot be called: its types have more than 10000 parts)",
        ),
    ] {
        let refused = load(&component).await.unwrap_err();
        assert!(
            matches!(refused, LoadError::NothingToCall { .. }),
            "{refused}"
        );
        assert_eq!(refused.found(), expected);
    }
}

// fault 120
#[tokio::test]
async fn functions_that_are_too_large_or_too_many_leave_the_others() {
    let small = r#"(func (export "small") (param "a" u8) (canon lift (core func $code "small")))"#;
    let client = load(&format!("(component {})", huge(small))).await.unwrap();
    let functions = &client.report().functions;
    let listed: Vec<_> = functions
        .iter()
        .map(|function| (&*function.name, function.refused.as_deref()))
        .collect();
    assert_eq!(
        listed,
        [
            ("small", None),
            ("add", Some("its types have more than 10000 parts"))
        ]
    );

    let exports: String = (0..600)
        .map(|nth| {
            format!(r#"(func (export "f{nth}") (result u32) (canon lift (core func $code "one")))"#)
        })
        .collect();
    let many = format!(
        r#"(component
  (core module $code (func (export "one") (result i32) i32.const 1))
  (core instance $code (instantiate $code))
  {exports})"#
    );
    let client = load(&many).await.unwrap();
    let report = client.report();
    assert_eq!(
        (report.functions.len(), report.functions_left_out),
        (500, 100)
    );
    assert_eq!(report.functions[499].name, "f499");
    let engine = Engine::on_demand().unwrap();
    let serving =
        Serving::start(Subject::on(&engine, &wat::parse_str(&many).unwrap(), settings()).await)
            .await;
    for (function, status, body) in [
        ("f0", 200, Some("1")),
        ("f499", 200, Some("1")),
        ("f500", 404, None),
    ] {
        let answer = post(serving.callers, &format!("/v1/test/{function}"), "{}").await;
        assert_eq!(answer.status(), status, "{function}");
        assert!(body.is_none_or(|body| text(&answer) == body));
        // The names that are listed in the error, too, are limited.
        assert!(answer.body().len() < 8 << 10);
    }
}
