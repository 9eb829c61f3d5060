//! Whether what clients saw of one tag fits one order: an atomic register that
//! is read, set and removed, with and without conditions.
//!
//! The search is Wing and Gong's with Lowe's memory: take any operation that
//! had begun before the first of the others had ended, try it next, go back
//! when nothing fits; a set of operations done that leads to the same value as
//! another time is not tried twice. An operation without an answer was done,
//! or was not.
//!
//! A checker that finds nothing wrong proves nothing by itself: below it is
//! held against histories that are wrong, and against a search that tries
//! everything.

use std::collections::HashSet;
use std::fmt;

/// What a tag names: one of the values that were written, or nothing.
pub(crate) type Value = Option<u32>;

/// One operation, as its client saw it. Times only move forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Before it was sent.
    pub(crate) begun: u64,
    /// After its answer was there; where there was none, when it could have had
    /// no effect any more.
    pub(crate) ended: u64,
    pub(crate) act: Act,
    pub(crate) heard: Heard,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Get,
    Put(u32, If),
    Delete(If),
}

/// On what condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum If {
    Always,
    /// `If-None-Match: *`
    Absent,
    /// `If-Match: "…"`
    Is(u32),
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A read: what it is.
    Value(Value),
    /// A change: it was done.
    Done,
    /// A removal: nothing is there.
    Nothing,
    /// A change: its condition does not hold of this.
    Unmet(Value),
    /// Nothing.
    Silence,
}

/// No order fits.
#[derive(Debug)]
pub(crate) struct Violation {
    /// What was done in the longest order that was found.
    done: usize,
    /// What it led to.
    value: Value,
    /// What does not fit behind it.
    stuck: Vec<Entry>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "no order fits; after {} operations the tag is {:?}, and none of these can be next:",
            self.done, self.value
        )?;
        for Entry { begun, ended, act, heard } in &self.stuck {
            writeln!(f, "  {begun}..{ended}: {act:?} heard {heard:?}")?;
        }
        Ok(())
    }
}

impl If {
    fn holds(self, value: Value) -> bool {
        match self {
            Self::Always => true,
            Self::Absent => value.is_none(),
            Self::Is(known) => value == Some(known),
        }
    }
}

impl Entry {
    /// What the tag may be after it, when it was `value` before; nothing when
    /// it cannot have been.
    fn after(&self, value: Value) -> impl Iterator<Item = Value> + use<> {
        let (done, condition) = match self.act {
            Act::Get => (value, If::Always),
            Act::Put(new, condition) => (Some(new), condition),
            Act::Delete(condition) => (None, condition),
        };
        let is_done = match self.act {
            Act::Get => false,
            Act::Put(..) => condition.holds(value),
            Act::Delete(_) => condition.holds(value) && value.is_some(),
        };
        let is_kept = match (self.act, self.heard) {
            (_, Heard::Silence) => true,
            (Act::Get, Heard::Value(seen)) => seen == value,
            (Act::Put(..) | Act::Delete(_), Heard::Unmet(seen)) => !condition.holds(value) && seen == value,
            (Act::Delete(_), Heard::Nothing) => condition.holds(value) && value.is_none(),
            _ => false,
        };
        let is_done = is_done && matches!(self.heard, Heard::Done | Heard::Silence);
        is_done.then_some(done).into_iter().chain(is_kept.then_some(value))
    }
}

