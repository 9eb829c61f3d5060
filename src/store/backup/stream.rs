//! The form in which rows leave the daemon.
//!
//! ```text
//! "TGBACKUP" and the version, 2 bytes
//! frame: kind (1 byte), length (4 bytes), that many bytes
//!   1 head     JSON, first and once
//!   2 table    the name of the table that the rows behind it are of
//!   3 rows     key length (4), value length (4), key, value; again and again
//!   4 end      how many rows there were (8), SHA-256 of all before this frame
//! ```
//!
//! Numbers are big-endian. A stream that breaks off has no end, and one that
//! was changed on the way has another hash: neither is taken.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

use crate::chance::Id;
use crate::clock::Timestamp;
use crate::limits;
use crate::oci::{Algorithm, Hasher};

/// What a stream says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Head {
    /// The format of the database.
    pub format: u64,
    /// Whose rows they are.
    pub instance: Id,
    /// How often that store had been opened.
    pub generation: u64,
    /// The number of its last event: the commit that the rows are as of.
    pub event_sequence: u64,
    /// When that was, by the daemon's clock.
    #[serde(with = "moment")]
    pub taken_at: Timestamp,
    /// The lease under which its files can be had.
    pub lease: Id,
}

/// Why bytes are no stream.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// It could not be read, or ends too early.
    #[error("the stream broke off")]
    Broken(#[source] io::Error),
    /// Something else.
    #[error("it is no stream of a backup")]
    NoStream,
    /// Of a later version.
    #[error(
        "it has version {found}, and this tidegate reads version {VERSION}: use the command line of the daemon's own version"
    )]
    Newer {
        /// Its version.
        found: u16,
    },
    /// A frame that makes no sense.
    #[error("a frame makes no sense: {0}")]
    Frame(&'static str),
    /// A table that is not known here.
    #[error("it has a table {0:?} that this tidegate does not know: use the command line of the daemon's own version")]
    Table(String),
    /// Rows are missing, or other bytes came than were sent.
    #[error("its checksum does not fit")]
    Checksum,
}

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Head(Box<Head>),
    Table(String),
    Rows(Vec<u8>),
    End,
}

/// Writes the stream, a piece at a time.
pub(super) struct Writer {
    hasher: Hasher,
    rows: u64,
    out: Vec<u8>,
}

/// Reads the stream.
pub(super) struct Reader<R> {
    inner: R,
    hasher: Hasher,
    rows: u64,
}

/// The version of the stream.
pub(super) const VERSION: u16 = 1;
const MAGIC: &[u8; 8] = b"TGBACKUP";
const HEAD: u8 = 1;
const TABLE: u8 = 2;
const ROWS: u8 = 3;
const END: u8 = 4;

impl Writer {
    pub(super) fn new(head: &Head) -> Self {
        let mut writer = Self { hasher: Hasher::new(Algorithm::Sha256), rows: 0, out: Vec::new() };
        writer.out.extend_from_slice(MAGIC);
        writer.out.extend_from_slice(&VERSION.to_be_bytes());
        writer.frame(HEAD, &serde_json::to_vec(head).expect("a head is plain data"));
        writer
    }

    pub(super) fn table(&mut self, name: &str) {
        self.frame(TABLE, name.as_bytes());
    }

    /// A frame of rows that [`push_row`] has gathered.
    pub(super) fn rows(&mut self, rows: &[u8], count: u64) {
        self.rows += count;
        self.frame(ROWS, rows);
    }

    pub(super) fn end(&mut self) {
        let done = std::mem::replace(&mut self.hasher, Hasher::new(Algorithm::Sha256));
        let mut hasher = done;
        hasher.update(&self.out);
        let mut payload = self.rows.to_be_bytes().to_vec();
        payload.extend_from_slice(hasher.finish().hash());
        self.frame(END, &payload);
    }

    /// What has been written since it was taken last.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let out = std::mem::take(&mut self.out);
        self.hasher.update(&out);
        out
    }

    fn frame(&mut self, kind: u8, payload: &[u8]) {
        self.out.push(kind);
        let length = u32::try_from(payload.len()).expect("frames are of bounded size");
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(payload);
    }
}

/// Adds a row to a frame of rows.
pub(super) fn push_row(rows: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    for part in [key, value] {
        rows.extend_from_slice(&u32::try_from(part.len()).expect("redb has no larger").to_be_bytes());
    }
    rows.extend_from_slice(key);
    rows.extend_from_slice(value);
}

/// The next row of a frame of rows, and what is left; `None` when the bytes
/// make no row.
pub(super) fn pull_row(rows: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key, rest) = rows.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_first_chunk::<4>()?;
    let length = |bytes: &[u8; 4]| usize::try_from(u32::from_be_bytes(*bytes)).ok();
    let (key, rest) = rest.split_at_checked(length(key)?)?;
    let (value, rest) = rest.split_at_checked(length(value)?)?;
    Some((key, value, rest))
}

