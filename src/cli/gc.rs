//! `gc run`.

use clap::{Args, Subcommand};
use serde_json::{Map, json};

use super::error::CliError;
use super::job::{follow, succeeded};
use super::run::Session;
use super::terminal::cell;

/// What to do about garbage.
#[derive(Debug, Subcommand)]
pub enum GcCommand {
    /// Remove what nothing needs; reads and pushes go on meanwhile
    Run(RunArgs),
}

/// `gc run`'s flags.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Only say what would go
    #[arg(long)]
    pub dry_run: bool,
    /// Keep blobs that no manifest names this long, such as 36h; what the daemon is configured for without it
    #[arg(long, value_name = "DURATION")]
    pub grace: Option<String>,
    /// Keep manifests that no tag leads to this long, or `keep` them all
    #[arg(long, value_name = "DURATION")]
    pub untagged: Option<String>,
    /// Even when more than a fifth of all bytes would go
    #[arg(long)]
    pub yes: bool,
    /// Start it and do not wait for its end
    #[arg(long)]
    pub no_wait: bool,
}

/// Does what `command` says.
///
/// # Errors
/// [`CliError`].
pub async fn run(command: &GcCommand, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    match command {
        GcCommand::Run(wanted) => start(wanted, session).await,
    }
}

async fn start(wanted: &RunArgs, session: &mut Session<'_, '_>) -> Result<(), CliError> {
    let mut parameters = Map::new();
    for (name, value) in [("grace", &wanted.grace), ("untagged", &wanted.untagged)] {
        if let Some(value) = value {
            parameters.insert(name.to_owned(), json!(value));
        }
    }
    for (name, set) in [("dryRun", wanted.dry_run), ("consent", wanted.yes)] {
        if set {
            parameters.insert(name.to_owned(), json!("true"));
        }
    }
    let mut job = session.client.post("/api/v0/jobs", &json!({"action": "onlinegc", "parameters": parameters})).await?;
    if wanted.no_wait {
        let line = format!("started job {}", cell(&job, "/id"));
        return session.say(&job, &line);
    }
    job = follow(&job, session).await?;
    succeeded(&job)?;
    let which = if wanted.dry_run { "collectable" } else { "collected" };
    let row = ["Manifests", "Blobs", "Bytes"].map(|what| cell(&job, &format!("/parameters/{which}{what}")));
    let stored = cell(&job, "/parameters/storedBytes");
    let shown = vec![vec![row[0].clone(), row[1].clone(), bytes(&row[2]), bytes(&stored)]];
    session.show(&job, &["MANIFESTS", "BLOBS", if wanted.dry_run { "CAN BE FREED" } else { "FREED" }, "OF"], shown)
}

fn bytes(text: &str) -> String {
    text.parse().map_or_else(|_| text.to_owned(), |count: u64| bytesize::ByteSize(count).to_string())
}

#[cfg(test)]
mod tests {
    use crate::cli::fake::{Fake, reply};
    use serde_json::json;

    #[tokio::test]
    async fn what_would_go_is_asked_for_and_shown() {
        let job = |status: &str| {
            json!({"id": "j1", "status": status, "parameters": {
                "collectableManifests": "2", "collectableBlobs": "3", "collectableBytes": "2048",
                "storedBytes": "4096",
            }})
        };
        let fake = Fake::new(vec![
            reply("POST /api/v0/jobs", 202, job("waiting")),
            reply("GET /api/v0/jobs/j1", 200, job("done")),
            reply("GET /api/v0/jobs/j1/logs", 200, json!([])),
        ]);
        let words = ["gc", "run", "--dry-run", "--grace", "0s", "--untagged", "keep"];
        let out = fake.run(&words, "").await.done();
        let row: Vec<&str> = out.lines().nth(1).unwrap_or_default().split_whitespace().collect();
        assert_eq!(row, ["2", "3", "2.0", "KiB", "4.0", "KiB"], "{out}");
        let asked = json!({"action": "onlinegc", "parameters": {"grace": "0s", "untagged": "keep", "dryRun": "true"}});
        assert_eq!(fake.seen()[0].body, asked);
    }
}
