//! What a run found out: named numbers. Times are in milliseconds, but for
//! those called `seconds`.

use std::collections::BTreeMap;

/// Named numbers.
pub(crate) type Figures = BTreeMap<String, f64>;
