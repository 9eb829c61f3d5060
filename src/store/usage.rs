//! How many bytes repositories, namespaces and all of them hold, counted in
//! the commits that change it, and how many they may hold.
//!
//! A repository holds the blobs and manifests that are linked there, each once.
//! A namespace holds what its repositories hold, added up. All together hold
//! what is stored, each blob and manifest once, damaged ones too: they lie on
//! the disk as well. So the first two say what is owed for, whoever else has
//! the same bytes, and the last says what the disk is used for.
//!
//! A data folder of before has no counters. They are made behind its back: a
//! walk over the rows that are counted, in slices (`count`), with its place
//! in a row. A change to a row that the walk has passed is counted as it is
//! made; one to a row before it is counted when the walk comes there. So the
//! counters are exact for what was walked, at any moment. A program that knows
//! nothing of counters and ran in between makes the next start count anew.

use std::cmp::Ordering as Compared;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use super::quarantine::{self, Held};
use super::record::usage::{Counting, Quota, Upto, Usage};
use super::record::{Blob, Holder, ManifestBody, Quarantined};
use super::{Change, Key, Order, Parts, Read, RepoId, Span, StoreError, Stored as _, Table, blob, manifest, repo};
use crate::oci::{Digest, RepoName};

/// Whose bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope<'a> {
    /// Everybody's.
    All,
    /// Those of all repositories of a namespace.
    Namespace(&'a str),
    /// Those of a repository.
    Repository(RepoId),
}

/// The rows that are counted, in the order in which they are: links count for
/// repositories and namespaces, the others for all.
const COUNTED: [Table; 5] =
    [Table::RepositoryBlobs, Table::RepositoryManifests, Table::Blobs, Table::Manifests, Table::Quarantine];

/// The row of `meta` that says how far is counted.
const COUNTING: &str = "usage";

impl<'k> Scope<'k> {
    fn of_key(key: &'k [u8]) -> Option<Self> {
        let mut parts = Parts::of(key);
        match parts.text_then() {
            Some("namespace") => parts.text().map(Scope::Namespace),
            Some("repository") => parts.repo().map(Scope::Repository),
            _ => Some(Scope::All),
        }
    }

    fn key(&self) -> Key {
        match self {
            Self::All => Key::new().text("all"),
            Self::Namespace(name) => Key::new().text_then("namespace").text(name),
            Self::Repository(number) => Key::new().text_then("repository").repo(*number),
        }
    }
}

/// Counters as a transaction knows them: what goes in together counts for the
/// same repository and the same namespace most of the time, so each counter is
/// read and written once in a commit.
#[derive(Debug, Default)]
pub struct Tally {
    counting: Option<Counting>,
    changed: BTreeMap<Key, Usage>,
}

/// How many bytes are held, as far as they are counted.
pub fn counted(read: &impl Read, scope: Scope<'_>) -> Result<u64, StoreError> {
    match counting(read)? {
        Some(counting) => of_epoch(read, &scope.key(), counting.epoch),
        None => Ok(0),
    }
}

/// How many bytes are held; none while they are still being counted.
pub fn held(read: &impl Read, scope: Scope<'_>) -> Result<Option<u64>, StoreError> {
    match counting(read)? {
        Some(Counting { epoch, upto: Upto::All, .. }) => of_epoch(read, &scope.key(), epoch).map(Some),
        Some(_) | None => Ok(None),
    }
}

/// Whether everything is counted.
pub fn is_whole(read: &impl Read) -> Result<bool, StoreError> {
    Ok(counting(read)?.is_some_and(|counting| counting.upto == Upto::All))
}

/// How many bytes may be held, if there is a bound.
pub fn quota(read: &impl Read, scope: Scope<'_>) -> Result<Option<u64>, StoreError> {
    Ok(read.record::<Quota>(Table::Quotas, &scope.key())?.map(|quota| quota.bytes))
}

