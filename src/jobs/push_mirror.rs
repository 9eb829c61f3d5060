//! Sending one tag, with everything that belongs to it, to another registry.
//!
//! The far side is asked first and sent only what it lacks: entries before the
//! index that names them, blobs before the manifest that names them, the tag
//! last, attachments after what they are attached to. So whatever is cut
//! short, the tag over there is whole, and the next try sends the rest.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::access::Level;
use crate::backoff::Retry;
use crate::event::Cause;
use crate::limits;
use crate::oci::{Digest, Reference, Tag};
use crate::registry::copy::{Closure, Lack, closure};
use crate::registry::{Caller, Registry, RegistryError};
use crate::remote::{MountOutcome, Registry as Client, RemoteError};
use crate::store::file::{BlobFile, FileError};
use crate::store::quarantine::{self, Held};
use crate::store::record::{Policy, PolicyBody, Remote, Transfer};
use crate::store::{Read, StoreError, blob, manifest, policy, repo, tag};

use super::log::JobLog;
use super::remote::{RemoteSettingError, Remotes, same_origin};
use super::settle::Outcome;

/// Why a transfer failed.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The other registry, or the way there.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// The policy's own settings.
    #[error(transparent)]
    Setting(#[from] RemoteSettingError),
    /// This registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// An index names a manifest that is yet to come.
    #[error("child {child} is not here yet")]
    Incomplete {
        /// The manifest.
        child: Digest,
    },
    /// What was to be moved is not (or not as promised) there.
    #[error("{0}")]
    Content(String),
}

impl From<StoreError> for TransferError {
    fn from(error: StoreError) -> Self {
        Self::Registry(error.into())
    }
}

impl TransferError {
    /// The outcome that a try ends in.
    pub fn outcome(&self, bytes: u64) -> Outcome {
        let retry = match self {
            Self::Remote(error) => error.retry(),
            Self::Registry(
                RegistryError::Full
                | RegistryError::Exhausted
                | RegistryError::Store(_)
                | RegistryError::Quarantined { .. },
            )
            | Self::Incomplete { .. } => Retry::Soon,
            // Room comes when somebody makes some.
            Self::Registry(RegistryError::Quota(_)) => Retry::Slowly,
            Self::Setting(_) | Self::Registry(_) | Self::Content(_) => Retry::Slowly,
        };
        let why = match self {
            Self::Remote(error) => error.chain(),
            other => crate::store::error_chain(other),
        };
        Outcome::Failed { why, retry, bytes }
    }
}

/// One try to send a tag.
pub struct Push<'a> {
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
    /// Bytes sent so far.
    pub bytes: AtomicU64,
}

