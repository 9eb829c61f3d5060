//! The log of one job while it runs: lines are gathered and committed about
//! once a second, so that people can watch and the store is not bothered by
//! each line.

use std::sync::{Mutex, PoisonError};

use crate::audit::Audit;
use crate::chance::Id;
use crate::store::record::Job;
use crate::store::{Change, Lane, Operation, Store, StoreError, queue};

/// How often lines are committed while a job runs.
const EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// A running job's log.
#[derive(Debug)]
pub struct JobLog {
    store: Store,
    job: Id,
    lines: Mutex<Vec<String>>,
}

struct AppendLines {
    job: Id,
    lines: Vec<String>,
}

impl Operation for AppendLines {
    type Plan = Option<Job>;
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "append to job log";
    const AUDIT: Audit = Audit::Nothing("a log of its own");

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        Ok(Ok(queue::get(tables, &self.job)?))
    }

    fn apply(&self, job: Option<Job>, tables: &mut Change<'_>) -> Result<(), StoreError> {
        let Some(mut job) = job else { return Ok(()) };
        queue::log(tables, &self.job, &mut job, &self.lines)?;
        job.updated_at = tables.now();
        queue::put(tables, &self.job, &job)
    }
}

impl JobLog {
    /// The log of `job`.
    pub fn new(store: Store, job: Id) -> Self {
        Self { store, job, lines: Mutex::default() }
    }

    /// Adds a line, stamped with the time.
    pub fn line(&self, text: impl AsRef<str>) {
        let now = self.store.clock().now();
        let text: String = text.as_ref().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{now} {text}"));
    }

    /// The lines that are not committed yet; whoever takes them commits them.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Commits lines as they come, for as long as it is polled.
    pub async fn follow(&self) -> std::convert::Infallible {
        loop {
            tokio::time::sleep(EVERY).await;
            let lines = self.take();
            if !lines.is_empty() {
                let append = AppendLines { job: self.job, lines };
                if let Err(error) = self.store.submit(Lane::Background, append).await {
                    tracing::debug!(job.id = %self.job, error = %error, "lines of a job's log were lost");
                }
            }
        }
    }
}
