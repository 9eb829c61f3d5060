//! How fast a client takes one answer over HTTP/2.
//!
//! There a client shuts the window of one stream and keeps its connection alive
//! with everything else, so that no write waits and [`super::stall`] sees
//! nothing. What is watched here is how long an answer's next piece stays
//! unasked for: the connection asks for it when the client has made room. A
//! stream that brings less than [`limits::RESPONSE_SLOWEST`] in a window of such
//! waiting is reset; its connection goes on.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::limits;

tokio::task_local! {
    static OF_STREAM: Arc<Taken>;
}

/// What a client took of one answer.
#[derive(Debug, Default)]
pub(super) struct Taken(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    /// Bytes that were handed on in the window that runs.
    handed: u64,
    /// The time that they waited for the client.
    waited: Duration,
    /// Since when the last of them do.
    since: Option<Instant>,
}

impl Taken {
    /// That of the stream whose task this is; none over HTTP/1.1.
    pub(super) fn of_stream() -> Option<Arc<Self>> {
        OF_STREAM.try_with(Arc::clone).ok()
    }

    /// The next piece is asked for: what was handed on has been taken.
    pub(super) fn asked(&self) {
        let mut window = self.lock();
        if let Some(since) = window.since.take() {
            window.waited += since.elapsed();
        }
    }

    /// A piece is handed on.
    pub(super) fn handed(&self, bytes: u64) {
        let mut window = self.lock();
        window.handed += bytes;
        window.since = Some(Instant::now());
    }

    /// Completes when the client is too slow.
    async fn too_slow(&self) {
        loop {
            let Some(pause) = self.patience(Instant::now()) else { return };
            sleep(pause).await;
        }
    }

    /// How long the window that runs lasts at least; `None` when it is over and
    /// brought too little.
    fn patience(&self, now: Instant) -> Option<Duration> {
        let mut window = self.lock();
        let waited = window.waited + window.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if waited < limits::RESPONSE_SLOWEST_OVER {
            return Some(limits::RESPONSE_SLOWEST_OVER - waited);
        }
        if (window.handed as f64) < limits::RESPONSE_SLOWEST as f64 * waited.as_secs_f64() {
            return None;
        }
        *window = Window { since: window.since.map(|_| now), ..Window::default() };
        Some(limits::RESPONSE_SLOWEST_OVER)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Window> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a stream until it ends or its client takes its answer too slowly, which
/// lets go of it.
pub(super) async fn watched(stream: impl Future<Output = ()>) {
    let taken = Arc::<Taken>::default();
    let watch = Arc::clone(&taken);
    tokio::select! {
        biased;
        () = OF_STREAM.scope(taken, stream) => {}
        () = watch.too_slow() => tracing::debug!("a client takes an answer too slowly; its stream is reset"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands on `bytes` each time that the client asks, every `every`; whether
    /// it was asked `times` times.
    async fn is_served(bytes: u64, every: Duration, times: u32) -> bool {
        let mut was_served = false;
        watched(async {
            let taken = Taken::of_stream().unwrap();
            for _ in 0..times {
                taken.asked();
                taken.handed(bytes);
                sleep(every).await;
            }
            was_served = true;
        })
        .await;
        was_served
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_window_is_shut_is_let_go_and_a_slow_one_is_not() {
        let over = limits::RESPONSE_SLOWEST_OVER;
        let begun = Instant::now();
        assert!(!is_served(512 * 1024, Duration::from_secs(86_400), 1).await, "shut behind the first piece");
        assert!(begun.elapsed() <= 3 * over, "{:?}", begun.elapsed());
        assert!(!is_served(1, Duration::from_secs(59), 1_000).await);
        assert!(is_served(16 * 1024, Duration::from_secs(1), 1_000).await);
        assert!(is_served(limits::RESPONSE_SLOWEST, Duration::from_secs(1), 1_000).await);
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_we_take_is_not_the_clients() {
        let mut was_served = false;
        watched(async {
            let taken = Taken::of_stream().unwrap();
            for _ in 0..3 {
                taken.asked();
                sleep(10 * limits::RESPONSE_SLOWEST_OVER).await;
                taken.handed(1);
            }
            was_served = true;
        })
        .await;
        assert!(was_served);
    }
}
