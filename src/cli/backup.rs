//! `backup DIR`: the daemon reads, this writes.
//!
//! First the database, built from the daemon's rows; then the files that it
//! names and the folder does not hold; then both are looked at together, and
//! the database is put in place. What only the backup before named goes last.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::arguments::Arguments;
use super::backup_source::{Pieces, Source};
use super::client::Client;
use super::daemon;
use super::dial::Target;
use super::error::{CliError, UsageError};
use super::locate::{SOCKET_NAME, answers, locate, named};
use super::terminal::Terminal;
use crate::chance::Id;
use crate::clock::Clock;
use crate::config::Environment;
use crate::lifecycle::blocking;
use crate::limits;
use crate::store::Snapshot;
use crate::store::backup::{BackupError, BackupFolder, Description, Draft, NamedFiles, Pruned};

/// `backup`'s words.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// The folder for the backup: empty, missing, or with an earlier backup, to which what is new is added
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// The data folder; asks the daemon that runs on it, or opens it when none does
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Put the sealing key and the certificate authority into it too: whoever has the backup then has them
    #[arg(long)]
    pub with_keys: bool,
    /// Back up what does not fit together as well
    #[arg(long)]
    pub no_verify: bool,
}

/// What a backup came to.
struct Made {
    description: Description,
    copied: Sum,
    pruned: Pruned,
}

/// Files and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    files: u64,
    bytes: u64,
}

/// Makes a backup.
///
/// # Errors
/// [`CliError`]; the folder then holds the backup that it held before, if any.
pub async fn run(
    wanted: &BackupArgs,
    arguments: &Arguments,
    environment: &Environment,
    terminal: &mut Terminal<'_>,
) -> Result<(), CliError> {
    let clock = Clock::system();
    let begun = clock.monotonic();
    let source = source(wanted, arguments, environment).await?;
    let path = environment.absolute(&wanted.folder);
    let folder = blocking(move || BackupFolder::open(&path)).await.map_err(CliError::Backup)?;
    let lease = Arc::new(OnceLock::new());
    let made = make(wanted, &source, &folder, &lease, terminal.interactive).await;
    if let Some(lease) = lease.get() {
        source.end(lease).await;
    }
    if let Source::Folder { store, .. } = &source {
        let store = store.clone();
        blocking(move || store.close()).await;
    }
    tell(&made?, folder.path(), clock.monotonic().duration_since(begun), arguments.json, terminal)
}

async fn source(wanted: &BackupArgs, arguments: &Arguments, environment: &Environment) -> Result<Source, CliError> {
    let Some(data) = &wanted.data else { return Ok(Source::Daemon(locate(arguments, environment).await?)) };
    named(arguments, environment)?;
    if arguments.socket.is_some() || arguments.url.is_some() {
        return Err(CliError::Usage(UsageError::FolderAndDaemon));
    }
    let data = environment.absolute(data);
    let socket = data.join(SOCKET_NAME);
    Ok(match answers(&socket).await {
        Ok(()) => Source::Daemon(Client::new(Target::Socket(socket))),
        Err(_) => Source::Folder { store: daemon::open_store(&data).await?, data },
    })
}

async fn make(
    wanted: &BackupArgs,
    source: &Source,
    folder: &BackupFolder,
    lease: &Arc<OnceLock<Id>>,
    interactive: bool,
) -> Result<Made, CliError> {
    let draft = build(source, folder, lease, interactive).await?;
    let mut description = draft.description().clone();
    let keys = if wanted.with_keys { source.keys(&draft.lease()).await? } else { Vec::new() };
    let read = draft.snapshot().map_err(CliError::Backup)?;
    let (read, copied) = fetch(source, &draft.lease(), read, folder, interactive).await?;
    let (place, verifies) = (folder.clone(), !wanted.no_verify);
    let finished = blocking(move || {
        if verifies {
            place.verify(&read)?;
        }
        let stale = place.stale(&read)?;
        drop(read);
        let bytes = place.install(draft)?;
        Ok((bytes, place.prune(&stale)?))
    });
    let (bytes, pruned) = finished.await.map_err(CliError::Backup)?;
    for (name, text) in keys {
        folder.write_key(&name, &text).map_err(CliError::Backup)?;
    }
    (description.database_bytes, description.keys) = (Some(bytes), folder.keys());
    folder.describe(&description).map_err(CliError::Backup)?;
    Ok(Made { description, copied, pruned })
}