impl Push<'_> {
    /// Tries; how it went.
    pub async fn run(&self) -> Outcome {
        match self.attempt().await {
            Ok(outcome) => outcome,
            Err(error) => error.outcome(self.bytes.load(Ordering::Relaxed)),
        }
    }

    async fn attempt(&self) -> Result<Outcome, TransferError> {
        let PolicyBody::Push { remote } = &self.policy.body else {
            return Ok(Outcome::Gone { why: "the policy is no push mirror".to_owned() });
        };
        let source = self.policy.repository;
        let found = {
            let read = self.registry.store().snapshot()?;
            if let Err(why) = owner_may(&read, self.policy, Level::ReadOnly)? {
                return Err(TransferError::Content(why));
            }
            if manifest::is_linked(&read, source, &self.transfer.want)? {
                Some(closure(&read, source, &self.transfer.want)??)
            } else {
                None
            }
        };
        let Some(closure) = found else {
            return Ok(Outcome::Gone { why: format!("{} is not here any more", self.transfer.want) });
        };
        let remote_tag: Tag = self
            .transfer
            .remote_tag
            .parse()
            .map_err(|error| TransferError::Content(format!("the tag {}: {error}", self.transfer.remote_tag)))?;
        match closure.lacks {
            None => {}
            Some(Lack::Absent(child)) => return Err(TransferError::Incomplete { child }),
            Some(Lack::Damaged(held)) => return Err(RegistryError::Quarantined { held }.into()),
        }
        if let Some(child) = self.hole(&closure)? {
            return Err(TransferError::Incomplete { child });
        }
        let client = self.remotes.client(&self.policy.id, remote)?;
        let there = client.head_manifest(&Reference::Tag(remote_tag.clone())).await?;
        let is_there = there.is_some_and(|there| there.digest == self.transfer.want);
        let sent = self.send(&client, remote, &closure, &remote_tag, is_there).await?;
        let bytes = self.bytes.load(Ordering::Relaxed);
        if sent == 0 {
            self.log.line(format!("{}:{remote_tag} is {} already", remote.repository, self.transfer.want));
        } else {
            self.log
                .line(format!("{}:{remote_tag} is {} now; {bytes} bytes sent", remote.repository, self.transfer.want));
        }
        Ok(Outcome::Done { bytes, moved: sent > 0 })
    }

    /// A manifest that an index names and that is not here, unless it is missing
    /// by intent: the index was brought in without it, or has stood without it
    /// for [`limits::SPARSE_AFTER`]. Then the index is sparse, here and there.
    fn hole(&self, closure: &Closure) -> Result<Option<Digest>, TransferError> {
        let read = self.registry.store().snapshot()?;
        let source = self.policy.repository;
        let value = tag::get(&read, source, self.tag)?.filter(|value| value.digest == self.transfer.want);
        let is_sparse = value.is_some_and(|value| {
            let age = self.registry.store().now().since(value.set_at);
            matches!(value.cause, Cause::PullMirror { .. }) || age >= limits::SPARSE_AFTER
        });
        for digest in &closure.manifests {
            let Some(record) = manifest::links(&read, digest)? else { continue };
            for child in record.links.children.iter().filter(|child| child.is_manifest) {
                if manifest::is_linked(&read, source, &child.digest)? {
                    continue;
                }
                if !is_sparse {
                    return Ok(Some(child.digest));
                }
                self.log.line(format!("{digest} is sent without {}, which is not here", child.digest));
            }
        }
        Ok(None)
    }

    /// Sends what the far side lacks; how many manifests that were.
    async fn send(
        &self,
        client: &Client,
        remote: &Remote,
        closure: &Closure,
        remote_tag: &Tag,
        root_is_there: bool,
    ) -> Result<usize, TransferError> {
        let mut sent = 0;
        // The closure lists the root's tree first, the root at its end, and
        // attachments after it. An index that is there may be sparse over
        // there: its entries are asked for all the same.
        let root = closure.manifests.iter().position(|digest| *digest == self.transfer.want).unwrap_or(0);
        for (place, digest) in closure.manifests.iter().enumerate() {
            if root_is_there && place == root {
                continue;
            }
            let by_digest = Reference::Digest(*digest);
            if place != root && client.head_manifest(&by_digest).await?.is_some() {
                continue;
            }
            let reference = if place == root { Reference::Tag(remote_tag.clone()) } else { by_digest };
            self.send_manifest(client, remote, digest, &reference).await?;
            sent += 1;
        }
        for (name, digest) in &closure.attachments {
            let reference = Reference::Tag(name.clone());
            if client.head_manifest(&reference).await?.is_some_and(|there| there.digest == *digest) {
                continue;
            }
            self.send_manifest(client, remote, digest, &reference).await?;
            sent += 1;
        }
        Ok(sent)
    }

    async fn send_manifest(
        &self,
        client: &Client,
        remote: &Remote,
        digest: &Digest,
        reference: &Reference,
    ) -> Result<(), TransferError> {
        let source = self.policy.repository;
        let gone = || TransferError::Content(format!("{digest} went away while it was sent"));
        let (kind, bytes) = self.registry.manifest_of(source, digest).await?.ok_or_else(gone)?;
        let blobs: BTreeSet<(Digest, u64)> = {
            let read = self.registry.store().snapshot()?;
            let links = manifest::links(&read, digest)?.ok_or_else(gone)?.links;
            let entries = links.children.iter().filter(|child| !child.is_manifest).map(|child| child.digest);
            let named = links.blobs().map(|link| link.digest).chain(entries).collect::<BTreeSet<_>>();
            let mut here = BTreeSet::new();
            for digest in named {
                if let Some(blob) = blob::get_in(&read, source, &digest)? {
                    here.insert((digest, blob.size));
                }
            }
            here
        };
        futures_util::stream::iter(blobs.into_iter().map(Ok))
            .try_for_each_concurrent(limits::REMOTE_PARALLEL_BLOBS, |(digest, size)| {
                self.send_blob(client, remote, digest, size)
            })
            .await?;
        client.put_manifest(reference, Bytes::from(bytes), kind.as_str()).await?;
        self.log.line(format!("sent manifest {reference}"));
        Ok(())
    }

    async fn send_blob(
        &self,
        client: &Client,
        remote: &Remote,
        digest: Digest,
        size: u64,
    ) -> Result<(), TransferError> {
        if client.has_blob(&digest).await? {
            return Ok(());
        }
        let upload = match self.elsewhere(remote, &digest)? {
            Some(from) => match client.mount_blob(&digest, &from).await? {
                MountOutcome::Mounted => {
                    self.log.line(format!("mounted {digest} from {from}"));
                    return Ok(());
                }
                MountOutcome::Upload(upload) => upload,
            },
            None => client.start_upload().await?,
        };
        let file = {
            let read = self.registry.store().snapshot()?;
            let Some(blob) = blob::get_in(&read, self.policy.repository, &digest)? else {
                let held = Held::blob(digest);
                return Err(match quarantine::has(&read, &held)? {
                    true => RegistryError::Quarantined { held }.into(),
                    false => TransferError::Content(format!("the blob {digest} went away")),
                });
            };
            BlobFile { digest, upload: blob.upload }
        };
        let files = self.registry.store().files().clone();
        let open = move || match files.open_blob(&file, size) {
            Ok(Some(reader)) => reader.into_stream().map_err(of_file).left_stream(),
            Ok(None) => failed(std::io::Error::from(std::io::ErrorKind::NotFound)).right_stream(),
            Err(error) => failed(of_file(error)).right_stream(),
        };
        client.fill_upload(upload, &digest, size, open).await?;
        self.bytes.fetch_add(size, Ordering::Relaxed);
        self.log.line(format!("sent blob {digest}, {size} bytes"));
        Ok(())
    }

    /// Another repository over there that should have the blob: one that a
    /// push mirror of ours fills from a repository that has it.
    fn elsewhere(
        &self,
        remote: &Remote,
        digest: &Digest,
    ) -> Result<Option<crate::remote::RemoteRepository>, TransferError> {
        const LOOKS: usize = 16;
        let read = self.registry.store().snapshot()?;
        for number in blob::repositories(&read, digest, LOOKS)? {
            for other in policy::of(&read, number)? {
                let PolicyBody::Push { remote: there } = &other.body else { continue };
                let is_candidate = there.repository != remote.repository
                    && there.username == remote.username
                    && same_origin(&there.host, &remote.host)
                    && policy::status(&read, &other.id)?.last_moved_at.is_some();
                if is_candidate && let Ok(from) = there.repository.parse() {
                    return Ok(Some(from));
                }
            }
        }
        Ok(None)
    }
}

fn of_file(error: FileError) -> std::io::Error {
    std::io::Error::other(error)
}

fn failed(error: std::io::Error) -> futures_util::stream::Iter<std::vec::IntoIter<std::io::Result<Bytes>>> {
    futures_util::stream::iter(vec![Err(error)])
}

/// Whether a policy's owner still has `needed` on the repository it stands on;
/// if not, words for why.
pub fn owner_may(read: &impl Read, policy: &Policy, needed: Level) -> Result<Result<Caller, String>, StoreError> {
    let Some(owner) = Caller::of_owner(read, policy.owner)? else {
        return Ok(Err("the account that saved the policy is gone; save the policy again".to_owned()));
    };
    let Some(name) = repo::name_of(read, policy.repository)? else {
        return Ok(Err("the repository is gone".to_owned()));
    };
    Ok(match owner.require(read, &name, needed)? {
        Ok(_) => Ok(owner),
        Err(_) => Err(format!(
            "{}, who saved the policy, has no {} access to {name} any more",
            owner.label(),
            needed.as_str()
        )),
    })
}
