//! What stubs in all languages have.

use wit_parser::{Docs, Function, Resolve, Type, TypeDefKind};

use crate::cli::new::exports::ClientExports;

/// A file of a new client.
pub(in crate::cli::new) struct SourceFile {
    pub(in crate::cli::new) path: String,
    pub(in crate::cli::new) text: String,
}

/// The lines of a documentation comment, each after `start`.
pub(super) fn comment(docs: &Docs, start: &str) -> String {
    let Some(text) = &docs.contents else {
        return String::new();
    };
    let lines = text.trim().lines().map(|line| {
        // What ends a comment or the text of a program in one of the languages.
        let line = line.replace("*/", "* /").replace('\\', "/");
        format!("{start} {line}").trim_end().to_owned() + "\n"
    });
    lines.collect()
}

/// A name that none of `taken` has, with `_` after it until that is so.
pub(super) fn unlike(name: String, taken: &[&str]) -> String {
    let mut name = name;
    while taken.contains(&name.as_str()) {
        name.push('_');
    }
    name
}

/// `start`, the parts with commas between them, and `end`: in one line of at most `width` bytes, or with each part in a line
/// of its own, which is indented by `indent` once more.
pub(super) fn wrapped(
    start: &str,
    parts: &[String],
    end: &str,
    indent: &str,
    step: &str,
    width: usize,
) -> String {
    let line = format!("{indent}{start}{}{end}", parts.join(", "));
    if line.len() <= width || parts.is_empty() {
        return line;
    }
    let lines: String = parts
        .iter()
        .map(|part| format!("{indent}{step}{part},\n"))
        .collect();
    format!("{indent}{start}\n{lines}{indent}{end}")
}

/// The parameters that can be segments of the path of a request, and the others.
pub(super) fn by_use<'a>(
    resolve: &Resolve,
    function: &'a Function,
) -> (Vec<&'a str>, Vec<&'a str>) {
    let (mut segments, mut others) = (Vec::new(), Vec::new());
    for parameter in &function.params {
        let part = if is_segment(resolve, &parameter.ty) {
            &mut segments
        } else {
            &mut others
        };
        part.push(parameter.name.as_str());
    }
    (segments, others)
}

/// Whether a value of this type can be written as a segment of a path: a string or an integer.
fn is_segment(resolve: &Resolve, ty: &Type) -> bool {
    match ty {
        Type::Id(id) => match &resolve.types[*id].kind {
            TypeDefKind::Type(ty) => is_segment(resolve, ty),
            _ => false,
        },
        Type::Bool | Type::Char | Type::F32 | Type::F64 | Type::ErrorContext => false,
        _ => true,
    }
}

/// What the stubs are for, as a comment whose lines begin with `start`.
pub(super) fn purpose(exports: &ClientExports<'_>, start: &str) -> String {
    let mut names: Vec<_> = exports
        .interfaces
        .iter()
        .map(|interface| interface.qualified.clone())
        .collect();
    names.extend(exports.functions.iter().map(|each| each.name.clone()));
    let mut text =
        format!("{start}A client of Oneflight with a stub for each function that it exports:\n");
    for name in names {
        text += &format!("{start}{name}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_have_no_end_of_their_own() {
        let docs = Docs {
            contents: Some("One.\n\n*/ two \\\n".to_owned()),
        };
        assert_eq!(comment(&docs, "//"), "// One.\n//\n// * / two /\n");
        assert_eq!(comment(&Docs::default(), "//"), "");
    }

    #[test]
    fn long_lists_have_a_line_for_each_part() {
        let parts = ["a: A".to_owned(), "b: B".to_owned()];
        let text = |width| wrapped("fn f(", &parts, ")", "  ", "  ", width);
        assert_eq!(text(18), "  fn f(a: A, b: B)");
        assert_eq!(text(17), "  fn f(\n    a: A,\n    b: B,\n  )");
        assert_eq!(unlike("get".to_owned(), &["get", "get_"]), "get__");
    }
}
