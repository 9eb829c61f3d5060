//! Blob files that no row names: what a crash left between a rename and its
//! commit, and a client that went away between its last byte and the answer.
//!
//! They are counted before any is removed. A crash leaves as many as were being
//! uploaded; where far more have no name, it is the names that were lost (an old
//! copy of the database was put in place), and removing the files would make
//! that final. Then nothing goes until somebody agrees: `tidegate gc run --yes`.

use std::collections::HashSet;

use crate::lifecycle;
use crate::limits;
use crate::registry::{Registry, RegistryError};
use crate::store::blob;
use crate::store::file::{BlobFile, Found, Walk};

/// Files that are looked at in one go.
const SLICE: usize = 1_024;

/// What a look found, or a removal did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orphans {
    /// Blob files that are there.
    pub(super) files: usize,
    /// Those of them that nothing names.
    pub(super) orphans: usize,
    /// Those that were removed.
    pub(super) removed: usize,
}

impl Orphans {
    /// Whether so many have no name that it must be the names that were lost.
    fn are_too_many(&self) -> bool {
        self.orphans > limits::ORPHANS_USUAL && self.orphans > self.files / limits::ORPHANS_FUSE
    }
}

/// Removes them; with too many, only with somebody's consent.
pub(super) async fn remove(registry: &Registry, consent: bool) -> Result<Orphans, RegistryError> {
    let found = walk(registry, false).await?;
    if found.orphans == 0 {
        return Ok(found);
    }
    let (files, orphans) = (found.files, found.orphans);
    if found.are_too_many() && !consent {
        tracing::error!(
            files,
            orphans,
            "so many blob files have no name in the database that it may be an old copy: none is removed; \
             look with `tidegate verify`, and if they are to go, run `tidegate gc run --yes`"
        );
        return Ok(found);
    }
    let done = walk(registry, true).await?;
    tracing::info!(files = done.removed, "files that nothing names were removed");
    Ok(done)
}

async fn walk(registry: &Registry, removes: bool) -> Result<Orphans, RegistryError> {
    let files = registry.store().files().clone();
    let mut walk = files.walk()?;
    let mut sum = Orphans::default();
    loop {
        let slice;
        (walk, slice) = lifecycle::blocking(move || next(walk)).await;
        if slice.is_empty() {
            return Ok(sum);
        }
        sum.files += slice.len();
        let orphans = without_name(registry, slice)?;
        sum.orphans += orphans.len();
        if !removes {
            continue;
        }
        let disk = files.clone();
        sum.removed += lifecycle::blocking(move || {
            let removed = |file: &BlobFile| match disk.unlink(file) {
                Ok(was_there) => was_there,
                Err(error) => {
                    tracing::warn!(error = %error, "a file without a name could not be removed");
                    false
                }
            };
            orphans.iter().filter(|file| removed(file)).count()
        })
        .await;
    }
}

fn next(mut walk: Walk) -> (Walk, Vec<BlobFile>) {
    let mut slice = Vec::new();
    for found in walk.by_ref() {
        match found {
            Ok(Found::Blob { file, .. }) => slice.push(file),
            Ok(Found::Stranger(path)) => {
                tracing::warn!(path = %path.display(), "a file that is not ours lies among the blobs");
            }
            Err(error) => tracing::warn!(error = %error, "a folder of blobs could not be read"),
        }
        if slice.len() == SLICE {
            break;
        }
    }
    (walk, slice)
}

fn without_name(registry: &Registry, files: Vec<BlobFile>) -> Result<Vec<BlobFile>, RegistryError> {
    // Live uploads are listed before the names are looked up: a file that was
    // sealed and committed in between is found by its name.
    let live: HashSet<_> = registry.open_uploads().into_iter().collect();
    let read = registry.store().snapshot()?;
    let mut orphans = Vec::new();
    for file in files {
        if !live.contains(&file.upload) && !blob::names_file(&read, &file)? && !blob::is_to_unlink(&read, &file)? {
            orphans.push(file);
        }
    }
    Ok(orphans)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::clock::Clock;
    use crate::oci::Digest;
    use crate::store::Store;
    use crate::store::file::UploadId;

    #[tokio::test]
    async fn a_few_go_and_a_folder_full_stays_until_somebody_agrees() {
        // An old copy of the database was put over newer blobs: within seconds
        // of the start all of them were gone, and with them the images.
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), Clock::system(), Chance::seeded(1)).unwrap();
        let registry = Registry::new(store.clone()).unwrap();
        let fill = |count: usize| {
            for number in 0..count {
                let bytes = number.to_be_bytes();
                let upload = UploadId::new(store.chance());
                store.files().write_small(&Digest::sha256_of(&bytes), &bytes, upload).unwrap();
            }
        };
        fill(limits::ORPHANS_USUAL);
        let some = remove(&registry, false).await.unwrap();
        assert_eq!((some.files, some.removed), (limits::ORPHANS_USUAL, limits::ORPHANS_USUAL));
        fill(limits::ORPHANS_USUAL + 1);
        let many = remove(&registry, false).await.unwrap();
        assert_eq!((many.orphans, many.removed), (limits::ORPHANS_USUAL + 1, 0));
        assert_eq!(remove(&registry, true).await.unwrap().removed, limits::ORPHANS_USUAL + 1);
        assert_eq!(remove(&registry, true).await.unwrap(), Orphans::default());
    }
}
