//! `pull-mirror create|list|delete|run`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::segment;
use super::error::CliError;
use super::job::{follow, succeeded};
use super::mirror::{AllArgs, FarArgs, OneArgs, PolicyArgs, collection, far_side, last_status, rules};
use super::run::Session;
use super::terminal::{cell, rows};
use crate::oci::RepoName;

/// What to do with pull mirrors.
#[derive(Debug, Subcommand)]
pub enum PullMirrorCommand {
    /// Bring images from another registry on a schedule
    Create(CreateArgs),
    /// List the pull mirrors of a repository
    List(AllArgs),
    /// Remove a pull mirror
    Delete(OneArgs),
    /// Look for changes now
    Run(RunArgs),
}

/// `pull-mirror create`'s flags.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Where images are brought to
    pub repository: RepoName,
    /// The far side.
    #[command(flatten)]
    pub far: FarArgs,
    /// When to look: five or six cron fields, or @hourly and the like
    #[arg(long, value_name = "CRON")]
    pub schedule: Option<String>,
    /// The schedule's time zone, such as Europe/Berlin; UTC without it
    #[arg(long, value_name = "ZONE", requires = "schedule")]
    pub time_zone: Option<String>,
    /// Rules and template.
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// `pull-mirror run`'s flags.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Only this repository's; all there are without it
    pub repository: Option<RepoName>,
    /// Only this one
    pub id: Option<String>,
    /// Wait for the end and show what happens
    #[arg(long)]
    pub wait: bool,
}

const COLLECTION: &str = "pollMirroringPolicies";

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &PullMirrorCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        PullMirrorCommand::Create(wanted) => create(wanted, session).await,
        PullMirrorCommand::List(wanted) => list(wanted, session).await,
        PullMirrorCommand::Delete(wanted) => delete(wanted, session).await,
        PullMirrorCommand::Run(wanted) => start(wanted, session).await,
    }
}

async fn create(wanted: &CreateArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let mut body = wanted.policy.to_json();
    body.extend(wanted.far.to_json(session)?);
    for (field, value) in [("schedule", &wanted.schedule), ("timeZone", &wanted.time_zone)] {
        if let Some(value) = value {
            body.insert(field.to_owned(), json!(value));
        }
    }
    let path = collection(&wanted.repository, COLLECTION) + wanted.policy.query();
    let policy = session.client.post(&path, &Value::Object(body)).await?;
    let (id, from) = (cell(&policy, "/id"), far_side(&policy));
    let line = format!("created pull mirror {id}: {from} to {}, {}", wanted.repository, schedule(&policy));
    session.say(&policy, &line)
}

async fn list(wanted: &AllArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let policies = session.client.get(&collection(&wanted.repository, COLLECTION)).await?;
    let row = |policy: &Value| {
        vec![
            cell(policy, "/id"),
            far_side(policy),
            schedule(policy),
            cell(policy, "/tagTemplate"),
            rules(policy),
            cell(policy, "/enabled"),
            cell(policy, "/lastMirroredAt"),
            last_status(policy),
        ]
    };
    let shown = rows(&policies, "").iter().map(row).collect();
    let header = ["ID", "FROM", "SCHEDULE", "TAG", "RULES", "ENABLED", "LAST MIRRORED", "STATUS"];
    session.show(&policies, &header, shown)
}

async fn delete(wanted: &OneArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let path = format!("{}/{}", collection(&wanted.repository, COLLECTION), segment(&wanted.id));
    // To the API one that is not there is gone already; here it is a slip.
    session.client.get(&path).await?;
    let answer = session.client.delete(&path).await?;
    session.say(&answer, &format!("deleted pull mirror {} of {}", wanted.id, wanted.repository))
}

/// Starts one job or several. For programs: an object when one was asked
/// for, a list when a whole repository was.
async fn start(wanted: &RunArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let mut jobs = Vec::new();
    for path in runs(wanted, session).await? {
        let body = if wanted.repository.is_some() { json!({}) } else { json!({"action": "poll_mirror"}) };
        let job = session.client.post(&path, &body).await?;
        session.note(&format!("started job {}", cell(&job, "/id")))?;
        jobs.push(job);
    }
    if wanted.wait {
        for job in &mut jobs {
            *job = follow(job, session).await?;
            session.note(&format!("job {} ended as {}", cell(job, "/id"), cell(job, "/status")))?;
        }
    }
    if session.json {
        let several = wanted.repository.is_some() && wanted.id.is_none();
        let answer = if several { json!(jobs) } else { jobs.first().cloned().unwrap_or_default() };
        session.terminal.json(&answer)?;
    }
    if wanted.wait { jobs.iter().try_for_each(succeeded) } else { Ok(()) }
}

/// Where to post to start what is wanted.
async fn runs(wanted: &RunArgs, session: &mut Session<'_, '_>) -> Result<Vec<String>, CliError> {
    let Some(repository) = &wanted.repository else { return Ok(vec!["/api/v0/jobs".to_owned()]) };
    let policies = collection(repository, COLLECTION);
    let run = |id: &str| format!("{policies}/{}/run", segment(id));
    if let Some(id) = &wanted.id {
        return Ok(vec![run(id)]);
    }
    let found = session.client.get(&policies).await?;
    let is_on = |policy: &&Value| policy.pointer("/enabled").and_then(Value::as_bool).unwrap_or(true);
    let (on, off): (Vec<&Value>, Vec<&Value>) = rows(&found, "").iter().partition(is_on);
    for policy in off {
        session.note(&format!("passed over pull mirror {}: it is disabled", cell(policy, "/id")))?;
    }
    if on.is_empty() {
        session.note(&format!("{repository} has no pull mirror that is enabled"))?;
    }
    Ok(on.into_iter().map(|policy| run(&cell(policy, "/id"))).collect())
}

