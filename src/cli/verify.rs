//! `verify`: 0 clean, 1 could not check, 2 findings.
//!
//! A daemon that runs holds its folder for itself, so it is asked; a folder
//! that no daemon runs on is opened.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::arguments::Arguments;
use super::client::Client;
use super::daemon;
use super::dial::Target;
use super::error::{CliError, UsageError};
use super::job::spinner;
use super::locate::{DATA_DIR, SOCKET_NAME, answers, locate, named};
use super::run::Session;
use super::terminal::{Exit, Terminal, cell, rows};
use crate::config::Environment;
use crate::limits;
use crate::store::verify::Report;

/// `verify`'s flags.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// The data folder; asks the daemon that runs on it, or opens it when none does
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
}

/// What was found, in the API's form.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Whether nothing was found.
    pub clean: bool,
    /// What was found.
    pub findings: Vec<Finding>,
    /// How many of each kind of thing were looked at.
    pub checked: BTreeMap<String, u64>,
}

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What kind of damage.
    pub kind: String,
    /// Where, in words.
    pub detail: String,
}

impl From<Report> for VerifyReport {
    fn from(report: Report) -> Self {
        let clean = report.is_clean();
        let finding =
            |finding: crate::store::verify::Finding| Finding { kind: finding.kind.to_owned(), detail: finding.detail };
        let checked = report.checked.iter().map(|(what, count)| ((*what).to_owned(), *count)).collect();
        Self { clean, findings: report.findings.into_iter().map(finding).collect(), checked }
    }
}

/// Asks the daemon, or opens the folder.
///
/// # Errors
/// [`CliError`]: it could not be checked.
pub async fn run(
    wanted: &VerifyArgs,
    arguments: &Arguments,
    environment: &Environment,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, CliError> {
    let report = match place(wanted, arguments, environment).await? {
        Place::Folder(folder) => serde_json::to_value(daemon::verify_folder(&folder).await?).unwrap_or_default(),
        Place::Daemon(client) => {
            let session = Session { client, json: arguments.json, environment, terminal };
            let progress = spinner(&session, "verifying");
            progress.enable_steady_tick(limits::JOB_POLL);
            let report = session.client.post_patiently("/api/v0/admin/verify", limits::VERIFY_ANSWER).await;
            progress.finish_and_clear();
            report?
        }
    };
    if arguments.json {
        terminal.json(&report)?;
    } else {
        tell(&report, terminal)?;
    }
    // An answer that does not say it is clean is not.
    let clean = report.pointer("/clean").and_then(Value::as_bool) == Some(true);
    Ok(if clean && rows(&report, "/findings").is_empty() { Exit::Success } else { Exit::Findings })
}

enum Place {
    Daemon(Client),
    Folder(PathBuf),
}

async fn place(wanted: &VerifyArgs, arguments: &Arguments, environment: &Environment) -> Result<Place, CliError> {
    let flagged = arguments.socket.is_some() || arguments.url.is_some();
    let named = named(arguments, environment)?;
    if let Some(folder) = &wanted.data {
        if flagged {
            return Err(CliError::Usage(UsageError::FolderAndDaemon));
        }
        let folder = environment.absolute(folder);
        let socket = folder.join(SOCKET_NAME);
        return Ok(match answers(&socket).await {
            Ok(()) => Place::Daemon(Client::new(Target::Socket(socket))),
            Err(_) => Place::Folder(folder),
        });
    }
    match locate(arguments, environment).await {
        Err(CliError::NoDaemon(looked)) if !named => {
            let folder = environment.current_dir.join(DATA_DIR);
            if folder.is_dir() { Ok(Place::Folder(folder)) } else { Err(CliError::NoDaemon(looked)) }
        }
        found => found.map(Place::Daemon),
    }
}

fn tell(report: &Value, terminal: &mut Terminal<'_>) -> Result<(), CliError> {
    let findings = rows(report, "/findings");
    let counts = report.pointer("/checked").and_then(Value::as_object);
    let counts = counts.into_iter().flatten().map(|(what, count)| format!("{} {what}", cell(count, "")));
    let checked = counts.collect::<Vec<_>>().join(", ");
    if !findings.is_empty() {
        let row = |finding: &Value| vec![cell(finding, "/kind"), cell(finding, "/detail")];
        terminal.table(&["FINDING", "DETAIL"], findings.iter().map(row).collect())?;
    }
    let verdict = match findings.len() {
        0 => "clean".to_owned(),
        1 => "1 finding".to_owned(),
        several => format!("{several} findings"),
    };
    terminal.line(&if checked.is_empty() { verdict } else { format!("{verdict}; checked {checked}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::fake::{Fake, reply};
    use serde_json::json;

    #[tokio::test]
    async fn the_exit_code_tells_clean_findings_and_unchecked_apart() {
        let path = "POST /api/v0/admin/verify";
        let clean = json!({"clean": true, "findings": [], "checked": {"blobs": 3, "tags": 2}});
        let dirty =
            json!({"clean": false, "findings": [{"kind": "blob_missing", "detail": "sha256:aa"}], "checked": {}});
        let failed = json!({"errors": [{"code": "INTERNAL_ERROR", "message": "the database is busy"}]});
        let fake = Fake::new(vec![
            reply(path, 200, clean),
            reply(path, 200, dirty),
            reply(path, 500, failed),
            reply(path, 200, json!({})),
        ]);
        let ran = fake.run(&["verify"], "").await;
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Success, "clean; checked 3 blobs, 2 tags\n"));
        let ran = fake.run(&["verify"], "").await;
        let said = "FINDING       DETAIL\nblob_missing  sha256:aa\n1 finding\n";
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Findings, said));
        assert_eq!(fake.run(&["verify"], "").await.exit, Exit::Failure);
        assert_eq!(fake.run(&["verify"], "").await.exit, Exit::Findings, "silence is not clean");
    }

    #[tokio::test]
    async fn a_folder_is_asked_for_where_a_daemon_runs_on_it() {
        let clean = json!({"clean": true, "findings": [], "checked": {}});
        let fake = Fake::new(vec![reply("POST /api/v0/admin/verify", 200, clean)]);
        let folder = fake.environment().current_dir.join("d");
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(fake.socket(), folder.join(SOCKET_NAME)).unwrap();
        assert_eq!(fake.run(&["verify", "--data", "d"], "").await.exit, Exit::Success);
        let both = ["verify", "--data", "d", "--url", "https://x"];
        assert_eq!(fake.run(&both, "").await.exit, Exit::Usage);
    }

    #[tokio::test]
    async fn without_daemon_and_folder_it_could_not_be_checked() {
        let fake = Fake::new(Vec::new());
        let mut environment = fake.environment();
        environment.socket = None;
        let ran = fake.run_in(&environment, &["verify"], "").await;
        assert_eq!(ran.exit, Exit::Failure);
        assert!(ran.err.contains("no daemon found"), "{}", ran.err);
    }

    #[test]
    fn the_report_has_the_apis_form() {
        let report = VerifyReport {
            clean: false,
            findings: vec![Finding { kind: "k".into(), detail: "d".into() }],
            checked: BTreeMap::from([("blobs".into(), 1)]),
        };
        let form = json!({"clean": false, "findings": [{"kind": "k", "detail": "d"}], "checked": {"blobs": 1}});
        assert_eq!(serde_json::to_value(&report).unwrap(), form);
    }
}
