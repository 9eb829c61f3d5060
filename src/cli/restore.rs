//! `restore BACKUP DATA`: a data folder from a backup, with no daemon.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::arguments::Arguments;
use super::backup::bar;
use super::daemon;
use super::error::CliError;
use super::terminal::{Terminal, clean};
use crate::config::Environment;
use crate::store::backup::{Restored, Restoring, SEALING_KEY};

/// `restore`'s words.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// The folder that `backup` wrote
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// The data folder to make: empty or missing
    #[arg(value_name = "DATA")]
    pub data: PathBuf,
    /// It replaces the registry that was backed up: keep its id, and let its mirrors go on
    #[arg(long)]
    pub same_host: bool,
    /// Hard links to the files of the backup in place of copies
    #[arg(long)]
    pub link: bool,
}

/// Restores a backup.
///
/// # Errors
/// [`CliError::Backup`]; the folder is then as it was found.
pub async fn run(
    wanted: &RestoreArgs,
    arguments: &Arguments,
    environment: &Environment,
    terminal: &mut Terminal<'_>,
) -> Result<(), CliError> {
    let how = Restoring {
        backup: environment.absolute(&wanted.backup),
        data: environment.absolute(&wanted.data),
        same_host: wanted.same_host,
        link: wanted.link,
    };
    let data = how.data.clone();
    let bar = bar(terminal.interactive, Some(0), "files");
    let told = bar.clone();
    let progress = move |done, total| {
        told.set_length(total);
        told.set_position(done);
    };
    let restored = daemon::restore(how, progress).await;
    bar.finish_and_clear();
    let restored = restored?;
    for found in &restored.findings {
        writeln!(terminal.stderr, "warning: {}", clean(found))?;
    }
    if arguments.json {
        let mut answer = serde_json::to_value(&restored.description).unwrap_or_default();
        answer["data"] = Value::from(data.display().to_string());
        answer["backedUpInstance"] = Value::from(restored.description.instance.to_string());
        answer["instance"] = Value::from(restored.instance.to_string());
        answer["mirrorsPaused"] = Value::from(restored.paused);
        answer["keys"] = json!(restored.keys);
        answer["findings"] = json!(restored.findings);
        return terminal.json(&answer);
    }
    for line in lines(&restored, &data.display().to_string()) {
        terminal.line(&line)?;
    }
    Ok(())
}

fn lines(restored: &Restored, data: &str) -> Vec<String> {
    let Restored { description, instance, paused, keys, .. } = restored;
    let bytes = bytesize::ByteSize(description.file_bytes);
    let mut lines = vec![format!(
        "restored to {data}: {} files ({bytes}) and {} rows, as of {} (event {})",
        description.files, description.rows, description.taken_at, description.event_sequence
    )];
    if *instance != description.instance {
        let mirrors = match paused {
            0 => "it had no mirrors to pause".to_owned(),
            1 => "1 mirror policy is paused, so that two hosts do not both move images: enable it here or there"
                .to_owned(),
            more => format!(
                "{more} mirror policies are paused, so that two hosts do not both move images: enable them here or there"
            ),
        };
        lines.push(format!(
            "it is a registry of its own, instance {instance}; {mirrors} (--same-host leaves all as it was)"
        ));
    }
    if !keys.iter().any(|key| key == SEALING_KEY) {
        lines.push(format!(
            "the backup has no keys: put {SEALING_KEY} back, or enter the credentials of mirrors anew; clients have to trust a new certificate authority"
        ));
    }
    lines
}
