//! Tags with their values, as the management API lists them.

use std::ops::ControlFlow;

use crate::access::Level;
use crate::limits;
use crate::oci::{Digest, Links, Reference, RepoName, Tag};
use crate::store::record::{ManifestBody, TagValue};
use crate::store::{Read, StoreError, manifest, tag};

use super::{Caller, Registry, RegistryError};

/// A page of tags, and the tag that follows it.
pub type TagPage = (Vec<(Tag, TagValue)>, Option<Tag>);

/// The bytes of what a manifest names: configuration and layers, of all images
/// of an index. None when the manifest is not here, or names more images than
/// a listing looks at.
pub fn image_size(read: &impl Read, digest: &Digest) -> Result<Option<u64>, StoreError> {
    let own = |links: &Links| links.blobs().map(|link| link.size).fold(0, u64::saturating_add);
    let Some(record) = manifest::links(read, digest)? else { return Ok(None) };
    let children = &record.links.children;
    if children.len() > limits::SIZED_ENTRIES {
        return Ok(None);
    }
    let mut sum = own(&record.links);
    for child in children {
        let size = match manifest::links(read, &child.digest)? {
            Some(record) if child.is_manifest => own(&record.links),
            // Absent, or a blob.
            _ => child.size,
        };
        sum = sum.saturating_add(size);
    }
    Ok(Some(sum))
}

impl Registry {
    /// The value of one tag.
    pub fn tag_value(&self, caller: &Caller, repository: &RepoName, name: &Tag) -> Result<TagValue, RegistryError> {
        let read = self.store().snapshot()?;
        let record = caller.require(&read, repository, Level::ReadOnly)??;
        tag::get(&read, record.number, name)?.ok_or_else(|| RegistryError::ManifestUnknown {
            reference: Reference::Tag(name.clone()),
            repository: repository.clone(),
        })
    }

    /// Up to `limit` tags that a manifest has, in byte order.
    pub fn tags_of(
        &self,
        caller: &Caller,
        repository: &RepoName,
        digest: &Digest,
        limit: usize,
    ) -> Result<Vec<(Tag, TagValue)>, RegistryError> {
        let read = self.store().snapshot()?;
        let record = caller.require(&read, repository, Level::ReadOnly)??;
        if !manifest::is_linked(&read, record.number, digest)? {
            let reference = Reference::Digest(*digest);
            return Err(RegistryError::ManifestUnknown { reference, repository: repository.clone() });
        }
        let mut found = Vec::new();
        for name in tag::of_digest(&read, record.number, digest, limit)? {
            if let Some(value) = tag::get(&read, record.number, &name)? {
                found.push((name, value));
            }
        }
        Ok(found)
    }

    /// Up to `limit` tags in byte order, from the one at or after `start`.
    pub fn tag_values(
        &self,
        caller: &Caller,
        repository: &RepoName,
        start: Option<&str>,
        limit: usize,
    ) -> Result<TagPage, RegistryError> {
        let read = self.store().snapshot()?;
        let record = caller.require(&read, repository, Level::ReadOnly)??;
        let mut found = Vec::new();
        let mut next = None;
        if let Some(first) = start.and_then(|start| start.parse::<Tag>().ok())
            && let Some(value) = tag::get(&read, record.number, &first)?
        {
            found.push((first, value));
        }
        tag::walk(&read, record.number, start, |name, value| {
            if found.len() >= limit {
                next = Some(name);
                return Ok(ControlFlow::Break(()));
            }
            found.push((name, value));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((found, next))
    }

    /// Up to `limit` manifests in the order of their digests, after `last`,
    /// each with its kind and length; and whether more follow.
    pub fn manifest_bodies(
        &self,
        caller: &Caller,
        repository: &RepoName,
        last: Option<&Digest>,
        limit: usize,
    ) -> Result<(Vec<(Digest, ManifestBody)>, bool), RegistryError> {
        let read = self.store().snapshot()?;
        let record = caller.require(&read, repository, Level::ReadOnly)??;
        let mut found = Vec::new();
        let mut more = false;
        manifest::walk(&read, record.number, last, |digest| {
            if found.len() >= limit {
                more = true;
                return Ok(ControlFlow::Break(()));
            }
            if let Some(body) = manifest::body(&read, &digest)? {
                found.push((digest, body));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((found, more))
    }
}
