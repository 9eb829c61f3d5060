//! Looking for changes at another registry, and bringing tags in.
//!
//! A *poll* lists the tags over there and asks for each one's digest (HEAD,
//! which registries do not count against a limit); what differs from what was
//! brought in last becomes a transfer. A *pull* drives one transfer: manifests
//! from the root down, only the blobs that are missing, every byte through an
//! upload session that verifies it, the tag last. What arrives is a push like
//! any other: events, policies and mirrors of the repository follow.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;

use crate::access::Level;
use crate::audit::Audit;
use crate::chance::Id;
use crate::event::{Actor, Cause};
use crate::limits;
use crate::oci::{Condition, Digest, Manifest, Reference, RepoName, Tag};
use crate::policy::{PullDecision, PullMirror};
use crate::registry::manifest::{NewManifest, is_complete};
use crate::registry::{Caller, Registry, RegistryError};
use crate::remote::{Registry as Client, RemoteError};
use crate::store::record::{Direction, Policy, PolicyBody, Remote, Transfer};
use crate::store::{Change, Lane, Operation, StoreError, blob, policy, repo, tag, transfer};

use super::fetch::fetched;
use super::log::JobLog;
use super::owe::{Owed, owe};
use super::push_mirror::{TransferError, owner_may};
use super::remote::Remotes;
use super::settle::Outcome;

/// HEAD requests under way at once in one poll.
const PARALLEL_LOOKS: usize = 4;
/// Tags whose fate is committed together.
const SLICE: usize = 64;

/// What a poll found out about one tag.
#[derive(Clone, Debug)]
struct Seen {
    remote: Tag,
    local: Tag,
    digest: Digest,
}

/// Writes down what a slice of remote tags means.
struct Note {
    policy: Id,
    version: u32,
    /// The first look of a policy that brings only changes: remember, bring
    /// nothing.
    baseline: bool,
    /// Whether this is the last slice of the look.
    is_last: bool,
    seen: Vec<Seen>,
    jobs: Vec<Id>,
}

impl Operation for Note {
    type Plan = bool;
    /// How many tags are to be brought in.
    type Done = usize;
    type Refusal = std::convert::Infallible;
    const NAME: &'static str = "note remote tags";
    const AUDIT: Audit = Audit::Nothing("what is brought in is told with its tag");

    fn check(&self, tables: &Change<'_>) -> Result<Result<bool, Self::Refusal>, StoreError> {
        // A policy that was changed or removed meanwhile is looked at again.
        Ok(Ok(policy::get(tables, &self.policy)?.is_some_and(|policy| policy.version == self.version)))
    }

    fn apply(&self, stands: bool, tables: &mut Change<'_>) -> Result<usize, StoreError> {
        if !stands {
            return Ok(0);
        }
        let mut owed = 0;
        for (seen, job) in self.seen.iter().zip(&self.jobs) {
            if self.baseline {
                policy::set_baseline(tables, &self.policy, self.version, &seen.local, &seen.digest)?;
                continue;
            }
            let wish = Owed {
                policy: self.policy,
                tag: seen.local.clone(),
                remote_tag: seen.remote.to_string(),
                want: seen.digest,
                direction: Direction::Pull,
                version: self.version,
                seq: 0,
            };
            let known = transfer::get(tables, &self.policy, &seen.local)?;
            // What was called off was seen and is not known to be here.
            let is_known = known.is_some_and(|row| row.want == seen.digest && !row.is_short());
            let is_baseline = policy::baseline(tables, &self.policy, self.version, &seen.local)? == Some(seen.digest);
            if !is_known && !is_baseline && owe(tables, &wish, *job)? {
                owed += 1;
            }
        }
        if self.baseline && self.is_last {
            policy::end_baseline(tables, &self.policy, self.version)?;
        }
        Ok(owed)
    }
}

/// One look at another registry.
pub struct Poll<'a> {
    /// The registry here.
    pub registry: &'a Registry,
    /// The way to others.
    pub remotes: &'a Remotes,
    /// The policy.
    pub policy: &'a Policy,
    /// Where it says what it does.
    pub log: &'a JobLog,
}

