//! Groups: participants that are measured against each other.

use harness::report::{Cell, Table};
use harness::turns::Rounds;

/// Participants that were measured against each other: microseconds per answer, by round.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) rounds: Rounds<f64, &'static str>,
    /// The participant that could not take part, and the program that is missing.
    pub(crate) absent: Option<(&'static str, &'static str)>,
}

/// One table of all groups.
pub(crate) fn table(groups: &[Group]) -> Table {
    let columns = ["µs", "per second", "/ first of its group"];
    let mut table = Table::new(
        "time per flight, of all concurrent flights together",
        columns,
    );
    for Group {
        name,
        rounds,
        absent,
    } in groups
    {
        let first = rounds.ids().next();
        for id in rounds.ids() {
            let micros = rounds.median(id);
            let ratio = first.map_or(f64::NAN, |first| rounds.ratio(id, first));
            let cells = vec![
                Cell::Amount(micros),
                Cell::Amount(1e6 / micros),
                Cell::Ratio(ratio),
            ];
            table.push(format!("{name}: {id}"), cells);
        }
        if let Some((id, missing)) = absent {
            table.push(format!("{name}: {id}"), vec![Cell::NotRun(missing)]);
        }
    }
    table
}
