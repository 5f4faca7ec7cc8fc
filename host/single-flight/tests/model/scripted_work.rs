//! Work that executes commands, and calls that the test or such work polls.

use std::mem;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::task::{Context, Poll};
use std::thread;

use single_flight::{CallOutput, Error, FlightId};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::model::{CallNo, Command};
use crate::outcome::WorkCounts;
use crate::script::Fault;

/// The outcome of a call.
pub(crate) type Outcome = Result<CallOutput<u32>, Error>;

/// The outcome of a call that some work made.
pub(crate) type NestedOutcome = (CallNo, Outcome);

/// A call, owned by its caller: the test, or the work of another call.
pub(crate) struct Caller {
    pub(crate) call: CallNo,
    pub(crate) runtime: Handle,
    pub(crate) future: Pin<Box<dyn Future<Output = Outcome> + Send>>,
}

impl Caller {
    /// Polls the call on its own runtime.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let _entered = self.runtime.enter();
        self.future.as_mut().poll(cx)
    }
}

/// Work that executes commands.
pub(crate) struct ScriptedWork {
    call: CallNo,
    fault: Fault,
    commands: UnboundedReceiver<Command<Caller>>,
    /// The calls that it waits for.
    nested: Vec<Caller>,
    report_outcome: Sender<NestedOutcome>,
    dropped: CountDrop,
}

/// Counts the calls, polls and drops of some work.
#[derive(Default)]
pub(crate) struct Counters {
    calls: AtomicUsize,
    polls: AtomicUsize,
    drops: AtomicUsize,
}

impl Counters {
    pub(crate) fn counts(&self) -> WorkCounts {
        WorkCounts {
            calls: self.calls.load(Ordering::Relaxed),
            polls: self.polls.load(Ordering::Relaxed),
            drops: self.drops.load(Ordering::Relaxed),
        }
    }
}

/// Counts the drop of the work, or of the future that it became.
struct CountDrop(Arc<Counters>);

impl Drop for CountDrop {
    fn drop(&mut self) {
        self.0.drops.fetch_add(1, Ordering::Relaxed);
    }
}

impl ScriptedWork {
    /// The work of `call`. It reports the outcomes of the calls that it makes itself.
    pub(crate) fn new(
        call: CallNo,
        fault: Fault,
        commands: UnboundedReceiver<Command<Caller>>,
        report_outcome: Sender<NestedOutcome>,
    ) -> Self {
        Self {
            call,
            fault,
            commands,
            nested: Vec::new(),
            report_outcome,
            dropped: CountDrop(Arc::default()),
        }
    }

    pub(crate) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.dropped.0)
    }

    pub(crate) fn work(self) -> impl FnOnce(FlightId) -> Called + Send {
        move |_flight| {
            self.dropped.0.calls.fetch_add(1, Ordering::Relaxed);
            if self.fault == Fault::PanicOnCall {
                panic_with("called");
            }
            Called(self)
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<u32> {
        self.dropped.0.polls.fetch_add(1, Ordering::Relaxed);
        for call in mem::take(&mut self.nested) {
            self.nest(call, cx);
        }
        while let Poll::Ready(Some(command)) = self.commands.poll_recv(cx) {
            match command {
                Command::Land => return Poll::Ready(self.call as u32),
                Command::Panic => {
                    self.fault = Fault::None;
                    panic_with("polled");
                }
                Command::Call(call) => self.nest(call, cx),
                Command::Withdraw => self.nested.clear(),
            }
        }
        Poll::Pending
    }

    fn nest(&mut self, mut call: Caller, cx: &mut Context<'_>) {
        match call.poll(cx) {
            Poll::Pending => self.nested.push(call),
            Poll::Ready(outcome) => {
                let sent = self.report_outcome.send((call.call, outcome));
                sent.expect("the test has the receiver");
            }
        }
    }
}

/// The future that the work returns.
pub(crate) struct Called(ScriptedWork);

impl Future for Called {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        self.0.poll(cx)
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        // While a failing test unwinds, a second panic would abort the process.
        if self.0.fault == Fault::PanicOnDrop && !thread::panicking() {
            panic_with("dropped");
        }
    }
}

/// Panics without the panic hook, which would print thousands of intended panics.
fn panic_with(message: &'static str) -> ! {
    resume_unwind(Box::new(message))
}
