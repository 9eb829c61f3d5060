//! `pull-mirror create|list|delete|enable|disable|update|run`.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::segment;
use super::error::CliError;
use super::job::{follow, has_ended, succeeded};
use super::mirror::{
    AllArgs, EnableArgs, FarArgs, Kind, OneArgs, PolicyArgs, UpdateArgs, collection, far_side, last_status, policies,
    rules, switch, update,
};
use super::run::Session;
use super::terminal::{cell, rows};
use crate::limits;
use crate::oci::RepoName;
use crate::store::record::JobAction;

/// What to do with pull mirrors.
#[derive(Debug, Subcommand)]
pub enum PullMirrorCommand {
    /// Bring images from another registry on a schedule
    Create(CreateArgs),
    /// List the pull mirrors of a repository, or of all
    List(AllArgs),
    /// Remove a pull mirror
    Delete(OneArgs),
    /// Let a pull mirror act
    Enable(EnableArgs),
    /// Keep a pull mirror, and let it do nothing
    Disable(OneArgs),
    /// Give it other credentials for the far side, or another certificate to trust
    Update(UpdateArgs),
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
    /// When to look: five or six cron fields, or @hourly, `@every 5m` and the like; every 30 minutes without it
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
    /// Wait until every image that it finds is here, and show what happens; 1 when one could not be brought
    #[arg(long)]
    pub wait: bool,
}

const COLLECTION: &str = "pollMirroringPolicies";
const KIND: Kind = Kind { collection: COLLECTION, noun: "pull mirror" };

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &PullMirrorCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        PullMirrorCommand::Create(wanted) => create(wanted, session).await,
        PullMirrorCommand::List(wanted) => list(wanted, session).await,
        PullMirrorCommand::Delete(wanted) => delete(wanted, session).await,
        PullMirrorCommand::Enable(wanted) => {
            switch(KIND, &wanted.one, true, !wanted.no_initial_evaluation, session).await
        }
        PullMirrorCommand::Disable(wanted) => switch(KIND, wanted, false, false, session).await,
        PullMirrorCommand::Update(wanted) => update(KIND, wanted, session).await,
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
    let policies = policies(KIND, "", wanted.repository.as_ref(), session).await?;
    let row = |policy: &Value| {
        let mut row = vec![
            cell(policy, "/id"),
            far_side(policy),
            schedule(policy),
            cell(policy, "/tagTemplate"),
            rules(policy),
            cell(policy, "/enabled"),
            cell(policy, "/lastMirroredAt"),
            last_status(policy),
        ];
        if wanted.repository.is_none() {
            row.insert(1, cell(policy, "/localRepository"));
        }
        row
    };
    let shown = rows(&policies, "").iter().map(row).collect();
    let mut header = vec!["ID", "FROM", "SCHEDULE", "TAG", "RULES", "ENABLED", "LAST MIRRORED", "STATUS"];
    if wanted.repository.is_none() {
        header.insert(1, "TO");
    }
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
    let images = if wanted.wait { bring(&jobs, session).await? } else { Vec::new() };
    if session.json {
        let several = wanted.repository.is_some() && wanted.id.is_none();
        let answer = if several { json!(jobs) } else { jobs.first().cloned().unwrap_or_default() };
        session.terminal.json(&answer)?;
    }
    if wanted.wait { jobs.iter().chain(&images).try_for_each(succeeded) } else { Ok(()) }
}

/// Waits for the images that looks which went well have found, and for those
/// that their mirrors owe from before; their jobs as they stand at the end.
async fn bring(looks: &[Value], session: &mut Session<'_, '_>) -> Result<Vec<Value>, CliError> {
    let mut images = Vec::new();
    for look in looks.iter().filter(|look| succeeded(look).is_ok()) {
        let policy = cell(look, "/parameters/policyID");
        for image in found_by(look, &policy, session).await? {
            let has_failed = image.pointer("/attempts").and_then(Value::as_u64).unwrap_or(0) > 0;
            let waits = cell(&image, "/status") == "waiting" && has_failed;
            let image = if waits || has_ended(&image) { image } else { follow(&image, session).await? };
            session.note(&format!("{} ended as {}", cell(&image, "/subject"), cell(&image, "/status")))?;
            images.push(image);
        }
    }
    Ok(images)
}

