//! Events, as the log keeps them.

use super::Stored;
use crate::event::Event;

impl Stored for Event {
    const VERSION: u8 = 1;
}