/// Looks for an order that begins with `first` and fits. Entries may be given
/// in any order.
pub(crate) fn check(first: Value, entries: &[Entry]) -> Result<(), Violation> {
    let mut entries = entries.to_vec();
    entries.sort_unstable_by_key(|entry| entry.begun);
    let mut list = List::new(&entries);
    let mut done = Done::new(entries.len());
    let mut seen: HashSet<(usize, Vec<u64>, Value)> = HashSet::new();
    // What was done, what the tag was before each, and which of its outcomes
    // is the next to be tried.
    let mut stack: Vec<(usize, Value, usize)> = Vec::new();
    let (mut value, mut at, mut from) = (first, list.first(), 0);
    let mut furthest: Option<Violation> = None;
    while at != List::END {
        let entry = list.nodes[at].entry;
        if list.nodes[at].is_call {
            done.add(entry);
            let (begin, bits) = done.window();
            let mut outcomes = entries[entry].after(value).enumerate().skip(from);
            let next = outcomes.find(|(_, next)| seen.insert((begin, bits.clone(), *next)));
            from = 0;
            if let Some((outcome, next)) = next {
                stack.push((entry, value, outcome + 1));
                value = next;
                list.lift(entry);
                at = list.first();
            } else {
                done.remove(entry);
                at = list.nodes[at].next;
            }
            continue;
        }
        // All that could be next was tried.
        if furthest.as_ref().is_none_or(|furthest| furthest.done < stack.len()) {
            furthest = Some(Violation { done: stack.len(), value, stuck: list.open(at, &entries) });
        }
        let Some((entry, before, outcome)) = stack.pop() else {
            return Err(furthest.expect("it was written down above"));
        };
        done.remove(entry);
        list.put_back(entry);
        (value, at, from) = (before, list.call(entry), outcome);
    }
    Ok(())
}

/// Which entries were done, in the order in which they began: all of the first
/// ones, and a few behind them.
struct Done {
    bits: Vec<u64>,
    /// Words that are full.
    full: usize,
    /// The highest word that ever had a bit.
    top: usize,
}

impl Done {
    fn new(count: usize) -> Self {
        Self { bits: vec![0; count.div_ceil(64) + 1], full: 0, top: 0 }
    }

    fn add(&mut self, entry: usize) {
        self.bits[entry / 64] |= 1 << (entry % 64);
        self.top = self.top.max(entry / 64);
        while self.bits[self.full] == u64::MAX {
            self.full += 1;
        }
    }

    fn remove(&mut self, entry: usize) {
        self.bits[entry / 64] &= !(1 << (entry % 64));
        self.full = self.full.min(entry / 64);
    }

    /// Where it is no more full, and what follows: the same for the same set,
    /// and short.
    fn window(&self) -> (usize, Vec<u64>) {
        let mut bits = self.bits[self.full..=self.top.max(self.full)].to_vec();
        while bits.last() == Some(&0) {
            bits.pop();
        }
        (self.full, bits)
    }
}

/// The beginnings and ends that are left, in time; entries come out and go
/// back in at their places.
struct List {
    nodes: Vec<Node>,
    /// The two nodes of each entry.
    places: Vec<[usize; 2]>,
}

#[derive(Clone, Copy)]
struct Node {
    entry: usize,
    is_call: bool,
    before: usize,
    next: usize,
}

impl List {
    /// The node that stands before all others and after them.
    const END: usize = 0;

    fn new(entries: &[Entry]) -> Self {
        let mut events: Vec<(u64, bool, usize)> = Vec::with_capacity(entries.len() * 2);
        for (index, entry) in entries.iter().enumerate() {
            assert!(entry.begun <= entry.ended, "{entry:?}");
            // Of one moment, beginnings come first: what may overlap does.
            events.extend([(entry.begun, false, index), (entry.ended, true, index)]);
        }
        events.sort_unstable();
        let count = events.len();
        let mut nodes = vec![Node { entry: usize::MAX, is_call: false, before: count, next: usize::from(count > 0) }];
        let mut places = vec![[0; 2]; entries.len()];
        for (index, (_, is_end, entry)) in events.into_iter().enumerate() {
            let here = index + 1;
            places[entry][usize::from(is_end)] = here;
            nodes.push(Node {
                entry,
                is_call: !is_end,
                before: index,
                next: if here == count { Self::END } else { here + 1 },
            });
        }
        Self { nodes, places }
    }

