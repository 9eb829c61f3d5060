//! `Range` on blob downloads and `Content-Range` on upload chunks.
//!
//! Downloads follow RFC 9110 §14, one range only: a server may answer anything
//! else with the whole content. Upload chunks use the distribution
//! specification's own form, `<start>-<end>`, both ends inclusive.

/// What a download's `Range` header asks for, against a known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Download {
    /// Everything: no header, or one that RFC 9110 lets a server pass over.
    Whole,
    /// Bytes `first..=last` of the content.
    Part {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte.
        last: u64,
    },
    /// The range lies outside the content: 416.
    Unsatisfiable,
}

/// Reads a `Range` header against content of `length` bytes.
pub fn download(header: Option<&str>, length: u64) -> Download {
    let Some(ranges) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else {
        return Download::Whole;
    };
    let Some((first, last)) = ranges.trim().split_once('-') else { return Download::Whole };
    let (first, last) = (first.trim(), last.trim());
    match (number(first), number(last)) {
        (None, Some(suffix)) if first.is_empty() => match suffix {
            0 => Download::Unsatisfiable,
            _ if length == 0 => Download::Unsatisfiable,
            suffix => Download::Part { first: length.saturating_sub(suffix), last: length - 1 },
        },
        (Some(first), _) if first >= length && (last.is_empty() || number(last).is_some()) => Download::Unsatisfiable,
        (Some(first), None) if last.is_empty() => Download::Part { first, last: length - 1 },
        // `last < first` is invalid syntax by RFC 9110; the conformance program
        // wants 416, and a client that sends it has a bug worth seeing.
        (Some(first), Some(last)) if last < first => Download::Unsatisfiable,
        (Some(first), Some(last)) => Download::Part { first, last: last.min(length - 1) },
        _ => Download::Whole,
    }
}

/// A chunk's place in an upload: bytes `start..=end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset of the last byte.
    pub end: u64,
}

/// The header was there and made no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Content-Range must be `<start>-<end>`, both inclusive byte offsets, start not after end")]
pub struct ChunkError;

impl Chunk {
    /// Reads `Content-Range` as `^[0-9]+-[0-9]+$` (distribution specification,
    /// "Pushing a blob in chunks"), which is not RFC 9110's form: whoever sends
    /// that has read another document, and may mean other bytes.
    pub fn parse(header: &str) -> Result<Self, ChunkError> {
        let (start, end) = header.trim().split_once('-').ok_or(ChunkError)?;
        match (number(start), number(end)) {
            (Some(start), Some(end)) if start <= end => Ok(Self { start, end }),
            _ => Err(ChunkError),
        }
    }

    /// How many bytes it spans.
    pub fn bytes(&self) -> u64 {
        (self.end - self.start).saturating_add(1)
    }
}

/// Digits only: no sign, no space, no overflow.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloads() {
        let part = |first, last| Download::Part { first, last };
        for (header, expected) in [
            ("bytes=0-9", part(0, 9)),
            ("bytes=0-", part(0, 99)),
            ("bytes=90-200", part(90, 99)),
            ("bytes=-10", part(90, 99)),
            ("bytes=-1000", part(0, 99)),
            ("bytes=-0", Download::Unsatisfiable),
            ("bytes=100-", Download::Unsatisfiable),
            ("bytes=100-200", Download::Unsatisfiable),
            ("bytes=50-0", Download::Unsatisfiable),
            ("bytes=0-1,5-6", Download::Whole),
            ("bytes=a-b", Download::Whole),
            ("bytes=+1-2", Download::Whole),
            ("lines=0-1", Download::Whole),
            ("bytes=99999999999999999999-", Download::Whole),
        ] {
            assert_eq!(download(Some(header), 100), expected, "{header}");
        }
        assert_eq!(download(None, 100), Download::Whole);
        assert_eq!(download(Some("bytes=0-0"), 0), Download::Unsatisfiable);
        assert_eq!(download(Some("bytes=-5"), 0), Download::Unsatisfiable);
    }

    #[test]
    fn chunks() {
        assert_eq!(Chunk::parse("0-9"), Ok(Chunk { start: 0, end: 9 }));
        assert_eq!(Chunk::parse("5-9").map(|chunk| chunk.bytes()), Ok(5));
        let rfc_9110 = ["bytes 5-9/100", "bytes 3-5/6", "bytes=0-3", "bytes 0-3/*", "0-3/4", "bytes */6"];
        let none = ["", "5", "9-5", "-5", "5-", "a-b", "+1-2", "0 - 3", "0-3,4-5", "0--3", "0x0-0x3"];
        for bad in rfc_9110.into_iter().chain(none).chain(["99999999999999999999-99999999999999999999"]) {
            assert_eq!(Chunk::parse(bad), Err(ChunkError), "{bad}");
        }
    }
}
