//! [`ComponentReport`]: what a component exports and imports, for a person who reads it.

use serde::Serialize;
use wasmtime::Engine as Wasmtime;
use wasmtime::component::Component;

/// The size, exports and imports of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComponentReport {
    /// The size of the file, in bytes.
    pub bytes: usize,
    /// The names that it exports: at most 100, of 8 KiB together.
    pub exports: Vec<String>,
    /// The number of exports that are not listed.
    pub exports_left_out: usize,
    /// The names that it imports, listed like those of exports.
    pub imports: Vec<String>,
    /// The number of imports that are not listed.
    pub imports_left_out: usize,
}

impl ComponentReport {
    /// The report on `component`, whose binary has `bytes` bytes.
    pub(super) fn new(engine: &Wasmtime, component: &Component, bytes: usize) -> Self {
        let imports = component.component_type();
        let imports = Names::of(imports.imports(engine).map(|(name, _)| name));
        let exports = Names::of_exports(engine, component);
        Self {
            bytes,
            exports: exports.listed,
            exports_left_out: exports.left_out,
            imports: imports.listed,
            imports_left_out: imports.left_out,
        }
    }
}

/// Names that a component exports or imports, as many as are listed.
#[derive(Debug, Default)]
pub(super) struct Names {
    listed: Vec<String>,
    left_out: usize,
}

impl Names {
    /// The maximum number of names: a few times what a client has.
    const MAX_LISTED: usize = 100;

    /// The maximum size of them together. One name may have 100,000 bytes.
    const MAX_BYTES: usize = 8 << 10;

    fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut of = Self::default();
        let mut room = Self::MAX_BYTES;
        for name in names {
            match room.checked_sub(name.len()) {
                Some(left) if of.listed.len() < Self::MAX_LISTED => {
                    room = left;
                    of.listed.push(name.to_owned());
                }
                _ => of.left_out += 1,
            }
        }
        of
    }

    /// Those that `component` exports.
    pub(super) fn of_exports(engine: &Wasmtime, component: &Component) -> Self {
        let ty = component.component_type();
        Self::of(ty.exports(engine).map(|(name, _)| name))
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { listed, left_out } = self;
        f.write_str(&listed.join(", "))?;
        match (listed.len(), left_out) {
            (_, 0) => Ok(()),
            (0, 1) => f.write_str("a name that is too long to be listed"),
            (0, _) => write!(f, "{left_out} names, which are too long to be listed"),
            _ => write!(f, " and {left_out} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Names;

    fn listed(names: &[String]) -> String {
        Names::of(names.iter().map(String::as_str)).to_string()
    }

    // fault 98
    #[test]
    fn names_are_listed_up_to_a_number_and_a_size() {
        assert_eq!(listed(&[]), "");
        assert_eq!(listed(&["a".into(), "b".into()]), "a, b");
        let long = || "l".repeat(Names::MAX_BYTES);
        assert_eq!(listed(&[long()]), long());
        assert_eq!(
            listed(&[long() + "l"]),
            "a name that is too long to be listed"
        );
        assert_eq!(listed(&["a".into(), long(), "b".into()]), "a, b and 1 more");
        let many = vec!["a".to_owned(); 1_000];
        let expected = format!("{} and 900 more", ["a"; Names::MAX_LISTED].join(", "));
        assert_eq!(listed(&many), expected);
    }
}
