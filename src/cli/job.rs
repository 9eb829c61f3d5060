//! `job list|show|logs|cancel`, and waiting for a job.

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::client::segment;
use super::error::CliError;
use super::run::Session;
use super::terminal::{cell, clean, rows};
use crate::limits;
use crate::store::record::JobAction;

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// List jobs, the newest first
    List(ListArgs),
    /// Show one job
    Show(OneArgs),
    /// Print what a job wrote
    Logs(OneArgs),
    /// Call a job off
    Cancel(OneArgs),
}

/// `job list`'s flags.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// Only jobs that do this, such as poll_mirror or push_mirror_tag
    #[arg(long, value_parser = PossibleValuesParser::new(JobAction::ALL.map(JobAction::as_str)))]
    pub action: Option<String>,
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
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
        JobCommand::Cancel(wanted) => cancel(wanted, session).await,
    }
}

/// Waits until the job that was `started` has ended, or a try of it has failed and it waits
/// for the next, and gives its last state; what it writes is shown as it comes.
///
/// # Errors
/// [`CliError`]; a job that ended badly is none here.
pub async fn follow(started: &Value, session: &mut Session<'_, '_>) -> Result<Value, CliError> {
    let attempts = |job: &Value| job.pointer("/attempts").and_then(Value::as_u64).unwrap_or(0);
    let id = cell(started, "/id");
    let progress = spinner(session.terminal.interactive, &format!("job {id}"));
    let mut shown_to = None;
    loop {
        // The state goes first: what was written before an end is then read.
        let job = session.client.get(&path(&id)).await?;
        let lines = session.client.get(&format!("{}/logs", path(&id))).await?;
        for line in rows(&lines, "") {
            let number = line.pointer("/lineNum").and_then(Value::as_i64);
            if number > shown_to {
                shown_to = number;
                let text = cell(line, "/data");
                progress.suspend(|| session.note(&text))?;
            }
        }
        let has_failed = attempts(&job) > attempts(started) && cell(&job, "/status") == "waiting";
        if has_ended(&job) || has_failed {
            progress.finish_and_clear();
            return Ok(job);
        }
        progress.set_message(cell(&job, "/status"));
        progress.tick();
        tokio::time::sleep(limits::JOB_POLL).await;
    }
}

/// The error that a job which has ended is, unless it ended well; one that is
/// tried again has not.
///
/// # Errors
/// [`CliError::JobFailed`].
pub fn succeeded(job: &Value) -> Result<(), CliError> {
    let status = cell(job, "/status");
    let (id, why) = (cell(job, "/id"), cell(job, "/lastError"));
    match status.as_str() {
        "done" => Ok(()),
        "waiting" => Err(CliError::JobWaits { id, why, next: cell(job, "/nextTryAt") }),
        _ => Err(CliError::JobFailed { id, status, why }),
    }
}

