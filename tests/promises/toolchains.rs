//! What toolchains build: components that need features of WebAssembly or a version of WASI that the host does not have,
//! modules that are no components, and clients that cannot reach an upstream.

use oneflight::{Compilation, Compile, ComponentClient, Engine, Limits, LoadError};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{self, binary, run};
use oneflight_tests::{artifacts, failsafe, settings};
use serde_json::Value;

/// Why a component, written as text, is refused by an engine that compiles in its own process, or in a child.
async fn refused(text: &str, compile: Compile) -> LoadError {
    let compilation = Compilation {
        policy: compile,
        ..Compilation::default()
    };
    let engine = Engine::new(&Limits::default())
        .unwrap()
        .compiling(compilation);
    let binary = wat::parse_str(text).unwrap();
    let loaded = ComponentClient::load(&engine, binary, settings()).await;
    loaded.unwrap_err()
}

fn in_a_child() -> Compile {
    Compile::Child(oneflight::component::Program {
        path: binary().into(),
        arguments: vec!["compile".into()],
    })
}

// fault 125
#[tokio::test]
async fn a_component_that_needs_other_features_is_refused_by_their_names() {
    for (part, needed) in [
        ("(core module (memory 1 1 shared))", "threads"),
        (
            "(core module (type (struct (field i32))))",
            "garbage collection",
        ),
        ("(core module (tag))", "exceptions"),
        ("(core module (memory i64 1))", "memory64"),
        (
            "(core module (func (param v128) (drop (i32x4.relaxed_trunc_f32x4_s (local.get 0)))))",
            "relaxed SIMD",
        ),
        ("(core module (memory 1 (pagesize 1)))", "custom page sizes"),
        (
            "(core module (func (param i64) (result i64 i64)
               (i64.add128 (local.get 0) (local.get 0) (local.get 0) (local.get 0))))",
            "wide arithmetic",
        ),
        (
            "(core module (type $f (func)) (type (cont $f)))",
            // Its types are those of garbage collection.
            "garbage collection, stack switching",
        ),
        ("(type (stream))", "component-model async"),
        ("(core func (canon task.cancel))", "component-model async"),
        (
            "(core func (canon error-context.drop))",
            "component-model error contexts",
        ),
        (
            "(type (list u8 4))",
            "component-model lists of fixed length",
        ),
        (
            "(core module (memory i64 1 1 shared)) (type (future))",
            "threads, memory64, component-model async",
        ),
    ] {
        let component = format!("(component {part})");
        for compile in [Compile::InProcess, in_a_child()] {
            let error = refused(&component, compile).await;
            assert_eq!(error, LoadError::MissingFeatures(needed.into()), "{part}");
        }
    }
    let error = LoadError::MissingFeatures("threads".into()).to_string();
    assert!(
        error.contains("got a component that needs threads; turn them off in its toolchain"),
        "{error}"
    );
}

// fault 125
#[tokio::test]
async fn a_component_for_a_later_wasi_and_a_module_say_what_to_build_instead() {
    for version in [
        "0.3.0",
        "0.3.0-rc-2026-01-06",
        "0.4.1",
        "1.0.0",
        "0.2.0-rc-2023-11-10",
    ] {
        let import = format!("wasi:http/client@{version}");
        // It also needs asynchronous functions, which would be the error otherwise.
        let text = format!("(component (import \"{import}\" (instance)) (type (stream)))");
        let error = refused(&text, Compile::InProcess).await;
        assert_eq!(error, LoadError::OtherWasi(import));
        assert!(error.fix().contains("the target wasm32-wasip2"), "{error}");
    }
    for import in ["wasi:http/client@0.2.99", "wasi:http/client"] {
        let text = format!("(component (import \"{import}\" (instance)))");
        let error = refused(&text, Compile::InProcess).await;
        assert!(!matches!(error, LoadError::OtherWasi(_)), "{error:?}");
    }
    // An import of a component within it is not one of the component.
    let inner = r#"(component (component (import "wasi:a/b@0.3.0" (instance))))"#;
    let error = refused(inner, Compile::InProcess).await;
    assert!(
        matches!(error, LoadError::NothingToCall { .. }),
        "{error:?}"
    );

    let module = r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#;
    let error = refused(module, Compile::InProcess).await;
    assert_eq!(error, LoadError::Preview1Module);
    assert!(
        error
            .fix()
            .contains("--adapt wasi_snapshot_preview1.reactor.wasm")
    );
    let module = r#"(module (import "env" "print" (func)))"#;
    let error = refused(module, Compile::InProcess).await;
    assert_eq!(error, LoadError::CoreModule);
    assert!(error.fix().contains("wasm-tools component new FILE"));
}

