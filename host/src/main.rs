//! The program: parses the command line, builds a runtime, runs the command, returns its exit code.

mod cli;

use std::process::ExitCode;
use std::{env, io};

use clap::Parser;
use cli::capacity::max_blocking_threads;
use cli::signals::{Signals, is_serve};
use cli::stderr::{FlushAtEnd, print_line};
use oneflight::printable::{Escape, escape_lines};
use tikv_jemallocator::Jemalloc;
use tokio::runtime::{Builder, Runtime};

/// It stores no metadata next to its blocks, so that unused pages of a buffer take no memory: with the system's
/// allocator each waiting caller takes 4 KiB more.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let _flush = FlushAtEnd;
    // First of all: a signal that arrives before its handler ends the process.
    let early = is_serve(env::args_os().skip(1)).then(start_serving);
    let arguments = cli::Arguments::parse();
    if let Some(ended) = arguments.run_as_child() {
        return ended;
    }
    let started = early.unwrap_or_else(|| {
        let runtime = arguments.runtime().enable_all().build()?;
        Ok((runtime, None))
    });
    let (runtime, signals) = match started {
        Ok(started) => started,
        Err(error) => {
            print_line!("error: could not start threads and handle signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let ended = runtime.block_on(arguments.run(signals));
    // Does not wait for blocking tasks, such as a name lookup that hangs or a component that is still compiling.
    runtime.shutdown_background();
    match ended {
        Ok(code) => code,
        // The reader of the output has closed it, as `head` does.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("{error:#}");
            let text = escape_lines(&text, Escape::Rust);
            print_line!("error: {text}");
            ExitCode::FAILURE
        }
    }
}

/// A runtime, and the signals of a service, which it handles from now on.
///
/// The handlers are installed first, by a runtime without threads: the other one reads files and starts threads, and a
/// signal meanwhile would end the process.
fn start_serving() -> io::Result<(Runtime, Option<Signals>)> {
    let first = Builder::new_current_thread().enable_io().build()?;
    let handled = {
        let _entered = first.enter();
        Signals::new()?
    };
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(max_blocking_threads())
        .build()?;
    let signals = {
        let _entered = runtime.enter();
        Signals::new()?
    };
    // The handlers stay.
    drop((handled, first));
    Ok((runtime, Some(signals)))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
