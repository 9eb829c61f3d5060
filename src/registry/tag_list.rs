//! Tags with their values, as the management API lists them.

use std::ops::ControlFlow;

use crate::access::Level;
use crate::oci::{Digest, Reference, RepoName, Tag};
use crate::store::record::{ManifestBody, TagValue};
use crate::store::{manifest, tag};

use super::{Caller, Registry, RegistryError};

/// A page of tags, and the tag that follows it.
pub type TagPage = (Vec<(Tag, TagValue)>, Option<Tag>);

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
