//! [`Names`]: what a component exports or imports, as many names as a person reads.

use wasmtime::Engine as Wasmtime;
use wasmtime::component::Component;

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

    pub(super) fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
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

    /// Those that are listed.
    pub(super) fn listed(&self) -> &[String] {
        &self.listed
    }

    /// The number of the others.
    pub(super) fn left_out(&self) -> usize {
        self.left_out
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
