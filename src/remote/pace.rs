//! How fast a body has to come: one that trickles is given up, so that it does
//! not hold what others wait for.
//!
//! Only time that was spent waiting for the other side counts. A slow disk here
//! is nobody's fault over there.

use std::time::Duration;

use super::{Origin, RemoteError, Timing};

/// What came of one body in the window that runs.
#[derive(Debug)]
pub(super) struct Pace {
    timing: Timing,
    waited: Duration,
    moved: u64,
}

impl Pace {
    pub(super) fn new(timing: Timing) -> Self {
        Self { timing, waited: Duration::ZERO, moved: 0 }
    }

    /// Time without a byte after which the body is given up.
    pub(super) fn stall(&self) -> Duration {
        self.timing.stall
    }

    /// `bytes` came after `waited`: an error when a whole window brought fewer
    /// than it has to.
    pub(super) fn moved(&mut self, bytes: u64, waited: Duration, origin: &Origin) -> Result<(), RemoteError> {
        self.moved = self.moved.saturating_add(bytes);
        self.waited = self.waited.saturating_add(waited);
        if self.waited < self.timing.window {
            return Ok(());
        }
        let (moved, over) = (std::mem::take(&mut self.moved), std::mem::take(&mut self.waited));
        let (rate, slowest) = (moved as f64 / over.as_secs_f64(), self.timing.slowest);
        if rate >= slowest as f64 {
            return Ok(());
        }
        Err(RemoteError::Slow { origin: origin.clone(), rate, slowest, over })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_window_that_was_waited_for_is_judged() {
        let origin: Origin = "https://r.example".parse().expect("an origin");
        let timing = Timing { window: Duration::from_secs(60), slowest: 256, ..Timing::default() };
        let mut pace = Pace::new(timing);
        for _ in 0..59 {
            pace.moved(1, Duration::from_secs(1), &origin).expect("the window is not over");
        }
        let slow = pace.moved(1, Duration::from_secs(1), &origin).expect_err("one byte a second");
        assert_eq!(
            slow.to_string(),
            "https://r.example moves 1.0 bytes a second (over 60 s); a transfer has to keep 256 a second"
        );
        // A burst that nobody had to wait for, then a quiet while.
        let mut pace = Pace::new(timing);
        pace.moved(1 << 20, Duration::ZERO, &origin).expect("quick");
        pace.moved(1, Duration::from_secs(60), &origin).expect("the burst counts");
        // The next window stands for itself.
        pace.moved(256 * 60 - 1, Duration::from_secs(60), &origin).expect_err("a byte too few");
        pace.moved(256 * 60, Duration::from_secs(60), &origin).expect("just enough");
    }
}
