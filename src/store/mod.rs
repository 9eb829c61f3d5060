//! All durable state: one database for names and links, files beside it.
//!
//! Nothing outside this folder touches redb or a blob file. Whoever reads asks
//! a [`Snapshot`] (the state as of one commit); whoever writes hands an
//! [`Operation`] to the [`Writer`] and waits for its commit. The files of one
//! subject each (`account`, `repo`, `tag`, …) hold the lookups and the writes
//! that keep a table and its back indexes in step; what may be written, and
//! what it means, is decided above, in `registry` and `reactor`.
//!
//! Write order, always: bytes into a file, synced, renamed, folder synced;
//! then one commit for links, tag and event; then the answer. Removal goes the
//! other way: commit first, unlink after the grace period. A crash leaves
//! orphans, never dangling names.

/// The store's own time.
mod age;
/// The database's file, watched.
mod backend;
/// All of it, elsewhere.
pub mod backup;
/// Operations that are about to be handed in.
mod coming;
/// The thread that commits them in groups.
mod commit;
/// Named places where a test lets the process die.
pub mod crash;
/// What can go wrong.
pub mod error;
/// Blob files and upload sessions.
pub mod file;
/// The open database, and opening it again.
mod gate;
/// What nothing needs any more.
pub mod gc;
/// Calls into redb, none of which ends a thread.
mod guard;
/// The database file while it is being opened.
mod held;
/// What a manifest names and is not there.
pub mod hole;
/// Keys and stretches of keys.
pub mod key;
/// What the folder lies on.
pub mod medium;
/// Opening and creating a data folder.
mod open;
/// Snapshots and lookups.
pub mod read;
/// Stored shapes and their ancestors.
pub mod record;
/// Every table on one page.
pub mod tables;
/// Operations, and the transaction they write to.
pub mod write;
/// The inbox they wait in.
pub mod writer;

/// Users and organizations.
pub mod account;
/// Who did what.
pub mod audit;
/// Blobs and where they are readable.
pub mod blob;
/// Names in client certificates.
pub mod certified;
/// The event log.
pub mod event;
/// What teams may do.
pub mod grant;
/// Manifests, their links and where they are readable.
pub mod manifest;
/// Members of organizations.
pub mod organization;
/// Policies, their status, verdicts.
pub mod policy;
/// What is damaged here.
pub mod quarantine;
/// Jobs and their logs.
pub mod queue;
/// Referrers.
pub mod referrer;
/// Repositories.
pub mod repo;
/// Robots.
pub mod robot;
/// What a pass over everything has to look at.
pub mod scrub;
/// What an operator sets.
pub mod settings;
/// Tags, their history and back index.
pub mod tag;
/// Teams of organizations.
pub mod team;
/// Access tokens.
pub mod token;
/// Transfers.
pub mod transfer;
/// How much is held, and how much may be.
pub mod usage;
/// Proof that all of it fits together.
pub mod verify;

#[cfg(test)]
mod damage_test;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use coming::Announced;
pub use error::{OpenError, StoreError, error_chain};
pub use key::{Key, Parts, RepoId, Span};
pub use open::{DATABASE, damaged_page};
pub use read::{Order, Read, Snapshot};
pub use record::Stored;
pub use tables::Table;
pub use write::{Change, Lane, Operation};
pub use writer::Writer;

use crate::audit::Origin;
use crate::chance::{Chance, Id};
use crate::clock::{Clock, Timestamp};
use file::{Files, Keep};
use medium::Medium;

/// The store, open. Clones share it. What is written through one is written on
/// behalf of somebody: the daemon, or the request that [`Store::on_behalf_of`]
/// made it for.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>, Arc<Origin>);

struct Inner {
    database: Arc<gate::Pages>,
    writer: Writer,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    files: Files,
    pulls: repo::Pulls,
    token_uses: token::Uses,
    leases: backup::Leases,
    instance: Id,
    /// What stands beside the blobs.
    marker: Mutex<Option<open::Marker>>,
    root: PathBuf,
    clock: Clock,
    chance: Chance,
    age: age::Age,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inner({})", self.instance)
    }
}

impl Store {
    /// Opens the data folder `root`, making it when it is empty.
    pub fn open(root: &Path, clock: Clock, chance: Chance) -> Result<Self, OpenError> {
        Self::open_keeping(root, Keep::Usual, clock, chance)
    }

    /// The same, with a high-water mark of the caller's.
    pub fn open_keeping(root: &Path, keep: Keep, clock: Clock, chance: Chance) -> Result<Self, OpenError> {
        Self::open_on_medium(Medium::default(), root, keep, clock, chance)
    }

    /// The same, on a medium of the caller's: for tests of what a power cut or a
    /// broken disk leaves.
    pub fn open_on_medium(
        medium: Medium,
        root: &Path,
        keep: Keep,
        clock: Clock,
        chance: Chance,
    ) -> Result<Self, OpenError> {
        let opened = open::open(&medium, root, clock.now(), &chance)?;
        Self::assemble(opened, medium, root, keep, clock, chance)
    }

