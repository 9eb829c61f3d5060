//! What the clients of a store know: what was acknowledged to them, and what
//! is under way.

use std::collections::{BTreeMap, BTreeSet};

use tidegate::chance::Id;
use tidegate::oci::{Digest, RepoName, Tag};
use tidegate::store::{Snapshot, blob, policy, repo, tag, transfer};

/// Where clients push; the others are promoted into.
pub(crate) const SOURCES: [&str; 2] = ["dev/a", "dev/b"];
pub(crate) const TAGS: [&str; 6] = ["1-stable", "2-stable", "3-stable", "1-beta", "2-beta", "latest"];

/// A tag of a repository.
pub(crate) type Key = (&'static str, &'static str);

#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The acknowledged value of each tag that clients push.
    pub(crate) tags: BTreeMap<Key, Option<Digest>>,
    /// What the operations since then make of tags.
    pub(crate) effects: Vec<Effect>,
    /// Acknowledged blobs.
    pub(crate) blobs: BTreeSet<(&'static str, Digest)>,
    /// Acknowledged policies, and those whose removal is under way.
    pub(crate) policies: BTreeMap<Id, &'static str>,
    pub(crate) leaving: BTreeSet<Id>,
    /// Acknowledged ends of transfers: the generation that is done.
    pub(crate) done: BTreeMap<(Id, Tag), u64>,
    /// Something the store answered that it must not answer.
    pub(crate) wrong: Option<String>,
}

/// What one operation makes of one tag.
#[derive(Clone, Debug)]
pub(crate) struct Effect {
    pub(crate) key: Key,
    pub(crate) value: Option<Digest>,
    /// It touches the tag only when that has this value.
    pub(crate) only_from: Option<Digest>,
    pub(crate) acknowledged: bool,
}

impl Known {
    /// Holds the rows against it, and takes over what had been under way.
    pub(crate) fn hold(&mut self, read: &Snapshot) -> Result<(), String> {
        self.hold_tags(read)?;
        for (repository, digest) in &self.blobs {
            let number = repo::get(read, &named(repository)).map_err(words)?.ok_or("a repository is gone")?.number;
            if !blob::is_linked(read, number, digest).map_err(words)?
                || blob::get(read, digest).map_err(words)?.is_none()
            {
                return Err(format!("the acknowledged blob {digest} is not in {repository}"));
            }
        }
        for (id, repository) in std::mem::take(&mut self.policies) {
            match policy::get(read, &id).map_err(words)? {
                Some(_) => {
                    self.policies.insert(id, repository);
                }
                None if self.leaving.contains(&id) => {}
                None => return Err(format!("the acknowledged policy {id} is gone")),
            }
        }
        self.leaving.clear();
        for ((id, name), generation) in &self.done {
            let row = transfer::get(read, id, name).map_err(words)?;
            if self.policies.contains_key(id) && row.as_ref().is_none_or(|row| row.done < *generation) {
                return Err(format!("generation {generation} of {name} was done, and now there is {row:?}"));
            }
        }
        Ok(())
    }

    /// Every tag has its acknowledged value, or one that was under way.
    pub(crate) fn hold_tags(&mut self, read: &Snapshot) -> Result<(), String> {
        for repository in SOURCES {
            let number = repo::get(read, &named(repository)).map_err(words)?.ok_or("a repository is gone")?.number;
            for name in TAGS {
                let key = (repository, name);
                let found = tag::get(read, number, &tagged(name)).map_err(words)?.map(|value| value.digest);
                let before = self.tags.get(&key).copied().flatten();
                let mine: Vec<&Effect> = self.effects.iter().filter(|effect| effect.key == key).collect();
                // One acknowledged operation that certainly touched the tag
                // rules out the value before it.
                let certain = |effect: &&&Effect| {
                    effect.acknowledged && (effect.only_from.is_none() || mine.len() == 1 && effect.only_from == before)
                };
                let mut allowed: Vec<Option<Digest>> = mine.iter().map(|effect| effect.value).collect();
                if mine.iter().filter(certain).count() == 0 {
                    allowed.push(before);
                }
                if !allowed.contains(&found) {
                    return Err(format!("{repository}:{name} is {found:?}, allowed are {allowed:?} ({mine:?})"));
                }
                self.tags.insert(key, found);
            }
        }
        self.effects.clear();
        Ok(())
    }
}

pub(crate) fn named(name: &str) -> RepoName {
    name.parse().expect("a name")
}

pub(crate) fn tagged(name: &str) -> Tag {
    name.parse().expect("a tag")
}

pub(crate) fn words(error: impl std::error::Error) -> String {
    tidegate::store::error_chain(&error)
}
