//! `job list|show|logs`, and waiting for a job.

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::client::segment;
use super::error::CliError;
use super::run::Session;
use super::terminal::{cell, clean, rows};
use crate::limits;

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// List jobs, the newest first
    List(ListArgs),
    /// Show one job
    Show(OneArgs),
    /// Print what a job wrote
    Logs(OneArgs),
}

/// `job list`'s flags.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only jobs that do this, such as poll_mirror or push_mirror_tag
    #[arg(long)]
    pub action: Option<String>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub limit: u32,
    /// After so many newer ones
    #[arg(long, value_name = "COUNT")]
    pub start: Option<u32>,
}

/// A job.
#[derive(Args, Debug)]
pub struct OneArgs {
    /// The job, as `list` shows it
    pub id: String,
}

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &JobCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        JobCommand::List(wanted) => list(wanted, session).await,
        JobCommand::Show(wanted) => show(wanted, session).await,
        JobCommand::Logs(wanted) => logs(wanted, session).await,
    }
}

/// Waits until the job `id` has ended and gives its last state; what it
/// writes is shown as it comes.
///
/// # Errors
/// [`CliError`]; a job that ended badly is none here.
pub async fn follow(id: &str, session: &mut Session<'_, '_>) -> Result<Value, CliError> {
    let progress = spinner(session, &format!("job {id}"));
    let mut shown_to = None;
    loop {
        // The state goes first: what was written before an end is then read.
        let job = session.client.get(&path(id)).await?;
        let lines = session.client.get(&format!("{}/logs", path(id))).await?;
        for line in rows(&lines, "") {
            let number = line.pointer("/lineNum").and_then(Value::as_i64);
            if number > shown_to {
                shown_to = number;
                let text = cell(line, "/data");
                progress.suspend(|| session.note(&text))?;
            }
        }
        if has_ended(&job) {
            progress.finish_and_clear();
            return Ok(job);
        }
        progress.set_message(cell(&job, "/status"));
        progress.tick();
        tokio::time::sleep(limits::JOB_POLL).await;
    }
}

/// The error that a job which has ended is, unless it ended well.
///
/// # Errors
/// [`CliError::JobFailed`].
pub fn succeeded(job: &Value) -> Result<(), CliError> {
    let status = cell(job, "/status");
    if status == "done" { Ok(()) } else { Err(CliError::JobFailed { id: cell(job, "/id"), status }) }
}

/// A spinner on standard error where a person watches, nothing elsewhere.
pub fn spinner(session: &Session<'_, '_>, what: &str) -> ProgressBar {
    if !session.terminal.interactive {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {prefix}: {msg} ({elapsed})");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
    ProgressBar::new_spinner().with_style(style).with_prefix(clean(what))
}

async fn list(wanted: &ListArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let mut path = format!("/api/v0/jobs?limit={}", wanted.limit);
    if let Some(action) = &wanted.action {
        path += &format!("&action={}", segment(action));
    }
    if let Some(start) = wanted.start {
        path += &format!("&start={start}");
    }
    let jobs = session.client.get(&path).await?;
    let row = |job: &Value| {
        ["/id", "/action", "/status", "/scheduledAt", "/lastUpdated"].map(|part| cell(job, part)).to_vec()
    };
    let shown = rows(&jobs, "/jobs").iter().map(row).collect();
    session.show(&jobs, &["ID", "ACTION", "STATUS", "SCHEDULED", "LAST UPDATED"], shown)
}

async fn show(wanted: &OneArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let job = session.client.get(&path(&wanted.id)).await?;
    let fields = job.as_object().map(|job| job.keys().cloned().collect()).unwrap_or_else(Vec::new);
    let shown = fields.iter().map(|field| vec![clean(field), cell(&job, &format!("/{field}"))]).collect();
    session.show(&job, &["FIELD", "VALUE"], shown)
}

async fn logs(wanted: &OneArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let lines = session.client.get(&format!("{}/logs", path(&wanted.id))).await?;
    if session.json {
        return session.terminal.json(&lines);
    }
    for line in rows(&lines, "") {
        session.terminal.line(&cell(line, "/data"))?;
    }
    Ok(())
}

fn path(id: &str) -> String {
    format!("/api/v0/jobs/{}", segment(id))
}

/// DTR's states that are not the end; a dead worker's job is claimed again.
fn has_ended(job: &Value) -> bool {
    let going = ["waiting", "running", "cancel_request", "worker_dead", "worker_shutdown", "worker_resurrection"];
    !going.contains(&cell(job, "/status").as_str())
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use serde_json::json;

    #[tokio::test]
    async fn jobs_are_listed_shown_and_read() {
        let job =
            json!({"id": "j1", "action": "poll_mirror", "status": "done", "scheduledAt": "s", "lastUpdated": "u"});
        let lines = json!([{"lineNum": 0, "data": "began"}, {"lineNum": 1, "data": "\u{1b}[2Jended"}]);
        let fake = Fake::new(vec![
            reply("GET /api/v0/jobs?limit=5&action=poll_mirror&start=10", 200, json!({"jobs": [job]})),
            reply("GET /api/v0/jobs/j1", 200, job.clone()),
            reply("GET /api/v0/jobs/j1/logs", 200, lines),
        ]);
        let words = ["job", "list", "--limit", "5", "--action", "poll_mirror", "--start", "10"];
        let out = fake.run(&words, "").await.done();
        assert_eq!(out, "ID  ACTION       STATUS  SCHEDULED  LAST UPDATED\nj1  poll_mirror  done    s          u\n");
        assert!(fake.run(&["job", "show", "j1"], "").await.done().contains("status       done\n"));
        assert_eq!(fake.run(&["job", "logs", "j1"], "").await.done(), "began\n\\u{1b}[2Jended\n");
    }
}
