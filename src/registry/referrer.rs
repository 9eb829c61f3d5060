//! The referrers listing.
//!
//! Clients of registries without it attach by a tag, `<algorithm>-<hash>` on an
//! index of what is attached (distribution specification, "Referrers Tag
//! Schema"). Such an index stays a tag like any other; its entries are listed
//! here with those that name their subject themselves, as one list.

use std::ops::ControlFlow;

use crate::access::Level;
use crate::limits;
use crate::oci::index::entries;
use crate::oci::{Descriptor, Digest, RepoName, attachment};
use crate::store::quarantine::Held;
use crate::store::{RepoId, Snapshot, manifest, referrer, tag};

use super::quarantine::damaged_in;
use super::{Caller, Registry, RegistryError};

/// About how many bytes a descriptor has in a listing: its annotations, which
/// may have as many as a manifest, and the rest.
fn listed_bytes(descriptor: &Descriptor) -> usize {
    let pairs = descriptor.annotations.iter();
    limits::LISTED_ENTRY_BYTES as usize * 2 + pairs.map(|(key, value)| key.len() + value.len() + 8).sum::<usize>()
}

impl Registry {
    /// One page of the manifests attached to `subject`, of one artifact type
    /// if it is given, after `last`; and whether more follow: a page has at most
    /// `entries`, and ends where it has [`limits::REFERRERS_PAGE_BYTES`]. An
    /// unknown subject has none.
    pub fn referrers(
        &self,
        caller: &Caller,
        repository: &RepoName,
        subject: &Digest,
        artifact_type: Option<&str>,
        last: Option<&Digest>,
        entries: usize,
    ) -> Result<(Vec<Descriptor>, bool), RegistryError> {
        let read = self.store().snapshot()?;
        let record = caller.require(&read, repository, Level::ReadOnly)??;
        let mut found = Vec::new();
        let (mut more, mut bytes) = (false, 0);
        let by_tag = self.attached_by_tag(&read, record.number, subject, last)?;
        let mut by_tag = by_tag.into_iter().peekable();
        let mut each = |descriptor: Descriptor| {
            if artifact_type.is_some_and(|wanted| descriptor.artifact_type.as_deref() != Some(wanted)) {
                return ControlFlow::Continue(());
            }
            bytes += listed_bytes(&descriptor);
            if found.len() == entries || (bytes > limits::REFERRERS_PAGE_BYTES && !found.is_empty()) {
                more = true;
                return ControlFlow::Break(());
            }
            found.push(descriptor);
            ControlFlow::Continue(())
        };
        // Both are in the order of their digests, and none is in both.
        let mut ended = false;
        referrer::walk(&read, record.number, subject, last, |descriptor| {
            while let Some(earlier) = by_tag.next_if(|entry| entry.digest.key() < descriptor.digest.key()) {
                if each(earlier).is_break() {
                    ended = true;
                    return Ok(ControlFlow::Break(()));
                }
            }
            let flow = each(descriptor);
            ended = flow.is_break();
            Ok(flow)
        })?;
        for rest in by_tag {
            if ended || each(rest).is_break() {
                break;
            }
        }
        Ok((found, more))
    }

    /// What an index under the tag for `subject` lists after `last`, and that
    /// does not name its subject itself; in the order of the digests.
    fn attached_by_tag(
        &self,
        read: &Snapshot,
        repository: RepoId,
        subject: &Digest,
        last: Option<&Digest>,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let Some(value) =
            tag::get(read, repository, &attachment::index_tag(subject))?.filter(|value| value.kind.is_index())
        else {
            return Ok(Vec::new());
        };
        let Some(body) = manifest::body_in(read, repository, &value.digest)? else {
            // A list that lacks a signature without a word would be believed.
            let held = Held::manifest(value.digest);
            return match damaged_in(read, repository, &held)? {
                true => Err(RegistryError::Quarantined { held }),
                false => Ok(Vec::new()),
            };
        };
        let mut found = Vec::new();
        for mut entry in entries(&self.read_now(&value.digest, body.size, body.bytes)?) {
            if last.is_some_and(|last| entry.digest.key() <= last.key())
                || !manifest::is_linked(read, repository, &entry.digest)?
                || referrer::get(read, repository, subject, &entry.digest)?.is_some()
            {
                continue;
            }
            if entry.artifact_type.is_none() {
                let record = manifest::links(read, &entry.digest)?;
                entry.artifact_type = record.map(|record| record.artifact_type).filter(|kind| !kind.is_empty());
            }
            found.push(entry);
        }
        found.sort_by_key(|entry| entry.digest.key());
        found.dedup_by_key(|entry| entry.digest);
        Ok(found)
    }
}
