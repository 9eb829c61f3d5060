//! What happened, as data.
//!
//! Every commit that changes something writes its events in the same
//! transaction, numbered in one row: whoever follows the numbers misses
//! nothing. An event says who did it, why, and which policies the change has
//! passed already, so that chains of promotions end by themselves.

use crate::chance::Id;
use crate::clock::Timestamp;
use crate::oci::{Digest, RepoName, Tag};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Event {
    /// Its place in the row; never reused.
    pub seq: u64,
    /// When it was committed, by this daemon's clock.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// The number of the repository it happened in; a name may come back with
    /// another number.
    pub repository_number: u64,
    /// The name of that repository.
    pub repository: RepoName,
    /// What it was.
    pub kind: Kind,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Actor {
    /// Whoever holds the local socket, or the daemon itself.
    System,
    /// An account, by id and by its name at the time.
    Account {
        /// The account's id.
        id: Id,
        /// Its name when it acted.
        name: String,
    },
    /// A policy, on its owner's rights.
    Policy(Id),
}

impl Actor {
    /// The name a person reads.
    pub fn label(&self) -> String {
        match self {
            Self::System => "system".to_owned(),
            Self::Account { name, .. } => name.clone(),
            Self::Policy(id) => format!("PROMOTION {}", id.short()),
        }
    }
}

/// Why a tag has its value.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Cause {
    /// A client pushed it.
    Push,
    /// It was promoted from another repository, by a policy or (without one)
    /// by hand.
    Promotion {
        /// The policy; none for a promotion by hand.
        policy: Option<Id>,
        /// The repository it came from.
        repository: RepoName,
        /// The tag it had there.
        tag: Tag,
    },
    /// It was brought in from another registry.
    PullMirror {
        /// The policy.
        policy: Id,
        /// The host it came from.
        host: String,
        /// The repository there.
        repository: String,
        /// The tag there.
        tag: String,
    },
    /// Somebody set it back to what it named before.
    Restore,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// The repository was made.
    RepositoryCreated,
    /// The repository was deleted.
    RepositoryDeleted,
    /// A tag got a value: new, moved, or set again to the same digest.
    TagSet {
        /// The tag.
        tag: Tag,
        /// What it names now.
        digest: Digest,
        /// What it named before.
        previous: Option<Digest>,
        /// Why.
        cause: Cause,
        /// Policies that brought it here, oldest first; its length is the hop
        /// count.
        chain: Vec<Id>,
    },
    /// A tag was removed.
    TagDeleted {
        /// The tag.
        tag: Tag,
        /// What it named.
        digest: Digest,
    },
    /// A manifest became readable in the repository.
    ManifestLinked {
        /// The manifest.
        digest: Digest,
        /// What it is attached to.
        subject: Option<Digest>,
    },
    /// A manifest was removed from the repository.
    ManifestDeleted {
        /// The manifest.
        digest: Digest,
    },
    /// A policy was made or changed.
    PolicySaved {
        /// The policy.
        policy: Id,
    },
    /// A policy was removed.
    PolicyDeleted {
        /// The policy.
        policy: Id,
    },
    /// A tag was promoted out of the repository.
    Promoted {
        /// The policy; none for a promotion by hand.
        policy: Option<Id>,
        /// The tag here.
        tag: Tag,
        /// What was promoted.
        digest: Digest,
        /// Where to.
        target: RepoName,
        /// Under which tag.
        target_tag: Tag,
    },
    /// A tag reached another registry.
    PushMirrored {
        /// The policy.
        policy: Id,
        /// The tag here.
        tag: Tag,
        /// What was sent.
        digest: Digest,
        /// The tag there.
        remote_tag: Tag,
    },
    /// A tag was brought in from another registry.
    PullMirrored {
        /// The policy.
        policy: Id,
        /// The tag here.
        tag: Tag,
        /// What was brought in.
        digest: Digest,
    },
}