/// Two functions that call themselves in their last step, one directly and one by a table.
const TAIL_CALLS: &str = r#"
(component
  (core module $m
    (type $t (func (result i32)))
    (table funcref (elem $direct $indirect))
    (func $direct (export "direct") (type $t) (return_call $direct))
    (func $indirect (export "indirect") (type $t) (return_call_indirect (type $t) (i32.const 1))))
  (core instance $i (instantiate $m))
  (func (export "direct") (result u32) (canon lift (core func $i "direct")))
  (func (export "indirect") (result u32) (canon lift (core func $i "indirect"))))
"#;

// fault 126
// By processor time alone: the flight has an hour. In a separate process: a guest that is not interrupted would block
// this one for ever.
#[tokio::test]
async fn an_endless_loop_of_tail_calls_is_ended_when_its_processor_time_is_used_up() {
    let folder = Folder::new();
    let file = folder.write("tail.wasm", &wat::parse_str(TAIL_CALLS).unwrap());
    for call in ["direct()", "indirect()"] {
        let args = ["call", call, "--component", &file, "--flight-timeout", "1h"];
        let output = run(&args).await;
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains("(guest-deadline)"), "{log}");
        assert!(log.contains("max_cpu_time"), "{log}");
    }
}

#[tokio::test]
async fn check_states_the_version_of_wasi_and_warns_of_a_client_that_cannot_reach_an_upstream() {
    let folder = Folder::new();
    let file = folder.write("tail.wasm", &wat::parse_str(TAIL_CALLS).unwrap());
    let warning = "  warning  it imports neither wasi:http/outgoing-handler nor oneflight:client/fetch, so it cannot reach \
                   an upstream; ";
    let alone = run(&["check", &file]).await;
    // It may be called all the same.
    assert!(alone.status.success(), "{alone:?}");
    let printed = String::from_utf8(alone.stdout).unwrap();
    assert!(printed.contains(warning), "{printed}");
    assert!(!printed.contains("  WASI "), "{printed}");

    let client = run(&["check", artifacts::ORDERS]).await;
    let printed = String::from_utf8(client.stdout).unwrap();
    assert!(printed.contains("\n  WASI     0.2."), "{printed}");
    assert!(!printed.contains("  warning "), "{printed}");

    for (file, warnings) in [(&*file, 1), (artifacts::ORDERS, 0)] {
        let json = run(&["check", file, "--json"]).await;
        let json: Value = serde_json::from_slice(&json.stdout).unwrap();
        let listed = json["component"]["warnings"].as_array().unwrap();
        assert_eq!(listed.len(), warnings, "{json}");
    }
}

// fault 127
#[tokio::test]
async fn the_log_line_of_a_crash_has_the_first_and_the_last_words_of_a_guest() {
    // More than max_log_bytes, 64 KiB by default, and than the lines that are kept.
    let args = [
        "get",
        "last-words:5000",
        "--component",
        artifacts::MISBEHAVING,
    ];
    let output = failsafe("an answer", process::oneflight(&args).output()).await;
    let log = String::from_utf8(output.unwrap().stderr).unwrap();
    let crash = log
        .lines()
        .find(|line| line.contains("code=\"guest-trap\""));
    let crash = crash.unwrap();
    for words in [
        "stderr=\"the first words | ",
        " lines left out) | ",
        "the last words",
    ] {
        assert!(crash.contains(words), "{words}: {crash}");
    }
    assert!(crash.len() < 16 << 10, "{}", crash.len());
}
