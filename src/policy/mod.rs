//! Policies: which images move, where to, under what name, when and why.
//!
//! Arithmetic only: nothing in this folder reads a clock, a file, a socket or
//! a table, logs, or waits. What it needs comes in as values, what it decides
//! goes out as values, and the same input gives the same output. That is what
//! lets the reactor, the preview, `why` and the tests share one function,
//! [`plan::plan`].
//!
//! The way through: a policy is saved as texts, which are parsed once into
//! [`Rules`], a [`Template`] (a [`Rename`] for a pull mirror) and, for a pull
//! mirror, a [`Schedule`]; they stand together in a [`PromotionPolicy`], a
//! [`PushMirror`] or a [`PullMirror`]. Saving a promotion asks [`chain::loops`]
//! what it closes. When a tag is set, its [`Facts`] go through [`plan()`],
//! which gives a [`Decision`] with a [`Reason`] for every policy and an
//! [`Intent`] for those that allow. When a schedule is due, [`PullMirror`]
//! decides about each name that the other registry lists.

/// Loops.
pub mod chain;
/// Cron expressions as Unix means them.
mod cron_text;
/// One tag, and what made somebody look at it.
pub mod facts;
/// The names of policies.
pub mod id;
/// To and from another registry.
pub mod mirror;
/// The words of rules.
pub mod operator;
/// All policies of a repository on one tag.
pub mod plan;
/// To another repository here.
pub mod promotion;
/// What was decided, and why.
pub mod reason;
/// The names of pulled tags.
pub mod rename;
/// `{field, operator, values}`, ANDed.
pub mod rule;
/// When a pull mirror runs.
pub mod schedule;
/// `%n-%Y%m%d`: the tag at the target.
pub mod template;
/// What promotions and push mirrors have in common.
pub mod terms;
/// What a wall clock shows, and when.
mod wall;
/// Time zones by name.
pub mod zone;

/// Schedules against a clock that is watched minute by minute.
#[cfg(test)]
mod schedule_oracle;

pub use facts::{Facts, Trigger};
pub use id::PolicyId;
pub use mirror::{PullDecision, PullMirror, PushMirror};
pub use operator::{Field, Operator};
pub use plan::{Intent, Plan, Policy, plan};
pub use promotion::PromotionPolicy;
pub use reason::{Check, Decision, Kind, Outcome, Reason};
pub use rename::Rename;
pub use rule::{RawRule, Rule, Rules};
pub use schedule::Schedule;
pub use template::Template;
pub use terms::Terms;
