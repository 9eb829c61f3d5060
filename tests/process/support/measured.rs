//! What was measured on the way: printed, and kept for the end of `tests/run`,
//! because a test that passes shows nothing.

use std::fs::File;
use std::io::Write as _;

use super::program::scratch;

/// Says `line`.
pub(crate) fn measured(line: &str) {
    println!("{line}");
    let file = File::options().create(true).append(true).open(scratch().join("measured"));
    writeln!(file.unwrap(), "{line}").unwrap();
}
