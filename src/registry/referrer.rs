//! The referrers listing.

use std::ops::ControlFlow;

use crate::access::Level;
use crate::oci::{Descriptor, Digest, RepoName};
use crate::store::referrer;

use super::{Caller, Registry, RegistryError};

impl Registry {
    /// One page of the manifests attached to `subject`, of one artifact type
    /// if it is given, after `last`; and whether more follow. An unknown
    /// subject has none.
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
        let mut more = false;
        referrer::walk(&read, record.number, subject, last, |descriptor| {
            if artifact_type.is_some_and(|wanted| descriptor.artifact_type.as_deref() != Some(wanted)) {
                return Ok(ControlFlow::Continue(()));
            }
            if found.len() == entries {
                more = true;
                return Ok(ControlFlow::Break(()));
            }
            found.push(descriptor);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((found, more))
    }
}
