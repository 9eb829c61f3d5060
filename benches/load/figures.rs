//! What a run found out: named numbers, printed as one line of JSON.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

/// Named numbers. Times are in milliseconds where the name does not say
/// seconds.
#[derive(Debug, Default)]
pub(crate) struct Figures(BTreeMap<&'static str, f64>);

/// How long each of many things took, and all of them together.
#[derive(Debug)]
pub(crate) struct Timed {
    /// The whole.
    pub(crate) whole: Duration,
    /// Each.
    pub(crate) each: Vec<Duration>,
}

impl Figures {
    /// With one more.
    pub(crate) fn with(mut self, name: &'static str, value: f64) -> Self {
        self.0.insert(name, value);
        self
    }

    /// One line of JSON.
    pub(crate) fn print(&self) {
        println!("{}", json!(self.0));
    }
}

impl Timed {
    /// How many a second, and the times that a share of them stayed within.
    pub(crate) fn figures(mut self) -> Figures {
        self.each.sort_unstable();
        let count = self.each.len() as f64;
        Figures::default()
            .with("count", count)
            .with("seconds", self.whole.as_secs_f64())
            .with("perSecond", count / self.whole.as_secs_f64())
            .with("p50", millis(share(&self.each, 0.50)))
            .with("p90", millis(share(&self.each, 0.90)))
            .with("p99", millis(share(&self.each, 0.99)))
            .with("p999", millis(share(&self.each, 0.999)))
            .with("longest", millis(self.each.last().copied().unwrap_or_default()))
    }
}

/// Runs `work` and says how long it took.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    let done = work.await;
    (done, begun.elapsed())
}

/// In milliseconds.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The time that `share` of `sorted` stay within.
fn share(sorted: &[Duration], share: f64) -> Duration {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}
