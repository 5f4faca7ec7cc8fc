//! The report: one table with a row for each target in each case, and marks. It is printed as aligned text for
//! people, or as JSON for programs.

use std::collections::BTreeMap;
use std::fmt;

use harness::machine::Machine;
use harness::report::{Mark, write_marks};
use harness::turns::median;
use serde::{Serialize, Serializer};

use crate::callers::Outcome;
use crate::cases::{Memory, Turn};

/// The results of one run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// Whether the run was too short for its times to mean anything.
    pub(crate) quick: bool,
    pub(crate) rows: Vec<Row>,
    pub(crate) marks: Vec<Mark>,
}

/// One target in one case: medians over the rounds, and counts.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) target: &'static str,
    #[serde(flatten)]
    pub(crate) found: Found,
}

/// The result of a row.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Found {
    Figures(Figures),
    /// Why there are no figures.
    NotRun(String),
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Requests that the upstream received in one round: the least and the most.
    pub(crate) upstream_requests: [u32; 2],
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// Outcomes of all rounds together.
    #[serde(serialize_with = "by_name")]
    pub(crate) outcomes: BTreeMap<Outcome, usize>,
    /// Processor time of the target for one answer.
    pub(crate) cpu_us: f64,
    /// The same divided by the floor's: the median of the rounds' ratios.
    pub(crate) cpu_of_floor: f64,
    pub(crate) per_second: Option<f64>,
    /// The same divided by the floor's: the median of the rounds' ratios.
    pub(crate) rate_of_floor: Option<f64>,
    /// Answers per upstream request.
    pub(crate) answers_per_request: f64,
    pub(crate) memory_kib: Option<Memory>,
}

impl Figures {
    /// The figures of `turns`, relative to the floor's turns of the same rounds.
    pub(crate) fn of(turns: &[Turn], floor: &[Turn]) -> Self {
        let millis = |part| {
            let millis = |turn: &Turn| turn.quantile(part).as_secs_f64() * 1e3;
            of_rounds(turns.iter().map(millis))
        };
        let micros = |turn: &Turn| turn.cpu.as_secs_f64() * 1e6;
        let requests = || turns.iter().map(|turn| turn.requests);
        let mut outcomes = BTreeMap::new();
        for (outcome, count) in turns.iter().flat_map(|turn| &turn.outcomes) {
            *outcomes.entry(*outcome).or_default() += count;
        }
        let pairs = || turns.iter().zip(floor);
        let answers: usize = turns.iter().map(|turn| turn.times.len()).sum();
        let rated = turns.iter().all(|turn| turn.rate.is_some());
        let rate = |turn: &Turn| turn.rate.unwrap_or(f64::NAN);
        Self {
            upstream_requests: [requests().min(), requests().max()].map(Option::unwrap_or_default),
            p50_ms: millis(0.5),
            p99_ms: millis(0.99),
            max_ms: millis(1.0),
            outcomes,
            cpu_us: of_rounds(turns.iter().map(micros)),
            cpu_of_floor: of_rounds(pairs().map(|(turn, floor)| micros(turn) / micros(floor))),
            per_second: rated.then(|| of_rounds(turns.iter().map(rate))),
            rate_of_floor: rated.then(|| of_rounds(pairs().map(|(a, b)| rate(a) / rate(b)))),
            answers_per_request: answers as f64 / f64::from(requests().sum::<u32>()),
            memory_kib: turns.iter().find_map(|turn| turn.memory),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Stale(status) => write!(f, "{status} stale"),
            Self::Broken => f.write_str("broken"),
            Self::Timeout => f.write_str("timeout"),
        }
    }
}

const HEADINGS: [&str; 10] = [
    "target", "upstream", "p50 ms", "p99 ms", "max ms", "CPU us", "x floor", "per s", "x floor",
    "KiB",
];

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.machine)?;
        let mut case = "";
        line(f, &HEADINGS.map(str::to_owned), "outcomes of all rounds")?;
        for row in &self.rows {
            if row.case != case {
                case = &row.case;
                writeln!(f, "{case}")?;
            }
            match &row.found {
                Found::NotRun(missing) => {
                    writeln!(f, "  {:<18}  NOT RUN: {missing}", row.target)?;
                }
                Found::Figures(figures) => {
                    let outcomes = outcomes(&figures.outcomes);
                    line(f, &cells(row.target, figures), &outcomes)?;
                }
            }
        }
        writeln!(f)?;
        write_marks(f, self.quick, self.marks.iter())
    }
}

fn line(f: &mut fmt::Formatter<'_>, cells: &[String; 10], outcomes: &str) -> fmt::Result {
    let [target, upstream, figures @ ..] = cells;
    write!(f, "  {target:<18}  {upstream:>11}")?;
    for figure in figures {
        write!(f, "  {figure:>7}")?;
    }
    writeln!(f, "  {outcomes}")
}

fn cells(target: &str, figures: &Figures) -> [String; 10] {
    let [least, most] = figures.upstream_requests;
    let upstream = match least == most {
        true => least.to_string(),
        false => format!("{least}-{most}"),
    };
    let shown = |figure: Option<f64>, digits| {
        figure.map_or_else(String::new, |figure| format!("{figure:.digits$}"))
    };
    let memory = figures.memory_kib.map(|each| each.resident + each.socket);
    [
        target.to_owned(),
        upstream,
        shown(Some(figures.p50_ms), 1),
        shown(Some(figures.p99_ms), 1),
        shown(Some(figures.max_ms), 1),
        shown(Some(figures.cpu_us), 1),
        shown(Some(figures.cpu_of_floor), 2),
        shown(figures.per_second, 0),
        shown(figures.rate_of_floor, 2),
        shown(memory, 1),
    ]
}

fn outcomes(counts: &BTreeMap<Outcome, usize>) -> String {
    let counts = counts
        .iter()
        .map(|(outcome, count)| format!("{count} x {outcome}"));
    counts.collect::<Vec<_>>().join(", ")
}

fn by_name<S: Serializer>(
    counts: &BTreeMap<Outcome, usize>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(
        counts
            .iter()
            .map(|(outcome, count)| (outcome.to_string(), count)),
    )
}

fn of_rounds(values: impl Iterator<Item = f64>) -> f64 {
    median(&values.collect::<Vec<_>>())
}
