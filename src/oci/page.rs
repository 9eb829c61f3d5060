//! Paging of listings: `n` and `last` (distribution specification, "Listing
//! Tags").

use crate::limits;

/// Which part of a listing is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// At most this many entries; zero is a page without any.
    pub entries: usize,
    /// Only entries that sort after this; it need not exist itself.
    pub last: Option<String>,
}

/// `n` was there and is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`n` must be a whole number that is not negative")]
pub struct PageError;

impl Page {
    /// From the query's values. A large `n` is capped, never allocated for
    /// (CVE-2023-2253).
    pub fn parse(n: Option<&str>, last: Option<&str>) -> Result<Self, PageError> {
        let entries = match n.filter(|text| !text.is_empty()) {
            None => limits::PAGE_DEFAULT_ENTRIES,
            Some(text) if text.bytes().all(|b| b.is_ascii_digit()) => {
                text.parse().unwrap_or(usize::MAX).min(limits::PAGE_ENTRIES)
            }
            Some(_) => return Err(PageError),
        };
        Ok(Self { entries, last: last.filter(|text| !text.is_empty()).map(str::to_owned) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn caps_and_refuses() {
        let entries = |n| Page::parse(Some(n), None).map(|page| page.entries);
        assert_eq!(entries("0"), Ok(0));
        assert_eq!(entries("5"), Ok(5));
        assert_eq!(entries("99999999999999999999999"), Ok(limits::PAGE_ENTRIES));
        assert_eq!(entries("-1"), Err(PageError));
        assert_eq!(entries("abc"), Err(PageError));
        assert_eq!(Page::parse(None, Some("")).map(|p| p.last), Ok(None));
    }
}
