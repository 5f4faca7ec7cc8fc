//! `oneflight componentize`: makes a component of a core module, which is the last step of building a client in C or Go.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail, ensure};
use clap::Args;
use oneflight::Wit;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use super::component_file::ComponentFile;
use super::output_file::write_whole;

/// Makes a component of a core module that was built for WASI 0.1, as compilers for C and Go do.
#[derive(Args, Debug)]
pub(super) struct Componentize {
    /// The core module.
    module: PathBuf,

    /// The WIT file or folder with the world of the component. Modules with bindings for C have it in them.
    #[arg(long, value_name = "PATH")]
    wit: Option<PathBuf>,

    /// The world in --wit, if it has several.
    #[arg(long, value_name = "NAME", requires = "wit")]
    world: Option<String>,

    /// The component to write.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
}

impl Componentize {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let name = self.module.display();
        let file = ComponentFile::open(&self.module)?
            .map_err(|error| anyhow!("could not make a component of {name}: {error}"))?;
        let mut module = file.read()?.to_vec();
        if Parser::is_component(&module) {
            bail!("expected a core module, got a component: {name}; use it as it is");
        }
        ensure!(
            Parser::is_core_wasm(&module),
            "expected a core module, got something else: {name}; give the .wasm file that the compiler has written"
        );
        let expected = match &self.wit {
            Some(wit) => {
                embed(&mut module, wit, self.world.as_deref())?;
                "expected a core module of the bindings of that world"
            }
            None => {
                "expected a core module that describes its world, as bindings for C do; if it does not, give --wit and --world"
            }
        };
        let component = component_of(&module)
            .with_context(|| format!("could not make a component of {name}; {expected}"))?;
        ensure!(
            has_exports(&component),
            "could not make a component of {name}: it would export nothing; {expected}"
        );
        write_whole(&self.output, &component)
            .with_context(|| format!("could not write {}", self.output.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Adds the description of a world to a module.
fn embed(module: &mut Vec<u8>, wit: &Path, world: Option<&str>) -> anyhow::Result<()> {
    let wit = Wit::read(wit)?;
    let (resolve, package) = wit.resolve();
    let world = resolve.select_world(&[package], world)?;
    embed_component_metadata(module, resolve, world, StringEncoding::UTF8)
}

/// Whether a component exports anything.
fn has_exports(component: &[u8]) -> bool {
    let mut parts = Parser::new(0).parse_all(component);
    parts.any(|part| matches!(part, Ok(Payload::ComponentExportSection(_))))
}

fn component_of(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)?
        .adapter(
            WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
            WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        )?
        .encode()
}
