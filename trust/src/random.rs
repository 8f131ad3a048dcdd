//! A source of random numbers that a seed determines.

/// A generator (SplitMix64): small, fast, and the same on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Creates the generator of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        // Neighboring seeds would begin alike.
        let mut random = Self(seed ^ 0x5DEE_CE66_D1CE_4E5B);
        random.next();
        random
    }

    /// Returns any number.
    #[expect(clippy::should_implement_trait, reason = "not an iterator: it has no end")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`, or 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let next = self.next();
        if end == 0 { 0 } else { (next % end as u64) as usize }
    }

    /// Returns true with this probability, in thousandths.
    pub fn chance(&mut self, per_mille: usize) -> bool {
        self.below(1000) < per_mille
    }
}
