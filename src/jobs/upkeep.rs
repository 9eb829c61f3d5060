//! What keeps the store in order by itself: files whose name is gone, files
//! that a crash left without one, uploads that nobody goes on with, rows of
//! what was deleted, histories beyond their bounds. In slices, in the
//! background lane.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::Instant;

use super::{audit, history};
use crate::audit::Audit;
use crate::chance::Id;
use crate::lifecycle::{self, Scope};
use crate::limits;
use crate::registry::repository::Purge;
use crate::registry::{Registry, RegistryError};
use crate::store::audit::Keep;
use crate::store::file::BlobFile;
use crate::store::{Change, Lane, Operation, Read as _, Store, StoreError, blob, event, queue};

use super::orphans;

/// How often it looks around.
const EVERY: Duration = Duration::from_secs(5);

/// Forgets files that are gone from the disk.
struct Unlinked(Vec<BlobFile>);

impl Operation for Unlinked {
    type Plan = ();
    type Done = ();
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "files unlinked";
    const AUDIT: Audit = Audit::Nothing("what had the file's name removed was told, or collection's start was");
    const ADDS: bool = false;

    fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
        Ok(Ok(()))
    }

    fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
        for file in &self.0 {
            blob::unlinked(tables, file)?;
        }
        Ok(())
    }
}

/// Removes finished jobs and handled events beyond what is kept.
struct Prune;

