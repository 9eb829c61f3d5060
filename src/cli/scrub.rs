//! `scrub status|run|list|heal`.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::error::CliError;
use super::job::{follow, succeeded};
use super::run::Session;
use super::terminal::{cell, rows};

/// What to do about bytes that rot.
#[derive(Debug, Subcommand)]
pub enum ScrubCommand {
    /// Show how the pass over everything that is stored stands
    Status,
    /// Read and hash everything that is stored; goes on with a pass that is under way
    Run(RunArgs),
    /// List what is damaged, is not served, and waits for the right bytes
    List(ListArgs),
    /// Try now to get the right bytes of what is damaged, from mirrors that have them
    Heal(HealArgs),
}

/// `scrub run`'s flags.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Bytes a second, such as 20MiB, or `unlimited`; what the daemon is configured for without it
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,
    /// Begin a new pass, even where one is under way
    #[arg(long)]
    pub restart: bool,
    /// Start it and do not wait for its end
    #[arg(long)]
    pub no_wait: bool,
}

/// `scrub list`'s flags.
#[derive(Args, Debug)]
pub struct ListArgs {
    /// At most so many
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub limit: u32,
    /// After so many others
    #[arg(long, value_name = "COUNT")]
    pub start: Option<u32>,
}

/// `scrub heal`'s flags.
#[derive(Args, Debug)]
pub struct HealArgs {
    /// Start it and do not wait for its end
    #[arg(long)]
    pub no_wait: bool,
}

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &ScrubCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        ScrubCommand::Status => status(session).await,
        ScrubCommand::Run(wanted) => start(wanted, session).await,
        ScrubCommand::List(wanted) => list(wanted, session).await,
        ScrubCommand::Heal(wanted) => heal(wanted, session).await,
    }
}

async fn status(session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let status = session.client.get("/api/v0/admin/scrub").await?;
    let rate = match cell(&status, "/rate").as_str() {
        "0" => "unlimited".to_owned(),
        rate => format!("{}/s", bytes(rate)),
    };
    let is_running = status.pointer("/running").and_then(Value::as_bool) == Some(true);
    let state = match (is_running, cell(&status, "/jobID").is_empty()) {
        (true, _) => "running".to_owned(),
        (false, false) => "waits to go on".to_owned(),
        (false, true) => "idle".to_owned(),
    };
    let mut shown = vec![
        ("state", state),
        ("schedule", cell(&status, "/schedule")),
        ("next run", cell(&status, "/nextRun")),
        ("rate", rate),
        ("damaged now", cell(&status, "/quarantined")),
        ("job", cell(&status, "/jobID")),
        ("stopped by", cell(&status, "/lastError")),
        ("this pass", pass(&status, "/pass")),
        ("last pass", pass(&status, "/lastPass")),
    ];
    shown.retain(|(_, value)| !value.is_empty());
    let shown = shown.into_iter().map(|(field, value)| vec![field.to_owned(), value]).collect();
    session.show(&status, &["FIELD", "VALUE"], shown)
}

/// A pass in words; empty when there is none.
fn pass(status: &Value, at: &str) -> String {
    let part = |name: &str| cell(status, &format!("{at}/{name}"));
    if part("beganAt").is_empty() {
        return String::new();
    }
    let seen = format!(
        "{} blobs and {} manifests, {} of {}, {} damaged",
        part("blobs"),
        part("manifests"),
        bytes(&part("bytes")),
        bytes(&part("totalBytes")),
        part("damaged")
    );
    let unseen = match part("unseen").as_str() {
        "0" | "" => String::new(),
        count => format!(", {count} could not be looked at"),
    };
    match part("endedAt").as_str() {
        "" => format!("{} % since {}: {seen}{unseen}", part("percent"), part("beganAt")),
        ended => format!("{} to {ended}: {seen}{unseen}", part("beganAt")),
    }
}

async fn start(wanted: &RunArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let mut parameters = Map::new();
    if let Some(rate) = &wanted.rate {
        parameters.insert("rate".to_owned(), json!(rate));
    }
    if wanted.restart {
        parameters.insert("restart".to_owned(), json!("true"));
    }
    let started = session.client.post("/api/v0/jobs", &json!({"action": "scrub", "parameters": parameters})).await?;
    if wanted.no_wait {
        return session.say(&started, &format!("started job {}", cell(&started, "/id")));
    }
    let job = follow(&started, session).await?;
    succeeded(&job)?;
    let part = |name: &str| cell(&job, &format!("/parameters/{name}"));
    let shown =
        vec![vec![part("checkedBlobs"), part("checkedManifests"), bytes(&part("checkedBytes")), part("damaged")]];
    session.show(&job, &["BLOBS", "MANIFESTS", "READ", "DAMAGED"], shown)
}

async fn list(wanted: &ListArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let mut path = format!("/api/v0/admin/quarantine?limit={}", wanted.limit);
    if let Some(start) = wanted.start {
        path += &format!("&start={start}");
    }
    let found = session.client.get(&path).await?;
    let row = |entry: &Value| {
        let all = |name: &str| rows(entry, name).iter().map(|one| cell(one, "")).collect::<Vec<_>>().join(", ");
        let images = all("/images");
        let hurt = if images.is_empty() { all("/repositories") } else { images };
        let mut row = ["/digest", "/kind"].map(|part| cell(entry, part)).to_vec();
        row.extend([bytes(&cell(entry, "/size")), cell(entry, "/detail"), cell(entry, "/foundAt"), hurt]);
        row.extend(["/attempts", "/nextTryAt", "/lastError"].map(|part| cell(entry, part)));
        row
    };
    let shown = rows(&found, "/quarantined").iter().map(row).collect();
    let header = ["DIGEST", "KIND", "SIZE", "DAMAGE", "FOUND", "IMAGES", "TRIED", "NEXT TRY", "WHY NOT HEALED"];
    session.show(&found, &header, shown)
}

