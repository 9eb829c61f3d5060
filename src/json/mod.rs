//! JSON from strangers, read one way only.
//!
//! JSON leaves open what two members of one name mean, whether `Layers` is
//! `layers`, and whether a list may stand for an object; readers differ, and
//! who relies on one of them is led astray by the next (CVE-2021-41190). What
//! readers could differ over is refused here, before the typed reading.

/// Objects, and nothing in their place.
mod object;
/// What two readers could read two ways.
mod strict;

pub use object::Object;
pub use strict::{Field, Shape, check};
