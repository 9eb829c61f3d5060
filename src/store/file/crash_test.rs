//! What lies on the disk when the process dies at each named point.
//!
//! The flow is ended at every point in turn, the folder is opened as a restart
//! would, and the promise of the write order is checked: bytes are under a
//! name only when they hash to it, what had not got there can go on or is
//! found broken, and the same upload can be done again.

use std::fs;
use std::sync::{Arc, Mutex};

use crate::clock::Timestamp;
use crate::oci::{Algorithm, Digest};
use crate::store::crash::{self, Interrupted};

use super::{BlobFile, Fault, Files, Found, Sealed, Session, UploadId};

const ID: UploadId = UploadId::from_bytes([1; 16]);
const BYTES: &[u8] = b"a layer, sent in two parts";

/// What a restart finds.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    /// Offset of the session that can go on.
    session: Option<u64>,
    /// What is wrong with the session that cannot.
    fault: Option<Fault>,
    /// Whether the blob's file is in its place.
    blob: bool,
}

#[test]
fn after_every_point_the_disk_holds_what_the_write_order_promises() {
    let left = |session, fault, blob| Left { session, fault, blob };
    let half = Some(BYTES.len() as u64 / 2);
    let all = Some(BYTES.len() as u64);
    let expected = [
        ("upload-folder-created", 1, left(None, Some(Fault::NoSession), false)),
        ("upload-session-written", 1, left(None, Some(Fault::NoData), false)),
        ("upload-data-written", 1, left(half, None, false)),
        ("upload-data-written", 2, left(all, None, false)),
        ("blob-shards-created", 1, left(all, None, false)),
        ("upload-data-synced", 1, left(all, None, false)),
        ("blob-renamed", 1, left(None, Some(Fault::NoData), true)),
        ("blob-directory-synced", 1, left(None, Some(Fault::NoData), true)),
        ("upload-folder-removed", 1, left(None, None, true)),
        ("blob-unlinked", 1, left(None, None, false)),
    ];
    for (point, nth, expected) in &expected {
        let root = tempfile::tempdir().expect("a folder");
        let ended = crash::interrupt(point, *nth, || {
            let files = Files::open(root.path()).expect("opened");
            let sealed = upload(&files, ID);
            files.unlink(&sealed.file).expect("removed");
        });
        assert_eq!(ended, Err(Interrupted(point)), "the flow meets the point");
        let files = Files::open(root.path()).expect("opened again");
        assert_eq!(&find(&files), expected, "after {point}, hit {nth}");
        go_on(&files, expected.session);
        // What is left can be cleared, and another upload goes through.
        files.drop_upload(ID).expect("dropped");
        upload(&files, UploadId::from_bytes([2; 16]));
    }
    for point in crash::POINTS.iter().filter(|point| point.starts_with("upload-") || point.starts_with("blob-")) {
        assert!(expected.iter().any(|(name, ..)| name == point), "{point} has no promise here");
    }
}

#[test]
fn the_steps_come_in_the_order_of_the_write_order() {
    let root = tempfile::tempdir().expect("a folder");
    let files = Files::open(root.path()).expect("opened");
    let hits = Arc::new(Mutex::new(Vec::new()));
    let hook: crash::Hook = {
        let hits = hits.clone();
        Arc::new(move |point| hits.lock().expect("no panic").push(point))
    };
    crash::with_hook(Some(hook), || upload(&files, ID));
    let written = ["upload-folder-created", "upload-session-written", "upload-data-written", "upload-data-written"];
    let sealed =
        ["blob-shards-created", "upload-data-synced", "blob-renamed", "blob-directory-synced", "upload-folder-removed"];
    assert_eq!(*hits.lock().expect("no panic"), [&written[..], &sealed[..]].concat());
}

#[test]
fn a_directory_that_a_dead_process_made_is_synced_by_the_next() {
    let root = tempfile::tempdir().expect("a folder");
    let ended = crash::interrupt("blob-shards-created", 1, || upload(&Files::open(root.path()).expect("opened"), ID));
    assert_eq!(ended, Err(Interrupted("blob-shards-created")));
    // It is there, but nobody knows whether its name is durable, so the step is
    // taken until it is done once, and then no more in this process.
    let files = Files::open(root.path()).expect("opened");
    let again = |n| crash::interrupt("blob-shards-created", 1, || upload(&files, UploadId::from_bytes([n; 16])).size);
    assert_eq!(again(2), Err(Interrupted("blob-shards-created")));
    assert_eq!(again(3), Err(Interrupted("blob-shards-created")));
    upload(&files, UploadId::from_bytes([4; 16]));
    assert_eq!(again(5), Ok(BYTES.len() as u64));
}

/// The whole flow of one upload.
fn upload(files: &Files, id: UploadId) -> Sealed {
    let session = Session {
        repository: "dev/website".parse().expect("valid"),
        owner: "jo".to_owned(),
        algorithm: Algorithm::Sha256,
        created: Timestamp::EPOCH,
    };
    let mut upload = files.begin_upload(id, &session).expect("begun");
    let (first, second) = BYTES.split_at(BYTES.len() / 2);
    upload.append(first).expect("appended");
    upload.append(second).expect("appended");
    upload.verify_and_seal(&Digest::sha256_of(BYTES)).expect("sealed")
}

fn find(files: &Files) -> Left {
    let sessions = files.sessions().expect("listed");
    assert!(sessions.strangers.is_empty() && sessions.whole.len() + sessions.broken.len() <= 1, "{sessions:?}");
    let file = BlobFile { digest: Digest::sha256_of(BYTES), upload: ID };
    let mut blob = false;
    for found in files.walk().expect("walks") {
        assert_eq!(found.expect("read"), Found::Blob { file, size: BYTES.len() as u64 });
        let hashed = files.hash(&file, |_| ()).expect("read").expect("there");
        assert_eq!(hashed.digest, file.digest, "a name has the bytes that it promises");
        blob = true;
    }
    Left {
        session: sessions.whole.first().map(|whole| whole.offset),
        fault: sessions.broken.first().map(|broken| broken.fault.clone()),
        blob,
    }
}

/// A session that is whole goes on from its offset to the same blob.
fn go_on(files: &Files, offset: Option<u64>) {
    let resumed = files.resume_upload(ID).expect("looked");
    assert_eq!(resumed.as_ref().map(super::Upload::offset), offset);
    if let Some(mut upload) = resumed {
        upload.append(&BYTES[usize::try_from(upload.offset()).expect("small")..]).expect("appended");
        let sealed = upload.verify_and_seal(&Digest::sha256_of(BYTES)).expect("sealed");
        assert_eq!(fs::read(files.blob_path(&sealed.file)).expect("there"), BYTES);
    }
}
