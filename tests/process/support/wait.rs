//! Waiting for what another process does: asked again and again, up to an end.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Between two questions.
const PACE: Duration = Duration::from_millis(15);

/// Waits until `ask` has an answer and gives it, with the time it took.
/// Panics with `what` when there is none within `patience`.
pub(crate) async fn until_some<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> (T, Duration) {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return (answer, begun.elapsed());
        }
        assert!(begun.elapsed() < patience, "{what}: not within {patience:?}");
        sleep(PACE).await;
    }
}

/// Waits until `ask` says yes; gives the time it took.
pub(crate) async fn until(what: &str, patience: Duration, mut ask: impl FnMut() -> bool) -> Duration {
    until_some(what, patience, || ask().then_some(())).await.1
}
