//! Policies, their status, and walks over the tags that exist already.

use super::Stored;
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::policy::rule::RawRule;
use crate::store::key::RepoId;

/// A promotion, push mirror or pull mirror policy. The key is its id.
///
/// Rules, templates and schedules are kept as the text they were saved with
/// and parsed when they are used, so that a stricter parser never loses one.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Policy {
    /// Its id.
    pub id: Id,
    /// Goes up when rules, target or template change, and for nothing else.
    pub version: u32,
    /// The repository it stands on: the source; for a pull mirror the target.
    pub repository: RepoId,
    /// On whose rights it runs.
    pub owner: Owner,
    /// Whether it acts.
    pub enabled: bool,
    /// The event sequence number from which it applies.
    pub applies_from: u64,
    /// All must hold.
    pub rules: Vec<RawRule>,
    /// How the tag is called on the other side.
    pub tag_template: String,
    /// The time zone of the template and the schedule.
    pub time_zone: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// What it does.
    pub body: PolicyBody,
}

/// On whose rights a policy runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Owner {
    /// It was saved over the local socket: a system admin's rights.
    System,
    /// The account that saved it.
    Account(Id),
}

/// What a policy does.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PolicyBody {
    /// Promote to another repository here.
    Promotion {
        /// That repository's name.
        target: String,
    },
    /// Send to another registry.
    Push {
        /// Where to.
        remote: Remote,
    },
    /// Bring in from another registry.
    Pull {
        /// Where from.
        remote: Remote,
        /// When to look.
        schedule: String,
        /// Bring only what changes after the first look.
        changes_only: bool,
    },
}

/// Another registry's repository, and how to sign in there.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Remote {
    /// The host as it was given: `https://…`, `http://…` or bare.
    pub host: String,
    /// The repository there.
    pub repository: String,
    /// The user there; may be empty.
    pub username: String,
    /// The sealed password.
    pub password: Option<String>,
    /// The sealed token.
    pub token: Option<String>,
    /// A certificate authority to trust, PEM; may be empty.
    pub ca: String,
    /// Do not verify the other side's certificate.
    pub skip_tls_verification: bool,
    /// Private addresses may be dialled: a system admin saved it.
    pub private: bool,
}

/// What a policy did last. The key is the policy's id.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PolicyStatus {
    /// When it last moved something.
    pub last_moved_at: Option<Timestamp>,
    /// The last result: `SUCCESS` or a code for what went wrong.
    pub code: String,
    /// Words to it.
    pub detail: String,
    /// When that was.
    pub at: Option<Timestamp>,
}

/// A walk over the tags that a repository has, for a policy that was saved.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Evaluation {
    /// The policy's version that is walked for.
    pub version: u32,
    /// The last tag that was handled; empty at the start.
    pub after: String,
}

impl Stored for Policy {
    const VERSION: u8 = 1;
}
impl Stored for PolicyStatus {
    const VERSION: u8 = 1;
}
impl Stored for Evaluation {
    const VERSION: u8 = 1;
}
