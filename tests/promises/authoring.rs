//! `oneflight new` and `oneflight componentize`: clients that are made in other languages.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use oneflight_tests::folder::Folder;
use oneflight_tests::process::{Service, oneflight, run};
use oneflight_tests::{artifacts, failsafe};

use crate::typed::{post, text};

/// Runs a command in a folder.
pub(crate) async fn run_in(folder: &Path, args: &[&str]) -> Output {
    let output = oneflight(args).current_dir(folder).output();
    failsafe("oneflight to end", output).await.unwrap()
}

/// The paths of all files below a folder, in order.
pub(crate) fn files(folder: &Path) -> Vec<String> {
    fn add(folder: &Path, below: &str, files: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{below}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                add(&entry.path(), &format!("{name}/"), files);
            } else {
                files.push(name);
            }
        }
    }
    let mut found = Vec::new();
    add(folder, "", &mut found);
    found.sort();
    found
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Files that a client in any language has.
const COMMON: [&str; 5] = [
    ".gitignore",
    "README.md",
    "build.sh",
    "wit/deps/oneflight-client.wit",
    "wit/world.wit",
];

#[tokio::test]
async fn new_makes_a_folder_for_each_language_and_touches_no_other() {
    let languages: [(&str, &[&str]); 6] = [
        ("rust", &["Cargo.toml", "src/lib.rs"]),
        ("js", &["client.js", "package.json"]),
        (
            "ts",
            &["client.ts", "package.json", "tsconfig.json", "types.d.ts"],
        ),
        ("python", &["client.py"]),
        (
            "go",
            &[
                "export_oneflight_client_items/client.go",
                "go.mod",
                "oneflight_client_fetch/empty.s",
                "oneflight_client_fetch/wit_bindings.go",
                "oneflight_client_items/empty.s",
                "oneflight_client_items/wit_bindings.go",
                "wit_exports.go",
            ],
        ),
        (
            "c",
            &[
                "bindings/client.c",
                "bindings/client.h",
                "bindings/client_component_type.o",
                "client.c",
                "json.c",
                "json.h",
            ],
        ),
    ];
    let folder = Folder::new();
    for (language, own) in languages {
        let name = format!("orders-{language}");
        let made = run_in(folder.path(), &["new", &name, "--lang", language]).await;
        assert!(made.status.success(), "{}", stderr(&made));
        let made = folder.path().join(&name);
        let mut expected: Vec<_> = COMMON.iter().chain(own).copied().collect();
        expected.sort_unstable();
        assert_eq!(files(&made), expected, "{language}");
        let contract = std::fs::read_to_string(made.join("wit/deps/oneflight-client.wit")).unwrap();
        assert_eq!(contract, include_str!("../../wit/oneflight-client.wit"));
        for file in files(&made) {
            let bytes = std::fs::read(made.join(&file)).unwrap();
            let text = String::from_utf8_lossy(&bytes);
            let is_left = text.contains("my-client") || text.contains("my_client");
            assert!(!is_left, "{language}: {file}");
        }
        let again = run_in(folder.path(), &["new", &name, "--lang", language]).await;
        let expected = format!(
            "error: expected a name that is not in this folder yet, got {name}; choose another one or remove it\n"
        );
        assert_eq!((again.status.code(), stderr(&again)), (Some(1), expected));
    }
    for name in ["../up", "A", ""] {
        let refused = run_in(folder.path(), &["new", name, "--lang", "c"]).await;
        let message = stderr(&refused);
        assert_eq!(refused.status.code(), Some(2), "{message}");
        assert!(message.contains("expected lower-case words"), "{message}");
    }
    assert_eq!(folder.names().len(), languages.len());
}

/// A module with the exports that these functions need, and one that its toolchain has left.
const MODULE: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 8)
    (func (export "next") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
    (func (export "init") (param i32 i32 i32 i32)))"#;

const WIT: &str = "package test:module;\n\
    world plain { export next: func(n: u32) -> u32; }\n\
    world made { include plain; export init: func(shim: string, script: string); }\n\
    world more { include plain; export other: func(); }\n";

#[tokio::test]
async fn a_core_module_becomes_a_component_that_runs() {
    let folder = Folder::new();
    folder.write("core.wasm", &wat::parse_str(MODULE).unwrap());
    folder.write("world.wit", WIT.as_bytes());
    let convert = [
        "componentize",
        "core.wasm",
        "--wit",
        "world.wit",
        "--world",
        "made",
        "-o",
        "made.wasm",
    ];
    let made = run_in(folder.path(), &convert).await;
    assert_eq!(
        (made.status.code(), stderr(&made)),
        (Some(0), String::new())
    );
    let called = run_in(
        folder.path(),
        &["call", "next(41)", "--component", "made.wasm"],
    )
    .await;
    assert_eq!(String::from_utf8_lossy(&called.stdout), "42\n");
    // What a toolchain called while it built a component is for no caller.
    let checked = run_in(folder.path(), &["check", "made.wasm"]).await;
    let printed = String::from_utf8_lossy(&checked.stdout);
    let refused = "  init\n      cannot be called: it is a step of building the component\n";
    assert!(printed.contains(refused), "{printed}");
    let called = run_in(
        folder.path(),
        &["call", "init(\"\", \"\")", "--component", "made.wasm"],
    )
    .await;
    assert!(!called.status.success());
}