async fn heal(wanted: &HealArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let started = session.client.post("/api/v0/jobs", &json!({"action": "heal"})).await?;
    if wanted.no_wait {
        return session.say(&started, &format!("started job {}", cell(&started, "/id")));
    }
    let job = follow(&started, session).await?;
    succeeded(&job)?;
    session.say(&job, "nothing is damaged")
}

fn bytes(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_owned(), |count: u64| bytesize::ByteSize(count).to_string())
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use crate::cli::terminal::Exit;
    use serde_json::{Value, json};

    #[tokio::test]
    async fn a_pass_is_started_and_shown() {
        let job = |status: &str| {
            json!({"id": "j1", "status": status, "parameters": {
                "checkedBlobs": "3", "checkedManifests": "2", "checkedBytes": "2048", "damaged": "1",
            }})
        };
        let fake = Fake::new(vec![
            reply("POST /api/v0/jobs", 202, job("waiting")),
            reply("GET /api/v0/jobs/j1", 200, job("done")),
            reply("GET /api/v0/jobs/j1/logs", 200, json!([])),
            reply("POST /api/v0/jobs", 202, job("waiting")),
        ]);
        let out = fake.run(&["scrub", "run", "--rate", "1MiB", "--restart"], "").await.done();
        let row: Vec<&str> = out.lines().nth(1).unwrap_or_default().split_whitespace().collect();
        assert_eq!(row, ["3", "2", "2.0", "KiB", "1"], "{out}");
        let asked = json!({"action": "scrub", "parameters": {"rate": "1MiB", "restart": "true"}});
        assert_eq!(fake.seen()[0].body, asked);
        assert_eq!(fake.run(&["scrub", "run", "--no-wait"], "").await.done(), "started job j1\n");
        assert_eq!(fake.seen()[3].body, json!({"action": "scrub", "parameters": {}}));
    }

    #[tokio::test]
    async fn how_it_stands_is_told_in_words() {
        let status = json!({
            "schedule": "@every 30h", "nextRun": "soon", "rate": 4194304, "quarantined": 1, "jobID": "j1",
            "running": true, "lastError": "", "lastPass": null,
            "pass": {"beganAt": "b", "endedAt": "", "percent": 40, "blobs": 3, "manifests": 2, "bytes": 1024,
                "totalBytes": 2048, "damaged": 1, "unseen": 2, "secondsLeft": 9},
        });
        let fake = Fake::new(vec![
            reply("GET /api/v0/admin/scrub", 200, status.clone()),
            reply("GET /api/v0/admin/scrub", 200, status.clone()),
        ]);
        let out = fake.run(&["scrub", "status"], "").await.done();
        let said = "40 % since b: 3 blobs and 2 manifests, 1.0 KiB of 2.0 KiB, 1 damaged, 2 could not be looked at";
        assert!(out.contains(said) && out.contains("4.0 MiB/s") && out.contains("running"), "{out}");
        assert!(!out.contains("last pass") && !out.contains("stopped by"), "{out}");
        let out = fake.run(&["scrub", "status", "--json"], "").await.done();
        assert_eq!(serde_json::from_str::<Value>(&out).unwrap(), status);
    }

    #[tokio::test]
    async fn what_is_damaged_is_listed_and_healed_or_it_is_told_why_not() {
        let entry = json!({"digest": "sha256:aa", "kind": "blob", "size": 1024, "flaw": "altered",
            "detail": "altered: the bytes hash to sha256:bb", "foundAt": "f", "repositories": ["dev/x"],
            "images": ["dev/x:1", "dev/x:2"], "attempts": 2, "nextTryAt": "n", "lastError": "nobody has it"});
        let waits = json!({"id": "j1", "status": "waiting", "attempts": 1, "lastError": "1 damaged", "nextTryAt": "n"});
        let fake = Fake::new(vec![
            reply("GET /api/v0/admin/quarantine?limit=5&start=10", 200, json!({"quarantined": [entry], "total": 11})),
            reply("POST /api/v0/jobs", 202, json!({"id": "j1", "status": "waiting", "attempts": 0})),
            reply("GET /api/v0/jobs/j1", 200, waits),
            reply("GET /api/v0/jobs/j1/logs", 200, json!([])),
        ]);
        let out = fake.run(&["scrub", "list", "--limit", "5", "--start", "10"], "").await.done();
        assert!(
            out.contains("sha256:aa") && out.contains("dev/x:1, dev/x:2") && out.contains("nobody has it"),
            "{out}"
        );
        let ran = fake.run(&["scrub", "heal"], "").await;
        assert_eq!(ran.exit, Exit::Failure);
        assert!(ran.err.contains("1 damaged"), "{}", ran.err);
        assert_eq!(fake.seen()[1].body, json!({"action": "heal"}));
    }
}
