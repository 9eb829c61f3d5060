//! A request's body into an upload: gathered on the async side, written on
//! the blocking pool.
//!
//! The pool is visited only while there is something to write, so a client
//! that trickles holds a little memory and no thread. While one batch is
//! written and hashed the next is gathered, small chunks copied together; when
//! that one is full too, the body is read no further.

use std::ops::DerefMut;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};

use crate::lifecycle;
use crate::limits;

use super::{FileError, Upload};

/// Why a body did not arrive whole. What was written before counts.
#[derive(Debug, thiserror::Error)]
pub enum AppendError<E> {
    /// The client failed. What it had sent was written.
    #[error("read the body")]
    Source(#[source] E),
    /// The file system failed.
    #[error(transparent)]
    File(FileError),
}

/// Appends all of `source` to `upload`, and gives the upload back with its new
/// offset.
///
/// `upload` is what keeps others away from it, such as the guard of a lock. If
/// the future is dropped, the pool ends the batch that it is writing and only
/// then lets go of the guard; what was gathered meanwhile is lost, and a
/// client that asks for the offset sends it again.
///
/// # Errors
/// When the source or the file system fails. The guard is let go.
pub async fn append_stream<U, S, E>(mut upload: U, source: S) -> Result<U, AppendError<E>>
where
    U: DerefMut<Target = Upload> + Send + 'static,
    S: Stream<Item = Result<Bytes, E>>,
{
    let mut source = std::pin::pin!(source);
    let mut batch = Batch::default();
    let mut end = None;
    loop {
        while end.is_none() && batch.bytes < limits::UPLOAD_HANDOVER_BYTES {
            batch.gather(source.next().await, &mut end);
        }
        if batch.bytes == 0
            && let Some(end) = end
        {
            return end.map(|()| upload).map_err(AppendError::Source);
        }
        let full = std::mem::take(&mut batch);
        let mut writing = std::pin::pin!(lifecycle::blocking(move || full.write_to(upload)));
        let written = loop {
            tokio::select! {
                done = &mut writing => break done,
                next = source.next(), if end.is_none() && batch.bytes < limits::UPLOAD_BATCH_BYTES => {
                    batch.gather(next, &mut end);
                }
            }
        };
        upload = written.map_err(AppendError::File)?;
    }
}

/// Bytes on their way to the pool.
#[derive(Default)]
struct Batch {
    parts: Vec<Bytes>,
    /// Small chunks, copied together; they come after `parts`.
    small: BytesMut,
    bytes: usize,
}

impl Batch {
    /// Takes what the source gave; its end goes to `end`.
    fn gather<E>(&mut self, next: Option<Result<Bytes, E>>, end: &mut Option<Result<(), E>>) {
        match next {
            Some(Ok(chunk)) => self.push(chunk),
            Some(Err(error)) => *end = Some(Err(error)),
            None => *end = Some(Ok(())),
        }
    }

    fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        if chunk.len() < limits::UPLOAD_COALESCE_BYTES {
            self.small.extend_from_slice(&chunk);
            return;
        }
        if !self.small.is_empty() {
            self.parts.push(self.small.split().freeze());
        }
        self.parts.push(chunk);
    }