impl<R: Read> Reader<R> {
    /// Reads the beginning.
    pub(super) fn new(inner: R) -> Result<Self, StreamError> {
        let mut reader = Self { inner, hasher: Hasher::new(Algorithm::Sha256), rows: 0 };
        let magic: [u8; 8] = reader.take()?;
        if &magic != MAGIC {
            return Err(StreamError::NoStream);
        }
        match u16::from_be_bytes(reader.take()?) {
            VERSION => Ok(reader),
            found => Err(StreamError::Newer { found }),
        }
    }

    /// The next frame. After the end there is none to be asked for.
    pub(super) fn next(&mut self) -> Result<Frame, StreamError> {
        let before = self.hasher.clone();
        let [kind] = self.take()?;
        let length = usize::try_from(u32::from_be_bytes(self.take()?)).unwrap_or(usize::MAX);
        if length > limits::BACKUP_FRAME_BYTES {
            return Err(StreamError::Frame("it is too long"));
        }
        let mut payload = vec![0; length];
        self.inner.read_exact(&mut payload).map_err(StreamError::Broken)?;
        self.hasher.update(&payload);
        match kind {
            HEAD => serde_json::from_slice(&payload).map(Frame::Head).map_err(|_| StreamError::Frame("its head")),
            TABLE => String::from_utf8(payload).map(Frame::Table).map_err(|_| StreamError::Frame("a table's name")),
            ROWS => {
                let mut rest = payload.as_slice();
                while !rest.is_empty() {
                    rest = pull_row(rest).ok_or(StreamError::Frame("a row"))?.2;
                    self.rows += 1;
                }
                Ok(Frame::Rows(payload))
            }
            END => {
                let mut expected = self.rows.to_be_bytes().to_vec();
                expected.extend_from_slice(before.finish().hash());
                if payload == expected { Ok(Frame::End) } else { Err(StreamError::Checksum) }
            }
            _ => Err(StreamError::Frame("its kind")),
        }
    }

    /// How many rows have come.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], StreamError> {
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes).map_err(StreamError::Broken)?;
        self.hasher.update(&bytes);
        Ok(bytes)
    }
}

/// A moment as RFC 3339, for whoever reads it.
pub(super) mod moment {
    use serde::Deserialize as _;

    use crate::clock::Timestamp;

    pub(in super::super) fn serialize<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&at.rfc3339())
    }

    pub(in super::super) fn deserialize<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(from)?;
        let read = chrono::DateTime::parse_from_rfc3339(&text).map_err(serde::de::Error::custom)?;
        Ok(Timestamp::from_utc(read.to_utc()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            format: 1,
            instance: Id::from_bytes([1; 16]),
            generation: 3,
            event_sequence: 9,
            taken_at: Timestamp::from_micros(1_700_000_000_000_001),
            lease: Id::from_bytes([2; 16]),
        }
    }

    /// A stream of two tables, taken a piece at a time.
    fn sample() -> Vec<u8> {
        let mut writer = Writer::new(&head());
        let mut all = writer.take();
        writer.table("meta");
        let mut rows = Vec::new();
        push_row(&mut rows, b"a", b"1");
        push_row(&mut rows, b"b", b"");
        writer.rows(&rows, 2);
        all.extend(writer.take());
        writer.table("tags");
        writer.end();
        all.extend(writer.take());
        all
    }

    fn read(bytes: &[u8]) -> Result<Vec<Frame>, StreamError> {
        let mut reader = Reader::new(bytes)?;
        let mut frames = Vec::new();
        loop {
            let frame = reader.next()?;
            let is_end = frame == Frame::End;
            frames.push(frame);
            if is_end {
                return Ok(frames);
            }
        }
    }

    #[test]
    fn frames_come_back() {
        let frames = read(&sample()).expect("reads");
        assert_eq!(frames[0], Frame::Head(Box::new(head())));
        assert_eq!(frames[1], Frame::Table("meta".to_owned()));
        let Frame::Rows(rows) = &frames[2] else { panic!("{frames:?}") };
        let (key, value, rest) = pull_row(rows).expect("a row");
        assert_eq!((key, value), (&b"a"[..], &b"1"[..]));
        assert_eq!(pull_row(rest).expect("a row"), (&b"b"[..], &b""[..], &b""[..]));
        assert_eq!(frames[3..], [Frame::Table("tags".to_owned()), Frame::End]);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_refused() {
        let whole = sample();
        for cut in 0..whole.len() {
            assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut other = whole.clone();
                other[at] ^= 1 << bit;
                assert!(read(&other).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn a_later_version_and_a_frame_beyond_all_bounds_are_refused() {
        let mut later = sample();
        later[9] = 2;
        assert!(matches!(read(&later), Err(StreamError::Newer { found: 2 })));
        let mut long = sample()[..10].to_vec();
        long.extend([ROWS, 0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(read(&long), Err(StreamError::Frame(_))));
    }
}
