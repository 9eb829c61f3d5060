//! `If-Match` and `If-None-Match` (RFC 9110 §13.1): what must be there, or must
//! not, for a request to be done.
//!
//! The entity tag of a manifest, and of a tag, is its digest in quotes. An
//! entity tag that is no digest is none of ours: it matches nothing. `*`
//! stands for whatever is there.

use super::Digest;

/// What a request asks of what is there. The default asks nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    if_match: Option<Matches>,
    if_none_match: Option<Matches>,
}

/// Which of the two does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmet {
    /// What is there is not what was asked for.
    IfMatch,
    /// What is there is what was ruled out.
    IfNoneMatch,
}

impl Unmet {
    /// The header's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IfMatch => "If-Match",
            Self::IfNoneMatch => "If-None-Match",
        }
    }
}

/// The value of one of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Matches {
    /// `*`
    Anything,
    /// One or more entity tags.
    Listed(Vec<EntityTag>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EntityTag {
    is_weak: bool,
    digest: Option<Digest>,
}

/// A header that is there and cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} must be * or a list of entity tags in quotes, such as \"sha256:…\" with 64 hexadecimal characters",
    header.as_str()
)]
pub struct ConditionError {
    /// Which.
    pub header: Unmet,
}

impl Condition {
    /// Reads the lines of both headers. One without any entity tag is refused:
    /// whoever sends it has lost the tag that it was to hold.
    pub fn parse<'h>(
        if_match: impl IntoIterator<Item = &'h [u8]>,
        if_none_match: impl IntoIterator<Item = &'h [u8]>,
    ) -> Result<Self, ConditionError> {
        Ok(Self { if_match: read(if_match, Unmet::IfMatch)?, if_none_match: read(if_none_match, Unmet::IfNoneMatch)? })
    }

    /// Whether it asks anything.
    pub const fn asks(&self) -> bool {
        self.if_match.is_some() || self.if_none_match.is_some()
    }

    /// What does not hold of what is there; nothing when all does. `If-Match`
    /// comes first (RFC 9110 §13.2.2) and compares strongly, `If-None-Match`
    /// weakly (§8.8.3.2).
    pub fn unmet(&self, there: Option<&Digest>) -> Option<Unmet> {
        let strongly = |tag: &EntityTag| !tag.is_weak && tag.digest.as_ref() == there;
        let weakly = |tag: &EntityTag| tag.digest.as_ref() == there;
        let is = |matches: &Matches, equal: &dyn Fn(&EntityTag) -> bool| {
            there.is_some()
                && match matches {
                    Matches::Anything => true,
                    Matches::Listed(tags) => tags.iter().any(equal),
                }
        };
        if self.if_match.as_ref().is_some_and(|matches| !is(matches, &strongly)) {
            return Some(Unmet::IfMatch);
        }
        if self.if_none_match.as_ref().is_some_and(|matches| is(matches, &weakly)) {
            return Some(Unmet::IfNoneMatch);
        }
        None
    }
}

/// The lines of one header: several are one list (RFC 9110 §5.3).
fn read<'h>(lines: impl IntoIterator<Item = &'h [u8]>, header: Unmet) -> Result<Option<Matches>, ConditionError> {
    let mut all: Option<Matches> = None;
    for line in lines {
        all = Some(match (all, list(line)) {
            (None, Some(matches)) => matches,
            (Some(Matches::Listed(mut tags)), Some(Matches::Listed(more))) => {
                tags.extend(more);
                Matches::Listed(tags)
            }
            // `*` stands alone.
            (_, None) | (Some(_), Some(_)) => return Err(ConditionError { header }),
        });
    }
    match all {
        Some(Matches::Listed(tags)) if tags.is_empty() => Err(ConditionError { header }),
        all => Ok(all),
    }
}

/// `*`, or entity tags with commas between them; a list may have empty members
/// (RFC 9110 §5.6.1.2).
fn list(line: &[u8]) -> Option<Matches> {
    if line.trim_ascii() == b"*" {
        return Some(Matches::Anything);
    }
    let mut tags = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() {
        if rest[0] != b',' {
            let (tag, behind) = entity_tag(rest)?;
            tags.push(tag);
            rest = behind.trim_ascii_start();
        }
        match rest.split_first() {
            None => break,
            Some((b',', behind)) => rest = behind.trim_ascii_start(),
            Some(_) => return None,
        }
    }
    Some(Matches::Listed(tags))
}

