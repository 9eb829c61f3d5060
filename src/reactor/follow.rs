//! What is attached later follows what it is attached to.
//!
//! A signature or an SBOM often arrives after its image was promoted or
//! mirrored. It is linked into every repository its subject was promoted to,
//! and every mirror that sent the subject owes it again.

use crate::access::Level;
use crate::chance::Id;
use crate::event::Actor;
use crate::jobs::owe::owe_again;
use crate::oci::{Digest, RepoName, Tag};
use crate::registry::Caller;
use crate::registry::copy::{closure, link_closure};
use crate::registry::tag::{Setting, may_change, set};
use crate::store::record::PolicyBody;
use crate::store::{Change, RepoId, StoreError, manifest, policy, tag, transfer};

/// Something that was attached.
#[derive(Clone, Debug)]
pub struct Attached {
    /// Where.
    pub repository: RepoId,
    /// What to.
    pub subject: Digest,
    /// What.
    pub digest: Digest,
    /// The tag of the older scheme that says so, if it was that.
    pub tag: Option<Tag>,
    /// An id for a job that may be needed, for each push mirror.
    pub jobs: Vec<Id>,
}

/// Most tags of a subject whose mirrors are asked again.
const TAGS_OF_SUBJECT: usize = 256;

impl Attached {
    /// Follows; how many places it went to.
    pub fn apply(&self, change: &mut Change<'_>) -> Result<usize, StoreError> {
        let mut places = 0;
        for (target, id) in policy::sent(change, self.repository, &self.subject)? {
            places += usize::from(self.link(change, &target, &id)?);
        }
        let mut jobs = self.jobs.iter();
        let tags = tag::of_digest(change, self.repository, &self.subject, TAGS_OF_SUBJECT)?;
        for policy in policy::of(change, self.repository)? {
            if !matches!(policy.body, PolicyBody::Push { .. }) {
                continue;
            }
            for name in &tags {
                let row = transfer::get(change, &policy.id, name)?;
                if row.is_some_and(|row| row.want == self.subject)
                    && let Some(job) = jobs.next()
                {
                    owe_again(change, &policy.id, name, *job)?;
                    places += 1;
                }
            }
        }
        Ok(places)
    }

    fn link(&self, change: &mut Change<'_>, target: &RepoName, id: &Id) -> Result<bool, StoreError> {
        let Some(policy) = policy::get(change, id)?.filter(|policy| policy.enabled) else { return Ok(false) };
        let Some(owner) = Caller::of_owner(change, policy.owner)? else { return Ok(false) };
        let Ok(place) = owner.require(change, target, Level::ReadWrite)? else { return Ok(false) };
        // The subject may be gone from there by now; nothing is brought back.
        if !manifest::is_linked(change, place.number, &self.subject)? {
            return Ok(false);
        }
        let Ok(closure) = closure(change, self.repository, &self.digest)? else { return Ok(false) };
        let actor = Actor::Policy(policy.id);
        link_closure(change, self.repository, (target, &place), &closure, &actor)?;
        if let Some(name) = &self.tag
            && let Some(value) = tag::get(change, self.repository, name)?
            && may_change(change, (target, &place), name, Some(&value.digest))?.is_ok()
        {
            let stands = tag::get(change, place.number, name)?;
            if stands.is_none_or(|stands| stands.digest != value.digest) {
                let mut chain = value.chain.clone();
                chain.push(policy.id);
                let (digest, kind, size) = (value.digest, value.kind, value.size);
                set(change, (target, &place), name, Setting { digest, kind, size, actor, cause: value.cause, chain })?;
            }
        }
        Ok(true)
    }
}
