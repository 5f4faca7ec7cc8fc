//! What an instance that waits for its next flight holds: resident bytes of a process with many of them,
//! less those of the same process before.

use std::fs;

use anyhow::{Context, ensure};
use futures_util::future::join_all;
use harness::report::Mark;
use oneflight::{BUILTIN, Client, ComponentClient, Engine, Instances, Key, Limits, Settings};

use crate::native::Native;
use crate::{Effort, process, upstream};

/// Measures it in a process of its own, whose memory nothing else has used before.
pub(crate) fn mark(effort: &Effort, address: &str) -> anyhow::Result<Mark> {
    let instances = effort.idle.to_string();
    let output = process::this(&["idle", address, &instances])?.output()?;
    let bytes = if output.status.success() {
        String::from_utf8(output.stdout)?.trim().parse()?
    } else {
        eprintln!("not run: {}", String::from_utf8_lossy(&output.stderr));
        f64::NAN
    };
    let aim =
        format!("one of {instances} idle instances of the built-in client holds at most 100 KiB");
    Ok(Mark::at_most(aim, bytes / 1024.0, 100.0, " KiB"))
}

/// Prints the bytes that one of `instances` takes.
pub(crate) fn run(address: &str, instances: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let base_url = upstream::held(address, instances);
        let engine = Engine::new(&Limits::default())?;
        let settings = Settings::new("bench")
            .env("BASE_URL", &base_url)
            .allow(&format!("http://{address}"))?;
        let settings = Settings {
            instances: Instances::REUSED,
            ..settings
        };
        let component = ComponentClient::load(&engine, BUILTIN, settings).await?;
        // The same requests natively first, so that what connections leave behind is there before.
        ask(&Native::new(&base_url), instances).await?;
        let before = resident()?;
        ask(&component, instances).await?;
        let idle = component.usage().idle;
        ensure!(idle == instances, "{idle} are idle, not {instances}");
        let taken = resident()? as f64 - before as f64;
        println!("{}", taken / instances as f64);
        Ok(())
    })
}

/// Asks so often at the same time; each is answered when all have asked.
async fn ask(client: &impl Client, times: usize) -> anyhow::Result<()> {
    let asking = (0..times).map(|number| client.get_items(Key::from(number.to_string())));
    for answer in join_all(asking).await {
        answer.result?;
    }
    Ok(())
}

/// Bytes of this process that are in memory.
fn resident() -> anyhow::Result<u64> {
    let sums = fs::read_to_string("/proc/self/smaps_rollup").context("no /proc on this system")?;
    let line = sums.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    Ok(kilobytes.context("no Rss")?.parse::<u64>()? << 10)
}
