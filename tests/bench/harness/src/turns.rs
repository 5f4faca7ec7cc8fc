//! Turns: everyone is measured in every round, so that what the machine does meanwhile happens to all.
//!
//! Harnesses that finish with one contestant before they begin with the next compare two times of day as
//! much as two programs. Here a ratio is taken within a round, and the median over rounds of those.

use std::fmt;

/// Who takes turns, and what it does in one.
pub struct Entry<'a, S, E> {
    /// Who.
    pub entrant: E,
    /// What comes of one turn.
    pub turn: Box<dyn Fn() -> anyhow::Result<S> + 'a>,
}

impl<S, E: fmt::Debug> fmt::Debug for Entry<'_, S, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entry").field(&self.entrant).finish()
    }
}

/// What entrants came to, round by round.
#[derive(Debug)]
pub struct Rounds<S, E> {
    samples: Vec<(E, Vec<S>)>,
}

/// Gives each entrant its turn once in each round.
///
/// One round more is run first, and not counted. A round begins with another entrant than the one before
/// did, and every other one runs backwards, so that nobody always comes after the same neighbour.
///
/// # Errors
///
/// The first that a turn returns.
pub fn in_turns<S, E: Copy>(
    rounds: usize,
    entries: &[Entry<'_, S, E>],
) -> anyhow::Result<Rounds<S, E>> {
    let samples = entries.iter().map(|entry| (entry.entrant, Vec::new()));
    let mut samples: Vec<_> = samples.collect();
    for round in 0..=rounds {
        for place in order(round, entries.len()) {
            let sample = (entries[place].turn)()?;
            if round > 0 {
                samples[place].1.push(sample);
            }
        }
    }
    Ok(Rounds { samples })
}

fn order(round: usize, entrants: usize) -> impl Iterator<Item = usize> {
    (0..entrants).map(move |turn| match round % 2 {
        0 => (round + turn) % entrants,
        _ => (round + entrants - turn) % entrants,
    })
}

impl<S, E: Copy + PartialEq> Rounds<S, E> {
    /// The entrants, in the order in which they were entered.
    pub fn entrants(&self) -> impl Iterator<Item = E> {
        self.samples.iter().map(|(entrant, _)| *entrant)
    }

    /// Something about each sample.
    pub fn map<T>(&self, about: impl Fn(&S) -> T) -> Rounds<T, E> {
        let mapped = |samples: &Vec<S>| samples.iter().map(&about).collect();
        let samples = self.samples.iter();
        let samples = samples.map(|(entrant, samples)| (*entrant, mapped(samples)));
        Rounds {
            samples: samples.collect(),
        }
    }

    /// An entrant's samples, by round; none if it did not take part.
    pub fn of(&self, entrant: impl Into<E>) -> &[S] {
        let entrant = entrant.into();
        let mut samples = self.samples.iter();
        let found = samples.find(|(entered, _)| *entered == entrant);
        found.map_or(&[], |(_, samples)| samples)
    }

    /// The greatest of an entrant's counts; none if it did not take part.
    pub fn most(&self, entrant: impl Into<E>, count: impl Fn(&S) -> u64) -> u64 {
        self.of(entrant).iter().map(count).max().unwrap_or(0)
    }
}

impl<E: Copy + PartialEq> Rounds<f64, E> {
    /// An entrant's median; NaN if it did not take part.
    pub fn median(&self, entrant: impl Into<E>) -> f64 {
        median(self.of(entrant))
    }

    /// How far apart the quarters of an entrant's values are, as a part of the median.
    pub fn spread(&self, entrant: impl Into<E>) -> f64 {
        let values = self.of(entrant);
        (quantile(values, 0.75) - quantile(values, 0.25)) / median(values)
    }

    /// What one entrant needs, as a multiple of what the other needs: the median of the rounds.
    pub fn ratio(&self, of: impl Into<E>, to: impl Into<E>) -> f64 {
        let ratios = self.of(of).iter().zip(self.of(to));
        median(&ratios.map(|(of, to)| of / to).collect::<Vec<_>>())
    }
}

/// Who took part in measurements that are shown side by side.
pub fn entrants<C, S, E: Copy + PartialEq>(
    columns: &[(C, Rounds<S, E>)],
) -> impl Iterator<Item = E> {
    let first = columns.first().into_iter();
    first.flat_map(|(_, rounds)| rounds.entrants())
}

/// The middle of the values; NaN if there is none.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

fn quantile(values: &[f64], part: f64) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let place = part * values.len().saturating_sub(1) as f64;
    match values.get(place.floor() as usize..=place.ceil() as usize) {
        Some([value]) => *value,
        Some([below, above]) => below + (above - below) * place.fract(),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::{Entry, Rounds, in_turns, median, order};

    #[test]
    fn everyone_has_one_turn_in_each_round() {
        for round in 0..8 {
            let mut turns: Vec<_> = order(round, 4).collect();
            turns.sort_unstable();
            assert_eq!(turns, [0, 1, 2, 3]);
        }
        let entries = [("ours", 1), ("another", 2)].map(|(entrant, sample)| Entry {
            entrant,
            turn: Box::new(move || Ok(sample)),
        });
        let rounds = in_turns(3, &entries).unwrap();
        assert_eq!(rounds.of("ours"), [1; 3]);
        assert_eq!(rounds.of("another"), [2; 3]);
    }

    #[test]
    fn rounds_begin_with_one_after_another() {
        let first: Vec<_> = (0..5).filter_map(|round| order(round, 4).next()).collect();
        assert_eq!(first, [0, 1, 2, 3, 0]);
    }

    #[test]
    fn a_median_lies_between_the_middle_values() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        let rounds = Rounds {
            // The second round was four times slower for both.
            samples: vec![
                ("ours", vec![2.0, 8.0, 2.0]),
                ("another", vec![1.0, 4.0, 1.0]),
            ],
        };
        assert_eq!(rounds.ratio("ours", "another"), 2.0);
        assert!(rounds.median("absent").is_nan());
    }
}
