//! The audit log: written in the commit of each act, read newest first,
//! shortened by age and count.
//!
//! A row's key is its class and its number. Numbers are given to all rows in
//! one row of numbers, so that a reader puts the classes together again; each
//! class has its own stretch of keys and its own bounds, so that shortening one
//! never looks at another. How many rows each has stands in `meta` and goes
//! into the commit once, however many acts it holds.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::record::audit::{Row, Standing};
use super::{Change, Key, Order, Read, StoreError, Stored as _, Table, account};
use crate::audit::{Act, Action, Audit, Class, Entry, ObjectKind, Origin};
use crate::clock::Timestamp;
use crate::event::Actor;
use crate::limits;

/// The row of `meta` that says how the log stands.
const STANDING: &str = "audit";

/// What a transaction knows of the audit log.
pub(super) struct Book {
    /// How it stands; read with the first row of a commit.
    standing: Option<Standing>,
    /// From where the operation that runs comes.
    origin: Arc<Origin>,
    /// The event that led to what is written now.
    led_by: Option<u64>,
    /// What the operation that runs has written.
    written: Vec<Action>,
}

impl Default for Book {
    fn default() -> Self {
        Self { standing: None, origin: Arc::new(Origin::Daemon), led_by: None, written: Vec::new() }
    }
}

impl Book {
    /// An operation begins, on behalf of `origin`.
    pub(super) fn begin(&mut self, origin: &Arc<Origin>) {
        self.origin = Arc::clone(origin);
        self.led_by = None;
        self.written.clear();
    }

    /// Whether the operation that ran wrote nothing but what it says of itself.
    pub(super) fn is_within(&self, says: Audit) -> bool {
        self.written.iter().all(|action| says.allows(*action))
    }
}

/// Which rows are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
    /// Only with higher numbers.
    pub after: Option<u64>,
    /// By whom: an account's name or id, or `system`.
    pub actor: Option<String>,
    /// What was done; empty: anything.
    pub actions: Vec<Action>,
    /// To which kind of thing.
    pub kind: Option<ObjectKind>,
    /// To which thing: its name or id; with `*` at the end, all whose names
    /// begin so.
    pub object: Option<String>,
    /// In which namespace.
    pub namespace: Option<String>,
}

/// Rows that were asked for, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The rows.
    pub entries: Vec<Entry>,
    /// The number at which to go on; a page looks at a bounded stretch, so one
    /// with few rows, or none, may have a next.
    pub next: Option<u64>,
}

/// How long rows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// No longer than this; `None`: for ever.
    pub age: Option<Duration>,
    /// No more of a class than this.
    pub rows: u64,
}

impl Default for Keep {
    fn default() -> Self {
        Self { age: Some(limits::AUDIT_KEPT), rows: limits::AUDIT_ROWS }
    }
}

impl Filter {
    /// The stretches of rows in which something may be found.
    fn classes(&self) -> impl Iterator<Item = Class> + '_ {
        let is_wanted = |class: &Class| {
            let named = self.actions.is_empty() || self.actions.iter().any(|action| action.may_be_of(*class));
            // Nobody's namespace.
            named && (self.namespace.is_none() || *class != Class::SignIn)
        };
        Class::ALL.into_iter().filter(is_wanted)
    }

    fn takes(&self, entry: &Entry) -> bool {
        let named = |wanted: &str| match wanted.strip_suffix('*') {
            Some(front) => entry.object.name.starts_with(front),
            None => entry.object.name == wanted || entry.object.id.is_some_and(|id| id.to_string() == wanted),
        };
        self.since.is_none_or(|since| entry.at >= since)
            && self.until.is_none_or(|until| entry.at <= until)
            && (self.actions.is_empty() || self.actions.contains(&entry.action))
            && self.kind.is_none_or(|kind| entry.object.kind == kind)
            && self.namespace.as_ref().is_none_or(|wanted| entry.object.namespace.as_ref() == Some(wanted))
            && self.actor.as_ref().is_none_or(|wanted| is_by(&entry.actor, wanted))
            && self.object.as_deref().is_none_or(named)
    }
}

