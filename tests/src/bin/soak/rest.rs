//! Rest points: what is held while nothing happens, several times in a run.

use std::iter;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How many rest points follow the one after the warm-up.
const REST_POINTS: u32 = 6;

/// By how much resident memory may differ from that of the first rest point, in bytes.
const MAX_GROWTH: usize = 1 << 20;

/// How long everything has to stay as it is: longer than a thread without work lives (10 s).
const UNCHANGED: Duration = Duration::from_secs(20);

/// The least time: longer than the allocator of the service keeps free memory (60 s).
const LEAST: Duration = Duration::from_secs(70);

/// How long to wait for that.
const MOST: Duration = Duration::from_secs(300);

/// By how much resident memory may fall meanwhile, in bytes: the allocator still returns some pages.
const MAX_FALL: usize = 64 << 10;

/// The parts of a run of `time`, each of which ends with a rest point: the first tenth, and equal parts of the rest.
pub(crate) fn parts(time: Duration) -> impl Iterator<Item = (Duration, &'static str)> {
    let warm_up = time / 10;
    let each = (time - warm_up) / REST_POINTS;
    iter::once((warm_up, "warming up")).chain((0..REST_POINTS).map(move |_| (each, "")))
}

/// What is held at a moment.
pub(crate) trait Levels {
    /// Resident memory, in bytes.
    fn resident(&self) -> usize;
    /// The sum of what is 0 at rest.
    fn open(&self) -> usize;
    /// What must not grow from one rest point to another.
    fn held(&self) -> Vec<usize>;
    /// All of them, by name.
    fn rows(&self) -> Vec<(&'static str, usize)>;
}

/// Reads the levels until nothing is open and nothing has changed for a while: threads have ended, and freed memory was
/// returned. If that does not happen, they are those of long after it should have.
pub(crate) async fn at_rest<L: Levels>(mut read: impl AsyncFnMut() -> L) -> L {
    let began = Instant::now();
    let (mut since, mut reference) = (began, read().await);
    loop {
        sleep(Duration::from_secs(1)).await;
        let now = read().await;
        let is_unchanged = now.open() == 0
            && now.held() == reference.held()
            && now.resident() + MAX_FALL >= reference.resident();
        if !is_unchanged {
            (since, reference) = (Instant::now(), now);
        } else if since.elapsed() >= UNCHANGED && began.elapsed() >= LEAST {
            return now;
        }
        if began.elapsed() >= MOST {
            return read().await;
        }
    }
}

/// The levels of all rest points, in their order. The first follows the warm-up.
pub(crate) struct RestPoints<L>(Vec<L>);

impl<L: Levels> RestPoints<L> {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn add(&mut self, levels: L) {
        println!("at rest: {} KiB resident", levels.resident() >> 10);
        self.0.push(levels);
    }

    /// One row for each level, one column for each rest point.
    pub(crate) fn table(&self) -> String {
        let rows: Vec<_> = self.0.iter().map(Levels::rows).collect();
        let mut table = format!("{:<24}", "at rest");
        for number in 0..rows.len() {
            let column = if number == 0 {
                "warmed up".to_owned()
            } else {
                number.to_string()
            };
            table += &format!("{column:>12}");
        }
        for (index, (name, _)) in rows.first().into_iter().flatten().enumerate() {
            table += &format!("\n  {name:<22}");
            for levels in &rows {
                table += &format!("{:>12}", levels[index].1);
            }
        }
        table + "\n"
    }

    /// The promises about them, each with whether it is broken.
    pub(crate) fn broken(&self) -> [(bool, &'static str); 3] {
        let later = |is_broken: fn(&L, &L) -> bool| {
            self.0
                .split_first()
                .is_some_and(|(first, later)| later.iter().any(|it| is_broken(first, it)))
        };
        [
            (
                later(|first, it| it.resident() > first.resident() + MAX_GROWTH),
                "resident memory has grown",
            ),
            (
                later(|first, it| {
                    it.held()
                        .iter()
                        .zip(first.held())
                        .any(|(now, before)| *now > before)
                }),
                "something is held that was not held before",
            ),
            (
                self.0.iter().any(|it| it.open() != 0),
                "something is open at rest",
            ),
        ]
    }
}
