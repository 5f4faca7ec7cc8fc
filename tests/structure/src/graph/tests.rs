use std::path::Path;

use anyhow::Context;

use super::Graph;
use crate::modules::Crate;
use crate::report::{cycles, edges, layers};

/// The graph of a crate whose root is `lib.rs`.
fn graph(files: &[(&str, &str)]) -> Graph {
    let read = |file: &Path| {
        let known = files.iter().find(|(name, _)| Path::new(name) == file);
        Ok(known.context("no such file")?.1.to_owned())
    };
    Graph::new(&Crate::read(Path::new("lib.rs"), &read).unwrap())
}

/// The edges of a graph, as in `a -> b: Name`.
fn arrows(files: &[(&str, &str)]) -> Vec<String> {
    let graph = graph(files);
    let arrow = |((from, to), edge): (&(usize, usize), &super::Edge)| {
        let mut names: Vec<_> = edge.uses.iter().map(|used| used.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let (from, to) = (&graph.modules[*from], &graph.modules[*to]);
        format!("{from} -> {to}: {}", names.join(", "))
    };
    graph.edges.iter().map(arrow).collect()
}

#[test]
fn a_cycle_is_printed_with_the_names_that_tie_it() {
    let graph = graph(&[
        ("lib.rs", "mod a;\nmod b;\nmod c;"),
        (
            "a.rs",
            "use crate::b::{Base, Basis};\n\npub struct Apple(Base, Basis, crate::b::Blue);",
        ),
        (
            "b.rs",
            "use crate::c::Cat;\npub struct Base(Cat);\npub struct Basis;\npub struct Blue;",
        ),
        (
            "c.rs",
            "pub struct Cat;\nfn cat() {\n    super::a::Apple::new();\n}",
        ),
    ]);
    assert_eq!(
        cycles("lib.rs", &graph).concat(),
        "\
lib.rs: 3 modules import one another: a, b, c
  a -> b -> c -> a
    a.rs:1: a imports Base, Basis of b
    a.rs:3: a imports Blue of b
    b.rs:1: b imports Cat of c
    c.rs:3: c imports Apple of a
  move the shared names into a module below both
"
    );
}

#[test]
fn modules_are_printed_top_to_bottom() {
    let graph = graph(&[
        (
            "lib.rs",
            "mod low; mod high; mod one; mod two; fn f() { high::H; low::L; }",
        ),
        ("low.rs", "pub struct L;"),
        ("high.rs", "use crate::{low::L, one::One}; pub struct H;"),
        ("one.rs", "use crate::two::Two; pub struct One;"),
        ("two.rs", "use crate::one::One; pub struct Two;"),
    ]);
    assert_eq!(
        layers(&graph),
        "         crate  high, low
         high   low, one
         low
cycle 1  two    one
cycle 1  one    two
"
    );
    assert_eq!(
        edges(&graph, 0, 1),
        "    lib.rs:1: crate imports L of low\n"
    );
}

#[test]
fn what_is_behind_cfg_test_is_left_out() {
    let found = arrows(&[
        ("lib.rs", "mod a; mod b;"),
        (
            "a.rs",
            "pub struct A;
             #[cfg(test)] use crate::b::B;
             #[cfg(all(test, unix))] fn f() { crate::b::B; }
             impl A { #[cfg(test)] fn g(_: crate::b::B) {} }
             #[cfg(test)] mod tests;",
        ),
        ("b.rs", "#[cfg(not(test))] use crate::a::A; pub struct B;"),
    ]);
    assert_eq!(found, ["b -> a: A"]);
}

#[test]
fn a_module_that_only_re_exports_its_children_is_on_no_cycle() {
    let found = arrows(&[
        ("lib.rs", "pub mod a; pub use a::{Key, Other};"),
        (
            "a.rs",
            "mod key; mod other; pub use self::key::Key; pub use other::*;",
        ),
        ("a/key.rs", "pub struct Key;"),
        (
            "a/other.rs",
            "use super::Key; use crate::Key as _; pub struct Other(crate::a::Key);",
        ),
    ]);
    assert_eq!(found, ["a::other -> a::key: Key"]);
}

#[test]
fn a_module_that_uses_a_child_which_uses_it_is_on_a_cycle() {
    let files = [
        ("lib.rs", "mod a;"),
        (
            "a.rs",
            "mod b; pub use b::B; pub struct Parent; fn f(_: B) {}",
        ),
        ("a/b.rs", "use super::Parent; pub struct B;"),
    ];
    assert_eq!(arrows(&files), ["a -> a::b: B", "a::b -> a: Parent"]);
    assert_eq!(graph(&files).cycles().len(), 1);
}

#[test]
fn paths_are_found_wherever_they_are_written() {
    for code in [
        "use crate::{a::{self, A}};",
        "use super::a as other; fn f() -> other::A {}",
        "use crate::a; type B = Vec<Option<a::A>>;",
        "fn f() { crate::a::A { x: 1 }; }",
        "fn f(super::a::A(_): u8) {}",
        "fn f() { use super::a::A; }",
        "impl super::a::A for u8 {}",
        "#[derive(Debug)] struct S { #[serde(with = \"x\", default = crate::a::A::f)] x: u8 }",
        "fn f() { println!(\"{}\", crate::a::A::new().b(c)); }",
        "fn f() { outer!(inner![super::a::A]); }",
        "macro_rules! m { () => { $crate::a::A }; }",
        "use crate::a::*; fn f(_: A) {}",
        "use crate::alias::Renamed;",
    ] {
        let found = arrows(&[
            (
                "lib.rs",
                "mod a; mod b; mod alias { pub use crate::a::A as Renamed; }",
            ),
            ("a.rs", "pub struct A;"),
            ("b.rs", code),
        ]);
        let from_b: Vec<_> = found
            .iter()
            .filter(|arrow| arrow.starts_with("b ->"))
            .collect();
        let expected = if code.contains('*') {
            "b -> a: *, A"
        } else {
            "b -> a: A"
        };
        assert_eq!(from_b, [expected], "{code}");
    }
}

#[test]
fn names_of_other_crates_locals_and_fields_are_no_imports() {
    let found = arrows(&[
        ("lib.rs", "mod time; mod b; use ::time::time; fn f() { time(); }"),
        ("time.rs", "pub struct Instant;"),
        (
            "b.rs",
            "use std::time::Instant; use tokio::time; use ::b::time::X;
             fn f(a: u8) { let time = a; time; x.time; ::time::Instant; m!(x.Instant, Instant: 1, y: time); }",
        ),
    ]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn a_name_that_only_a_macro_declares_belongs_to_the_module_that_the_path_names() {
    let found = arrows(&[
        ("lib.rs", "mod a { mod bindings { bindgen!(); } } mod b;"),
        ("b.rs", "use crate::a::bindings::exports::Guest;"),
    ]);
    assert_eq!(found, ["b -> a::bindings: exports"]);
}

#[test]
fn a_name_of_another_crate_belongs_to_the_module_that_re_exports_it() {
    let found = arrows(&[
        ("lib.rs", "mod sync; mod hash; mod low;"),
        (
            "sync.rs",
            "#[cfg(shuttle)] pub(crate) use explored::*;
             #[cfg(not(shuttle))] pub(crate) use real::*;
             mod explored { pub(crate) use shuttle::Mutex; }
             mod real { pub(crate) use std::sync::Mutex; use crate::low::Hash; }",
        ),
        ("hash.rs", "use crate::sync::Mutex;"),
        ("low.rs", "pub struct Hash;"),
    ]);
    assert_eq!(
        found,
        [
            "sync::real -> low: Hash",
            "hash -> sync::explored: Mutex",
            "hash -> sync::real: Mutex",
        ]
    );
}

#[test]
fn modules_right_below_the_root_count_for_all_below_them() {
    let graph = graph(&[(
        "lib.rs",
        "mod a { pub mod x { use crate::b::y::Y; } pub mod z { pub struct Z; } }
         mod b { pub mod y { pub struct Y; } pub mod w { use crate::a::z::Z; } }",
    )]);
    assert_eq!(cycles("lib.rs", &graph), [""; 0]);
    assert_eq!(
        cycles("lib.rs", &graph.top_level()).concat(),
        "\
lib.rs: 2 modules import one another: a, b
  a -> b -> a
    lib.rs:1: a imports Y of b
    lib.rs:2: b imports Z of a
  move the shared names into a module below both
"
    );
}
