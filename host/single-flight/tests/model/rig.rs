//! The table, and whatever is needed to do things to it in a certain order: a clock that stands still,
//! calls that are polled by hand, and a runtime for each call, so that a flight's task runs when a script
//! says so and no other with it. It does not know what must come of anything.

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

use crate::job::{Caller, Heard, Job, Outcome, Seen};
use crate::model::{CallNo, Word};
use crate::outcome::{End, Ended, UnderWay, Work};
use crate::script::{Bell, Hashing, Name, Script, Takes, Telling, Temper};

pub(crate) struct Rig {
    group: Group<Key, u32>,
    hashing: Hashing,
    /// Milliseconds since the clock was made.
    clock: Arc<AtomicU64>,
    /// By number.
    calls: Vec<Call>,
    /// The calls that the test makes.
    held: BTreeMap<CallNo, Caller>,
    drains: Vec<Drain>,
    /// What the observer is told.
    ended: Receiver<Ended<FlightId>>,
    /// What the calls of works come to.
    heard: Receiver<Heard>,
    hears: Sender<Heard>,
}

/// What belongs to a call, whoever makes it.
struct Call {
    /// Runs the task of its flight, if it opens one.
    runtime: Option<Runtime>,
    words: UnboundedSender<Word<Caller>>,
    seen: Arc<Seen>,
    wakes: [Arc<Wakes>; 2],
}

struct Drain {
    future: Pin<Box<dyn Future<Output = usize>>>,
    deadline: Option<oneshot::Sender<()>>,
    wakes: Arc<Wakes>,
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Rig {
    pub(crate) fn new(script: &Script) -> Self {
        let millis = Arc::new(AtomicU64::new(0));
        let clock = {
            let (start, millis) = (Instant::now(), Arc::clone(&millis));
            move || start + Duration::from_millis(millis.load(Ordering::Relaxed))
        };
        let (tell, ended) = channel();
        let observer = move |key: &Key, told: &single_flight::EndedFlight<'_, u32>| {
            let kept = tell.send(seen_ended(key, told));
            kept.expect("the test listens");
        };
        let (hears, heard) = channel();
        Self {
            group: match script.telling {
                Telling::Observer => Group::with_observer(script.policy, clock, observer),
                Telling::Nobody => Group::with_clock(script.policy, clock),
            },
            hashing: script.hashing,
            clock: millis,
            calls: Vec::new(),
            held: BTreeMap::new(),
            drains: Vec::new(),
            ended,
            heard,
            hears,
        }
    }

    /// Makes a call, with the number that comes next.
    pub(crate) fn make(&mut self, name: Name, takes: Takes, temper: Temper) -> Caller {
        let call = self.calls.len();
        let runtime = Builder::new_current_thread().build();
        let runtime = runtime.expect("a runtime without drivers");
        let (words, told) = unbounded_channel();
        let job = Job::new(call, temper, told, self.hears.clone());
        let seen = job.seen();
        let (group, hashing) = (self.group.clone(), self.hashing);
        let asked = async move {
            let key = Key { name, hashing };
            match takes {
                Takes::Open => group.call(key, job.work()).await,
                Takes::Own => group.call_fresh(key, job.work()).await,
            }
        };
        let caller = Caller {
            call,
            runtime: runtime.handle().clone(),
            future: Box::pin(asked),
        };
        self.calls.push(Call {
            runtime: Some(runtime),
            words,
            seen,
            wakes: Default::default(),
        });
        caller
    }

    pub(crate) fn hold(&mut self, caller: Caller) {
        self.held.insert(caller.call, caller);
    }

    pub(crate) fn poll(&mut self, call: CallNo, bell: Bell) -> Poll<Outcome> {
        let waker = Waker::from(Arc::clone(&self.calls[call].wakes[bell as usize]));
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

    pub(crate) fn forget(&self, name: Name) -> bool {
        let hashing = self.hashing;
        self.group.forget(&Key { name, hashing })
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.clock
            .fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }

    /// Tells the work of a flight's leader.
    pub(crate) fn tell(&self, leader: CallNo, word: Word<Caller>) {
        // Its work may be dropped; then there is nobody to hear it.
        let _ = self.calls[leader].words.send(word);
    }

    /// Runs the task of a flight's leader for as long as it can go on.
    pub(crate) fn run(&self, leader: CallNo) {
        let runtime = self.calls[leader].runtime.as_ref();
        // One turn would do, as a task that is polled once has heard all that it was told, but tokio does
        // not promise that a turn polls it.
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
        self.drains.push(Drain {
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

    /// What a visit shows, in an order that does not depend on ids.
    pub(crate) fn under_way(&self) -> Vec<UnderWay> {
        let mut shown = Vec::new();
        self.group.visit(|key, under_way| {
            shown.push(UnderWay {
                key: key.name,
                callers: under_way.callers,
                age: under_way.age,
                joinable: under_way.joinable,
            });
        });
        shown.sort();
        shown
    }

    /// What became of the work of a call.
    pub(crate) fn work(&self, call: CallNo) -> Work {
        self.calls[call].seen.work()
    }

    /// How often each of the wakers of a call was woken.
    pub(crate) fn wakes(&self, call: CallNo) -> [usize; 2] {
        let wakes = self.calls[call].wakes.each_ref();
        wakes.map(|wakes| wakes.0.load(Ordering::Relaxed))
    }

    /// What the observer was told since this was last asked.
    pub(crate) fn take_ended(&self) -> Vec<Ended<FlightId>> {
        self.ended.try_iter().collect()
    }

    /// What the calls of works came to since this was last asked.
    pub(crate) fn take_heard(&self) -> Vec<Heard> {
        self.heard.try_iter().collect()
    }
}

fn seen_ended(key: &Key, told: &single_flight::EndedFlight<'_, u32>) -> Ended<FlightId> {
    Ended {
        key: key.name,
        flight: told.flight,
        end: match told.end {
            single_flight::FlightEnd::Landed(value) => End::Landed(*value),
            single_flight::FlightEnd::Panicked(message) => End::Panicked(message.to_owned()),
            single_flight::FlightEnd::Cancelled => End::Cancelled,
        },
        callers: told.callers,
        age: told.age,
        would_have_joined: told.would_have_joined,
    }
}

/// A key of the table.
struct Key {
    name: Name,
    hashing: Hashing,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Key {}

// 3
impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.hashing {
            Hashing::Apart => self.name.hash(state),
            Hashing::Colliding => {}
        }
    }
}
