//! Work that does as it is told, and calls as they are polled: by the test, or by such work. It knows
//! neither the table nor who tells it.

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

use crate::model::{CallNo, Word};
use crate::outcome::Work;
use crate::script::Temper;

/// What a call came to.
pub(crate) type Outcome = Result<CallOutput<u32>, Error>;

/// What a call of some work came to.
pub(crate) type Heard = (CallNo, Outcome);

/// A call, in the hands of whoever makes it: the test, or the work of another call.
pub(crate) struct Caller {
    pub(crate) call: CallNo,
    pub(crate) runtime: Handle,
    pub(crate) future: Pin<Box<dyn Future<Output = Outcome> + Send>>,
}

impl Caller {
    /// Polls the call, on the runtime that is its own.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let _entered = self.runtime.enter();
        self.future.as_mut().poll(cx)
    }
}

/// Work that does as it is told.
pub(crate) struct Job {
    call: CallNo,
    temper: Temper,
    told: UnboundedReceiver<Word<Caller>>,
    /// The calls for which it waits.
    asks: Vec<Caller>,
    hears: Sender<Heard>,
    dropped: Dropped,
}

/// What the test sees of some work.
#[derive(Default)]
pub(crate) struct Seen {
    calls: AtomicUsize,
    polls: AtomicUsize,
    drops: AtomicUsize,
}

impl Seen {
    pub(crate) fn work(&self) -> Work {
        Work {
            calls: self.calls.load(Ordering::Relaxed),
            polls: self.polls.load(Ordering::Relaxed),
            drops: self.drops.load(Ordering::Relaxed),
        }
    }
}

/// Counts the drop of the work, or of the future that it became.
struct Dropped(Arc<Seen>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.drops.fetch_add(1, Ordering::Relaxed);
    }
}

impl Job {
    /// The work of a call, which does what it is told and tells what its own calls came to.
    pub(crate) fn new(
        call: CallNo,
        temper: Temper,
        told: UnboundedReceiver<Word<Caller>>,
        hears: Sender<Heard>,
    ) -> Self {
        Self {
            call,
            temper,
            told,
            asks: Vec::new(),
            hears,
            dropped: Dropped(Arc::default()),
        }
    }

    pub(crate) fn seen(&self) -> Arc<Seen> {
        Arc::clone(&self.dropped.0)
    }

    pub(crate) fn work(self) -> impl FnOnce(FlightId) -> Called + Send {
        move |_flight| {
            self.dropped.0.calls.fetch_add(1, Ordering::Relaxed);
            if self.temper == Temper::Rash {
                panic_with("called");
            }
            Called(self)
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<u32> {
        self.dropped.0.polls.fetch_add(1, Ordering::Relaxed);
        for ask in mem::take(&mut self.asks) {
            self.ask(ask, cx);
        }
        while let Poll::Ready(Some(word)) = self.told.poll_recv(cx) {
            match word {
                Word::Land => return Poll::Ready(self.call as u32),
                Word::Panic => {
                    self.temper = Temper::Calm;
                    panic_with("polled");
                }
                Word::Ask(ask) => self.ask(ask, cx),
                Word::Withdraw => self.asks.clear(),
            }
        }
        Poll::Pending
    }

    fn ask(&mut self, mut ask: Caller, cx: &mut Context<'_>) {
        match ask.poll(cx) {
            Poll::Pending => self.asks.push(ask),
            Poll::Ready(outcome) => {
                let kept = self.hears.send((ask.call, outcome));
                kept.expect("the test listens");
            }
        }
    }
}

/// What the work returns when it is called.
pub(crate) struct Called(Job);

impl Future for Called {
    type Output = u32;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<u32> {
        self.0.poll(cx)
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        // A second panic, of a test that fails, would end the process.
        if self.0.temper == Temper::Sore && !thread::panicking() {
            panic_with("dropped");
        }
    }
}

/// Panics, past the panic hook: of thousands that must happen none need be printed.
fn panic_with(message: &'static str) -> ! {
    resume_unwind(Box::new(message))
}
