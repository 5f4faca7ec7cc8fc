//! [`GuestOutput`]: what a guest prints goes to the host's log, line by line, bounded for each execution, and with
//! control characters escaped, so that a guest cannot control the operator's terminal.

mod stderr_ends;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tracing::Span;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use self::stderr_ends::StderrEnds;
use crate::model::Limit;
use crate::observability::metrics::ClientMetrics;
use crate::printable::printable;

/// What a line counts beyond its own bytes: the log adds a time and a flight, so a guest that prints only line
/// breaks would fill the log many times faster than its bytes suggest.
const LINE_COST: usize = 100;

/// Both output streams of one execution.
#[derive(Clone)]
pub(super) struct GuestOutput(Arc<Mutex<Buffers>>);

#[derive(Clone, Copy)]
pub(super) enum StdStream {
    Stdout,
    Stderr,
}

/// Invariant: the bytes in `lines` and those already logged, plus [`LINE_COST`] for each line, are at most the
/// initial value of `left` plus one line. All other bytes are counted in `dropped` and nowhere else.
struct Buffers {
    /// The unfinished line of each stream.
    lines: [Vec<u8>; 2],
    left: usize,
    dropped: usize,
    /// What a guest that crashes prints has the reason.
    stderr_ends: StderrEnds,
    /// The span of the flight. The current span can be another one, as streams are also written to from tasks.
    span: Span,
    metrics: ClientMetrics,
}

impl GuestOutput {
    /// Output of which `limit` bytes are logged, in the current span. `metrics` count when there is more.
    pub(super) fn new(limit: usize, metrics: &ClientMetrics) -> Self {
        let buffers = Buffers::new(limit, Span::current(), metrics.clone());
        Self(Arc::new(Mutex::new(buffers)))
    }

    /// Begins the next execution of the instance, with its own limit. The streams stay the same, since a guest may
    /// have kept them.
    pub(super) fn begin(&self, limit: usize, metrics: &ClientMetrics) {
        *self.lock() = Buffers::new(limit, Span::current(), metrics.clone());
    }

    /// Ends the execution while the instance lives on. Without this its unfinished lines would be logged only
    /// when the next execution begins.
    pub(super) fn end(&self) {
        *self.lock() = Buffers::new(0, Span::none(), ClientMetrics::default());
    }

    pub(super) fn stream(&self, stream: StdStream) -> GuestStream {
        GuestStream {
            output: self.clone(),
            stream,
        }
    }

    /// The beginning and the end of the standard error output, on one line.
    pub(super) fn stderr_ends(&self) -> String {
        let mut buffers = self.lock();
        buffers.flush(StdStream::Stderr);
        buffers.stderr_ends.text()
    }

    fn lock(&self) -> MutexGuard<'_, Buffers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffers {
    fn new(limit: usize, span: Span, metrics: ClientMetrics) -> Self {
        Self {
            lines: [vec![], vec![]],
            left: limit,
            dropped: 0,
            stderr_ends: StderrEnds::default(),
            span,
            metrics,
        }
    }

    fn write(&mut self, stream: StdStream, bytes: &[u8]) {
        if matches!(stream, StdStream::Stderr) {
            self.stderr_ends.write(bytes);
        }
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let taken = part.len().min(self.left);
            self.left -= taken;
            self.dropped += part.len() - taken;
            self.lines[stream as usize].extend_from_slice(&part[..taken]);
            if part.ends_with(b"\n") {
                self.flush(stream);
            }
        }
    }

    fn flush(&mut self, stream: StdStream) {
        let line = std::mem::take(&mut self.lines[stream as usize]);
        if !line.is_empty() {
            self.left = self.left.saturating_sub(LINE_COST);
            let line = printable(&String::from_utf8_lossy(&line));
            let name = match stream {
                StdStream::Stdout => "stdout",
                StdStream::Stderr => "stderr",
            };
            tracing::info!(target: "oneflight::guest", parent: &self.span, stream = name, "{line}");
        }
    }
}

/// At the end of an execution its unfinished lines are logged, and how many bytes were dropped.
impl Drop for Buffers {
    fn drop(&mut self) {
        self.flush(StdStream::Stdout);
        self.flush(StdStream::Stderr);
        if let dropped @ 1.. = self.dropped {
            self.metrics.limit(Limit::Log);
            tracing::warn!(
                target: "oneflight::guest", parent: &self.span, dropped,
                "the guest printed more than max_log_bytes; these bytes were dropped"
            );
        }
    }
}

/// One output stream. It is always ready, never fails, and drops what exceeds the limit, so that its own output
/// neither slows a guest nor ends it.
pub(super) struct GuestStream {
    output: GuestOutput,
    stream: StdStream,
}

impl StdoutStream for GuestStream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.output.stream(self.stream))
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        unreachable!("only WASI 0.3 uses it, which is not linked")
    }
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.lock().write(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(64 << 10)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for GuestStream {
    async fn ready(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_past_the_limit_is_counted_and_not_kept() {
        let output = GuestOutput::new(8, &ClientMetrics::default());
        output.lock().write(StdStream::Stdout, b"12345");
        output.lock().write(StdStream::Stderr, b"67890");
        let buffers = output.lock();
        assert_eq!(buffers.lines, [b"12345".to_vec(), b"678".to_vec()]);
        assert_eq!((buffers.left, buffers.dropped), (0, 2));
    }

    #[test]
    fn each_execution_of_an_instance_has_its_own_limit_and_its_own_ends() {
        let output = GuestOutput::new(8, &ClientMetrics::default());
        let mut stream = output.stream(StdStream::Stderr);
        assert!(stream.check_write().unwrap() > 0);
        stream.write(Bytes::from_static(b"1234567890")).unwrap();
        output.end();
        output.begin(8, &ClientMetrics::default());
        assert_eq!(output.stderr_ends(), "");
        stream.write(Bytes::from_static(b"abcdef")).unwrap();
        let buffers = output.lock();
        assert_eq!((buffers.left, buffers.dropped), (2, 0));
    }

    // fault 127
    #[test]
    fn the_ends_of_standard_error_are_kept_beyond_the_limit() {
        let output = GuestOutput::new(8, &ClientMetrics::default());
        output.lock().write(StdStream::Stdout, b"not these\n");
        output.lock().write(StdStream::Stderr, b"first\n\n");
        output.lock().write(StdStream::Stderr, b"last");
        assert_eq!(output.stderr_ends(), "first | last");
    }
}
