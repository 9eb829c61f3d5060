//! Blob files and upload sessions, on the file system and nothing else.
//!
//! The database says what exists; this folder keeps the bytes and the order
//! in which they become durable. Under the data folder:
//!
//! ```text
//! uploads/<upload id>/session        who uploads what to where, as JSON
//! uploads/<upload id>/data           the bytes so far
//! blobs/<algorithm>/<2 hex>/<hex>.<upload id>
//! ```
//!
//! **The write order.** Bytes are hashed while they are appended to `data`. An
//! upload whose hash is the digest that was promised is *sealed*: `data` is
//! synced, renamed to its place under `blobs`, and that directory is synced.
//! Only then may the caller commit a row that names the file, and only after
//! that commit answer. A death at any step leaves an orphan: a session that
//! can go on, or a file that no row names. It never leaves a name without
//! its bytes.
//!
//! **A blob file is unique to its upload**, so removing the file of a dropped
//! name can never hit a fresh upload of the same digest.
//!
//! **A failed sync is final.** The kernel may have thrown the pages away and
//! marked them clean, so a second try would lie. `FileError::is_fatal` says
//! so, every later seal answers the same, and the process has to stop.
//!
//! Nothing here starts a task. Calls block, but for `append_stream` and
//! `BlobReader::next_chunk`, which go to the blocking pool where they must.

mod append;
mod buffers;
mod disk;
mod durable;
mod error;
mod files;
mod flaw;
mod hash;
mod inspect;
mod place;
mod read;
mod session;
mod traffic;
mod upload;
mod upload_id;
mod walk;

#[cfg(all(test, debug_assertions))]
mod crash_test;

pub use append::{AppendError, append_stream};
pub use disk::{Disk, Keep, Level};
pub use error::{FileError, SealError};
pub use files::{Files, Room};
pub use flaw::Flaw;
pub use hash::Hashed;
pub use inspect::{Inspector, Step};
pub use place::BlobFile;
pub use read::BlobReader;
pub use session::{BrokenSession, Fault, Session, SessionOnDisk, Sessions};
pub use traffic::Traffic;
pub use upload::{Mark, Sealed, Upload};
pub use upload_id::{UploadId, UploadIdError};
pub use walk::{Found, Walk};
