//! Events to plans to commits.
//!
//! The reactor follows the event log. For each tag that was set it takes a
//! snapshot, asks `policy::plan` what the policies of the repository
//! do about it, and hands the plan to the store as one operation: verdict,
//! promotions, transfers, jobs and the cursor in one commit. The operation
//! checks that nothing it was planned from has moved; if it has, the event is
//! planned again. So a promotion happens exactly once, and a crash anywhere
//! leaves either the whole step or none of it.
//!
//! Beside the log, three drivers run the same plan: the walk over existing
//! tags after a policy was saved, the sweep for verdicts that are missing, and
//! the schedules of pull mirrors.

/// Decisions about one tag, applied.
pub mod decide;
/// The walk over existing tags after a policy was saved.
pub mod evaluate;
/// What comes later follows what it belongs to.
pub mod follow;
/// The event log, followed.
pub mod react;
/// The schedules of pull mirrors.
pub mod schedule;
/// Verdicts that are missing, and decisions that may fall differently now.
pub mod sweep;
#[cfg(test)]
mod tests;
/// What a plan is made from.
pub mod view;
/// Why a tag is where it is, and what its policies would do today.
pub mod why;
