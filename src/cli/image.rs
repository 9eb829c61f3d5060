//! An image as people write it: `REPOSITORY:TAG`.

use std::fmt;
use std::str::FromStr;

use super::client::{repository_path, segment};
use crate::oci::name::NameError;
use crate::oci::tag::TagError;
use crate::oci::{RepoName, Tag};

/// A tag in a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The repository.
    pub repository: RepoName,
    /// The tag.
    pub tag: Tag,
}

/// Why a text is no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// No tag.
    #[error("give REPOSITORY:TAG, such as dev/website:1.4-stable")]
    NoTag,
    /// The part before the colon.
    #[error(transparent)]
    Repository(#[from] NameError),
    /// The part behind it.
    #[error(transparent)]
    Tag(#[from] TagError),
}

impl Image {
    /// Where the management API has it.
    pub fn path(&self) -> String {
        format!("{}/tags/{}", repository_path(&self.repository), segment(self.tag.as_str()))
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

impl FromStr for Image {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        let (repository, tag) = text.rsplit_once(':').ok_or(ImageError::NoTag)?;
        Ok(Self { repository: repository.parse()?, tag: tag.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_a_repository_and_a_tag() {
        let image: Image = "dev/web/site:1.4".parse().unwrap();
        assert_eq!((image.repository.as_str(), image.tag.as_str()), ("dev/web/site", "1.4"));
        assert_eq!(image.to_string(), "dev/web/site:1.4");
        assert_eq!(image.path(), "/api/v0/repositories/dev/web%2Fsite/tags/1.4");
        assert_eq!("dev/site".parse::<Image>(), Err(ImageError::NoTag));
        assert_eq!("site:1".parse::<Image>(), Err(ImageError::Repository(NameError::OnePart)));
        assert_eq!("dev/site:".parse::<Image>(), Err(ImageError::Tag(TagError)));
    }
}