/// `[W/]"<characters>"` (RFC 9110 §8.8.3), and what stands behind it.
fn entity_tag(text: &[u8]) -> Option<(EntityTag, &[u8])> {
    let (is_weak, text) = match text.strip_prefix(b"W/") {
        Some(behind) => (true, behind),
        None => (false, text),
    };
    let text = text.strip_prefix(b"\"")?;
    let end = text.iter().position(|byte| *byte == b'"')?;
    let (opaque, behind) = (&text[..end], &text[end + 1..]);
    if !opaque.iter().all(|byte| matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)) {
        return None;
    }
    let digest = std::str::from_utf8(opaque).ok().and_then(|text| text.parse().ok());
    Some((EntityTag { is_weak, digest }, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(if_match: &[&str], if_none_match: &[&str]) -> Result<Condition, ConditionError> {
        let bytes = |lines: &[&str]| lines.iter().map(|line| line.as_bytes().to_vec()).collect::<Vec<_>>();
        let (if_match, if_none_match) = (bytes(if_match), bytes(if_none_match));
        Condition::parse(if_match.iter().map(Vec::as_slice), if_none_match.iter().map(Vec::as_slice))
    }

    #[test]
    fn a_table_of_conditions_over_what_is_there() {
        let (one, two) = (Digest::sha256_of(b"1"), Digest::of(crate::oci::Algorithm::Sha512, b"2"));
        let (first, second) = (format!("\"{one}\""), format!("\"{two}\""));
        let (weak, both) = (format!("W/{first}"), format!(" \"x,y\" , {second},,{first} ,"));
        // What If-Match makes of nothing, of the first and of the second.
        for (line, holds) in [
            ("*", [false, true, true]),
            (" * ", [false, true, true]),
            (&first, [false, true, false]),
            (&second, [false, false, true]),
            (&both, [false, true, true]),
            // Weak tags never match strongly.
            (&weak, [false, false, false]),
            (&format!("{weak}, {second}"), [false, false, true]),
            // A tag of somebody else's is a tag all the same.
            ("\"x\"", [false, false, false]),
            ("\"\"", [false, false, false]),
            (&format!("\"{}\"", one.to_string().to_uppercase()), [false, false, false]),
        ] {
            let condition = read(&[line], &[]).unwrap();
            let found = [None, Some(&one), Some(&two)].map(|there| condition.unmet(there).is_none());
            assert_eq!(found, holds, "If-Match: {line}");
        }
        for (line, holds) in [
            ("*", [true, false, false]),
            (&first, [true, false, true]),
            (&both, [true, false, false]),
            (&weak, [true, false, true]),
            ("\"x\"", [true, true, true]),
        ] {
            let condition = read(&[], &[line]).unwrap();
            let found = [None, Some(&one), Some(&two)].map(|there| condition.unmet(there).is_none());
            assert_eq!(found, holds, "If-None-Match: {line}");
        }
    }

    #[test]
    fn both_must_hold_and_if_match_speaks_first() {
        let one = Digest::sha256_of(b"1");
        let tag = format!("\"{one}\"");
        let condition = read(&[&tag], &["*"]).unwrap();
        assert_eq!(condition.unmet(None), Some(Unmet::IfMatch));
        assert_eq!(condition.unmet(Some(&one)), Some(Unmet::IfNoneMatch));
        assert!(!Condition::default().asks() && condition.asks());
        assert_eq!(read(&[], &[]), Ok(Condition::default()));
        // Lines are joined.
        assert_eq!(read(&["\"x\"", &tag], &[]).unwrap().unmet(Some(&one)), None);
    }

    #[test]
    fn what_is_no_list_of_entity_tags_is_refused() {
        let one = Digest::sha256_of(b"1").to_string();
        let quoted = format!("\"{one}\"");
        for line in [
            "",
            " ",
            ",",
            " , ,",
            &one,
            "\"",
            &format!("\"{one}"),
            &format!("{one}\""),
            "W/",
            "w/\"x\"",
            "W/ \"x\"",
            "\"a b\"",
            "\"a\" \"b\"",
            "\"a\"\"b\"",
            "*,\"a\"",
            "\"a\",*",
            "**",
            "\"a\"x",
            "\"\u{7f}\"",
            "'x'",
        ] {
            assert_eq!(read(&[line], &[]), Err(ConditionError { header: Unmet::IfMatch }), "{line:?}");
            assert_eq!(read(&[], &[line]), Err(ConditionError { header: Unmet::IfNoneMatch }), "{line:?}");
        }
        for lines in [&["*", "*"][..], &["*", &quoted], &[&quoted, "*"]] {
            assert!(read(lines, &[]).is_err(), "{lines:?}");
        }
        // Bytes beyond ASCII may stand in an entity tag.
        assert!(Condition::parse([b"\"\xff\"".as_slice()], []).is_ok());
        let words = ConditionError { header: Unmet::IfMatch }.to_string();
        assert!(words.starts_with("If-Match must be * or a list of entity tags in quotes"), "{words}");
    }
}