/// Hands what has a quota to `each`, at most `most` of it.
pub fn walk_quotas(
    read: &impl Read,
    most: usize,
    mut each: impl FnMut(Scope<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for key in read.keys(Table::Quotas, &Span::all(), most)? {
        if let Some(scope) = Scope::of_key(&key) {
            each(scope)?;
        }
    }
    Ok(())
}

/// Whether anything is bounded.
pub fn has_quotas(read: &impl Read) -> Result<bool, StoreError> {
    Ok(!read.keys(Table::Quotas, &Span::all(), 1)?.is_empty())
}

/// Sets how many bytes may be held; 0: as many as there is room for.
pub fn set_quota(change: &mut Change<'_>, scope: Scope<'_>, bytes: u64) -> Result<(), StoreError> {
    if bytes == 0 { change.remove(Table::Quotas, &scope.key()).map(drop) } else { put_quota(change, scope, bytes) }
}

fn put_quota(change: &mut Change<'_>, scope: Scope<'_>, bytes: u64) -> Result<(), StoreError> {
    change.put(Table::Quotas, &scope.key(), &Quota { bytes })
}

/// The length of a blob or manifest, good or damaged. One whose record cannot
/// be read has none: who meets that elsewhere tells it.
pub fn size(read: &impl Read, held: &Held) -> Result<u64, StoreError> {
    let sound = match held.holder {
        Holder::Blob => blob::get(read, &held.digest).map(|found| found.map(|blob| blob.size)),
        Holder::Manifest => manifest::body(read, &held.digest).map(|found| found.map(|body| body.size)),
    };
    match sound {
        Ok(Some(size)) => Ok(size),
        Ok(None) => match quarantine::get(read, held) {
            Ok(row) => Ok(row.map_or(0, |row| row.size)),
            Err(StoreError::Damaged { .. }) => Ok(0),
            Err(error) => Err(error),
        },
        Err(StoreError::Damaged { .. }) => Ok(0),
        Err(error) => Err(error),
    }
}

/// Notes a link that was not there.
pub(super) fn linked(change: &mut Change<'_>, repo: RepoId, held: Held) -> Result<(), StoreError> {
    link_changed(change, repo, held, u64::saturating_add)
}

/// Notes a link that is gone, while the length of what it led to is known.
pub(super) fn unlinked(change: &mut Change<'_>, repo: RepoId, held: Held) -> Result<(), StoreError> {
    link_changed(change, repo, held, u64::saturating_sub)
}

fn link_changed(change: &mut Change<'_>, repo: RepoId, held: Held, sum: fn(u64, u64) -> u64) -> Result<(), StoreError> {
    let table = match held.holder {
        Holder::Blob => Table::RepositoryBlobs,
        Holder::Manifest => Table::RepositoryManifests,
    };
    let Some(epoch) = epoch_of(change, table, &Key::new().repo(repo).digest(&held.digest))? else { return Ok(()) };
    // What a deleted repository left went from all sums with its name.
    let Some(name) = repo::name_of(change, repo)? else { return Ok(()) };
    let bytes = size(change, &held)?;
    for scope in [Scope::Repository(repo), Scope::Namespace(name.namespace())] {
        add(change, &scope.key(), epoch, bytes, sum)?;
    }
    Ok(())
}

/// Notes bytes that were not stored, under `key` of `blobs`, `manifests` or
/// `quarantine`.
pub(super) fn stored(change: &mut Change<'_>, table: Table, key: &Key, bytes: u64) -> Result<(), StoreError> {
    match epoch_of(change, table, key)? {
        Some(epoch) => add(change, &Scope::All.key(), epoch, bytes, u64::saturating_add),
        None => Ok(()),
    }
}

/// Notes that such a row is gone.
pub(super) fn gone(change: &mut Change<'_>, table: Table, key: &Key, bytes: u64) -> Result<(), StoreError> {
    match epoch_of(change, table, key)? {
        Some(epoch) => add(change, &Scope::All.key(), epoch, bytes, u64::saturating_sub),
        None => Ok(()),
    }
}

/// Takes what a repository holds off its namespace, and its quota away: its
/// name goes. Its links are removed later, row by row.
pub(super) fn forget_repository(change: &mut Change<'_>, name: &RepoName, number: RepoId) -> Result<(), StoreError> {
    let key = Scope::Repository(number).key();
    if let Some(counting) = counting(change)? {
        let bytes = of_epoch(change, &key, counting.epoch)?;
        add(change, &Scope::Namespace(name.namespace()).key(), counting.epoch, bytes, u64::saturating_sub)?;
    }
    change.tally.changed.remove(&key);
    change.remove(Table::Usage, &key)?;
    change.remove(Table::Quotas, &key)?;
    Ok(())
}

/// Takes over the counters at a start, or begins to count: in a database
/// without them, or that somebody changed who does not know of them. With
/// nothing to count that is done at once.
pub(super) fn begin(change: &mut Change<'_>, generation: u64) -> Result<(), StoreError> {
    let known = match counting(change) {
        Err(StoreError::Damaged { .. }) => None,
        known => known?,
    };
    let next = match known {
        Some(known) if known.generation.checked_add(1) == Some(generation) => Counting { generation, ..known },
        Some(_) | None => {
            let mut is_empty = true;
            for table in COUNTED {
                is_empty = is_empty && change.keys(table, &Span::all(), 1)?.is_empty();
            }
            let upto = if is_empty { Upto::All } else { Upto::Row { place: 0, key: Vec::new() } };
            Counting { epoch: generation, generation, upto }
        }
    };
    set_counting(change, next)
}

/// Counts up to `limit` rows more; whether there may be others.
pub fn count(change: &mut Change<'_>, limit: usize) -> Result<bool, StoreError> {
    let Some(before) = counting(change)? else { return Ok(false) };
    let Upto::Row { place, key } = &before.upto else { return Ok(false) };
    let upto = match COUNTED.get(usize::from(*place)) {
        None => Upto::All,
        Some(table) => {
            let (mut sums, mut last, mut left) = (Sums::new(), None, limit);
            let after = Span { from: Bound::Excluded(key.clone()), to: Bound::Unbounded };
            add_up(change, *table, &after, &mut sums, |key| {
                last = Some(key.to_vec());
                left -= 1;
                left > 0
            })?;
            for (key, bytes) in sums {
                add(change, &key, before.epoch, bytes, u64::saturating_add)?;
            }
            match last {
                Some(key) => Upto::Row { place: *place, key },
                None => Upto::Row { place: place + 1, key: Vec::new() },
            }
        }
    };
    set_counting(change, Counting { upto, ..before })?;
    Ok(true)
}

/// Bytes by the key of what holds them.
type Sums = BTreeMap<Key, u64>;

/// Adds the rows of `table` in `span` to what they count for, as long as
/// `goes_on` says so of a key that is done.
fn add_up(
    read: &impl Read,
    table: Table,
    span: &Span,
    sums: &mut Sums,
    mut goes_on: impl FnMut(&[u8]) -> bool,
) -> Result<(), StoreError> {
    read.walk(table, span, Order::Forward, |key, value| {
        match table {
            Table::RepositoryBlobs => add_link(read, Held::blob, key, sums)?,
            Table::RepositoryManifests => add_link(read, Held::manifest, key, sums)?,
            _ => *sums.entry(Scope::All.key()).or_default() += length(table, value),
        }
        Ok(if goes_on(key) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })
}

/// Adds what a link counts for: nothing in a repository that is gone.
fn add_link(read: &impl Read, held: fn(Digest) -> Held, key: &[u8], sums: &mut Sums) -> Result<(), StoreError> {
    let mut parts = Parts::of(key);
    let (Some(number), Some(digest)) = (parts.repo(), parts.digest()) else { return Ok(()) };
    let Some(name) = repo::name_of(read, number)? else { return Ok(()) };
    let bytes = size(read, &held(digest))?;
    for scope in [Scope::Repository(number), Scope::Namespace(name.namespace())] {
        *sums.entry(scope.key()).or_default() += bytes;
    }
    Ok(())
}

/// The length that a stored record gives; 0 where it cannot be read.
fn length(table: Table, value: &[u8]) -> u64 {
    match table {
        Table::Blobs => Blob::decode(value).map(|blob| blob.size),
        Table::Manifests => ManifestBody::decode(value).map(|body| body.size),
        _ => Quarantined::decode(value).map(|row| row.size),
    }
    .unwrap_or(0)
}

/// Counters that are not what their rows add up to, in words. Nothing where
/// they mean nothing: before they were begun, and behind the back of a program
/// that knows of them.
pub fn differences(read: &impl Read) -> Result<Vec<String>, StoreError> {
    let (_, generation) = super::open::numbers(read)?;
    let Some(counting) = counting(read)?.filter(|counting| counting.generation == generation) else {
        return Ok(Vec::new());
    };
    let mut held = Sums::new();
    for table in COUNTED {
        match counting.end_of(table) {
            Some(end) => add_up(read, table, &Span { from: Bound::Unbounded, to: end }, &mut held, |_| true)?,
            None => break,
        }
    }
    let mut counted = BTreeMap::new();
    read.walk(Table::Usage, &Span::all(), Order::Forward, |key, value| {
        if let Ok(usage) = Usage::decode(value)
            && usage.epoch == counting.epoch
        {
            counted.insert(key.to_vec(), usage.bytes);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let mut words = Vec::new();
    for (key, bytes) in held.into_iter().filter(|(_, bytes)| *bytes > 0) {
        let found = counted.remove(key.bytes()).unwrap_or(0);
        if found != bytes {
            words.push(format!("{}: {found} bytes are counted, {bytes} are held", told(read, key.bytes())?));
        }
    }
    for (key, found) in counted.into_iter().filter(|(_, found)| *found > 0) {
        words.push(format!("{}: {found} bytes are counted, none are held", told(read, &key)?));
    }
    Ok(words)
}

/// Whose counter a key is, in words.
fn told(read: &impl Read, key: &[u8]) -> Result<String, StoreError> {
    Ok(match Scope::of_key(key) {
        Some(Scope::Namespace(name)) => format!("namespace {name}"),
        Some(Scope::Repository(number)) => match repo::name_of(read, number)? {
            Some(name) => format!("repository {name}"),
            None => format!("the repository that was number {}", number.0),
        },
        Some(Scope::All) => "all together".to_owned(),
        None => hex::encode(key),
    })
}

impl Counting {
    /// Up to where the rows of `table` are counted; none: not at all.
    fn end_of(&self, table: Table) -> Option<Bound<Vec<u8>>> {
        let Upto::Row { place, key } = &self.upto else { return Some(Bound::Unbounded) };
        let at = COUNTED.iter().position(|counted| *counted == table)?;
        match at.cmp(&usize::from(*place)) {
            Compared::Less => Some(Bound::Unbounded),
            Compared::Equal => Some(Bound::Included(key.clone())),
            Compared::Greater => None,
        }
    }

    /// Whether changes to this row are counted as they are made.
    fn covers(&self, table: Table, key: &[u8]) -> bool {
        self.upto == Upto::All
            || match self.end_of(table) {
                None => false,
                Some(Bound::Included(last)) => key <= last.as_slice(),
                Some(Bound::Excluded(_) | Bound::Unbounded) => true,
            }
    }
}

fn counting(read: &impl Read) -> Result<Option<Counting>, StoreError> {
    match read.tally().and_then(|tally| tally.counting.clone()) {
        None => read.record(Table::Meta, &Key::new().text(COUNTING)),
        known => Ok(known),
    }
}

fn set_counting(change: &mut Change<'_>, counting: Counting) -> Result<(), StoreError> {
    change.put(Table::Meta, &Key::new().text(COUNTING), &counting)?;
    change.tally.counting = Some(counting);
    Ok(())
}

/// The count that a change to this row belongs to; none: it is counted later.
fn epoch_of(change: &mut Change<'_>, table: Table, key: &Key) -> Result<Option<u64>, StoreError> {
    if change.tally.counting.is_none() {
        change.tally.counting = counting(change)?;
    }
    let counting = change.tally.counting.as_ref();
    Ok(counting.filter(|counting| counting.covers(table, key.bytes())).map(|counting| counting.epoch))
}

/// Writes the counters that have changed.
pub(super) fn write(change: &mut Change<'_>) -> Result<(), StoreError> {
    for (key, usage) in std::mem::take(&mut change.tally.changed) {
        change.put(Table::Usage, &key, &usage)?;
    }
    Ok(())
}

fn of_epoch(read: &impl Read, scope: &Key, epoch: u64) -> Result<u64, StoreError> {
    let usage = match read.tally().and_then(|tally| tally.changed.get(scope).copied()) {
        None => read.record::<Usage>(Table::Usage, scope)?,
        changed => changed,
    };
    Ok(usage.filter(|usage| usage.epoch == epoch).map_or(0, |usage| usage.bytes))
}

fn add(
    change: &mut Change<'_>,
    scope: &Key,
    epoch: u64,
    bytes: u64,
    sum: fn(u64, u64) -> u64,
) -> Result<(), StoreError> {
    if bytes == 0 {
        return Ok(());
    }
    let bytes = sum(of_epoch(change, scope, epoch)?, bytes);
    change.tally.changed.insert(scope.clone(), Usage { bytes, epoch });
    Ok(())
}

/// Forgets all counters, as a start does behind a program that knows of none.
#[cfg(test)]
pub(crate) fn count_anew(change: &mut Change<'_>) -> Result<(), StoreError> {
    let Some(before) = counting(change)? else { return Ok(()) };
    let upto = Upto::Row { place: 0, key: Vec::new() };
    set_counting(change, Counting { epoch: before.epoch + 1, upto, ..before })
}
