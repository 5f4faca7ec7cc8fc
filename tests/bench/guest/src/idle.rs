//! The memory of an idle instance: resident bytes of a process with many of them, less those of the same
//! process before.

use std::net::SocketAddr;

use anyhow::ensure;
use futures_util::future::join_all;
use harness::process::this_program;
use harness::procfs::resident;
use harness::report::Mark;
use oneflight::{
    BUILTIN, ComponentClient, Engine, Execute, FlightContext, Instances, Limits, Settings,
};

use crate::effort::Effort;
use crate::native::Native;
use crate::upstream;

/// Measures in a separate process, so that memory that was used before does not count.
pub(crate) fn mark(effort: &Effort, address: SocketAddr) -> anyhow::Result<Mark> {
    let instances = effort.idle.to_string();
    let output = this_program(&["idle", &address.to_string(), &instances])?.output()?;
    let bytes = if output.status.success() {
        String::from_utf8(output.stdout)?.trim().parse()?
    } else {
        eprintln!(
            "idle instances: not run: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        f64::NAN
    };
    let aim = format!("an idle instance of the built-in client, of {instances}: at most 100 KiB");
    Ok(Mark::at_most(aim, bytes / 1024.0, 100.0, " KiB"))
}

/// Prints the resident bytes of one of `instances`.
pub(crate) fn run(address: SocketAddr, instances: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let base_url = upstream::barrier_url(address, instances);
        let engine = Engine::new(&Limits::default())?;
        let settings = Settings::new("bench")
            .env("BASE_URL", &base_url)
            .allow(&format!("http://{address}"))?;
        let settings = Settings {
            instances: Instances::REUSED,
            ..settings
        };
        let component = ComponentClient::load(&engine, BUILTIN, settings).await?;
        // The same requests natively first, so that memory that connections leave behind does not count.
        call_at_once(&Native::new(&base_url), instances).await?;
        let before = resident()?;
        call_at_once(&component, instances).await?;
        let idle = component.usage().idle;
        ensure!(
            idle == instances,
            "expected {instances} idle instances, got {idle}"
        );
        let growth = resident()? as f64 - before as f64;
        println!("{}", growth / instances as f64);
        Ok(())
    })
}

/// Makes `number` calls at the same time; the upstream answers when it has all their requests.
async fn call_at_once(component: &impl Execute, number: usize) -> anyhow::Result<()> {
    let context = FlightContext::default();
    let calls = (0..number).map(|number| component.execute(number.to_string().into(), &context));
    for result in join_all(calls).await {
        result?;
    }
    Ok(())
}
