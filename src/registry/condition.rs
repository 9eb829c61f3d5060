//! Conditional requests: what stands must be what the client believes.
//!
//! A change's condition is looked at in the transaction that makes the change,
//! behind every change before it. So of many who ask for the same thing on the
//! same condition exactly one gets it.

use crate::oci::condition::Unmet;
use crate::oci::{Condition, Digest, Reference, RepoName, Tag};
use crate::store::record::Repository;
use crate::store::{Read, StoreError, manifest, tag};

use super::RegistryError;

/// What a condition is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A tag.
    Tag(Tag),
    /// A manifest.
    Manifest(Digest),
    /// A blob.
    Blob(Digest),
}

impl From<&Reference> for Subject {
    fn from(reference: &Reference) -> Self {
        match reference {
            Reference::Tag(tag) => Self::Tag(tag.clone()),
            Reference::Digest(digest) => Self::Manifest(*digest),
        }
    }
}

/// A condition that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} does not hold: {}", unmet.as_str(), self.words())]
pub struct Refused {
    /// Which half of it.
    pub unmet: Unmet,
    /// What it is about.
    pub subject: Subject,
    /// Where that is.
    pub repository: RepoName,
    /// What stands there.
    pub there: Option<Digest>,
}

impl Refused {
    /// How it stands; the same for what is not there and for what may not be
    /// seen.
    fn words(&self) -> String {
        let Self { subject, repository, there, .. } = self;
        match (subject, there) {
            (Subject::Tag(tag), Some(digest)) => format!("the tag {:?} of {repository} is {digest} now", tag.as_str()),
            (Subject::Tag(tag), None) => {
                format!("the tag {:?} is not in {repository}, or you may not see it", tag.as_str())
            }
            (Subject::Manifest(digest), Some(_)) => format!("the manifest {digest} is in {repository}"),
            (Subject::Manifest(digest), None) => {
                format!("the manifest {digest} is not in {repository}, or you may not see it")
            }
            (Subject::Blob(digest), Some(_)) => format!("the blob {digest} is in {repository}"),
            (Subject::Blob(digest), None) => format!("the blob {digest} is not in {repository}, or you may not see it"),
        }
    }
}

/// Refuses when `condition` does not hold of what stands there.
pub fn hold(
    condition: &Condition,
    subject: impl Into<Subject>,
    repository: &RepoName,
    there: Option<&Digest>,
) -> Result<(), RegistryError> {
    condition.unmet(there).map_or(Ok(()), |unmet| {
        let (repository, there) = (repository.clone(), there.copied());
        Err(Refused { unmet, subject: subject.into(), repository, there }.into())
    })
}

/// Whether `condition` holds of a tag, or of a manifest.
pub(super) fn holds(
    read: &impl Read,
    condition: &Condition,
    (name, repository): (&RepoName, &Repository),
    reference: &Reference,
) -> Result<Result<(), RegistryError>, StoreError> {
    if !condition.asks() {
        return Ok(Ok(()));
    }
    let there = match reference {
        Reference::Tag(tag) => tag::get(read, repository.number, tag)?.map(|value| value.digest),
        Reference::Digest(digest) => manifest::is_linked(read, repository.number, digest)?.then_some(*digest),
    };
    Ok(hold(condition, reference, name, there.as_ref()))
}

/// The refusal of a change in a repository that is not there, or that the
/// caller may not see: where something was to be there already, that does not
/// hold.
pub(super) fn or_unmet(refusal: RegistryError, condition: &Condition, reference: &Reference) -> RegistryError {
    match refusal {
        RegistryError::RepositoryUnknown { ref repository, .. } => {
            hold(condition, reference, repository, None).err().unwrap_or(refusal)
        }
        refusal => refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_stands_there() {
        let (digest, repository) = (Digest::sha256_of(b"x"), "dev/app".parse::<RepoName>().unwrap());
        let tag = || Subject::Tag("1.0".parse().unwrap());
        let if_match = Condition::parse([b"\"x\"".as_slice()], []).unwrap();
        let absent = Condition::parse([], [b"*".as_slice()]).unwrap();
        let refused = |condition: &Condition, subject, there| {
            hold(condition, subject, &repository, there).expect_err("does not hold").to_string()
        };
        let now = format!("does not hold: the tag \"1.0\" of dev/app is {digest} now");
        assert_eq!(refused(&if_match, tag(), Some(&digest)), format!("If-Match {now}"));
        assert_eq!(refused(&absent, tag(), Some(&digest)), format!("If-None-Match {now}"));
        let gone = "If-Match does not hold: the tag \"1.0\" is not in dev/app, or you may not see it";
        assert_eq!(refused(&if_match, tag(), None), gone);
        let there = format!("If-None-Match does not hold: the manifest {digest} is in dev/app");
        assert_eq!(refused(&absent, Subject::Manifest(digest), Some(&digest)), there);
        hold(&absent, tag(), &repository, None).expect("holds");
    }
}
