//! The behaviour of our table and its peers when sharing goes wrong: each cell of the README's table is what a
//! peer does in the version that these tests are built with.
//!
//! A question sets its scene up by hand. Callers are polled when they were woken, tasks run until none of them
//! can make progress, and nothing waits for time to pass. So every run has the same observations, and a caller
//! that hangs here hangs forever. Speed is left to the benchmark.
//!
//! `BLESS=1 cargo test -p oneflight-bench-table --test behaviour` writes the table into the README.

mod executions;
mod executor;
#[cfg(feature = "go")]
mod go;
mod heap;
mod observation;
mod questions;
mod readme;
mod rows;
mod scene;

use std::sync::Arc;

use bench_table::coalescer::{Coalescer, Failure, Value};
use bench_table::contestants::{Moka, OnceCells, Ours, QuickCache, Shared, SharedTask};
use moka::future::Cache;

use crate::executions::{Ending, Executions};
use crate::executor::{Caller, Executor, Receipt};
#[cfg(feature = "go")]
use crate::go::GoPeer;
use crate::observation::{Question, Verdict};
use crate::rows::Row;
use crate::scene::KEY;

fn assert_row<C: Coalescer>(row: &Row) {
    for (question, expected) in Question::ALL.into_iter().zip(row.observations) {
        let observation = question.observe::<C>();
        assert_eq!(
            observation,
            expected,
            "{}, {}",
            row.name,
            question.heading()
        );
    }
}

#[test]
fn ours_behaves_as_in_its_row() {
    assert_row::<Ours>(&rows::OURS);
}

#[test]
fn moka_behaves_as_in_its_row() {
    assert_row::<Moka>(&rows::MOKA);
}

#[test]
fn quick_cache_behaves_as_in_its_row() {
    assert_row::<QuickCache>(&rows::QUICK_CACHE);
}

#[test]
fn a_map_of_once_cells_behaves_as_in_its_row() {
    assert_row::<OnceCells>(&rows::ONCE_CELLS);
}

#[test]
fn a_map_of_shared_futures_behaves_as_in_its_row() {
    assert_row::<Shared>(&rows::SHARED);
}

#[test]
fn a_map_of_shared_tasks_behaves_as_in_its_row() {
    assert_row::<SharedTask>(&rows::SHARED_TASK);
}

// Needs Go, and golang.org/x/sync in Debian's GOPATH.
#[cfg(feature = "go")]
#[test]
fn go_behaves_as_in_its_row() {
    let go = GoPeer::build();
    for (question, expected) in Question::ALL.into_iter().zip(rows::GO.observations) {
        let expected = format!("{expected:?}");
        assert_eq!(go.observe(question), expected, "{}", question.heading());
    }
}

// Why moka's row has `not offered`: its nearest operation affects only values.
#[test]
fn invalidating_a_key_in_moka_does_not_keep_later_callers_from_joining() {
    let (executor, executions) = (Executor::new(), Arc::<Executions>::default());
    let cache = Cache::<u64, Value>::new(0);
    let call = |cache: Cache<u64, Value>| {
        let work = Arc::clone(&executions).work();
        async move {
            cache.invalidate(&KEY).await;
            let value = cache.try_get_with(KEY, work).await;
            value.map_err(|error: Arc<Failure>| *error)
        }
    };
    let mut callers = [(); 2].map(|()| Caller::new(call(cache.clone())));
    executor.settle(&mut callers);
    assert_eq!(executions.begun(), 1);
    executions.end(0, Ending::Value);
    executor.settle(&mut callers);
    let receipts = callers.map(|caller| caller.receipt);
    assert_eq!(receipts, [Receipt::Value(0); 2]);
}

#[test]
fn ours_is_the_only_row_without_a_fault() {
    let faultless = |row: &&&Row| {
        row.observations
            .iter()
            .all(|cell| cell.verdict() == Verdict::Good)
    };
    let rows: Vec<_> = rows::ALL.iter().filter(faultless).collect();
    assert!(matches!(rows[..], [row] if row.name == Ours::NAME));
}

#[test]
fn the_readme_has_the_table() {
    readme::compare();
}