impl Poll<'_> {
    /// Looks; how it went, and a line about it.
    pub async fn run(&self) -> (Outcome, String) {
        match self.attempt().await {
            Ok(summary) => (Outcome::Done { bytes: 0, moved: false }, summary),
            Err(error) => (error.outcome(0), String::new()),
        }
    }

    async fn attempt(&self) -> Result<String, TransferError> {
        let PolicyBody::Pull { remote, changes_only, .. } = &self.policy.body else {
            return Err(TransferError::Content("the policy is no pull mirror".to_owned()));
        };
        let mirror = self.policy.to_pull().map_err(TransferError::Content)?;
        let Some(mirror) = mirror else {
            return Err(TransferError::Content("the policy is no pull mirror".to_owned()));
        };
        let baseline = {
            let read = self.registry.store().snapshot()?;
            owner_may(&read, self.policy, Level::ReadWrite)?.map_err(TransferError::Content)?;
            *changes_only && !policy::has_baseline(&read, &self.policy.id, self.policy.version)?
        };
        let client = self.remotes.client(&self.policy.id, remote)?;
        let list = client.tags().await?;
        let tags = list.tags.len();
        self.log.line(format!("{} has {tags} {}", remote.repository, if tags == 1 { "tag" } else { "tags" }));
        if list.passed_over > 0 {
            let names: Vec<String> = list.examples.iter().map(|name| format!("{name:?}")).collect();
            let more = if list.passed_over > names.len() { ", …" } else { "" };
            self.log.line(format!(
                "passed over {} names that are no tags: {}{more}",
                list.passed_over,
                names.join(", ")
            ));
        }
        let wanted = self.choose(&mirror, &list.tags);
        let (seen, failure) = self.look(&client, wanted).await;
        let mut owed = 0;
        let count = seen.len();
        let mut slices: Vec<&[Seen]> = seen.chunks(SLICE).collect();
        if slices.is_empty() {
            slices.push(&[]);
        }
        let last = slices.len() - 1;
        for (place, slice) in slices.into_iter().enumerate() {
            let note = Note {
                policy: self.policy.id,
                version: self.policy.version,
                baseline,
                // A look that failed part of the way is no baseline yet.
                is_last: place == last && failure.is_none(),
                seen: slice.to_vec(),
                jobs: slice.iter().map(|_| self.registry.store().chance().id()).collect(),
            };
            owed += self.registry.store().submit(Lane::Background, note).await?.unwrap_or_else(|never| match never {});
        }
        if let Some(error) = failure {
            return Err(error.into());
        }
        let summary = if baseline {
            format!("noted {count} tags that were there; only changes from now on are brought in")
        } else {
            format!("looked at {count} tags, {owed} to bring in")
        };
        self.log.line(&summary);
        Ok(summary)
    }

    fn choose(&self, mirror: &PullMirror, names: &[Tag]) -> Vec<(Tag, Tag)> {
        let mut wanted = Vec::new();
        let mut left = 0_usize;
        for name in names {
            match mirror.decide(name.as_str()) {
                PullDecision::Take { remote, local, .. } => wanted.push((remote, local)),
                PullDecision::Leave { reason } => {
                    left += 1;
                    if left <= 20 {
                        self.log.line(format!("left {name}: {reason}"));
                    }
                }
            }
        }
        if left > 20 {
            self.log.line(format!("left {left} tags in all"));
        }
        wanted
    }

    /// Asks for each tag's digest. What was found before a failure counts.
    async fn look(&self, client: &Client, wanted: Vec<(Tag, Tag)>) -> (Vec<Seen>, Option<RemoteError>) {
        let mut answers = futures_util::stream::iter(wanted)
            .map(|(remote, local)| async move {
                let found = client.head_manifest(&Reference::Tag(remote.clone())).await?;
                Ok::<_, RemoteError>(found.map(|found| Seen { remote, local, digest: found.digest }))
            })
            .buffered(PARALLEL_LOOKS);
        let mut seen = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(found) => seen.extend(found),
                Err(error) => return (seen, Some(error)),
            }
        }
        (seen, None)
    }
}

