//! Memory for large answers.
//!
//! A manifest has up to four megabytes and a page of a listing one: a client
//! that asks for hundreds and takes none of them would hold them all. So their
//! bytes are counted, all together, before they are read, and a request that
//! finds no room waits its turn. What is sent or let go (by [`super::stall`] and
//! [`super::taken`] at the latest) makes room for the next.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;

/// The room there is. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Rooms(Arc<Semaphore>);

/// Room for one answer; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Room(OwnedSemaphorePermit);

/// There is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the registry is sending as many large answers as it has memory for; try again soon")]
pub struct Crowded;

impl Default for Rooms {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(limits::LARGE_ANSWERS_BYTES as usize)))
    }
}

impl Rooms {
    /// Room for an answer of `bytes`; `None` for one that is not large. Waits
    /// for it up to [`limits::LARGE_ANSWERS_WAIT`].
    pub(super) async fn take(&self, bytes: u64) -> Result<Option<Room>, Crowded> {
        if bytes <= limits::ANSWER_PIECE_BYTES as u64 {
            return Ok(None);
        }
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX).min(limits::LARGE_ANSWERS_BYTES);
        let taking = Arc::clone(&self.0).acquire_many_owned(bytes);
        match tokio::time::timeout(limits::LARGE_ANSWERS_WAIT, taking).await {
            Ok(Ok(permit)) => Ok(Some(Room(permit))),
            Ok(Err(_)) | Err(_) => Err(Crowded),
        }
    }
}

impl Room {
    /// Gives back what is more than `bytes`.
    pub(super) fn shrink(&mut self, bytes: usize) {
        drop(self.0.split(self.0.num_permits().saturating_sub(bytes)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn large_answers_wait_their_turn_and_not_for_ever() {
        let rooms = Rooms::default();
        let all = u64::from(limits::LARGE_ANSWERS_BYTES);
        let mut whole = rooms.take(all).await.unwrap().unwrap();
        assert!(rooms.take(limits::ANSWER_PIECE_BYTES as u64).await.unwrap().is_none(), "small ones wait for nobody");
        let begun = tokio::time::Instant::now();
        assert_eq!(rooms.take(all).await.unwrap_err(), Crowded);
        assert_eq!(begun.elapsed(), limits::LARGE_ANSWERS_WAIT);
        whole.shrink(1_000);
        let rest = rooms.take(all - 1_000).await.unwrap();
        let (waited, ()) = tokio::join!(rooms.take(1 << 20), async { drop(rest) });
        assert!(waited.unwrap().is_some());
        assert!(rooms.take(u64::MAX).await.is_err(), "one is still held");
        drop(whole);
        assert!(rooms.take(u64::MAX).await.unwrap().is_some(), "more than all is all");
    }
}
