//! What comes out: one table, a row for each target in each case, and marks that say whether a figure is
//! what was aimed at. Aligned text for people, the same as JSON for programs.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::callers::Outcome;
use crate::cases::{Memory, Turn};

/// One target in one case: medians over the rounds, but for what is counted.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) case: String,
    pub(crate) target: &'static str,
    #[serde(flatten)]
    pub(crate) found: Found,
}

/// What there is to say about it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Found {
    Figures(Figures),
    /// Why there are none.
    NotRun(String),
}

#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    /// Requests that the upstream saw in one round, fewest and most.
    pub(crate) upstream_requests: [u32; 2],
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// Of all rounds together.
    #[serde(serialize_with = "by_name")]
    pub(crate) outcomes: BTreeMap<Outcome, usize>,
    /// Processor time of the target for one answer.
    pub(crate) cpu_us: f64,
    /// The same as a part of the floor's: the median of the rounds' ratios.
    pub(crate) cpu_of_floor: f64,
    pub(crate) per_second: Option<f64>,
    /// The same as a part of the floor's: the median of the rounds' ratios.
    pub(crate) rate_of_floor: Option<f64>,
    /// Answers for one request of the upstream.
    pub(crate) answers_per_request: f64,
    pub(crate) memory_kib: Option<Memory>,
}

impl Figures {
    /// What `turns` come to, beside the floor's of the same rounds.
    pub(crate) fn of(turns: &[Turn], floor: &[Turn]) -> Self {
        let millis = |part| {
            median(
                turns
                    .iter()
                    .map(|turn| turn.within(part).as_secs_f64() * 1e3),
            )
        };
        let micros = |turn: &Turn| turn.cpu.as_secs_f64() * 1e6;
        let requests = || turns.iter().map(|turn| turn.requests);
        let mut outcomes = BTreeMap::new();
        for (outcome, count) in turns.iter().flat_map(|turn| &turn.outcomes) {
            *outcomes.entry(*outcome).or_default() += count;
        }
        let beside = || turns.iter().zip(floor);
        let answers: usize = turns.iter().map(|turn| turn.times.len()).sum();
        let rated = turns.iter().all(|turn| turn.rate.is_some());
        let rate = |turn: &Turn| turn.rate.unwrap_or(f64::NAN);
        Self {
            upstream_requests: [requests().min(), requests().max()].map(Option::unwrap_or_default),
            p50_ms: millis(0.5),
            p99_ms: millis(0.99),
            max_ms: millis(1.0),
            outcomes,
            cpu_us: median(turns.iter().map(micros)),
            cpu_of_floor: median(beside().map(|(turn, floor)| micros(turn) / micros(floor))),
            per_second: rated.then(|| median(turns.iter().map(rate))),
            rate_of_floor: rated.then(|| median(beside().map(|(a, b)| rate(a) / rate(b)))),
            answers_per_request: answers as f64 / f64::from(requests().sum::<u32>()),
            memory_kib: turns.iter().find_map(|turn| turn.memory),
        }
    }
}

/// Something aimed at.
#[derive(Debug, Serialize)]
pub(crate) struct Mark {
    pub(crate) aim: String,
    pub(crate) found: f64,
    pub(crate) met: bool,
}

impl Mark {
    pub(crate) fn at_most(aim: String, found: f64, limit: f64) -> Self {
        let met = found <= limit;
        Self { aim, found, met }
    }

    pub(crate) fn at_least(aim: String, found: f64, limit: f64) -> Self {
        let met = found >= limit;
        Self { aim, found, met }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.met { "met" } else { "NOT MET" };
        write!(f, "{verdict:<8} {}: {:.2}", self.aim, self.found)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Old(status) => write!(f, "{status} old"),
            Self::Broken => f.write_str("broken"),
            Self::Late => f.write_str("late"),
        }
    }
}

const HEADINGS: [&str; 10] = [
    "target", "upstream", "p50 ms", "p99 ms", "max ms", "CPU us", "x floor", "per s", "x floor",
    "KiB",
];

/// Prints the one table.
pub(crate) fn print(rows: &[Row]) {
    let mut case = "";
    line(&HEADINGS.map(str::to_owned), "outcomes of all rounds");
    for row in rows {
        if row.case != case {
            case = &row.case;
            println!("{case}");
        }
        match &row.found {
            Found::NotRun(missing) => println!("  {:<18}  NOT RUN: {missing}", row.target),
            Found::Figures(figures) => {
                line(&cells(row.target, figures), &outcomes(&figures.outcomes))
            }
        }
    }
}

fn line(cells: &[String; 10], outcomes: &str) {
    let [target, upstream, figures @ ..] = cells;
    print!("  {target:<18}  {upstream:>11}");
    for figure in figures {
        print!("  {figure:>7}");
    }
    println!("  {outcomes}");
}

fn cells(target: &str, figures: &Figures) -> [String; 10] {
    let [fewest, most] = figures.upstream_requests;
    let upstream = match fewest == most {
        true => fewest.to_string(),
        false => format!("{fewest}-{most}"),
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

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
