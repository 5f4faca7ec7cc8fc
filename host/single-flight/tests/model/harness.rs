//! The table under test, and what makes its order deterministic: a clock that the script advances, calls that
//! are polled by hand, and a runtime for each call, so that a script runs the task of one flight at a time.
//! Nothing here knows the expected results.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use single_flight::{FlightId, Group};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::model::{CallNo, Command};
use crate::outcome::{EndedRecord, RecordedEnd, Snapshot, WorkCounts};
use crate::script::{Fault, Hashing, KeyName, Mode, Observing, Script, WhichWaker};
use crate::scripted_work::{Caller, Counters, NestedOutcome, Outcome, ScriptedWork};

pub(crate) struct Harness {
    group: Group<HarnessKey, u32>,
    hashing: Hashing,
    /// Milliseconds since the clock was made.
    clock: Arc<AtomicU64>,
    /// By call number.
    calls: Vec<HarnessCall>,
    /// The calls of the test that have not completed.
    held: BTreeMap<CallNo, Caller>,
    drains: Vec<HarnessDrain>,
    /// The reports to the observer.
    ended: Receiver<EndedRecord<FlightId>>,
    /// The outcomes of nested calls.
    nested_outcomes: Receiver<NestedOutcome>,
    report_outcome: Sender<NestedOutcome>,
}

/// A call, of the test or of some work.
struct HarnessCall {
    /// Runs the task of its flight, if it opens one.
    runtime: Option<Runtime>,
    commands: UnboundedSender<Command<Caller>>,
    counters: Arc<Counters>,
    wakes: [Arc<WakeCounter>; 2],
}

struct HarnessDrain {
    future: Pin<Box<dyn Future<Output = usize>>>,
    deadline: Option<oneshot::Sender<()>>,
    wakes: Arc<WakeCounter>,
}

#[derive(Default)]
struct WakeCounter(AtomicUsize);