    /// Opens the data folder `root` to look at it. Nothing in it changes, and
    /// nothing that is submitted reaches it.
    pub fn look(root: &Path, clock: Clock, chance: Chance) -> Result<Self, OpenError> {
        let opened = open::look(root)?;
        Self::assemble_on(opened, root, Files::looking_at(root), clock, chance)
    }

    fn assemble(
        opened: open::Opened,
        medium: Medium,
        root: &Path,
        keep: Keep,
        clock: Clock,
        chance: Chance,
    ) -> Result<Self, OpenError> {
        Self::assemble_on(opened, root, Files::open_on(medium, root, keep)?, clock, chance)
    }

    fn assemble_on(
        opened: open::Opened,
        root: &Path,
        files: Files,
        clock: Clock,
        chance: Chance,
    ) -> Result<Self, OpenError> {
        let age = age::Age::of(&Snapshot::new(opened.database.begin_read()?), &clock)?;
        let now = (clock.clone(), age.clone());
        let (writer, thread) = Writer::start(Arc::clone(&opened.database), files.disk().clone(), now)
            .map_err(|source| OpenError::Folder { path: root.to_owned(), source })?;
        let inner = Inner {
            age,
            database: opened.database,
            writer,
            thread: Mutex::new(Some(thread)),
            files,
            pulls: repo::Pulls::default(),
            token_uses: token::Uses::default(),
            leases: backup::Leases::default(),
            instance: opened.instance,
            marker: Mutex::new(opened.marker),
            root: root.to_owned(),
            clock,
            chance,
        };
        Ok(Self(Arc::new(inner), Arc::new(Origin::Daemon)))
    }

    /// The state as of the last commit.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot::new(self.0.database.begin_read()?))
    }

    /// Hands an operation to the writer; the answer comes after its commit.
    pub async fn submit<O: Operation>(
        &self,
        lane: Lane,
        operation: O,
    ) -> Result<Result<O::Done, O::Refusal>, StoreError> {
        self.0.writer.submit(lane, Arc::clone(&self.1), operation).await
    }

    /// The same store for what somebody else does: their acts say so.
    #[must_use]
    pub fn on_behalf_of(&self, origin: Arc<Origin>) -> Self {
        Self(Arc::clone(&self.0), origin)
    }

    /// On whose behalf is written through this.
    pub fn origin(&self) -> &Arc<Origin> {
        &self.1
    }

    /// The same in the foreground for one that was announced.
    pub async fn submit_announced<O: Operation>(
        &self,
        operation: O,
        announced: Option<Announced>,
    ) -> Result<Result<O::Done, O::Refusal>, StoreError> {
        self.0.writer.submit_announced(Lane::Foreground, Arc::clone(&self.1), operation, announced).await
    }

    /// Hands in an operation that nobody waits for ([`Writer::ride`]).
    pub fn ride<O: Operation>(&self, operation: O) {
        self.0.writer.ride(Arc::clone(&self.1), operation);
    }

    /// The writer, for those who watch its commits.
    pub fn writer(&self) -> &Writer {
        &self.0.writer
    }

    /// Blob files and upload sessions.
    pub fn files(&self) -> &Files {
        &self.0.files
    }

    /// Pulls that are not written down yet.
    pub fn pulls(&self) -> &repo::Pulls {
        &self.0.pulls
    }

    /// Uses of access tokens that are not written down yet.
    pub fn token_uses(&self) -> &token::Uses {
        &self.0.token_uses
    }

    /// What backups hold on to.
    fn leases(&self) -> &backup::Leases {
        &self.0.leases
    }

    /// The id of this data folder, made when it was.
    pub fn instance(&self) -> Id {
        self.0.instance
    }

    /// Writes down beside the blobs how new the database is, so that an older
    /// copy of it is not taken for theirs. Blocks.
    pub fn mark_age(&self) -> Result<(), StoreError> {
        let event = event::last(&self.snapshot()?)?;
        let mut marker = self.0.marker.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(newer) = marker.filter(|marker| marker.event < event).map(|marker| open::Marker { event, ..marker })
        else {
            return Ok(());
        };
        let folder = self.0.root.join(open::MARKER);
        open::write_marker(self.0.files.medium(), &self.0.root, newer)
            .map_err(file::FileError::on("write", &folder))?;
        *marker = Some(newer);
        Ok(())
    }

    /// The clock that commits are stamped with.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Now, on the time line of commits: never before the last of them, so that
    /// what was made due then is due, even when the clock was set back since.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now().max(self.0.writer.last())
    }

    /// Now, on the store's own time line: what has to be of some age is measured
    /// on it, whatever is done to the wall clock, before a restart or after it.
    pub fn steady(&self) -> Timestamp {
        self.0.age.now()
    }

    /// The source of ids.
    pub fn chance(&self) -> &Chance {
        &self.0.chance
    }

    /// Commits what is in the inbox, leaves the file so that it opens at once,
    /// and ends the writer. Blocks; call it off the async threads.
    pub fn close(&self) {
        self.0.writer.close();
        let thread = self.0.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the writer's own was logged when it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.writer.close();
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}
