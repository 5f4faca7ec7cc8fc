//! Components that describe themselves at length: what is written about them is limited while it is written.

use std::fmt::Write;
use std::path::PathBuf;

use futures_util::future::join_all;
use oneflight::component::{Program, ShapeLimit};
use oneflight::{BUILTIN, Compilation, Compile, CompileLimits, ComponentClient, Engine, LoadError};
use oneflight_tests::folder::Folder;
use oneflight_tests::process::{Service, alone, binary, oneflight, run};
use oneflight_tests::{bomb, failsafe, memory, settings, wordy};
use serde_json::Value;

/// More than what is written about a component may have: texts of 4 KiB, with what is expected and what to do.
const LONG: usize = 12 << 10;

fn compiled(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// Loads `binary` as the service does: a child compiles, and the client has a pool of its own.
async fn load(component: Vec<u8>) -> Result<ComponentClient, LoadError> {
    let compilation = compiling(binary().into(), CompileLimits::default());
    let engine = Engine::on_demand().unwrap().compiling(compilation);
    ComponentClient::load(&engine, component, settings()).await
}

fn compiling(path: PathBuf, limits: CompileLimits) -> Compilation {
    let arguments = vec!["compile".to_owned()];
    Compilation {
        policy: Compile::Child(Program { path, arguments }),
        limits,
        ..Compilation::default()
    }
}

/// Components that are refused, and a part of what is found in each.
fn refused() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    vec![
        // 36 MB as text, for a file of 91 KB.
        (
            "type",
            compiled(&wordy::type_of(20, 20)),
            "a get-items that cannot be called: its names have more than 131072 bytes",
        ),
        (
            "exports",
            compiled(&wordy::exports(900, 4_000)),
            ", a1-bbbb",
        ),
        (
            "long exports",
            compiled(&wordy::exports(40, 90_000)),
            "exports 40 names, which are too long to be listed",
        ),
        ("import", compiled(&wordy::import()), "cccc"),
        (
            "import of another type",
            compiled(&wordy::import_of_another_type()),
            "wasi:random/random@0.2.0",
        ),
        (
            "declarations",
            compiled(&wordy::exports(100, 90_000)),
            "bytes of declarations (types, imports, exports)",
        ),
        (
            "unknown import",
            compiled(
                r#"(component (import "acme:none/none@1.0.0" (instance (export "f" (func)))))"#,
            ),
            "acme:none/none@1.0.0",
        ),
        ("imports", compiled(&wordy::imports(900)), "acme:none/none0"),
        (
            "memory",
            compiled(&wordy::with_sizes(1_025, 0, 50 << 20)),
            "67174400 bytes of memory at its start, more than 67108864; raise max_memory_bytes",
        ),
        (
            "table",
            compiled(&wordy::with_sizes(1, 20_001, 50 << 20)),
            "20001 elements of a table at its start, more than 20000; raise max_table_elements",
        ),
        ("nested", wordy::nested(101), "components nested 101 deep"),
        (
            "deeply nested",
            wordy::nested(10_000),
            "components nested 101 deep",
        ),
    ]
}

// fault 98
#[tokio::test]
async fn the_refusal_of_a_component_that_describes_itself_at_length_is_short() {
    let folder = Folder::new();
    let checks = refused().into_iter().map(async |(name, binary, expected)| {
        let file = folder.write(&format!("{name}.wasm"), &binary);
        let plain = run(&["check", &file, "--no-compile-cache"]).await;
        let json = run(&["check", &file, "--no-compile-cache", "--json"]).await;
        for output in [&plain, &json] {
            assert_eq!(output.status.code(), Some(1), "{name}: {output:?}");
            assert!(output.stdout.len() < LONG, "{name}: {output:?}");
        }
        let document: Value = serde_json::from_slice(&json.stdout).unwrap();
        let found = document["found"].as_str().unwrap();
        assert!(found.contains(expected), "{name}: {found}");
        let plain = String::from_utf8(plain.stdout).unwrap();
        assert!(plain.contains(found), "{name}: {plain}");
    });
    join_all(checks).await;
}

// fault 98
#[tokio::test]
async fn a_reload_and_config_check_write_as_little_about_such_a_component() {
    let folder = Folder::new();
    let upstream = "base_url = 'http://localhost:1/{x}'\n";
    let good = format!("[clients.good]\n{upstream}");
    let file = folder.write("a.toml", good.as_bytes());
    let service = Service::start(&["--config", &file]).await;
    folder.write("wordy.wasm", &compiled(&wordy::type_of(20, 20)));
    let bad = format!("{good}[clients.wordy]\ncomponent = 'wordy.wasm'\n");
    let file = folder.write("a.toml", bad.as_bytes());
    service.hang_up();
    service.logged("could not load the client wordy").await;
    let check = run(&["config", "check", &file]).await;
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    service.terminate();
    let (exit, log) = service.ended().await;
    assert_eq!(exit, Some(0));
    for text in [log, String::from_utf8(check.stderr).unwrap()] {
        let line = text.lines().find(|line| line.contains("wordy.wasm: "));
        let line = line.unwrap_or_else(|| panic!("{text}"));
        assert!(
            line.contains("its names have more than 131072 bytes"),
            "{line}"
        );
        assert!(line.len() < LONG, "{}", line.len());
    }
}

