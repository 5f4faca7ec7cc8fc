//! `oneflight new --interface` with what no client can have, and where a client cannot be written.

use oneflight_tests::failsafe;
use oneflight_tests::folder::Folder;
use oneflight_tests::process::oneflight;
use tokio::process::Command;

use crate::authoring::{run_in, stderr};
use crate::interfaces::ORDERS;

/// A language, a WIT, further arguments, and why that is refused.
const REFUSED: [(&str, &str, &[&str], &str); 16] = [
    (
        "rust",
        "package a:b;\ninterface i {\n  get: fun(x: string);\n}",
        &[],
        "given.wit:3:8: expected keyword `func`, found an identifier",
    ),
    (
        "rust",
        "interface i { get: func(); }",
        &[],
        "given.wit: no `package` header was found in any WIT file for this package",
    ),
    (
        "rust",
        "package a:b;\ninterface i { record r { x: u8 } }",
        &[],
        "expected an interface with functions, or a world that exports some, in a:b, got none; add it, or give the file or folder of another package",
    ),
    (
        "rust",
        "package a:b;\nworld v { export f: func(); }\nworld w { export g: func(); }",
        &[],
        "expected one world with exports in a:b, got v, w; name one of them with --world",
    ),
    (
        "rust",
        "package a:b;\nworld v { export f: func(); }",
        &["--world", "x"],
        "expected a world of a:b with exports (v), got \"x\"",
    ),
    (
        "c",
        "package a:b;\ninterface i { f: func(x: string) -> stream<u8>; g: func() -> future<u8>; h: func(); }",
        &[],
        "could not make a client in C of a:b:\n  a:b/i#f: it has a stream\n  a:b/i#g: it has a future\nleave it out or change it",
    ),
    (
        "go",
        "package a:b;\ninterface i { resource r; f: func() -> r; }",
        &[],
        "could not make a client in Go of a:b:\n  a:b/i#f: it has a resource\n  a:b/i: it has the resource r\nleave it out or change it",
    ),
    (
        "js",
        "package a:b;\ninterface i { f: async func(); }",
        &[],
        "could not make a client in JavaScript of a:b:\n  a:b/i#f: it is asynchronous, or belongs to a resource\nleave it out or change it",
    ),
    (
        "ts",
        "package a:b;\ninterface i { f: func(x: list<map<string, u8>>); }",
        &[],
        "could not make a client in TypeScript of a:b:\n  a:b/i#f: not all toolchains have maps; use list<tuple<key, value>>\nleave it out or change it",
    ),
    (
        "c",
        "package a:b;\ninterface i { record r { x: list<u8, 4> } f: func(x: option<r>); }",
        &[],
        "could not make a client in C of a:b:\n  a:b/i#f: not all toolchains have lists of a fixed length; use a list without one\nleave it out or change it",
    ),
    (
        "python",
        "package a:b;\ninterface i { f: func(self: string); }",
        &[],
        "could not make a client in Python of a:b:\n  a:b/i#f: its parameter self has a name that componentize-py cannot build\nleave it out or change it",
    ),
    (
        "python",
        "package a:b;\ninterface i {\n  /// \"\"\"\n  f: func();\n}",
        &[],
        "could not make a client in Python of a:b:\n  given.wit:3: its comment has \"\"\", which componentize-py cannot build\nleave it out or change it",
    ),
    (
        "rust",
        "package a:b;\ninterface i { enum e { self } f: func(x: e); }",
        &[],
        "could not make a client in Rust of a:b:\n  the type e: it has the case self, which wit-bindgen cannot build\nleave it out or change it",
    ),
    (
        "go",
        "package a:b;\ninterface s { put: func(); }\nworld w { import s; import log: func(); export f: func(); }",
        &[],
        "could not make a client in Go of the world w of a:b:\n  a:b/s, which it imports: the host provides oneflight:client/fetch and WASI\n  log, which it imports: the host provides oneflight:client/fetch and WASI\nleave it out or change it",
    ),
    (
        "js",
        "package a:b;\ninterface i { f: func(); }\nworld w { export i; export c:d/i; }\npackage c:d { interface i { g: func(); } }",
        &[],
        "could not make a client in JavaScript of the world w of a:b:\n  c:d/i: there is another interface i, and the toolchain for JavaScript has one of each name\nleave it out or change it",
    ),
    (
        "rust",
        include_str!("../../wit/oneflight-client.wit"),
        &[],
        "expected functions other than get-items in the world items-client of oneflight:client@0.1.0, got none; leave --interface out to make a client of items",
    ),
];

// fault 138
#[tokio::test]
async fn an_interface_that_no_client_can_have_is_refused_by_name_and_leaves_nothing() {
    for (language, wit, further, expected) in REFUSED {
        let folder = Folder::new();
        folder.write("given.wit", wit.as_bytes());
        let args = [
            &["new", "a", "--lang", language, "--interface", "given.wit"],
            further,
        ]
        .concat();
        let refused = run_in(folder.path(), &args).await;
        assert_eq!(
            (refused.status.code(), stderr(&refused)),
            (Some(1), format!("error: {expected}\n")),
            "{wit}"
        );
        assert_eq!(folder.names(), ["given.wit"]);
    }
}

// fault 138
#[tokio::test]
async fn a_client_that_cannot_be_written_whole_is_not_written_at_all() {
    let folder = Folder::new();
    folder.write("given.wit", ORDERS.as_bytes());
    let program = oneflight(&[]);
    let program = program.as_std().get_program().to_str().unwrap();
    for further in ["", "--interface given.wit"] {
        // A file may have 2 or 4 KiB, as the shell counts, and the contract has more.
        let script =
            format!("trap '' XFSZ; ulimit -f 4; exec '{program}' new a --lang rust {further}");
        let mut command = Command::new("sh");
        command.args(["-c", &script]).current_dir(folder.path());
        let output = failsafe("oneflight to end", command.output())
            .await
            .unwrap();
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{message}");
        let expected = "error: could not make the client a: could not write a/";
        assert!(
            message.starts_with(expected) && message.contains(": File too large"),
            "{message}"
        );
        assert_eq!(folder.names(), ["given.wit"]);
    }
}
