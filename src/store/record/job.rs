//! Jobs: work that outlives a request, with a history that people read.

use std::collections::BTreeMap;

use super::{Damage, Stored, decode};
use crate::chance::Id;
use crate::clock::Timestamp;

/// A piece of work. The key is its id.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Job {
    /// What kind of work.
    pub action: JobAction,
    /// The policy it is for.
    pub policy: Option<Id>,
    /// What it works on, as DTR's `parameters`.
    pub parameters: BTreeMap<String, String>,
    /// Where it stands.
    pub status: JobStatus,
    /// When it was to begin.
    pub scheduled_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// Tries that failed.
    pub attempts: u32,
    /// Lines of log it has.
    pub lines: u32,
    /// What went wrong at the last try; empty after one that went well.
    pub last_error: String,
}

/// The kinds of work, in DTR's spelling where DTR has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum JobAction {
    /// Look for changes at another registry.
    PollMirror,
    /// Bring one tag in from another registry.
    PullMirrorTag,
    /// Send one tag to another registry.
    PushMirrorTag,
    /// Remove what nothing needs.
    OnlineGc,
    /// Read and hash everything that is stored.
    Scrub,
    /// Get the right bytes of what is damaged back.
    Heal,
    /// Keep accounts in step with a directory, which there is none of.
    LdapSync,
    /// Clean up the accounts' database, which needs none.
    CleanupDb,
    /// Seal stored credentials anew.
    Rekey,
}

impl JobAction {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::PollMirror,
        Self::PullMirrorTag,
        Self::PushMirrorTag,
        Self::OnlineGc,
        Self::Scrub,
        Self::Heal,
        Self::LdapSync,
        Self::CleanupDb,
        Self::Rekey,
    ];

    /// Whether the job itself waits in the queue; the others only show how a
    /// transfer fares, which has a row of its own.
    pub const fn is_queued(self) -> bool {
        match self {
            Self::PollMirror | Self::OnlineGc | Self::Scrub | Self::Heal | Self::Rekey => true,
            Self::PullMirrorTag | Self::PushMirrorTag | Self::LdapSync | Self::CleanupDb => false,
        }
    }

    /// The key of the schedule of a job that belongs to no policy.
    pub const fn schedule_id(self) -> Id {
        let mut bytes = [0; 16];
        bytes[15] = self as u8;
        Id::from_bytes(bytes)
    }

    /// The spelling in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PollMirror => "poll_mirror",
            Self::PullMirrorTag => "pull_mirror_tag",
            Self::PushMirrorTag => "push_mirror_tag",
            Self::OnlineGc => "onlinegc",
            Self::Scrub => "scrub",
            Self::Heal => "heal",
            Self::LdapSync => "ldap-sync",
            Self::CleanupDb => "cleanup-db",
            Self::Rekey => "rekey",
        }
    }
}

/// Where a job stands, in the spelling of DTR's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum JobStatus {
    /// It waits for its time, or for its next try.
    Waiting,
    /// It is being done.
    Running,
    /// It is done.
    Done,
    /// It was called off: what it was for is gone or superseded.
    Canceled,
    /// It failed and is not tried again by itself.
    Errored,
}

impl JobStatus {
    /// The spelling in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Canceled => "canceled",
            Self::Errored => "errored",
        }
    }

    /// Whether nothing more will happen to it.
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Canceled | Self::Errored)
    }
}

/// When a schedule last ran. The key is the policy's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cron {
    /// When it ran last, or the moment the schedule was saved.
    pub last: Timestamp,
    /// The job that the last run made.
    pub job: Option<Id>,
}

/// A job before it kept the reason of its last failure.
#[derive(serde::Deserialize)]
struct Job1 {
    action: JobAction,
    policy: Option<Id>,
    parameters: BTreeMap<String, String>,
    status: JobStatus,
    scheduled_at: Timestamp,
    updated_at: Timestamp,
    attempts: u32,
    lines: u32,
}

impl From<Job1> for Job {
    fn from(old: Job1) -> Self {
        let Job1 { action, policy, parameters, status, scheduled_at, updated_at, attempts, lines } = old;
        let last_error = String::new();
        Self { action, policy, parameters, status, scheduled_at, updated_at, attempts, lines, last_error }
    }
}

impl Stored for Job {
    const VERSION: u8 = 2;

    fn decode_old(version: u8, rest: &[u8]) -> Result<Self, Damage> {
        match version {
            1 => Ok(decode::<Job1>(rest)?.into()),
            other => Err(Damage::Version(other)),
        }
    }
}
impl Stored for Cron {
    const VERSION: u8 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_of_the_first_version_is_read() {
        let (id, at) = (crate::chance::Chance::system().id(), Timestamp::from_micros(7));
        let parameters = BTreeMap::from([("tag".to_owned(), "1.0".to_owned())]);
        let fields = (JobAction::PollMirror, Some(id), &parameters, JobStatus::Waiting, at, at, 3_u32, 5_u32);
        let stored = postcard::to_extend(&fields, vec![1]).expect("encodes");
        let job = Job::decode(&stored).expect("is read");
        assert_eq!((job.parameters, job.attempts, job.lines), (parameters, 3, 5));
        assert_eq!((job.policy, job.last_error.as_str()), (Some(id), ""));
    }
}
