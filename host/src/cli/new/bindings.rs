//! Bindings, in the languages whose projects have them as files.

use std::path::Path;

use wit_bindgen_core::{Files, WorldGenerator};
use wit_parser::Resolve;

use super::language::Language;

/// Names and contents of the files with the bindings of the world `client` in the folder `wit`.
pub(super) fn generate(language: Language, wit: &Path) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let (mut generator, folder): (Box<dyn WorldGenerator>, _) = match language {
        Language::C => (wit_bindgen_c::Opts::default().build(), "bindings/"),
        Language::Go => (wit_bindgen_go::Opts::default().build(), ""),
        Language::Rust | Language::Js | Language::Ts | Language::Python => return Ok(Vec::new()),
    };
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some("client"))?;
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files)?;
    let named = files
        .iter()
        .map(|(name, bytes)| (format!("{folder}{name}"), bytes.to_vec()));
    Ok(named.collect())
}
