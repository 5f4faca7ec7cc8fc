//! The command line of oneflight: parse, build, run, exit code.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use tikv_jemallocator::Jemalloc;

/// Writes nothing beside its blocks, so that the pages of a buffer that nobody has used take no memory: with
/// the system's allocator each caller that waits takes 4 KiB more.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    if let Some(ended) = arguments.run_as_child() {
        return ended;
    }
    let runtime = match arguments.runtime().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: could not start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(arguments.run());
    // Not waited for: a name lookup that hangs, a component that is still compiling.
    runtime.shutdown_background();
    match ended {
        Ok(code) => code,
        // Whoever read our output has seen enough, as `head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