// fault 99
// Memory of the process that loads them.
#[tokio::test]
async fn a_component_that_is_refused_costs_its_host_less_than_64_mib() {
    if alone("describing::a_component_that_is_refused_costs_its_host_less_than_64_mib").await {
        assert!(load(BUILTIN.to_vec()).await.is_ok());
        for (name, binary, expected) in refused() {
            let rise = memory::rise(async {
                let refused = load(binary).await.unwrap_err();
                assert!(refused.found().contains(expected), "{name}: {refused}");
            });
            let rise = rise.await;
            assert!(rise < 64 << 20, "{name}: {rise}");
        }
    }
}

// fault 98
#[tokio::test]
async fn the_report_on_a_component_lists_some_of_its_names_and_counts_the_others() {
    let mut more = "(component $c) (instance $i (instantiate $c))\n".to_owned();
    for nth in 0..200 {
        let _ = writeln!(more, r#"(export "e{nth}" (instance $i))"#);
    }
    let binary = compiled(&wordy::with_exports(&more));
    let report = load(binary.clone()).await.unwrap().report().clone();
    assert_eq!(report.exports.len(), 100);
    assert_eq!(report.exports_left_out, 101);
    assert_eq!((report.imports.len(), report.imports_left_out), (0, 0));

    let folder = Folder::new();
    let file = folder.write("many.wasm", &binary);
    let plain = run(&["check", &file, "--no-compile-cache"]).await;
    let printed = String::from_utf8(plain.stdout).unwrap();
    assert!(printed.contains("\n           and 101 more\n"), "{printed}");
    let json = run(&["check", &file, "--no-compile-cache", "--json"]).await;
    let document: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(document["component"]["exports_left_out"], 101);
}

// fault 99
#[tokio::test]
async fn declarations_and_nesting_are_limited_before_a_component_is_compiled() {
    let refused = async |max_declaration_bytes, max_depth, binary: &[u8]| {
        let limits = CompileLimits {
            max_declaration_bytes,
            max_depth,
            ..CompileLimits::default()
        };
        // No such program exists, so a component that is not refused before is not compiled.
        let compilation = compiling("/nowhere/compiler".into(), limits);
        let engine = Engine::on_demand().unwrap().compiling(compilation);
        let loaded = ComponentClient::load(&engine, binary, settings()).await;
        loaded.unwrap_err()
    };
    // A type section of 2 bytes: the number of types, which is 0, and a padding of it.
    let header = b"\0asm\x0d\0\x01\0".to_vec();
    let binary = [header, bomb::section(7, &[0x80, 0])].concat();
    let (part, found, limit) = (ShapeLimit::Declarations, 2, 1);
    assert_eq!(
        refused(1, 100, &binary).await,
        LoadError::TooComplex { part, found, limit }
    );
    let (part, found, limit) = (ShapeLimit::Depth, 3, 2);
    assert_eq!(
        refused(1, 2, &wordy::nested(3)).await,
        LoadError::TooComplex { part, found, limit }
    );
    for (max_depth, binary) in [(1, binary), (3, wordy::nested(3))] {
        let error = refused(2, max_depth, &binary).await;
        assert!(matches!(error, LoadError::NotCompiled(_)), "{error}");
    }
}

/// A name of C++ that stands for this many copies of another one, each of which does so too, `levels` times.
fn doubling(copies: usize, levels: usize) -> String {
    let mut name = "_Z1f1AIiE".to_owned();
    for level in 0..levels {
        let parts = format!("S{level}_").repeat(copies);
        let _ = write!(name, "S_I{parts}E");
    }
    name
}

// fault 98
// As wasmtime writes it, the name below has 2 MB; with one level more 30 MB, and with five more it never ends.
#[tokio::test]
async fn the_frames_of_a_crash_have_the_names_of_the_file_and_not_what_they_stand_for() {
    let name = doubling(12, 5);
    let folder = Folder::new();
    let text = wordy::crashing(&name, "", "call $named");
    let file = folder.write("calls.wasm", &compiled(&text));
    let get = oneflight(&["get", "42", "--component", &file, "--json"]).output();
    let output = failsafe("an answer", get).await.unwrap();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["answers"][0]["code"], "guest-trap", "{output:?}");
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.contains(&format!("!{name} | 1: ")), "{log}");
    assert!(log.len() < LONG, "{log}");

    // At its start, too.
    let text = wordy::crashing(&name, "call $named", "");
    let refused = load(compiled(&text)).await.unwrap_err();
    let LoadError::DoesNotStart(why) = &refused else {
        panic!("{refused}")
    };
    let expected = "wasm trap: wasm `unreachable` instruction executed; in 0: ";
    assert!(why.starts_with(expected), "{why}");
    assert!(why.contains(&format!("!{name} | 1: ")), "{why}");
    assert!(why.len() < LONG, "{why}");
}

// fault 99
// None of them is opened: a pipe would wait for its writer, and a device need not end.
#[tokio::test]
async fn a_path_of_a_component_that_is_no_file_is_named_for_what_it_is() {
    let folder = Folder::new();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let pipe = path("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let socket = path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for (file, kind) in [
        (pipe, "a named pipe"),
        (socket, "a socket"),
        (path(""), "a folder"),
        ("/dev/zero".to_owned(), "a device"),
    ] {
        let expected = format!("expected a file at {file}, got {kind}");
        let config = format!("[clients.a]\ncomponent = '{file}'\n");
        let config = folder.write("a.toml", config.as_bytes());
        for command in [&["check", &file][..], &["config", "check", &config]] {
            let output = run(command).await;
            assert_eq!(output.status.code(), Some(1), "{output:?}");
            let printed = String::from_utf8(output.stderr).unwrap();
            assert!(printed.contains(&expected), "{printed}");
        }
    }
}
