//! Runs one load with one contestant, for valgrind to count. The benchmark starts it.

use anyhow::Context;
use bench_table::counted::CountedLoad;
use bench_table::lineup::Contestant;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let (name, load) = arguments
        .split_first()
        .context("expected the name of a contestant and a load")?;
    let contestant = Contestant::named(name).context("expected the name of a contestant")?;
    CountedLoad::parse(load)?.run_with(contestant)
}
