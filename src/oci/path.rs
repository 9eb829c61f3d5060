//! `/v2/...` paths as data.
//!
//! Repository names hold slashes, so a path is read from its end: the last
//! components say what is asked, and all before them is the name. One total
//! function; nothing is normalised (`..`, `//` and `%2F` fail the grammar).

use super::digest::DigestError;
use super::name::NameError;
use super::reference::ReferenceError;
use super::{Digest, Reference, RepoName};

/// What a path below `/v2/` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum V2Path {
    /// `/v2/`
    Base,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list`
    Tags(RepoName),
    /// `/v2/<name>/manifests/<reference>`
    Manifest(RepoName, Reference),
    /// `/v2/<name>/blobs/<digest>`
    Blob(RepoName, Digest),
    /// `/v2/<name>/blobs/uploads/`
    Uploads(RepoName),
    /// `/v2/<name>/blobs/uploads/<session>`
    Upload(RepoName, String),
    /// `/v2/<name>/referrers/<digest>`
    Referrers(RepoName, Digest),
}

/// Why a path names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum V2PathError {
    /// No such shape.
    #[error("no such path in the registry API")]
    Shape,
    /// The name in it is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The tag or digest at its end is none.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The digest at its end is none.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl V2Path {
    /// Reads the path after `/v2`, percent-decoded or not: what needs decoding
    /// is outside the grammar anyway, but for `:` in digests.
    pub fn parse(after_v2: &str) -> Result<Self, V2PathError> {
        let Some(rest) = after_v2.strip_prefix('/') else {
            return if after_v2.is_empty() { Ok(Self::Base) } else { Err(V2PathError::Shape) };
        };
        match rest {
            "" => return Ok(Self::Base),
            "_catalog" => return Ok(Self::Catalog),
            _ => {}
        }
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Ok(Self::Tags(name.parse()?));
        }
        if let Some(name) = rest.strip_suffix("/blobs/uploads/").or_else(|| rest.strip_suffix("/blobs/uploads")) {
            return Ok(Self::Uploads(name.parse()?));
        }
        let (front, last) = rest.rsplit_once('/').ok_or(V2PathError::Shape)?;
        if let Some(name) = front.strip_suffix("/blobs/uploads") {
            return Ok(Self::Upload(name.parse()?, last.to_owned()));
        }
        let decoded;
        let last = if last.contains("%3A") || last.contains("%3a") {
            decoded = last.replace("%3A", ":").replace("%3a", ":");
            &decoded
        } else {
            last
        };
        if let Some(name) = front.strip_suffix("/manifests") {
            let name = name.parse()?;
            return Ok(Self::Manifest(name, last.parse()?));
        }
        if let Some(name) = front.strip_suffix("/blobs") {
            let name = name.parse()?;
            return Ok(Self::Blob(name, last.parse()?));
        }
        if let Some(name) = front.strip_suffix("/referrers") {
            let name = name.parse()?;
            return Ok(Self::Referrers(name, last.parse()?));
        }
        Err(V2PathError::Shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn name(text: &str) -> RepoName {
        text.parse().expect("valid")
    }

    #[test]
    fn every_shape() {
        let digest: Digest = DIGEST.parse().expect("valid");
        for (path, expected) in [
            ("", V2Path::Base),
            ("/", V2Path::Base),
            ("/_catalog", V2Path::Catalog),
            ("/a/b/tags/list", V2Path::Tags(name("a/b"))),
            ("/a/b/manifests/latest", V2Path::Manifest(name("a/b"), Reference::Tag("latest".parse().expect("tag")))),
            (&format!("/a/b/manifests/{DIGEST}"), V2Path::Manifest(name("a/b"), Reference::Digest(digest))),
            (&format!("/a/b/c/blobs/{DIGEST}"), V2Path::Blob(name("a/b/c"), digest)),
            (&format!("/a/b/blobs/{}", DIGEST.replace(':', "%3A")), V2Path::Blob(name("a/b"), digest)),
            ("/a/b/blobs/uploads/", V2Path::Uploads(name("a/b"))),
            ("/a/b/blobs/uploads", V2Path::Uploads(name("a/b"))),
            ("/a/b/blobs/uploads/xyz", V2Path::Upload(name("a/b"), "xyz".into())),
            (&format!("/a/b/referrers/{DIGEST}"), V2Path::Referrers(name("a/b"), digest)),
            // Words of the API are ordinary words inside a name.
            ("/tags/list/tags/list", V2Path::Tags(name("tags/list"))),
            (
                "/a/manifests/manifests/x",
                V2Path::Manifest(name("a/manifests"), Reference::Tag("x".parse().expect("tag"))),
            ),
            ("/blobs/uploads/blobs/uploads/", V2Path::Uploads(name("blobs/uploads"))),
        ] {
            assert_eq!(V2Path::parse(path), Ok(expected), "{path}");
        }
    }

    #[test]
    fn what_names_nothing_says_why() {
        assert_eq!(V2Path::parse("x"), Err(V2PathError::Shape));
        assert_eq!(V2Path::parse("/a/b"), Err(V2PathError::Shape));
        assert_eq!(V2Path::parse("/website/tags/list"), Err(V2PathError::Name(NameError::OnePart)));
        assert_eq!(V2Path::parse("/a/../b/tags/list"), Err(V2PathError::Name(NameError::Grammar)));
        assert_eq!(V2Path::parse("/a//b/tags/list"), Err(V2PathError::Name(NameError::Grammar)));
        assert_eq!(V2Path::parse("/a/%2e%2e/tags/list"), Err(V2PathError::Name(NameError::Grammar)));
        assert!(matches!(V2Path::parse("/a/b/manifests/.x"), Err(V2PathError::Reference(_))));
        assert!(matches!(V2Path::parse("/a/b/blobs/sha256:zz"), Err(V2PathError::Digest(_))));
    }
}
