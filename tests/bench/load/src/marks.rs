//! The targets that oneflight has to meet, relative to the floor and to the upstream's own time.

use harness::report::Mark;

use crate::cases::{Case, HERD_DELAY, Load};
use crate::report::{Figures, Found, Row};
use crate::targets::{ONEFLIGHT, REUSING};

/// The herd size that has targets for times.
const TIMED_HERD: usize = 1_000;

/// All marks of the rows of `cases`.
pub(crate) fn of(cases: &[Case], rows: &[Row]) -> Vec<Mark> {
    let mut marks = Vec::new();
    for case in cases {
        let figures = |target| {
            let row = rows
                .iter()
                .find(|row| row.case == case.name && row.target == target);
            match row.map(|row| &row.found) {
                Some(Found::Figures(figures)) => Some(figures),
                Some(Found::NotRun(_)) | None => None,
            }
        };
        for target in [ONEFLIGHT, REUSING] {
            if let Some(figures) = figures(target) {
                marks.extend(of_one(case, target, figures));
            }
        }
    }
    marks
}

fn of_one(case: &Case, target: &str, figures: &Figures) -> Vec<Mark> {
    let upstream = HERD_DELAY.as_secs_f64() * 1e3;
    let aim = |what: &str| format!("{}: {what}", case.name);
    let rate = figures.rate_of_floor.unwrap_or(f64::NAN);
    match case.load {
        Load::Herd { callers, .. } => {
            let requests = f64::from(figures.upstream_requests[1]);
            let mut marks = vec![Mark::at_most(aim("upstream requests"), requests, 1.0, "")];
            if callers == TIMED_HERD {
                let (p50, p99) = (figures.p50_ms / upstream, figures.p99_ms / upstream);
                marks.extend([
                    Mark::at_most(aim("p50 / the upstream's time"), p50, 1.10, ""),
                    Mark::at_most(aim("p99 / the upstream's time"), p99, 1.20, ""),
                ]);
            }
            let cpu = aim("CPU per caller / the floor's");
            marks.push(Mark::at_most(cpu, figures.cpu_of_floor, 1.3, ""));
            marks
        }
        Load::Held { .. } => {
            let each = figures
                .memory_kib
                .map_or(f64::NAN, |each| each.resident + each.socket);
            let aim = aim("memory of a caller, sockets included");
            vec![Mark::at_most(aim, each, 12.0, " KiB")]
        }
        Load::Hot { .. } => {
            let shared = aim("answers per upstream request");
            vec![
                Mark::at_least(aim("rate / the floor's"), rate, 1.0, ""),
                Mark::at_least(shared, figures.answers_per_request, 64.0, ""),
            ]
        }
        Load::Distinct { .. } => {
            let (instances, least) = match target {
                REUSING => ("reused", 0.5),
                _ => ("fresh", 0.3),
            };
            let aim = aim(&format!("rate / the floor's, {instances} instances"));
            vec![Mark::at_least(aim, rate, least, "")]
        }
    }
}
