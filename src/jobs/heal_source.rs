//! Where the right bytes of something damaged may be: in the kept file after
//! all, in another file of the same digest, at the mirrors of the repositories
//! that link it. Whatever comes is hashed before it is believed.
//!
//! The bytes are the same wherever they come from, and are put where they were;
//! no link is written, so nobody can read more than before.

use std::collections::{BTreeSet, HashSet};

use futures_util::StreamExt as _;

use crate::access::Level;
use crate::backoff::Retry;
use crate::limits;
use crate::oci::{Reference, RepoName};
use crate::registry::quarantine::Found;
use crate::registry::upload::BrokenBody;
use crate::registry::{Registry, RegistryError};
use crate::remote::RemoteError;
use crate::store::file::BlobFile;
use crate::store::quarantine::Held;
use crate::store::record::{Holder, Policy, PolicyBody, Quarantined, Remote};
use crate::store::{Read, StoreError, error_chain, gc, policy, repo};

use super::budget::Rate;
use super::examine::{Examiner, Seen};
use super::fetch::fetched;
use super::push_mirror::owner_may;
use super::remote::{Remotes, origin};

/// Where to look for one.
pub(super) struct Sources<'a> {
    pub(super) registry: &'a Registry,
    pub(super) remotes: &'a Remotes,
    pub(super) held: Held,
    pub(super) row: &'a Quarantined,
}

/// Nobody has it: in words, and when to ask again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) why: String,
    pub(super) retry: Retry,
}

/// Mirrors that may have it.
struct Mirrors {
    /// The repositories here that link it.
    places: Vec<RepoName>,
    policies: Vec<Policy>,
}

/// Why one mirror did not give it.
enum Missed {
    Remote(RemoteError),
    Here(RegistryError),
    Words(String),
}

