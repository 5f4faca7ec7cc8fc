//! Puts one load on one contestant, for valgrind to count. Started by the benchmark.

use anyhow::Context;
use bench_table::counted::Load;
use bench_table::lineup::Contestant;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (name, load) = arguments
        .split_first()
        .context("the name of a contestant")?;
    let contestant = Contestant::named(name).context("no such contestant")?;
    Load::parse(load)?.put_on(contestant)
}
