//! Sign-ins that failed, for the audit log: told together, so that whoever
//! guesses passwords causes no write per guess and fills no disk.
//!
//! Failures of one account from one block of addresses in one window of time
//! are one row with a count; beyond so many rows a window, the rest is one row
//! together. They wait in memory until their window is over, and until there
//! is room on the disk: a crash loses a window of them. A name that is no
//! account's is not kept: people type passwords where names belong.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use super::State;
use crate::audit::{self, Act, Action, ObjectKind, Origin};
use crate::chance::Id;
use crate::identity::address_block;
use crate::lifecycle::Scope;
use crate::limits;
use crate::registry::caller::ROBOT_MARK;
use crate::store::{StoreError, error_chain};

/// Failures that are not written down yet.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    rows: HashMap<Of, u64>,
    /// Those beyond so many rows.
    others: u64,
}

/// Whose sign-in failed, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Of {
    /// The account or robot; none where none has the name.
    account: Option<(Id, String)>,
    /// The block of addresses; none over a local socket, where nobody signs in.
    block: Option<IpAddr>,
}

impl Failures {
    /// Notes one. `account` is there when the name was an account's, or a robot's.
    pub(super) fn note(&self, account: Option<(Id, &str)>, from: Option<SocketAddr>) {
        let of = Of {
            account: account.map(|(id, name)| (id, name.to_owned())),
            block: from.map(|from| address_block(from.ip())),
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(of, 1);
    }

    fn take(&self) -> Book {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes back what could not be written.
    fn keep(&self, book: Book) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        now.others = now.others.saturating_add(book.others);
        for (of, times) in book.rows {
            now.add(of, times);
        }
    }
}

impl Book {
    fn add(&mut self, of: Of, times: u64) {
        let is_full = self.rows.len() >= limits::SIGN_IN_FAILURE_ROWS;
        match self.rows.get_mut(&of) {
            Some(known) => *known = known.saturating_add(times),
            None if is_full => self.others = self.others.saturating_add(times),
            None => {
                self.rows.insert(of, times);
            }
        }
    }

    fn acts(&self) -> Vec<Act> {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_unstable_by_key(|(of, _)| (of.account.as_ref().map(|(_, name)| name), of.block));
        let mut acts: Vec<Act> = rows.into_iter().map(|(of, times)| of.act(*times)).collect();
        if self.others > 0 {
            let act = Act::new(Action::SignInFail, ObjectKind::Account, "");
            acts.push(act.times(self.others).because("more than are told one by one"));
        }
        acts
    }
}

impl Of {
    fn act(&self, times: u64) -> Act {
        let name = self.account.as_ref().map_or("", |(_, name)| name);
        let kind = if name.contains(ROBOT_MARK) { ObjectKind::Robot } else { ObjectKind::Account };
        let act = Act::new(Action::SignInFail, kind, name).times(times);
        let act = match &self.account {
            Some((id, _)) => act.id(*id),
            None => act.because("no account has the name"),
        };
        let Some(block) = self.block else { return act };
        act.from(Origin::Request(audit::Request {
            peer: audit::Peer::Network((block, 0).into()),
            agent: String::new(),
            id: String::new(),
            credential: None,
        }))
    }
}

/// Writes failures down, window by window, and at the end what is left.
pub async fn run(state: State, scope: Scope) {
    loop {
        let goes_on = scope.until_stopped(tokio::time::sleep(limits::SIGN_IN_FAILURES_WINDOW)).await.is_some();
        match write(&state).await {
            Ok(()) | Err(StoreError::Stopped | StoreError::Full) => {}
            Err(error) => tracing::warn!(error = error_chain(&error), "failed sign-ins could not be written down"),
        }
        if !goes_on {
            return;
        }
    }
}

/// Writes down what is there. What finds no room stays.
pub(super) async fn write(state: &State) -> Result<(), StoreError> {
    let book = state.failures().take();
    let acts = book.acts();
    if acts.is_empty() {
        return Ok(());
    }
    let written = state.registry().note_failures(acts).await;
    if written.is_err() {
        state.failures().keep(book);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guesser_makes_a_bounded_number_of_rows() {
        let failures = Failures::default();
        let id = Id::from_bytes([1; 16]);
        for host in 0..10_000_u16 {
            let from = SocketAddr::from(([10, 0, (host >> 8) as u8, host as u8], 1));
            failures.note(Some((id, "ann")), Some(from));
            // From one network of IPv6, whatever the host.
            let from = SocketAddr::from(([0x2001, 0xdb8, 0, 1, 0, 0, 0, host], 1));
            failures.note(None, Some(from));
        }
        let book = failures.take();
        let acts = book.acts();
        assert_eq!(acts.len(), limits::SIGN_IN_FAILURE_ROWS + 1);
        assert_eq!(acts.iter().map(|act| act.times).sum::<u64>(), 20_000);
        assert!(acts.iter().any(|act| act.times == 10_000 && act.object.name.is_empty()));
        // What could not be written is not lost, and not more.
        failures.keep(book);
        failures.note(Some((id, "bob")), None);
        assert_eq!(failures.take().acts().iter().map(|act| act.times).sum::<u64>(), 20_001);
        assert!(failures.take().acts().is_empty());
    }
}
