//! Receives traces and prints them, so that they can be read without a collector:
//!
//! `cargo run -p oneflight-tests --bin otlp-receiver [-- ADDRESS]` (default 127.0.0.1:4318), and
//! `oneflight serve --otlp http://127.0.0.1:4318`.
//!
//! A trace is printed as a tree. A parent that is not among the received spans is named first: the parent of a
//! caller's span belongs to another service.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use oneflight_tests::otlp::{Receiver, Span};

#[tokio::main]
async fn main() -> ExitCode {
    let address = std::env::args().nth(1);
    let address = address.as_deref().unwrap_or("127.0.0.1:4318");
    let Ok(address) = address.parse::<SocketAddr>() else {
        eprintln!("usage: otlp-receiver [ADDRESS]");
        return ExitCode::from(2);
    };
    let mut receiver = match Receiver::at(address, None).await {
        Ok(receiver) => receiver,
        Err(error) => {
            eprintln!("error: could not listen on {address}: {error}");
            return ExitCode::FAILURE;
        }
    };
    eprintln!("waiting for traces on {}", receiver.url());
    loop {
        let spans = receiver.next().await.spans;
        // The reader has closed the pipe.
        if print(&mut io::stdout().lock(), &spans).is_err() {
            return ExitCode::SUCCESS;
        }
    }
}

/// The traces of one request, in order of appearance.
fn print(out: &mut impl Write, spans: &[Span]) -> io::Result<()> {
    let mut traces: Vec<&str> = Vec::new();
    for span in spans {
        if !traces.contains(&&*span.trace) {
            traces.push(&span.trace);
        }
    }
    for trace in traces {
        writeln!(out, "trace {trace}")?;
        let here: Vec<_> = spans.iter().filter(|span| span.trace == trace).collect();
        let is_here = |id: &str| here.iter().any(|span| span.id == id);
        for top in here.iter().filter(|span| !is_here(&span.parent)) {
            let depth = if top.parent.is_empty() {
                1
            } else {
                writeln!(out, "  {} (not from here)", top.parent)?;
                2
            };
            tree(out, &here, top, depth)?;
        }
    }
    writeln!(out)?;
    out.flush()
}

/// A span, and those below it.
fn tree(out: &mut impl Write, spans: &[&Span], span: &Span, depth: usize) -> io::Result<()> {
    let (indent, failed) = (depth * 2, if span.failed { " failed" } else { "" });
    write!(out, "{:indent$}{} {}", "", span.name, span.id)?;
    write!(out, " {} ms{failed}", span.ms)?;
    for (name, value) in &span.attributes {
        write!(out, " {name}={value}")?;
    }
    for (trace, id) in &span.links {
        write!(out, " → flight {id} in trace {trace}")?;
    }
    writeln!(out)?;
    let below = spans.iter().filter(|other| other.parent == span.id);
    for span in below {
        tree(out, spans, span, depth + 1)?;
    }
    Ok(())
}
