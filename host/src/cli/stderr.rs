//! [`Stderr`]: what the program prints on standard error. A service prints through a bounded queue and a thread that
//! writes it, so that a reader that stops, a full disk or a closed pipe stops neither callers nor the shutdown.
//!
//! Invariant: once [`start_queue`] has returned, no other thread of the process waits for standard error. A record
//! that the queue has no room for is dropped and counted, and so is one that cannot be written.
//!
//! The queue is bounded in bytes, and what was written without success counts as dropped: `tracing-appender` bounds
//! its queue in records, and counts only those that found it full.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::mem;
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What waits to be written: 1 MiB, several thousand lines.
const MAX_QUEUED_BYTES: usize = 1 << 20;

/// The most that is written at once, so that a slow reader is seen to make progress: the size of a pipe.
const MAX_WRITE_BYTES: usize = 64 << 10;

/// The pause after a failed write. An immediate retry would spin.
const RETRY_DELAY: Duration = Duration::from_millis(100);

/// How long the end of the program waits for a reader that reads nothing, and the second signal for any reader.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Standard error, through the queue if it was started. Each call of `write` or `writeln!` is one record, which is
/// written as a whole or dropped. It never fails.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        match QUEUE.get() {
            Some(queue) => queue.push(record),
            // A command that cannot print an error has no other way to report that.
            None => drop(io::stderr().write_all(record)),
        }
        Ok(record.len())
    }

    fn write_fmt(&mut self, record: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.write_all(record.to_string().as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Prints a line on [`Stderr`].
macro_rules! print_line {
    ($($record:tt)*) => {{
        use std::io::Write as _;
        // It never fails.
        let _ = writeln!($crate::cli::stderr::Stderr, $($record)*);
    }};
}
pub(crate) use print_line;

/// Starts the queue and its thread. Where no thread can be started, printing stays direct.
pub(super) fn start_queue() {
    // A descriptor of its own: another writer, such as the standard library before it aborts, does not wait for the
    // thread's lock.
    let out = io::stderr().as_fd().try_clone_to_owned().map(File::from);
    let (Ok(out), true) = (out, QUEUE.get().is_none()) else {
        return;
    };
    let write = || QUEUE.get_or_init(Queue::default).write_to(out);
    let thread = thread::Builder::new().name("oneflight-log".into());
    if thread.spawn(write).is_ok() {
        QUEUE.get_or_init(Queue::default);
    }
}

/// When it is dropped, at the end of the program or by a panic, waits until the queue is written, or until its reader
/// has read nothing for a second.
pub(crate) struct FlushAtEnd;

impl Drop for FlushAtEnd {
    fn drop(&mut self) {
        if let Some(queue) = QUEUE.get() {
            queue.flush();
        }
    }
}

/// Waits until the queue is written, or until a second has passed: other threads may go on filling it.
pub(super) fn flush_before_exit() {
    if let Some(queue) = QUEUE.get() {
        queue.flush_until(Instant::now() + FLUSH_TIMEOUT);
    }
}

/// What the queue has dropped, and whether a line about it would be written now. `None` without a queue.
pub(super) fn dropped() -> Option<Dropped> {
    QUEUE.get().map(Queue::dropped)
}

/// The records that were dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Their lines, since the start.
    pub(super) lines: u64,
    /// Whether the last write succeeded and the queue has room.
    pub(super) is_over: bool,
}

#[derive(Debug, Default)]
struct Queue {
    state: Mutex<QueueState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct QueueState {
    /// Complete records that are not being written yet, at most [`MAX_QUEUED_BYTES`].
    queued: Vec<u8>,
    /// Whether the thread is writing what it has taken.
    is_writing: bool,
    /// Whether the last write failed.
    has_failed: bool,
    /// The writes that succeeded.
    writes: u64,
    /// The lines that were dropped.
    dropped: u64,
}

impl Queue {
    fn push(&self, record: &[u8]) {
        let mut state = self.lock();
        if state.queued.len() + record.len() > MAX_QUEUED_BYTES {
            state.dropped += lines(record);
        } else {
            state.queued.extend_from_slice(record);
            drop(state);
            self.changed.notify_all();
        }
    }

    fn dropped(&self) -> Dropped {
        let state = self.lock();
        Dropped {
            lines: state.dropped,
            is_over: !state.has_failed && state.queued.len() <= MAX_QUEUED_BYTES / 2,
        }
    }

    /// Waits until `end` at most.
    fn flush_until(&self, end: Instant) {
        let mut state = self.lock();
        while state.is_writing || !state.queued.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn flush(&self) {
        let mut state = self.lock();
        while state.is_writing || !state.queued.is_empty() {
            let before = (state.writes, state.dropped);
            let (next, waited) = self
                .changed
                .wait_timeout(state, FLUSH_TIMEOUT)
                .unwrap_or_else(PoisonError::into_inner);
            state = next;
            if waited.timed_out() && (state.writes, state.dropped) == before {
                return;
            }
        }
    }

    /// Writes what is queued to `out`, for ever.
    fn write_to(&self, mut out: impl Write) {
        let mut taken = Vec::new();
        loop {
            let mut state = self.lock();
            while state.queued.is_empty() {
                let woken = self.changed.wait(state);
                state = woken.unwrap_or_else(PoisonError::into_inner);
            }
            mem::swap(&mut state.queued, &mut taken);
            state.is_writing = true;
            drop(state);
            let lost = self.write(&mut out, &taken);
            taken.clear();
            let mut state = self.lock();
            state.is_writing = false;
            state.has_failed = lost > 0;
            state.dropped += lost;
            drop(state);
            self.changed.notify_all();
            if lost > 0 {
                thread::sleep(RETRY_DELAY);
            }
        }
    }

    /// Writes `records`; returns the number of lines that could not be written.
    fn write(&self, out: &mut impl Write, mut records: &[u8]) -> u64 {
        while !records.is_empty() {
            match out.write(&records[..records.len().min(MAX_WRITE_BYTES)]) {
                Ok(0) => return lines(records),
                Ok(written) => {
                    records = &records[written..];
                    self.lock().writes += 1;
                    self.changed.notify_all();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another process has made the pipe non-blocking, and it is full.
                Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_DELAY),
                Err(_) => return lines(records),
            }
        }
        0
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number of lines in `records`, of which the last may lack its end.
fn lines(records: &[u8]) -> u64 {
    records.split(|byte| *byte == b'\n').count() as u64 - u64::from(records.ends_with(b"\n"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// An output that reports what is written, and returns the results that it receives.
    struct Scripted {
        written: SyncSender<String>,
        results: Receiver<io::Result<usize>>,
    }

    impl Write for Scripted {
        fn write(&mut self, records: &[u8]) -> io::Result<usize> {
            let text = String::from_utf8_lossy(records).into_owned();
            self.written.send(text).unwrap();
            self.results.recv().unwrap()
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queue() -> (Arc<Queue>, Receiver<String>, SyncSender<io::Result<usize>>) {
        let queue = Arc::<Queue>::default();
        let (written, seen) = sync_channel(8);
        let (result, results) = sync_channel(8);
        let writing = Arc::clone(&queue);
        thread::spawn(move || writing.write_to(Scripted { written, results }));
        (queue, seen, result)
    }

    #[test]
    fn while_a_write_blocks_records_are_queued_and_then_dropped_and_counted() {
        let (queue, seen, result) = queue();
        queue.push(b"first\n");
        assert_eq!(seen.recv().unwrap(), "first\n");
        // The write does not return.
        let record = vec![b'\n'; MAX_QUEUED_BYTES];
        queue.push(&record);
        queue.push(b"a\nb\n");
        let expected = Dropped {
            lines: 2,
            is_over: false,
        };
        assert_eq!(queue.dropped(), expected);
        queue.flush();
        result.send(Ok(6)).unwrap();
        for _ in 0..MAX_QUEUED_BYTES / MAX_WRITE_BYTES {
            assert_eq!(seen.recv().unwrap().len(), MAX_WRITE_BYTES);
            result.send(Ok(MAX_WRITE_BYTES)).unwrap();
        }
        queue.flush();
        let expected = Dropped {
            lines: 2,
            is_over: true,
        };
        assert_eq!(queue.dropped(), expected);
    }

    #[test]
    fn a_flush_before_the_exit_waits_for_what_is_queued_and_ends_at_its_time() {
        let (queue, seen, result) = queue();
        queue.push(b"first\n");
        assert_eq!(seen.recv().unwrap(), "first\n");
        // The write does not return.
        queue.flush_until(Instant::now() + Duration::from_millis(10));
        let flushing = Arc::clone(&queue);
        let day = Duration::from_secs(86_400);
        let flushed = thread::spawn(move || flushing.flush_until(Instant::now() + day));
        result.send(Ok(6)).unwrap();
        flushed.join().unwrap();
        assert!(queue.lock().queued.is_empty());
    }

    #[test]
    fn a_panic_waits_for_what_is_queued() {
        start_queue();
        let panicked = thread::spawn(|| {
            let _flush = FlushAtEnd;
            print_line!("a line before a panic");
            panic!("as expected");
        });
        assert!(panicked.join().is_err());
        let state = QUEUE.get().unwrap().lock();
        assert!(state.queued.is_empty() && !state.is_writing);
    }

    #[test]
    fn records_that_cannot_be_written_are_counted_and_the_next_ones_are_tried() {
        let (queue, seen, result) = queue();
        for (kind, lost) in [(ErrorKind::StorageFull, 2), (ErrorKind::BrokenPipe, 4)] {
            queue.push(b"a\nb\n");
            assert_eq!(seen.recv().unwrap(), "a\nb\n");
            result.send(Err(kind.into())).unwrap();
            queue.flush();
            let expected = Dropped {
                lines: lost,
                is_over: false,
            };
            assert_eq!(queue.dropped(), expected);
        }
        queue.push(b"c\n");
        assert_eq!(seen.recv().unwrap(), "c\n");
        result.send(Ok(1)).unwrap();
        assert_eq!(seen.recv().unwrap(), "\n");
        result.send(Err(ErrorKind::Interrupted.into())).unwrap();
        assert_eq!(seen.recv().unwrap(), "\n");
        result.send(Ok(1)).unwrap();
        queue.flush();
        let expected = Dropped {
            lines: 4,
            is_over: true,
        };
        assert_eq!(queue.dropped(), expected);
    }
}
