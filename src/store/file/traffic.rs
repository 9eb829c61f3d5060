//! How much is read and written for those who wait for it: what works in the
//! background looks whether anything moves, and steps back while it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A count of bytes that downloads and uploads have moved. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Traffic(Arc<AtomicU64>);

impl Traffic {
    /// Counts bytes that were read or written for somebody.
    pub(super) fn moved(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// All of them since this process began.
    pub fn total(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