impl Wake for WakeCounter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Harness {
    pub(crate) fn new(script: &Script) -> Self {
        let millis = Arc::new(AtomicU64::new(0));
        let clock = {
            let (start, millis) = (Instant::now(), Arc::clone(&millis));
            move || start + Duration::from_millis(millis.load(Ordering::Relaxed))
        };
        let (report, ended) = channel();
        let observer = move |key: &HarnessKey, reported: &single_flight::EndedFlight<'_, u32>| {
            let sent = report.send(ended_record(key, reported));
            sent.expect("the test has the receiver");
        };
        let (report_outcome, nested_outcomes) = channel();
        Self {
            group: match script.observing {
                Observing::On => Group::with_observer(script.policy, clock, observer),
                Observing::Off => Group::with_clock(script.policy, clock),
            },
            hashing: script.hashing,
            clock: millis,
            calls: Vec::new(),
            held: BTreeMap::new(),
            drains: Vec::new(),
            ended,
            nested_outcomes,
            report_outcome,
        }
    }

    /// Makes a call with the next number.
    pub(crate) fn make(&mut self, name: KeyName, mode: Mode, fault: Fault) -> Caller {
        let call = self.calls.len();
        let runtime = Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime without drivers");
        let (commands, receiver) = unbounded_channel();
        let work = ScriptedWork::new(call, fault, receiver, self.report_outcome.clone());
        let counters = work.counters();
        let (group, hashing) = (self.group.clone(), self.hashing);
        let future = async move {
            let key = HarnessKey { name, hashing };
            match mode {
                Mode::Join => group.call(key, work.work()).await,
                Mode::Fresh => group.call_fresh(key, work.work()).await,
            }
        };
        let caller = Caller {
            call,
            runtime: runtime.handle().clone(),
            future: Box::pin(future),
        };
        self.calls.push(HarnessCall {
            runtime: Some(runtime),
            commands,
            counters,
            wakes: Default::default(),
        });
        caller
    }

    pub(crate) fn hold(&mut self, caller: Caller) {
        self.held.insert(caller.call, caller);
    }

    pub(crate) fn poll(&mut self, call: CallNo, waker: WhichWaker) -> Poll<Outcome> {
        let waker = Waker::from(Arc::clone(&self.calls[call].wakes[waker as usize]));
        let caller = self.held.get_mut(&call).expect("the call is held");
        let polled = caller.poll(&mut Context::from_waker(&waker));
        if polled.is_ready() {
            self.leave(call);
        }
        polled
    }

    pub(crate) fn leave(&mut self, call: CallNo) {
        self.held.remove(&call);
    }

    pub(crate) fn forget(&self, name: KeyName) -> bool {
        let hashing = self.hashing;
        self.group.forget(&HarnessKey { name, hashing })
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock
            .fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }

    /// Sends a command to the work of a flight's leader.
    pub(crate) fn send(&self, leader: CallNo, command: Command<Caller>) {
        // The work may be dropped, and the receiver with it.
        let _ = self.calls[leader].commands.send(command);
    }

    /// Runs the task of a leader's flight until it waits.
    pub(crate) fn run(&self, leader: CallNo) {
        let runtime = self.calls[leader].runtime.as_ref();
        // One poll executes all commands, but tokio does not guarantee that one turn polls the task.
        runtime.expect("the runtime is there").block_on(async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        });
    }

    pub(crate) fn lose_runtime(&mut self, leader: CallNo) {
        self.calls[leader].runtime = None;
    }

    pub(crate) fn drain(&mut self) {
        let (deadline, late) = oneshot::channel();
        let group = self.group.clone();
        let late = async { late.await.expect("the sender is kept with the drain") };
        self.drains.push(HarnessDrain {
            future: Box::pin(async move { group.drain(late).await }),
            deadline: Some(deadline),
            wakes: Arc::default(),
        });
    }

    pub(crate) fn deadline(&mut self, drain: usize) {
        if let Some(deadline) = self.drains[drain].deadline.take() {
            deadline.send(()).expect("the drain waits for it");
        }
    }

    pub(crate) fn poll_drain(&mut self, number: usize) -> Option<usize> {
        let drain = &mut self.drains[number];
        drain.wakes.0.store(0, Ordering::Relaxed);
        let waker = Waker::from(Arc::clone(&drain.wakes));
        match drain.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(cancelled) => {
                self.drop_drain(number);
                Some(cancelled)
            }
            Poll::Pending => None,
        }
    }

    pub(crate) fn drop_drain(&mut self, drain: usize) {
        self.drains.remove(drain);
    }

    /// Whether a drain was woken since its last poll.
    pub(crate) fn is_woken(&self, drain: usize) -> bool {
        self.drains[drain].wakes.0.load(Ordering::Relaxed) > 0
    }

    /// Flights, callers, entries.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let group = &self.group;
        [group.flights(), group.callers(), group.entries()]
    }

    /// The snapshots of a visit, in an order that does not depend on ids.
    pub(crate) fn snapshots(&self) -> Vec<Snapshot> {
        let mut snapshots = Vec::new();
        self.group.visit(|key, flight| {
            snapshots.push(Snapshot {
                key: key.name,
                callers: flight.callers,
                age: flight.age,
                joinable: flight.joinable,
            });
        });
        snapshots.sort();
        snapshots
    }

    /// The counts of a call's work.
    pub(crate) fn work(&self, call: CallNo) -> WorkCounts {
        self.calls[call].counters.counts()
    }

    /// How often each of the wakers of a call was woken.
    pub(crate) fn wakes(&self, call: CallNo) -> [usize; 2] {
        let wakes = self.calls[call].wakes.each_ref();
        wakes.map(|wakes| wakes.0.load(Ordering::Relaxed))
    }

    /// The reports to the observer since the last call of this.
    pub(crate) fn take_ended(&self) -> Vec<EndedRecord<FlightId>> {
        self.ended.try_iter().collect()
    }

    /// The outcomes of nested calls since the last call of this.
    pub(crate) fn take_nested_outcomes(&self) -> Vec<NestedOutcome> {
        self.nested_outcomes.try_iter().collect()
    }
}

fn ended_record(
    key: &HarnessKey,
    reported: &single_flight::EndedFlight<'_, u32>,
) -> EndedRecord<FlightId> {
    EndedRecord {
        key: key.name,
        flight: reported.flight,
        end: match reported.end {
            single_flight::FlightEnd::Landed(value) => RecordedEnd::Landed(*value),
            single_flight::FlightEnd::Panicked(message) => {
                RecordedEnd::Panicked(message.to_owned())
            }
            single_flight::FlightEnd::Cancelled => RecordedEnd::Cancelled,
        },
        callers: reported.callers,
        age: reported.age,
        would_have_joined: reported.would_have_joined,
    }
}

/// A key of the table.
struct HarnessKey {
    name: KeyName,
    hashing: Hashing,
}

impl PartialEq for HarnessKey {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for HarnessKey {}

// contract 3
impl Hash for HarnessKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.hashing {
            Hashing::Distinct => self.name.hash(state),
            Hashing::Colliding => {}
        }
    }
}
