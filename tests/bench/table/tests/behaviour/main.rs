//! What this table and its peers do where sharing goes wrong: each cell of the README's table is what a
//! peer was seen to do, in the version that these tests are built with.
//!
//! A question makes its scene by hand. Callers are polled when they were woken, tasks run until none of
//! them can go on, and nothing waits for time to pass; so what is seen is seen every time, and a caller
//! that hangs here hangs for ever. Timing is the benchmark's, and not asked here.
//!
//! The table goes into the README with `BLESS=1 cargo test --test behaviour`.

#[cfg(feature = "go")]
mod go;
mod heap;
mod questions;
mod readme;
mod rows;
mod scene;
mod seen;
mod stage;
mod works;

use std::sync::Arc;

use bench_table::contestants::{
    Coalescer, Failure, Moka, OnceCells, Ours, QuickCache, Shared, SharedTask, Value,
};
use moka::future::Cache;

#[cfg(feature = "go")]
use crate::go::Go;
use crate::rows::Row;
use crate::scene::KEY;
use crate::seen::{Question, Verdict};
use crate::stage::{Caller, Receipt, Stage};
use crate::works::{Ending, Works};

fn does_what_its_row_says<C: Coalescer>(row: &Row) {
    for (question, expected) in Question::ALL.into_iter().zip(row.seen) {
        let seen = question.ask::<C>();
        assert_eq!(seen, expected, "{}, {}", row.name, question.heading());
    }
}

#[test]
fn ours_does_what_its_row_says() {
    does_what_its_row_says::<Ours>(&rows::OURS);
}

#[test]
fn moka_does_what_its_row_says() {
    does_what_its_row_says::<Moka>(&rows::MOKA);
}

#[test]
fn quick_cache_does_what_its_row_says() {
    does_what_its_row_says::<QuickCache>(&rows::QUICK_CACHE);
}

#[test]
fn a_map_of_once_cells_does_what_its_row_says() {
    does_what_its_row_says::<OnceCells>(&rows::ONCE_CELLS);
}

#[test]
fn a_map_of_shared_futures_does_what_its_row_says() {
    does_what_its_row_says::<Shared>(&rows::SHARED);
}

#[test]
fn a_map_of_shared_tasks_does_what_its_row_says() {
    does_what_its_row_says::<SharedTask>(&rows::SHARED_TASK);
}

// Needs Go, and golang.org/x/sync where Debian puts it.
#[cfg(feature = "go")]
#[test]
fn go_does_what_its_row_says() {
    let go = Go::build();
    for (question, expected) in Question::ALL.into_iter().zip(rows::GO.seen) {
        let expected = format!("{expected:?}");
        assert_eq!(go.ask(question), expected, "{}", question.heading());
    }
}

// What moka's row calls not offered: the nearest thing that it has reaches values only.
#[test]
fn invalidating_a_key_in_moka_does_not_close_what_is_under_way() {
    let (stage, works) = (Stage::new(), Arc::<Works>::default());
    let cache = Cache::<u64, Value>::new(0);
    let call = |cache: Cache<u64, Value>| {
        let work = Arc::clone(&works).work();
        async move {
            cache.invalidate(&KEY).await;
            let value = cache.try_get_with(KEY, work).await;
            value.map_err(|error: Arc<Failure>| *error)
        }
    };
    let mut callers = [(); 2].map(|()| Caller::new(call(cache.clone())));
    stage.settle(&mut callers);
    assert_eq!(works.begun(), 1);
    works.end(0, Ending::Land);
    stage.settle(&mut callers);
    let receipts = callers.map(|caller| caller.receipt);
    assert_eq!(receipts, [Receipt::Value(0); 2]);
}

#[test]
fn ours_is_the_only_row_without_a_fault() {
    let faultless = |row: &&&Row| row.seen.iter().all(|seen| seen.verdict() == Verdict::Good);
    let rows: Vec<_> = rows::ALL.iter().filter(faultless).collect();
    assert!(matches!(rows[..], [row] if row.name == Ours::NAME));
}

#[test]
fn the_readme_has_the_table() {
    readme::compare();
}