fn schedule(policy: &Value) -> String {
    [cell(policy, "/schedule"), cell(policy, "/timeZone")].join(" ").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;
    use serde_json::{Value, json};

    const POLICIES: &str = "/api/v0/repositories/edge/x/pollMirroringPolicies";

    #[tokio::test]
    async fn the_schedule_goes_over_as_it_was_written() {
        let answer = json!({"id": "m1", "remoteHost": "http://far", "remoteRepository": "a/b",
            "schedule": "*/5 * * * *", "timeZone": "Europe/Berlin"});
        let fake = Fake::new(vec![
            reply(&format!("POST {POLICIES}?initialEvaluation=true"), 201, answer),
            reply(&format!("POST {POLICIES}?initialEvaluation=true"), 201, json!({"id": "m2"})),
        ]);
        let base = ["pull-mirror", "create", "edge/x", "--remote", "http://far", "--remote-repository", "a/b"];
        let timed = [&base[..], &["--schedule", "*/5 * * * *", "--time-zone", "Europe/Berlin"]].concat();
        let out = fake.run(&timed, "").await.done();
        assert_eq!(out, "created pull mirror m1: http://far a/b to edge/x, */5 * * * * Europe/Berlin\n");
        fake.run(&base, "").await.done();
        let seen = fake.seen();
        let (timed, plain) = (&seen[0].body, &seen[1].body);
        assert_eq!((&timed["schedule"], &timed["timeZone"]), (&json!("*/5 * * * *"), &json!("Europe/Berlin")));
        assert_eq!((plain.get("schedule"), plain.get("timeZone")), (None, None), "the daemon's default holds");
        assert_eq!(plain["skipTLSVerification"], json!(false));
    }

    #[tokio::test]
    async fn one_that_is_not_there_is_not_deleted() {
        let none = json!({"errors": [{"code": "NO_SUCH_POLL_MIRRORING_POLICY", "message": "there is none"}]});
        let fake = Fake::new(vec![
            reply(&format!("GET {POLICIES}/nope"), 404, none),
            reply(&format!("GET {POLICIES}/m1"), 200, json!({"id": "m1"})),
            reply(&format!("DELETE {POLICIES}/m1"), 204, Value::Null),
        ]);
        let ran = fake.run(&["pull-mirror", "delete", "edge/x", "nope"], "").await;
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Failure, ""), "{}", ran.err);
        fake.run(&["pull-mirror", "delete", "edge/x", "m1"], "").await.done();
    }

    #[tokio::test]
    async fn running_all_is_dtrs_job() {
        let fake = Fake::new(vec![reply("POST /api/v0/jobs", 202, json!({"id": "j1"}))]);
        assert_eq!(fake.run(&["pull-mirror", "run"], "").await.done(), "started job j1\n");
        assert_eq!(fake.seen()[0].body, json!({"action": "poll_mirror"}));
    }

    #[tokio::test]
    async fn waiting_shows_each_line_once_and_ends_with_the_job() {
        let line = |number: u32, data: &str| json!({"lineNum": number, "data": data});
        let fake = Fake::new(vec![
            reply(&format!("POST {POLICIES}/m1/run"), 202, json!({"id": "j1"})),
            reply("GET /api/v0/jobs/j1", 200, json!({"id": "j1", "status": "running"})),
            reply("GET /api/v0/jobs/j1/logs", 200, json!([line(0, "looking")])),
            reply("GET /api/v0/jobs/j1", 200, json!({"id": "j1", "status": "done"})),
            reply("GET /api/v0/jobs/j1/logs", 200, json!([line(0, "looking"), line(1, "1 tag changed")])),
        ]);
        let out = fake.run(&["pull-mirror", "run", "edge/x", "m1", "--wait"], "").await.done();
        assert_eq!(out, "started job j1\nlooking\n1 tag changed\njob j1 ended as done\n");
    }

    #[tokio::test]
    async fn a_job_that_ends_badly_or_has_to_be_tried_again_is_a_failure() {
        for (job, said) in [
            (json!({"id": "j1", "status": "errored", "lastError": "no"}), "error: job j1 ended as errored: no\n"),
            (
                json!({"id": "j1", "status": "waiting", "attempts": 1, "lastError": "no", "nextTryAt": "soon"}),
                "error: job j1 failed: no; it is tried again at soon\n",
            ),
        ] {
            let fake = Fake::new(vec![
                reply(&format!("GET {POLICIES}"), 200, json!([{"id": "m1"}, {"id": "m2", "enabled": false}])),
                reply(&format!("POST {POLICIES}/m1/run"), 202, json!({"id": "j1", "attempts": 0})),
                reply("GET /api/v0/jobs/j1", 200, job.clone()),
                reply("GET /api/v0/jobs/j1/logs", 200, json!([])),
            ]);
            let ran = fake.run(&["--json", "pull-mirror", "run", "edge/x", "--wait"], "").await;
            assert_eq!(ran.exit, Exit::Failure);
            assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), json!([job]));
            assert!(ran.err.contains("passed over pull mirror m2: it is disabled"), "{}", ran.err);
            assert!(ran.err.ends_with(said), "{}", ran.err);
        }
    }
}
