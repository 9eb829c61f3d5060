//! Task scopes: nothing runs that nobody waits for.
//!
//! Every task of the daemon starts through a [`Scope`], which carries the
//! signal to stop and counts who still runs. Blocking work goes through
//! [`blocking`]. This file owns `tokio::spawn`.

use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// A group of tasks with one signal to stop.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Scope {
    /// A scope with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// A scope inside this one: it stops when this one does, and can be
    /// stopped and drained alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { stop: self.stop.child_token(), tasks: TaskTracker::new() }
    }

    /// Starts a task in this scope, inside the current tracing span.
    #[expect(clippy::disallowed_methods, reason = "the one place where tasks start")]
    pub fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(self.tasks.track_future(task.in_current_span()))
    }

    /// Completes when the scope is told to stop.
    pub async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the scope has been told to stop.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Runs `future` until it is done or the scope is told to stop; `None` in
    /// the second case, and the future is dropped.
    pub async fn until_stopped<F: Future>(&self, future: F) -> Option<F::Output> {
        self.stop.run_until_cancelled(future).await
    }

    /// Tells all tasks to stop; does not wait.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Tells all tasks to stop and waits for them; false when some still run
    /// after `patience`.
    pub async fn drain(&self, patience: Duration) -> bool {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(patience, self.tasks.wait()).await.is_ok()
    }

    /// How many tasks run.
    pub fn running(&self) -> usize {
        self.tasks.len()
    }
}

/// Runs work that blocks (files, password hashes) off the async threads and
/// waits for it. A panic in the work goes on in the caller.
#[expect(clippy::disallowed_methods, reason = "the one place where blocking work starts")]
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let span = tracing::Span::current();
    match tokio::task::spawn_blocking(move || span.in_scope(work)).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Has blocking work done without waiting for it: on the pool, or right here on
/// a thread of its own. The end of the daemon waits for it.
pub fn detached(work: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(work)),
        Err(_) => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn draining_waits_for_tasks_and_says_when_it_could_not() {
        let scope = Scope::new();
        let inner = scope.child();
        inner.spawn({
            let inner = inner.clone();
            async move { inner.stopped().await }
        });
        scope.stop();
        assert!(inner.drain(Duration::from_secs(5)).await);
        let stuck = Scope::new();
        stuck.spawn(std::future::pending::<()>());
        assert!(!stuck.drain(Duration::from_millis(10)).await);
        assert_eq!(stuck.running(), 1);
    }
}