fn is_by(actor: &Actor, wanted: &str) -> bool {
    match actor {
        Actor::System => wanted == "system",
        Actor::Account { id, name } => name == wanted || id.to_string() == wanted,
        Actor::Policy(id) => id.to_string() == wanted,
    }
}

fn key(class: Class, number: u64) -> Key {
    Key::new().byte(class.number()).number(number)
}

fn standing(read: &impl Read) -> Result<Standing, StoreError> {
    Ok(read.record(Table::Meta, &Key::new().text(STANDING))?.unwrap_or_default())
}

/// The same, with what this commit has written so far.
fn standing_now(change: &Change<'_>) -> Result<Standing, StoreError> {
    match change.audit.standing {
        Some(standing) => Ok(standing),
        None => standing(change),
    }
}

/// How many rows of a class there are.
pub fn kept(read: &impl Read, class: Class) -> Result<u64, StoreError> {
    Ok(standing(read)?.kept[usize::from(class.number())])
}

/// The number of the last row; 0 when there was none.
pub fn last(read: &impl Read) -> Result<u64, StoreError> {
    Ok(standing(read)?.last)
}

/// Says which event led to what is written from here on in this operation.
pub fn led_by(change: &mut Change<'_>, seq: u64) {
    change.audit.led_by = Some(seq);
}

/// Writes an act down; from where it comes, the handle said.
pub fn append(change: &mut Change<'_>, actor: &Actor, act: Act) -> Result<(), StoreError> {
    let mut standing = standing_now(change)?;
    let Act { action, object, mut cause, details, event, times, origin } = act;
    let class = match action.class() {
        Class::Namespace if is_own(change, actor, object.namespace.as_deref())? => Class::Own,
        class => class,
    };
    standing.last += 1;
    standing.kept[usize::from(class.number())] += 1;
    cause.event = cause.event.or(change.audit.led_by);
    let (at, age) = (change.now(), change.age());
    let row = Row {
        number: standing.last,
        at,
        age,
        actor,
        origin: origin.as_ref().unwrap_or(&change.audit.origin),
        action,
        object: &object,
        cause: &cause,
        details: &details,
        event,
        times,
    };
    let bytes = row.encode();
    change.put_bytes(Table::Audit, &key(class, standing.last), &bytes)?;
    change.audit.standing = Some(standing);
    change.audit.written.push(action);
    Ok(())
}

/// Whether somebody acts in its own namespace, itself or by a robot of it:
/// anybody may do that as often as it likes.
fn is_own(read: &impl Read, actor: &Actor, namespace: Option<&str>) -> Result<bool, StoreError> {
    let (Actor::Account { name, .. }, Some(namespace)) = (actor, namespace) else { return Ok(false) };
    if name == namespace {
        return Ok(true);
    }
    let is_robot_of = name.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('+'));
    // A robot of an organization does what its owners let it do.
    Ok(is_robot_of && account::get(read, namespace)?.is_some_and(|account| !account.is_org))
}

/// Writes down how the log stands, if it has changed; once a commit.
pub(super) fn write(change: &mut Change<'_>) -> Result<(), StoreError> {
    match change.audit.standing.take() {
        Some(standing) => change.put(Table::Meta, &Key::new().text(STANDING), &standing),
        None => Ok(()),
    }
}

