//! Removing what nothing needs, a slice at a time.
//!
//! A slice is looked up on a snapshot, and every row of it is asked about again
//! in the transaction that removes it: whatever was pushed, tagged, mounted or
//! promoted in between has its say. Reads and pushes go on meanwhile.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::audit::Audit;
use crate::event::{Actor, Kind};
use crate::limits;
use crate::oci::Digest;
use crate::store::gc::{self, CutOff, Kept};
use crate::store::quarantine::{self, Held};
use crate::store::record::{Holder, PolicyBody};
use crate::store::{Change, Lane, Operation, RepoId, StoreError, blob, event, manifest, policy, repo, transfer};

use super::claims::Condemned;
use super::{Registry, RegistryError};

/// What a slice of collection did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Manifests or blobs looked at.
    pub seen: u64,
    /// Bytes of all those looked at.
    pub of: u64,
    /// Manifests that are readable in one repository less.
    pub manifests: u64,
    /// Blobs that are readable in one repository less.
    pub links: u64,
    /// Files that go.
    pub files: u64,
    /// Bytes of those files, and of manifests that are gone altogether.
    pub bytes: u64,
    /// What nothing names and was left all the same, because a push that is
    /// under way relies on it.
    pub spared: u64,
}

impl std::ops::AddAssign for Collected {
    fn add_assign(&mut self, other: Self) {
        self.seen += other.seen;
        self.of += other.of;
        self.manifests += other.manifests;
        self.links += other.links;
        self.files += other.files;
        self.bytes += other.bytes;
        self.spared += other.spared;
    }
}

/// A slice of what can go: rows in the order of their digests.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// Manifests or blobs, and the repositories they can go from.
    pub places: Vec<(RepoId, Digest)>,
    /// Those that are readable nowhere already.
    pub nowhere: Vec<Digest>,
    /// What removing them comes to.
    pub would: Collected,
    /// The last digest looked at; none when there are no more.
    pub last: Option<Digest>,
}

/// Which half of collection: manifests go first, for what they name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Manifests that no tag leads to.
    Manifests,
    /// Blobs that no manifest names.
    Blobs,
}

impl Half {
    /// The word in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Manifests => "manifests",
            Self::Blobs => "blobs",
        }
    }
}

/// Removes manifests from repositories where nothing needs them, and with each
/// those that lead to it.
struct CollectManifests {
    cut_off: CutOff,
    /// Until this is committed they are not there for those who ask.
    condemned: Condemned,
    nowhere: Vec<Digest>,
}

/// Most manifests that go in one commit for leading to one that goes. With more
/// (an entry of ten thousand indexes) those that lead to it go first.
const LINEAGE: usize = limits::COLLECT_ROWS;

impl Operation for CollectManifests {
    type Plan = Going;
    /// What went, and what is to be asked about again.
    type Done = (Collected, Vec<(RepoId, Digest)>);
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "collect manifests";
    const AUDIT: Audit = Audit::Nothing("the start of a collection is told, and what went in its log");
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        let mut kept = Kept::new(tables, self.cut_off);
        let (mut going, mut listed) = (Going::default(), HashSet::new());
        going.spared = self.condemned.spared();
        for place @ (repo, digest) in self.condemned.places() {
            if listed.contains(place) || !manifest::is_linked(tables, *repo, digest)? || kept.manifest(*repo, digest)? {
                continue;
            }
            if going.now.len() >= LINEAGE {
                going.later.push(*place);
                continue;
            }
            let lineage: Vec<_> =
                kept.lineage(*repo, digest, LINEAGE)?.into_iter().map(|digest| (*repo, digest)).collect();
            if lineage.iter().any(|place| self.condemned.is_claimed(place)) {
                going.spared += 1;
                continue;
            }
            if lineage.last() != Some(place) {
                going.later.push(*place);
            }
            going.now.extend(lineage.into_iter().filter(|place| listed.insert(*place)));
        }
        Ok(Ok(going))
    }

    fn apply(&self, going: Going, tables: &mut Change<'_>) -> Result<Self::Done, StoreError> {
        let mut done = Collected { spared: going.spared, ..Collected::default() };
        for (number, digest) in going.now {
            // A repository that is gone is being purged row by row.
            let Some(name) = repo::name_of(tables, number)? else { continue };
            done.bytes += gc::remove_manifest(tables, number, &digest)?.unwrap_or(0);
            done.manifests += 1;
            event::append(tables, Actor::System, (number, &name), Kind::ManifestDeleted { digest })?;
        }
        for digest in &self.nowhere {
            done.bytes += gc::forget_manifest(tables, digest)?.unwrap_or(0);
        }
        Ok((done, going.later))
    }
}

/// What one commit removes.
#[derive(Debug, Default)]
struct Going {
    /// From the top.
    now: Vec<(RepoId, Digest)>,
    /// What is left for the next commit.
    later: Vec<(RepoId, Digest)>,
    /// Those that a push relies on.
    spared: u64,
}

/// Removes blobs from repositories where nothing needs them, and the names of
/// those that are readable nowhere.
struct CollectBlobs {
    cut_off: CutOff,
    /// Until this is committed they are not there for those who ask.
    condemned: Condemned,
    nowhere: Vec<Digest>,
}

impl Operation for CollectBlobs {
    type Plan = Vec<(RepoId, Digest)>;
    type Done = Collected;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "collect blobs";
    const AUDIT: Audit = Audit::Nothing("the start of a collection is told, and what went in its log");
    const ADDS: bool = false;