    fn first(&self) -> usize {
        self.nodes[Self::END].next
    }

    fn call(&self, entry: usize) -> usize {
        self.places[entry][0]
    }

    fn lift(&mut self, entry: usize) {
        for place in self.places[entry] {
            let Node { before, next, .. } = self.nodes[place];
            self.nodes[before].next = next;
            self.nodes[next].before = before;
        }
    }

    /// Undoes the last [`List::lift`] that was not undone.
    fn put_back(&mut self, entry: usize) {
        let [call, end] = self.places[entry];
        for place in [end, call] {
            let Node { before, next, .. } = self.nodes[place];
            self.nodes[before].next = place;
            self.nodes[next].before = place;
        }
    }

    /// What has begun before node `end`.
    fn open(&self, end: usize, entries: &[Entry]) -> Vec<Entry> {
        let mut open = Vec::new();
        let mut at = self.first();
        while at != end {
            open.push(entries[self.nodes[at].entry]);
            at = self.nodes[at].next;
        }
        open
    }
}

mod tests {
    use super::{Act, Entry, Heard, If, Value, check};
    use crate::dice::{self, Dice};

    /// An entry from `begun` to `ended`.
    fn entry(begun: u64, ended: u64, act: Act, heard: Heard) -> Entry {
        Entry { begun, ended, act, heard }
    }

    fn put(value: u32) -> Act {
        Act::Put(value, If::Always)
    }

    const GET: Act = Act::Get;
    const DONE: Heard = Heard::Done;

    fn saw(value: u32) -> Heard {
        Heard::Value(Some(value))
    }

    const SAW_NOTHING: Heard = Heard::Value(None);

    #[test]
    fn histories_that_an_order_fits() {
        let silent = entry(2, 9, put(2), Heard::Silence);
        for (name, history) in [
            ("nothing happened", vec![]),
            ("one after the other", vec![entry(0, 1, put(1), DONE), entry(2, 3, GET, saw(1))]),
            (
                "a read beside a write sees what was",
                vec![entry(0, 5, put(1), DONE), entry(1, 2, GET, SAW_NOTHING), entry(3, 4, GET, saw(1))],
            ),
            (
                "two writes at once, in either order",
                vec![entry(0, 5, put(1), DONE), entry(0, 5, put(2), DONE), entry(6, 7, GET, saw(1))],
            ),
            (
                "of two who want it absent one has it",
                vec![
                    entry(0, 5, Act::Put(1, If::Absent), DONE),
                    entry(0, 5, Act::Put(2, If::Absent), Heard::Unmet(Some(1))),
                    entry(6, 7, GET, saw(1)),
                ],
            ),
            (
                "from one to the next",
                vec![
                    entry(0, 1, put(1), DONE),
                    entry(2, 9, Act::Put(2, If::Is(1)), DONE),
                    entry(2, 9, Act::Delete(If::Is(2)), DONE),
                    entry(2, 9, Act::Delete(If::Always), Heard::Nothing),
                ],
            ),
            (
                "no answer, and it was done",
                vec![entry(0, 1, put(1), DONE), silent, entry(3, 4, GET, saw(2)), entry(5, 6, GET, saw(2))],
            ),
            ("no answer, and it was not", vec![entry(0, 1, put(1), DONE), silent, entry(10, 11, GET, saw(1))]),
            (
                "no answer, done late",
                vec![entry(0, 1, put(1), DONE), silent, entry(3, 4, GET, saw(1)), entry(10, 11, GET, saw(2))],
            ),
            (
                "no answer to a removal",
                vec![
                    entry(0, 1, put(1), DONE),
                    entry(2, 9, Act::Delete(If::Always), Heard::Silence),
                    entry(3, 4, GET, SAW_NOTHING),
                ],
            ),
        ] {
            assert!(check(None, &history).is_ok(), "{name}");
        }
        assert!(check(Some(7), &[entry(0, 1, GET, saw(7))]).is_ok());
    }

