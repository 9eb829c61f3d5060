//! Watches the room on the disk while nobody writes: says when it gets low and
//! when there is room again, and sets bytes aside for the day it is full.

use crate::lifecycle::{self, Scope};
use crate::limits;
use crate::store::Store;
use crate::store::file::Level;

/// Runs until the scope is told to stop.
pub async fn run(store: Store, scope: Scope) {
    loop {
        let disk = store.files().disk().clone();
        let look = move || {
            if disk.level() == Level::Plenty {
                disk.set_aside();
            }
        };
        lifecycle::blocking(look).await;
        if scope.until_stopped(tokio::time::sleep(limits::DISK_LOOK)).await.is_none() {
            return;
        }
    }
}
