//! Bytes on their way in, counted against quotas before they are linked.
//!
//! An upload whose length is known sets its bytes aside before a byte is asked
//! for, one whose length is not as it grows, so that sixty-four at once are
//! not all taken in to be refused at their end. This lives in memory and is an
//! early answer; what decides is the transaction that links (`super::quota`).
//!
//! What is set aside is given back with its upload: when that is linked, was
//! refused, cancelled or is forgotten. An upload that no request works on holds
//! it a moment longer ([`limits::RESERVED_IDLE`]) and then only until somebody
//! else needs it: a client that lost its connection begins anew, and must not
//! find the room taken by what it left. Who needs it takes it: such an upload is
//! over then, its bytes too, or what nobody goes on with would fill the disk
//! past any quota.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::clock::Clock;
use crate::limits;
use crate::oci::{Digest, RepoName};
use crate::store::file::UploadId;
use crate::store::record::Holder;
use crate::store::usage::{self, Scope};
use crate::store::{Read, RepoId, Store, StoreError, blob, quarantine, repo};

use super::quota::{self, Cost};
use super::{Registry, RegistryError};

/// What is on its way in.
#[derive(Debug)]
pub(super) struct Quotas {
    /// Whether anything is bounded: where nothing is, nothing is looked up.
    /// Never goes back before the next start.
    any: AtomicBool,
    reserved: Reserved,
}

type Reserved = Arc<Mutex<HashMap<UploadId, Hold>>>;

/// What one upload has set aside.
#[derive(Debug)]
struct Hold {
    repository: RepoName,
    /// What it will be, once that is known.
    digest: Option<Digest>,
    bytes: u64,
    work: Work,
}

/// How many requests work on an upload, and when the last of them ended.
type Work = Arc<Mutex<(usize, Instant)>>;

/// An upload's right to set bytes aside; they are given back when the last
/// clone is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    reserved: Reserved,
    id: UploadId,
    repository: RepoName,
    work: Work,
    clock: Clock,
}

/// A request that works on an upload, while it is held.
#[derive(Debug)]
pub(super) struct Busy(Arc<Reservation>);

impl Quotas {
    pub(super) fn of(store: &Store) -> Result<Self, StoreError> {
        let any = AtomicBool::new(usage::has_quotas(&store.snapshot()?)?);
        Ok(Self { any, reserved: Reserved::default() })
    }

    /// Whether anything is bounded.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// For an upload into `repository`; nothing is set aside yet.
    pub(super) fn reservation(&self, id: UploadId, repository: &RepoName, clock: &Clock) -> Arc<Reservation> {
        let reserved = Arc::clone(&self.reserved);
        let work = Arc::new(Mutex::new((0, clock.monotonic())));
        Arc::new(Reservation { reserved, id, repository: repository.clone(), work, clock: clock.clone() })
    }
}

impl Reservation {
    /// Says that a request works on the upload.
    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        lock(&self.work).0 += 1;
        Busy(Arc::clone(self))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        lock(&self.reserved).remove(&self.id);
    }
}

impl Busy {
    /// Gives back what is set aside beyond `bytes`.
    pub(super) fn keep(&self, bytes: u64) {
        if let Some(hold) = lock(&self.0.reserved).get_mut(&self.0.id) {
            hold.bytes = hold.bytes.min(bytes);
        }
    }
}

impl Clone for Busy {
    fn clone(&self) -> Self {
        self.0.busy()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut work = lock(&self.0.work);
        work.0 -= 1;
        work.1 = self.0.clock.monotonic();
    }
}

impl Hold {
    /// Whether it stands in the way of others.
    fn counts(&self, now: Instant) -> bool {
        let (running, rested) = *lock(&self.work);
        running > 0 || now.duration_since(rested) < limits::RESERVED_IDLE
    }

    /// Whether it counts for `scope`, which `name` lies in.
    fn is_within(&self, scope: Scope<'_>, name: &RepoName) -> bool {
        match scope {
            Scope::All => true,
            Scope::Namespace(namespace) => self.repository.namespace() == namespace,
            Scope::Repository(_) => self.repository == *name,
        }
    }

    /// What it will add, beyond what the state that is read has of it already:
    /// its upload may have been linked a moment ago.
    fn cost(&self, read: &impl Read) -> Result<Cost, StoreError> {
        let Some(digest) = &self.digest else { return Ok(Cost { linked: self.bytes, stored: self.bytes }) };
        match repo::get(read, &self.repository)? {
            Some(record) => Cost::of_blob(read, record.number, digest, self.bytes),
            None => Ok(Cost::default()),
        }
    }
}

