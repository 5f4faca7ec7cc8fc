//! Bindings, in the languages whose projects have them as files.

use wit_bindgen_core::{Files, WorldGenerator};
use wit_parser::{Resolve, WorldId};

use super::language::Language;

/// A file of bindings.
pub(super) struct BindingFile {
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
}

/// Whether the bindings of Go have functions without a body for what is exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GoExports {
    /// They have; the files are to be replaced.
    Generated,
    /// The template has them.
    Written,
}

/// The files with the bindings of a world.
pub(super) fn generate(
    language: Language,
    resolve: &Resolve,
    world: WorldId,
    exports: GoExports,
) -> anyhow::Result<Vec<BindingFile>> {
    let (mut generator, folder): (Box<dyn WorldGenerator>, _) = match language {
        Language::C => (wit_bindgen_c::Opts::default().build(), "bindings/"),
        Language::Go => {
            let options = wit_bindgen_go::Opts {
                generate_stubs: exports == GoExports::Generated,
                ..Default::default()
            };
            (options.build(), "")
        }
        Language::Rust | Language::Js | Language::Ts | Language::Python => return Ok(Vec::new()),
    };
    let mut files = Files::default();
    generator.generate(&mut resolve.clone(), world, &mut files)?;
    let named = files.iter().map(|(name, bytes)| BindingFile {
        path: format!("{folder}{name}"),
        bytes: bytes.to_vec(),
    });
    Ok(named.collect())
}
