//! Work that outlives a request: one file a kind, one runner for all.
//!
//! What is owed to (or from) another registry is a *transfer*: a row per
//! policy and tag, written in the commit that decided it and driven until the
//! far side holds what it should. What runs on a schedule is a *job* in the
//! queue. Both are rows, so it does not matter when the process dies: what is
//! owed is still there at the next start, and doing it twice does nothing the
//! second time. A job that shows a transfer carries its history and log.

/// The audit log ends.
mod audit;
/// How fast work in the background may read.
pub mod budget;
/// What runs now, and what may run next.
mod claims;
/// What is damaged, written down.
mod condemn;
/// What is held, counted where it never was.
pub mod counting;
/// Looking at stored bytes.
mod examine;
/// Blobs on their way from another registry.
mod fetch;
/// Garbage collection.
pub mod gc;
/// Getting the right bytes of what is damaged back.
pub mod heal;
/// Where they may be.
mod heal_source;
/// Histories of tags that end.
mod history;
/// The log of one job while it runs.
pub mod log;
/// What is due now.
mod look;
/// Sealing keys that are missing.
pub mod lost_key;
/// One tag sent by hand.
pub mod once;
/// Blob files that no row names.
mod orphans;
/// What is owed, written down.
pub mod owe;
/// Looks for changes, as jobs in the queue.
pub mod poll_queue;
/// Looking for changes at another registry, and bringing tags in.
pub mod pull_mirror;
/// Sending tags to another registry.
pub mod push_mirror;
/// Jobs as people see and steer them: listed, called off, removed.
pub mod query;
/// Sealing stored credentials anew.
pub mod rekey;
/// The other registry of a policy, as a client.
pub mod remote;
/// The room on the disk.
pub mod room;
/// Claims what is due, runs it, writes down how it went.
pub mod runner;
/// Reading and hashing everything that is stored.
pub mod scrub;
/// What transfers become after a try.
pub mod settle;
/// What a mirror lacks.
pub mod standing;
/// What somebody met and found wrong.
pub mod suspect;
/// Jobs of the daemon's own.
pub mod system;
#[cfg(test)]
mod tests;
/// The daemon's own schedules.
pub mod timetable;
/// Orphans, unlinks, idle uploads, purges, bounded histories.
pub mod upkeep;

pub use claims::Options;
pub use remote::Remotes;
pub use runner::Runner;
