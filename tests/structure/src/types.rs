//! Types that share a name: structs, enums, unions, traits and aliases, private ones included.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::modules::Crate;

/// Names that more than one module of `crates` gives to a type, a line each. Twice in one module a name
/// stands only where `cfg` chooses between the two.
#[must_use]
pub fn shared_names(crates: &[Crate]) -> Vec<String> {
    let mut places: BTreeMap<&str, BTreeMap<(&PathBuf, &str), usize>> = BTreeMap::new();
    for module in crates.iter().flat_map(|of| &of.modules) {
        for declared in &module.types {
            let places = places.entry(&declared.name).or_default();
            places
                .entry((&module.file, &module.name))
                .or_insert(declared.line);
        }
    }
    let shared = places.iter().filter(|(_, places)| places.len() > 1);
    shared
        .map(|(name, places)| {
            let places = places
                .iter()
                .map(|((file, _), line)| format!("{}:{line}", file.display()));
            let places: Vec<_> = places.collect();
            format!("{name}: {}", places.join(", "))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn krate(file: &str, text: &str) -> Crate {
        Crate::read(Path::new(file), &|_| Ok(text.to_owned())).unwrap()
    }

    #[test]
    fn a_name_in_two_modules_is_listed_with_both_places() {
        let one = krate(
            "one.rs",
            "pub struct Flight;\nmod a {\n    enum Seat {}\n    type Key = u8;\n}\nmod b {\n    trait Seat {}\n}",
        );
        let two = krate(
            "two.rs",
            "\npin_project! {\n    #[must_use]\n    pub(crate) struct Flight<F> { x: u8 }\n}",
        );
        assert_eq!(
            shared_names(&[one, two]),
            ["Flight: one.rs:1, two.rs:4", "Seat: one.rs:3, one.rs:7"]
        );
    }

    #[test]
    fn tests_functions_and_alternatives_of_cfg_share_names_freely() {
        let one = krate(
            "one.rs",
            "#[cfg(unix)] struct A; #[cfg(not(unix))] struct A;
             fn f() { struct B; } mod b { struct B; #[cfg(test)] mod tests { struct C; } } struct C;
             mod d { macro_rules! m { () => { struct C; } } const A: u8 = 0; fn B() {} }",
        );
        assert_eq!(shared_names(&[one]), [""; 0]);
    }
}
