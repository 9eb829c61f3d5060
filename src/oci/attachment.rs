//! Attachments by tag: what clients did before manifests named their subject.
//!
//! `<algorithm>-<hash>` stands for an index of all that is attached to the
//! manifest with that digest (distribution specification, "Referrers Tag
//! Schema"); with `.sig`, `.att` or `.sbom` behind it, for one signature,
//! attestation or bill of materials.

use super::{Digest, Tag};

/// What stands behind the digest.
const SUFFIXES: [&str; 4] = ["", ".sig", ".att", ".sbom"];

/// Characters of a hash in the tag of an index: sha512 is longer than a tag.
const INDEX_HEX: usize = 64;

/// The manifest that a tag stands for something attached to.
pub fn subject(tag: &Tag) -> Option<Digest> {
    let (algorithm, hex) = parts(tag)?;
    format!("{algorithm}:{hex}").parse().ok()
}

/// Whether a tag has the form of an attachment's, its hash cut short or not.
pub fn is_one(tag: &Tag) -> bool {
    parts(tag).is_some_and(|(algorithm, hex)| {
        matches!(algorithm, "sha256" | "sha512")
            && hex.len() >= INDEX_HEX
            && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// The tags that may stand for what is attached to `subject`; none where its
/// digest is too long for one.
pub fn tags(subject: &Digest) -> impl Iterator<Item = Tag> + use<> {
    let base = format!("{}-{}", subject.algorithm().as_str(), subject.hex());
    SUFFIXES.into_iter().filter_map(move |suffix| format!("{base}{suffix}").parse().ok())
}

/// The tag of the index of what is attached to `subject`.
pub fn index_tag(subject: &Digest) -> Tag {
    let hex = subject.hex();
    let text = format!("{}-{}", subject.algorithm().as_str(), &hex[..hex.len().min(INDEX_HEX)]);
    text.parse().expect("a short algorithm and hexadecimal digits are a tag")
}

/// Algorithm and hash, without what stands behind them.
fn parts(tag: &Tag) -> Option<(&str, &str)> {
    let text = tag.as_str();
    let suffix = SUFFIXES.into_iter().filter(|suffix| !suffix.is_empty()).find(|suffix| text.ends_with(suffix));
    text[..text.len() - suffix.map_or(0, str::len)].split_once('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_attachments_are_known_by_their_form() {
        let digest = Digest::sha256_of(b"x");
        let all: Vec<Tag> = tags(&digest).collect();
        assert_eq!((all.len(), &all[0]), (4, &index_tag(&digest)));
        for tag in all {
            assert_eq!((subject(&tag), is_one(&tag)), (Some(digest), true), "{tag}");
        }
        let v1 = format!("v1-{}", digest.hex());
        let odd = format!("sha256-{}.x", digest.hex());
        for other in ["latest", "sha256-abc", "sha256-abc.sig", "v1-rc.sig", &v1, &odd] {
            let tag = other.parse().expect("a tag");
            assert_eq!((subject(&tag), is_one(&tag)), (None, false), "{other}");
        }
    }

    #[test]
    fn a_long_digest_has_a_short_tag_for_its_index_alone() {
        let digest = Digest::of(crate::oci::Algorithm::Sha512, b"x");
        assert_eq!(tags(&digest).count(), 0);
        let tag = index_tag(&digest);
        assert_eq!((tag.as_str().len(), subject(&tag), is_one(&tag)), (71, None, true));
    }
}
