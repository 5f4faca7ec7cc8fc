//! Components that are small or valid, and describe themselves at length: as WebAssembly text.

use std::fmt::Write;

/// The longest name that a component may have, less what a test adds to it.
const LONG: usize = 90_000;

/// A component whose `get-items` returns a type of `outer * inner * 90,000` bytes as text: a list of tuples of tuples
/// of an enumeration whose only case has a long name. It has less than 100 KB.
#[must_use]
pub fn type_of(outer: usize, inner: usize) -> String {
    let long = "a".repeat(LONG);
    let tuple = |part: &str, count| format!("(tuple {})", format!("{part} ").repeat(count));
    let list = |name: &str, part: &str| {
        let (within, all) = (format!("{name}-within"), format!("{name}-all"));
        let within_type = tuple(part, inner);
        let all_type = tuple(&within, outer);
        format!("(type {within} {within_type}) (type {all} {all_type})")
    };
    let types = list("$lifted", "$e");
    let imported = list("$imported", "$in");
    let exported = list("$exported", "$out");
    format!(
        r#"(component
  {CODE}
  (type $e (enum "{long}"))
  {types}
  (func $get-items (param "x" string) (result (list $lifted-all))
    (canon lift (core func $code "get-items") (memory (core memory $code "memory"))
      (realloc (core func $code "realloc"))))
  (component $items
    (import "item" (type $in (eq $e)))
    {imported}
    (import "get-items" (func $get-items (param "x" string) (result (list $imported-all))))
    (export $out "item" (type $in))
    {exported}
    (export "get-items" (func $get-items) (func (param "x" string) (result (list $exported-all)))))
  (instance $items (instantiate $items (with "item" (type $e)) (with "get-items" (func $get-items))))
  (export "oneflight:client/items@0.1.0" (instance $items)))"#
    )
}

/// A component with this many exports, none of which is the interface, whose names have about `length` bytes.
#[must_use]
pub fn exports(count: usize, length: usize) -> String {
    let mut text = "(component (component $c) (instance $i (instantiate $c))\n".to_owned();
    let long = "b".repeat(length);
    for nth in 0..count {
        let _ = writeln!(text, r#"(export "a{nth}-{long}" (instance $i))"#);
    }
    text + ")"
}

/// A component with an import that no host provides, whose name is as long as may be.
#[must_use]
pub fn import() -> String {
    format!(r#"(component (import "{}" (func)))"#, "c".repeat(LONG))
}

/// A component that imports an interface of WASI with a function whose type is not WASI's and is long as text.
#[must_use]
pub fn import_of_another_type() -> String {
    let long = "d".repeat(LONG);
    format!(
        r#"(component (import "wasi:random/random@0.2.0" (instance
          (type $t (tuple {}))
          (export "get-random-u64" (func (param "{long}" $t) (result $t))))))"#,
        "string ".repeat(9_000)
    )
}

/// A component that imports this many interfaces that the host does not have.
#[must_use]
pub fn imports(count: usize) -> String {
    let import =
        |n: usize| format!(r#"(import "acme:none/none{n}" (instance (export "f" (func))))"#);
    format!("(component {})", (0..count).map(import).collect::<String>())
}

/// A client with a memory of so many pages, a table of so many elements, and so many bytes of data, which it never uses.
#[must_use]
pub fn with_sizes(pages: usize, elements: usize, data: usize) -> String {
    let code = CODE.replace(
        "(memory (export \"memory\") 1)",
        &format!(
            "(memory (export \"memory\") {pages}) (table {elements} funcref) (data \"{}\")",
            "d".repeat(data)
        ),
    );
    client(&code, "")
}

/// Components within each other.
#[must_use]
pub fn nested(depth: usize) -> Vec<u8> {
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    let mut component = HEADER.to_vec();
    for _ in 1..depth {
        component = [HEADER, &crate::bomb::section(4, &component)].concat();
    }
    component
}

/// A client whose `get-items` runs `call`, and whose module runs `start` when it is instantiated; the function that
/// both may call, `$named`, has this name and ends in a trap.
#[must_use]
pub fn crashing(name: &str, start: &str, call: &str) -> String {
    let code = CODE
        .replace(
            "(memory",
            &format!("(func $named (@name \"{name}\") unreachable) (func $start {start}) (start $start) (memory"),
        )
        .replace(
            "(func (export \"get-items\") (param i32 i32) (result i32) unreachable)",
            &format!("(func (export \"get-items\") (param i32 i32) (result i32) {call} unreachable)"),
        );
    client(&code, "")
}

/// A client that also exports `more`, and traps when it is called.
#[must_use]
pub fn with_exports(more: &str) -> String {
    client(CODE, more)
}

const CODE: &str = r#"(core module $code
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "get-items") (param i32 i32) (result i32) unreachable))
  (core instance $code (instantiate $code))"#;

fn client(code: &str, more: &str) -> String {
    format!(
        r#"(component
  {code}
  (type $item (record (field "id" string) (field "body" string)))
  (type $error (variant (case "invalid-key" string) (case "not-found") (case "upstream-status" u16)
    (case "upstream-unavailable" string) (case "upstream-malformed" string) (case "denied" string)
    (case "rate-limited" (option u32)) (case "other" string)))
  (func $get-items (param "x" string) (result (result (list $item) (error $error)))
    (canon lift (core func $code "get-items") (memory (core memory $code "memory"))
      (realloc (core func $code "realloc"))))
  (component $items
    (import "item" (type $in-item (eq $item)))
    (import "error" (type $in-error (eq $error)))
    (import "get-items" (func $get-items (param "x" string) (result (result (list $in-item) (error $in-error)))))
    (export $out-item "item" (type $in-item))
    (export $out-error "error" (type $in-error))
    (export "get-items" (func $get-items)
      (func (param "x" string) (result (result (list $out-item) (error $out-error))))))
  (instance $items (instantiate $items
    (with "item" (type $item)) (with "error" (type $error)) (with "get-items" (func $get-items))))
  (export "oneflight:client/items@0.1.0" (instance $items))
  {more})"#
    )
}
