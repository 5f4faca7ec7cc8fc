//! `oneflight check`: can the host run this component, and if not, what to do about it.

use std::path::PathBuf;
use std::process::ExitCode;

use super::patiently;
use anyhow::Context;
use clap::Args;
use oneflight::component::Report;
use oneflight::{ComponentClient, Engine, Limits, LoadError, Settings};

/// Says whether a file is a component that oneflight can run, and if not, how to mend it.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// The component, a .wasm file.
    file: PathBuf,

    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) async fn run(self) -> anyhow::Result<ExitCode> {
        let binary = std::fs::read(&self.file)
            .with_context(|| format!("could not read {}", self.file.display()))?;
        let engine = Engine::new(&Limits {
            executions: 1,
            ..Limits::default()
        })?;
        let compiling = format!(
            "compiling {} ({} KB)",
            self.file.display(),
            binary.len() / 1_000
        );
        let load = ComponentClient::load(&engine, binary, Settings::new("check"));
        let loaded = patiently(&compiling, load).await;
        match (&loaded, self.json) {
            (Ok(client), false) => self.print_fit(client.report()),
            (Err(error), false) => self.print_unfit(error),
            (Ok(client), true) => {
                println!(
                    "{}",
                    serde_json::json!({ "ok": true, "component": client.report() })
                );
            }
            (Err(error), true) => println!(
                "{}",
                serde_json::json!({
                    "ok": false,
                    "found": error.found(),
                    "needed": error.needed(),
                    "fix": error.fix(),
                })
            ),
        }
        Ok(if loaded.is_ok() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn print_fit(&self, report: &Report) {
        println!(
            "{} is a component that oneflight can run\n",
            self.file.display()
        );
        println!("  size     {} bytes", report.bytes);
        for (label, names) in [("exports", &report.exports), ("imports", &report.imports)] {
            for (nth, name) in names.iter().enumerate() {
                println!("  {:<8} {name}", if nth == 0 { label } else { "" });
            }
        }
        println!(
            "\nTry it:  oneflight get KEY --component {}",
            self.file.display()
        );
    }

    fn print_unfit(&self, error: &LoadError) {
        println!(
            "{} is nothing that oneflight can run\n",
            self.file.display()
        );
        println!("  found    {}", error.found());
        println!("  needed   {}", error.needed());
        println!("  mend it  {}", error.fix());
    }
}