impl Operation for Prune {
    type Plan = (u64, Vec<Id>);
    type Done = usize;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "prune histories";
    const AUDIT: Audit = Audit::Nothing("what goes by age goes as it was set");
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        let last = event::last(tables)?;
        let keep_from = event::cursor(tables)?.min(last.saturating_sub(limits::EVENTS_KEPT));
        // The slice is small and the list is long: the newest that are kept
        // are counted only when there is a chance that some are too many.
        let mut jobs = Vec::new();
        let mut seen = 0_usize;
        queue::newest(tables, |_, id| {
            seen += 1;
            if seen > limits::JOBS_KEPT {
                jobs.push(id);
            }
            if jobs.len() < limits::BACKGROUND_ROWS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(Ok((keep_from, jobs)))
    }

    fn apply(&self, (keep_from, jobs): Self::Plan, tables: &mut Change<'_>) -> Result<usize, StoreError> {
        let mut removed = event::prune(tables, keep_from, limits::BACKGROUND_ROWS)?;
        for id in jobs {
            if queue::get(tables, &id)?.is_some_and(|job| job.status.is_over()) {
                queue::remove(tables, &id)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

/// How often, and how patiently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How often it looks around.
    pub every: Duration,
    /// How long a file without a name is kept for those who still read it.
    pub unlink_grace: Duration,
    /// How often it looks for files that nothing names, and for histories that
    /// are older than what is kept.
    pub orphans_every: Duration,
    /// How long what a tag was is remembered; `None`: for ever.
    pub history: Option<Duration>,
    /// How much of the audit log is kept.
    pub audit: Keep,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            every: EVERY,
            unlink_grace: limits::UNLINK_GRACE,
            orphans_every: limits::ORPHANS_EVERY,
            history: Some(limits::TAG_HISTORY_KEPT),
            audit: Keep::default(),
        }
    }
}

/// Runs until the scope is told to stop.
pub async fn run(registry: Registry, scope: Scope, options: Options) {
    let mut waiting: HashMap<BlobFile, Instant> = HashMap::new();
    let mut swept: Option<Instant> = None;
    while scope.until_stopped(tokio::time::sleep(options.every)).await.is_some() {
        let round = scope.until_stopped(round(&registry, &mut waiting, options)).await;
        if let Some(Err(error)) = round {
            tracing::warn!(error = %error, "upkeep failed; it is tried again");
        }
        let now = registry.store().clock().monotonic();
        if swept.is_none_or(|last| now.duration_since(last) >= options.orphans_every) {
            swept = Some(now);
            if let Some(Err(error)) = scope.until_stopped(orphans::remove(&registry, false)).await {
                tracing::warn!(error = %error, "looking for files that nothing names failed");
            }
            let Some(kept) = options.history else { continue };
            match scope.until_stopped(history::forget(&registry, kept)).await {
                Some(Ok(0)) | None => {}
                Some(Ok(rows)) => tracing::info!(rows, "what tags were long ago was forgotten"),
                Some(Err(error)) => tracing::warn!(error = %error, "histories of tags could not be shortened"),
            }
        }
    }
}

/// Does once all that it does again and again.
pub async fn once(registry: &Registry, options: Options) -> Result<(), RegistryError> {
    let mut waiting = HashMap::new();
    round(registry, &mut waiting, options).await?;
    orphans::remove(registry, false).await?;
    if let Some(kept) = options.history {
        history::forget(registry, kept).await?;
    }
    Ok(())
}

async fn round(
    registry: &Registry,
    waiting: &mut HashMap<BlobFile, Instant>,
    options: Options,
) -> Result<(), RegistryError> {
    unlink(registry, waiting, options.unlink_grace).await?;
    let idle = registry.expire_uploads().await?;
    if idle > 0 {
        tracing::info!(sessions = idle, "upload sessions that saw no byte for a day were dropped");
    }
    let store = registry.store();
    let marked = store.clone();
    if let Err(error) = lifecycle::blocking(move || marked.mark_age()).await {
        // It is as old as it was; what gives room back must not wait for it.
        tracing::debug!(error = %error, "the age of the database could not be written down beside the blobs");
    }
    purge(store).await?;
    let is_long = {
        let read = store.snapshot()?;
        let mut jobs = 0;
        queue::newest(&read, |_, _| {
            jobs += 1;
            if jobs > limits::JOBS_KEPT { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let oldest = event::after(&read, 0, 1)?.first().map_or(u64::MAX, |event| event.seq);
        jobs > limits::JOBS_KEPT || oldest.saturating_add(limits::EVENTS_KEPT) < event::cursor(&read)?
    };
    if is_long {
        store.submit(Lane::Background, Prune).await?.unwrap_or_else(|never| match never {});
    }
    let rows = audit::shorten(store, options.audit).await?;
    if rows > 0 {
        tracing::info!(rows, "the oldest rows of the audit log were removed");
    }
    Ok(())
}

/// Removes the rows of repositories and policies that are gone.
pub(super) async fn purge(store: &Store) -> Result<(), StoreError> {
    let has_purges = !store.snapshot()?.keys(crate::store::Table::Purges, &crate::store::Span::all(), 1)?.is_empty();
    if has_purges {
        while store.submit(Lane::Background, Purge).await?.unwrap_or_else(|never| match never {}) {}
    }
    Ok(())
}

/// Removes files whose name is gone, once their grace is over. Grace is
/// counted on the monotonic clock, from when this process first saw the row.
/// While a backup is made they stay: its snapshot may name them.
async fn unlink(
    registry: &Registry,
    waiting: &mut HashMap<BlobFile, Instant>,
    grace: Duration,
) -> Result<(), RegistryError> {
    let store = registry.store();
    if store.is_backed_up() {
        return Ok(());
    }
    let now = store.clock().monotonic();
    let files = blob::files_to_unlink(&store.snapshot()?, limits::BACKGROUND_ROWS)?;
    // One that is named again, or was removed by somebody else, is not waited
    // for: what is kept here is bounded by what is listed.
    let listed: HashSet<&BlobFile> = files.iter().collect();
    waiting.retain(|file, _| listed.contains(file));
    let mut ripe = Vec::new();
    for file in files {
        let since = *waiting.entry(file).or_insert(now);
        if now.duration_since(since) >= grace {
            ripe.push(file);
        }
    }
    if ripe.is_empty() {
        return Ok(());
    }
    let disk = store.files().clone();
    let gone = lifecycle::blocking(move || {
        let mut gone = Vec::new();
        for file in ripe {
            match disk.unlink(&file) {
                Ok(_) => gone.push(file),
                Err(error) => tracing::warn!(error = %error, "a file without a name could not be removed"),
            }
        }
        gone
    })
    .await;
    for file in &gone {
        waiting.remove(file);
    }
    store.submit(Lane::Background, Unlinked(gone)).await?.unwrap_or_else(|never| match never {});
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::clock::Clock;
    use crate::oci::Digest;
    use crate::store::Store;
    use crate::store::file::UploadId;

    /// Says that a file has no name any more.
    struct Drop(BlobFile);

    impl Operation for Drop {
        type Plan = ();
        type Done = ();
        type Refusal = std::convert::Infallible;
        const NAME: &'static str = "drop a file";
        const AUDIT: Audit = Audit::Nothing("a test's");

        fn check(&self, _tables: &Change<'_>) -> Result<Result<(), Self::Refusal>, StoreError> {
            Ok(Ok(()))
        }

        fn apply(&self, (): (), tables: &mut Change<'_>) -> Result<(), StoreError> {
            blob::drop_file(tables, &self.0.digest, self.0.upload)
        }
    }

    /// Collection once could have removed a file between the rows of a backup
    /// and its turn to be fetched: a backup that restores to dangling blobs.
    #[tokio::test(start_paused = true)]
    async fn a_file_without_a_name_stays_while_a_backup_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Clock::system(), Chance::seeded(1)).unwrap();
        let registry = Registry::new(store.clone()).unwrap();
        let (digest, bytes) = (Digest::sha256_of(b"kept"), b"kept");
        let sealed = store.files().write_small(&digest, bytes, UploadId::from_bytes([1; 16])).unwrap();
        let is_there = || store.files().open_blob(&sealed.file, 4).unwrap().is_some();
        store.submit(Lane::Background, Drop(sealed.file)).await.unwrap().unwrap();

        let backup = store.begin_backup("").unwrap();
        let mut waiting = HashMap::new();
        unlink(&registry, &mut waiting, Duration::ZERO).await.unwrap();
        assert!(is_there());
        // Whoever made it is gone: it is not waited for for ever.
        tokio::time::advance(limits::BACKUP_IDLE).await;
        assert!(!store.renew_backup(&backup));
        unlink(&registry, &mut waiting, Duration::ZERO).await.unwrap();
        assert!(!is_there());
        assert!(blob::files_to_unlink(&store.snapshot().unwrap(), 9).unwrap().is_empty());
    }
}