    fn write_to<U: DerefMut<Target = Upload>>(self, mut upload: U) -> Result<U, FileError> {
        for part in &self.parts {
            upload.append(part)?;
        }
        upload.append(&self.small)?;
        Ok(upload)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::stream;
    use tokio::sync::{Mutex, mpsc};

    use super::*;
    use crate::chance::Chance;
    use crate::clock::Timestamp;
    use crate::oci::{Algorithm, Digest};
    use crate::store::file::{Files, Session, UploadId};

    type Chunk = Result<Bytes, &'static str>;

    fn begin(root: &tempfile::TempDir) -> (Files, Arc<Mutex<Upload>>) {
        let files = Files::open(root.path()).expect("opened");
        let session = Session {
            repository: "dev/website".parse().expect("valid"),
            owner: "jo".to_owned(),
            algorithm: Algorithm::Sha256,
            created: Timestamp::EPOCH,
        };
        let upload = files.begin_upload(UploadId::from_bytes([1; 16]), &session).expect("begun");
        (files, Arc::new(Mutex::new(upload)))
    }

    /// Chunks of all sizes around the bounds, and their bytes in a row.
    fn chunks() -> (Vec<Bytes>, Vec<u8>) {
        let chance = Chance::seeded(3);
        let (small, hand, most) =
            (limits::UPLOAD_COALESCE_BYTES, limits::UPLOAD_HANDOVER_BYTES, limits::UPLOAD_BATCH_BYTES);
        let lengths = [1, 0, small - 1, small, 3, small + 1, hand, 5, 5, most + 1, 2, most, hand - 1, 1, 9];
        let chunks: Vec<Bytes> = lengths
            .iter()
            .map(|&length| {
                let mut bytes = vec![0; length];
                chance.fill(&mut bytes);
                bytes.into()
            })
            .collect();
        let all = chunks.concat();
        (chunks, all)
    }

    #[tokio::test]
    async fn a_body_arrives_in_order_and_whole() {
        let root = tempfile::tempdir().expect("a folder");
        let (_files, upload) = begin(&root);
        let (chunks, all) = chunks();
        let body = || stream::iter(chunks.clone()).map(Chunk::Ok);
        let guard = append_stream(upload.clone().lock_owned().await, body()).await.expect("appended");
        assert_eq!(guard.offset(), all.len() as u64);
        // A second request goes on where the first ended.
        let mut guard = append_stream(guard, body()).await.expect("appended");
        let twice = [&all[..], &all[..]].concat();
        let sealed = guard.verify_and_seal(&Digest::sha256_of(&twice)).expect("sealed");
        assert_eq!(sealed.size, twice.len() as u64);
    }

    #[tokio::test]
    async fn an_empty_body_is_fine() {
        let root = tempfile::tempdir().expect("a folder");
        let (_files, upload) = begin(&root);
        let guard = append_stream(upload.lock_owned().await, stream::empty::<Chunk>()).await.expect("appended");
        assert_eq!(guard.offset(), 0);
    }

    #[tokio::test]
    async fn a_client_that_fails_leaves_what_it_sent() {
        let root = tempfile::tempdir().expect("a folder");
        let (files, upload) = begin(&root);
        let (chunks, all) = chunks();
        let body = stream::iter(chunks).map(Chunk::Ok).chain(stream::iter([Err("gone"), Ok(Bytes::from("not read"))]));
        let error = append_stream(upload.clone().lock_owned().await, body).await.expect_err("fails");
        assert!(matches!(error, AppendError::Source("gone")), "{error:?}");
        assert_eq!(upload.lock().await.offset(), all.len() as u64);
        let data = files.uploads().join(UploadId::from_bytes([1; 16]).to_string()).join("data");
        assert_eq!(std::fs::read(data).expect("there"), all);
    }

    #[tokio::test]
    async fn a_dropped_request_lets_go_of_the_upload_after_its_batch() {
        let root = tempfile::tempdir().expect("a folder");
        let (_files, upload) = begin(&root);
        let (to_body, mut from_client) = mpsc::channel::<Chunk>(1);
        let body = stream::poll_fn(move |context| from_client.poll_recv(context));
        let guard = upload.clone().lock_owned().await;
        let mut request = Box::pin(append_stream(guard, body));
        let bytes = Bytes::from(vec![7; limits::UPLOAD_HANDOVER_BYTES]);
        to_body.send(Ok(bytes.clone())).await.expect("taken");
        // One look hands the batch to the pool; then the client is gone.
        assert!(futures_util::poll!(request.as_mut()).is_pending());
        drop(request);
        let mut upload = upload.lock().await;
        assert_eq!(upload.offset(), bytes.len() as u64);
        upload.verify_and_seal(&Digest::sha256_of(&bytes)).expect("sealed");
    }

    #[tokio::test]
    async fn a_failing_disk_ends_the_request_and_frees_the_upload() {
        let root = tempfile::tempdir().expect("a folder");
        let (_files, upload) = begin(&root);
        upload.lock().await.verify_and_seal(&Digest::sha256_of(b"")).expect("sealed");
        // The source never ends: only the failure can end the request.
        let body = stream::repeat_with(|| Chunk::Ok(Bytes::from(vec![0; limits::UPLOAD_HANDOVER_BYTES])));
        let error = append_stream(upload.clone().lock_owned().await, body).await.expect_err("fails");
        assert!(matches!(error, AppendError::File(FileError::Ended { .. })), "{error:?}");
        assert!(upload.try_lock().is_ok());
    }
}