/// Builds the database while its rows arrive.
async fn build(
    source: &Source,
    folder: &BackupFolder,
    lease: &Arc<OnceLock<Id>>,
    interactive: bool,
) -> Result<Draft, CliError> {
    let bar = bar(interactive, None, "rows");
    let (to, from) = mpsc::channel(limits::BACKUP_FETCHES);
    let (place, lease, told) = (folder.clone(), Arc::clone(lease), bar.clone());
    let built = blocking(move || {
        let pieces = told.wrap_read(Pieces::new(from));
        Draft::build(&place.draft_path(), pieces, |head| {
            // It is told once.
            let _ = lease.set(head.lease);
            place.take_for(head.instance)
        })
    });
    let (sent, built) = futures_util::future::join(source.send_rows(folder, to), built).await;
    bar.finish_and_clear();
    // What was not sent is why it could not be built.
    sent?;
    built.map_err(CliError::Backup)
}

/// Brings the files that are not there yet.
async fn fetch(
    source: &Source,
    lease: &Id,
    read: Snapshot,
    folder: &BackupFolder,
    interactive: bool,
) -> Result<(Snapshot, Sum), CliError> {
    let (mut read, missing) = missing(read, folder).await?;
    let bar = bar(interactive, Some(missing.bytes), "files");
    let mut walk = NamedFiles::new();
    loop {
        let place = folder.clone();
        let slice;
        (read, walk, slice) = blocking(move || {
            let found = walk.next(&read);
            let slice = found.map(|found| {
                let is_end = found.is_empty();
                (is_end, found.into_iter().filter(|named| !place.has(named)).collect::<Vec<_>>())
            });
            (read, walk, slice)
        })
        .await;
        let (is_end, slice) = slice.map_err(|error| CliError::Backup(of_draft(folder, error)))?;
        if is_end {
            break;
        }
        let fetched = stream::iter(slice).map(|named| source.fetch(lease, named, folder, |bytes| bar.inc(bytes)));
        fetched.buffer_unordered(limits::BACKUP_FETCHES).try_collect::<()>().await?;
    }
    bar.finish_and_clear();
    Ok((read, missing))
}

/// How much is not there yet.
async fn missing(read: Snapshot, folder: &BackupFolder) -> Result<(Snapshot, Sum), CliError> {
    let place = folder.clone();
    let counted = blocking(move || {
        let (mut walk, mut sum) = (NamedFiles::new(), Sum::default());
        loop {
            let slice = walk.next(&read).map_err(|error| of_draft(&place, error))?;
            if slice.is_empty() {
                return Ok((read, sum));
            }
            for named in slice.iter().filter(|named| !place.has(named)) {
                sum.files += 1;
                sum.bytes += named.size;
            }
        }
    });
    counted.await.map_err(CliError::Backup)
}

fn of_draft(folder: &BackupFolder, source: crate::store::StoreError) -> BackupError {
    BackupError::Database { path: folder.draft_path(), source }
}

/// How far it is, for a person who watches.
pub(super) fn bar(interactive: bool, total: Option<u64>, what: &'static str) -> ProgressBar {
    if !interactive {
        return ProgressBar::hidden();
    }
    let template = match total {
        Some(_) => "{spinner} {prefix}: {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left",
        None => "{spinner} {prefix}: {bytes}, {bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new).with_style(style).with_prefix(what);
    bar.enable_steady_tick(limits::JOB_POLL);
    bar
}

fn tell(
    made: &Made,
    folder: &Path,
    took: Duration,
    is_json: bool,
    terminal: &mut Terminal<'_>,
) -> Result<(), CliError> {
    let Made { description, copied, pruned } = made;
    if is_json {
        let mut answer = serde_json::to_value(description).unwrap_or_default();
        answer["folder"] = Value::from(folder.display().to_string());
        answer["copied"] = json!({"files": copied.files, "bytes": copied.bytes});
        answer["removed"] = json!({"files": pruned.files, "bytes": pruned.bytes});
        answer["milliseconds"] = Value::from(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        answer["keys"] = json!(description.keys);
        return terminal.json(&answer);
    }
    let size = |bytes: u64| bytesize::ByteSize(bytes).to_string();
    terminal.line(&format!(
        "backed up to {}: {} files ({}) and {} rows as of event {}; copied {} files ({}), removed {}, in {:.1} s",
        folder.display(),
        description.files,
        size(description.file_bytes),
        description.rows,
        description.event_sequence,
        copied.files,
        size(copied.bytes),
        pruned.files,
        took.as_secs_f64(),
    ))?;
    if description.quarantined > 0 {
        terminal.line(&format!(
            "{} blobs or manifests are damaged and not in it; `tidegate scrub list` says which",
            description.quarantined
        ))?;
    }
    terminal.line(match description.keys.is_empty() {
        true => {
            "the sealing key and the certificate authority's key are not in it: keep copies elsewhere, or add --with-keys"
        }
        false => "the sealing key and the certificate authority's key are in it, under keys/: guard it as you guard them",
    })
}
