//! The table of crowds, many callers of one key, by their size.

use harness::report::{Cell, Table};
use harness::turns::ids;

use crate::lineup::{Contestant, Entrant, Rounds};
use crate::samples::CrowdSample;

/// The callers of a crowd, and the samples of crowds of that size.
pub type BySize<S> = [(usize, Rounds<S>)];

/// Nanoseconds per caller, and their ratios to ours and to a list of wakers.
pub fn table(title: &str, sizes: &BySize<CrowdSample>) -> Table {
    let mut columns = vec!["executions".to_owned()];
    for (callers, _) in sizes {
        columns.extend([Cell::count(*callers), "/ ours".into(), "/ floor".into()]);
    }
    let mut table = Table::new(title, columns);
    for entrant in ids(sizes) {
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

/// The most executions of any crowd.
pub fn executions(sizes: &BySize<CrowdSample>, entrant: impl Into<Entrant>) -> u64 {
    let entrant = entrant.into();
    let most = sizes
        .iter()
        .map(|(_, rounds)| rounds.max(entrant, |crowd| crowd.executions));
    most.max().unwrap_or(0)
}
