//! What oneflight is to reach, beside the floor and the upstream's own time.

use crate::cases::{Case, Load, THINKING};
use crate::report::{Figures, Found, Mark, Row};
use crate::targets::{ONEFLIGHT, REUSING};

/// The herd that times are promised for.
const PROMISED: usize = 1_000;

/// All marks, of the rows of `cases`.
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
        let (ours, reusing) = (figures(ONEFLIGHT), figures(REUSING));
        let reached = [(ours, false), (reusing, true)];
        for (figures, reusing) in reached {
            marks.extend(
                figures
                    .into_iter()
                    .flat_map(|figures| of_one(case, figures, reusing)),
            );
        }
    }
    marks
}

fn of_one(case: &Case, figures: &Figures, reusing: bool) -> Vec<Mark> {
    let thinking = THINKING.as_secs_f64() * 1e3;
    let aim = |what: &str| format!("{}: {what}", case.name);
    let rate = figures.rate_of_floor.unwrap_or(f64::NAN);
    match case.load {
        Load::Herd { callers, .. } => {
            let requests = f64::from(figures.upstream_requests[1]);
            let mut marks = vec![Mark::at_most(aim("1 upstream request"), requests, 1.0)];
            if callers == PROMISED {
                let (p50, p99) = (figures.p50_ms / thinking, figures.p99_ms / thinking);
                marks.extend([
                    Mark::at_most(aim("p50 at most 1.10 x the upstream's time"), p50, 1.10),
                    Mark::at_most(aim("p99 at most 1.20 x the upstream's time"), p99, 1.20),
                ]);
            }
            let cpu = aim("CPU per caller at most 1.3 x the floor's");
            marks.push(Mark::at_most(cpu, figures.cpu_of_floor, 1.3));
            marks
        }
        Load::Held { .. } => {
            let each = figures
                .memory_kib
                .map_or(f64::NAN, |each| each.resident + each.socket);
            vec![Mark::at_most(
                aim("12 KiB for a caller, sockets included"),
                each,
                12.0,
            )]
        }
        Load::Hot { .. } => {
            let shared = aim("64 answers for an upstream request");
            vec![
                Mark::at_least(aim("the floor's rate"), rate, 1.0),
                Mark::at_least(shared, figures.answers_per_request, 64.0),
            ]
        }
        Load::Distinct { .. } if reusing => {
            vec![Mark::at_least(
                aim("0.5 of the floor's rate, reusing instances"),
                rate,
                0.5,
            )]
        }
        Load::Distinct { .. } => {
            vec![Mark::at_least(
                aim("0.3 of the floor's rate, fresh instances"),
                rate,
                0.3,
            )]
        }
    }
}
