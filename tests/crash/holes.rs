//! What shows that the power cuts of this program find what they are to find: a
//! store that leaves out one of its syncs, or takes one step of its write order
//! too late, is given away.
//!
//! The store itself is whole; the simulated disk does not hear of the sync. Each
//! is of one place in the store, so a test that finds nothing any more says
//! which place nobody looks at.

use std::path::Path;

use crate::first;
use crate::storage::given_away;
use crate::tape::Hole;
use crate::tape::Which::{All, First, Only, Second};

/// Cuts within which a hole has to show. Most do within sixty; the rarest need a
/// second run of the work.
const CUTS: usize = 1_200;

async fn shows(hole: Hole) {
    let (cuts, why) = given_away(hole, CUTS).await.expect("nobody noticed");
    println!("{hole:?}: {cuts} cuts; {}", why.lines().next().unwrap_or_default());
}

async fn shows_at_the_first_start(hole: Hole) {
    let why = first::walk(Some(hole)).await.expect_err("nobody noticed");
    println!("{hole:?}: {}", why.lines().next().unwrap_or_default());
}

#[tokio::test]
async fn without_a_sync_of_a_blobs_bytes() {
    shows(Hole::Bytes(All, is_upload)).await;
}

#[tokio::test]
async fn without_a_sync_of_a_blobs_name() {
    shows(Hole::Names(All, |path| path.parent().is_some_and(|parent| parent.ends_with("sha256")))).await;
}

#[tokio::test]
async fn without_the_sync_of_the_names_of_the_folders_of_blobs() {
    shows(Hole::Names(All, |path| path.ends_with("sha256"))).await;
}

#[tokio::test]
async fn without_a_sync_of_the_names_of_the_algorithms() {
    shows(Hole::Names(All, |path| path.ends_with("blobs"))).await;
}

#[tokio::test]
async fn without_a_sync_of_the_name_of_the_folder_of_blobs() {
    // The third of the data folder's: when the folders for files are there.
    shows(Hole::Names(Only(3), is_data_folder)).await;
}

#[tokio::test]
async fn without_the_first_sync_of_a_commit() {
    shows(Hole::Bytes(First, |path| path.ends_with("tidegate.redb"))).await;
}

#[tokio::test]
async fn without_the_second_sync_of_a_commit() {
    shows(Hole::Bytes(Second, |path| path.ends_with("tidegate.redb"))).await;
}

#[tokio::test]
async fn with_a_commit_before_its_files() {
    shows(Hole::Late).await;
}

#[tokio::test]
async fn without_a_sync_of_the_name_of_a_new_data_folder() {
    shows_at_the_first_start(Hole::Names(All, |path| path == Path::new("deep"))).await;
}

#[tokio::test]
async fn without_a_sync_of_the_name_of_a_new_folder_above_it() {
    shows_at_the_first_start(Hole::Names(All, |path| path == Path::new(""))).await;
}

#[tokio::test]
async fn without_the_syncs_of_a_new_databases_bytes() {
    shows_at_the_first_start(Hole::Bytes(All, is_new_database)).await;
}

#[tokio::test]
async fn without_a_sync_of_a_new_databases_name() {
    shows_at_the_first_start(Hole::Names(Only(1), is_data_folder)).await;
}

#[tokio::test]
async fn without_a_sync_of_the_markers_bytes() {
    shows_at_the_first_start(Hole::Bytes(All, |path| path.ends_with("generation.new"))).await;
}

#[tokio::test]
async fn without_a_sync_of_the_markers_name() {
    shows_at_the_first_start(Hole::Names(Only(2), is_data_folder)).await;
}

/// Two syncs cannot be missed by any cut, because others do the same work:
///
/// - the store's own of the new database, before it gets its name: redb has
///   synced every commit by then, and what it writes while it closes the file
///   only spares the next start a repair;
/// - that of the name of the folder above the data folder where it was made at
///   this start: it was synced when it was made. It is there for a folder that
///   somebody else made a moment ago.
#[tokio::test]
async fn two_syncs_are_there_for_good_measure() {
    for hole in [Hole::Bytes(Only(10), is_new_database), Hole::Names(Only(2), |path| path == Path::new("deep"))] {
        first::walk(Some(hole)).await.expect("the others do its work");
    }
}

fn is_upload(path: &Path) -> bool {
    path.ends_with("data") && path.components().any(|part| part.as_os_str() == "uploads")
}

fn is_data_folder(path: &Path) -> bool {
    path.ends_with("data") && !is_upload(path)
}

fn is_new_database(path: &Path) -> bool {
    path.ends_with("tidegate.redb.new")
}
