use std::fmt::Write;

use super::files::WitFiles;
use super::*;
use crate::typed::{FunctionDocs, Parameter, Signature, ValueType};

fn parsed(text: &str) -> Result<Wit, WitError> {
    Wit::parse(WitFiles::of_text("a.wit", text))
}

/// A function with one parameter of this type.
fn with_parameter(ty: ValueType) -> Signature {
    let name = "a".into();
    Signature {
        parameters: [Parameter { name, ty }].into(),
        result: None,
    }
}

/// The comments of the function `i#f` of the package `a:b`.
fn docs(wit: &Wit, signature: &Signature) -> Result<FunctionDocs, WitDifference> {
    let function = CallableFunction {
        interface: Some("a:b/i"),
        name: "f",
        signature,
    };
    let mut docs = wit.docs_of(&[function], |_, name| name == "f")?;
    Ok(docs.remove(0))
}

#[test]
fn a_mistake_is_reported_with_its_file_line_and_column() {
    for (text, expected) in [
        (
            "package a:b;\ninterface i {\n  f: func(a: strin);\n}",
            "a.wit:3:14: name `strin` does not exist",
        ),
        (
            "package a:b;\ninterface i {",
            "a.wit:2:14: expected `type`, `resource` or `func`, found eof",
        ),
        (
            "package a:b;\nworld w { export c:d/e; }",
            "a.wit:2:18: package 'c:d' not found",
        ),
        (
            "interface i {}",
            "a.wit: no `package` header was found in any WIT file",
        ),
        ("", "a.wit: no `package` header was found in any WIT file"),
    ] {
        let refused = parsed(text).unwrap_err().to_string();
        assert!(refused.starts_with(expected), "{refused}");
    }
}

#[test]
fn comments_are_escaped_and_limited() {
    let long = "ü".repeat(3_000);
    let hidden = '\u{200b}';
    // The parser itself refuses most of what controls a terminal.
    let text = format!(
        "package a:b;\ninterface i {{\n/// One{hidden}line.\r\n///\n/// And\tanother.\nf: func(a: t);\n/// {long}\ntype t = u8;\n}}"
    );
    let docs = docs(&parsed(&text).unwrap(), &with_parameter(ValueType::U8)).unwrap();
    let expected = "One\\u{200b}line.\n\nAnd    another.";
    assert_eq!(docs.text.as_deref(), Some(expected));
    let of_type = docs.parameter(0).ty.text.as_deref().unwrap();
    assert_eq!(of_type, "ü".repeat(2_048) + " …");
}

#[test]
fn past_the_limit_of_all_comments_others_are_left_out() {
    let comment = "a".repeat(4_000);
    let fields = (0..100).fold(String::new(), |mut fields, nth| {
        let _ = write!(fields, "/// {comment}\n a{nth}: u8,\n");
        fields
    });
    let text = format!("package a:b;\ninterface i {{\nrecord r {{ {fields} }}\nf: func(a: r);\n}}");
    let field = |nth: usize| crate::typed::Field {
        name: format!("a{nth}").into(),
        ty: ValueType::U8,
    };
    let record = ValueType::Record((0..100).map(field).collect());
    let docs = docs(&parsed(&text).unwrap(), &with_parameter(record)).unwrap();
    let parts = &docs.parameter(0).ty.parts;
    let with_text = parts.iter().filter(|part| part.text.is_some()).count();
    assert_eq!((parts.len(), with_text), (100, (256 << 10) / 4_000));
}

#[test]
fn types_that_are_deep_or_huge_end() {
    for (number, element, expected) in [
        // Each type has one part more than the one before.
        (
            20_000,
            "list<t{}>",
            "a function of which it is nested more than 64 deep",
        ),
        // Each type has twice the parts of the one before.
        (
            40,
            "tuple<t{}, t{}>",
            "a function of which its types have more than 10000 parts",
        ),
    ] {
        let types = (0..number).fold(String::new(), |mut types, nth| {
            let element = element.replace("{}", &nth.to_string());
            let _ = writeln!(types, "type t{} = {element};", nth + 1);
            types
        });
        let text = format!(
            "package a:b;\ninterface i {{\ntype t0 = u8;\n{types}\nf: func(a: t{number});\n}}"
        );
        let refused = docs(&parsed(&text).unwrap(), &with_parameter(ValueType::U8)).unwrap_err();
        let WitDifference::Function { wit, .. } = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(wit, expected);
    }
}