/// One try to bring a tag in.
pub struct Pull<'a> {
    /// The registry here.
    pub registry: &'a Registry,
    /// The way to others.
    pub remotes: &'a Remotes,
    /// The policy.
    pub policy: &'a Policy,
    /// The local tag.
    pub tag: &'a Tag,
    /// What is owed.
    pub transfer: &'a Transfer,
    /// Where it says what it does.
    pub log: &'a JobLog,
    /// Bytes fetched so far.
    pub bytes: AtomicU64,
}

/// The place that things are brought to, and on whose rights.
struct Place<'a> {
    caller: Caller,
    name: RepoName,
    client: Client,
    remote: &'a Remote,
}

impl Pull<'_> {
    /// Tries; how it went.
    pub async fn run(&self) -> Outcome {
        match self.attempt().await {
            Ok(outcome) => outcome,
            Err(error) => error.outcome(self.bytes.load(Ordering::Relaxed)),
        }
    }

    async fn attempt(&self) -> Result<Outcome, TransferError> {
        let PolicyBody::Pull { remote, .. } = &self.policy.body else {
            return Ok(Outcome::Gone { why: "the policy is no pull mirror".to_owned() });
        };
        let (caller, name) = {
            let read = self.registry.store().snapshot()?;
            let caller = owner_may(&read, self.policy, Level::ReadWrite)?.map_err(TransferError::Content)?;
            let name = repo::name_of(&read, self.policy.repository)?;
            (caller, name.ok_or_else(|| TransferError::Content("the repository is gone".to_owned()))?)
        };
        let client = self.remotes.client(&self.policy.id, remote)?;
        let place = Place { caller, name, client, remote };
        let want = self.transfer.want;
        let mut seen = HashSet::new();
        // Entries before the index that names them; the root, with its tag, at
        // the end.
        let mut work = vec![(want, false)];
        let mut fetched: Vec<(Digest, Manifest, Vec<u8>)> = Vec::new();
        let mut held = 0;
        while let Some((digest, entered)) = work.pop() {
            if entered {
                let at = fetched.iter().rposition(|(other, ..)| *other == digest);
                let Some((_, manifest, bytes)) = at.map(|at| fetched.swap_remove(at)) else { continue };
                held -= bytes.len();
                self.store(&place, digest, manifest, bytes).await?;
                continue;
            }
            if !seen.insert(digest) {
                continue;
            }
            if seen.len() > limits::CLOSURE_MANIFESTS {
                return Err(RegistryError::ClosureTooLarge { digest: want }.into());
            }
            let Some((manifest, bytes)) = self.manifest(&place, &digest).await? else {
                if digest == want {
                    return Ok(Outcome::Gone {
                        why: format!(
                            "{}:{} has moved on; the next look finds what it is now",
                            remote.repository, self.transfer.remote_tag
                        ),
                    });
                }
                // A hole of a sparse index over there is a hole here.
                self.log.line(format!("{digest} is named and not there; left out"));
                continue;
            };
            work.push((digest, true));
            work.extend(
                manifest.links.children.iter().filter(|child| child.is_manifest).map(|child| (child.digest, false)),
            );
            // An index is held while its entries are brought in.
            held += bytes.len();
            if held > limits::CLOSURE_HELD_BYTES {
                let why = format!("{want} nests more than {} bytes of indexes", limits::CLOSURE_HELD_BYTES);
                return Err(TransferError::Content(why));
            }
            fetched.push((digest, manifest, bytes));
        }
        let bytes = self.bytes.load(Ordering::Relaxed);
        self.log.line(format!("{}:{} is {want} now; {bytes} bytes fetched", place.name, self.tag));
        Ok(Outcome::Done { bytes, moved: true })
    }

    /// A manifest from here when it is here, else from there.
    async fn manifest(&self, place: &Place<'_>, digest: &Digest) -> Result<Option<(Manifest, Vec<u8>)>, TransferError> {
        if let Some((kind, bytes)) = self.registry.manifest_of(self.policy.repository, digest).await? {
            let manifest = Manifest::parse(&bytes, Some(kind.as_str())).map_err(RegistryError::from)?;
            return Ok(Some((manifest, bytes)));
        }
        let Some(found) = place.client.get_manifest(&Reference::Digest(*digest)).await? else { return Ok(None) };
        self.bytes.fetch_add(found.bytes.len() as u64, Ordering::Relaxed);
        let manifest = Manifest::parse(&found.bytes, Some(&found.media_type)).map_err(RegistryError::from)?;
        Ok(Some((manifest, found.bytes.to_vec())))
    }

    /// Brings in the blobs of one manifest, then the manifest.
    async fn store(
        &self,
        place: &Place<'_>,
        digest: Digest,
        manifest: Manifest,
        bytes: Vec<u8>,
    ) -> Result<(), TransferError> {
        let is_root = digest == self.transfer.want;
        let (is_here, is_set, missing) = {
            let read = self.registry.store().snapshot()?;
            let number = self.policy.repository;
            let mut missing = Vec::new();
            let entries = manifest.links.children.iter().filter(|child| !child.is_manifest);
            let named = manifest.links.blobs().map(|link| (link.digest, link.size));
            for (digest, size) in named.chain(entries.map(|child| (child.digest, child.size))) {
                let is_new = missing.iter().all(|(other, _)| *other != digest);
                if is_new && !blob::is_readable(&read, number, &digest)? {
                    missing.push((digest, size));
                }
            }
            let is_set = tag::get(&read, number, self.tag)?.is_some_and(|value| value.digest == self.transfer.want);
            (is_complete(&read, number, &digest)?, is_set, missing)
        };
        // Nothing is fetched of an image that has no room.
        self.registry.has_room_for(&place.name, &missing, (digest, bytes.len() as u64))?;
        // All run to their end, also when one fails: a fetch that is dropped
        // between its file and its row would leave the file behind.
        let fetched: Vec<Result<(), TransferError>> = futures_util::stream::iter(missing)
            .map(|(digest, size)| self.blob(place, digest, size))
            .buffer_unordered(limits::REMOTE_PARALLEL_BLOBS)
            .collect()
            .await;
        fetched.into_iter().collect::<Result<(), _>>()?;
        // A tag that an earlier try set before it died is not set again: that
        // would be another event, and its policies would act twice.
        if is_here && (!is_root || is_set) {
            return Ok(());
        }
        let new = NewManifest {
            repository: place.name.clone(),
            digest,
            tags: if is_root { vec![self.tag.clone()] } else { Vec::new() },
            bytes: bytes.into(),
            manifest,
            actor: Actor::Policy(self.policy.id),
            cause: Cause::PullMirror {
                policy: self.policy.id,
                host: place.remote.host.clone(),
                repository: place.remote.repository.clone(),
                tag: self.transfer.remote_tag.clone(),
            },
            chain: Vec::new(),
            condition: Condition::default(),
        };
        self.registry.store_manifest(&place.caller, new).await?;
        Ok(())
    }

    async fn blob(&self, place: &Place<'_>, digest: Digest, size: u64) -> Result<(), TransferError> {
        // The same bytes may be in another repository that the policy's owner
        // may read: then nothing is fetched.
        if self.registry.mount(&place.caller, None, &place.name, &digest).await? {
            self.log.line(format!("blob {digest} was here already"));
            return Ok(());
        }
        let stream = place.client.open_blob(&digest, size, 0).await?;
        let (body, failure) = fetched(stream);
        let stored = self.registry.store_blob(&place.caller, &place.name, &digest, Some(size), body).await;
        if let Some(error) = failure.take() {
            return Err(error.into());
        }
        let bytes = stored?;
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.log.line(format!("fetched blob {digest}, {bytes} bytes"));
        Ok(())
    }
}
