//! How many files and sockets the process may have open, and what follows for
//! connections: a connection that is taken can be served. Without room for the
//! file that it asks for, a client would get a 500 for nothing that it did.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::limits;

/// The descriptors that the process may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Descriptors(u64);

/// Raises the limit as far as the process may, and says where it stands.
pub(super) fn raise() -> Descriptors {
    let now = getrlimit(Resource::Nofile);
    let wanted = now.maximum.unwrap_or(limits::DESCRIPTORS).min(limits::DESCRIPTORS);
    let current = now.current.unwrap_or(u64::MAX);
    if current >= wanted {
        return Descriptors(current);
    }
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum }) {
        Ok(()) => Descriptors(wanted),
        Err(errno) => {
            tracing::debug!(error = %errno, "the limit of descriptors could not be raised");
            Descriptors(current)
        }
    }
}

impl Descriptors {
    /// Connections that can all be served: each takes a socket and may take a
    /// file, and some descriptors are the daemon's own.
    pub(super) fn connections(self) -> usize {
        let left = self.0.saturating_sub(limits::DESCRIPTORS_OWN) / 2;
        usize::try_from(left).unwrap_or(usize::MAX).clamp(limits::CONNECTIONS_LEAST, limits::CONNECTIONS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_that_is_taken_has_room_for_a_file() {
        for (descriptors, connections) in [(64, 8), (256, 16), (1_024, 400), (65_536, 4_096), (u64::MAX, 4_096)] {
            assert_eq!(Descriptors(descriptors).connections(), connections, "{descriptors}");
        }
    }
}
