//! What an operator sets while the daemon runs: one row.

use super::record::Settings;
use super::{Change, Key, Read, StoreError, Table};

fn key() -> Key {
    Key::new().text("registry")
}

/// The settings as they are.
pub fn get(read: &impl Read) -> Result<Settings, StoreError> {
    Ok(read.record(Table::Settings, &key())?.unwrap_or_default())
}

/// Writes the settings.
pub fn put(change: &mut Change<'_>, settings: &Settings) -> Result<(), StoreError> {
    change.put(Table::Settings, &key(), settings)
}
