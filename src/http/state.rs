//! What every handler works with.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::connection::Tally;
use super::failures::Failures;
use super::intake::Intake;
use super::metrics::Metrics;
use super::rate::Rate;
use super::room::Rooms;
use crate::audit::{self, Origin, cut};
use crate::identity::token::access;
use crate::identity::{Guesses, Passwords, Proof, Setup, Signer};
use crate::jobs::Remotes;
use crate::jobs::scrub::Settings;
use crate::registry::Registry;

/// The parts that a [`State`] is made of.
#[derive(Debug)]
pub struct Parts {
    /// The registry that is served.
    pub registry: Registry,
    /// Checks passwords.
    pub passwords: Passwords,
    /// Signs tokens.
    pub signer: Signer,
    /// Counts wrong passwords.
    pub guesses: Guesses,
    /// The certificate of the authority that clients are to trust, in PEM; none
    /// where the operator's own certificate comes from elsewhere.
    pub ca_pem: Option<String>,
    /// Other registries, and the keys that seal their credentials.
    pub remotes: Remotes,
    /// The daemon's key files, by the name that a backup gives them.
    pub key_files: Vec<(&'static str, PathBuf)>,
    /// When and how fast everything that is stored is looked at.
    pub scrub: Settings,
    /// How many requests one client may send.
    pub rate: Rate,
    /// What happens on the listeners.
    pub tally: Arc<Tally>,
}

/// What every handler works with. Clones share it; a request's own clone does
/// what it does on behalf of that request.
#[derive(Clone, Debug)]
pub struct State(Arc<Inner>, Registry);

#[derive(Debug)]
struct Inner {
    parts: Parts,
    rooms: Rooms,
    intake: Intake,
    ready: AtomicBool,
    metrics: Metrics,
    failures: Failures,
    setup: Setup,
}

/// Why the daemon would rather not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// It starts, or it stops.
    #[error("the daemon is starting or stopping")]
    NotReady,
    /// Nothing is acknowledged any more.
    #[error("the store stopped after a failed write; the daemon restarts")]
    Store,
}

impl State {
    /// A state that is not ready yet.
    pub fn new(parts: Parts) -> Self {
        let registry = parts.registry.clone();
        let inner = Inner {
            parts,
            rooms: Rooms::default(),
            intake: Intake::default(),
            ready: AtomicBool::new(false),
            metrics: Metrics::default(),
            failures: Failures::default(),
            setup: Setup::default(),
        };
        Self(Arc::new(inner), registry)
    }

    /// The registry that is served.
    pub fn registry(&self) -> &Registry {
        &self.1
    }

    /// The same for one request: the audit log says from where it came.
    #[must_use]
    pub(super) fn on_behalf_of(&self, origin: Origin) -> Self {
        Self(Arc::clone(&self.0), self.1.on_behalf_of(Arc::new(origin)))
    }

    /// The same for a request that has shown something in place of a password.
    #[must_use]
    pub(super) fn having_shown(&self, proof: &Proof) -> Self {
        let credential = match proof {
            Proof::Nothing | Proof::Password(_) => return self.clone(),
            Proof::Token(hash) => format!("token {}", access::short(hash)),
            Proof::Certificate(name) => format!("certificate {name}"),
        };
        match self.1.store().origin().as_ref() {
            Origin::Daemon => self.clone(),
            Origin::Request(request) => {
                let credential = Some(cut(&credential));
                self.on_behalf_of(Origin::Request(audit::Request { credential, ..request.clone() }))
            }
        }
    }

    /// Checks passwords.
    pub fn passwords(&self) -> &Passwords {
        &self.0.parts.passwords
    }

    /// Signs tokens.
    pub fn signer(&self) -> &Signer {
        &self.0.parts.signer
    }

    /// Counts wrong passwords.
    pub fn guesses(&self) -> &Guesses {
        &self.0.parts.guesses
    }

    /// The certificate of the authority that clients are to trust, in PEM; none
    /// where the operator's own certificate comes from elsewhere.
    pub fn ca_pem(&self) -> Option<&str> {
        self.0.parts.ca_pem.as_deref()
    }

    /// Other registries, and the keys that seal their credentials.
    pub fn remotes(&self) -> &Remotes {
        &self.0.parts.remotes
    }

    /// The daemon's key files, by the name that a backup gives them.
    pub fn key_files(&self) -> &[(&'static str, PathBuf)] {
        &self.0.parts.key_files
    }

    /// When and how fast everything that is stored is looked at.
    pub fn scrub(&self) -> &Settings {
        &self.0.parts.scrub
    }

    /// How many requests one client may send.
    pub(super) fn rate(&self) -> &Rate {
        &self.0.parts.rate
    }

    /// Memory for large answers.
    pub(super) fn rooms(&self) -> &Rooms {
        &self.0.rooms
    }

    /// Reads request bodies whole.
    pub(super) fn intake(&self) -> &Intake {
        &self.0.intake
    }

    /// What is counted while requests are answered.
    pub(super) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The set-up secret, while there is one.
    pub fn setup(&self) -> &Setup {
        &self.0.setup
    }

    /// Sign-ins that failed and are not written down yet.
    pub(super) fn failures(&self) -> &Failures {
        &self.0.failures
    }

    /// What happens on the listeners.
    pub(super) fn tally(&self) -> &Tally {
        &self.0.parts.tally
    }

    /// Says to those who watch whether requests are welcome. It turns none
    /// away: what is begun while stopping is drained.
    pub fn set_ready(&self, ready: bool) {
        self.0.ready.store(ready, Ordering::Relaxed);
    }

    /// What does not work while requests are answered, in words.
    pub fn degraded(&self) -> Vec<String> {
        let words = |key| format!("sealing key {key} is missing: mirrors whose credentials it sealed stand still");
        let keys = self.remotes().keys();
        // Anybody reads this: which file, and why, is for the log and admins.
        let unusable = keys.unusable().map(|_| "the sealing key file cannot be used: see the log".to_owned());
        keys.missing().into_iter().map(words).chain(unusable).collect()
    }

    /// What is wrong, if anything is.
    pub fn trouble(&self) -> Option<Trouble> {
        if self.registry().store().writer().failure().borrow().is_some() {
            return Some(Trouble::Store);
        }
        (!self.0.ready.load(Ordering::Relaxed)).then_some(Trouble::NotReady)
    }
}
