//! How deep indexes may lie in each other.
//!
//! Clients, promotions and mirrors follow an index down; one in another
//! without end would have each of them walk for ever. An index may come before
//! or after the ones it names, so both ways are looked at.

use std::collections::HashSet;

use crate::limits;
use crate::oci::{Digest, Links, ManifestError};
use crate::store::{Read, RepoId, StoreError, manifest};

use super::RegistryError;

/// Manifests looked at for one push: what one index may name, and the indexes
/// of the largest closure.
const LOOKED_AT: usize = limits::MANIFEST_ENTRIES + limits::CLOSURE_MANIFESTS;

/// Whether `digest`, which names `links`, may stand in `repo`.
pub(super) fn check(
    read: &impl Read,
    repo: RepoId,
    digest: &Digest,
    links: &Links,
) -> Result<Result<(), RegistryError>, StoreError> {
    if links.children.is_empty() {
        return Ok(Ok(()));
    }
    let mut left = LOOKED_AT;
    let too_large = || Ok(Err(RegistryError::ClosureTooLarge { digest: *digest }));
    let mut level = manifests_of(links);
    let mut depth = 1;
    while !level.is_empty() && depth <= limits::INDEX_DEPTH {
        let Some(rest) = left.checked_sub(level.len()) else { return too_large() };
        left = rest;
        let (mut below, mut has_index) = (HashSet::new(), false);
        for child in level {
            if manifest::is_linked(read, repo, &child)?
                && let Some(found) = manifest::links(read, &child)?
                && !found.links.children.is_empty()
            {
                has_index = true;
                below.extend(manifests_of(&found.links));
            }
        }
        depth += usize::from(has_index);
        level = below;
    }
    let mut level = HashSet::from([*digest]);
    while depth <= limits::INDEX_DEPTH {
        let mut above = HashSet::new();
        for child in level {
            above.extend(manifest::parents_in(read, repo, &child, left)?);
        }
        if above.is_empty() {
            return Ok(Ok(()));
        }
        let Some(rest) = left.checked_sub(above.len()).filter(|rest| *rest > 0) else { return too_large() };
        left = rest;
        depth += 1;
        level = above;
    }
    Ok(Err(ManifestError::TooDeep.into()))
}

fn manifests_of(links: &Links) -> HashSet<Digest> {
    links.children.iter().filter(|child| child.is_manifest).map(|child| child.digest).collect()
}
