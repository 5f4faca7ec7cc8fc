//! What crowds of callers on one key came to, by how large they are.

use harness::report::{Cell, Table};
use harness::turns::entrants;
use serde::Deserialize;

use crate::lineup::{Contestant, Entrant, Rounds};

/// What crowds of one size came to.
#[derive(Debug, Clone, Copy, Deserialize)]
pub struct Crowd {
    /// Nanoseconds per caller.
    pub nanos: f64,
    /// The most executions of one crowd's work.
    pub executions: u64,
}

/// Callers of a crowd, and what was measured with so many.
pub type BySize<S> = [(usize, Rounds<S>)];

/// Nanoseconds per caller, beside ours and beside a list of wakers.
pub fn table(title: &str, sizes: &BySize<Crowd>) -> Table {
    let mut columns = vec!["executions".to_owned()];
    for (callers, _) in sizes {
        columns.extend([Cell::count(*callers), "/ ours".into(), "/ floor".into()]);
    }
    let mut table = Table::new(title, columns);
    for entrant in entrants(sizes) {
        let mut cells = vec![Cell::Count(executions(sizes, entrant))];
        for (_, rounds) in sizes {
            let nanos = rounds.map(|crowd| crowd.nanos);
            cells.extend([
                Cell::Amount(nanos.median(entrant)),
                Cell::Ratio(nanos.ratio(entrant, Contestant::Ours)),
                Cell::Ratio(nanos.ratio(entrant, Contestant::ParkedList)),
            ]);
        }
        table.push(entrant.name(), cells);
    }
    table
}

/// The most executions that any crowd had.
pub fn executions(sizes: &BySize<Crowd>, entrant: impl Into<Entrant>) -> u64 {
    let entrant = entrant.into();
    let most = sizes
        .iter()
        .map(|(_, rounds)| rounds.most(entrant, |crowd| crowd.executions));
    most.max().unwrap_or(0)
}
