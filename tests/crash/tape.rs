//! The watch on a store's medium: plays its acts onto a simulated disk.
//!
//! It may cut the power at one of them: that act is not done, and neither is
//! any after it. And it may leave out a kind of sync, or let the files lag
//! behind the database, as a store would whose write order has a hole: that is
//! how the tests show that they would notice.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate::store::medium::{Act, Handle, Medium, Watch};

use crate::disk::Disk;

/// What the store does and the disk does not hear of. Paths are below the data
/// folder.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hole {
    /// Syncs of the bytes of these files.
    Bytes(Which, fn(&Path) -> bool),
    /// Syncs of the names in these folders.
    Names(Which, fn(&Path) -> bool),
    /// Nothing is left out, but what happens to blobs and uploads happens after
    /// the next commit and not before it.
    Late,
}

/// Which of them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which {
    All,
    /// Only this one, counted from 1.
    Only(usize),
    /// The first of every two.
    First,
    /// The second of every two.
    Second,
}

/// Called after each act with the disk, the number of the act, and its name.
pub(crate) type Each = Box<dyn FnMut(&Disk, usize, &Act<'_>) + Send>;

pub(crate) struct Tape {
    root: PathBuf,
    handles: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    disk: Disk,
    acts: usize,
    /// The act at which the power goes.
    cut_at: Option<usize>,
    dead: bool,
    hole: Option<Hole>,
    /// Syncs that the hole may be about.
    met: usize,
    late: Vec<Later>,
    /// Where the open files were when they were opened.
    paths: HashMap<Handle, PathBuf>,
    each: Option<Each>,
    /// What an act gets in place of being done.
    fails: Option<Fails>,
}

/// An act that is played later.
type Later = Box<dyn FnOnce(&Path, &mut Disk) + Send>;

/// Which acts fail, and with what; it is given the path of what is acted on.
pub(crate) type Fails = Box<dyn FnMut(&Act<'_>, &Path) -> Option<io::Error> + Send>;

impl Which {
    fn is(self, number: usize) -> bool {
        match self {
            Self::All => true,
            Self::Only(one) => number == one,
            Self::First => !number.is_multiple_of(2),
            Self::Second => number.is_multiple_of(2),
        }
    }
}

impl Tape {
    /// Over a disk whose folder stands at `root`.
    pub(crate) fn new(root: &Path, disk: Disk) -> Arc<Self> {
        let state = Mutex::new(State { disk, ..State::default() });
        Arc::new(Self { root: root.to_owned(), handles: AtomicU64::new(0), state })
    }

    pub(crate) fn medium(self: &Arc<Self>) -> Medium {
        Medium::watched(Arc::clone(self) as Arc<dyn Watch>)
    }

    /// The power goes at the `acts`-th act from now.
    pub(crate) fn cut_after(&self, acts: usize) {
        let mut state = self.lock();
        state.cut_at = Some(state.acts + acts);
    }

    /// From now on the store has this hole.
    pub(crate) fn hole(&self, hole: Hole) {
        self.lock().hole = Some(hole);
    }

    /// From now on `each` is called.
    pub(crate) fn each(&self, each: Each) {
        self.lock().each = Some(each);
    }

    /// Nobody is called any more.
    pub(crate) fn hush(&self) {
        self.lock().each = None;
    }

    /// From now on acts fail as `fails` says; `None`: none does.
    pub(crate) fn fail(&self, fails: Option<Fails>) {
        self.lock().fails = fails;
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.lock().dead
    }

    /// The disk as it is now.
    pub(crate) fn disk(&self) -> Disk {
        self.lock().disk.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Tape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tape")
    }
}

impl Watch for Tape {
    fn act(&self, act: &Act<'_>) -> io::Result<()> {
        let mut state = self.lock();
        let state = &mut *state;
        if let Act::Create(path, handle) | Act::CreateNew(path, handle) | Act::Open(path, handle) = *act {
            state.paths.insert(handle, path.to_owned());
        }
        if let Some(fails) = &mut state.fails {
            let path = place(act, &state.paths);
            if let Some(error) = fails(act, path.strip_prefix(&self.root).unwrap_or(path)) {
                return Err(error);
            }
        }
        state.acts += 1;
        state.dead = state.dead || state.cut_at.is_some_and(|at| state.acts >= at);
        if state.dead {
            return Err(io::Error::other("the power is gone"));
        }
        state.play(&self.root, act);
        if let Some(each) = &mut state.each {
            each(&state.disk, state.acts, act);
        }
        Ok(())
    }

    fn handle(&self) -> Handle {
        Handle(self.handles.fetch_add(1, Ordering::Relaxed))
    }
}

impl State {
    fn play(&mut self, root: &Path, act: &Act<'_>) {
        let path = place(act, &self.paths);
        let path = path.strip_prefix(root).unwrap_or(path);
        let is_database = path.to_string_lossy().contains("redb");
        match self.hole {
            Some(Hole::Bytes(which, of)) if matches!(act, Act::SyncBytes(_)) && of(path) => {
                self.met += 1;
                if which.is(self.met) {
                    return;
                }
            }
            Some(Hole::Names(which, of)) if matches!(act, Act::SyncNames(_)) && of(path) => {
                self.met += 1;
                if which.is(self.met) {
                    return;
                }
            }
            Some(Hole::Late) if path.components().count() > 2 => return self.late.push(later(act)),
            Some(_) | None => {}
        }
        self.disk.act(root, act);
        if matches!(act, Act::SyncBytes(_)) && is_database {
            for later in self.late.drain(..) {
                later(root, &mut self.disk);
            }
        }
    }
}

/// What is acted on; of a move, where it was.
fn place<'a>(act: &Act<'a>, paths: &'a HashMap<Handle, PathBuf>) -> &'a Path {
    match *act {
        Act::MakeFolder(path)
        | Act::Create(path, _)
        | Act::CreateNew(path, _)
        | Act::Open(path, _)
        | Act::SyncNames(path)
        | Act::Rename(path, _)
        | Act::Remove(path)
        | Act::RemoveFolder(path) => path,
        Act::Write(handle, ..) | Act::SetLength(handle, _) | Act::Allocate(handle, ..) | Act::SyncBytes(handle) => {
            &paths[&handle]
        }
    }
}

/// The act, to be played when its time has come.
fn later(act: &Act<'_>) -> Later {
    match *act {
        Act::MakeFolder(path) => at(path, |root, disk, path| disk.act(root, &Act::MakeFolder(path))),
        Act::Create(path, handle) => at(path, move |root, disk, path| disk.act(root, &Act::Create(path, handle))),
        Act::CreateNew(path, handle) => at(path, move |root, disk, path| disk.act(root, &Act::CreateNew(path, handle))),
        Act::Open(path, handle) => at(path, move |root, disk, path| disk.act(root, &Act::Open(path, handle))),
        Act::SyncNames(path) => at(path, |root, disk, path| disk.act(root, &Act::SyncNames(path))),
        Act::Remove(path) => at(path, |root, disk, path| disk.act(root, &Act::Remove(path))),
        Act::RemoveFolder(path) => at(path, |root, disk, path| disk.act(root, &Act::RemoveFolder(path))),
        Act::Rename(from, to) => {
            let to = to.to_owned();
            at(from, move |root, disk, from| disk.act(root, &Act::Rename(from, &to)))
        }
        Act::Write(handle, offset, data) => {
            let data = data.to_vec();
            Box::new(move |root, disk| disk.act(root, &Act::Write(handle, offset, &data)))
        }
        Act::SetLength(handle, length) => Box::new(move |root, disk| disk.act(root, &Act::SetLength(handle, length))),
        Act::Allocate(handle, at, length) => {
            Box::new(move |root, disk| disk.act(root, &Act::Allocate(handle, at, length)))
        }
        Act::SyncBytes(handle) => Box::new(move |root, disk| disk.act(root, &Act::SyncBytes(handle))),
    }
}

fn at(path: &Path, act: impl FnOnce(&Path, &mut Disk, &Path) + Send + 'static) -> Later {
    let path = path.to_owned();
    Box::new(move |root, disk| act(root, disk, &path))
}
