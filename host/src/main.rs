//! The program: parses the command line, builds a runtime, runs the command, returns its exit code.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use cli::stderr::{self, print_line};
use oneflight::printable::{Escape, escape};
use tikv_jemallocator::Jemalloc;

/// It stores no metadata next to its blocks, so that unused pages of a buffer take no memory: with the system's
/// allocator each waiting caller takes 4 KiB more.
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
            print_line!("error: could not start threads: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(arguments.run());
    // Does not wait for blocking tasks, such as a name lookup that hangs or a component that is still compiling.
    runtime.shutdown_background();
    let code = match ended {
        Ok(code) => code,
        // The reader of the output has closed it, as `head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("{error:#}");
            let text = escape(&text, Escape::Rust, |char| char != '\n');
            print_line!("error: {text}");
            ExitCode::FAILURE
        }
    };
    stderr::flush();
    code
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
