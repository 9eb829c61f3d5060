//! What can be wrong with stored bytes, told apart from a system that could not
//! look: too few descriptors or a missing right say nothing about the bytes.

use std::fmt;
use std::io;

use rustix::io::Errno;

use crate::oci::Digest;

use super::FileError;

/// What is wrong with stored bytes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Flaw {
    /// Their file is gone.
    Missing,
    /// There are fewer than there should be.
    Short {
        /// How many there are.
        found: u64,
    },
    /// There are more than there should be.
    Long {
        /// How many there are.
        found: u64,
    },
    /// They are others: they do not hash to the digest.
    Altered {
        /// What they hash to.
        found: Digest,
    },
    /// The disk does not give them.
    Unreadable {
        /// What it says.
        why: String,
    },
}

impl Flaw {
    /// The word for programs.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Short { .. } => "short",
            Self::Long { .. } => "long",
            Self::Altered { .. } => "altered",
            Self::Unreadable { .. } => "unreadable",
        }
    }

    /// Whether there is nothing to be read at all. A disk that is away gives
    /// this for every file.
    pub const fn is_absence(&self) -> bool {
        matches!(self, Self::Missing | Self::Unreadable { .. })
    }

    /// The flaw that a failure shows; none when it says nothing about the bytes.
    pub fn of(error: &FileError) -> Option<Self> {
        match error {
            FileError::Length { expected, found, .. } => Self::of_length(*expected, *found),
            FileError::Io { action: "open", source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some(Self::Missing)
            }
            FileError::Io { source, .. } => Self::of_medium(source),
            FileError::NotAFolder { .. }
            | FileError::TwoFileSystems { .. }
            | FileError::Full { .. }
            | FileError::Sync { .. }
            | FileError::Stopped
            | FileError::Ended { .. }
            | FileError::TooLarge => None,
        }
    }

    /// The flaw of a length; none when it is right.
    pub(super) fn of_length(expected: u64, found: u64) -> Option<Self> {
        match found.cmp(&expected) {
            std::cmp::Ordering::Less => Some(Self::Short { found }),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(Self::Long { found }),
        }
    }

    /// The flaw that a failed read shows: what disks, file systems with
    /// checksums and encrypted volumes answer for bytes that are lost.
    pub(super) fn of_medium(error: &io::Error) -> Option<Self> {
        let lost = [Errno::IO, Errno::UCLEAN, Errno::BADMSG, Errno::ILSEQ, Errno::REMOTEIO, Errno::NODATA];
        let errno = Errno::from_io_error(error)?;
        lost.contains(&errno).then(|| Self::Unreadable { why: error.to_string() })
    }
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the file is gone"),
            Self::Short { found } => write!(f, "cut short: only {found} bytes are there"),
            Self::Long { found } => write!(f, "too long: {found} bytes are there"),
            Self::Altered { found } => write!(f, "altered: the bytes hash to {found}"),
            Self::Unreadable { why } => write!(f, "the disk does not give the bytes: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_lost_is_told_from_what_could_not_be_looked_at() {
        let of = |errno: Errno| Flaw::of(&FileError::on("read", Path::new("/d/x"))(errno.into()));
        for errno in [Errno::IO, Errno::UCLEAN, Errno::BADMSG, Errno::ILSEQ] {
            assert_eq!(of(errno).map(|flaw| flaw.kind()), Some("unreadable"), "{errno}");
        }
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::ACCESS, Errno::PERM, Errno::NOSPC, Errno::INVAL]
        {
            assert_eq!(of(errno), None, "{errno}");
        }
        let length = |found| FileError::Length { path: "/d/x".into(), expected: 5, found };
        assert_eq!(Flaw::of(&length(4)), Some(Flaw::Short { found: 4 }));
        assert_eq!(Flaw::of(&length(6)), Some(Flaw::Long { found: 6 }));
        assert!(Flaw::Missing.is_absence() && !Flaw::Short { found: 0 }.is_absence());
    }
}
