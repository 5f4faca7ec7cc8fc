//! Turns: all participants are measured in every round, so that other load on the machine affects all of
//! them.
//!
//! A harness that finishes with one participant before it begins with the next compares two times of day as
//! much as two programs. Here a ratio is calculated within each round, and the result is the median of the
//! rounds' ratios.

use std::fmt;

/// One of those that are compared.
pub struct Participant<'a, S, Id> {
    /// What identifies it.
    pub id: Id,
    /// Takes one turn and returns its sample.
    pub turn: Box<dyn Fn() -> anyhow::Result<S> + 'a>,
}

impl<S, Id: fmt::Debug> fmt::Debug for Participant<'_, S, Id> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Participant").field(&self.id).finish()
    }
}

/// The samples of all participants, round by round.
#[derive(Debug)]
pub struct Rounds<S, Id> {
    samples: Vec<(Id, Vec<S>)>,
}

/// Gives each participant one turn in each round.
///
/// One more round is run first, for warming up, and not counted. Each round begins with the next participant,
/// and every other round runs backwards, so that a participant does not always follow the same neighbour.
///
/// # Errors
///
/// The first error that a turn returns.
pub fn in_turns<S, Id: Copy>(
    rounds: usize,
    participants: &[Participant<'_, S, Id>],
) -> anyhow::Result<Rounds<S, Id>> {
    let samples = participants
        .iter()
        .map(|participant| (participant.id, Vec::new()));
    let mut samples: Vec<_> = samples.collect();
    for round in 0..=rounds {
        for place in order(round, participants.len()) {
            let sample = (participants[place].turn)()?;
            if round > 0 {
                samples[place].1.push(sample);
            }
        }
    }
    Ok(Rounds { samples })
}

fn order(round: usize, participants: usize) -> impl Iterator<Item = usize> {
    (0..participants).map(move |turn| match round % 2 {
        0 => (round + turn) % participants,
        _ => (round + participants - turn) % participants,
    })
}

impl<S, Id: Copy + PartialEq> Rounds<S, Id> {
    /// The ids, in the order of the participants.
    pub fn ids(&self) -> impl Iterator<Item = Id> {
        self.samples.iter().map(|(id, _)| *id)
    }

    /// The rounds with each sample replaced by `f` of it.
    pub fn map<T>(&self, f: impl Fn(&S) -> T) -> Rounds<T, Id> {
        let samples = self
            .samples
            .iter()
            .map(|(id, samples)| (*id, samples.iter().map(&f).collect()));
        Rounds {
            samples: samples.collect(),
        }
    }

    /// The samples of a participant, by round; none if it did not take part.
    pub fn of(&self, id: impl Into<Id>) -> &[S] {
        let id = id.into();
        let found = self.samples.iter().find(|(known, _)| *known == id);
        found.map_or(&[], |(_, samples)| samples)
    }

    /// The greatest of a participant's counts; 0 if it did not take part.
    pub fn max(&self, id: impl Into<Id>, count: impl Fn(&S) -> u64) -> u64 {
        self.of(id).iter().map(count).max().unwrap_or(0)
    }
}

impl<Id: Copy + PartialEq> Rounds<f64, Id> {
    /// The median of a participant; NaN if it did not take part.
    pub fn median(&self, id: impl Into<Id>) -> f64 {
        median(self.of(id))
    }

    /// The interquartile range of a participant's values, divided by their median.
    pub fn spread(&self, id: impl Into<Id>) -> f64 {
        let values = self.of(id);
        (quantile(values, 0.75) - quantile(values, 0.25)) / median(values)
    }

    /// The values of `id` divided by those of `base`: the median of the rounds' ratios.
    pub fn ratio(&self, id: impl Into<Id>, base: impl Into<Id>) -> f64 {
        let pairs = self.of(id).iter().zip(self.of(base));
        median(&pairs.map(|(value, base)| value / base).collect::<Vec<_>>())
    }
}

/// The ids of the participants of measurements that are shown side by side.
pub fn ids<C, S, Id: Copy + PartialEq>(columns: &[(C, Rounds<S, Id>)]) -> impl Iterator<Item = Id> {
    let first = columns.first().into_iter();
    first.flat_map(|(_, rounds)| rounds.ids())
}

/// The median of the values; NaN if there is none.
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
    use super::{Participant, Rounds, in_turns, median, order};

    #[test]
    fn each_participant_has_one_turn_in_each_round() {
        for round in 0..8 {
            let mut turns: Vec<_> = order(round, 4).collect();
            turns.sort_unstable();
            assert_eq!(turns, [0, 1, 2, 3]);
        }
        let participants = [("ours", 1), ("another", 2)].map(|(id, sample)| Participant {
            id,
            turn: Box::new(move || Ok(sample)),
        });
        let rounds = in_turns(3, &participants).unwrap();
        assert_eq!(rounds.of("ours"), [1; 3]);
        assert_eq!(rounds.of("another"), [2; 3]);
    }

    #[test]
    fn each_round_begins_with_the_next_participant() {
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