    fn check(&self, tables: &Change<'_>) -> Result<Result<Self::Plan, Self::Refusal>, StoreError> {
        let mut kept = Kept::new(tables, self.cut_off);
        let mut going = Vec::new();
        for (repo, digest) in self.condemned.places() {
            // A manifest that nothing needs any more since the other half went
            // by is still there: it would be one that cannot be pulled.
            if !manifest::is_named_in(tables, *repo, digest)? && !kept.blob(*repo, digest)? {
                going.push((*repo, *digest));
            }
        }
        Ok(Ok(going))
    }

    fn apply(&self, going: Self::Plan, tables: &mut Change<'_>) -> Result<Collected, StoreError> {
        let mut done = Collected { spared: self.condemned.spared(), ..Collected::default() };
        let mut nowhere = self.nowhere.clone();
        for (number, digest) in going {
            if blob::unlink(tables, number, &digest)? {
                done.links += 1;
            }
            nowhere.push(digest);
        }
        nowhere.dedup();
        for digest in nowhere {
            if let Some(bytes) = gc::forget_blob(tables, &digest)? {
                done.files += 1;
                done.bytes += bytes;
            }
        }
        Ok(done)
    }
}

impl Registry {
    /// The repositories that something is being pulled into: it comes blob by
    /// blob, over days where the link is bad, and nothing names those blobs
    /// before their manifest is here.
    pub fn pulling(&self) -> Result<HashSet<RepoId>, RegistryError> {
        let read = self.store().snapshot()?;
        let mut policies = HashSet::new();
        transfer::due(&read, |due| {
            policies.insert(due.policy);
            ControlFlow::Continue(())
        })?;
        let mut found = HashSet::new();
        for id in policies {
            let pull = policy::get(&read, &id)?.filter(|policy| matches!(policy.body, PolicyBody::Pull { .. }));
            found.extend(pull.map(|policy| policy.repository));
        }
        Ok(found)
    }

    /// Looks at the manifests or blobs after `last`, up to a slice of them, for
    /// those that can go; what is in a `spared` repository cannot. Blocks; call it off the async threads.
    pub fn plan_collection(
        &self,
        half: Half,
        cut_off: CutOff,
        last: Option<Digest>,
        spared: &HashSet<RepoId>,
    ) -> Result<Slice, RegistryError> {
        let read = self.store().snapshot()?;
        let holder = match half {
            Half::Manifests => Holder::Manifest,
            Half::Blobs => Holder::Blob,
        };
        let digests = gc::digests(&read, holder, last.as_ref(), limits::COLLECT_ROWS)?;
        let mut slice = Slice { last: digests.last().copied(), ..Slice::default() };
        slice.would.seen = digests.len() as u64;
        let mut kept = Kept::new(&read, cut_off);
        for digest in digests {
            let places = match half {
                Half::Manifests => gc::places_of_manifest(&read, &digest)?,
                Half::Blobs => gc::places_of_blob(&read, &digest)?,
            };
            let all = places.len();
            let mut going = 0;
            for repo in places {
                let is_kept = spared.contains(&repo)
                    || match half {
                        Half::Manifests => kept.manifest(repo, &digest)?,
                        Half::Blobs => kept.blob(repo, &digest)?,
                    };
                if !is_kept {
                    going += 1;
                    slice.places.push((repo, digest));
                }
            }
            if all == 0 {
                slice.nowhere.push(digest);
            }
            let sound = match half {
                Half::Manifests => manifest::body(&read, &digest)?.map(|body| body.size),
                Half::Blobs => blob::get(&read, &digest)?.map(|blob| blob.size),
            };
            let size = match sound {
                Some(size) => size,
                None => quarantine::get(&read, &Held { digest, holder })?.map_or(0, |row| row.size),
            };
            slice.would.of += size;
            match half {
                Half::Manifests => slice.would.manifests += going as u64,
                Half::Blobs => slice.would.links += going as u64,
            }
            if going == all {
                slice.would.bytes += size;
                slice.would.files += u64::from(half == Half::Blobs);
            }
        }
        Ok(slice)
    }

    /// Removes what a slice has found and what is still so. `spare`: what
    /// clients were told within this time is here stays here.
    pub async fn collect(
        &self,
        half: Half,
        cut_off: CutOff,
        slice: Slice,
        spare: Duration,
    ) -> Result<Collected, RegistryError> {
        let Slice { places, nowhere, .. } = slice;
        if places.is_empty() && nowhere.is_empty() {
            return Ok(Collected::default());
        }
        let condemn = |places| self.claims().condemn(places, self.store().clock().monotonic(), spare);
        match half {
            Half::Manifests => {
                let (mut sum, mut left, mut nowhere) = (Collected::default(), places, nowhere);
                loop {
                    let operation =
                        CollectManifests { cut_off, condemned: condemn(left), nowhere: std::mem::take(&mut nowhere) };
                    let done = self.store().submit(Lane::Background, operation).await?;
                    let (went, later) = done.unwrap_or_else(|never| match never {});
                    sum += went;
                    // Each commit takes some away, so this ends.
                    if later.is_empty() {
                        return Ok(sum);
                    }
                    left = later;
                }
            }
            Half::Blobs => {
                let operation = CollectBlobs { cut_off, condemned: condemn(places), nowhere };
                let done = self.store().submit(Lane::Background, operation).await?;
                Ok(done.unwrap_or_else(|never| match never {}))
            }
        }
    }
}
