//! The tags of a remote repository, page by page.

use std::collections::{BTreeSet, HashSet};

use http::header::LINK;
use http::{Method, StatusCode, Uri};
use serde::Deserialize;

use super::location::{next_link, resolve};
use super::registry::Registry;
use super::{Breach, Origin, RemoteError};
use crate::limits;
use crate::oci::Tag;

/// The tags of a repository, in order, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagList {
    /// The tags.
    pub tags: Vec<Tag>,
    /// How many names were passed over because they are no tags.
    pub passed_over: usize,
    /// The first of those, fit to be repeated.
    pub examples: Vec<String>,
}

#[derive(Deserialize)]
struct PageOfTags {
    /// Absent or null where there are none.
    tags: Option<Vec<String>>,
}

impl Registry {
    /// All tags; [`RemoteError::NotFound`] when there is no such repository.
    pub async fn tags(&self) -> Result<TagList, RemoteError> {
        let first = format!("/tags/list?n={}", limits::REMOTE_TAGS_PAGE);
        let mut page = self.call(Method::GET, &first, &self.pull_scope())?;
        let (mut tags, mut passed_over, mut examples) = (BTreeSet::new(), 0, Vec::new());
        let mut seen: HashSet<Uri> = HashSet::new();
        let too_many = |limit, unit| RemoteError::TooLarge { origin: self.origin().clone(), limit, unit };
        loop {
            if !seen.insert(page.uri.clone()) {
                return Err(RemoteError::protocol(self.origin(), Breach::Loop));
            }
            if seen.len() > limits::REMOTE_TAGS_PAGES {
                return Err(too_many(limits::REMOTE_TAGS_PAGES, "pages of tags"));
            }
            let answer = self.session.expect(&page.borrowed(), &[StatusCode::OK]).await?;
            let next = match answer.headers(LINK).find_map(next_link) {
                None => None,
                Some(reference) => {
                    let next = resolve(&answer.uri, reference).ok_or_else(|| answer.broke(Breach::Header("Link")))?;
                    let origin = Origin::of(&next).ok_or_else(|| answer.broke(Breach::Header("Link")))?;
                    if origin != *self.origin() {
                        return Err(answer.broke(Breach::ForeignPage(origin)));
                    }
                    Some(next)
                }
            };
            let censor = answer.censor();
            let names: PageOfTags = answer.json("page of tags").await?;
            for name in names.tags.unwrap_or_default() {
                match name.parse::<Tag>() {
                    Ok(tag) => {
                        tags.insert(tag);
                    }
                    Err(_) => {
                        passed_over += 1;
                        if examples.len() < limits::REMOTE_TAG_EXAMPLES {
                            examples.push(censor.clean(&name));
                        }
                    }
                }
            }
            if tags.len() + passed_over > limits::REMOTE_TAGS {
                return Err(too_many(limits::REMOTE_TAGS, "tags"));
            }
            match next {
                Some(next) => page.uri = next,
                None => return Ok(TagList { tags: tags.into_iter().collect(), passed_over, examples }),
            }
        }
    }
}
