//! Keys drawn by Zipf's law from a seed, the same for every contestant. `go/main.go` has the same algorithm.

/// Zipf's law with exponent 1: the key of rank n is drawn n times less often than that of rank 1.
#[derive(Debug)]
pub struct Zipf {
    /// The probability of each key or one before it.
    cumulative: Vec<f64>,
}

/// SplitMix64 (Steele, Lea, Flood 2014): a few instructions, and any seed is good.
#[derive(Debug)]
pub struct Rng(u64);

impl Zipf {
    /// Keys from 0 on, the most probable first.
    pub fn new(keys: usize) -> Self {
        let mut sum = 0.0;
        let sums = (1..=keys).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        let mut cumulative: Vec<_> = sums.collect();
        cumulative.iter_mut().for_each(|until| *until /= sum);
        Self { cumulative }
    }

    /// Draws one key.
    pub fn draw(&self, rng: &mut Rng) -> usize {
        let fraction = rng.fraction();
        let key = self.cumulative.partition_point(|until| *until <= fraction);
        key.min(self.cumulative.len() - 1)
    }
}

impl Rng {
    /// The stream of numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// At least 0 and less than 1.
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::{Rng, Zipf};

    #[test]
    fn numbers_are_those_of_splitmix64() {
        let mut rng = Rng::new(1_234_567);
        // From the reference implementation.
        assert_eq!(
            [rng.next(), rng.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
    }

    #[test]
    fn a_key_is_drawn_in_proportion_to_its_rank() {
        let zipf = Zipf::new(4);
        let mut rng = Rng::new(7);
        let mut drawn = [0.0; 4];
        for _ in 0..100_000 {
            drawn[zipf.draw(&mut rng)] += 1.0;
        }
        for (key, drawn) in drawn.iter().enumerate() {
            let expected = 100_000.0 / (1.0 + 1.0 / 2.0 + 1.0 / 3.0 + 1.0 / 4.0) / (key + 1) as f64;
            assert!(
                (drawn / expected - 1.0).abs() < 0.05,
                "{key}: expected {expected}, got {drawn}"
            );
        }
    }
}