impl Registry {
    /// Takes note of a quota that was set.
    pub(super) fn quotas_changed(&self) -> Result<(), StoreError> {
        if usage::has_quotas(&self.store().snapshot()?)? {
            self.quotas().any.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Sets `bytes` aside for an upload, all that it has and is about to get.
    /// `digest` is what it will be, if that is known.
    pub(super) fn reserve(&self, busy: &Busy, bytes: u64, digest: Option<&Digest>) -> Result<(), RegistryError> {
        if !self.quotas().any() {
            return Ok(());
        }
        let Reservation { id, repository, work, .. } = busy.0.as_ref();
        let mut holds = lock(&self.quotas().reserved);
        // Read behind the lock: a hold that is not here any more was linked
        // before this state.
        let read = self.store().snapshot()?;
        let Some(record) = repo::get(&read, repository)? else { return Ok(()) };
        let cost = || match digest {
            Some(digest) => Cost::of_blob(&read, record.number, digest, bytes),
            None => {
                // It may be what is damaged here, which is counted already; the
                // transaction that links knows.
                let bytes = bytes.saturating_sub(damaged_bytes(&read, record.number)?);
                Ok(Cost { linked: bytes, stored: bytes })
            }
        };
        let now = self.store().clock().monotonic();
        let others = |scope: Scope<'_>| others(&holds, &read, (*id, now), (repository, record.number), scope);
        quota::fits_beside(&read, (repository, record.number), cost, others)??;
        let left = if holds.values().all(|hold| hold.counts(now)) {
            Vec::new()
        } else {
            crowded_out(&holds, &read, (*id, now), (repository, record.number), cost()?)?
        };
        let (repository, work, digest) = (repository.clone(), Arc::clone(work), digest.copied());
        holds.insert(*id, Hold { repository, digest, bytes, work });
        // A session that goes gives back what it holds, behind the same lock.
        drop(holds);
        for id in left {
            self.sessions().drop_idle(self.store(), id);
        }
        Ok(())
    }

    /// Whether a manifest and its `blobs` may come into a repository: asked
    /// before the first is fetched, so that no link is kept busy for nothing.
    pub fn has_room_for(
        &self,
        name: &RepoName,
        blobs: &[(Digest, u64)],
        manifest: (Digest, u64),
    ) -> Result<(), RegistryError> {
        if !self.quotas().any() {
            return Ok(());
        }
        let holds = lock(&self.quotas().reserved);
        let read = self.store().snapshot()?;
        let Some(record) = repo::get(&read, name)? else { return Ok(()) };
        let cost = || {
            let mut cost = Cost::of_manifest(&read, record.number, &manifest.0, manifest.1)?;
            for (digest, size) in blobs {
                cost += Cost::of_blob(&read, record.number, digest, *size)?;
            }
            Ok(cost)
        };
        let none = (UploadId::from_bytes([0; 16]), self.store().clock().monotonic());
        let others = |scope: Scope<'_>| others(&holds, &read, none, (name, record.number), scope);
        quota::fits_beside(&read, (name, record.number), cost, others)?
    }

    /// Refuses to begin an upload where nothing more can go in: a client hears
    /// why before it sends.
    pub(super) fn refuse_used_up(&self, place: (&RepoName, RepoId)) -> Result<(), RegistryError> {
        if !self.quotas().any() {
            return Ok(());
        }
        let read = self.store().snapshot()?;
        match quota::used_up(&read, place)? {
            // A push brings back what is damaged, and needs no room for that.
            Some(exceeded) if damaged_bytes(&read, place.1)? == 0 => Err(exceeded.into()),
            Some(_) | None => Ok(()),
        }
    }
}

/// What all uploads but one have set aside that counts for `scope`.
fn others(
    holds: &HashMap<UploadId, Hold>,
    read: &impl Read,
    (but, now): (UploadId, Instant),
    (name, _): (&RepoName, RepoId),
    scope: Scope<'_>,
) -> Result<u64, StoreError> {
    let mut sum: u64 = 0;
    for (id, hold) in holds {
        if *id != but && hold.is_within(scope, name) && hold.counts(now) {
            sum = sum.saturating_add(hold.cost(read)?.to(scope));
        }
    }
    Ok(sum)
}

/// The length of the damaged blobs of a repository.
fn damaged_bytes(read: &impl Read, number: RepoId) -> Result<u64, StoreError> {
    let mut bytes: u64 = 0;
    quarantine::walk(read, None, |held, row| {
        if held.holder == Holder::Blob && blob::is_linked(read, number, &held.digest)? {
            bytes = bytes.saturating_add(row.size);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(bytes)
}

/// The uploads that no request works on and whose bytes would be more, with
/// what is coming, than the quotas leave room for: those left longest first.
fn crowded_out(
    holds: &HashMap<UploadId, Hold>,
    read: &impl Read,
    (but, now): (UploadId, Instant),
    (name, number): (&RepoName, RepoId),
    cost: Cost,
) -> Result<Vec<UploadId>, StoreError> {
    let mut gone = Vec::new();
    for scope in [Scope::Repository(number), Scope::Namespace(name.namespace()), Scope::All] {
        let (Some(limit), Some(used)) = (usage::quota(read, scope)?, usage::held(read, scope)?) else { continue };
        let mut left = Vec::new();
        for (id, hold) in holds {
            if *id != but && hold.is_within(scope, name) && !hold.counts(now) && !gone.contains(id) {
                left.push((lock(&hold.work).1, *id, hold.bytes));
            }
        }
        left.sort_unstable_by_key(|(rested, ..)| *rested);
        let coming = others(holds, read, (but, now), (name, number), scope)?.saturating_add(cost.to(scope));
        let lying: u64 = left.iter().map(|(_, _, bytes)| bytes).sum();
        let mut over = used.saturating_add(coming).saturating_add(lying).saturating_sub(limit);
        for (_, id, bytes) in left {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(bytes);
            gone.push(id);
        }
    }
    Ok(gone)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
