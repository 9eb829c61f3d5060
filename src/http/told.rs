//! Lines of the log that strangers can cause: so many in a window of time, and
//! then a number, so that nobody fills a disk by asking.

use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::identity::token::access;
use crate::limits;
use crate::store::error_chain;

/// How much of one kind is told.
pub(super) struct Told {
    window: Mutex<Window>,
    most: u32,
    over: Duration,
}

struct Window {
    begun: Option<Instant>,
    told: u32,
    withheld: u64,
}

impl Told {
    /// At most `most` lines in each `over`.
    pub(super) const fn new(most: u32, over: Duration) -> Self {
        Self { window: Mutex::new(Window { begun: None, told: 0, withheld: 0 }), most, over }
    }

    /// Whether one that comes now is told, and how many were not before it.
    pub(super) fn admit(&self, now: Instant) -> Option<Option<u64>> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if window.begun.is_none_or(|begun| now.saturating_duration_since(begun) >= self.over) {
            (window.begun, window.told) = (Some(now), 0);
        }
        if window.told >= self.most {
            window.withheld += 1;
            return None;
        }
        window.told += 1;
        let withheld = std::mem::take(&mut window.withheld);
        Some((withheld > 0).then_some(withheld))
    }
}

/// Says that a request got an answer of 500 or above: a failure of ours, or one
/// that the client can wait out. A disk that is full turns thousands away.
pub(super) fn turned_away(error: &(dyn Error + 'static), is_ours: bool) {
    static FAILED: Told = Told::new(limits::TURNED_AWAY_LOGGED, limits::TURNED_AWAY_WINDOW);
    static TURNED_AWAY: Told = Told::new(limits::TURNED_AWAY_LOGGED, limits::TURNED_AWAY_WINDOW);
    let told = if is_ours { &FAILED } else { &TURNED_AWAY };
    let chain = error_chain(error);
    let chain = access::hide(&chain);
    match told.admit(Instant::now()) {
        Some(withheld) if is_ours => tracing::error!(error = &*chain, withheld, "a request failed"),
        Some(withheld) => tracing::warn!(error = &*chain, withheld, "a request was turned away"),
        None => tracing::debug!(error = &*chain, "a request was turned away"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_strangers_cause_fills_no_disk() {
        let (told, begun) = (Told::new(30, Duration::from_secs(60)), Instant::now());
        let lines = |at: Instant, tries: u32| (0..tries).filter_map(|_| told.admit(at)).collect::<Vec<_>>();
        assert_eq!(lines(begun, 1000), vec![None; 30]);
        assert_eq!(lines(begun + Duration::from_secs(60), 2), [Some(970), None], "and says how many it kept back");
    }
}
