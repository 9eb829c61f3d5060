//! Events, as the log keeps them.

use super::{Damage, Stored, decode};
use crate::event::Event;

impl Stored for Event {
    /// The first version had no tags that were set back; what it has reads the
    /// same.
    const VERSION: u8 = 2;

    fn decode_old(version: u8, rest: &[u8]) -> Result<Self, Damage> {
        match version {
            1 => decode(rest),
            other => Err(Damage::Version(other)),
        }
    }
}