    #[test]
    fn histories_that_no_order_fits() {
        let absent = |value| Act::Put(value, If::Absent);
        let silent = entry(2, 5, put(2), Heard::Silence);
        for (name, history) in [
            ("a read of what nobody wrote", vec![entry(0, 1, GET, saw(1))]),
            ("an acknowledged write is lost", vec![entry(0, 1, put(1), DONE), entry(2, 3, GET, SAW_NOTHING)]),
            (
                "an old value comes back",
                vec![
                    entry(0, 1, put(1), DONE),
                    entry(2, 3, put(2), DONE),
                    entry(4, 5, GET, saw(2)),
                    entry(6, 7, GET, saw(1)),
                ],
            ),
            (
                "a removed tag comes back",
                vec![entry(0, 1, put(1), DONE), entry(2, 3, Act::Delete(If::Always), DONE), entry(4, 5, GET, saw(1))],
            ),
            (
                "two readers see two writes in two orders",
                vec![
                    entry(0, 9, put(1), DONE),
                    entry(0, 9, put(2), DONE),
                    entry(1, 2, GET, saw(1)),
                    entry(3, 4, GET, saw(2)),
                    entry(5, 6, GET, saw(1)),
                ],
            ),
            ("two winners", vec![entry(0, 5, absent(1), DONE), entry(0, 5, absent(2), DONE)]),
            (
                "two winners from one value",
                vec![
                    entry(0, 1, put(1), DONE),
                    entry(2, 9, Act::Put(2, If::Is(1)), DONE),
                    entry(2, 9, Act::Put(3, If::Is(1)), DONE),
                ],
            ),
            (
                "a winner of what was never there",
                vec![entry(0, 1, put(1), DONE), entry(2, 3, Act::Put(2, If::Is(9)), DONE)],
            ),
            (
                "nobody wins",
                vec![entry(0, 5, absent(1), Heard::Unmet(Some(2))), entry(0, 5, absent(2), Heard::Unmet(Some(1)))],
            ),
            (
                "refused, and told of what it wanted",
                vec![entry(0, 1, put(1), DONE), entry(2, 3, Act::Put(2, If::Is(1)), Heard::Unmet(Some(1)))],
            ),
            (
                "refused, and told of what was not there",
                vec![entry(0, 1, put(1), DONE), entry(2, 3, absent(2), Heard::Unmet(Some(3)))],
            ),
            (
                "nothing to remove, and there was",
                vec![entry(0, 1, put(1), DONE), entry(2, 3, Act::Delete(If::Always), Heard::Nothing)],
            ),
            (
                "removed twice",
                vec![
                    entry(0, 1, put(1), DONE),
                    entry(2, 5, Act::Delete(If::Always), DONE),
                    entry(2, 5, Act::Delete(If::Always), DONE),
                ],
            ),
            (
                "no answer, seen and unseen",
                vec![entry(0, 1, put(1), DONE), silent, entry(3, 4, GET, saw(2)), entry(6, 7, GET, saw(1))],
            ),
            (
                "no answer, done after it could be",
                vec![entry(0, 1, put(1), DONE), silent, entry(6, 7, GET, saw(1)), entry(8, 9, GET, saw(2))],
            ),
            (
                "no answer, done against its condition",
                vec![entry(0, 1, put(1), DONE), entry(2, 5, absent(2), Heard::Silence), entry(3, 4, GET, saw(2))],
            ),
        ] {
            assert!(check(None, &history).is_err(), "{name}");
        }
        let lost = check(None, &[entry(0, 1, put(1), DONE), entry(2, 3, GET, SAW_NOTHING)]).expect_err("is lost");
        let told = lost.to_string();
        assert!(
            told.contains("after 1 operations the tag is Some(1)") && told.contains("2..3: Get heard Value(None)"),
            "{told}"
        );
    }

