//! The query of a request, decoded once.
//!
//! Pairs are percent-decoded (RFC 3986) and nothing more: `+` stays a plus, so
//! that `artifactType=application/spdx+json` means what it says. A value that
//! is no UTF-8 gets replacement characters, which no grammar here accepts.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The pairs of a query, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

/// What is escaped in a value that we write: all but what RFC 3986 leaves
/// unreserved, and `/` and `:`, which may stand in a query and make names and
/// digests readable.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b':');

/// A value as it stands in a query.
pub fn escape(value: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(value, ESCAPED)
}

impl Query {
    /// Reads what stands after `?`. Total: what cannot be decoded stays as it is.
    pub fn parse(raw: Option<&str>) -> Self {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pairs = raw.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self { pairs: pairs.collect() }
    }

    /// The first value of `name`; an empty text when it has none.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.pairs().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The first value of `name`, unless it is empty.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.first(name).filter(|value| !value.is_empty())
    }

    /// Every value of `name`, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.pairs().filter(move |(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Every pair, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_the_first_wins() {
        let query = Query::parse(Some("digest=sha256%3Aab&tag=a&tag=b%20c&&flag&artifactType=a/b+json&=x&bad=%zz%ff"));
        assert_eq!(query.first("digest"), Some("sha256:ab"));
        assert_eq!(query.first("tag"), Some("a"));
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b c"]);
        assert_eq!((query.first("flag"), query.filled("flag")), (Some(""), None));
        assert_eq!(query.first("artifactType"), Some("a/b+json"));
        assert_eq!(query.first("bad"), Some("%zz\u{fffd}"));
        assert_eq!(query.first("none"), None);
        assert_eq!(Query::parse(None), Query::default());
    }

    #[test]
    fn what_is_escaped_reads_back() {
        for value in ["dev/website", "sha256:ab", "application/spdx+json", "a b&c=d?é%"] {
            let query = Query::parse(Some(&format!("last={}", escape(value))));
            assert_eq!(query.first("last"), Some(value));
        }
        assert_eq!(escape("dev/website:1.4").to_string(), "dev/website:1.4");
    }
}
