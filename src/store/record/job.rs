//! Jobs: work that outlives a request, with a history that people read.

use std::collections::BTreeMap;

use super::Stored;
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
}

impl JobAction {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::PollMirror, Self::PullMirrorTag, Self::PushMirrorTag];

    /// Whether the job itself waits in the queue; the others only show how a
    /// transfer fares, which has a row of its own.
    pub const fn is_queued(self) -> bool {
        matches!(self, Self::PollMirror)
    }

    /// The spelling in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PollMirror => "poll_mirror",
            Self::PullMirrorTag => "pull_mirror_tag",
            Self::PushMirrorTag => "push_mirror_tag",
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

impl Stored for Job {
    const VERSION: u8 = 1;
}
impl Stored for Cron {
    const VERSION: u8 = 1;
}