/// A spinner on standard error where a person watches, nothing elsewhere.
pub fn spinner(interactive: bool, what: &str) -> ProgressBar {
    if !interactive {
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
    if session.json {
        return session.terminal.json(&jobs);
    }
    let mut shown = Vec::new();
    for job in rows(&jobs, "/jobs") {
        let mut row = ["/id", "/action"].map(|part| cell(job, part)).to_vec();
        row.push(subject(job));
        row.extend(["/status", "/attempts", "/scheduledAt", "/lastUpdated"].map(|part| cell(job, part)));
        row.extend([next_try(job), reason(job, session).await?]);
        shown.push(row);
    }
    let header =
        ["ID", "ACTION", "SUBJECT", "STATUS", "FAILED", "SCHEDULED", "LAST UPDATED", "NEXT TRY", "LAST FAILURE"];
    session.terminal.table(&header, shown)
}

/// What a job works on: an image, or all that a policy names.
fn subject(job: &Value) -> String {
    // The daemon's own word knows the names behind ids.
    let told = cell(job, "/subject");
    if !told.is_empty() {
        return told;
    }
    let either = |name: &str| {
        let own = cell(job, &format!("/{name}"));
        if own.is_empty() { cell(job, &format!("/parameters/{name}")) } else { own }
    };
    let (repository, tag, policy) = (either("repository"), either("tag"), either("policyID"));
    match (repository.is_empty(), tag.is_empty(), policy.is_empty()) {
        (false, false, _) => format!("{repository}:{tag}"),
        (true, false, false) => format!("{tag} of policy {policy}"),
        (true, false, true) => tag,
        (false, true, _) => repository,
        (true, true, false) => format!("policy {policy}"),
        (true, true, true) => String::new(),
    }
}

/// When a job that failed is tried again.
fn next_try(job: &Value) -> String {
    if has_ended(job) { String::new() } else { cell(job, "/nextTryAt") }
}

/// Why a job failed last: what it says of itself, or the last line of its log.
async fn reason(job: &Value, session: &Session<'_, '_>) -> Result<String, CliError> {
    let told = cell(job, "/lastError");
    let has_failed = job.pointer("/attempts").and_then(Value::as_u64).unwrap_or(0) > 0;
    if !told.is_empty() || !has_failed || cell(job, "/status") == "done" {
        return Ok(told);
    }
    let lines = session.client.get(&format!("{}/logs", path(&cell(job, "/id")))).await?;
    Ok(rows(&lines, "").last().map(|line| cell(line, "/data")).unwrap_or_default())
}

async fn cancel(wanted: &OneArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    // To the API one that is over is called off already; here it is a slip.
    let job = session.client.get(&path(&wanted.id)).await?;
    if has_ended(&job) {
        return Err(CliError::JobOver { id: wanted.id.clone(), status: cell(&job, "/status") });
    }
    let answer = session.client.post(&format!("{}/cancel", path(&wanted.id)), &json!({})).await?;
    session.say(&answer, &format!("called off job {}", wanted.id))
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

pub(super) fn path(id: &str) -> String {
    format!("/api/v0/jobs/{}", segment(id))
}

/// DTR's states that are not the end; a dead worker's job is claimed again.
pub(super) fn has_ended(job: &Value) -> bool {
    let going = ["waiting", "running", "cancel_request", "worker_dead", "worker_shutdown", "worker_resurrection"];
    !going.contains(&cell(job, "/status").as_str())
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;
    use serde_json::{Value, json};

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
        let row: Vec<&str> = out.lines().nth(1).unwrap_or_default().split_whitespace().collect();
        assert_eq!(row, ["j1", "poll_mirror", "done", "s", "u"], "{out}");
        assert!(fake.run(&["job", "show", "j1"], "").await.done().contains("status       done\n"));
        assert_eq!(fake.run(&["job", "logs", "j1"], "").await.done(), "began\n\\u{1b}[2Jended\n");
    }

    #[tokio::test]
    async fn a_job_that_fails_is_listed_with_its_subject_and_reason() {
        let job = |id: &str, more: Value| {
            let mut job = json!({"id": id, "action": "push_mirror_tag", "status": "waiting", "attempts": 2,
                "parameters": {"policyID": "p1", "tag": "1.0"}});
            job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            job
        };
        let told = json!({"repository": "dev/x", "lastError": "connection refused", "nextTryAt": "soon"});
        let jobs = json!({"jobs": [job("j1", told), job("j2", json!({}))]});
        let fake = Fake::new(vec![
            reply("GET /api/v0/jobs?limit=20", 200, jobs.clone()),
            reply(
                "GET /api/v0/jobs/j2/logs",
                200,
                json!([{"lineNum": 0, "data": "a"}, {"lineNum": 1, "data": "timed out"}]),
            ),
            reply("GET /api/v0/jobs?limit=20", 200, jobs.clone()),
        ]);
        let out = fake.run(&["job", "list"], "").await.done();
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines[1].contains("dev/x:1.0") && lines[1].ends_with("soon      connection refused"), "{out}");
        assert!(lines[2].contains("1.0 of policy p1") && lines[2].ends_with("timed out"), "{out}");
        let out = fake.run(&["job", "list", "--json"], "").await.done();
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), jobs);
    }

    #[tokio::test]
    async fn a_job_is_called_off_or_it_is_told_that_there_is_none() {
        let none = json!({"errors": [{"code": "NO_SUCH_JOB", "message": "there is no such job"}]});
        let fake = Fake::new(vec![
            reply("GET /api/v0/jobs/j1", 200, json!({"id": "j1", "status": "running"})),
            reply("POST /api/v0/jobs/j1/cancel", 204, Value::Null),
            reply("GET /api/v0/jobs/j2", 404, none),
            reply("GET /api/v0/jobs/j3", 200, json!({"id": "j3", "status": "done"})),
        ]);
        assert_eq!(fake.run(&["job", "cancel", "j1"], "").await.done(), "called off job j1\n");
        assert_eq!(fake.run(&["job", "cancel", "j2"], "").await.exit, Exit::Failure);
        let ran = fake.run(&["job", "cancel", "j3"], "").await;
        assert_eq!((ran.exit, ran.err.as_str()), (Exit::Failure, "error: job j3 is over: it ended as done\n"));
        for slip in [&["job", "list", "--limit", "0"][..], &["job", "list", "--action", "nonsense"]] {
            assert_eq!(fake.run(slip, "").await.exit, Exit::Usage, "{slip:?}");
        }
    }
}
