//! The signals that the process acts on.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals, watched from when this is made: none of them ends the process
/// any more by itself.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// An end: `SIGTERM`, or Ctrl-C.
    Stop,
    /// `SIGHUP`: of a daemon that is supervised, to read its files again; of a
    /// program in a terminal, that the terminal is gone.
    Hangup,
}

impl Signals {
    /// Watches them.
    ///
    /// # Errors
    /// What the system said.
    pub(super) fn watch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.terminate.recv() => Heard::Stop,
            _ = self.interrupt.recv() => Heard::Stop,
            _ = self.hangup.recv() => Heard::Hangup,
        }
    }
}