    /// Tries everything, without memory.
    fn tries_everything(value: Value, left: &[Entry]) -> bool {
        let first_end = left.iter().map(|entry| entry.ended).min();
        left.is_empty()
            || (0..left.len()).any(|index| {
                let entry = left[index];
                let mut rest = left.to_vec();
                rest.remove(index);
                Some(entry.begun) <= first_end && entry.after(value).any(|next| tries_everything(next, &rest))
            })
    }

    /// A history of a few clients on a register that is sometimes broken.
    fn history(dice: &Dice) -> Vec<Entry> {
        let mut value: Value = None;
        let mut free = [0_u64; 3];
        let mut entries = Vec::new();
        for now in (0..2 + dice.below(6) as u64).map(|step| 10 * step + 10) {
            let condition = *dice.pick(&[If::Always, If::Absent, If::Is(1), If::Is(2)]);
            let new = 1 + dice.below(2) as u32;
            let act =
                *dice.pick(&[Act::Get, Act::Put(new, condition), Act::Put(new, If::Always), Act::Delete(condition)]);
            // It happens now, and lasted from some time before to some time after.
            let client = dice.below(free.len());
            let begun = free[client].max(now.saturating_sub(dice.below(25) as u64));
            if begun > now {
                continue;
            }
            let ended = now + dice.below(25) as u64;
            free[client] = ended + 1;
            let holds = condition.holds(value);
            let is_lied = dice.one_in(6);
            let seen = if is_lied { *dice.pick(&[None, Some(1), Some(2)]) } else { value };
            let (heard, next) = match act {
                Act::Get => (Heard::Value(seen), value),
                Act::Put(_, If::Is(_) | If::Absent) if !holds => (Heard::Unmet(seen), value),
                Act::Put(new, _) => (Heard::Done, if is_lied { value } else { Some(new) }),
                Act::Delete(_) if !holds => (Heard::Unmet(seen), value),
                Act::Delete(_) if value.is_none() => (Heard::Nothing, value),
                Act::Delete(_) => (Heard::Done, if is_lied { value } else { None }),
            };
            let heard = if dice.one_in(6) && act != Act::Get { Heard::Silence } else { heard };
            value = next;
            entries.push(entry(begun, ended, act, heard));
        }
        entries
    }

    #[test]
    fn it_finds_what_a_search_of_everything_finds() {
        let seed = dice::seed();
        let dice = Dice::new(seed);
        let mut fits = [0_usize; 2];
        for _ in 0..20_000 {
            let history = history(&dice);
            let expected = tries_everything(None, &history);
            let found = check(None, &history).is_ok();
            assert_eq!(found, expected, "{}={seed}: {history:#?}", dice::SEED);
            fits[usize::from(found)] += 1;
        }
        println!("{} fit no order, {} fit one", fits[0], fits[1]);
        assert!(fits.iter().all(|count| *count > 2_000), "hardly any of one kind: {fits:?}");
    }

    /// As long as the histories of the real thing, and as wide.
    #[test]
    fn a_long_history_is_checked_in_no_time() {
        let dice = Dice::new(1);
        let (mut value, mut entries) = (None, Vec::new());
        for number in 0..5_000_u32 {
            let now = u64::from(number) * 10 + 100;
            let (act, heard) = match dice.below(3) {
                0 => (GET, Heard::Value(value)),
                1 => (put(number), DONE),
                _ => (put(number), Heard::Silence),
            };
            if act != GET && (heard == DONE || dice.one_in(2)) {
                value = Some(number);
            }
            // Eight others overlap with it.
            entries.push(entry(now - dice.below(40) as u64, now + dice.below(40) as u64, act, heard));
        }
        check(None, &entries).unwrap_or_else(|why| panic!("{why}"));
        let last = entries.iter().rposition(|entry| entry.act == GET).expect("a read");
        entries[last].heard = saw(u32::MAX);
        assert!(check(None, &entries).is_err());
    }
}
