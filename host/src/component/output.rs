//! What a guest prints goes to the host's log: line by line, bounded for each execution, and with
//! control characters made visible, so that a guest cannot write on the operator's terminal.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tracing::Span;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::model::Limit;
use crate::observability::metrics::ClientMetrics;

/// What a line costs beyond its own bytes: the log puts a time and a flight before it, so a guest that
/// prints line breaks alone would fill it many times faster than its bytes say.
const LINE_COST: usize = 100;

/// The longest line that is logged, in bytes: the text of an error can be as large as any result.
const MOST_WORDS: usize = 4 << 10;

/// How many lines of standard error are kept for the log line of a crash.
const LAST_LINES: usize = 4;

/// Both output streams of one execution.
#[derive(Clone)]
pub(super) struct GuestOutput(Arc<Mutex<Buffers>>);

#[derive(Clone, Copy)]
pub(super) enum Source {
    Stdout,
    Stderr,
}

/// Invariant: the bytes in `lines` and those already logged, with [`LINE_COST`] for each line, are at
/// most the limit that `left` began with, but for one line; whatever comes after is counted in
/// `dropped` and nowhere else.
struct Buffers {
    /// The line that each stream is in the middle of.
    lines: [Vec<u8>; 2],
    left: usize,
    dropped: usize,
    /// The last lines of standard error: a guest that crashes says why there.
    last_words: VecDeque<String>,
    /// The flight's, since streams are also written to from elsewhere.
    span: Span,
    metrics: ClientMetrics,
}

impl GuestOutput {
    /// Output of which `limit` bytes are logged, in the current span. Where there is more, `metrics` count
    /// that.
    pub(super) fn new(limit: usize, metrics: &ClientMetrics) -> Self {
        let buffers = Buffers::new(limit, Span::current(), metrics.clone());
        Self(Arc::new(Mutex::new(buffers)))
    }

    /// The instance that prints here has another execution, with a limit of its own: the streams stay,
    /// since a guest may have kept them.
    pub(super) fn begin(&self, limit: usize, metrics: &ClientMetrics) {
        *self.lock() = Buffers::new(limit, Span::current(), metrics.clone());
    }

    /// The execution has ended, and its instance has not. Without this the log would have the end of it
    /// only when the next one begins.
    pub(super) fn end(&self) {
        *self.lock() = Buffers::new(0, Span::none(), ClientMetrics::default());
    }

    pub(super) fn stream(&self, source: Source) -> GuestStream {
        GuestStream {
            output: self.clone(),
            source,
        }
    }

    /// The end of what was printed to standard error, on one line.
    pub(super) fn last_words(&self) -> String {
        let mut buffers = self.lock();
        buffers.flush(Source::Stderr);
        let words: Vec<_> = buffers.last_words.iter().map(String::as_str).collect();
        words.join(" | ")
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
            last_words: VecDeque::new(),
            span,
            metrics,
        }
    }

    fn write(&mut self, source: Source, bytes: &[u8]) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let taken = part.len().min(self.left);
            self.left -= taken;
            self.dropped += part.len() - taken;
            self.lines[source as usize].extend_from_slice(&part[..taken]);
            if part.ends_with(b"\n") {
                self.flush(source);
            }
        }
    }

    fn flush(&mut self, source: Source) {
        let line = std::mem::take(&mut self.lines[source as usize]);
        if !line.is_empty() {
            self.left = self.left.saturating_sub(LINE_COST);
            let line = printable(&String::from_utf8_lossy(&line));
            let stream = match source {
                Source::Stdout => "stdout",
                Source::Stderr => "stderr",
            };
            tracing::info!(target: "oneflight::guest", parent: &self.span, stream, "{line}");
            if matches!(source, Source::Stderr) {
                if self.last_words.len() == LAST_LINES {
                    self.last_words.pop_front();
                }
                self.last_words.push_back(line);
            }
        }
    }
}

/// The execution has ended: what it left without a line's end, and how much was too much.
impl Drop for Buffers {
    fn drop(&mut self) {
        self.flush(Source::Stdout);
        self.flush(Source::Stderr);
        if let dropped @ 1.. = self.dropped {
            self.metrics.limit(Limit::Log);
            tracing::warn!(
                target: "oneflight::guest", parent: &self.span, dropped,
                "the guest printed more than its limit; these bytes were dropped"
            );
        }
    }
}

/// A guest's words as they may stand in a log: on one line, escapes made visible, and no more of them
/// than [`MOST_WORDS`].
pub(super) fn printable(text: &str) -> String {
    let text = &text[..text.floor_char_boundary(MOST_WORDS)];
    visible(text.trim_end(), |_| true)
}

/// `text` with those control characters made visible that `is_hidden` is true for.
pub(super) fn visible(text: &str, is_hidden: impl Fn(char) -> bool) -> String {
    let mut visible = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() && is_hidden(char) {
            visible.extend(char.escape_default());
        } else {
            visible.push(char);
        }
    }
    visible
}

/// One output stream. It is always ready, never fails, and drops what is over the limit: a guest is
/// neither slowed nor ended by its own log.
pub(super) struct GuestStream {
    output: GuestOutput,
    source: Source,
}

impl StdoutStream for GuestStream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.output.stream(self.source))
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        unreachable!("only guests of WASI 0.3 ask for it, and none is linked")
    }
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl OutputStream for GuestStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.output.lock().write(self.source, &bytes);
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
        output.lock().write(Source::Stdout, b"12345");
        output.lock().write(Source::Stderr, b"67890");
        let buffers = output.lock();
        assert_eq!(buffers.lines, [b"12345".to_vec(), b"678".to_vec()]);
        assert_eq!((buffers.left, buffers.dropped), (0, 2));
    }

    #[test]
    fn each_execution_of_an_instance_has_a_limit_and_last_words_of_its_own() {
        let output = GuestOutput::new(8, &ClientMetrics::default());
        let mut kept = output.stream(Source::Stderr);
        kept.write(Bytes::from_static(b"1234567890")).unwrap();
        output.end();
        output.begin(8, &ClientMetrics::default());
        assert_eq!(output.last_words(), "");
        kept.write(Bytes::from_static(b"abcdef")).unwrap();
        let buffers = output.lock();
        assert_eq!((buffers.left, buffers.dropped), (2, 0));
    }

    #[test]
    fn the_last_words_are_the_last_lines_of_standard_error() {
        let output = GuestOutput::new(1_000, &ClientMetrics::default());
        output.lock().write(Source::Stdout, b"not these\n");
        output.lock().write(Source::Stderr, b"1\n2\n3\n4\n5");
        assert_eq!(output.last_words(), "2 | 3 | 4 | 5");
    }

    #[test]
    fn a_line_is_cut_where_it_is_too_long() {
        assert_eq!(
            printable(&"ü".repeat(MOST_WORDS)),
            "ü".repeat(MOST_WORDS / 2)
        );
    }

    #[test]
    fn terminal_escapes_are_inert() {
        assert_eq!(
            printable("\x1b[31mred\x1b[0m\r\n"),
            "\\u{1b}[31mred\\u{1b}[0m"
        );
    }
}
