//! Data folders as past formats wrote them: every later version opens a copy,
//! finds it whole, reads what is known to be in it, and serves it.
//!
//! `v1/` was written by `the_golden_database_is_written` and is never written
//! again: what a format looked like is not for later code to say. A format that
//! changes gets a folder beside it and a maker of its own, and this list grows.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

mod known;
mod make;
mod serve;

use std::path::{Path, PathBuf};

/// The folder of a format.
fn golden(format: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format)
}

/// A copy of a folder, to be opened: opening writes.
fn copy(from: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_below(from, folder.path());
    folder
}

fn copy_below(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_below(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_format_is_read() {
    let folder = copy(&golden("v1"));
    known::v1(folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_format_is_served() {
    let folder = copy(&golden("v1"));
    serve::v1(folder.path()).await;
}

/// What the maker writes is what the tests of the golden database expect: a
/// maker that has rotted would not write the next one.
#[tokio::test(flavor = "multi_thread")]
async fn the_maker_still_makes_what_is_known() {
    let folder = tempfile::tempdir().unwrap();
    make::v1(folder.path()).await;
    known::v1(folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes tests/golden/v1; for whoever makes a golden database"]
async fn the_golden_database_is_written() {
    let place = golden("v1");
    assert!(!place.exists(), "{} is there, and a golden database is never written again", place.display());
    make::v1(&place).await;
}