impl Sources<'_> {
    /// Looks for the right bytes; they, and where they were.
    ///
    /// # Errors
    /// When this registry cannot go on; that nobody has them is none.
    pub(super) async fn find(&self) -> Result<Result<(Found, String), Tried>, RegistryError> {
        if let Some(found) = self.in_kept_file().await {
            return Ok(Ok((found, "its own file, which reads well again".to_owned())));
        }
        let mirrors = {
            let read = self.registry.store().snapshot()?;
            self.mirrors(&read)?
        };
        let Some(place) = mirrors.places.first().cloned() else {
            let why = "no repository links it any more; collection removes it".to_owned();
            return Ok(Err(Tried { why, retry: Retry::Slowly }));
        };
        if let Some(found) = self.in_another_file(&place).await? {
            return Ok(Ok((found, "another file of the same digest".to_owned())));
        }
        if mirrors.policies.is_empty() {
            let names: Vec<String> = mirrors.places.iter().take(4).map(ToString::to_string).collect();
            let why = format!("no enabled mirror of {} leads to where it could be; push it again", names.join(", "));
            return Ok(Err(Tried { why, retry: Retry::Slowly }));
        }
        let (mut words, mut retry) = (Vec::new(), Retry::Slowly);
        for policy in &mirrors.policies {
            let Some(remote) = policy.remote() else { continue };
            let missed = match self.at_mirror(policy, remote, &place).await {
                Ok(found) => return Ok(Ok((found, name_of(remote)))),
                Err(missed) => missed,
            };
            let (why, when) = match missed {
                Missed::Remote(error) => (error.chain(), error.retry()),
                // Whoever stops is not to be asked for more.
                Missed::Here(error @ RegistryError::Store(StoreError::Stopped)) => return Err(error),
                Missed::Here(error @ (RegistryError::Full | RegistryError::Exhausted | RegistryError::Store(_))) => {
                    (error_chain(&error), Retry::Soon)
                }
                Missed::Here(error) => (error_chain(&error), Retry::Slowly),
                Missed::Words(why) => (why, Retry::Slowly),
            };
            retry = sooner(retry, when);
            words.push(format!("{}: {why}", name_of(remote)));
        }
        Ok(Err(Tried { why: words.join("; "), retry }))
    }

    /// The kept file may read well by now. One whose bytes were others is read
    /// again ever less often.
    async fn in_kept_file(&self) -> Option<Found> {
        let upload = self.row.upload?;
        if !self.row.flaw.is_absence() && !self.row.attempts.is_power_of_two() {
            return None;
        }
        let file = BlobFile { digest: self.held.digest, upload };
        let store = self.registry.store();
        let mut examiner = Examiner::new(store.files(), Rate::UNLIMITED, store.clock().monotonic());
        (examiner.look(&file, self.row.size).await == Seen::Whole).then(|| Found::kept(upload))
    }

    async fn in_another_file(&self, place: &RepoName) -> Result<Option<Found>, RegistryError> {
        for file in self.registry.copies(&self.held.digest, self.row.upload).await? {
            let Ok(Some(reader)) = self.registry.store().files().open_blob(&file, self.row.size) else { continue };
            if self.held.holder == Holder::Manifest {
                let size = usize::try_from(self.row.size).unwrap_or(usize::MAX);
                let mut bytes = vec![0; size.min(limits::MANIFEST_BYTES)];
                if reader.read_exact_at(&mut bytes, 0).is_ok()
                    && crate::store::scrub::flaw(&self.held.digest, &bytes).is_none()
                {
                    return self.registry.bring_manifest(&self.held.digest, bytes).await.map(Some);
                }
                continue;
            }
            let body = reader.into_stream().map(|chunk| chunk.map_err(|_| BrokenBody));
            match self.registry.bring_blob(place, &self.held.digest, body).await {
                Ok(found) => return Ok(Some(found)),
                // It was no better.
                Err(RegistryError::DigestMismatch { .. } | RegistryError::BodyBroken { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn at_mirror(&self, policy: &Policy, remote: &Remote, place: &RepoName) -> Result<Found, Missed> {
        let digest = self.held.digest;
        let client = self.remotes.client(&policy.id, remote).map_err(|error| Missed::Words(error.to_string()))?;
        match self.held.holder {
            Holder::Blob => {
                let stream = client.open_blob(&digest, self.row.size, 0).await.map_err(Missed::Remote)?;
                let (body, failure) = fetched(stream);
                let brought = self.registry.bring_blob(place, &digest, body).await;
                match failure.take() {
                    Some(error) => Err(Missed::Remote(error)),
                    None => brought.map_err(Missed::Here),
                }
            }
            Holder::Manifest => {
                let found = client.get_manifest(&Reference::Digest(digest)).await.map_err(Missed::Remote)?;
                let found = found.ok_or_else(|| Missed::Words("it has no such manifest".to_owned()))?;
                self.registry.bring_manifest(&digest, found.bytes.to_vec()).await.map_err(Missed::Here)
            }
        }
    }

    /// The mirrors of the repositories that link it, each place once: those
    /// that are switched on, and whose owner still has the right.
    fn mirrors(&self, read: &impl Read) -> Result<Mirrors, StoreError> {
        let mut numbers = match self.held.holder {
            Holder::Blob => gc::places_of_blob(read, &self.held.digest)?,
            Holder::Manifest => gc::places_of_manifest(read, &self.held.digest)?,
        };
        numbers.truncate(limits::HEAL_PLACES);
        let mut found = Mirrors { places: Vec::new(), policies: Vec::new() };
        let mut seen = HashSet::new();
        for number in numbers {
            let Some(name) = repo::name_of(read, number)? else { continue };
            found.places.push(name);
            for policy in policy::of(read, number)? {
                let needed = match &policy.body {
                    PolicyBody::Push { .. } => Level::ReadOnly,
                    PolicyBody::Pull { .. } => Level::ReadWrite,
                    PolicyBody::Promotion { .. } => continue,
                };
                let Some(place) = policy.remote().map(|remote| (origin(remote), remote.repository.clone())) else {
                    continue;
                };
                if policy.enabled
                    && found.policies.len() < limits::HEAL_MIRRORS
                    && owner_may(read, &policy, needed)?.is_ok()
                    && seen.insert(place)
                {
                    found.policies.push(policy);
                }
            }
        }
        let names: BTreeSet<RepoName> = found.places.drain(..).collect();
        found.places.extend(names);
        Ok(found)
    }
}

/// The sooner of two waits.
fn sooner(one: Retry, other: Retry) -> Retry {
    match (one, other) {
        (Retry::Soon, _) | (_, Retry::Soon) => Retry::Soon,
        (Retry::After(one), Retry::After(other)) => Retry::After(one.min(other)),
        (Retry::After(named), Retry::Slowly) | (Retry::Slowly, Retry::After(named)) => Retry::After(named),
        (Retry::Slowly, Retry::Slowly) => Retry::Slowly,
    }
}

/// A mirror, for people.
fn name_of(remote: &Remote) -> String {
    format!("{}/{}", remote.host, remote.repository)
}