/// The jobs that bring images of `policy`: those of a look, and those that are
/// not over.
async fn found_by(look: &Value, policy: &str, session: &Session<'_, '_>) -> Result<Vec<Value>, CliError> {
    let (mut found, mut start) = (Vec::new(), 0);
    loop {
        let action = JobAction::PullMirrorTag.as_str();
        let page = limits::PAGE_DEFAULT_ENTRIES;
        let jobs = session.client.get(&format!("/api/v0/jobs?limit={page}&action={action}&start={start}")).await?;
        let listed = rows(&jobs, "/jobs");
        let is_meant = |job: &&Value| {
            // Times have one form, so they are ordered like their texts.
            let is_of_look = cell(job, "/scheduledAt") >= cell(look, "/scheduledAt");
            cell(job, "/parameters/policyID") == policy && (is_of_look || !has_ended(job))
        };
        found.extend(listed.iter().filter(is_meant).cloned());
        start += listed.len();
        if listed.is_empty() {
            return Ok(found);
        }
    }
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
            reply(&jobs(0), 200, json!({"jobs": []})),
        ]);
        let out = fake.run(&["pull-mirror", "run", "edge/x", "m1", "--wait"], "").await.done();
        assert_eq!(out, "started job j1\nlooking\n1 tag changed\njob j1 ended as done\n");
    }

    fn jobs(start: usize) -> String {
        format!("GET /api/v0/jobs?limit=1000&action=pull_mirror_tag&start={start}")
    }

    /// The look was waited for, and the images that it found were not: a script
    /// went on without them, and heard nothing when one failed.
    #[tokio::test]
    async fn waiting_is_for_the_images_that_the_look_found() {
        let look = json!({"id": "j1", "status": "done", "scheduledAt": "2026-01-02", "parameters": {"policyID": "m1"}});
        let image = |id: &str, status: &str, attempts: u32, at: &str, policy: &str| {
            json!({"id": id, "status": status, "attempts": attempts, "scheduledAt": at, "subject": format!("edge/x:{id}"),
                "parameters": {"policyID": policy}, "lastError": "no such blob", "nextTryAt": "soon"})
        };
        for (status, exit, said) in [
            ("done", Exit::Success, ""),
            ("waiting", Exit::Failure, "error: job new failed: no such blob; it is tried again at soon\n"),
        ] {
            let listed = json!({"jobs": [
                image("new", "running", 0, "2026-01-03", "m1"),
                image("other", "running", 0, "2026-01-03", "m2"),
                image("old", "done", 0, "2026-01-01", "m1"),
            ]});
            let fake = Fake::new(vec![
                reply(&format!("POST {POLICIES}/m1/run"), 202, json!({"id": "j1"})),
                reply("GET /api/v0/jobs/j1", 200, look.clone()),
                reply("GET /api/v0/jobs/j1/logs", 200, json!([])),
                reply(&jobs(0), 200, listed),
                reply(&jobs(3), 200, json!({"jobs": []})),
                reply(
                    "GET /api/v0/jobs/new",
                    200,
                    image("new", status, u32::from(status == "waiting"), "2026-01-03", "m1"),
                ),
                reply("GET /api/v0/jobs/new/logs", 200, json!([{"lineNum": 0, "data": "fetched blob, 7 bytes"}])),
            ]);
            let ran = fake.run(&["pull-mirror", "run", "edge/x", "m1", "--wait"], "").await;
            assert_eq!((ran.exit, ran.err.as_str()), (exit, said), "{}", ran.out);
            let told = format!("job j1 ended as done\nfetched blob, 7 bytes\nedge/x:new ended as {status}\n");
            assert!(ran.out.ends_with(&told), "{}", ran.out);
        }
    }

    /// `restore` says to enable policies and to give mirrors their credentials
    /// again, and there was no way to.
    #[tokio::test]
    async fn a_mirror_is_switched_and_gets_new_credentials() {
        let fake = Fake::new(vec![
            reply(&format!("PUT {POLICIES}/m1"), 200, json!({"id": "m1"})),
            reply(&format!("PUT {POLICIES}/m1?initialEvaluation=true"), 200, json!({"id": "m1"})),
            reply(&format!("PUT {POLICIES}/m1?initialEvaluation=false"), 200, json!({"id": "m1"})),
            reply(
                "GET /api/v0/repositories?pageSize=1000",
                200,
                json!({"repositories": [
                    {"namespace": "dev", "name": "x"}, {"namespace": "edge", "name": "x"},
                ]}),
            ),
            reply("GET /api/v0/repositories/dev/x/pollMirroringPolicies", 200, json!([])),
            reply(&format!("GET {POLICIES}"), 200, json!([{"id": "m1", "localRepository": "edge/x"}])),
        ]);
        let words = ["pull-mirror", "update", "edge/x", "m1", "--username", "bot", "--password-stdin"];
        assert_eq!(fake.run(&words, "s3cret\n").await.done(), "updated pull mirror m1 of edge/x\n");
        let out = fake.run(&["pull-mirror", "enable", "edge/x", "m1"], "").await.done();
        assert_eq!(out, "enabled pull mirror m1 of edge/x\n");
        fake.run(&["pull-mirror", "disable", "edge/x", "m1"], "").await.done();
        let bodies: Vec<Value> = fake.seen().into_iter().map(|seen| seen.body).collect();
        let sent = json!({"username": "bot", "password": "s3cret"});
        assert_eq!(bodies, [sent, json!({"enabled": true}), json!({"enabled": false})]);
        assert_eq!(fake.run(&["pull-mirror", "update", "edge/x", "m1"], "").await.exit, Exit::Usage);
        let out = fake.run(&["pull-mirror", "list"], "").await.done();
        assert!(out.contains("m1  edge/x"), "{out}");
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
