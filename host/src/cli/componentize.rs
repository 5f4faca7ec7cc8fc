//! `oneflight componentize`: makes a component of a core module, which is the last step of building a client in C or Go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::Parser;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

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
        let mut module =
            fs::read(&self.module).with_context(|| format!("could not read {name}"))?;
        if Parser::is_component(&module) {
            bail!("expected a core module, got a component: {name}; use it as it is");
        }
        if let Some(wit) = &self.wit {
            embed(&mut module, wit, self.world.as_deref())?;
        }
        let component = component_of(&module).with_context(|| {
            format!("could not make a component of {name}; expected a core module of the world's bindings")
        })?;
        let output = self.output.display();
        fs::write(&self.output, component).with_context(|| format!("could not write {output}"))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Adds the description of a world to a module.
fn embed(module: &mut Vec<u8>, wit: &Path, world: Option<&str>) -> anyhow::Result<()> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], world)?;
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8)
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
