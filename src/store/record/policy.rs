//! Policies, their status, and walks over the tags that exist already.

use super::{Damage, Stored, decode};
use crate::chance::Id;
use crate::clock::Timestamp;
use crate::oci::name::NameError;
use crate::policy::rename::RenameError;
use crate::policy::rule::RawRule;
use crate::policy::template::TemplateError;
use crate::policy::{self, PolicyId, PromotionPolicy, PullMirror, PushMirror, Rules, Schedule, Terms, zone};
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
    /// The event of the save that began it.
    pub since: u64,
    /// Whether somebody asked in so many words for existing tags to be
    /// evaluated: then what was done and is gone since is done again.
    pub again: bool,
}

impl Stored for Policy {
    const VERSION: u8 = 1;
}
impl Stored for PolicyStatus {
    const VERSION: u8 = 1;
}
impl Stored for Evaluation {
    const VERSION: u8 = 2;

    fn decode_old(version: u8, rest: &[u8]) -> Result<Self, Damage> {
        match version {
            // It was not written down which save it was: nothing is later.
            1 => decode(rest).map(|(version, after)| Self { version, after, since: u64::MAX, again: false }),
            _ => Err(Damage::Version(version)),
        }
    }
}

impl Policy {
    /// The policy as the plan reads it; `None` for a pull mirror. The error
    /// says which part of a stored policy is not understood any more.
    pub fn to_plan(&self) -> Result<Option<policy::Policy>, String> {
        let terms = || -> Result<Terms, String> {
            Ok(Terms {
                id: PolicyId::new(self.id),
                version: self.version,
                owner: self.owner.label(),
                enabled: self.enabled,
                rules: Rules::parse(self.rules.clone()).map_err(|error| error.to_string())?,
                template: self.tag_template.parse().map_err(|error: TemplateError| error.to_string())?,
                zone: zone::parse(&self.time_zone).map_err(|error| error.to_string())?,
                applies_from: self.applies_from,
            })
        };
        Ok(match &self.body {
            PolicyBody::Promotion { target } => {
                let target = target.parse().map_err(|error: NameError| error.to_string())?;
                Some(policy::Policy::Promotion(PromotionPolicy { terms: terms()?, target }))
            }
            PolicyBody::Push { .. } => Some(policy::Policy::PushMirror(PushMirror { terms: terms()? })),
            PolicyBody::Pull { .. } => None,
        })
    }

    /// The pull mirror as its decisions read it; `None` for other policies.
    pub fn to_pull(&self) -> Result<Option<PullMirror>, String> {
        let PolicyBody::Pull { schedule, .. } = &self.body else { return Ok(None) };
        let zone = zone::parse(&self.time_zone).map_err(|error| error.to_string())?;
        Ok(Some(PullMirror {
            id: PolicyId::new(self.id),
            version: self.version,
            owner: self.owner.label(),
            enabled: self.enabled,
            rules: Rules::parse(self.rules.clone()).map_err(|error| error.to_string())?,
            rename: self.tag_template.parse().map_err(|error: RenameError| error.to_string())?,
            schedule: Schedule::parse(schedule, zone).map_err(|error| error.to_string())?,
        }))
    }

    /// Which kind it is.
    pub fn kind(&self) -> policy::Kind {
        match self.body {
            PolicyBody::Promotion { .. } => policy::Kind::Promotion,
            PolicyBody::Push { .. } => policy::Kind::PushMirror,
            PolicyBody::Pull { .. } => policy::Kind::PullMirror,
        }
    }

    /// The other registry of a mirror.
    pub fn remote(&self) -> Option<&Remote> {
        match &self.body {
            PolicyBody::Push { remote } | PolicyBody::Pull { remote, .. } => Some(remote),
            PolicyBody::Promotion { .. } => None,
        }
    }
}

impl Owner {
    /// The owner in reasons: `system` or the account's id.
    pub fn label(&self) -> String {
        match self {
            Self::System => "system".to_owned(),
            Self::Account(id) => id.to_string(),
        }
    }
}
