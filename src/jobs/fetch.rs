//! A blob on its way from another registry, as the body of an upload here.

use std::sync::{Arc, Mutex, PoisonError};

use crate::registry::upload::{Body, BrokenBody};
use crate::remote::{BlobStream, RemoteError};

/// What the remote said when it failed: worth more than "broken off".
#[derive(Clone, Debug, Default)]
pub(super) struct Failure(Arc<Mutex<Option<RemoteError>>>);

impl Failure {
    /// What it said, if it failed.
    pub(super) fn take(&self) -> Option<RemoteError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The bytes as a body, and the place where a failure is found afterwards.
pub(super) fn fetched(stream: BlobStream) -> (impl Body, Failure) {
    let failure = Failure::default();
    let told = failure.clone();
    let body = futures_util::stream::unfold(Some(stream), move |stream| {
        let told = told.clone();
        async move {
            let mut stream = stream?;
            match stream.next().await {
                Ok(Some(chunk)) => Some((Ok(chunk), Some(stream))),
                Ok(None) => None,
                Err(error) => {
                    *told.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    Some((Err(BrokenBody), None))
                }
            }
        }
    });
    (body, failure)
}
