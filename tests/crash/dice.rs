//! Chance that can be repeated.

use tidegate::chance::Chance;

/// The variable that repeats a run.
pub(crate) const SEED: &str = "TIDEGATE_SEED";

/// A row of throws from one seed.
#[derive(Clone, Debug)]
pub(crate) struct Dice(Chance);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Chance::seeded(seed))
    }

    /// A seed for something of its own.
    pub(crate) fn seed(&self) -> u64 {
        self.0.next()
    }

    /// 0 up to, not including, `end`.
    pub(crate) fn below(&self, end: usize) -> usize {
        usize::try_from(self.0.next() % u64::try_from(end).expect("small")).expect("below a usize")
    }

    /// One time in `n`.
    pub(crate) fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    pub(crate) fn shuffle<T>(&self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// The seed of this run: the one asked for, or a new one.
pub(crate) fn seed() -> u64 {
    match std::env::var(SEED) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{SEED}={text} is no number")),
        // Fewer digits are easier to pass on, and there are enough of them.
        Err(_) => Chance::system().next() % 1_000_000_000,
    }
}

/// A count from the environment, or what is run when nobody says.
pub(crate) fn count(variable: &str, default: usize) -> usize {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}