#[tokio::test]
async fn what_cannot_become_a_component_is_refused_with_the_reason() {
    let folder = Folder::new();
    let core = folder.write("core.wasm", &wat::parse_str(MODULE).unwrap());
    let wit = folder.write("world.wit", WIT.as_bytes());
    let text = folder.write("text.wasm", b"text");
    let output = folder.path().join("made.wasm").display().to_string();
    let broken = folder.write(
        "broken.wit",
        b"package a:b;\nworld w {\n  expor f: func();\n}\n",
    );
    let pipe = folder.path().join("pipe").display().to_string();
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let elsewhere = folder.path().display().to_string();
    let cases: [(&[&str], &str); 11] = [
        (
            &[artifacts::ORDERS],
            "expected a core module, got a component",
        ),
        (&[&core, "--wit", &wit], "world"),
        (&[&core, "--wit", &wit, "--world", "none"], "none"),
        (&[&core, "--wit", &wit, "--world", "more"], "other"),
        (
            &[&text, "--wit", &wit, "--world", "plain"],
            "expected a core module, got something else",
        ),
        (&["no-such.wasm"], "could not read no-such.wasm"),
        (&[&core], "give --wit and --world"),
        (&[&core, "--wit", &broken], "broken.wit:3:3: expected "),
        (
            &[&core, "--wit", "no-such.wit"],
            "could not read no-such.wit",
        ),
        // It would wait for a writer.
        (&[&pipe], "got a named pipe"),
        (&[&elsewhere], "got a folder"),
    ];
    for (args, expected) in cases {
        let args = [&["componentize", "--output", &*output], args].concat();
        let refused = run(&args).await;
        let message = stderr(&refused);
        assert_eq!(refused.status.code(), Some(1), "{message}");
        assert!(
            message.starts_with("error: ") && message.contains(expected),
            "{message}"
        );
    }
    assert!(!folder.names().contains(&"made.wasm".to_owned()));
}

/// The core module whose function `next` adds `step`.
fn adding(step: u32) -> Vec<u8> {
    let step = format!("i32.const {step}");
    wat::parse_str(MODULE.replace("i32.const 1", &step)).unwrap()
}

#[tokio::test]
async fn dev_builds_and_reloads_what_changes_and_keeps_what_it_has_when_a_build_fails() {
    let folder = Folder::new();
    folder.write("core.wasm", &adding(1));
    folder.write("world.wit", WIT.as_bytes());
    folder.write(".gitignore", b"client.wasm\n");
    let program = oneflight(&[]);
    let program = program.as_std().get_program().to_str().unwrap();
    let build = folder.write(
        "build.sh",
        format!(
            "#!/bin/sh\nset -e\ncd \"$(dirname \"$0\")\"\n\
             '{program}' componentize core.wasm --wit world.wit --world plain --output client.wasm\n"
        )
        .as_bytes(),
    );
    std::fs::set_permissions(build, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().to_str().unwrap();
    let dev =
        Service::start_dev(&[path, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]).await;
    let next = async || {
        let answer = post(dev.address, "/v1/default/next", r#"{"n":40}"#).await;
        text(&answer).to_owned()
    };
    dev.ready().await;
    assert_eq!(next().await, "41");
    folder.write("core.wasm", &adding(2));
    dev.logged("reloaded clients=1").await;
    assert_eq!(next().await, "42");
    folder.write("core.wasm", b"not a module");
    dev.logged("the build failed").await;
    assert_eq!(next().await, "42");
    dev.terminate();
    let (code, log) = dev.ended().await;
    assert_eq!(code, Some(0), "{log}");
    // The failed build was not loaded.
    assert_eq!(log.matches("reloaded clients=1").count(), 1, "{log}");
}

#[tokio::test]
async fn dev_refuses_a_folder_that_it_cannot_build() {
    let folder = Folder::new();
    let path = folder.path().to_str().unwrap();
    let refused = run(&["dev", path]).await;
    let message = stderr(&refused);
    assert_eq!(refused.status.code(), Some(1), "{message}");
    assert!(message.contains("expected a file build.sh in"), "{message}");
}