/// Rows that pass a filter, newest first, from number `start` down, at most
/// `limit`. Looks at [`limits::AUDIT_SCAN_ROWS`] rows and no more.
pub fn page(read: &impl Read, filter: &Filter, start: Option<u64>, limit: usize) -> Result<Found, StoreError> {
    let mut stretches = Vec::new();
    for class in filter.classes() {
        stretches.push(Stretch { class, rows: VecDeque::new(), below: Some(start.unwrap_or(u64::MAX)) });
    }
    let after = filter.after.unwrap_or(0);
    let mut found = Found::default();
    for looked in 0.. {
        for stretch in &mut stretches {
            stretch.fill(read, after)?;
        }
        let newest = stretches.iter_mut().filter(|stretch| !stretch.rows.is_empty());
        let Some(newest) = newest.max_by_key(|stretch| stretch.rows.front().map(|entry| entry.number)) else {
            return Ok(found);
        };
        if found.entries.len() >= limit || looked >= limits::AUDIT_SCAN_ROWS {
            found.next = newest.rows.front().map(|entry| entry.number);
            return Ok(found);
        }
        found.entries.extend(newest.rows.pop_front().filter(|entry| filter.takes(entry)));
    }
    Ok(found)
}

/// The rows of one class, newest first, a slice at a time.
struct Stretch {
    class: Class,
    rows: VecDeque<Entry>,
    /// Where the next slice begins; none at the end.
    below: Option<u64>,
}

impl Stretch {
    fn fill(&mut self, read: &impl Read, after: u64) -> Result<(), StoreError> {
        let Some(below) = self.below.filter(|_| self.rows.is_empty()) else { return Ok(()) };
        let span = Key::new().byte(self.class.number()).prefix().after(&key(self.class, after));
        self.below = None;
        read.walk(Table::Audit, &span.through(&key(self.class, below)), Order::Backward, |key, value| {
            let entry = Entry::decode(value).map_err(|why| StoreError::damaged(Table::Audit, key, why))?;
            if self.rows.len() == limits::AUDIT_SLICE_ROWS {
                self.below = Some(entry.number);
                return Ok(ControlFlow::Break(()));
            }
            self.rows.push_back(entry);
            Ok(ControlFlow::Continue(()))
        })
    }
}

/// Whether a class has rows beyond what is kept.
pub fn is_long(read: &impl Read, class: Class, keep: Keep, now: Timestamp) -> Result<bool, StoreError> {
    if kept(read, class)? > keep.rows {
        return Ok(true);
    }
    let Some(age) = keep.age else { return Ok(false) };
    let mut is_old = false;
    read.walk(Table::Audit, &Key::new().byte(class.number()).prefix(), Order::Forward, |key, value| {
        let first = Entry::decode(value).map_err(|why| StoreError::damaged(Table::Audit, key, why))?;
        is_old = first.age.after(age) <= now;
        Ok(ControlFlow::Break(()))
    })?;
    Ok(is_old)
}

/// Removes up to `limit` of a class's oldest rows that are beyond what is kept;
/// how many went.
pub fn prune(change: &mut Change<'_>, class: Class, keep: Keep, limit: usize) -> Result<usize, StoreError> {
    let (mut standing, place) = (standing_now(change)?, usize::from(class.number()));
    let surplus = standing.kept[place].saturating_sub(keep.rows);
    let ends = keep.age.map(|age| change.age().before(age));
    let mut gone: Vec<Vec<u8>> = Vec::new();
    change.walk(Table::Audit, &Key::new().byte(class.number()).prefix(), Order::Forward, |key, value| {
        // One that cannot be read is as old as its place says.
        let is_old = || Entry::decode(value).is_ok_and(|entry| ends.is_some_and(|ends| entry.age <= ends));
        if gone.len() >= limit || (gone.len() as u64 >= surplus && !is_old()) {
            return Ok(ControlFlow::Break(()));
        }
        gone.push(key.to_vec());
        Ok(ControlFlow::Continue(()))
    })?;
    for key in &gone {
        change.remove_raw(Table::Audit, key)?;
    }
    standing.kept[place] = standing.kept[place].saturating_sub(gone.len() as u64);
    change.audit.standing = Some(standing);
    Ok(gone.len())
}
